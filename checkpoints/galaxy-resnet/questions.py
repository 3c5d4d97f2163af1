"""The questions and answers of Galaxy Zoo 2 as data, and the columns that stand for them in each source.

Sources: Willett et al. 2013 (MNRAS 435, 2835), table 2 (the tree) and table 3 (when a question is well sampled); Hart et
al. 2016 (MNRAS 461, 3663), column names; Dieleman et al. 2015 (MNRAS 450, 1441) for the Kaggle challenge.
"""

from typing import NamedTuple


class Question(NamedTuple):
    """One task of the tree.

    Attributes:
        stem: hart16 column stem, such as ``"t02_edgeon"``.
        text: the question as volunteers read it.
        answers: hart16 answer names in column order, such as ``("a04_yes", "a05_no")``.
        parents: answers (of other questions) that lead here, any one of them; empty for the first question.
        hub: name of the question in the data sets of the Zoobot authors.
        hub_answers: their answer names in the order of ``answers``; empty where they do not publish the question.
    """

    stem: str
    text: str
    answers: tuple[str, ...]
    parents: tuple[str, ...]
    hub: str
    hub_answers: tuple[str, ...]


QUESTIONS = (
    Question(
        "t01_smooth_or_features",
        "Is the galaxy simply smooth and rounded, with no sign of a disk?",
        ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact"),
        (),
        "smooth-or-featured",
        ("smooth", "featured-or-disk", "artifact"),
    ),
    Question(
        "t02_edgeon",
        "Could this be a disk viewed edge-on?",
        ("a04_yes", "a05_no"),
        ("a02_features_or_disk",),
        "disk-edge-on",
        ("yes", "no"),
    ),
    Question(
        "t03_bar",
        "Is there a sign of a bar feature through the centre of the galaxy?",
        ("a06_bar", "a07_no_bar"),
        ("a05_no",),
        "bar",
        ("yes", "no"),
    ),
    Question(
        "t04_spiral",
        "Is there any sign of a spiral arm pattern?",
        ("a08_spiral", "a09_no_spiral"),
        ("a05_no",),
        "has-spiral-arms",
        ("yes", "no"),
    ),
    Question(
        "t05_bulge_prominence",
        "How prominent is the central bulge, compared with the rest of the galaxy?",
        ("a10_no_bulge", "a11_just_noticeable", "a12_obvious", "a13_dominant"),
        ("a05_no",),
        "bulge-size",
        ("no", "just-noticeable", "obvious", "dominant"),
    ),
    Question(
        "t06_odd",
        "Is there anything odd?",
        ("a14_yes", "a15_no"),
        ("a01_smooth", "a02_features_or_disk"),
        "something-odd",
        ("yes", "no"),
    ),
    Question(
        "t07_rounded",
        "How rounded is it?",
        ("a16_completely_round", "a17_in_between", "a18_cigar_shaped"),
        ("a01_smooth",),
        "how-rounded",
        ("round", "in-between", "cigar"),
    ),
    Question(
        "t08_odd_feature",
        "Is the odd feature a ring, or is the galaxy disturbed or irregular?",
        (
            "a19_ring",
            "a20_lens_or_arc",
            "a21_disturbed",
            "a22_irregular",
            "a23_other",
            "a24_merger",
            "a38_dust_lane",
        ),
        ("a14_yes",),
        "",
        (),
    ),
    Question(
        "t09_bulge_shape",
        "Does the galaxy have a bulge at its centre? If so, what shape?",
        ("a25_rounded", "a26_boxy", "a27_no_bulge"),
        ("a04_yes",),
        "bulge-shape",
        ("round", "boxy", "no-bulge"),
    ),
    Question(
        "t10_arms_winding",
        "How tightly wound do the spiral arms appear?",
        ("a28_tight", "a29_medium", "a30_loose"),
        ("a08_spiral",),
        "spiral-winding",
        ("tight", "medium", "loose"),
    ),
    Question(
        "t11_arms_number",
        "How many spiral arms are there?",
        ("a31_1", "a32_2", "a33_3", "a34_4", "a36_more_than_4", "a37_cant_tell"),
        ("a08_spiral",),
        "spiral-arm-count",
        ("1", "2", "3", "4", "more-than-4", "cant-tell"),
    ),
)
"""The 11 questions in the order of their task numbers."""

ANSWERS = tuple(f"{question.stem}_{answer}" for question in QUESTIONS for answer in question.answers)
"""The 37 hart16 column stems, such as ``"t01_smooth_or_features_a01_smooth"``: the last axis of every array of votes."""

KAGGLE_COLUMNS = tuple(
    f"Class{number}.{place}" for number, question in enumerate(QUESTIONS, 1) for place in range(1, len(question.answers) + 1)
)
"""The 37 columns of ``training_solutions_rev1.csv`` in the order of :data:`ANSWERS`."""

HART16_KINDS = ("count", "weight", "fraction", "weighted_fraction", "debiased", "flag")
"""Suffixes that gz2_hart16.csv has for each of :data:`ANSWERS` (``{answer}_{kind}``)."""

NUM_ANSWERS = len(ANSWERS)
SHORT_NAMES = tuple(answer for question in QUESTIONS for answer in question.answers)
"""The 37 answer names without their question, such as ``"a01_smooth"``; each occurs once."""

# Vote fraction that Willett et al. (2013), table 3, require of each parent answer (main sample, at least 20 votes on the
# question) before they call the question well sampled.
WELL_SAMPLED = {
    "t01_smooth_or_features": {},
    "t02_edgeon": {"a02_features_or_disk": 0.430},
    "t03_bar": {"a02_features_or_disk": 0.430, "a05_no": 0.715},
    "t04_spiral": {"a02_features_or_disk": 0.430, "a05_no": 0.715},
    "t05_bulge_prominence": {"a02_features_or_disk": 0.430, "a05_no": 0.715},
    "t06_odd": {},
    "t07_rounded": {"a01_smooth": 0.469},
    "t08_odd_feature": {"a14_yes": 0.420},
    "t09_bulge_shape": {"a02_features_or_disk": 0.430, "a04_yes": 0.602},
    "t10_arms_winding": {"a02_features_or_disk": 0.430, "a05_no": 0.715, "a08_spiral": 0.619},
    "t11_arms_number": {"a02_features_or_disk": 0.430, "a05_no": 0.715, "a08_spiral": 0.619},
}
MIN_VOTES = 20
"""Votes on a question below which Willett et al. (2013) do not use its fractions."""
