"""Simulated volunteers: what people answer about a galaxy whose structures are partly hidden by seeing and noise.

Volunteers answer from visibilities (:mod:`.visibility`) and not from the true parameters. The constants are ours: they
were set so that the mean fraction of each answer is near that of the Galaxy Challenge (to .014 rms, lab_notes.md,
"Simulation"); those of questions that Galaxy Zoo 2 does not ask are named below.

What volunteers see does not depend on the campaign: concepts have *weights*, and the chance of an answer is its share
of the weights of all answers that its question offers (Luce 1959, Individual Choice Behavior). A bulge between "none"
and "obvious" thus goes to the nearer one where a campaign does not offer "small".
"""

from functools import cache

import numpy as np

from ..models.concepts import ASPECTS
from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree, Question
from .parameters import GalaxyParameters
from .visibility import Visibility, logistic, visibility

MEAN_CLASSIFICATIONS, SPREAD_CLASSIFICATIONS = 44, 7  # volunteers per galaxy (Willett et al. 2013, section 2.3)
RANDOM_CLICKS = 0.03  # share of answers that have nothing to do with the image
PERCEPTION_SCATTER = 0.3  # logits; scatter between images of how smooth they seem, beyond their parameters
BULGE_EDGES = (0.13, 0.46, 0.65, 0.80)
"""Square roots of the bulge's share of light at which none, small, moderate, large and dominant bulges part. That of
moderate and large is ours, the others are those of Galaxy Zoo 2, where moderate and large ones are "obvious"."""
STRONG_BAR = 0.287
"""Geometric mean of length in R90 and share of the light at which half of people call a visible bar strong. Ours:
strong to weak bars are then as 15.5 to 28.1 (Géron et al. 2021, MNRAS 507, 4389)."""
FAINT_BARS = 0.10
"""Weight of a weak bar where nothing is seen. Ours: "weak" is said more easily than "yes"; see :data:`STRONG_BAR`."""
WITH_DEBRIS = "both"
"""Answer of GZ DECaLS DR1/2 and CANDELS for mergers with tidal debris, beside "merger" for those without."""
TOPICS = ASPECTS | {
    "merging": (*ASPECTS["merging"], "merger", "merger with debris", "merger without debris"),
    "ring": ("ring", None),
    "image fault": ("satellite", "scattered", "diffraction", "ray", "saturation", "other", "ghost"),
}
"""Topic of a question -> what its answers may mean: a concept, None where "ring" is asked alone and denied, or the
answer itself of the one question without concepts, on artifacts. Mergers are an odd feature in Galaxy Zoo 2, and an
answer on merging elsewhere."""


def _either(*chances: float) -> float:
    """Return the probability that at least one of independent events happens."""
    return 1 - float(np.prod([1 - chance for chance in chances]))


def _ordered(value: float, edges: tuple[float, ...], width: float) -> list[float]:
    """Return the shares of ordered answers if people read a value with errors of ``width`` and cut it at ``edges``."""
    above = [1.0, *(logistic((value - edge) / width) for edge in edges), 0.0]
    return [high - low for high, low in zip(above[:-1], above[1:], strict=True)]


def concept_weights(p: GalaxyParameters, rng: np.random.Generator) -> dict[str, dict[str | None, float]]:
    """Return what speaks for each meaning of each of :data:`TOPICS` in the eyes of volunteers, in any unit."""
    visible = visibility(p)
    is_disc = p.bulge_fraction < 1
    thin = logistic((0.33 - visible.axis_ratio) / 0.035) * (1.0 if is_disc else 0.35)
    disc_look = (0.20 + 0.30 * visible.sharpness) if is_disc else 0.10
    patterns = (0.98 * visible.arms, 0.75 * visible.bar, 0.8 * visible.ring, 0.8 * visible.clumps)
    featured = _either(disc_look, *patterns, 0.85 * thin)
    featured = _either(featured, 0.6 * visible.tails, 0.35 * visible.companion, 0.6 * visible.dust, 0.2 * visible.arc)
    featured = logistic(np.log(featured / (1 - featured + 1e-3)) + rng.normal(0, PERCEPTION_SCATTER))
    if p.kind == "star":
        star = 0.75
    else:
        star = {"frame edge": 0.12, "dropped line": 0.06, "satellite trail": 0.06}.get(p.artifact, 0.012)
    edge_on = _either(0.02, 0.97 * thin) if is_disc else _either(0.05, thin)
    arms = _either(0.08 + 0.12 * is_disc * visible.sharpness, visible.arms, 0.5 * visible.tails)
    round_, in_between, cigar = _ordered(-visible.axis_ratio, (-0.80, -0.40), 0.045)
    clumps = _either(0.04, 0.8 * visible.clumps)
    is_faulty = p.artifact != "none"
    return {
        "kind": {
            "smooth": (1 - featured) * (1 - star),
            "featured": featured * (1 - star),
            "not-a-galaxy": star,
            "bad-image": star,
        },
        "edge-on": {"edge-on": edge_on, "not-edge-on": 1 - edge_on},
        "bar": _bar(p, visible),
        "spiral": {"spiral": arms, "spiral-none": 1 - arms},
        "roundness": {"round": round_, "in-between": in_between, "cigar-shaped": cigar},
        "merging": _merging(visible),
        "clumps": {
            "mostly-clumpy": clumps if p.kind == "irregular" else 0.3 * clumps,
            "bright-clumps": clumps,
            "no-clumps": 1 - clumps,
        },
        "ring": {"ring": _either(0.02, 0.8 * visible.ring), None: (1 - 0.02) * (1 - 0.8 * visible.ring)},
        "problem": {
            "star": 0.9 if p.kind == "star" else 0.1,
            "artifact": 0.9 if is_faulty else 0.1,
            "bad-zoom": 0.1,  # every simulated frame is 8.5 R90 wide
        },
        "image fault": {
            fault: 0.05 + (p.artifact in causes)
            for fault, causes in {
                "satellite": ("satellite trail",),
                "scattered": (),
                "diffraction": ("saturated star",),
                "ray": (),
                "saturation": ("saturated star",),
                "other": ("frame edge", "dropped line"),
                "ghost": (),
            }.items()
        },
        **_bulge(p, visible),
        **_oddities(p, visible),
        **_spiral_pattern(p, visible),
    }


def _bar(p: GalaxyParameters, visible: Visibility) -> dict[str, float]:
    """Return the weights of bars; weak ones are short or have little light."""
    strong = logistic((np.sqrt(p.bar_length * p.bar_strength) - STRONG_BAR) / 0.025)
    return {
        "bar": _either(0.06, 0.93 * visible.bar),
        "bar-strong": 0.01 + 0.93 * visible.bar * strong,
        "bar-weak": _either(FAINT_BARS, 0.93 * visible.bar * (1 - strong)),
        "bar-none": (1 - 0.06) * (1 - 0.93 * visible.bar),
    }


def _bulge(p: GalaxyParameters, visible: Visibility) -> dict[str, dict[str, float]]:
    """Return the weights of the sizes of a bulge, and of its shapes in a disc seen edge-on."""
    is_disc = p.bulge_fraction < 1
    bulge = np.sqrt(min(p.bulge_fraction + 0.3 * p.bar_strength, 1.0 if is_disc else 0.3))
    blur = 1 - visible.sharpness
    width = 0.06 + 0.05 * blur
    none, small, moderate, large, dominant = _ordered(bulge, BULGE_EDGES, width)
    bulge_shapes = {"rounded": [0.88, 0.06, 0.06], "boxy": [0.26, 0.64, 0.10], "none": [0.16, 0.04, 0.80]}
    if p.kind == "edge-on disc":
        bulge_shape = p.bulge_shape
    else:
        bulge_shape = "rounded" if bulge > 0.3 else "none"
    shape = np.array(bulge_shapes[bulge_shape])
    rounded, boxy, shapeless = visible.sharpness * shape + blur * np.array([0.6, 0.08, 0.32])
    return {
        "bulge": {
            "bulge-none": none,
            "bulge-small": small,
            "bulge-obvious": _ordered(bulge, (BULGE_EDGES[1], BULGE_EDGES[3]), width)[1],
            "bulge-moderate": moderate,
            "bulge-large": large,
            "bulge-dominant": dominant,
        },
        "edge-on bulge": {
            "edge-on-bulge-rounded": rounded,
            "edge-on-bulge-boxy": boxy,
            "edge-on-bulge-none": shapeless,
            "edge-on-bulge-any-shape": rounded + boxy,
        },
    }


def _oddities(p: GalaxyParameters, visible: Visibility) -> dict[str, dict[str, float]]:
    """Return the weights of anything odd, and of what it is."""
    looks = {
        "ring": 0.8 * visible.ring,
        "lens-or-arc": 0.7 * visible.arc,
        "disturbed": 0.7 * visible.tails,
        "irregular": 0.8 * visible.clumps if p.kind == "irregular" else 0.15 * visible.clumps,
        "odd-other": {"none": 0.0, "dropped line": 0.35, "saturated star": 0.15}.get(p.artifact, 0.25),
        "merger": 0.9 * visible.companion,
        "dust-lane": _either(0.6 * visible.dust, 0.25 * (p.artifact == "dropped line")),
    }
    idle = np.array([0.010, 0.012, 0.018, 0.020, 0.038, 0.012, 0.002])  # odd features reported though nothing is odd
    features = dict(zip(looks, idle + np.array(list(looks.values())), strict=True))
    return {
        "oddity": {
            "odd": _either(idle.sum(), *looks.values()),
            "odd-none": (1 - idle.sum()) * np.prod([1 - look for look in looks.values()]),
        },
        "odd feature": features | {"overlapping": 0.005 + 0.1 * visible.companion},
    }


def _spiral_pattern(p: GalaxyParameters, visible: Visibility) -> dict[str, dict[str, float]]:
    """Return the weights of the winding and the number of spiral arms."""
    if p.arm_count:
        counted = _normalise(np.exp(-np.abs(np.array([1, 2, 3, 4, 6]) - min(p.arm_count, 6)) / 0.4))
        number = [*(counted * (0.2 + 0.75 * visible.arms)), 0.8 - 0.75 * visible.arms]  # the last is "can't tell"
        winding = _ordered(np.degrees(p.pitch_angle), (15.0, 27.0), 2.0 + 3.0 * (1 - visible.sharpness))
    else:
        number, winding = [0.08, 0.35, 0.06, 0.03, 0.03, 0.45], [0.50, 0.32, 0.18]
    if visible.tails > visible.arms:
        winding = [0.2, 0.4, 0.4]
    return {
        "winding": dict(zip(TOPICS["winding"], winding, strict=True)),
        "arm number": dict(zip(TOPICS["arm number"], number, strict=True)),
    }


def _merging(visible: Visibility) -> dict[str, float]:
    """Return the weights of merging and of disturbances, which are minor unless most people notice them. Ours."""
    merger = _either(0.015, 0.9 * visible.companion)
    disturbed = _either(0.08, 0.95 * visible.tails**0.5)  # people who are asked for it find it more often than odd
    major = 0.05 + 0.95 * logistic((visible.tails - 0.55) / 0.1)
    return {
        "merging-none": (1 - merger) * (1 - disturbed),
        "disturbance-minor": (1 - merger) * disturbed * (1 - major),
        "disturbance-major": (1 - merger) * disturbed * major,
        "merger": merger,
        "merger with debris": merger * visible.tails,
        "merger without debris": merger * (1 - visible.tails),
    }


def _normalise(weights) -> np.ndarray:
    return np.asarray(weights, np.float64) / np.sum(weights)


def _meanings(question: Question) -> tuple[str | None, ...]:
    """Return what the answers of a question mean, see :data:`TOPICS`."""
    meanings = list(question.concepts or question.answers)
    if meanings.count("merger") > 1 and WITH_DEBRIS in question.answers:
        for index, answer in enumerate(question.answers):
            if meanings[index] == "merger":
                meanings[index] += " with debris" if answer == WITH_DEBRIS else " without debris"
    return tuple(meanings)


def _topic(question: Question) -> str | None:
    """Return the topic of a question; None where volunteers are not simulated."""
    meanings = _meanings(question)
    if question.is_multiple or meanings.count(None) > 1:
        return None
    topics = TOPICS if question.concepts else ["image fault"]
    return next((topic for topic in topics if set(meanings) <= set(TOPICS[topic])), None)


@cache
def _topics(tree: DecisionTree) -> tuple[tuple[str, str, tuple[str | None, ...]], ...]:
    """Return the name and topic of each question and what its answers mean; raise ValueError as check_answerable."""
    topics = []
    for question in tree.questions:
        if (topic := _topic(question)) is None:
            reason = "has several answers at once" if question.is_multiple else "has answers of unknown meaning"
            raise ValueError(
                f"simulated volunteers cannot answer question {question.name!r} of tree {tree.name!r}, which {reason} "
                f"({', '.join(question.answers)}); give a data set of this campaign"
            )
        topics.append((question.name, topic, _meanings(question)))
    return tuple(topics)


def check_answerable(tree: DecisionTree) -> None:
    """Check that simulated volunteers can answer all questions of a tree; raise ValueError otherwise."""
    _topics(tree)


def answer_probabilities(
    p: GalaxyParameters, rng: np.random.Generator, tree: DecisionTree = GALAXY_ZOO_2
) -> dict[str, np.ndarray]:
    """Return the probability of each answer of a volunteer who is asked: question -> (answers,), sum one.

    Raises:
        ValueError: volunteers are not simulated for a question of the tree.
    """
    topics = _topics(tree)
    weights = concept_weights(p, rng)
    probabilities = {}
    for question, topic, meanings in topics:
        chances = [weights[topic][meaning] / meanings.count(meaning) for meaning in meanings]  # synonyms share it
        probabilities[question] = (1 - RANDOM_CLICKS) * _normalise(chances) + RANDOM_CLICKS / len(chances)
    return probabilities


def vote(parameters: GalaxyParameters, rng: np.random.Generator, tree: DecisionTree = GALAXY_ZOO_2) -> np.ndarray:
    """Draw the votes of 20 to 70 volunteers who descend a tree: (answers,) float32 of whole numbers.

    Args:
        parameters: of the galaxy.
        rng: source of all random numbers.
        tree: of the campaign. As many volunteers see a galaxy in every campaign, 44 in the mean.

    Raises:
        ValueError: volunteers are not simulated for a question of the tree.
    """
    chances = answer_probabilities(parameters, rng, tree)
    votes = np.zeros(len(tree.answers), np.float32)
    everybody = np.clip(np.rint(rng.normal(MEAN_CLASSIFICATIONS, SPREAD_CLASSIFICATIONS)), 20, 70)
    answered = set()

    def ask(question: Question) -> None:
        if question.name in answered:
            return
        answered.add(question.name)
        for parent, _ in question.parents:
            ask(tree.question(parent))
        asked = sum(float(votes[tree.index(*parent)]) for parent in question.parents) if question.parents else everybody
        votes[tree.slices[question.name]] = rng.multinomial(int(asked), chances[question.name])

    for question in tree.questions:
        ask(question)
    return votes
