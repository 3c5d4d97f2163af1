"""Maps of words: on what a word claims depends on, on one scale, and none of words that claim nothing."""

import copy
from types import SimpleNamespace

import numpy as np
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
from galaxy_vision.captions.plan import plan_of
from galaxy_vision.inference.describe import Describer
from galaxy_vision.inference.word_maps import VOTES, WORDS, word_maps
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer


class CornerClassifier(torch.nn.Module):
    """Log-odds of a bar are the contrast of the upper right corner, those of spiral arms a quarter of it."""

    def __init__(self):
        super().__init__()
        config = GalaxyResNetConfig(backbone="resnet10t")
        self.config, self.trees = SimpleNamespace(predict_votes=True), config.decision_trees
        self.device = torch.device("cpu")

    def forward(self, pixel_values):
        part = pixel_values.shape[-1] // 4
        contrast = pixel_values[..., :part, -part:].var((1, 2, 3))
        logs = pixel_values.new_zeros(len(pixel_values), len(GALAXY_ZOO_2.answers))
        for concept, factor in (("bar", 40.0), ("spiral", 10.0)):
            ((_, answers),) = plan_of(GALAXY_ZOO_2).asks[concept]
            logs = logs.index_add(1, torch.tensor(answers), factor * contrast[:, None])
        return SimpleNamespace(vote_concentration=logs.exp())


def describer_that_says(*words: str, classifier=None, size: int = 64) -> Describer:
    """Both models, of which the captioner may write these words only."""
    torch.manual_seed(1)
    tokenizer = build_tokenizer(["a barred spiral galaxy and"])
    config = GalaxyCaptionerConfig(backbone="resnet10t", vocab_size=len(tokenizer), hidden_size=32, image_size=size)
    captioner = GalaxyCaptionerForConditionalGeneration(config).eval()
    allowed = set(tokenizer.convert_tokens_to_ids(list(words)))
    captioner.generation_config.suppress_tokens = sorted(set(range(len(tokenizer))) - allowed)
    captioner.generation_config.max_new_tokens = 4
    describer = Describer.__new__(Describer)
    describer.rotations, describer.captioner = 1, captioner
    describer.image_processor = GalaxyImageProcessor(size={"height": size, "width": size})
    describer.processor = GalaxyCaptionerProcessor(copy.deepcopy(describer.image_processor), tokenizer)
    describer.classifier = classifier or CornerClassifier()
    return describer


def speckled(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [64, 112])
def test_a_word_lights_the_corner_on_which_its_answer_depends_and_nothing_else(size):
    maps = word_maps(describer_that_says("barred", size=size), speckled(200, 160))
    assert set(maps.words) == {"barred"} and set(maps.concepts) == {"bar"} and set(maps.sources) == {VOTES}
    heat = maps.maps[0]
    assert heat.shape == (160, 200) and heat.dtype == np.float32 and heat.min() == 0
    assert heat.max() == pytest.approx(1)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row < 80 and column > 100
    assert heat[80:].max() == heat[:, :100].max() == 0  # the corner is a quarter of the crop wide


def test_words_that_claim_nothing_have_no_map():
    maps = word_maps(describer_that_says("a", "and", "galaxy"), speckled(120, 120))
    assert maps.words and set(maps.concepts) == set(maps.sources) == {None}
    assert maps.maps.shape == (len(maps.words), 120, 120) and not maps.maps.any()


def test_maps_of_all_words_have_one_scale():
    describer = describer_that_says("barred")
    strong = word_maps(describer, speckled(120, 120))
    describer.captioner = describer_that_says("spiral").captioner
    weak = word_maps(describer, speckled(120, 120))
    assert strong.maps[0].max() * strong.scale == pytest.approx(4 * weak.maps[0].max() * weak.scale, rel=1e-3)


def test_without_votes_the_maps_are_those_of_the_captioners_own_words():
    torch.manual_seed(0)
    classifier = GalaxyResNetForImageClassification(
        GalaxyResNetConfig(backbone="resnet10t", predict_votes=False)
    ).eval()
    maps = word_maps(describer_that_says("barred", "and", classifier=classifier), speckled(120, 120))
    assert all(
        source == (WORDS if concept else None) for source, concept in zip(maps.sources, maps.concepts, strict=True)
    )
    assert np.isfinite(maps.maps).all()


def test_a_caption_without_words_has_no_maps():
    maps = word_maps(describer_that_says("<eos>"), speckled(90, 70))
    assert maps.words == [] and maps.maps.shape == (0, 70, 90)


def test_no_trace_of_the_maps_is_left_on_the_models():
    torch.manual_seed(0)
    classifier = GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="resnet10t")).train()
    word_maps(describer_that_says("barred", classifier=classifier), speckled(90, 70))
    assert classifier.training
    assert all(weight.requires_grad and weight.grad is None for weight in classifier.parameters())
