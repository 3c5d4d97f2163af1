"""Stretch the brightness of deep images to the 8 bits of a screen."""

import math
from typing import NamedTuple

import numpy as np
from astropy.stats import sigma_clipped_stats
from astropy.visualization import make_lupton_rgb

ROWS_AT_ONCE = 256  # the steps of the stretch take ten times the memory of the rows that they work on
SOFTENING = 5.8
"""Sky sigmas at which the asinh stretch turns from linear to logarithmic.

That of Galaxy Zoo 2 images: ``LUPTON_STRETCH / LUPTON_Q`` of :mod:`galaxy_vision.simulation.camera`, which were fitted
to them, over the sky noise in r there.
"""
INFINITE = 1e100  # larger values are not fluxes, and differences of the largest would overflow
MIN_WHITE = 50.0
"""Smallest brightness, in sky sigmas, that is shown as white. Ours: an image of pure noise stays dark."""


class Stretch(NamedTuple):
    """Parameters of the asinh stretch, in sky sigmas of each band.

    Attributes:
        softening: where it turns from linear to logarithmic.
        white: brightness that is shown as white; None for the brightest pixel of the middle half.
        black: brightness above the sky that is shown as black.
        balance: factors on red, green and blue, which make up for bands of different depth.
    """

    softening: float = SOFTENING
    white: float | None = None
    black: float = -1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)


DEFAULT = Stretch()


def stretch_planes(planes: np.ndarray, stretch: str, parameters: Stretch = DEFAULT) -> tuple[np.ndarray, str]:
    """Stretch one or three deep planes to an 8-bit RGB image.

    The asinh stretch is that of Lupton et al. (2004) in units of the sky noise of each band, so that bands of any unit
    make a picture; the colours are not photometric. It runs from one sigma below the sky to the brightest pixel of the
    middle half, unless ``parameters`` say otherwise.

    Args:
        planes: (1, H, W) grey, or (3, H, W) red, green, blue; any real type.
        stretch: as in :func:`galaxy_vision.read_rgb`.
        parameters: of the asinh stretch.

    Returns:
        (H, W, 3) uint8, and a description of what was done.

    Raises:
        ValueError: more than half of the pixels of a plane are NaN or infinite.
    """
    planes = planes.astype(np.float64)
    finite = np.abs(planes) < INFINITE
    missing = 1 - finite.mean(axis=(1, 2)).min()
    if missing > 0.5:
        raise ValueError(
            f"{missing:.0%} of the pixels are NaN or infinite, more than half; cut out the part that is exposed"
        )
    skies = [
        sigma_clipped_stats(plane[good], sigma=3.0, maxiters=5)[1:] for plane, good in zip(planes, finite, strict=True)
    ]
    for plane, good, (sky, _) in zip(planes, finite, skies, strict=True):
        plane[~good] = sky
    filled = f", {missing:.1%} NaN or infinite pixels at sky level" if missing else ""
    if stretch == "linear":
        low, high = planes.min(), planes.max()
        scaled = (planes - low) / (high - low) if high > low else np.zeros_like(planes)
        grey = np.rint(255 * scaled).astype(np.uint8)
        return _as_pixels(grey), f"linear stretch from {low:.5g} to {high:.5g}{filled}"
    for plane, (sky, sigma) in zip(planes, skies, strict=True):
        plane -= sky
        # An image without noise (a model, or few bits) has no sigma; its peak is set to 500, as in a bright galaxy.
        plane /= sigma if sigma > 0 else max(plane.max(), np.finfo(float).tiny) / 500
    if len(planes) == 3:
        planes *= np.reshape(parameters.balance, (3, 1, 1))
    planes -= parameters.black
    height, width = planes.shape[1:]
    middle = planes[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    white, softening = parameters.white or max(float(middle.mean(0).max()), MIN_WHITE), parameters.softening
    # Lupton's f(I) = asinh(Q I / stretch) / (10 asinh(Q / 10)), solved for the Q and stretch that give this softening
    # and white.
    q = 10 * math.sinh(math.asinh(white / softening) / 10)
    np.clip(planes, 1e-6, white, out=planes)
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, ROWS_AT_ONCE):
        block = planes[:, top : top + ROWS_AT_ONCE]
        red, green, blue = np.broadcast_to(block, (3, *block.shape[1:]))
        rgb[top : top + ROWS_AT_ONCE] = make_lupton_rgb(red, green, blue, minimum=0, stretch=q * softening, Q=q)
    return rgb, f"asinh stretch to {white:.0f} sky sigma{filled}"


def _as_pixels(planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])).transpose(1, 2, 0))
