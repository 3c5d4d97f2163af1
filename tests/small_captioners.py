"""Small captioners with random weights, and images for them."""

import numpy as np
import torch
from PIL import Image

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
)
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer

CAPTIONS = ["a smooth, round galaxy", "a barred spiral galaxy with two loosely wound arms", "an edge-on disc galaxy"]


def make_model(seed: int = 0, sharpness: float = 2.0, **settings) -> GalaxyCaptionerForConditionalGeneration:
    torch.manual_seed(seed)
    sizes = {"backbone": "resnet10t", "hidden_size": 32, "embedding_size": 16, "attention_size": 16}
    model = GalaxyCaptionerForConditionalGeneration(GalaxyCaptionerConfig(**(sizes | settings))).eval()
    with torch.no_grad():  # sharp distributions that depend on all earlier words, so that wrong searches show
        model.words.weight.mul_(sharpness)
        for weight in model.decoder.cell.parameters():
            weight.mul_(4)
        model.decoder.output.weight[:, : model.config.hidden_size].mul_(4)
        model.decoder.embedding.weight.mul_(4)
    return model


def pixels(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 3


def save_small(folder, **settings):
    """A small captioner with its processor and ``galaxy.png`` in a folder; with seed 6 it differs by image."""
    tokenizer = build_tokenizer(CAPTIONS)
    model = make_model(vocab_size=len(tokenizer), sharpness=1.0, **settings)
    processor = GalaxyCaptionerProcessor(GalaxyImageProcessor(), tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (212, 212, 3), dtype=np.uint8)).save(
        folder / "galaxy.png"
    )
    return folder, model, processor
