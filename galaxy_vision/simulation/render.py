"""Simulate galaxies with images and votes in the schema of Galaxy Zoo 2.

``draw_parameters`` draws a galaxy, ``render`` its image, and ``vote`` the answers of volunteers to what can be seen.
Smooth light is drawn with GalSim; arms, bars, rings, dust and tails are maps on the plane of the disc that multiply it.
Everything then passes through one GalSim PSF, SDSS-like noise and the Lupton stretch. A galaxy depends on ``(seed,
index)`` alone.

Shapes and strengths in the functions below are ours: they were fitted to the image statistics of the Galaxy Challenge
(lab_notes.md, "Simulation").
"""

import math
from io import BytesIO
from typing import NamedTuple

import galsim
import numpy as np
from astropy.visualization import make_lupton_rgb
from PIL import Image
from scipy import fft
from scipy.special import expit

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from .parameters import IMAGE_SIZE, KINDS, PIXELS_PER_R90, SDSS_PIXEL, ZERO_POINT, GalaxyParameters, draw_parameters
from .volunteers import vote

__all__ = ["GalaxyParameters", "KINDS", "SimulatedGalaxy", "draw_parameters", "render", "simulate_galaxy", "vote"]

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

_FIELD = 240  # px, size of the Fourier transform: a product of small primes, with a margin for light that wraps round
_MARGIN = (_FIELD - IMAGE_SIZE) // 2
_Y, _X = (np.mgrid[:_FIELD, :_FIELD] - (_FIELD - 1) / 2).astype(np.float32)  # stored pixels from the centre


class SimulatedGalaxy(NamedTuple):
    """One galaxy as a row of a data set: 212 x 212 RGB image, (answers,) whole votes, volunteers, true parameters."""

    image: Image.Image
    votes: np.ndarray
    num_classifications: int
    parameters: GalaxyParameters


def simulate_galaxy(seed: int, index: int, tree: DecisionTree = GALAXY_ZOO_2) -> SimulatedGalaxy:
    """Simulate galaxy ``index`` of the survey ``seed``; the result is the same in every process.

    Its image and parameters do not depend on ``tree``, that of the campaign whose volunteers vote.

    Raises:
        ValueError: volunteers are not simulated for a question of the tree.
    """
    rng = np.random.default_rng([seed, index])
    parameters = draw_parameters(rng)
    pixels = render(parameters, rng)
    votes = vote(parameters, rng, tree)
    first = tree.first_question.name
    return SimulatedGalaxy(Image.fromarray(pixels), votes, int(votes[tree.slices[first]].sum()), parameters)


def render(parameters: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Draw the galaxy as the SDSS cut-out service shows it.

    Returns:
        (212, 212, 3) uint8; red is band i, green is r, blue is g.
    """
    p = parameters
    scene = _star(p) if p.kind == "star" else _galaxy(p, rng)
    _add_neighbours(scene, p, rng)
    if p.artifact == "saturated star":
        _add_saturated_star(scene, p, rng)
    seen = _observe(scene, p, rng)[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    _add_artifact(seen, p, rng)
    g, r, i = np.clip(seen * BAND_WEIGHTS[:, None, None], -1.0, WHITE)
    rgb = make_lupton_rgb(i, r, g, stretch=LUPTON_STRETCH, Q=LUPTON_Q)
    file = BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file))


def _color(g_r: float) -> np.ndarray:
    """Return the flux in g, r, i relative to r; r - i is linear in g - r, near galaxies of Fukugita et al. (1995)."""
    return np.array([10 ** (-0.4 * g_r), 1.0, 10 ** (0.4 * (0.05 + 0.38 * g_r))], np.float32)[:, None, None]


def _draw(profile: galsim.GSObject, axis_ratio: float, angle: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Draw a GalSim profile on the field by point sampling; PSF and pixel are applied later, once for everything."""
    profile = profile.shear(q=max(axis_ratio, 0.05), beta=angle * galsim.radians).shift(x, y)
    return profile.drawImage(nx=_FIELD, ny=_FIELD, scale=1.0, method="no_pixel", dtype=np.float32).array


def _turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates along and across a direction."""
    # Python floats, since those of numpy would make the float32 maps float64.
    cosine, sine = math.cos(angle), math.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _normalised(light: np.ndarray) -> np.ndarray:
    return light / max(float(light.sum()), 1e-9)


def _texture(rng: np.random.Generator, size: float) -> np.ndarray:
    """Draw a random field of unit variance with structure on all scales up to ``size`` stored pixels."""
    frequency = np.hypot(fft.fftfreq(_FIELD)[:, None], fft.rfftfreq(_FIELD)).astype(np.float32)
    noise = fft.rfft2(rng.standard_normal((_FIELD, _FIELD), dtype=np.float32))
    field = fft.irfft2(noise * (1 + (2 * np.pi * size * frequency) ** 2) ** -1.5)
    return field / field.std()


def _galaxy(p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Draw the target in g, r, i before the atmosphere: (3, field, field) nanomaggies per SDSS pixel."""
    radius, pa = p.radius, p.position_angle
    along, across = _X * np.cos(pa) + _Y * np.sin(pa), _Y * np.cos(pa) - _X * np.sin(pa)
    old, young = _color(p.color_bulge), _color(p.color_disc)
    is_edge_on = p.kind == "edge-on disc"
    bulge = np.zeros_like(_X)
    if p.bulge_shape == "boxy":
        box = (along**4 + (across / 0.65) ** 4) ** 0.25
        bulge = _normalised(np.exp(-1.68 * box / (p.bulge_radius * radius)))
    elif p.bulge_fraction > 0:
        flattening = p.axis_ratio if p.bulge_fraction == 1 else max(0.7, p.axis_ratio)
        bulge = _draw(galsim.Sersic(p.sersic_index, p.bulge_radius * radius), flattening, pa)
    scene = old * (bulge * p.bulge_fraction)
    if p.bulge_fraction < 1:
        disc = _edge_on_disc(p, along, across) if is_edge_on else _disc(p, along, across, rng)
        scene = scene + disc * (1 - p.bulge_fraction)
    if is_edge_on and p.dust:
        lane = np.exp(-0.5 * ((across - 0.01 * radius) / (0.025 * radius)) ** 2 - np.abs(along) / (0.7 * radius))
        scene = scene * np.exp(-p.dust * np.array([1.0, 0.75, 0.55], np.float32)[:, None, None] * lane)
    if p.asymmetry:
        offset = p.asymmetry * radius
        x, y = offset * math.cos(p.bar_angle), offset * math.sin(p.bar_angle)
        outer = _draw(galsim.Exponential(scale_radius=0.3 * radius), 0.8, p.artifact_angle, x, y)
        scene = scene + young * (0.25 * p.asymmetry * outer)
    if p.tail_strength:
        scene = scene + young * (p.tail_strength * _tails(p, along, across / max(p.axis_ratio, 0.6)))
    if p.arc_strength:
        r, angle = np.hypot(_X, _Y), np.arctan2(_Y, _X)
        near = np.cos(angle - p.companion_angle - p.artifact_angle)
        arc = np.exp(-0.5 * ((r - 0.75 * radius) / (0.03 * radius)) ** 2 + 4 * (near - 1))
        scene = scene + _color(0.1) * (p.arc_strength * _normalised(arc))
    if p.companion_flux:
        distance = p.companion_distance * radius
        x, y = distance * math.cos(p.companion_angle), distance * math.sin(p.companion_angle)
        companion = galsim.Sersic(1 + 2 * p.companion_flux, 0.28 * radius * np.sqrt(p.companion_flux))
        color = _color(0.5 * (p.color_bulge + p.color_disc))
        scene = scene + color * (p.companion_flux * _draw(companion, 0.7, p.bar_angle, x, y))
    return np.asarray(scene * p.flux, np.float32)


def _edge_on_disc(p: GalaxyParameters, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Draw an edge-on exponential disc with a sech^2 layer (van der Kruit & Searle 1981), of unit flux in r."""
    length = p.radius / 2.0
    height = max(p.axis_ratio * length, 0.5)
    light = np.exp(-np.abs(along) / length) / np.cosh(np.minimum(np.abs(across) / height, 30)) ** 2
    return _color(p.color_disc) * _normalised(light)


def _disc(p: GalaxyParameters, along: np.ndarray, across: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw an exponential disc with arms, knots, bar and ring in its plane, of unit flux in r."""
    radius = p.radius
    # A round aperture covers more of the length of an inclined disc.
    scale_length = radius / (1.1 + 0.75 * p.axis_ratio)
    u, v = along, across / p.axis_ratio
    r = np.sqrt(u * u + v * v) / radius
    disc = _draw(galsim.Exponential(scale_radius=scale_length), p.axis_ratio, p.position_angle)
    disc = disc * expit((1.3 - r) / 0.18)  # discs are truncated (van der Kruit 1979)
    young, mixed = _color(p.color_disc - 0.15), _color(0.6 * p.color_disc + 0.4 * p.color_bulge - 0.1)
    clumps = np.exp(p.clumpiness * _texture(rng, 0.12 * radius)) if p.clumpiness else np.ones_like(disc)
    if p.arm_count:
        start = max(p.bar_length, 0.12)
        winding = np.log(np.maximum(r, 0.02) / start) / math.tan(p.pitch_angle)
        phase = p.arm_count * (np.arctan2(v, u) - p.bar_angle - p.handedness * winding)
        if p.arm_count > 2:
            phase = phase + 0.6 * _texture(rng, 0.25 * radius)  # arms of such discs are irregular
        sharpness = 2.5
        arms = np.exp(sharpness * (np.cos(phase) - 1)) * clumps
        window = expit((r - start) / 0.06) * expit((p.arm_reach - r) / 0.1) * (0.6 + 1.6 * r)
        contrast = p.arm_contrast
        light = mixed * ((1 - contrast) * disc) + young * (2.6 * contrast * disc * arms * window)
        if p.dust:
            lane = np.exp(2 * sharpness * (np.cos(phase + 0.9 * p.handedness) - 1)) * window
            light = light * np.exp(-p.dust * np.array([1.0, 0.75, 0.55], np.float32)[:, None, None] * lane)
    else:
        light = (young if p.clumpiness else _color(p.color_disc)) * (disc * clumps)
    light = light / light[1].sum()
    if p.bar_strength:
        bar_u, bar_v = _turned(u, v, p.bar_angle)
        length = p.bar_length * radius
        bar = np.exp(-1.2 * (np.abs(bar_u / length) ** 2.5 + np.abs(bar_v / (0.28 * length)) ** 2))
        light = light * (1 - p.bar_strength) + _color(p.color_bulge - 0.05) * (p.bar_strength * _normalised(bar))
    if p.ring_strength:
        ring = np.exp(-0.5 * ((r - p.ring_radius) / 0.08) ** 2) * clumps
        light = light * (1 - p.ring_strength) + young * (p.ring_strength * _normalised(ring))
    return light


def _tails(p: GalaxyParameters, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Draw two unequal tidal tails of unit flux, open spirals from the disc's edge to twice its radius."""
    r = np.hypot(u, v) / p.radius
    angle = np.arctan2(v, u) - p.companion_angle - p.handedness * 1.3 * np.log(np.maximum(r, 0.05))
    along_tail = expit((r - 0.6) / 0.08) * expit((1.7 - r) / 0.15) * np.exp(-1.2 * r)
    tails = np.exp(14 * (np.cos(angle) - 1)) + 0.5 * np.exp(14 * (np.cos(angle + np.pi) - 1))
    return _normalised(tails * along_tail)


def _star(p: GalaxyParameters) -> np.ndarray:
    """Draw a star, or a close pair of stars, that the SDSS pipeline took for a galaxy."""
    scene = np.zeros((3, _FIELD, _FIELD), np.float32)
    separation = 0.8 * PIXELS_PER_R90 if p.artifact_offset > 1.5 else 0.0
    x, y = separation * math.cos(p.artifact_angle), separation * math.sin(p.artifact_angle)
    _add_point(scene, 0, 0, p.flux * _color(p.color_disc).ravel())
    _add_point(scene, x, y, 0.5 * p.flux * _color(p.color_bulge).ravel())
    return scene


def _add_point(scene: np.ndarray, x: float, y: float, flux: np.ndarray) -> None:
    """Add a point source at (x, y) stored pixels from the centre, shared among the four nearest pixels."""
    column, row = x + (_FIELD - 1) / 2, y + (_FIELD - 1) / 2
    j, i = int(column), int(row)
    if 0 <= i < _FIELD - 1 and 0 <= j < _FIELD - 1:
        fx, fy = column - j, row - i
        scene[:, i : i + 2, j : j + 2] += flux[:, None, None] * np.outer([1 - fy, fy], [1 - fx, fx]).astype(np.float32)


def _add_neighbours(scene: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> None:
    """Add foreground stars and background galaxies at the counts of an SDSS field."""
    area = (IMAGE_SIZE * p.pixel_scale / 60) ** 2  # square arcmin
    area_factor = (SDSS_PIXEL / p.pixel_scale) ** 2
    crowding = rng.lognormal(0, 0.5)
    # Density per square arcmin to r = 21, and slope of log10 counts per magnitude.
    for is_star, density, slope in ((True, 1.2, 0.20), (False, 3.5, 0.42)):
        for _ in range(min(rng.poisson(area * density * crowding), 80)):
            magnitude = max(21.2 - rng.exponential(1 / (slope * np.log(10))), 14.0 if is_star else 16.0)
            flux = 10 ** (0.4 * (ZERO_POINT - magnitude)) * area_factor
            x, y = rng.uniform(-IMAGE_SIZE / 2, IMAGE_SIZE / 2, 2)
            is_red_dwarf = is_star and rng.random() < 0.25
            if is_red_dwarf:
                g_r = 1.4
            else:
                g_r = rng.normal(0.42, 0.15) if is_star else rng.normal(0.75, 0.25)
            color = _color(g_r).ravel()
            if is_star:
                excess = np.array([1, 1, rng.uniform(1, 1.6) if is_red_dwarf else 1], np.float32)  # of dwarfs in i
                _add_point(scene, x, y, flux * color * excess)
                continue
            size = np.clip(10 ** (0.15 * (21 - magnitude) - 0.25) * rng.lognormal(0, 0.25) / p.pixel_scale, 0.7, 30)
            q, angle = rng.uniform(0.25, 1), rng.uniform(0, np.pi)
            half = int(7 * size) + 2
            j, i = int(x + _FIELD / 2), int(y + _FIELD / 2)
            window = np.s_[max(i - half, 0) : i + half, max(j - half, 0) : j + half]
            u, v = _turned(_X[window] - x, _Y[window] - y, angle)
            light = np.exp(-np.hypot(u, v / q) / size) * (flux / (2 * np.pi * size**2 * q))
            scene[(slice(None), *window)] += color[:, None, None] * light


def _observe(scene: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Apply atmosphere, pixel, noise and sky; noise is white on SDSS pixels and smooth on the finer stored ones."""
    step = 2 * np.pi / _FIELD
    psf = galsim.Kolmogorov(fwhm=p.seeing / p.pixel_scale).drawKImage(nx=_FIELD, ny=_FIELD, scale=step).array.real
    kx, ky = fft.rfftfreq(_FIELD).astype(np.float32), fft.fftfreq(_FIELD).astype(np.float32)[:, None]
    native = SDSS_PIXEL / p.pixel_scale  # width of an SDSS pixel in stored ones
    pixel = np.sinc(kx * native) * np.sinc(ky * native) * np.sinc(kx) * np.sinc(ky)
    transfer = (fft.ifftshift(psf)[:, : _FIELD // 2 + 1] * pixel).astype(np.float32)
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


def _add_saturated_star(scene: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> None:
    """Add a bright star near the target: halo, diffraction spikes and, for the brightest, a bleed trail."""
    distance = (0.8 + p.artifact_offset) * PIXELS_PER_R90
    x, y = _X - distance * math.cos(p.artifact_angle), _Y - distance * math.sin(p.artifact_angle)
    r = np.sqrt(x * x + y * y + 4)
    size = rng.uniform(5, 14)
    halo = 12 * np.exp(-r / (0.25 * size)) + (size / r) ** 2.6 * 0.5
    a, b = np.abs(x + y) / 1.4142, np.abs(x - y) / 1.4142
    spikes = 0.6 * (np.exp(-a / 1.0 - b / (4 * size)) + np.exp(-b / 1.0 - a / (4 * size)))
    trail = 2 * np.exp(-np.abs(y) / 1.2 - np.abs(x) / (6 * size)) * (size > 10)
    tint = np.array([rng.uniform(0.2, 1.2), 0.6, 1.0], np.float32)[:, None, None]
    scene += tint * (halo + spikes + trail)


def _add_artifact(seen: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> None:
    """Add what the camera and the mosaic do after the atmosphere, in place on the (3, 212, 212) image."""
    inside = np.s_[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    normal = (_X[inside] * math.cos(p.artifact_angle) + _Y[inside] * math.sin(p.artifact_angle)) / PIXELS_PER_R90
    if p.artifact == "frame edge":
        seen[:2, normal > 0.6 * p.artifact_offset] = 1e-6  # only the reddest band covers this part of the sky
    elif p.artifact == "satellite trail":
        seen[rng.integers(3)] += 0.4 * np.exp(-0.5 * ((normal - 0.5 * p.artifact_offset) * PIXELS_PER_R90 / 1.2) ** 2)
    elif p.artifact == "dropped line":
        along = np.hypot(_X[inside], _Y[inside]) / PIXELS_PER_R90
        seen[:, (np.abs(normal) * PIXELS_PER_R90 < 0.6) & (along < 0.4 * p.artifact_offset)] = 1e-6
