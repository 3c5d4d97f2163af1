"""The field on which a simulated galaxy is drawn: its pixels, and what everything on it is drawn with."""

import math

import galsim
import numpy as np
from scipy import fft

from .parameters import IMAGE_SIZE

FIELD = 240
"""Side in stored pixels, the size of the Fourier transform: a product of small primes, with a margin for light that
wraps round."""
MARGIN = (FIELD - IMAGE_SIZE) // 2
Y, X = (np.mgrid[:FIELD, :FIELD] - (FIELD - 1) / 2).astype(np.float32)  # stored pixels from the centre


def color_of(g_r: float) -> np.ndarray:
    """Return the flux in g, r, i relative to r; r - i is linear in g - r, near galaxies of Fukugita et al. (1995)."""
    return np.array([10 ** (-0.4 * g_r), 1.0, 10 ** (0.4 * (0.05 + 0.38 * g_r))], np.float32)[:, None, None]


def draw(profile: galsim.GSObject, axis_ratio: float, angle: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Draw a GalSim profile on the field by point sampling; PSF and pixel are applied later, once for everything."""
    profile = profile.shear(q=max(axis_ratio, 0.05), beta=angle * galsim.radians).shift(x, y)
    return profile.drawImage(nx=FIELD, ny=FIELD, scale=1.0, method="no_pixel", dtype=np.float32).array


def turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates along and across a direction."""
    # Python floats, since those of numpy would make the float32 maps float64.
    cosine, sine = math.cos(angle), math.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def normalised(light: np.ndarray) -> np.ndarray:
    return light / max(float(light.sum()), 1e-9)


def texture(rng: np.random.Generator, size: float) -> np.ndarray:
    """Draw a random field of unit variance with structure on all scales up to ``size`` stored pixels."""
    frequency = np.hypot(fft.fftfreq(FIELD)[:, None], fft.rfftfreq(FIELD)).astype(np.float32)
    noise = fft.rfft2(rng.standard_normal((FIELD, FIELD), dtype=np.float32))
    field = fft.irfft2(noise * (1 + (2 * np.pi * size * frequency) ** 2) ** -1.5)
    return field / field.std()


def add_point(scene: np.ndarray, x: float, y: float, flux: np.ndarray) -> None:
    """Add a point source at (x, y) stored pixels from the centre, shared among the four nearest pixels."""
    column, row = x + (FIELD - 1) / 2, y + (FIELD - 1) / 2
    j, i = int(column), int(row)
    if 0 <= i < FIELD - 1 and 0 <= j < FIELD - 1:
        fx, fy = column - j, row - i
        scene[:, i : i + 2, j : j + 2] += flux[:, None, None] * np.outer([1 - fy, fy], [1 - fx, fx]).astype(np.float32)
