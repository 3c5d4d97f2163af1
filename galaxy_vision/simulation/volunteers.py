"""Simulated volunteers: what people answer about a galaxy whose structures are partly hidden by seeing and noise.

Every structure has a *visibility* from 0 to 1: its true contrast, times the share of a pattern of its size that a
Gaussian seeing preserves (the transfer function), times a factor for its signal to noise. Volunteers answer from
visibilities and not from the true parameters. The constants are ours: they were set so that the mean fraction of each
answer is near that of the Galaxy Challenge (to .014 rms, lab_notes.md, "Simulation").
"""

from typing import NamedTuple

import numpy as np

from ..models.decision_tree import NUM_ANSWERS, QUESTION_SLICES, answer_index
from .parameters import SDSS_PIXEL, GalaxyParameters

MEAN_CLASSIFICATIONS, SPREAD_CLASSIFICATIONS = 44, 7  # volunteers per galaxy (Willett et al. 2013, section 2.3)
RANDOM_CLICKS = 0.03  # share of answers that have nothing to do with the image
PERCEPTION_SCATTER = 0.3  # logits; scatter between images of how smooth they seem, beyond their parameters
HALF_SEEN_SIGNAL = 24.0  # signal to noise at which noise and the 8-bit stretch hide half of a contrast
R_SKY_NOISE = 0.028  # nanomaggies per SDSS pixel, that of the rendered images


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


def _logistic(x: float) -> float:
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


def _either(*chances: float) -> float:
    """Return the probability that at least one of independent events happens."""
    return 1 - float(np.prod([1 - chance for chance in chances]))


def _ordered(value: float, edges: tuple[float, ...], width: float) -> list[float]:
    """Return the shares of ordered answers if people read a value with errors of ``width`` and cut it at ``edges``."""
    above = [1.0, *(_logistic((value - edge) / width) for edge in edges), 0.0]
    return [high - low for high, low in zip(above[:-1], above[1:], strict=True)]


def answer_probabilities(p: GalaxyParameters, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the probability of each answer of a volunteer who is asked: question stem -> (answers,), sum one."""
    visible = visibility(p)
    is_disc = p.bulge_fraction < 1
    thin = _logistic((0.33 - visible.axis_ratio) / 0.035) * (1.0 if is_disc else 0.35)
    disc_look = (0.20 + 0.30 * visible.sharpness) if is_disc else 0.10
    patterns = (0.98 * visible.arms, 0.75 * visible.bar, 0.8 * visible.ring, 0.8 * visible.clumps)
    featured = _either(disc_look, *patterns, 0.85 * thin)
    featured = _either(featured, 0.6 * visible.tails, 0.35 * visible.companion, 0.6 * visible.dust, 0.2 * visible.arc)
    featured = _logistic(np.log(featured / (1 - featured + 1e-3)) + rng.normal(0, PERCEPTION_SCATTER))
    if p.kind == "star":
        star = 0.75
    else:
        star = {"frame edge": 0.12, "dropped line": 0.06, "satellite trail": 0.06}.get(p.artifact, 0.012)
    arms = _either(0.08 + 0.12 * is_disc * visible.sharpness, visible.arms, 0.5 * visible.tails)
    odd_looks = {
        "a19_ring": 0.8 * visible.ring,
        "a20_lens_or_arc": 0.7 * visible.arc,
        "a21_disturbed": 0.7 * visible.tails,
        "a22_irregular": 0.8 * visible.clumps if p.kind == "irregular" else 0.15 * visible.clumps,
        "a23_other": {"none": 0.0, "dropped line": 0.35, "saturated star": 0.15}.get(p.artifact, 0.25),
        "a24_merger": 0.9 * visible.companion,
        "a38_dust_lane": _either(0.6 * visible.dust, 0.25 * (p.artifact == "dropped line")),
    }
    idle = np.array([0.010, 0.012, 0.018, 0.020, 0.038, 0.012, 0.002])  # odd features reported though nothing is odd
    bulge = np.sqrt(min(p.bulge_fraction + 0.3 * p.bar_strength, 1.0 if is_disc else 0.3))
    blur = 1 - visible.sharpness
    counts = np.array([1, 2, 3, 4, 6])
    if p.arm_count:
        counted = _normalise(np.exp(-np.abs(counts - min(p.arm_count, 6)) / 0.4))
        number = [*(counted * (0.2 + 0.75 * visible.arms)), 0.8 - 0.75 * visible.arms]  # the last is "can't tell"
        winding = _ordered(np.degrees(p.pitch_angle), (15.0, 27.0), 2.0 + 3.0 * blur)
    else:
        number, winding = [0.08, 0.35, 0.06, 0.03, 0.03, 0.45], [0.50, 0.32, 0.18]
    if visible.tails > visible.arms:
        winding = [0.2, 0.4, 0.4]
    bulge_shapes = {"rounded": [0.88, 0.06, 0.06], "boxy": [0.26, 0.64, 0.10], "none": [0.16, 0.04, 0.80]}
    if p.kind == "edge-on disc":
        bulge_shape = p.bulge_shape
    else:
        bulge_shape = "rounded" if bulge > 0.3 else "none"
    shape = np.array(bulge_shapes[bulge_shape])
    edge_on = _either(0.02, 0.97 * thin) if is_disc else _either(0.05, thin)
    chances = {
        "t01_smooth_or_features": [(1 - featured) * (1 - star), featured * (1 - star), star],
        "t02_edgeon": [edge_on, 1 - edge_on],
        "t03_bar": [_either(0.06, 0.93 * visible.bar), (1 - 0.06) * (1 - 0.93 * visible.bar)],
        "t04_spiral": [arms, 1 - arms],
        "t05_bulge_prominence": _ordered(bulge, (0.13, 0.46, 0.80), 0.06 + 0.05 * blur),
        "t06_odd": [
            _either(idle.sum(), *odd_looks.values()),
            (1 - idle.sum()) * np.prod([1 - look for look in odd_looks.values()]),
        ],
        "t07_rounded": _ordered(-visible.axis_ratio, (-0.80, -0.40), 0.045),
        "t08_odd_feature": _normalise(idle + np.array(list(odd_looks.values()))),
        "t09_bulge_shape": visible.sharpness * shape + blur * np.array([0.6, 0.08, 0.32]),
        "t10_arms_winding": winding,
        "t11_arms_number": number,
    }
    return {
        stem: (1 - RANDOM_CLICKS) * _normalise(chance) + RANDOM_CLICKS / len(chance) for stem, chance in chances.items()
    }


def _normalise(weights) -> np.ndarray:
    return np.asarray(weights, np.float64) / np.sum(weights)


def vote(parameters: GalaxyParameters, rng: np.random.Generator) -> np.ndarray:
    """Draw the votes of 20 to 70 volunteers who descend the tree: (37,) float32 of whole numbers."""
    chances = answer_probabilities(parameters, rng)
    votes = np.zeros(NUM_ANSWERS, np.float32)

    def ask(stem: str, volunteers: float) -> None:
        votes[QUESTION_SLICES[stem]] = rng.multinomial(int(volunteers), chances[stem])

    def votes_for(answer: str) -> float:
        return float(votes[answer_index(answer)])

    ask("t01_smooth_or_features", np.clip(np.rint(rng.normal(MEAN_CLASSIFICATIONS, SPREAD_CLASSIFICATIONS)), 20, 70))
    ask("t02_edgeon", votes_for("a02"))
    for stem in ("t03_bar", "t04_spiral", "t05_bulge_prominence"):
        ask(stem, votes_for("a05"))
    ask("t06_odd", votes_for("a01") + votes_for("a02"))
    ask("t07_rounded", votes_for("a01"))
    ask("t08_odd_feature", votes_for("a14"))
    ask("t09_bulge_shape", votes_for("a04"))
    for stem in ("t10_arms_winding", "t11_arms_number"):
        ask(stem, votes_for("a08"))
    return votes
