"""Tiny untrained models for tests and the load script of the demo: ``python tests/space_models.py FOLDER``."""

import sys
from pathlib import Path

import torch

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.labels import get_scheme
from galaxy_vision.processing_galaxy_captioner import build_tokenizer

CAPTIONS = ["a barred spiral galaxy with two loosely wound arms .", "a smooth, round galaxy .", "an edge-on disc galaxy ."]


def save_tiny_models(folder: Path) -> dict[str, str]:
    """Both models in ``folder``; returns the environment variables that name them."""
    torch.manual_seed(0)
    names = [each.name for each in get_scheme("hubble").classes]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: place for place, name in enumerate(names)}}
    GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="resnet10t", **labels)).save_pretrained(
        folder / "classifier"
    )
    GalaxyImageProcessor().save_pretrained(folder / "classifier")
    tokenizer = build_tokenizer(CAPTIONS)
    config = GalaxyCaptionerConfig(
        backbone="resnet10t", vocab_size=len(tokenizer), hidden_size=16, embedding_size=8, attention_size=8
    )
    captioner = GalaxyCaptionerForConditionalGeneration(config)
    captioner.generation_config.suppress_tokens = [0, 1, 2, 3]  # untrained, it might end at once, or say <unk>
    captioner.save_pretrained(folder / "captioner")
    GalaxyCaptionerProcessor(GalaxyImageProcessor(), tokenizer).save_pretrained(folder / "captioner")
    return {f"GALAXY_VISION_{kind.upper()}": str(folder / kind) for kind in ("classifier", "captioner")}


if __name__ == "__main__":
    for name, place in save_tiny_models(Path(sys.argv[1])).items():
        print(f"export {name}={place}")
