"""Random views of galaxies are what was asked for, and of light that was there."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch.nn import functional as F

from galaxy_vision import GalaxyImageProcessor
from galaxy_vision.data.augmentation import MAX_BLUR, Augmentation, augment
from galaxy_vision.training.arguments import TrainingRun
from galaxy_vision.training.limits import MOST
from galaxy_vision.training.rows import with_margin

STILL = {"max_zoom": 1.0, "max_shift": 0.0}


def turned_one_by_one(image: np.ndarray, angle: float, mirror: float, zoom: float, shift: np.ndarray) -> np.ndarray:
    """(C, H, W) seen through a similarity, pixel by pixel with scipy.

    The light at ``p`` comes from ``matrix @ p + shift``.

    Coordinates are in pixels from the middle, x to the right and y down.
    """
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = zoom * rotation @ np.diag([mirror, 1.0])
    height, width = image.shape[1:]
    y, x = np.mgrid[:height, :width] - (height - 1) / 2
    from_x, from_y = np.tensordot(matrix, np.stack([x, y]), 1) + shift[:, None, None]
    places = np.stack([from_y, from_x]) + (height - 1) / 2
    return np.stack([map_coordinates(channel, places, order=1, mode="reflect") for channel in image])


def test_a_whole_batch_is_augmented_as_one_image_after_the_other():
    size, generator = 48, torch.Generator().manual_seed(11)
    images = F.interpolate(torch.rand(12, 3, 12, 12, generator=generator), size=(size, size), mode="bicubic")
    batch = augment(images, torch.Generator().manual_seed(5), Augmentation(max_zoom=1.15, max_shift=0.04))
    drawn = torch.Generator().manual_seed(5)
    angle, zoom, dx, dy = torch.rand(4, 12, generator=drawn).double().numpy()
    mirror = torch.randint(0, 2, (12,), generator=drawn).numpy() * 2.0 - 1.0
    assert {-1.0, 1.0} <= set(mirror)
    for index in range(12):
        shift = np.array([0.04 * (2 * dx[index] - 1), 0.04 * (2 * dy[index] - 1)]) * size
        known = turned_one_by_one(
            images[index].double().numpy(),
            2 * np.pi * angle[index],
            mirror[index],
            1.15 ** (2 * zoom[index] - 1),
            shift,
        )
        assert np.abs(batch[index].numpy() - known).max() < 1e-4


def test_augmentation_keeps_the_galaxy_and_its_light_and_repeats():
    y, x = torch.meshgrid(torch.arange(65) - 32.0, torch.arange(65) - 32.0, indexing="ij")
    galaxy = torch.exp(-(x**2 + y**2) / 80)[None, None].repeat(16, 3, 1, 1)
    one = augment(galaxy, torch.Generator().manual_seed(4))
    assert torch.equal(one, augment(galaxy, torch.Generator().manual_seed(4)))
    assert not torch.equal(one[0], one[1])
    assert (one.amax(dim=(1, 2, 3)) > 0.97).all()
    assert (one.sum((1, 2, 3)) / galaxy.sum((1, 2, 3)) - 1).abs().max() < 0.4  # the square of the zoom
    turned = augment(galaxy, torch.Generator().manual_seed(4), Augmentation(max_zoom=1.0, max_shift=0.0))
    assert torch.allclose(turned, galaxy, atol=0.02)  # a round galaxy has no direction


def seeded(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_is_turned_in_from_a_margin_is_sky_and_from_none_a_mirror_image():
    """A ring of light just outside of the crop is seen from a margin, where it is; without one it is never seen."""
    wide = torch.zeros(8, 3, 96, 96)
    wide[:, :, 10:86, 10:86] = 1.0
    wide[:, :, 16:80, 16:80] = 0.5  # the crop of 64 px
    how = Augmentation(max_zoom=1.3, max_shift=0.1)
    from_margin, from_crop = augment(wide, seeded(), how, 64), augment(wide[..., 16:80, 16:80], seeded(), how)
    assert from_margin.shape == from_crop.shape == (8, 3, 64, 64)
    assert (from_crop - 0.5).abs().max() < 1e-5
    seen = (from_margin > 0.75).flatten(1).any(1)
    assert seen.sum() >= 6
    # The same view, wherever it does not leave the crop.
    inside = augment(torch.ones(8, 3, 64, 64), seeded(), how)
    assert torch.allclose(from_margin[..., 28:36, 28:36], inside[..., 28:36, 28:36] * 0.5)


def test_a_view_without_turns_of_an_image_with_margin_is_its_middle():
    wide = torch.rand(4, 3, 96, 96, generator=seeded())
    views = augment(wide, seeded(0), Augmentation(**STILL), 64)
    # Every one is turned by some angle about the same middle: the mean over a small disc stays.
    y, x = np.mgrid[:64, :64] - 31.5
    disc = torch.from_numpy(np.hypot(x, y) < 20)
    assert torch.allclose(views[..., disc].mean(-1), wide[..., 16:80, 16:80][..., disc].mean(-1), atol=0.01)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_blur": 1.5},
        {"max_noise": 0.1},
        {"max_brightness": 1.5},
        {"max_colour": 1.3},
        {"grey_share": 0.5},
        {"max_blur": 2.0, "max_noise": 0.1, "max_brightness": 1.5, "max_colour": 1.2, "grey_share": 0.3},
    ],
    ids=lambda limits: "+".join(limits),
)
def test_light_is_changed_after_the_view_within_its_limits_and_repeats(limits):
    y, x = torch.meshgrid(torch.arange(48) - 23.5, torch.arange(48) - 23.5, indexing="ij")
    galaxy = 0.5 * torch.exp(-(x**2 + y**2) / 60) * torch.tensor([1.0, 0.7, 0.4])[:, None, None]
    mean, std = torch.tensor([0.04, 0.03, 0.02]), torch.tensor([0.1, 0.2, 0.3])
    batch = ((galaxy - mean[:, None, None]) / std[:, None, None]).repeat(32, 1, 1, 1)
    plain = augment(batch, seeded(), mean=mean, std=std)
    views = augment(batch, seeded(), Augmentation(**limits), mean=mean, std=std)
    assert torch.equal(views, augment(batch, seeded(), Augmentation(**limits), mean=mean, std=std))
    light, before = (values * std[:, None, None] + mean[:, None, None] for values in (views, plain))
    assert 0 <= light.min() + 1e-6 and light.max() <= 1 + 1e-6
    factor = limits.get("max_brightness", 1) * limits.get("max_colour", 1)
    if limits.keys() <= {"max_brightness", "max_colour"}:
        ratios = light.sum((2, 3)) / before.sum((2, 3))
        assert 1 / factor - 1e-3 <= ratios.min() < 0.93 and 1.07 < ratios.max() <= factor + 1e-3
        same = ratios.std(1) < 1e-3  # of the three colours of a view
        assert same.all() if "max_brightness" in limits else not same.any()
    if limits.keys() == {"grey_share"}:
        grey = (light.std(1) < 1e-6).flatten(1).all(1)
        assert 8 <= grey.sum() <= 24
        assert torch.allclose(light[~grey], before[~grey], atol=1e-6)
    if limits.keys() == {"max_noise"}:
        noise = (light - before)[:, :, 20:28, 20:28].flatten(1).std(1)
        assert noise.max() <= 0.12 and noise.min() < 0.03 and noise.median() > 0.02
    if limits.keys() == {"max_blur"}:
        assert (light.amax((1, 2, 3)) <= before.amax((1, 2, 3)) + 1e-6).all()
        assert torch.allclose(light.sum((1, 2, 3)), before.sum((1, 2, 3)), rtol=0.01)


def test_a_blur_is_the_gaussian_of_its_sigma():
    point = torch.zeros(64, 1, 33, 33)
    point[:, :, 16, 16] = 1.0
    views = augment(point, seeded(), Augmentation(**STILL, max_blur=1.2))
    plain = augment(point, seeded(), Augmentation(**STILL))
    drawn = seeded()
    torch.rand(4, 64, generator=drawn), torch.randint(0, 2, (64,), generator=drawn)
    for view, before, sigma in zip(views, plain, torch.rand(64, generator=drawn) * 1.2, strict=True):
        known = gaussian_filter(before[0].double().numpy(), max(float(sigma), 1e-3), radius=4)
        assert np.abs(view[0].numpy() - known).max() < 1e-5


def test_the_cache_with_a_margin_shows_the_same_scale():
    processor = GalaxyImageProcessor(size={"height": 64, "width": 64}, crop_fraction=0.6)
    wider = with_margin(processor, 1.5)
    assert (wider.size["height"], round(wider.crop_fraction, 6)) == (96, 0.9)
    assert (processor.size["height"], processor.crop_fraction) == (64, 0.6)
    assert with_margin(processor, 1.0) is processor
    image = F.interpolate(torch.rand(1, 3, 40, 40, generator=seeded()), size=320, mode="bicubic").clamp(0, 1)[0]
    image = (image * 255).to(torch.uint8)
    middle = wider.crop_and_resize(image)[:, 16:80, 16:80].float() - processor.crop_and_resize(image).float()
    assert middle[:, 2:-2, 2:-2].abs().max() <= 1  # at its edge the crop has no neighbours to be averaged with


@pytest.mark.parametrize(
    ("settings", "message"),
    [({name: limit * 1.5}, f"{name}={limit * 1.5} is above {limit}") for name, limit in MOST.items()]
    + [
        ({"max_zoom": 0.9}, "max_zoom=0.9 is below 1"),
        ({"margin": 1.7}, "margin=1.7 is above 1.667, 1 / crop_fraction"),
        ({"margin": 1.5, "augmentation": False}, "margin=1.5 is for the augmentation, which is off"),
    ],
    ids=str,
)
def test_a_view_of_another_galaxy_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingRun(**settings)
    assert MAX_BLUR == MOST["max_blur"]
