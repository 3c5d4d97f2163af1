"""Where the structures of a simulated galaxy are on its image: the truth that heat maps are compared with."""

import math

import numpy as np

from galaxy_vision.simulation.parameters import IMAGE_SIZE, GalaxyParameters

_Y, _X = (np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] - (IMAGE_SIZE - 1) / 2).astype(np.float32)  # stored pixels from the centre


def structure_masks(parameters: GalaxyParameters) -> dict[str, np.ndarray]:
    """Return the pixels of the structures that a galaxy has, before the seeing.

    Returns:
        The masks of ``"bar"``, ``"ring"`` and ``"companion"`` that the galaxy has, each (212, 212) bool. The bar ends
        where its profile has fallen to a third; the ring is two standard deviations wide on either side; the companion
        reaches to its R90.
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
    return masks
