"""From the light of a scene to an image: atmosphere, pixel, noise, faults of the camera, and the stretch of SDSS."""

import math
from io import BytesIO

import galsim
import numpy as np
from astropy.visualization import make_lupton_rgb
from PIL import Image
from scipy import fft

from .field import FIELD, MARGIN, X, Y
from .parameters import PIXELS_PER_R90, SDSS_PIXEL, GalaxyParameters

# g, r, i. Sky noise in nanomaggies per SDSS pixel: photon noise of skies of 22.0, 20.8, 20.3 mag/arcsec^2 at the gain
# below.
SKY_NOISE = np.array([0.016, 0.028, 0.039], np.float32)
ELECTRONS_PER_NANOMAGGY = np.array([1000.0, 950.0, 770.0], np.float32)
# Lupton et al. (2004): band weights and asinh stretch, fitted to the colours and grey levels of Galaxy Zoo 2 images.
BAND_WEIGHTS = np.array([1.46, 1.0, 0.855], np.float32)
LUPTON_STRETCH, LUPTON_Q = 0.85, 5.2
# Flux that the stretch maps to 255. Bands are clipped there, so that brighter cores are white.
WHITE = LUPTON_STRETCH / LUPTON_Q * math.sinh(10 * math.asinh(0.1 * LUPTON_Q))
JPEG_QUALITY = 90  # the cut-out service serves JPEG images, whose compression shapes the grain of the sky


def observe(scene: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Apply atmosphere, pixel, noise and sky; noise is white on SDSS pixels and smooth on the finer stored ones."""
    step = 2 * np.pi / FIELD
    psf = galsim.Kolmogorov(fwhm=p.seeing / p.pixel_scale).drawKImage(nx=FIELD, ny=FIELD, scale=step).array.real
    kx, ky = fft.rfftfreq(FIELD).astype(np.float32), fft.fftfreq(FIELD).astype(np.float32)[:, None]
    native = SDSS_PIXEL / p.pixel_scale  # width of an SDSS pixel in stored ones
    pixel = np.sinc(kx * native) * np.sinc(ky * native) * np.sinc(kx) * np.sinc(ky)
    transfer = (fft.ifftshift(psf)[:, : FIELD // 2 + 1] * pixel).astype(np.float32)
    shift = p.band_shift / p.pixel_scale
    phase = -2j * np.pi * shift
    shifted = np.exp(phase * math.cos(p.artifact_angle) * kx) * np.exp(phase * math.sin(p.artifact_angle) * ky)
    spectrum = fft.rfft2(scene) * transfer
    spectrum[0] *= shifted
    spectrum[2] *= shifted.conj()
    light = fft.irfft2(spectrum)
    noise = fft.rfft2(rng.standard_normal(scene.shape, dtype=np.float32))
    width = max(native, 1.0)
    grain = np.sinc(kx * width) ** 2 * np.sinc(ky * width) ** 2  # bilinear, as the cut-outs are resampled
    noise = fft.irfft2(noise * (grain * width))
    binned = min(native, 1.0)  # stored pixels larger than SDSS ones average several of them
    sky_variance = (p.noise * SKY_NOISE[:, None, None]) ** 2
    sigma = np.sqrt(sky_variance + np.maximum(light, 0) / ELECTRONS_PER_NANOMAGGY[:, None, None])
    return light + p.sky * np.array([0.4, 0.9, 1.2], np.float32)[:, None, None] + noise * sigma * binned


def add_artifact(seen: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> None:
    """Add what the camera and the mosaic do after the atmosphere, in place on the (3, 212, 212) image."""
    inside = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    normal = (X[inside] * math.cos(p.artifact_angle) + Y[inside] * math.sin(p.artifact_angle)) / PIXELS_PER_R90
    if p.artifact == "frame edge":
        seen[:2, normal > 0.6 * p.artifact_offset] = 1e-6  # only the reddest band covers this part of the sky
    elif p.artifact == "satellite trail":
        seen[rng.integers(3)] += 0.4 * np.exp(-0.5 * ((normal - 0.5 * p.artifact_offset) * PIXELS_PER_R90 / 1.2) ** 2)
    elif p.artifact == "dropped line":
        along = np.hypot(X[inside], Y[inside]) / PIXELS_PER_R90
        seen[:, (np.abs(normal) * PIXELS_PER_R90 < 0.6) & (along < 0.4 * p.artifact_offset)] = 1e-6


def stretched(seen: np.ndarray) -> np.ndarray:
    """Return g, r, i (3, 212, 212) in nanomaggies as the (212, 212, 3) uint8 image that the cut-out service shows."""
    g, r, i = np.clip(seen * BAND_WEIGHTS[:, None, None], -1.0, WHITE)
    rgb = make_lupton_rgb(i, r, g, stretch=LUPTON_STRETCH, Q=LUPTON_Q)
    file = BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file))
