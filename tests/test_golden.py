"""The committed models say what they said when their outputs were written down, and would learn alike."""

import json
import runpy

import pytest
from conftest import REPOSITORY

GOLDEN = json.loads((REPOSITORY / "tests" / "golden" / "checkpoints.json").read_text())


@pytest.fixture(scope="module")
def now() -> dict:
    return runpy.run_path(str(REPOSITORY / "tests" / "golden" / "write.py"))["outputs"]()


@pytest.mark.parametrize("name", ["probabilities", "fractions"])
def test_the_classifier_says_what_it_said(name, now):
    assert len(GOLDEN["classifier"][name]) == len(GOLDEN["images"]) == 12
    for image, then, today in zip(GOLDEN["images"], GOLDEN["classifier"][name], now["classifier"][name], strict=True):
        assert today == pytest.approx(then, rel=1e-3, abs=1e-5), image


@pytest.mark.parametrize("search", ["greedy", "beam 4"])
def test_the_captioner_writes_what_it_wrote(search, now):
    assert now["captioner"][search] == GOLDEN["captioner"][search]


@pytest.mark.parametrize("model", ["classifier", "captioner"])
def test_a_step_of_training_would_move_each_part_of_the_weights_as_far(model, now):
    assert now[model]["loss"] == pytest.approx(GOLDEN[model]["loss"], rel=1e-4)
    assert now[model]["gradient_norms"] == pytest.approx(GOLDEN[model]["gradient_norms"], rel=1e-3)
