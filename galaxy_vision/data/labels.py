"""Assign one morphological class to the votes on a galaxy, by a named scheme.

A scheme is a list of classes, from the most general to the most special. A galaxy gets the last class whose conditions
all hold, and is *uncertain* (-1, left out of training and of class scores) if there is none. Conditions are data, so
that docs and dataset cards print the rules that are applied.
"""

from typing import NamedTuple

import numpy as np

from ..models.concepts import MIN_VOTES
from ..models.decision_tree import (
    QUESTION_OF_ANSWER,
    QUESTION_SLICES,
    QUESTIONS,
    WELL_SAMPLED,
    answer_index,
    conditional_fractions,
    question_totals,
)

UNCERTAIN = -1


class Condition(NamedTuple):
    """A condition on an answer: ``at_least <= fraction < below``, and most votes of its question if ``most_voted``."""

    answer: str
    at_least: float = 0.0
    below: float = np.inf
    most_voted: bool = False

    def __str__(self) -> str:
        limits = [f"{self.answer} >= {self.at_least:g}"] if self.at_least > 0 else []
        limits += [f"{self.answer} < {self.below:g}"] if self.below < np.inf else []
        limits += [f"{self.answer} has most votes"] if self.most_voted else []
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


_FEATURED = Condition("a02_features_or_disk", at_least=0.430)
_FACE_ON = Condition("a05_no", at_least=0.715)
_WILLETT = "thresholds: Willett et al. 2013, table 3"

_HUBBLE = Scheme(
    "hubble",
    (
        MorphologyClass(
            "elliptical",
            "A smooth, featureless galaxy, round to moderately flattened.",
            (Condition("a01_smooth", at_least=0.6), Condition("a18_cigar_shaped", below=0.5)),
            f"class E of Hubble 1926; {_WILLETT}, with .6 in place of .469 for t01 because both a01 and a02 can pass "
            "their cuts; smooth cigars are left out: no elliptical is flatter than E7",
        ),
        MorphologyClass(
            "lenticular",
            "A disc without spiral arms, seen from above.",
            (_FEATURED, _FACE_ON, Condition("a09_no_spiral", at_least=0.619)),
            f"class S0 of Hubble 1936 (The Realm of the Nebulae); {_WILLETT}, the cut for spirals applied to 'no'",
        ),
        MorphologyClass(
            "spiral",
            "A disc with spiral arms and without a strong bar.",
            (_FEATURED, _FACE_ON, Condition("a08_spiral", at_least=0.619), Condition("a06_bar", below=0.5)),
            f"class S of Hubble 1926; {_WILLETT}; bar by majority",
        ),
        MorphologyClass(
            "barred spiral",
            "A disc with spiral arms and a bar.",
            (_FEATURED, _FACE_ON, Condition("a08_spiral", at_least=0.619), Condition("a06_bar", at_least=0.5)),
            f"class SB of Hubble 1926; {_WILLETT}; bar by majority, as Masters et al. 2011 (MNRAS 411, 2026)",
        ),
        MorphologyClass(
            "edge-on disc",
            "A disc seen from its side, so that arms and bar cannot be seen.",
            (_FEATURED, Condition("a04_yes", at_least=0.602)),
            f"{_WILLETT} (cut for the shape of an edge-on bulge)",
        ),
        MorphologyClass(
            "irregular",
            "A galaxy without a regular shape.",
            (Condition("a14_yes", at_least=0.5), Condition("a22_irregular", at_least=0.5)),
            f"class Irr of Hubble 1926 (ApJ 64, 321); majority answers of t06 and t08; {_WILLETT}",
        ),
        MorphologyClass(
            "merger",
            "Two or more galaxies that are merging.",
            (Condition("a14_yes", at_least=0.5), Condition("a24_merger", at_least=0.5)),
            f"majority answers of t06 and t08; {_WILLETT}",
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


def _path(*answers: str) -> tuple[Condition, ...]:
    """Return the conditions of a path through the tree along the most voted answers."""
    return tuple(Condition(answer, most_voted=True) for answer in answers)


_SUMMARY = Scheme(
    "summary",
    (
        MorphologyClass(
            "smooth_round", "Smooth and completely round.", _path("a01_smooth", "a16_completely_round"), _SUMMARY_SOURCE
        ),
        MorphologyClass(
            "smooth_in_between", "Smooth and oval.", _path("a01_smooth", "a17_in_between"), _SUMMARY_SOURCE
        ),
        MorphologyClass(
            "smooth_cigar", "Smooth and cigar-shaped.", _path("a01_smooth", "a18_cigar_shaped"), _SUMMARY_SOURCE
        ),
        MorphologyClass(
            "edge_on_disk", "A disc seen from its side.", _path("a02_features_or_disk", "a04_yes"), _SUMMARY_SOURCE
        ),
        MorphologyClass(
            "unbarred_spiral",
            "A disc with spiral arms and no bar.",
            _path("a02_features_or_disk", "a05_no", "a08_spiral", "a07_no_bar"),
            _SUMMARY_SOURCE,
        ),
        MorphologyClass(
            "barred_spiral",
            "A disc with spiral arms and a bar.",
            _path("a02_features_or_disk", "a05_no", "a08_spiral", "a06_bar"),
            _SUMMARY_SOURCE,
        ),
        MorphologyClass(
            "featured_without_bar_or_spiral",
            "Features or a disc, but neither bar nor arms.",
            _path("a02_features_or_disk", "a05_no", "a09_no_spiral", "a07_no_bar"),
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
        MorphologyClass("merger", "Merger.", (Condition("a24_merger", at_least=0.6),), _THRESHOLD_SOURCE),
        MorphologyClass("edge-on", "Edge-on disc.", (Condition("a04_yes", at_least=0.6),), _THRESHOLD_SOURCE),
        MorphologyClass("elliptical", "Smooth.", (Condition("a01_smooth", at_least=0.6),), _THRESHOLD_SOURCE),
        MorphologyClass("spiral", "Spiral arms.", (Condition("a08_spiral", at_least=0.6),), _THRESHOLD_SOURCE),
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
        raise ValueError(f"label_scheme={name!r} is unknown; choose one of {', '.join(SCHEMES)}")
    return SCHEMES[name]


def _holds(condition: Condition, fractions: np.ndarray) -> np.ndarray:
    """Return (...,) bool: whether a condition holds for fractions (..., 37); False where they are NaN."""
    index = answer_index(condition.answer)
    fraction = fractions[..., index]
    with np.errstate(invalid="ignore"):
        holds = (fraction >= condition.at_least) & (fraction < condition.below)
    if condition.most_voted:
        siblings = QUESTION_SLICES[QUESTIONS[QUESTION_OF_ANSWER[index]].stem]
        most_voted = np.nan_to_num(fractions[..., siblings], nan=-1.0).argmax(axis=-1)
        holds &= most_voted == index - siblings.start
    return holds


def assign_labels(votes, scheme: str = "hubble", debiased=None, trees=None) -> np.ndarray:
    """Return the class of each galaxy by a scheme.

    Args:
        votes: (..., 37) votes; NaN where unknown.
        scheme: a name in :data:`SCHEMES`.
        debiased: (..., 37) debiased fractions, for schemes that use them.

    Returns:
        (...,) int64 index into ``class_names`` of the scheme; :data:`UNCERTAIN` (-1) where no class applies.

    Raises:
        ValueError: the scheme is unknown, or the last axis is not the 37 answers.
    """
    chosen = get_scheme(scheme)
    votes = np.asarray(votes, dtype=np.float64)
    fractions = conditional_fractions(votes)
    if chosen.debiased and debiased is not None:
        fractions = np.where(np.isnan(fractions), np.nan, np.asarray(debiased, dtype=np.float64))
    totals = question_totals(votes)
    labels = np.full(votes.shape[:-1], UNCERTAIN, dtype=np.int64)
    for label, morphology_class in enumerate(chosen.classes):  # a later class takes precedence
        applies = np.ones(votes.shape[:-1], dtype=bool)
        for condition in morphology_class.conditions:
            applies &= _holds(condition, fractions)
            if chosen.well_sampled:
                index = answer_index(condition.answer)
                applies &= totals[..., index] >= MIN_VOTES
                for parent, least in WELL_SAMPLED[QUESTIONS[QUESTION_OF_ANSWER[index]].stem].items():
                    applies &= _holds(Condition(parent, at_least=least), fractions)
        labels[applies] = label
    labels[np.isnan(votes).all(axis=-1)] = UNCERTAIN
    return labels


def scheme_table(scheme: str) -> str:
    """Return the classes of a scheme with their rules and sources, as a Markdown table."""
    chosen = get_scheme(scheme)
    lines = ["| label | class | meaning | rule (fractions of those asked) | source |", "|---|---|---|---|---|"]
    for label, morphology_class in enumerate(chosen.classes):
        name, meaning, conditions, source = morphology_class
        rule = "; ".join(map(str, conditions)) or "always"
        lines.append(f"| {label} | {name} | {meaning} | {rule} | {source} |")
    note = "A galaxy gets the last class whose conditions all hold; if there is none it is uncertain (-1)."
    if chosen.well_sampled:
        note += " Every question used must be well sampled (Willett et al. 2013, table 3) "
        note += f"and have at least {MIN_VOTES} votes."
    return "\n".join([*lines, "", f"{note} {chosen.remark}"])


def class_names_for(scheme: str, trees=None) -> list[str]:
    return get_scheme(scheme).class_names


def undecidable(scheme: str, trees=None) -> list[str]:
    return []
