"""Where the structures of a simulated galaxy are on its image: the truth that heat maps are compared with."""

import math

import numpy as np

from galaxy_vision.simulation.parameters import IMAGE_SIZE, GalaxyParameters

_Y, _X = (np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] - (IMAGE_SIZE - 1) / 2).astype(np.float32)  # stored pixels from the centre


def structure_masks(parameters: GalaxyParameters) -> dict[str, np.ndarray]:
    """Return the pixels of the structures that a galaxy has, before the seeing.

    Returns:
        The masks of ``"bar"``, ``"ring"``, ``"companion"`` and ``"arms"`` that the galaxy has, each (212, 212) bool.
        The bar and the arms end where their profile has fallen to a third; the ring is two standard deviations wide on
        either side; the companion reaches to its R90. There are no masks of three arms and more, whose shape is drawn
        at random.
    """
    p = parameters
    masks = {}
    cosine, sine = math.cos(p.position_angle), math.sin(p.position_angle)
    u, v = _X * cosine + _Y * sine, (_Y * cosine - _X * sine) / p.axis_ratio
    if p.bar_strength:
        cosine, sine = math.cos(p.bar_angle), math.sin(p.bar_angle)
        along, across = u * cosine + v * sine, v * cosine - u * sine
        length = p.bar_length * p.radius
        masks["bar"] = (np.abs(along) / length) ** 2.5 + (np.abs(across) / (0.28 * length)) ** 2 < 1
    if p.ring_strength:
        masks["ring"] = np.abs(np.hypot(u, v) / p.radius - p.ring_radius) < 0.16
    if p.companion_flux:
        distance = p.companion_distance * p.radius
        x, y = distance * math.cos(p.companion_angle), distance * math.sin(p.companion_angle)
        masks["companion"] = np.hypot(_X - x, _Y - y) < 0.7 * p.radius * math.sqrt(p.companion_flux)
    if p.arm_count in (1, 2):
        r, start = np.hypot(u, v) / p.radius, max(p.bar_length, 0.12)
        winding = np.log(np.maximum(r, 0.02) / start) / math.tan(p.pitch_angle)
        phase = p.arm_count * (np.arctan2(v, u) - p.bar_angle - p.handedness * winding)
        masks["arms"] = (np.cos(phase) > 1 - math.log(3) / 2.5) & (r > start) & (r < p.arm_reach)
    return masks
