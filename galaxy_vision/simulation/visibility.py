"""How visible the structures of a simulated galaxy are after seeing and noise.

A *visibility*, from 0 to 1, is the true contrast, times the share of a pattern of its size that a Gaussian seeing
preserves (the transfer function), times a factor for its signal to noise.
"""

from typing import NamedTuple

import numpy as np

from .parameters import SDSS_PIXEL, GalaxyParameters

R_SKY_NOISE = 0.028  # nanomaggies per SDSS pixel, that of the rendered images
HALF_SEEN_SIGNAL = 24.0  # signal to noise at which noise and the 8-bit stretch hide half of a contrast


class Visibility(NamedTuple):
    """Visibility of the structures of a galaxy, from 0 (hidden) to 1 (obvious); axis_ratio is that after blurring."""

    arms: float
    bar: float
    ring: float
    clumps: float
    tails: float
    companion: float
    dust: float
    arc: float
    axis_ratio: float
    sharpness: float


def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)), from 0 to 1."""
    return float(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def visibility(p: GalaxyParameters) -> Visibility:
    """Return what can be seen of a galaxy after blur and noise."""
    radius, sigma = p.radius, p.blur / 2.355  # stored pixels
    disc_share = 1 - 0.6 * p.bulge_fraction if p.bulge_fraction < 1 else 0.3
    # Surface brightness of an exponential disc at half its R90, in sigmas of an SDSS pixel.
    brightness = 0.24 * p.flux * disc_share / (radius**2 * max(p.axis_ratio, 0.1) ** 0.5) / (p.noise * R_SKY_NOISE)

    def seen(contrast: float, period: float, threshold: float) -> float:
        """Return the share of people who notice a pattern, one half of them if its contrast is at the threshold.

        Args:
            contrast: contrast of the pattern before the observation.
            period: length of one period, stored pixels.
            threshold: contrast after the observation that half of people notice.
        """
        transfer = np.exp(-2 * (np.pi * sigma / max(period, 0.5)) ** 2)
        signal = brightness * max(period * p.pixel_scale / SDSS_PIXEL, 0.5)  # averaged over the pattern's own size
        observed = contrast * transfer * signal / (signal + HALF_SEEN_SIGNAL)
        return float(observed**2.5 / (observed**2.5 + threshold**2.5))

    face_on = 0.35 + 0.65 * p.axis_ratio  # lengths across the disc are foreshortened
    arms = 0.0
    if p.arm_count:
        spacing = 2 * np.pi * 0.55 * radius * np.sin(p.pitch_angle) / p.arm_count * face_on
        arms = seen(p.arm_contrast * (1 - 0.5 * p.bulge_fraction), spacing, 0.09)
    bar_contrast = 4 * p.bar_strength / (1 + p.bulge_fraction)
    tails = seen(6 * p.tail_strength, 0.8 * radius, 0.5)
    separation = p.companion_distance * radius
    return Visibility(
        arms=arms,
        bar=seen(bar_contrast, 1.4 * p.bar_length * radius * face_on, 0.17) if p.bar_length else 0.0,
        ring=seen(4 * p.ring_strength, 0.7 * p.ring_radius * radius * face_on, 0.4) if p.ring_strength else 0.0,
        clumps=seen(p.clumpiness, 0.5 * radius * face_on, 0.5),
        tails=max(tails, seen(p.asymmetry, 1.5 * radius, 0.45)),
        companion=seen(2 * p.companion_flux, 1.6 * separation, 0.5) if p.companion_flux else 0.0,
        dust=seen(0.6 * p.dust, 0.3 * radius, 0.6) if p.kind == "edge-on disc" else 0.0,
        arc=seen(14 * p.arc_strength, 0.6 * radius, 0.4) if p.arc_strength else 0.0,
        axis_ratio=float(np.sqrt(((p.axis_ratio * 0.5 * radius) ** 2 + sigma**2) / ((0.5 * radius) ** 2 + sigma**2))),
        sharpness=float(np.exp(-2 * (np.pi * sigma / radius) ** 2) * brightness / (brightness + 8.0)),
    )
