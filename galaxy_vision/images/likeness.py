"""Check whether an image looks like a galaxy cut-out: seven measured properties with limits, and no learned model.

A classifier names a class for any picture. These properties hold for nearly every cut-out that Galaxy Zoo showed (a
galaxy in the middle of a dark sky, brightest at its centre, smooth over a few pixels, of pale colours) and fail for
most photographs, text, noise and blank frames. The result is a warning and not proof: a pale ball on black cloth
passes.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from ..models.pixels import SOME_WHITE
from .order_statistics import median_of, quantile_of
from .reduced import GRID, SHARP_SIDE, Reduced, as_reduced

# Ours; the limits in PROPERTIES were set for these.
SIDE = GRID  # px, the side of the reduced image; 0.13 petroR90 per pixel in a Galaxy Zoo cut-out
FRAME = 6  # px, the width of the border of the reduced image, which shows sky
BORDER = np.flatnonzero(np.pad(np.zeros((SIDE - 2 * FRAME, SIDE - 2 * FRAME), bool), FRAME, constant_values=True))
QUARTER = np.s_[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]


def _blur(side: int, sigma: float, truncate: float) -> np.ndarray:
    """Matrix that smooths the columns of `side` rows: for small images the fastest form of a Gaussian filter."""
    return ndimage.gaussian_filter1d(np.eye(side, dtype=np.float32), sigma, axis=0, truncate=truncate)


BLUR = _blur(SIDE, 1, 4)
FINE, COARSE = (_blur(SHARP_SIDE // 2, sigma, 3) for sigma in (1, 3))


class Doubt(NamedTuple):
    """Why what a model says of an image may mean nothing.

    Attributes:
        kind: one word, to select by: see docs/frames.md.
        reason: for a reader.
    """

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class Property(NamedTuple):
    """The limits of a measured property of galaxy images, and what is doubted for values below or above them."""

    low: float
    high: float
    doubt: Doubt


# The limits were set just outside the values of 600 Galaxy Zoo 2 images: lab_notes.md, "Does it look like a galaxy?".
PROPERTIES = {
    "sky": Property(-1, 0.15, Doubt("not_a_galaxy", "its border is bright, and the sky round a galaxy is dark")),
    "contrast": Property(0.12, 2, Doubt("blank", "nothing in the middle stands out from the border")),
    "smoothness": Property(0.50, 2, Doubt("noise", "it is grainy or striped, and galaxies are smooth")),
    "offset": Property(-1, 0.30, Doubt("off_centre", "its brightest part is not in the middle")),
    "white": Property(
        -1, SOME_WHITE, Doubt("saturated", "much of it is white: overexposed, or cut from more than 8 bits")
    ),
    "colour": Property(-1, 0.72, Doubt("not_a_galaxy", "its colours are stronger than those of galaxies")),
    "sharpness": Property(0.26, 2, Doubt("blurred", "it is smoother than the images that the model has learned from")),
}
"""Sharpness: of 400 challenge images .5 % are below .32, and of those blurred by sigma = 2 px of 212, which takes
RMSE-37 from .089 to .116, 95 % are below .26: lab_notes.md, "Doubts"."""


def measure(image: Image.Image | Reduced) -> dict[str, float]:
    """Measure the seven properties of an RGB image on its central square, reduced to 64 x 64 px of brightness 0 to 1.

    * sky: median brightness of the border;
    * contrast: 99 % quantile of the brightness of the middle quarter, minus the sky;
    * smoothness: correlation of the brightness of neighbouring pixels in the middle quarter, the smaller of the two
      directions;
    * offset: distance from the centre of the image to the centre of light of the brightest connected patch near the
      middle, in units of the side;
    * white: share of pixels that are 255 in all colours;
    * colour: saturation (max - min) / max of the light of that patch, with the sky subtracted;
    * sharpness: light that differs over 1 px in units of that which differs over 3 px, of 128; 1 for smaller squares.
    """
    reduced = as_reduced(image)
    square = reduced.square
    small = np.asarray(square.reduce(square.width // SIDE), np.float32)
    planes = [np.ascontiguousarray(small[..., channel]) / 255 for channel in range(3)]
    grey = (planes[0] + planes[1] + planes[2]) / 3
    sky = float(median_of(grey.ravel()[BORDER]))
    middle = grey[QUARTER]
    contrast = quantile_of(middle, 0.99) - sky
    smoothness = min(_correlation(middle[1:], middle[:-1]), _correlation(middle[:, 1:], middle[:, :-1]))
    light = BLUR @ grey @ BLUR.T - sky
    patches, _ = ndimage.label(light > 0.3 * max(contrast, 1e-6))
    inside = patches[QUARTER]
    offset, colour = 0.0, 0.0
    if inside.any():
        patch_light = np.bincount(inside[inside > 0], light[QUARTER][inside > 0])
        patch = patches == int(np.argmax(patch_light))
        patch_light, centre = np.where(patch, light, 0), np.arange(SIDE) - (SIDE - 1) / 2
        rows, columns = patch_light.sum(1, dtype=float), patch_light.sum(0, dtype=float)
        offset = math.hypot(rows @ centre, columns @ centre) / rows.sum() / SIDE
        above = [max(float(plane[patch].mean()) - float(median_of(plane.ravel()[BORDER])), 0.0) for plane in planes]
        colour = (max(above) - min(above)) / max(*above, 1e-6)
    return {
        "sky": sky,
        "contrast": contrast,
        "smoothness": smoothness,
        "offset": offset,
        "white": reduced.white,
        "colour": colour,
        "sharpness": _sharpness(square) if square.width == SHARP_SIDE else 1.0,
    }


def _sharpness(square: Image.Image) -> float:
    """Return the light that differs over 1 px in units of that which differs over 3 px (Gaussian sigmas).

    Standard deviations of the middle quarter of an image of 128 x 128 px; 1 where it is blank.
    """
    quarter = SHARP_SIDE // 4
    middle = np.asarray(square.convert("L").crop((quarter, quarter, 3 * quarter, 3 * quarter)), np.float32)
    fine, coarse = (float((middle - blur @ middle @ blur.T).std()) for blur in (FINE, COARSE))
    return fine / coarse if coarse > 0.1 else 1.0


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation of two arrays; 1 if one of them is constant."""
    x, y = (x - x.mean()).ravel(), (y - y.mean()).ravel()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else 1.0


def doubts(image: Image.Image | Reduced) -> list[Doubt]:
    """Return the reasons why an RGB image does not look like a galaxy; empty if it does."""
    values = measure(image)
    return [limits.doubt for name, limits in PROPERTIES.items() if not limits.low <= values[name] <= limits.high]


def as_positive(image: Image.Image | Reduced) -> Image.Image | None:
    """Return the positive of a photographic negative, a dark galaxy on a bright sky; None if an image is not one.

    An image is a negative if its border is bright and what it inverts to looks like a galaxy, sharp or blurred.
    """
    reduced = as_reduced(image)
    grid = np.asarray(reduced.grid.convert("L")).ravel()[BORDER]
    if median_of(grid) < 128 or measure(reduced)["sky"] <= 0.5:  # the first is quick, and true of nearly all
        return None
    positive = ImageOps.invert(reduced.image)
    return None if {doubt.kind for doubt in doubts(positive)} - {"blurred"} else positive
