"""The decision tree of Galaxy Zoo 2: its questions and answers, and what only its tables have.

Every array has the 37 answers of :data:`ANSWERS` on its last axis. Votes, conditional fractions and reach are those of
:mod:`galaxy_vision.models.tree`; *Kaggle* values are cumulative fractions, conditional x reach, as the Galaxy Challenge
published them, with the error of that release in Q6.
"""

from typing import NamedTuple

import numpy as np

from .tree import DecisionTree
from .tree import Question as TreeQuestion


class Question(NamedTuple):
    """One task of the tree.

    Attributes:
        stem: hart16 column stem, such as ``"t02_edgeon"``.
        text: the question as volunteers read it.
        answers: hart16 answer names in column order, such as ``("a04_yes", "a05_no")``.
        parents: answers of other questions, each of which leads to this one; empty for the first question.
        hub: name of the question in the data sets of galaxy-datasets (Walmsley et al. 2023, JOSS 8, 5312).
        hub_answers: its answer names there, in the order of ``answers``; empty where they do not have the question.
        concepts: what each answer means, see :mod:`galaxy_vision.models.concepts`.
    """

    stem: str
    text: str
    answers: tuple[str, ...]
    parents: tuple[str, ...]
    hub: str
    hub_answers: tuple[str, ...]
    concepts: tuple[str, ...]


QUESTIONS = (
    Question(
        "t01_smooth_or_features",
        "Is the galaxy simply smooth and rounded, with no sign of a disk?",
        ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact"),
        (),
        "smooth-or-featured",
        ("smooth", "featured-or-disk", "artifact"),
        ("smooth", "featured", "not-a-galaxy"),
    ),
    Question(
        "t02_edgeon",
        "Could this be a disk viewed edge-on?",
        ("a04_yes", "a05_no"),
        ("a02_features_or_disk",),
        "disk-edge-on",
        ("yes", "no"),
        ("edge-on", "not-edge-on"),
    ),
    Question(
        "t03_bar",
        "Is there a sign of a bar feature through the centre of the galaxy?",
        ("a06_bar", "a07_no_bar"),
        ("a05_no",),
        "bar",
        ("yes", "no"),
        ("bar", "bar-none"),
    ),
    Question(
        "t04_spiral",
        "Is there any sign of a spiral arm pattern?",
        ("a08_spiral", "a09_no_spiral"),
        ("a05_no",),
        "has-spiral-arms",
        ("yes", "no"),
        ("spiral", "spiral-none"),
    ),
    Question(
        "t05_bulge_prominence",
        "How prominent is the central bulge, compared with the rest of the galaxy?",
        ("a10_no_bulge", "a11_just_noticeable", "a12_obvious", "a13_dominant"),
        ("a05_no",),
        "bulge-size",
        ("no", "just-noticeable", "obvious", "dominant"),
        ("bulge-none", "bulge-small", "bulge-obvious", "bulge-dominant"),
    ),
    Question(
        "t06_odd",
        "Is there anything odd?",
        ("a14_yes", "a15_no"),
        ("a01_smooth", "a02_features_or_disk"),
        "something-odd",
        ("yes", "no"),
        ("odd", "odd-none"),
    ),
    Question(
        "t07_rounded",
        "How rounded is it?",
        ("a16_completely_round", "a17_in_between", "a18_cigar_shaped"),
        ("a01_smooth",),
        "how-rounded",
        ("round", "in-between", "cigar"),
        ("round", "in-between", "cigar-shaped"),
    ),
    Question(
        "t08_odd_feature",
        "Is the odd feature a ring, or is the galaxy disturbed or irregular?",
        ("a19_ring", "a20_lens_or_arc", "a21_disturbed", "a22_irregular", "a23_other", "a24_merger", "a38_dust_lane"),
        ("a14_yes",),
        "",
        (),
        ("ring", "lens-or-arc", "disturbed", "irregular", "odd-other", "merger", "dust-lane"),
    ),
    Question(
        "t09_bulge_shape",
        "Does the galaxy have a bulge at its centre? If so, what shape?",
        ("a25_rounded", "a26_boxy", "a27_no_bulge"),
        ("a04_yes",),
        "bulge-shape",
        ("round", "boxy", "no-bulge"),
        ("edge-on-bulge-rounded", "edge-on-bulge-boxy", "edge-on-bulge-none"),
    ),
    Question(
        "t10_arms_winding",
        "How tightly wound do the spiral arms appear?",
        ("a28_tight", "a29_medium", "a30_loose"),
        ("a08_spiral",),
        "spiral-winding",
        ("tight", "medium", "loose"),
        ("winding-tight", "winding-medium", "winding-loose"),
    ),
    Question(
        "t11_arms_number",
        "How many spiral arms are there?",
        ("a31_1", "a32_2", "a33_3", "a34_4", "a36_more_than_4", "a37_cant_tell"),
        ("a08_spiral",),
        "spiral-arm-count",
        ("1", "2", "3", "4", "more-than-4", "cant-tell"),
        ("arms-1", "arms-2", "arms-3", "arms-4", "arms-more-than-4", "arms-cant-tell"),
    ),
)
"""The 11 questions in the order of their task numbers."""

ANSWERS = tuple(f"{question.stem}_{answer}" for question in QUESTIONS for answer in question.answers)
"""The 37 hart16 column stems, such as ``"t01_smooth_or_features_a01_smooth"``: the last axis of arrays of votes."""

KAGGLE_COLUMNS = tuple(
    f"Class{number}.{answer}"
    for number, question in enumerate(QUESTIONS, 1)
    for answer in range(1, len(question.answers) + 1)
)
"""The 37 columns of ``training_solutions_rev1.csv`` in the order of :data:`ANSWERS`."""

NUM_ANSWERS = len(ANSWERS)
SHORT_NAMES = tuple(answer for question in QUESTIONS for answer in question.answers)
"""The 37 answer names without their question, such as ``"a01_smooth"``; each occurs once."""


def answer_index(name: str) -> int:
    """Return the index of an answer on the last axis, from ``"a08_spiral"``, ``"a08"`` or the whole stem.

    Raises:
        KeyError: no answer has that name.
    """
    for index, (short, stem) in enumerate(zip(SHORT_NAMES, ANSWERS, strict=True)):
        if name in (short, stem, short.split("_")[0]):
            return index
    raise KeyError(f"{name!r} is not an answer of the Galaxy Zoo 2 tree; the answers are {', '.join(SHORT_NAMES)}")


GALAXY_ZOO_2 = DecisionTree(
    "gz2",
    tuple(
        TreeQuestion(
            question.stem,
            question.answers,
            tuple(
                (other.stem, parent) for other in QUESTIONS for parent in question.parents if parent in other.answers
            ),
            question.text,
            concepts=question.concepts,
        )
        for question in QUESTIONS
    ),
)
"""The tree as a value; its questions are named by the stems of hart16."""

QUESTION_SLICES = GALAXY_ZOO_2.slices
"""Question stem -> slice of its answers on the last axis."""

QUESTION_OF_ANSWER = GALAXY_ZOO_2.question_of_answer
"""(37,) int: index into :data:`QUESTIONS` of the question of each answer."""

WELL_SAMPLED = {stem: {SHORT_NAMES[index]: least for index, least in cuts} for stem, cuts in GALAXY_ZOO_2.cuts.items()}
"""Question -> least fraction of each answer on the way to it for which its votes are well sampled."""

question_totals = GALAXY_ZOO_2.totals
conditional_fractions = GALAXY_ZOO_2.conditional
reach = GALAXY_ZOO_2.reach


def hub_columns(campaign: str = "gz2") -> tuple[str | None, ...]:
    """Return the 37 columns of a galaxy-datasets table, ``{question}-{campaign}_{answer}``; None for a missing one."""
    names = []
    for question in QUESTIONS:
        answers = question.hub_answers or (None,) * len(question.answers)
        names += [None if answer is None else f"{question.hub}-{campaign}_{answer}" for answer in answers]
    return tuple(names)


NOMINAL_CLASSIFICATIONS = 44
"""Number of volunteers where it is unknown: the median of Galaxy Zoo 2 (Willett et al. 2013, section 2.2)."""


def votes_from_conditional(conditional, num_classifications) -> np.ndarray:
    """Return expected votes, reach x conditional x number of classifications, which are not rounded.

    Args:
        conditional: (..., 37) conditional fractions. NaN becomes 0 where nobody was asked, and stays NaN elsewhere.
        num_classifications: (...) number of volunteers who classified the galaxy.
    """
    conditional = np.asarray(conditional, dtype=np.float64)
    asked = reach(conditional)
    number = np.asarray(num_classifications, dtype=np.float64)[..., None]
    return np.where(asked == 0, 0.0, asked * conditional) * number


def _kaggle_reach(conditional) -> np.ndarray:
    """Return :func:`reach` with the error of the release: all volunteers reach t06, and all "odd" ones of it t08."""
    asked = reach(conditional)
    asked[..., QUESTION_SLICES["t06_odd"]] = 1.0
    asked[..., QUESTION_SLICES["t08_odd_feature"]] = conditional[..., answer_index("a14"), None]
    return asked


def kaggle_from_conditional(conditional) -> np.ndarray:
    """Return the cumulative values of the Galaxy Challenge for conditional fractions, (..., 37) -> (..., 37).

    A value is p(answer | asked) x p(asked), except that Q6 sums to 1, where the tree gives Class1.1 + Class1.2, and Q8
    to Class6.1 accordingly. Questions that nobody reaches become 0.
    """
    conditional = np.asarray(conditional, dtype=np.float64)
    asked = _kaggle_reach(conditional)
    return np.where(asked == 0, 0.0, asked * conditional)


def conditional_from_kaggle(kaggle) -> np.ndarray:
    """Return conditional fractions for cumulative values of the Galaxy Challenge, (..., 37) -> (..., 37).

    They are the values over the sum of their question, whatever the release took as its reach, so that the error in Q6
    does not matter; NaN where the sum is 0.
    """
    return conditional_fractions(kaggle)
