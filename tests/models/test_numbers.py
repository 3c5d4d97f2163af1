"""A model of numbers: their values and errors are in the units of the labels, in every view and after loading."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification, GalaxyResNetModel
from galaxy_vision.inference.openvino import to_openvino
from galaxy_vision.inference.rotations import classify
from galaxy_vision.models.losses import gaussian_nll


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    settings = {"backbone": "test_resnet", "image_size": 32, "predict_votes": False, "id2label": {0: "z", 1: "mass"}}
    config = GalaxyResNetConfig(**settings, problem_type="regression", predict_errors=True)
    model = GalaxyResNetForImageClassification(config).eval()
    model.label_mean.copy_(torch.tensor([0.1, 10.0]))
    model.label_scale.copy_(torch.tensor([0.05, 2.0]))
    return model


def test_the_loss_is_the_likelihood_of_a_gaussian_in_units_of_the_scale():
    values, errors = torch.tensor([[1.0, 5.0]]), torch.tensor([[2.0, 1.0]])
    losses = gaussian_nll(values, errors, torch.tensor([[5.0, torch.nan]]), torch.tensor([4.0, 1.0]))
    normal = torch.distributions.Normal(1.0, 2.0)
    expected = -normal.log_prob(torch.tensor(5.0)) - 0.5 * torch.tensor(2 * torch.pi).log() - torch.tensor(4.0).log()
    assert losses[0, 1] == 0 and losses[0, 0] == pytest.approx(expected.item(), abs=1e-6)
    with pytest.raises(ValueError, match=r"labels of shape \(1, 3\) are not numbers of shape \(1, 2\)"):
        gaussian_nll(values, errors, torch.zeros(1, 3), torch.ones(2))


def test_units_and_the_error_head_are_saved_and_older_code_would_refuse_the_format(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = GalaxyResNetForImageClassification.from_pretrained(tmp_path).eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        one, two = model(pixel_values=pixels), loaded(pixel_values=pixels)
    assert torch.equal(one.logits, two.logits) and torch.equal(one.label_errors, two.label_errors)
    assert loaded.config.format_version == 3 and (two.label_errors > 0).all()
    assert GalaxyResNetModel.from_pretrained(tmp_path).config.predict_errors
    assert GalaxyResNetConfig().format_version == 1
    with pytest.raises(
        StrictDataclassError, match="predict_errors=True is for numbers; set problem_type to regression"
    ):
        GalaxyResNetConfig(predict_errors=True)


def test_the_error_of_turned_views_holds_their_scatter(model):
    pixels = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        views = [model(pixel_values=torch.rot90(pixels, turns, (-2, -1))) for turns in range(4)]
        mean = classify(model, pixels, 4)
    values = torch.stack([view.logits for view in views])
    variance = torch.stack([view.label_errors for view in views]).square().mean(0) + values.var(0, correction=0)
    assert torch.allclose(mean.logits, values.mean(0), atol=1e-5)
    assert torch.allclose(mean.label_errors, variance.sqrt(), rtol=1e-4)


def test_several_labels_are_averaged_as_probabilities(model):
    settings = {"backbone": "test_resnet", "image_size": 32, "predict_votes": False}
    config = GalaxyResNetConfig(**settings, problem_type="multi_label_classification", id2label={0: "a", 1: "b"})
    labels, pixels = GalaxyResNetForImageClassification(config).eval(), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        views = [labels(pixel_values=torch.rot90(pixels, turns, (-2, -1))).logits.sigmoid() for turns in range(4)]
        mean = classify(labels, pixels, 4).logits.sigmoid()
    assert torch.allclose(mean, torch.stack(views).mean(0), atol=1e-5)


def test_a_model_of_numbers_has_no_openvino_graph(model):
    pytest.importorskip("openvino")
    with pytest.raises(ValueError, match="a model of numbers with errors has no OpenVINO graph; use backend=torch"):
        to_openvino(model, 32)
