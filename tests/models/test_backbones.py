"""Which networks of timm may be the backbone of a model, and that they serve wherever a ResNet does."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.inference.explain import explain
from galaxy_vision.models.strict_loading import check_backbone, check_resnet

FITTING = ("resnet18", "resnet50d.ra2_in1k", "tf_efficientnet_lite0", "mobilenetv2_050", "convnext_atto", "regnetx_002")

UNFIT = {
    "nothing": "backbone='nothing' is not a model of timm; use for example resnet10t",
    "": "backbone='' is not a model of timm",
    "hf-hub:timm/resnet18.a1_in1k": "'hf-hub:timm/resnet18.a1_in1k' is not a model of timm",
    "local-dir:resnet18": "'local-dir:resnet18' is not a model of timm",
    "../resnet18": "'../resnet18' is not a model of timm",
    "vit_tiny_patch16_224": "'vit_tiny_patch16_224' does not give feature maps of an image of 96 pixels; use a conv",
    "mixer_s16_224": "'mixer_s16_224' does not give feature maps of an image of 96 pixels",
    "swin_tiny_patch4_window7_224": "'swin_tiny_patch4_window7_224' does not give feature maps of an image of 96",
    "xcit_nano_12_p8_224": "'xcit_nano_12_p8_224' does not give feature maps with a stride of 32 pixels",
    "mobilenetv3_small_050": "'mobilenetv3_small_050' has layers between its feature maps and its head",
}


@pytest.mark.parametrize("name", FITTING)
def test_networks_that_give_feature_maps_are_taken(name):
    check_backbone(name)


@pytest.mark.parametrize(("name", "sentence"), UNFIT.items(), ids=UNFIT)
def test_other_names_are_refused_in_one_sentence(name, sentence):
    with pytest.raises(ValueError, match="backbone=") as refused:
        check_backbone(name)
    assert sentence in str(refused.value) and "use " in str(refused.value) and "\n" not in str(refused.value)


def test_a_captioner_says_that_it_needs_a_resnet():
    check_resnet("resnet10t")
    with pytest.raises(ValueError, match="'tf_efficientnet_lite0' is not a timm ResNet, whose stages a captioner"):
        GalaxyCaptionerForConditionalGeneration(GalaxyCaptionerConfig(backbone="tf_efficientnet_lite0"))


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="tf_efficientnet_lite0", num_labels=3)).eval()


@torch.no_grad()
def test_an_efficientnet_gives_the_maps_of_its_stages_and_what_its_head_pools(lite, tmp_path):
    lite.save_pretrained(tmp_path)
    features = AutoModel.from_pretrained(tmp_path, trust_remote_code=False).eval()
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    plain, with_maps = lite(pixels), lite(pixels, output_hidden_states=True)
    assert torch.equal(plain.logits, with_maps.logits)
    assert [maps.shape[-1] for maps in with_maps.hidden_states] == [32, 16, 8, 4, 2]
    for outputs in (features(pixels), features(pixels, output_hidden_states=True)):
        assert outputs.last_hidden_state.shape == (2, 1280, 2, 2)
        assert torch.allclose(outputs.last_hidden_state.mean((2, 3)), outputs.pooler_output, atol=1e-6)
        assert torch.allclose(lite.classifier(outputs.pooler_output), plain.logits, atol=1e-5)


def test_all_of_an_efficientnet_learns(lite):
    pixels, votes = torch.rand(2, 3, 64, 64), torch.full((2, 37), 3.0)
    lite(pixels, labels=torch.tensor([0, 2]), votes=votes).loss.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in lite.parameters())
    lite.zero_grad()


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_an_efficientnet_is_explained_at_each_of_its_stages(lite, stage):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8))
    heat = explain(lite, GalaxyImageProcessor(), image, "LABEL_1", stage=stage)
    assert heat.shape == (80, 100) and 0 < heat.max() <= 1
