"""An image and its reductions to few pixels, which framing and doubts share and which are made once."""

from functools import cached_property

import numpy as np
from PIL import Image

GRID = 64  # px, side of the grid of single pixels, and of the reduced image whose brightness is measured
SHARP_SIDE = 128  # px, side of the reduced square on which galaxies are looked for, and sharpness is measured


class Reduced:
    """An RGB image, and what is measured on few pixels of it, when it is first read.

    Args:
        image: RGB image.
    """

    def __init__(self, image: Image.Image):
        self.image = image

    @cached_property
    def grid(self) -> Image.Image:
        """Single pixels on a grid of 64 x 64, as :func:`~galaxy_vision.models.pixels.white_share` takes them."""
        return self.image.resize((GRID, GRID), Image.Resampling.NEAREST)

    @cached_property
    def white(self) -> float:
        """Share of white pixels, that of :func:`~galaxy_vision.models.pixels.white_share`."""
        rgb = np.asarray(self.grid)
        return np.count_nonzero(rgb[..., 0] & rgb[..., 1] & rgb[..., 2] == 255) / GRID**2

    @cached_property
    def square(self) -> Image.Image:
        """The central square as 128 x 128 px, each the mean of its pixels; as 64 x 64 px where it is smaller."""
        width, height = self.image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        small = SHARP_SIDE if side >= SHARP_SIDE else GRID
        return self.image.resize((small, small), Image.Resampling.BOX, (left, top, left + side, top + side))


def as_reduced(image: Image.Image | Reduced) -> Reduced:
    return image if isinstance(image, Reduced) else Reduced(image)
