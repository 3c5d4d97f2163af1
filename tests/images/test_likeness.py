"""Galaxies pass, and what a visitor may drop for fun does not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage
from sklearn.datasets import load_sample_images

from galaxy_vision.images.decode import read_rgb
from galaxy_vision.images.likeness import BLUR, COARSE, FINE, PROPERTIES, doubts, measure
from galaxy_vision.images.order_statistics import median_of, quantile_of
from galaxy_vision.images.sources import _highest, _smooth


def tomato(background) -> Image.Image:
    """A red ball with a highlight and a green stalk."""
    image = Image.new("RGB", (240, 240), background)
    draw = ImageDraw.Draw(image)
    for step in range(60):
        draw.ellipse(
            [50 + step, 60 + step, 190 - step / 3, 200 - step / 3], fill=(150 + step, 20 + step // 2, 15 + step // 3)
        )
    draw.ellipse([140, 85, 155, 98], fill=(255, 200, 190))
    draw.polygon([(110, 70), (120, 40), (130, 70), (150, 78), (95, 80)], fill=(40, 120, 30))
    return image.filter(ImageFilter.GaussianBlur(2))


def text(colour, background) -> Image.Image:
    image = Image.new("RGB", (240, 240), background)
    for line in range(15):
        ImageDraw.Draw(image).text((4, 4 + 16 * line), "an image of a galaxy in words 0123456789", fill=colour)
    return image


rng = np.random.default_rng(0)
CHINA, FLOWER = (Image.fromarray(photograph) for photograph in load_sample_images().images)
OTHERS = {
    "tomato on a table": (tomato((225, 220, 210)), "its border is bright"),
    "tomato on black": (tomato((0, 0, 0)), "its colours are stronger"),
    "black": (Image.new("RGB", (200, 200)), "nothing in the middle stands out"),
    "grey": (Image.new("RGB", (200, 200), (120, 120, 120)), "nothing in the middle stands out"),
    "white": (Image.new("RGB", (200, 200), (255, 255, 255)), "its border is bright"),
    "noise": (Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)), "it is grainy"),
    "dark noise": (Image.fromarray(rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)), "it is grainy"),
    "print": (text((0, 0, 0), (255, 255, 255)), "its border is bright"),
    "white print on black": (text((255, 255, 255), (0, 0, 0)), "it is grainy or striped"),
    "photograph of a building": (CHINA, "its border is bright"),
    "photograph of a flower": (FLOWER, "its"),
    "gradient": (Image.linear_gradient("L").convert("RGB"), "its border is bright"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_galaxy_is_doubted_for_a_named_reason(name):
    image, reason = OTHERS[name]
    assert any(doubt.reason.startswith(reason) for doubt in doubts(image)), (doubts(image), measure(image))


def test_filters_median_and_quantile_are_those_of_scipy_and_numpy():
    values = np.random.default_rng(1).random((64, 64)).astype(np.float32)
    for matrix, sigma, truncate in ((BLUR, 1, 4), (FINE, 1, 3), (COARSE, 3, 3)):
        expected = ndimage.gaussian_filter(values, sigma, truncate=truncate)
        assert np.allclose(matrix @ values @ matrix.T, expected, atol=1e-5)
    assert np.allclose(_smooth(values), ndimage.gaussian_filter(values, 1.5, mode="nearest", truncate=3), atol=1e-5)
    assert np.array_equal(_highest(values), ndimage.maximum_filter(values, 7))
    row = values.ravel()
    assert median_of(row) == pytest.approx(np.median(row))
    assert median_of(row[:7]) == pytest.approx(np.median(row[:7]))
    for share in (0.01, 0.5, 0.99):
        assert quantile_of(row, share) == pytest.approx(np.quantile(row, share))


def test_simulated_galaxies_pass(galaxies):
    doubted = [doubts(Image.open(io.BytesIO(data))) for data, _, _ in galaxies]
    assert sum(map(bool, doubted)) <= 1, doubted


def test_a_deep_image_passes_after_its_stretch():
    y, x = np.mgrid[:80, :80]
    counts = 1000 + 3000 * np.exp(-np.hypot(x - 40, y - 40) / 5) + rng.normal(0, 20, (80, 80))
    file = io.BytesIO()
    Image.fromarray(counts.astype(np.uint16)).save(file, "PNG")
    assert doubts(read_rgb(file.getvalue())) == []


def test_size_and_turns_do_not_matter(galaxies):
    image = Image.open(io.BytesIO(galaxies[0][0]))
    numbers = list(measure(image).values())
    for other in (image.resize((424, 424)), image.transpose(Image.Transpose.ROTATE_90)):
        assert np.allclose(numbers, list(measure(other).values()), atol=0.03)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (4096, 2)])
def test_images_of_any_shape_are_measured(size):
    assert set(measure(Image.new("RGB", size, (9, 9, 9)))) == set(PROPERTIES) and doubts(Image.new("RGB", size))
