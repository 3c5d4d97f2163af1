"""Simulated galaxies and simulated volunteers, in the schema of Galaxy Zoo 2.

One galaxy in a straight line: :func:`draw_parameters` -> :func:`render` (GalSim profiles and structure in g, r, i; PSF; noise;
Lupton asinh colour) -> :func:`vote` (volunteers answer the tree from the true parameters and how well they can be seen).
Lengths are in units of petroR90 unless a name says otherwise: a Galaxy Zoo cut-out is scaled to it.
"""

import dataclasses
from typing import NamedTuple

import galsim
import numpy as np
from astropy.visualization import make_lupton_rgb
from PIL import Image
from scipy import fft

from .decision_tree import NUM_ANSWERS, QUESTION_SLICES, answer_index

SIDE = 212  # stored pixels; the original frame has 424
PIXEL = 0.04  # petroR90 per stored pixel: 0.02 per original pixel (Willett et al. 2013, section 2.2)
SDSS_SEEING = 1.3  # arcsec FWHM in r, median (York et al. 2000; DR7 paper, Abazajian et al. 2009)
CLASSIFICATIONS = 44  # median number of volunteers of a galaxy (Willett et al. 2013)
TYPICAL_SIGNAL = 220.0  # central brightness over pixel noise; chosen so that sky grain and centres match the real images
RANDOM_CLICK = 0.03  # share of answers that say nothing about the image

KINDS = {
    "elliptical": 0.40,
    "lenticular": 0.08,
    "spiral": 0.30,
    "edge-on": 0.11,
    "irregular": 0.04,
    "merger": 0.05,
    "star": 0.02,
}
"""Kinds of target and their shares: rare kinds more often than in the sky, so that a small set has them all."""


@dataclasses.dataclass(frozen=True)
class GalaxyParameters:
    """What is true about one simulated galaxy.

    Attributes:
        kind: a key of :data:`KINDS`.
        radius_arcsec: petroR90 in arcsec; it sets how well the galaxy is resolved.
        seeing_arcsec: FWHM of the PSF.
        signal: central brightness of the galaxy in units of the pixel noise.
        axis_ratio: minor over major axis as seen.
        angle: position angle in radians.
        bulge: share of light in the bulge, 0..1.
        bulge_shape: of an edge-on disc: rounded, boxy or none.
        bar: length of the bar, 0 for none.
        arms: number of spiral arms, 0 for none.
        pitch: pitch angle of the arms in degrees; small is tightly wound.
        arm_contrast: light of the arms relative to the disc beneath.
        odd: ring, lens, disturbed, irregular, other, merger, dust lane, or "" for nothing odd.
        blue: colour of the disc, 0 (as red as an ellipse) to 1.
        artefact: frame edge, bleed, satellite, or "".
        companions: faint galaxies in the field; stars: foreground stars in the field.
    """

    kind: str
    radius_arcsec: float
    seeing_arcsec: float
    signal: float
    axis_ratio: float
    angle: float
    bulge: float
    bulge_shape: str
    bar: float
    arms: int
    pitch: float
    arm_contrast: float
    odd: str
    blue: float
    artefact: str
    companions: int
    stars: int


class SimulatedGalaxy(NamedTuple):
    """Image (PIL RGB, 212 x 212), votes (float32 (37,), whole numbers), number of volunteers, and the truth."""

    image: Image.Image
    votes: np.ndarray
    num_classifications: int
    parameters: GalaxyParameters


def draw_parameters(rng: np.random.Generator) -> GalaxyParameters:
    """Draw one galaxy from the population."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    disc = kind in ("spiral", "lenticular", "edge-on")
    axis_ratio = {
        "elliptical": rng.choice([rng.uniform(0.85, 1), rng.uniform(0.5, 0.85), rng.uniform(0.25, 0.45)], p=[0.42, 0.45, 0.13]),
        "edge-on": rng.uniform(0.10, 0.24),
        "spiral": rng.uniform(0.45, 1.0),
        "lenticular": rng.uniform(0.4, 1.0),
    }.get(kind, rng.uniform(0.4, 0.9))
    odd = {"merger": "merger", "irregular": "irregular"}.get(kind, "")
    if not odd and kind != "star" and rng.random() < 0.14:
        odd = str(rng.choice(["ring", "lens", "disturbed", "other", "dust lane"], p=[0.42, 0.08, 0.18, 0.12, 0.2]))
        odd = {"ring": "ring" if kind in ("spiral", "lenticular") else "other"}.get(odd, odd)
    bulge = float(rng.choice([rng.uniform(0, 0.05), rng.uniform(0.08, 0.25), rng.uniform(0.25, 0.5), rng.uniform(0.5, 0.8)],
                             p=[0.12, 0.4, 0.38, 0.1]))  # fmt: skip
    return GalaxyParameters(
        kind=kind,
        radius_arcsec=float(np.clip(rng.lognormal(np.log(8.0 if kind == "elliptical" else 11.0), 0.45), 3.5, 40.0)),
        seeing_arcsec=float(np.clip(rng.normal(SDSS_SEEING, 0.15), 0.9, 2.0)),
        signal=float(rng.lognormal(np.log(TYPICAL_SIGNAL), 0.55)),
        axis_ratio=float(axis_ratio),
        angle=float(rng.uniform(0, np.pi)),
        bulge=bulge if disc else 0.0,
        bulge_shape=str(rng.choice(["rounded", "boxy", "none"], p=[0.55, 0.1, 0.35])) if kind == "edge-on" else "",
        bar=float(rng.uniform(0.25, 0.5)) if kind in ("spiral", "lenticular") and rng.random() < 0.3 else 0.0,
        arms=int(rng.choice([1, 2, 3, 4, 6], p=[0.07, 0.55, 0.17, 0.11, 0.10])) if kind == "spiral" else 0,
        pitch=float(rng.choice([rng.uniform(8, 13), rng.uniform(14, 22), rng.uniform(25, 38)])),
        arm_contrast=float(rng.uniform(0.6, 2.2)),
        odd=odd,
        blue=float(np.clip(rng.normal({"spiral": 0.65, "irregular": 0.9, "merger": 0.5}.get(kind, 0.15), 0.15), 0, 1)),
        artefact=str(rng.choice(["", "frame edge", "bleed", "satellite"], p=[0.97, 0.01, 0.01, 0.01])),
        companions=int(rng.poisson(2.2)),
        stars=int(rng.poisson(0.9)),
    )


_Y, _X = np.mgrid[:SIDE, :SIDE].astype(np.float32)
_X, _Y = (_X - (SIDE - 1) / 2) * PIXEL, (_Y - (SIDE - 1) / 2) * PIXEL


def _turned(angle: float, axis_ratio: float, x0: float = 0.0, y0: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the major axis and, deprojected, across it."""
    dx, dy = _X - x0, _Y - y0
    return dx * np.cos(angle) + dy * np.sin(angle), (dy * np.cos(angle) - dx * np.sin(angle)) / axis_ratio


class _Profile:
    """Surface brightness of a GalSim profile by radius in half-light radii, tabulated once, 1 at a tenth of that radius."""

    def __init__(self, profile: galsim.GSObject):
        self.radius = np.linspace(0.0, 14.0, 1500)
        values = np.array([profile.xValue(max(r, 0.03), 0.0) for r in self.radius])
        self.values = (values / profile.xValue(0.1, 0.0)).astype(np.float32)

    def __call__(self, radius: np.ndarray) -> np.ndarray:
        return np.interp(radius, self.radius, self.values, right=0.0).astype(np.float32)


_DISC = _Profile(galsim.Exponential(half_light_radius=1.0))
_DE_VAUCOULEURS = _Profile(galsim.Sersic(n=3.5, half_light_radius=1.0, trunc=9.0))
_BULGE = _Profile(galsim.Sersic(n=2.0, half_light_radius=1.0, trunc=9.0))
_BAR = _Profile(galsim.Sersic(n=0.6, half_light_radius=1.0))
# Ratio of half-light radius to petroR90, of the two kinds of profile (Graham et al. 2005, AJ 130, 1535, table 1).
_DISC_SIZE, _ELLIPSE_SIZE = 0.56, 0.44
# Flux in i, r, g relative to r; the typical g-r of early types is .75, of blue discs .4 (Strateva et al. 2001).
_RED, _BLUE = np.array([1.45, 1.0, 0.48], np.float32), np.array([1.05, 1.0, 0.92], np.float32)


def _colour(blue: float) -> np.ndarray:
    return _RED + (_BLUE - _RED) * np.float32(blue)


def _structure(p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """The noiseless galaxy before the PSF, (3, SIDE, SIDE) in i, r, g, about 1 near the centre."""
    u, v = _turned(p.angle, p.axis_ratio)
    radius = np.hypot(u, v)
    light = np.zeros((3, SIDE, SIDE), np.float32)
    red, disc_colour = _colour(0.05), _colour(p.blue)

    def shine(flux: np.ndarray, colour: np.ndarray) -> None:
        np.add(light, colour[:, None, None] * flux, out=light)

    if p.kind in ("elliptical", "merger"):
        shine(_DE_VAUCOULEURS(radius / _ELLIPSE_SIZE), _colour(p.blue * 0.8))
    if p.kind in ("spiral", "lenticular"):
        disc = _DISC(radius / _DISC_SIZE) * 0.75
        if p.arms:
            theta = np.arctan2(v, u)
            winding = np.log(radius + 0.03) / np.tan(np.radians(p.pitch))
            phase = p.arms * (theta - winding) + rng.uniform(0, 2 * np.pi)
            clumps = 1 + 0.35 * _clouds(rng, 5.0)
            arm = np.exp(2.2 * (np.cos(phase) - 1)) * np.clip((radius - 0.10) / 0.15, 0, 1) * clumps
            shine(disc * (1 - 0.22 * min(p.arm_contrast, 1.8)), _colour(p.blue * 0.7))
            shine(disc * p.arm_contrast * arm, _colour(min(1.0, p.blue + 0.35)))
        else:
            shine(disc, disc_colour)
        shine(p.bulge * 2.4 * _BULGE(np.hypot(u, v * max(p.axis_ratio, 0.6)) / (0.07 + 0.16 * p.bulge)), red)
        if p.bar:
            along, across = _turned(p.angle + 0.6, p.axis_ratio)
            shine(0.75 * _BAR(np.hypot(along / p.bar, across / (p.bar * 0.24)) * 1.2), _colour(0.15))
    if p.kind == "edge-on":
        shine(_DISC(np.abs(u) / 0.5) * np.exp(-np.abs(v) / 0.6), disc_colour)
        if p.bulge_shape != "none":
            size, power = 0.10 + 0.2 * p.bulge, 2.0 if p.bulge_shape == "rounded" else 4.0
            across = v * p.axis_ratio / 0.75
            shine(1.5 * _BULGE((np.abs(u) ** power + np.abs(across) ** power) ** (1 / power) / size), red)
    if p.kind == "irregular":
        shape = np.clip(1 + 0.8 * _clouds(rng, 9.0), 0, None)
        shine(_DISC(radius / 0.6) * 0.6 * shape, disc_colour)
        for _ in range(rng.integers(3, 8)):
            x0, y0 = rng.normal(0, 0.35, 2)
            shine(rng.uniform(0.2, 0.8) * np.exp(-((_X - x0) ** 2 + (_Y - y0) ** 2) / rng.uniform(0.004, 0.03)), _colour(1.0))
    if p.odd == "ring":
        shine(0.45 * np.exp(-(((radius - 0.75) / 0.09) ** 2)), _colour(min(1.0, p.blue + 0.2)))
    if p.odd == "lens":
        arc = np.exp(-(((np.hypot(_X, _Y) - 1.1) / 0.06) ** 2)) * (np.cos(np.arctan2(_Y, _X) - p.angle) > 0.75)
        shine(0.35 * arc, _colour(1.0))
    if p.odd in ("disturbed", "merger"):
        tail = np.exp(-(((radius - 0.5 - 0.35 * np.arctan2(v, u)) / 0.16) ** 2)) * np.exp(-radius / 1.1)
        shine(0.55 * tail, disc_colour)
    if p.kind == "merger":
        x0, y0 = (0.45 + 0.35 * rng.random()) * np.array([np.cos(p.angle + 1), np.sin(p.angle + 1)])
        u2, v2 = _turned(p.angle + 1.1, rng.uniform(0.5, 1.0), x0, y0)
        shine(rng.uniform(0.5, 1.0) * _DE_VAUCOULEURS(np.hypot(u2, v2) / 0.25), _colour(rng.uniform(0.1, 0.8)))
    if p.odd == "other":
        x0, y0 = rng.normal(0, 0.3, 2)
        shine(0.9 * np.exp(-((_X - x0) ** 2 + (_Y - y0) ** 2) / 0.004), _colour(1.0))
    if p.odd == "dust lane":
        lane = np.exp(-((v * p.axis_ratio / 0.05) ** 2)) * (np.abs(u) < 1.0)
        light *= 1 - np.array([0.6, 0.72, 0.85], np.float32)[:, None, None] * lane  # dust reddens
    return light


def _clouds(rng: np.random.Generator, size: float) -> np.ndarray:
    """Smooth random field of mean 0 and deviation 1; ``size`` in stored pixels."""
    coarse = rng.standard_normal((int(SIDE / size) + 2,) * 2).astype(np.float32)
    field = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return field / field.std()


def _field(p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Neighbours: background galaxies, in the same units as the galaxy."""
    light = np.zeros((3, SIDE, SIDE), np.float32)
    for _ in range(p.companions):
        x0, y0 = rng.uniform(-4.1, 4.1, 2)
        if np.hypot(x0, y0) < 1.4:
            continue
        u, v = _turned(rng.uniform(0, np.pi), rng.uniform(0.35, 1.0), x0, y0)
        size, bright = rng.lognormal(np.log(0.16), 0.5), rng.lognormal(np.log(0.25), 0.8)
        light += _colour(rng.uniform(0, 0.9))[:, None, None] * (bright * _BULGE(np.hypot(u, v) / size))
    return light


def _stars(p: GalaxyParameters, rng: np.random.Generator) -> list[tuple[int, int, np.ndarray]]:
    """(row, column, flux in i, r, g) of foreground stars; flux in units of the galaxy's centre x pixel."""
    found = []
    for _ in range(p.stars):
        place = rng.integers(0, SIDE, 2)
        found.append((*place, _colour(rng.uniform(-0.3, 1.6)) * rng.lognormal(np.log(12.0), 1.3)))
    if p.kind == "star":
        found.append((SIDE // 2, SIDE // 2, _colour(rng.uniform(-0.3, 1.6)) * rng.uniform(300, 2000)))
    return found


def _psf_transform(fwhm: float) -> np.ndarray:
    """Fourier transform of a Moffat PSF (beta 3, Racine 1996) of that FWHM in stored pixels; 1 at the origin."""
    profile = galsim.Moffat(beta=3.0, fwhm=max(fwhm, 0.6))
    frequency = np.hypot(fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE)[None, :]) * 2 * np.pi
    radii = np.linspace(0, frequency.max(), 200)
    values = [profile.kValue(k, 0.0).real for k in radii]
    return np.interp(frequency, radii, values).astype(np.float32)


def render(p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """The image of a galaxy, uint8 (212, 212, 3)."""
    light = _field(p, rng) if p.kind == "star" else _structure(p, rng) + _field(p, rng)
    for row, column, flux in _stars(p, rng):
        light[:, row, column] += flux
    pixel_arcsec = PIXEL * p.radius_arcsec
    transform = _psf_transform(p.seeing_arcsec / pixel_arcsec)
    light = fft.irfft2(fft.rfft2(light) * transform, s=(SIDE, SIDE)).astype(np.float32)
    # Original pixels are finer or coarser than the 0.396 arcsec of SDSS, so the grain is smooth in small galaxies.
    noise = rng.standard_normal((3, SIDE, SIDE), dtype=np.float32)
    grain = galsim.Gaussian(fwhm=max(0.396 / pixel_arcsec, 0.5))
    frequency = np.hypot(fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE)[None, :]) * 2 * np.pi
    smooth = np.exp(-0.5 * (frequency * grain.sigma) ** 2).astype(np.float32)
    noise = fft.irfft2(fft.rfft2(noise) * smooth, s=(SIDE, SIDE))
    noise *= np.array([1.5, 1.0, 0.9], np.float32)[:, None, None] / (noise.std() * p.signal)
    image = light + noise.astype(np.float32)
    _add_artefact(image, p, rng)
    image *= p.signal * 0.005  # SDSS cut-outs share one stretch, so brighter galaxies look brighter
    return make_lupton_rgb(image[0], image[1] * 1.15, image[2] * 1.5, minimum=-0.003, stretch=0.2, Q=7)


def _add_artefact(image: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> None:
    if p.artefact == "frame edge":
        image[:, int(rng.integers(150, 200)) :, :] = -1.0
    if p.artefact == "bleed":
        column = int(rng.integers(10, SIDE - 10))
        image[:, :, column - 1 : column + 2] += 2.0
    if p.artefact == "satellite":
        slope, start = rng.uniform(-0.6, 0.6), rng.uniform(-3, 3)
        image[int(rng.integers(3))] += 0.5 * np.exp(-(((_Y - slope * _X - start) / 0.05) ** 2))


def _visible(contrast: float, scale: float, p: GalaxyParameters) -> float:
    """Probability that a structure of that size (petroR90) and contrast is seen through the PSF and the noise."""
    resolved = scale * p.radius_arcsec / p.seeing_arcsec  # size in widths of the PSF
    blur = resolved**2 / (resolved**2 + 0.6)
    clear = contrast * blur * np.sqrt(p.signal / TYPICAL_SIGNAL)
    return float(clear**2 / (clear**2 + 0.16))


def _answer_probabilities(p: GalaxyParameters) -> dict[str, np.ndarray]:
    """Question stem -> probability of each answer for one attentive volunteer."""
    seen_arms = _visible(p.arm_contrast * 0.7, 0.22, p) if p.arms else 0.0
    seen_bar = _visible(0.9, p.bar * 0.5, p) if p.bar else 0.0
    seen_disc = {"spiral": 0.35, "lenticular": 0.38, "irregular": 0.75, "merger": 0.35}.get(p.kind, 0.07)
    featured = 1 - (1 - seen_disc) * (1 - seen_arms) * (1 - 0.7 * seen_bar)
    thin = np.clip((0.36 - p.axis_ratio) / 0.2, 0, 1)
    if p.kind == "edge-on":
        featured = 0.25 + 0.7 * _visible(0.9, 0.3, p)
    if p.odd == "ring":
        featured = max(featured, _visible(1.0, 0.2, p))
    star = 0.85 if p.kind == "star" else (0.25 if p.artefact else 0.01)
    edge_on = 0.93 if p.kind == "edge-on" else 0.04 + 0.5 * thin
    odd_seen = _visible({"merger": 1.6, "irregular": 1.1, "lens": 0.7}.get(p.odd, 0.9), 0.25, p) if p.odd else 0.05
    odd_names = ("ring", "lens", "disturbed", "irregular", "other", "merger", "dust lane")
    confused = {"merger": {"disturbed": 0.2}, "disturbed": {"irregular": 0.25, "merger": 0.15}, "irregular": {"disturbed": 0.2}}
    which = np.array([confused.get(p.odd, {}).get(name, 0.03) for name in odd_names])
    if p.odd:
        which[odd_names.index(p.odd)] = 1.0
    else:
        which += np.array([0.1, 0, 0.1, 0.1, 0.5, 0.1, 0])
    bulge_centre = np.array([0.02, 0.16, 0.36, 0.65])  # no, just noticeable, obvious, dominant
    counts = np.array([1, 2, 3, 4, 6])
    sure = _visible(0.9, 0.8 / max(p.arms, 1), p)
    number = sure * np.exp(-np.abs(counts - p.arms) / 0.45)
    pitches = np.array([10.0, 18.0, 31.0])  # tight, medium, loose
    across = p.axis_ratio
    rounded = np.exp(-(((across - np.array([0.97, 0.66, 0.30])) / np.array([0.10, 0.16, 0.10])) ** 2)) + 0.01
    bulge_shape = {"rounded": [0.85, 0.08, 0.07], "boxy": [0.3, 0.6, 0.1], "none": [0.15, 0.05, 0.8]}.get(
        p.bulge_shape, [0.5, 0.1, 0.4]
    )
    weights = {
        "t01_smooth_or_features": [(1 - featured) * (1 - star), featured * (1 - star), star],
        "t02_edgeon": [edge_on, 1 - edge_on],
        "t03_bar": [0.08 + 0.87 * seen_bar, 0.92 - 0.87 * seen_bar],
        "t04_spiral": [0.10 + 0.86 * seen_arms, 0.90 - 0.86 * seen_arms],
        "t05_bulge_prominence": np.exp(-(((p.bulge - bulge_centre) / 0.14) ** 2)) + 0.01,
        "t06_odd": [odd_seen, 1 - odd_seen],
        "t07_rounded": rounded,
        "t08_odd_feature": which,
        "t09_bulge_shape": bulge_shape,
        "t10_arms_winding": np.exp(-(((p.pitch - pitches) / 6.5) ** 2)) + 0.03,
        "t11_arms_number": [*number, 1.05 - sure],
    }
    probabilities = {}
    for question, weight in weights.items():
        share = np.asarray(weight, dtype=np.float64) / np.sum(weight)
        probabilities[question] = (1 - RANDOM_CLICK) * share + RANDOM_CLICK / len(share)
    return probabilities


def vote(p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Votes of simulated volunteers who walk down the tree, float32 (37,) whole numbers."""
    probabilities = _answer_probabilities(p)
    votes = np.zeros(NUM_ANSWERS, np.float32)

    def ask(question: str, volunteers: float) -> None:
        votes[QUESTION_SLICES[question]] = rng.multinomial(int(volunteers), probabilities[question])

    def count(answer: str) -> float:
        return votes[answer_index(answer)]

    ask("t01_smooth_or_features", np.clip(rng.normal(CLASSIFICATIONS, 8), 20, 70))
    ask("t07_rounded", count("a01"))
    ask("t02_edgeon", count("a02"))
    ask("t09_bulge_shape", count("a04"))
    for question in ("t03_bar", "t04_spiral", "t05_bulge_prominence"):
        ask(question, count("a05"))
    for question in ("t10_arms_winding", "t11_arms_number"):
        ask(question, count("a08"))
    ask("t06_odd", count("a01") + count("a02"))
    ask("t08_odd_feature", count("a14"))
    return votes


def simulate_galaxy(seed: int, index: int) -> SimulatedGalaxy:
    """Galaxy number ``index`` of the simulated sky ``seed``: the same wherever and in whatever order it is drawn."""
    rng = np.random.default_rng([seed, index])
    parameters = draw_parameters(rng)
    image = Image.fromarray(render(parameters, rng))
    votes = vote(parameters, rng)
    return SimulatedGalaxy(image, votes, int(votes[QUESTION_SLICES["t01_smooth_or_features"]].sum()), parameters)
