"""Schemes: named sets of morphological classes, with the rules that give a galaxy its class by the votes on it.

A scheme lists classes from the most general to the most special. Rules are data and name concepts
(:mod:`galaxy_vision.models.concepts`), so that every campaign whose volunteers were asked can be classed by them, and
docs and dataset cards print the rules that are applied.
"""

from typing import NamedTuple

import numpy as np

WORDS = {
    "smooth": ("smooth", "is smooth"),
    "featured": ("features or disc", "has features or a disc"),
    "edge-on": ("edge-on", "is seen edge-on"),
    "not-edge-on": ("not edge-on", "is seen edge-on"),
    "bar": ("bar", "has a bar"),
    "bar-none": ("no bar", "has a bar"),
    "spiral": ("spiral arms", "has spiral arms"),
    "spiral-none": ("no spiral arms", "has spiral arms"),
    "odd": ("something odd", "has something odd"),
    "round": ("round", "is round"),
    "in-between": ("in-between", "is oval"),
    "cigar-shaped": ("cigar-shaped", "is cigar-shaped"),
    "irregular": ("irregular", "is irregular"),
    "merger": ("merger", "is merging"),
}
"""Concept of a rule -> its name in tables of rules, and what is asked of a galaxy to know it."""


class Condition(NamedTuple):
    """A condition on the share of volunteers who meant a concept, among those who were asked.

    Attributes:
        concept: what is meant, such as ``"bar"``; where a tree has several answers for it, such as a strong and a weak
            bar, their shares are added.
        at_least: least share.
        below: the share is smaller.
        most_voted: no other concept of its question has a larger share; of equal ones the first answer counts.
        if_on_the_way: the condition holds only for trees that ask this on the way to the other conditions of the class,
            as Galaxy Zoo 2 asks for an odd feature only where something is odd. Trees that ask those directly, as the
            merging question of GZ DECaLS, do without it.
    """

    concept: str
    at_least: float = 0.0
    below: float = np.inf
    most_voted: bool = False
    if_on_the_way: bool = False

    def __str__(self) -> str:
        words = WORDS[self.concept][0]
        limits = [f"{words} >= {self.at_least:g}"] if self.at_least > 0 else []
        limits += [f"{words} < {self.below:g}"] if self.below < np.inf else []
        limits += [f"{words} has most votes"] if self.most_voted else []
        return " and ".join(limits)


class MorphologyClass(NamedTuple):
    """A class of a scheme: its name, its meaning in a sentence, its conditions, which must all hold, and its source."""

    name: str
    meaning: str
    conditions: tuple[Condition, ...]
    source: str


class Scheme(NamedTuple):
    """A named set of classes.

    Attributes:
        name: value of ``--label_scheme``.
        classes: classes in label order; a later one takes precedence over an earlier one.
        well_sampled: require, for the question of every condition, at least 20 votes and the parent fractions of
            Willett et al. (2013), table 3.
        debiased: use debiased fractions where the source has them.
        remark: note for readers who compare results.
    """

    name: str
    classes: tuple[MorphologyClass, ...]
    well_sampled: bool
    debiased: bool
    remark: str

    @property
    def class_names(self) -> list[str]:
        """Names of the classes in label order."""
        return [morphology_class.name for morphology_class in self.classes]


_FEATURED = Condition("featured", at_least=0.430)
_FACE_ON = Condition("not-edge-on", at_least=0.715)
_ODD = Condition("odd", at_least=0.5, if_on_the_way=True)
_WILLETT = "thresholds: Willett et al. 2013, table 3"

_HUBBLE = Scheme(
    "hubble",
    (
        MorphologyClass(
            "elliptical",
            "A smooth, featureless galaxy, round to moderately flattened.",
            (Condition("smooth", at_least=0.6), Condition("cigar-shaped", below=0.5)),
            f"class E of Hubble 1926; {_WILLETT}, with .6 in place of .469, because both smooth and featured can pass "
            "their cuts; smooth cigars are left out: no elliptical is flatter than E7",
        ),
        MorphologyClass(
            "lenticular",
            "A disc without spiral arms, seen from above.",
            (_FEATURED, _FACE_ON, Condition("spiral-none", at_least=0.619)),
            f"class S0 of Hubble 1936 (The Realm of the Nebulae); {_WILLETT}, the cut for spirals applied to 'no'",
        ),
        MorphologyClass(
            "spiral",
            "A disc with spiral arms and without a strong bar.",
            (_FEATURED, _FACE_ON, Condition("spiral", at_least=0.619), Condition("bar", below=0.5)),
            f"class S of Hubble 1926; {_WILLETT}; bar by majority",
        ),
        MorphologyClass(
            "barred spiral",
            "A disc with spiral arms and a bar.",
            (_FEATURED, _FACE_ON, Condition("spiral", at_least=0.619), Condition("bar", at_least=0.5)),
            f"class SB of Hubble 1926; {_WILLETT}; bar by majority, as Masters et al. 2011 (MNRAS 411, 2026)",
        ),
        MorphologyClass(
            "edge-on disc",
            "A disc seen from its side, so that arms and bar cannot be seen.",
            (_FEATURED, Condition("edge-on", at_least=0.602)),
            f"{_WILLETT} (cut for the shape of an edge-on bulge)",
        ),
        MorphologyClass(
            "irregular",
            "A galaxy without a regular shape.",
            (_ODD, Condition("irregular", at_least=0.5)),
            f"class Irr of Hubble 1926 (ApJ 64, 321); by majority; {_WILLETT}",
        ),
        MorphologyClass(
            "merger",
            "Two or more galaxies that are merging.",
            (_ODD, Condition("merger", at_least=0.5)),
            f"by majority; {_WILLETT}",
        ),
    ),
    well_sampled=True,
    debiased=False,
    remark="Uses plain vote fractions: an image does not show the redshift that the debiased ones correct for. "
    "Star or artifact is not a galaxy class; such rows are uncertain.",
)

_SUMMARY_SOURCE = (
    "class names of galaxy-datasets (Walmsley et al. 2023, JOSS 8, 5312); most voted answer of each question"
)


def _path(*concepts: str) -> tuple[Condition, ...]:
    """Return the conditions of a path through the tree along the concepts with most votes."""
    return tuple(Condition(concept, most_voted=True) for concept in concepts)


_SUMMARY = Scheme(
    "summary",
    (
        MorphologyClass("smooth_round", "Smooth and completely round.", _path("smooth", "round"), _SUMMARY_SOURCE),
        MorphologyClass("smooth_in_between", "Smooth and oval.", _path("smooth", "in-between"), _SUMMARY_SOURCE),
        MorphologyClass("smooth_cigar", "Smooth and cigar-shaped.", _path("smooth", "cigar-shaped"), _SUMMARY_SOURCE),
        MorphologyClass("edge_on_disk", "A disc seen from its side.", _path("featured", "edge-on"), _SUMMARY_SOURCE),
        MorphologyClass(
            "unbarred_spiral",
            "A disc with spiral arms and no bar.",
            _path("featured", "not-edge-on", "spiral", "bar-none"),
            _SUMMARY_SOURCE,
        ),
        MorphologyClass(
            "barred_spiral",
            "A disc with spiral arms and a bar.",
            _path("featured", "not-edge-on", "spiral", "bar"),
            _SUMMARY_SOURCE,
        ),
        MorphologyClass(
            "featured_without_bar_or_spiral",
            "Features or a disc, but neither bar nor arms.",
            _path("featured", "not-edge-on", "spiral-none", "bar-none"),
            _SUMMARY_SOURCE,
        ),
    ),
    well_sampled=False,
    debiased=False,
    remark="For comparison with Zoobot. Barred discs without arms and most-voted stars or artifacts are uncertain.",
)

_THRESHOLD_SOURCE = "rule of the hobby classifier that is compared with: conditional debiased fraction of .6, ungated"

_THRESHOLD = Scheme(
    "threshold",
    (
        MorphologyClass("ambiguous", "None of the others.", (), _THRESHOLD_SOURCE),
        MorphologyClass("merger", "Merger.", (Condition("merger", at_least=0.6),), _THRESHOLD_SOURCE),
        MorphologyClass("edge-on", "Edge-on disc.", (Condition("edge-on", at_least=0.6),), _THRESHOLD_SOURCE),
        MorphologyClass("elliptical", "Smooth.", (Condition("smooth", at_least=0.6),), _THRESHOLD_SOURCE),
        MorphologyClass("spiral", "Spiral arms.", (Condition("spiral", at_least=0.6),), _THRESHOLD_SOURCE),
    ),
    well_sampled=False,
    debiased=True,
    remark="For comparison only: nothing checks that the question was reached, so three volunteers make a spiral.",
)

SCHEMES = {scheme.name: scheme for scheme in (_HUBBLE, _SUMMARY, _THRESHOLD)}
"""Scheme name -> :class:`Scheme`."""


def get_scheme(name: str) -> Scheme:
    """Return a scheme by its name.

    Raises:
        ValueError: no scheme has that name.
    """
    if name not in SCHEMES:
        raise ValueError(f"label_scheme={name!r} is unknown; choose one of {', '.join(SCHEMES)}, answers")
    return SCHEMES[name]
