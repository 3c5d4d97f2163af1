"""Averages over turned and mirrored images: the same for a turned galaxy, and the mean of what the model says."""

import numpy as np
import pytest
import torch

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.cli import main as cli
from galaxy_vision.inference.rotations import classify
from galaxy_vision.models.decision_tree import conditional_fractions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GalaxyResNetForImageClassification(
        GalaxyResNetConfig(backbone="test_resnet", num_labels=3, predict_votes=True)
    ).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_one_rotation_is_the_model_itself(model, pixels):
    assert torch.equal(classify(model, pixels).logits, model(pixel_values=pixels).logits)


@torch.inference_mode()
@pytest.mark.parametrize("rotations", [4, 8])
def test_a_turned_image_gets_the_same_answer(model, pixels, rotations):
    straight = classify(model, pixels, rotations)
    turned = [torch.rot90(pixels, 1, (-2, -1))] + ([pixels.flip(-1)] if rotations == 8 else [])
    for image in turned:
        again = classify(model, image, rotations)
        torch.testing.assert_close(again.logits, straight.logits)
        torch.testing.assert_close(again.vote_concentration, straight.vote_concentration)
        assert not torch.allclose(model(pixel_values=image).logits, model(pixel_values=pixels).logits)


@torch.inference_mode()
def test_probabilities_and_fractions_are_means_over_the_rotations(model, pixels):
    got = classify(model, pixels, 4)
    outputs = [model(pixel_values=torch.rot90(pixels, turns, (-2, -1))) for turns in range(4)]
    known = torch.stack([output.logits.softmax(-1) for output in outputs]).mean(0)
    torch.testing.assert_close(got.logits.softmax(-1), known)
    fractions = [conditional_fractions(output.vote_concentration.numpy()) for output in outputs]
    np.testing.assert_allclose(
        conditional_fractions(got.vote_concentration.numpy()), np.mean(fractions, axis=0), rtol=1e-4
    )


def test_another_number_of_rotations_is_refused(model, pixels):
    with pytest.raises(ValueError, match="rotations=3 is not one of 1, 4, 8"):
        classify(model, pixels, 3)


def test_a_captioner_cannot_be_evaluated_with_rotations(captioner_run, capsys):
    argv = ["--model", str(captioner_run[0]), "--dataset", "simulated", "--num_simulated", "200", "--rotations", "4"]
    assert cli(["evaluate", *argv]) == 2
    assert "rotations=4 is for a classifier" in capsys.readouterr().err
