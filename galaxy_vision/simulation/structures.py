"""The light of a galaxy before the atmosphere: bulge, disc, arms, bar, ring, dust, tails and companions.

Shapes and strengths in the functions below are ours: they were fitted to the image statistics of the Galaxy Challenge
(lab_notes.md, "Simulation").
"""

import math

import galsim
import numpy as np
from scipy.special import expit

from .field import X, Y, color_of, draw, normalised, texture, turned
from .parameters import GalaxyParameters


def draw_galaxy(p: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Draw the target in g, r, i before the atmosphere: (3, field, field) nanomaggies per SDSS pixel."""
    radius, pa = p.radius, p.position_angle
    along, across = X * np.cos(pa) + Y * np.sin(pa), Y * np.cos(pa) - X * np.sin(pa)
    old, young = color_of(p.color_bulge), color_of(p.color_disc)
    is_edge_on = p.kind == "edge-on disc"
    bulge = np.zeros_like(X)
    if p.bulge_shape == "boxy":
        box = (along**4 + (across / 0.65) ** 4) ** 0.25
        bulge = normalised(np.exp(-1.68 * box / (p.bulge_radius * radius)))
    elif p.bulge_fraction > 0:
        flattening = p.axis_ratio if p.bulge_fraction == 1 else max(0.7, p.axis_ratio)
        bulge = draw(galsim.Sersic(p.sersic_index, p.bulge_radius * radius), flattening, pa)
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
        outer = draw(galsim.Exponential(scale_radius=0.3 * radius), 0.8, p.artifact_angle, x, y)
        scene = scene + young * (0.25 * p.asymmetry * outer)
    if p.tail_strength:
        scene = scene + young * (p.tail_strength * _tails(p, along, across / max(p.axis_ratio, 0.6)))
    if p.arc_strength:
        r, angle = np.hypot(X, Y), np.arctan2(Y, X)
        near = np.cos(angle - p.companion_angle - p.artifact_angle)
        arc = np.exp(-0.5 * ((r - 0.75 * radius) / (0.03 * radius)) ** 2 + 4 * (near - 1))
        scene = scene + color_of(0.1) * (p.arc_strength * normalised(arc))
    if p.companion_flux:
        distance = p.companion_distance * radius
        x, y = distance * math.cos(p.companion_angle), distance * math.sin(p.companion_angle)
        companion = galsim.Sersic(1 + 2 * p.companion_flux, 0.28 * radius * np.sqrt(p.companion_flux))
        color = color_of(0.5 * (p.color_bulge + p.color_disc))
        scene = scene + color * (p.companion_flux * draw(companion, 0.7, p.bar_angle, x, y))
    return np.asarray(scene * p.flux, np.float32)


def _edge_on_disc(p: GalaxyParameters, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Draw an edge-on exponential disc with a sech^2 layer (van der Kruit & Searle 1981), of unit flux in r."""
    length = p.radius / 2.0
    height = max(p.axis_ratio * length, 0.5)
    light = np.exp(-np.abs(along) / length) / np.cosh(np.minimum(np.abs(across) / height, 30)) ** 2
    return color_of(p.color_disc) * normalised(light)


def _disc(p: GalaxyParameters, along: np.ndarray, across: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw an exponential disc with arms, knots, bar and ring in its plane, of unit flux in r."""
    radius = p.radius
    # A round aperture covers more of the length of an inclined disc.
    scale_length = radius / (1.1 + 0.75 * p.axis_ratio)
    u, v = along, across / p.axis_ratio
    r = np.sqrt(u * u + v * v) / radius
    disc = draw(galsim.Exponential(scale_radius=scale_length), p.axis_ratio, p.position_angle)
    disc = disc * expit((1.3 - r) / 0.18)  # discs are truncated (van der Kruit 1979)
    young, mixed = color_of(p.color_disc - 0.15), color_of(0.6 * p.color_disc + 0.4 * p.color_bulge - 0.1)
    clumps = np.exp(p.clumpiness * texture(rng, 0.12 * radius)) if p.clumpiness else np.ones_like(disc)
    if p.arm_count:
        start = max(p.bar_length, 0.12)
        winding = np.log(np.maximum(r, 0.02) / start) / math.tan(p.pitch_angle)
        phase = p.arm_count * (np.arctan2(v, u) - p.bar_angle - p.handedness * winding)
        if p.arm_count > 2:
            phase = phase + 0.6 * texture(rng, 0.25 * radius)  # arms of such discs are irregular
        sharpness = 2.5
        arms = np.exp(sharpness * (np.cos(phase) - 1)) * clumps
        window = expit((r - start) / 0.06) * expit((p.arm_reach - r) / 0.1) * (0.6 + 1.6 * r)
        contrast = p.arm_contrast
        light = mixed * ((1 - contrast) * disc) + young * (2.6 * contrast * disc * arms * window)
        if p.dust:
            lane = np.exp(2 * sharpness * (np.cos(phase + 0.9 * p.handedness) - 1)) * window
            light = light * np.exp(-p.dust * np.array([1.0, 0.75, 0.55], np.float32)[:, None, None] * lane)
    else:
        light = (young if p.clumpiness else color_of(p.color_disc)) * (disc * clumps)
    light = light / light[1].sum()
    if p.bar_strength:
        bar_u, bar_v = turned(u, v, p.bar_angle)
        length = p.bar_length * radius
        bar = np.exp(-1.2 * (np.abs(bar_u / length) ** 2.5 + np.abs(bar_v / (0.28 * length)) ** 2))
        light = light * (1 - p.bar_strength) + color_of(p.color_bulge - 0.05) * (p.bar_strength * normalised(bar))
    if p.ring_strength:
        ring = np.exp(-0.5 * ((r - p.ring_radius) / 0.08) ** 2) * clumps
        light = light * (1 - p.ring_strength) + young * (p.ring_strength * normalised(ring))
    return light


def _tails(p: GalaxyParameters, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Draw two unequal tidal tails of unit flux, open spirals from the disc's edge to twice its radius."""
    r = np.hypot(u, v) / p.radius
    angle = np.arctan2(v, u) - p.companion_angle - p.handedness * 1.3 * np.log(np.maximum(r, 0.05))
    along_tail = expit((r - 0.6) / 0.08) * expit((1.7 - r) / 0.15) * np.exp(-1.2 * r)
    tails = np.exp(14 * (np.cos(angle) - 1)) + 0.5 * np.exp(14 * (np.cos(angle + np.pi) - 1))
    return normalised(tails * along_tail)
