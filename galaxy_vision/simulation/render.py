"""Simulate galaxies with images and votes in the schema of Galaxy Zoo 2.

``draw_parameters`` draws a galaxy, ``render`` its image, and ``vote`` the answers of volunteers to what can be seen.
Smooth light is drawn with GalSim; arms, bars, rings, dust and tails are maps on the plane of the disc that multiply it
(``structures``). Everything then passes through one GalSim PSF, SDSS-like noise and the Lupton stretch (``camera``). A
galaxy depends on ``(seed, index)`` alone.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from .camera import add_artifact, observe, stretched
from .field import FIELD, MARGIN, X, Y, add_point, color_of, turned
from .parameters import IMAGE_SIZE, KINDS, PIXELS_PER_R90, SDSS_PIXEL, ZERO_POINT, GalaxyParameters, draw_parameters
from .structures import draw_galaxy
from .volunteers import vote

__all__ = ["GalaxyParameters", "KINDS", "SimulatedGalaxy", "draw_parameters", "render", "simulate_galaxy", "vote"]


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
    scene = _star(p) if p.kind == "star" else draw_galaxy(p, rng)
    _add_neighbours(scene, p, rng)
    if p.artifact == "saturated star":
        _add_saturated_star(scene, p, rng)
    seen = observe(scene, p, rng)[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    add_artifact(seen, p, rng)
    return stretched(seen)


def _star(p: GalaxyParameters) -> np.ndarray:
    """Draw a star, or a close pair of stars, that the SDSS pipeline took for a galaxy."""
    scene = np.zeros((3, FIELD, FIELD), np.float32)
    separation = 0.8 * PIXELS_PER_R90 if p.artifact_offset > 1.5 else 0.0
    x, y = separation * math.cos(p.artifact_angle), separation * math.sin(p.artifact_angle)
    add_point(scene, 0, 0, p.flux * color_of(p.color_disc).ravel())
    add_point(scene, x, y, 0.5 * p.flux * color_of(p.color_bulge).ravel())
    return scene


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
            color = color_of(g_r).ravel()
            if is_star:
                excess = np.array([1, 1, rng.uniform(1, 1.6) if is_red_dwarf else 1], np.float32)  # of dwarfs in i
                add_point(scene, x, y, flux * color * excess)
                continue
            size = np.clip(10 ** (0.15 * (21 - magnitude) - 0.25) * rng.lognormal(0, 0.25) / p.pixel_scale, 0.7, 30)
            q, angle = rng.uniform(0.25, 1), rng.uniform(0, np.pi)
            half = int(7 * size) + 2
            j, i = int(x + FIELD / 2), int(y + FIELD / 2)
            window = np.s_[max(i - half, 0) : i + half, max(j - half, 0) : j + half]
            u, v = turned(X[window] - x, Y[window] - y, angle)
            light = np.exp(-np.hypot(u, v / q) / size) * (flux / (2 * np.pi * size**2 * q))
            scene[(slice(None), *window)] += color[:, None, None] * light


def _add_saturated_star(scene: np.ndarray, p: GalaxyParameters, rng: np.random.Generator) -> None:
    """Add a bright star near the target: halo, diffraction spikes and, for the brightest, a bleed trail."""
    distance = (0.8 + p.artifact_offset) * PIXELS_PER_R90
    x, y = X - distance * math.cos(p.artifact_angle), Y - distance * math.sin(p.artifact_angle)
    r = np.sqrt(x * x + y * y + 4)
    size = rng.uniform(5, 14)
    halo = 12 * np.exp(-r / (0.25 * size)) + (size / r) ** 2.6 * 0.5
    a, b = np.abs(x + y) / 1.4142, np.abs(x - y) / 1.4142
    spikes = 0.6 * (np.exp(-a / 1.0 - b / (4 * size)) + np.exp(-b / 1.0 - a / (4 * size)))
    trail = 2 * np.exp(-np.abs(y) / 1.2 - np.abs(x) / (6 * size)) * (size > 10)
    tint = np.array([rng.uniform(0.2, 1.2), 0.6, 1.0], np.float32)[:, None, None]
    scene += tint * (halo + spikes + trail)
