"""Evidence maps, the one that is shown and those of the benchmark: in their place, of their size, of any network."""

import pytest
import timm
import torch
from evidence_methods import gradient_maps, occlusion_maps, sky_of, stage_module, views_of

from galaxy_vision.inference.evidence import blurred, integrated_gradients

SIZES = [64, 112]


def corner_light(pixels: torch.Tensor) -> torch.Tensor:
    """Two scores: the light of the upper right corner, and the darkness of the lower left one."""
    part = pixels.shape[-1] // 4
    right, left = pixels[..., :part, -part:].mean((1, 2, 3)), pixels[..., -part:, :part].mean((1, 2, 3))
    return torch.stack([right, -left], 1)


def corners_of(maps: torch.Tensor) -> list[tuple[bool, bool]]:
    """Return for each map whether its hottest point is in the upper half, and in the right half."""
    side = maps.shape[-1]
    places = [divmod(int(heat.argmax()), side) for heat in maps]
    return [(row < side // 2, column >= side // 2) for row, column in places]


def noise(size: int) -> torch.Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_occlusion_and_integrated_gradients_find_the_corner_on_which_a_score_depends(size):
    pixels = torch.full((1, 3, size, size), 1.0)
    pixels[..., size // 2 :, : size // 2] = -1.0
    occluded = occlusion_maps(corner_light, pixels, torch.zeros(1), side=14)
    integrated = integrated_gradients(corner_light, pixels, torch.zeros(1))
    assert occluded.shape == (2, 14, 14) and integrated.shape == (2, size, size)
    assert corners_of(occluded) == corners_of(integrated) == [(True, True), (False, False)]


def test_integrated_gradients_add_up_to_the_change_of_the_score():
    pixels, filling = noise(64), torch.zeros(1, 3, 1, 1)

    def scores(batch):
        return torch.stack([batch.mean((1, 2, 3)) ** 2, batch[:, 0].amax((1, 2))], 1)

    total = integrated_gradients(scores, pixels, filling, steps=16).sum((1, 2))
    assert torch.allclose(total, (scores(pixels) - scores(torch.zeros_like(pixels)))[0], atol=1e-4)


def test_the_way_back_from_the_views_restores_an_image():
    pixels = blurred(noise(64), 6.0)
    views, back = views_of(pixels, 8, 8)
    assert views.shape == (8, 3, 64, 64)
    inner = (slice(None), slice(8, -8), slice(8, -8))  # edges are repeated
    assert torch.allclose(back(views.transpose(0, 1))[inner], pixels[0][inner], atol=1e-5)


@pytest.mark.parametrize("backbone", ["resnet10t", "tf_efficientnet_lite0", "mobilenetv3_small_050", "regnetx_002"])
def test_every_stage_of_any_network_has_a_map_of_its_stride(backbone):
    torch.manual_seed(0)
    network = timm.create_model(backbone, pretrained=False, num_classes=2).eval().requires_grad_(False)
    maps = gradient_maps(network, network, (1, 2, 3, 4), noise(96))
    assert [tuple(one.shape) for one in maps] == [(2, 1, side, side) for side in (24, 12, 6, 3)]
    assert all(one.isfinite().all() and one.any() for one in maps)


def test_a_stage_that_a_network_does_not_have_is_refused_with_those_that_it_has():
    with pytest.raises(ValueError, match="stride 64, and the maps of this backbone 2, 4, 8, 16, 32"):
        stage_module(timm.create_model("resnet10t", pretrained=False), 5)


def test_the_sky_is_that_of_the_edge_whatever_is_in_the_middle():
    pixels = torch.full((2, 3, 32, 32), 0.25)
    pixels[..., 4:-4, 4:-4] = 7.0
    assert (sky_of(pixels) == 0.25).all()
