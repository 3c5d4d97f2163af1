"""What the columns of a prediction mean: UCD and description of each, for VOTables and their readers.

UCDs are of IVOA's controlled vocabulary. None of the columns has a unit: they are shares, probabilities and text.
"""

from ..sky.about import About

FRACTION = About("", "src.morph.param", "share of those asked who would answer so")
LOWER = About("", "src.morph.param;stat.min", "lower limit of the 90 % interval of that share")
UPPER = About("", "src.morph.param;stat.max", "upper limit of the 90 % interval of that share")
REACH = About("", "stat.probability;src.morph.param", "share of volunteers who would be asked")
CERTAINTY = About("", "stat.weight;src.morph.param", "how many votes the prediction is worth")
OF_VOTES = {"conditional": FRACTION, "lower": LOWER, "upper": UPPER, "reach": REACH, "certainty": CERTAINTY}
"""Quantities of votes, as they are computed, and what their columns mean."""

_OTHERS = {
    "id": About("", "meta.id;meta.main", "identifier of the galaxy in the catalogue"),
    "source": About("", "meta.ref", "where the galaxy is in the catalogue"),
    "status": About("", "meta.code.status", "ok, or what became of its image"),
    "error": About("", "meta.note", "why its image could not be had or read"),
    "reading": About("", "meta.note", "what was done to its pixels"),
    "doubts": About("", "meta.note", "why the answers may mean nothing"),
    "class": About("", "src.morph.type", "most probable class"),
    "uncertain": About("", "stat.probability;src.morph.type", "probability that it has none of the classes"),
    "caption": About("", "meta.note", "sentence that says what is seen"),
    "embedding": About("", "stat.param", "features of the backbone of the classifier"),
}
_PROBABILITY = "probability_"


def of_votes(quantity: str, name: str, campaign: str) -> About:
    """Return what a column of votes means.

    Args:
        quantity: one of :data:`OF_VOTES`.
        name: of the answer or question.
        campaign: whose volunteers.
    """
    about = OF_VOTES[quantity]
    return about._replace(description=f"{about.description}: {name}, {campaign}")


def meaning_of(name: str) -> About:
    """Return what a column means that is not of votes."""
    if name in _OTHERS:
        return _OTHERS[name]
    if name.startswith(_PROBABILITY):
        label = name.removeprefix(_PROBABILITY).replace("_", " ")
        return About("", "stat.probability;src.morph.type", f"probability that the galaxy is: {label}")
    if name.endswith("_error"):
        return About("", "stat.error;src.morph.param", f"standard error of {name.removesuffix('_error')}")
    return About("", "src.morph.param", f"{name}, as the model predicts it")
