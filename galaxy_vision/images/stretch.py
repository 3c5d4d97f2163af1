"""The stretch that every deep image passes through: brightness of the sky to 8 bits."""

import math

import numpy as np
from astropy.stats import sigma_clipped_stats
from astropy.visualization import make_lupton_rgb

ROWS_AT_ONCE = 256  # of the stretch, whose steps take ten times the memory of the image
SOFTENING = 5.8
"""Sky sigmas at which the asinh stretch turns from linear to logarithmic: that of Galaxy Zoo 2 images (``simulation.py``)."""
INFINITE = 1e100  # what is beyond is no flux, and differences of it would overflow
MIN_WHITE = 50.0
"""Sky sigmas that are at least white, so that an image of noise stays dark."""


def stretch_planes(planes: np.ndarray, stretch: str) -> tuple[np.ndarray, str]:
    """Deep planes to the screen.

    The asinh stretch is that of Lupton et al. (2004) in units of the sky noise of each band, so that bands of any unit
    make a picture; colours are for the eye. It runs from one sigma below the sky to the brightest pixel of the middle
    half.

    Args:
        planes: (1, H, W) grey, or (3, H, W) red, green, blue; any real type.
        stretch: as in :func:`galaxy_vision.images.read_rgb`.

    Returns:
        (H, W, 3) uint8, and what was done in words.

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
        # An image without noise (a model, or few bits) has no sigma: its peak then stands for 500, as in a bright
        # galaxy.
        plane /= sigma if sigma > 0 else max(plane.max(), np.finfo(float).tiny) / 500
    planes += 1.0
    height, width = planes.shape[1:]
    middle = planes[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    white = max(float(middle.mean(0).max()), MIN_WHITE)
    # Lupton's f(I) = asinh(Q I / stretch) / (10 asinh(Q / 10)), solved for the Q and stretch with this softening and
    # white.
    q = 10 * math.sinh(math.asinh(white / SOFTENING) / 10)
    np.clip(planes, 1e-6, white, out=planes)
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, ROWS_AT_ONCE):
        block = planes[:, top : top + ROWS_AT_ONCE]
        red, green, blue = np.broadcast_to(block, (3, *block.shape[1:]))
        rgb[top : top + ROWS_AT_ONCE] = make_lupton_rgb(red, green, blue, minimum=0, stretch=q * SOFTENING, Q=q)
    return rgb, f"asinh stretch to {white:.0f} sky sigma{filled}"


def _as_pixels(planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])).transpose(1, 2, 0))
