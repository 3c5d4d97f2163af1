"""Both models learn: sixteen galaxies are known by heart after a while, each by its own class and its own caption."""

import io

import pytest
import torch
from PIL import Image

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer

NUM_GALAXIES, SIZE = 16, 32


@pytest.fixture(scope="module")
def sixteen(galaxies):
    """Pixels (16, 3, 32, 32) and a caption of each galaxy."""
    torch.manual_seed(0)
    processor = GalaxyImageProcessor(size={"height": SIZE, "width": SIZE})
    images = [Image.open(io.BytesIO(jpeg)) for jpeg, _, _ in galaxies[:NUM_GALAXIES]]
    captions = [write_captions(claims_from_votes(votes), 1, row)[0] for row, (_, votes, _) in enumerate(galaxies)]
    return processor(images, return_tensors="pt")["pixel_values"], captions[:NUM_GALAXIES]


def learn(model: torch.nn.Module, inputs: dict, steps: int) -> torch.nn.Module:
    """The model after so many steps on all sixteen galaxies, in evaluation mode."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        model.train()(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_sixteen_galaxies_of_random_classes_are_classified_by_heart(sixteen):
    pixels, _ = sixteen
    labels = torch.randint(0, 4, (NUM_GALAXIES,), generator=torch.Generator().manual_seed(1))
    names = {str(number): number for number in range(4)}
    config = GalaxyResNetConfig(
        backbone="test_resnet", image_size=SIZE, predict_votes=False, label2id=names, id2label=dict(enumerate(names))
    )
    model = learn(GalaxyResNetForImageClassification(config), {"pixel_values": pixels, "labels": labels}, steps=60)
    with torch.no_grad():
        probabilities = model(pixel_values=pixels).logits.softmax(-1)
    assert probabilities[torch.arange(NUM_GALAXIES), labels].min() > 0.5  # more than all others together


def test_sixteen_galaxies_are_captioned_by_heart(sixteen):
    pixels, captions = sixteen
    assert len(set(captions)) > NUM_GALAXIES / 2
    tokenizer = build_tokenizer(captions)
    labels = tokenizer(captions, padding=True, return_tensors="pt")["input_ids"]
    labels = labels.masked_fill(labels == tokenizer.pad_token_id, -100)
    config = GalaxyCaptionerConfig(
        backbone="test_resnet", image_size=SIZE, hidden_size=64, vocab_size=len(tokenizer), drop_rate=0.0
    )
    model = GalaxyCaptionerForConditionalGeneration(config)
    model = learn(model, {"pixel_values": pixels, "labels": labels}, steps=120)
    assert (
        GalaxyCaptionerProcessor(GalaxyImageProcessor(), tokenizer).batch_decode(model.generate(pixel_values=pixels))
        == captions
    )
