"""The words of captions: which phrases stand for which concept, and how phrases become a sentence.

The writer (``writing.py``) and the reader (``vocabulary.py``, ``reading.py``) share these tables, so that every written
caption can be read back. Captions do not mention size or distance, since the cut-outs are scaled by the galaxy's own
radius, nor "elliptical" or "face-on", since volunteers were not asked about them. Words of a tree, which are claims
where an answer means no concept, are said as they are.
"""

import random
from collections.abc import Iterable

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree

HEDGES = ("possibly", "perhaps", "hints of")
"""Words before a phrase on which volunteers disagree; the last only before things ("hints of a bar")."""

ADJECTIVES = {
    "smooth": ("smooth", "featureless"),
    "edge-on": ("edge-on",),
    "bar": ("barred",),
    "bar-strong": ("strongly barred",),
    "bar-weak": ("weakly barred",),
    "bar-none": ("unbarred",),
    "odd": ("odd", "peculiar"),
    "round": ("round", "completely round"),
    "in-between": ("oval", "slightly elongated"),
    "cigar-shaped": ("cigar-shaped", "strongly elongated"),
    "disturbed": ("disturbed",),
    "irregular": ("irregular",),
    "merger": ("merging",),
    "disturbance-minor": ("slightly disturbed",),
    "mostly-clumpy": ("clumpy", "mostly clumpy"),
}
"""Concept -> words that can precede "galaxy"."""

THINGS = {
    "bar": ("a bar", "a central bar"),
    "bar-strong": ("a strong bar", "a strong central bar"),
    "bar-weak": ("a weak bar", "a weak central bar"),
    "bar-none": ("no bar", "no sign of a bar"),
    "spiral": ("spiral arms", "a spiral pattern"),
    "spiral-none": ("no spiral arms", "no sign of spiral arms"),
    "bulge-none": ("no bulge", "no visible bulge"),
    "bulge-small": ("a small bulge", "a just noticeable bulge"),
    "bulge-obvious": ("an obvious bulge", "a prominent bulge"),
    "bulge-moderate": ("a moderate bulge", "a moderate central bulge"),
    "bulge-large": ("a large bulge", "a large central bulge"),
    "bulge-dominant": ("a dominant bulge", "a dominating bulge"),
    "odd": ("something odd about it",),
    "round": ("a round outline", "a round shape"),
    "in-between": ("an oval outline", "an oval shape"),
    "cigar-shaped": ("a cigar-like shape", "a cigar-like outline"),
    "ring": ("a ring", "a ring-like feature"),
    "lens-or-arc": ("a lens or an arc", "a gravitational lens or arc"),
    "disturbed": ("a disturbed shape", "a disturbed outline"),
    "irregular": ("an irregular shape", "an irregular outline"),
    "odd-other": ("an unusual feature", "an uncommon feature"),
    "merger": ("a merging companion", "a merger in progress"),
    "dust-lane": ("a dust lane", "a lane of dust"),
    "overlapping": ("an overlapping galaxy", "an overlapping neighbour"),
    "edge-on-bulge-rounded": ("a rounded bulge", "a round bulge"),
    "edge-on-bulge-boxy": ("a boxy bulge", "a box-shaped bulge"),
    "edge-on-bulge-none": ("no bulge", "no visible bulge"),
    "edge-on-bulge-any-shape": ("a central bulge", "a bulge at its centre"),
    "disturbance-minor": ("a minor disturbance", "a slight disturbance"),
    "disturbance-major": ("a major disturbance", "tidal debris"),
    "mostly-clumpy": ("a clumpy appearance",),
    "bright-clumps": ("bright clumps", "some bright clumps"),
}
"""Concept -> phrases that can follow "a galaxy with"."""

ARM_NUMBERS = {
    "arms-1": ("one", "a single"),
    "arms-2": ("two", "a pair of"),
    "arms-3": ("three",),
    "arms-4": ("four",),
    "arms-more-than-4": ("many", "more than four"),
}
ARM_WINDINGS = {
    "winding-tight": ("tightly wound",),
    "winding-medium": ("moderately wound",),
    "winding-loose": ("loosely wound",),
}
PROBLEMS = {
    "not-a-galaxy": ("a star or an artefact", "a star or an image artefact", "an artefact or a star"),
    "bad-image": ("an image that cannot be judged", "an image with a problem"),
    "star": ("a star", "a star instead of a galaxy"),
    "artifact": ("an image artefact", "an artefact"),
    "bad-zoom": ("an image at a bad zoom", "a badly zoomed image"),
}
"""Concept -> words that stand instead of a galaxy."""
NO_CLAIM = ("of uncertain form", "of unclear form")

_FRAMES = (
    "{0} with {1}",
    "{0} showing {1}",
    "{0}, which has {1}",
    "this is {0} with {1}",
    "the image shows {0} with {1}",
)
_BARE_FRAMES = ("{0}", "this is {0}", "the image shows {0}", "here we see {0}", "what we see is {0}")
_HEDGED_FRAMES = ("{0}", "this is {0}", "what we see is {0}")
_IMAGE_FRAMES = ("{0}", "this is {0}")
_HEAD = ("smooth", "featured", "spiral")
# Probabilities of the style. Ours: lab_notes.md, "Captions", compares them with an even choice among all synonyms.
_ADJECTIVE_SHARE = 0.8  # that a claim which can be an adjective or a thing becomes an adjective
_FAVOURITE = 0.6  # that the first of several synonyms is chosen outright, as a writer prefers some words
_REORDERED = 0.3  # that the order is another than that of the tree with the arms first


def _pick(synonyms, rng: random.Random) -> str:
    return synonyms[0] if rng.random() < _FAVOURITE else rng.choice(synonyms)


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _arms(number, winding, nouns: tuple[str, ...], rng: random.Random) -> str:
    """Return a phrase such as "two loosely wound arms"; a hedge applies to the words that follow it."""
    words = _pick(ARM_NUMBERS[number.concept], rng) if number else ""
    if words == "a pair of" and winding and winding.hedged:
        words = "two"  # "a pair of possibly loosely wound arms" does not read well
    noun = _pick(nouns, rng).removesuffix("s" if number and number.concept == "arms-1" else "")
    hedges = rng.sample(HEDGES[:2], 2)
    if number and number.hedged:
        words = f"{hedges[0]} {words}"
    if winding:
        wound = ARM_WINDINGS[winding.concept][0]
        words += (", " if number and number.hedged and winding.hedged else " ") if number else ""
        words += f"{hedges[1]} {wound}" if winding.hedged else wound
    return f"{words} {noun}"


def _enumerate(things: list[str]) -> str:
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def compose(claims: Iterable, rng: random.Random, tree: DecisionTree = GALAXY_ZOO_2) -> str:
    """Return one sentence that states exactly these claims, in a style drawn from ``rng``.

    Args:
        claims: objects with ``concept`` and ``hedged``. A claim about arms needs ``spiral`` beside it where the tree
            knows it, and a problem (:data:`PROBLEMS`) stands alone.
        rng: source of the choices among words and orders.
        tree: whose concepts are known to the reader of the sentence.
    """
    claimed = {claim.concept: claim for claim in claims}
    for problem in PROBLEMS:
        if problem in claimed:
            return _compose_problem(claimed[problem], rng)
    is_spiral = "spiral" in claimed and not claimed["spiral"].hedged
    is_edge_on = "edge-on" in claimed and not claimed["edge-on"].hedged
    hedged_disc = "featured" in claimed and claimed["featured"].hedged
    adjectives, things = [], []
    if "smooth" in claimed:
        adjectives.append(_hedge(_pick(ADJECTIVES["smooth"], rng), claimed["smooth"], rng, last=2))
    number = next((claimed[concept] for concept in ARM_NUMBERS if concept in claimed), None)
    winding = next((claimed[concept] for concept in ARM_WINDINGS if concept in claimed), None)
    if number or winding:
        things.append(_arms(number, winding, ("arms", "spiral arms") if "spiral" in tree.concepts else ("arms",), rng))
    for concept, claim in claimed.items():
        is_head = concept in _HEAD and not (concept == "spiral" and claim.hedged)
        if is_head or concept in ARM_NUMBERS or concept in ARM_WINDINGS:
            continue
        # More than two adjectives read badly; before a hedged "disc" the hedge would seem to apply to them.
        can_be_adjective = concept in ADJECTIVES and len(adjectives) < 2 and not hedged_disc
        if can_be_adjective and (concept not in THINGS or rng.random() < _ADJECTIVE_SHARE):
            adjectives.append(_hedge(_pick(ADJECTIVES[concept], rng), claim, rng, last=2))
        else:
            things.append(_hedge(_pick(THINGS.get(concept, (concept,)), rng), claim, rng, last=3))
    noun = "galaxy"
    if is_spiral:
        noun = "spiral galaxy"
    elif is_edge_on and "featured" in tree.concepts:
        noun = _pick(("disc galaxy", "galaxy"), rng)
    elif "featured" in claimed:
        noun = "disc galaxy"
    # The draw comes before the look at the words, since the sequence of draws determines the captions of a seed.
    if "smooth" in claimed and len(adjectives) == 2 and rng.random() < _REORDERED:
        if not any(" " in adjective for adjective in adjectives):
            adjectives.reverse()
    head = _article(f"{', '.join(adjectives)} {noun}" if adjectives else noun)
    if hedged_disc:
        head = f"{_pick(HEDGES[:2], rng)} {head}"
    if not claimed:
        head = f"{head} {_pick(NO_CLAIM, rng)}"
    if rng.random() < _REORDERED:
        rng.shuffle(things)
    if not things:
        return _pick(_HEDGED_FRAMES if hedged_disc else _BARE_FRAMES, rng).format(head)
    return _pick(_FRAMES[:4] if hedged_disc else _FRAMES, rng).format(head, _enumerate(things))


def _compose_problem(claim, rng: random.Random) -> str:
    words = _pick(PROBLEMS[claim.concept], rng)
    frames = _HEDGED_FRAMES if claim.hedged else _BARE_FRAMES
    if claim.concept in ("bad-image", "bad-zoom"):  # "the image shows a badly zoomed image" does not read well
        frames = _IMAGE_FRAMES
    return _pick(frames, rng).format(_hedge(words, claim, rng, last=2))


def _hedge(words: str, claim, rng: random.Random, last: int) -> str:
    return f"{_pick(HEDGES[:last], rng)} {words}" if claim.hedged else words
