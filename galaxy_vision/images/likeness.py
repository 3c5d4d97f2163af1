"""Check whether an image looks like a galaxy cut-out: seven measured properties with limits, and no learned model.

A classifier names a class for any picture. These properties hold for nearly every cut-out that Galaxy Zoo showed (a
galaxy in the middle of a dark sky, brightest at its centre, smooth over a few pixels, of pale colours) and fail for
most photographs, text, noise and blank frames. The result is a warning and not proof: a pale ball on black cloth
passes.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from ..models.pixels import SOME_WHITE, white_share

# Ours; the limits in PROPERTIES were set for these.
SIDE = 64  # px, the side of the reduced image; 0.13 petroR90 per pixel in a Galaxy Zoo cut-out
FRAME = 6  # px, the width of the border of the reduced image, which shows sky
BORDER = np.pad(np.zeros((SIDE - 2 * FRAME, SIDE - 2 * FRAME), bool), FRAME, constant_values=True)
SHARP_SIDE = 128  # px, the side at which sharpness is measured, if the image has so many


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


def measure(image: Image.Image) -> dict[str, float]:
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
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    sharp_side = SHARP_SIDE if side >= SHARP_SIDE else SIDE
    square = image.resize((sharp_side, sharp_side), Image.Resampling.BOX, (left, top, left + side, top + side))
    rgb = np.asarray(square.reduce(sharp_side // SIDE), np.float32) / 255
    grey = rgb.mean(-1)
    sky = float(np.median(grey[BORDER]))
    quarter = np.s_[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    middle = grey[quarter]
    contrast = float(np.quantile(middle, 0.99) - sky)
    smoothness = min(_correlation(middle[1:], middle[:-1]), _correlation(middle[:, 1:], middle[:, :-1]))
    light = ndimage.gaussian_filter(grey, 1.0) - sky
    patches, _ = ndimage.label(light > 0.3 * max(contrast, 1e-6))
    inside = patches[quarter]
    offset, colour = 0.0, 0.0
    if inside.any():
        patch_light = np.bincount(inside[inside > 0], light[quarter][inside > 0])
        patch = patches == int(np.argmax(patch_light))
        row, column = ndimage.center_of_mass(np.where(patch, light, 0))
        offset = float(np.hypot(row - (SIDE - 1) / 2, column - (SIDE - 1) / 2) / SIDE)
        above = np.clip(rgb[patch].mean(0) - np.median(rgb[BORDER], axis=0), 0, None)
        colour = float((above.max() - above.min()) / max(above.max(), 1e-6))
    return {
        "sky": sky,
        "contrast": contrast,
        "smoothness": smoothness,
        "offset": offset,
        "white": white_share(image),
        "colour": colour,
        "sharpness": _sharpness(square) if side >= SHARP_SIDE else 1.0,
    }


def _sharpness(square: Image.Image) -> float:
    """Return the light that differs over 1 px in units of that which differs over 3 px (Gaussian sigmas).

    Standard deviations of the middle quarter of an image of 128 x 128 px; 1 where it is blank.
    """
    quarter = SHARP_SIDE // 4
    middle = np.asarray(square.convert("L"), np.float32)[quarter:-quarter, quarter:-quarter]
    fine, coarse = (float((middle - ndimage.gaussian_filter(middle, sigma, truncate=3)).std()) for sigma in (1, 3))
    return fine / coarse if coarse > 0.1 else 1.0


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation of two arrays; 1 if one of them is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 0 else 1.0


def doubts(image: Image.Image) -> list[Doubt]:
    """Return the reasons why an RGB image does not look like a galaxy; empty if it does."""
    values = measure(image)
    return [limits.doubt for name, limits in PROPERTIES.items() if not limits.low <= values[name] <= limits.high]


def as_positive(image: Image.Image) -> Image.Image | None:
    """Return the positive of a photographic negative, a dark galaxy on a bright sky; None if an image is not one.

    An image is a negative if its border is bright and what it inverts to looks like a galaxy, sharp or blurred.
    """
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("L"))
    if np.median(small[BORDER]) < 128 or measure(image)["sky"] <= 0.5:  # the first is quick, and true of nearly all
        return None
    positive = ImageOps.invert(image)
    return None if {doubt.kind for doubt in doubts(positive)} - {"blurred"} else positive
