"""Measure petroR90 of a galaxy from the levels of the screen around its centre.

The weights were fitted to images of Galaxy Zoo, whose true radius is known, by ``benchmarks/framing.py --fit``;
lab_notes.md, "Framing", has the scatter that is left on other galaxies, and that of sep and photutils
(benchmarks/framing_rivals.py).

Neighbours are taken off by symmetry, as the deblender of SDSS does (Lupton et al. 2001): where a pixel is much brighter
than the one opposite the centre, the light of a neighbour is on it, and it gets the value of the other.
"""

import numpy as np

from .order_statistics import median_of

# Ours; chosen on challenge galaxies of the training split: lab_notes.md, "Framing".
REACH = 46  # px, how far profiles go; in a Galaxy Zoo cut-out petroR90 is 15.1 px
SOFTENING = 51  # levels of 255; light = sinh(level / 51) undoes the Lupton stretch that `simulation` fitted to SDSS
CONTRAST = 5  # light = sinh(5 level / level of the centre) is the same for a brighter image of the galaxy
ISOPHOTES = np.array((0.85, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05))  # levels in units of that of the centre
PETROSIAN = np.array((0.1, 0.2, 0.3, 0.5))  # ratios of local to mean surface brightness
TOTAL = 1  # of PETROSIAN, whose double radius holds all flux (Strauss et al. 2002)
FLUXES = np.array((0.2, 0.35, 0.5, 0.65, 0.8, 0.9))  # shares of that flux
CONSTANT, EXPONENT = 0.621, 0.766
WEIGHTS = (
    -0.009,
    -0.123,
    -0.125,
    0.01,
    -0.005,
    0.013,
    0.129,
    0.405,
    -0.071,
    -0.003,
    0.017,
    0.133,
    -0.016,
    0.056,
    0.05,
    0.071,
    0.098,
    -0.085,
    0.042,
    0.01,
    0.036,
    0.071,
    -0.032,
    0.104,
    0.046,
    0.014,
    0.107,
    0.049,
)
"""log(petroR90) = CONSTANT + EXPONENT log(r) + WEIGHTS @ log(radii / r); r is the median of the :func:`log_radii`.

They were fitted to images whose scale is off by a standard deviation of .3, half of them .55 to 1.8 times as bright as
Galaxy Zoo's. So what is measured is drawn to a Galaxy Zoo cut-out, and :data:`DRAWN` says how much.
"""
DRAWN = 0.76
"""By how much the measured logarithm of petroR90 grows with the true one, at one scale of the image."""


def clean_window(levels: np.ndarray, x: float, y: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Take the levels about a centre, without neighbours, and the ring of each pixel.

    Args:
        levels: (H, W) above the sky.
        x: column of the centre.
        y: row.
        noise: standard deviation of the sky.

    Returns:
        (h, w) float32, and (h * w,) integers, the whole distances from the centre. The window goes :data:`REACH` px
        from the centre, as far as the image does.
    """
    left, top = max(round(x) - REACH, 0), max(round(y) - REACH, 0)
    window = levels[top : round(y) + REACH + 1, left : round(x) + REACH + 1]
    height, width = window.shape
    x, y = x - left, y - top
    # Column c is opposite of column 2 x - c, where there is one.
    across, down = round(2 * x), round(2 * y)
    columns = slice(max(across - width + 1, 0), min(across + 1, width))
    rows = slice(max(down - height + 1, 0), min(down + 1, height))
    clean, opposite = window.copy(), window[rows, columns][::-1, ::-1]
    is_neighbour = window[rows, columns] - opposite > 3 * noise + 0.2 * np.abs(opposite)
    np.copyto(clean[rows, columns], opposite, where=is_neighbour)
    down, across = ((np.arange(height) - y) ** 2).astype(np.float32), ((np.arange(width) - x) ** 2).astype(np.float32)
    return clean, np.sqrt(down[:, None] + across).astype(np.intp).ravel()


def profile(values: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean values of the rings of radius 0 to 1, 1 to 2, ... px about a centre, and the mean values inside of each.

    No ring is brighter than the ones inside of it: what is left of a neighbour is not counted.
    """
    count = np.bincount(ring)
    brightness = np.minimum.accumulate(np.bincount(ring, values.ravel())[count > 0] / count[count > 0])
    edges = np.arange(len(brightness) + 1) ** 2
    return brightness, np.cumsum(brightness * np.diff(edges)) / edges[1:]


def crossings(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Radii (px) where a profile first falls below limits; the last radius where it does not."""
    falling = np.minimum.accumulate(values[1:])
    ring = np.searchsorted(-falling, -limits, side="right")
    inside = np.minimum(ring, len(values) - 2)
    share = (values[inside] - limits) / np.maximum(values[inside] - values[inside + 1], 1e-9)
    return np.where(ring < len(falling), np.maximum(ring + 0.5 + share, 0.5), len(values))


def log_radii(levels: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Logarithms of radii (px) of a clean window: ISOPHOTES, then PETROSIAN and FLUXES of two kinds of light."""
    brightness, mean = profile(levels, ring)
    centre = max(float(mean[min(1, len(mean) - 1)]), 1.0)
    radii = [crossings(brightness, centre * ISOPHOTES)]
    edges = np.arange(len(mean) + 1)
    for scaled in (np.minimum(levels * np.float32(CONTRAST / centre), 12), levels / np.float32(SOFTENING)):
        grown = np.exp(scaled)  # sinh by exp, which NumPy has vectorised
        brightness, mean = profile((grown - 1 / grown) / 2, ring)
        petrosian = crossings(brightness / np.maximum(mean, 1e-9), PETROSIAN)
        flux = np.append(0, np.maximum.accumulate(mean * edges[1:] ** 2))
        total = np.interp(2 * petrosian[TOTAL], edges, flux)
        radii += [petrosian, np.interp(FLUXES * total, flux, edges)]
    return np.log(np.maximum(np.concatenate(radii), 0.3))


def petro_r90(levels: np.ndarray, ring: np.ndarray) -> float:
    """Estimate petroR90 (px) from a clean window."""
    radii = log_radii(levels, ring)
    middle = float(median_of(radii))
    return float(np.exp(CONSTANT + EXPONENT * middle + np.dot(WEIGHTS, radii - middle)))
