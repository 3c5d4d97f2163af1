"""The class of a galaxy by the votes that a model predicts, so that class, votes and captions hardly contradict.

The vote head predicts a Dirichlet distribution of the fractions of each question. The probability of a class is the
share of draws from it whose class, by the rules that label a galaxy by its votes (:mod:`galaxy_vision.data.labels`), is
this one, to which the class head adds some (:data:`HEAD_WEIGHT`). Classes hence follow the campaign whose votes are
asked for. Models without votes, and those with classes of their own, have the probabilities of the class head.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gammaincinv, gammaln

from ..data.labels import class_names_for, class_names_of, labels_of_fractions, questions_of, scheme_of
from ..images.likeness import Doubt
from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput
from ..models.tree import DecisionTree
from ..models.trees import Trees

DRAWS = 256
"""Draws of the fractions, a power of 2 as quasi-random numbers need it. Ours: the standard error of a probability is
.007 for .3 ms of one core and image; of 512 it is .0045 (lab_notes.md, "One state for class and votes")."""

HEAD_WEIGHT = 0.3
"""Draws that the class head counts for, as a share of all. Ours: on 571 validation galaxies accuracy and macro F1 are
.804 and .646, .795 and .627 by draws alone, .788 and .647 by the head alone; class and votes contradict each other as
rarely as by draws alone (lab_notes.md, "One state for class and votes")."""

ALL_UNDECIDED = 0.99
"""Share of draws without class above which the class is a guess. Ours."""

OWN_CLASSES = "own"
"""Value of ``config.label_scheme`` for classes that are not those of a scheme, though they have their names."""

MANY_UNCERTAIN = 0.3
"""Share of draws without class from which it is shown beside the class. Ours: 6 % of the galaxies with a class by their
votes, and 30 % of those without, have as many (lab_notes.md)."""

NO_CLASS = Doubt("no_class", "the predicted votes fit none of the classes, so that this one is a guess")

_LOG_CONCENTRATIONS = np.arange(-7.0, 14.0, 0.125)
"""Grid of the table of quantiles; those of the vote head are from -6 to 7."""


class ClassProbabilities(NamedTuple):
    """Probabilities of the classes of images.

    Attributes:
        probabilities: (B, classes), which sum to one: of the class, given that the galaxy has one.
        uncertain: (B,) share of draws for which the galaxy has no class by the rules, as stars, artifacts, and galaxies
            between two classes; None where the class head decides.
    """

    probabilities: torch.Tensor
    uncertain: torch.Tensor | None


class _Rule(NamedTuple):
    """A scheme, the tree whose fractions decide, and the place of each class of these two among those of the model."""

    scheme: str
    tree: DecisionTree
    places: list[int]


def label_scheme_of(config) -> str | None:
    """Return the scheme whose classes a model has; None for classes of its own, and for a model without votes.

    Raises:
        ValueError: ``config.label_scheme`` is unknown, or the model has other classes.
    """
    scheme, trees = getattr(config, "label_scheme", None), config.decision_trees
    if not config.predict_votes or scheme == OWN_CLASSES:
        return None
    names = _class_names(config)
    if scheme is None:  # as in models that were saved before there was this field
        return scheme_of(names, trees)
    class_names_for(scheme, trees)  # refuses an unknown scheme
    if names not in (known := class_names_of(scheme, trees)):
        raise ValueError(
            f"label_scheme={scheme!r} has the classes {', '.join(known[0])}, and the model has {', '.join(names)}; "
            f"set it to {OWN_CLASSES!r} in config.json"
        )
    return scheme


def _class_names(config) -> list[str]:
    return [config.id2label[label] for label in range(config.num_labels)]


def _rule_of(scheme: str, names: list[str], trees: Trees, campaign: str | None) -> _Rule | None:
    """Return the rule of the campaign, or of the first one that decides two of the classes; None without one."""
    for tree in trees.values() if campaign is None else (trees.named(campaign),):
        known = class_names_of(scheme, Trees((tree,)))
        if known and set(known[0]) <= set(names):
            return _Rule(scheme, tree, [names.index(name) for name in known[0]])
    return None


def class_campaign(model, campaigns: Iterable[str] | None = None) -> str | None:
    """Return the first of some campaigns whose votes decide the class of an image; None if the class head does.

    Args:
        model: as for :func:`class_probabilities`.
        campaigns: of the model; None for all.
    """
    scheme, names = label_scheme_of(model.config), _class_names(model.config)
    for campaign in model.trees if campaigns is None else campaigns:
        if scheme is not None and _rule_of(scheme, names, model.trees, campaign):
            return campaign
    return None


def class_probabilities(
    model, outputs: GalaxyClassifierOutput, campaign: str | None = None, scheme: str | None = None
) -> ClassProbabilities:
    """Return the probabilities of the classes of images, from the outputs of a classifier.

    They are the shares of draws from the predicted fractions that have each class, among those that have any; the class
    head counts for :data:`HEAD_WEIGHT` of all draws. They depend on the outputs for an image alone: the draws are the
    same quasi-random numbers for each. Where the votes of a campaign decide fewer than two of the classes, the class
    head decides.

    Args:
        model: a :class:`~galaxy_vision.GalaxyResNetForImageClassification`, also one that several processes share.
        outputs: of the model, or of :func:`~galaxy_vision.inference.rotations.classify`.
        campaign: one of the model's; None for the first whose votes decide classes.
        scheme: whose classes are wanted; None for those of the model. Those of another scheme, which are all that the
            trees of the model decide, have equal probabilities where no draw has a class.

    Raises:
        ValueError: the model does not have the campaign, the scheme is unknown, or the votes do not decide it.
    """
    model = getattr(model, "module", model)
    trees = model.trees
    if campaign is not None and outputs.vote_concentration is not None:
        trees.named(campaign)
    if scheme is None:
        prior, weight = outputs.logits.float().softmax(-1), HEAD_WEIGHT
        scheme = label_scheme_of(model.config)
        names = _class_names(model.config)
        rule = None if scheme is None else _rule_of(scheme, names, trees, campaign)
        if rule is None:
            return ClassProbabilities(prior, None)
    else:
        names = class_names_for(scheme, trees)
        prior = outputs.logits.new_full((len(outputs.logits), len(names)), 1 / len(names), dtype=torch.float32)
        weight = 1 - ALL_UNDECIDED
        rule = _rule_of(scheme, names, trees, campaign)
        if rule is None:
            raise ValueError(f"the votes of {campaign} do not decide classes of label_scheme={scheme!r}; name another")
    concentration = trees.part(outputs.vote_concentration, rule.tree.name).float().cpu().numpy()
    shares = torch.from_numpy(class_shares(concentration, rule.scheme, rule.tree)).to(prior)
    decided = shares.sum(-1, keepdim=True)
    probabilities = weight * prior
    probabilities[:, rule.places] += shares
    return ClassProbabilities(probabilities / (decided + weight), 1 - decided[:, 0])


def class_shares(concentration: np.ndarray, scheme: str, tree: DecisionTree, draws: int = DRAWS) -> np.ndarray:
    """Return the share of draws from predicted fractions that have each class of a scheme.

    Args:
        concentration: (B, answers of the tree) of the Dirichlet distributions, > 0.
        scheme: as for :func:`~galaxy_vision.data.labels.assign_labels`.
        tree: whose answers these are.
        draws: number of draws, a power of 2.

    Returns:
        (B, classes that the tree decides); one minus their sum is the share of draws without class.
    """
    labels = labels_of_fractions(_fractions(concentration, tree, questions_of(scheme, tree), draws), scheme, tree)
    count = len(class_names_for(scheme, Trees((tree,))))
    return np.stack([(labels == label).mean(-1) for label in range(count)], -1)


def _fractions(concentration: np.ndarray, tree: DecisionTree, questions: list[str], draws: int) -> np.ndarray:
    """Return draws (B, draws, answers) of the fractions of some questions; NaN for those of the others.

    Gamma variates over their sum are a Dirichlet variate. Gamma quantiles at fixed points, interpolated in a table,
    change smoothly with the concentration, so that rounding does not exchange one set of draws for another.
    """
    first, last = _LOG_CONCENTRATIONS[[0, -1]]
    step = _LOG_CONCENTRATIONS[1] - first
    places = (np.log(concentration.T.astype(np.float32)).clip(first, last) - first) / step  # (answers, B)
    below = np.minimum(np.nan_to_num(places).astype(np.int64), len(_LOG_CONCENTRATIONS) - 2)  # NaN stays in weights
    weights = (places - below).astype(np.float32)[..., None]
    table, order = _log_gamma_quantiles(draws), _order(len(tree.answers), draws)
    fractions = np.full((*places.shape, draws), np.nan, np.float32)  # answers first: each is one block of memory
    for name in questions:
        part = tree.slices[name]
        values = table[below[part]] * (1 - weights[part]) + table[below[part] + 1] * weights[part]
        values = np.take_along_axis(values, order[part, None], -1)
        values = np.exp(values - values.max(0))
        fractions[part] = values / values.sum(0)
    return np.moveaxis(fractions, 0, -1)


@cache
def _log_gamma_quantiles(draws: int) -> np.ndarray:
    """Return (concentrations, draws): logarithms of the quantiles of the gamma distribution at equal steps."""
    points = (np.arange(draws) + 0.5) / draws
    concentrations = np.exp(_LOG_CONCENTRATIONS)[:, None]
    quantiles = gammaincinv(concentrations, points)
    # Near 0 the distribution function is x^a / G(a + 1), and x underflows.
    small = (np.log(points) + gammaln(concentrations + 1)) / concentrations
    return np.where(quantiles < 1e-6, small, np.log(quantiles.clip(1e-300))).astype(np.float32)


@cache
def _order(answers: int, draws: int) -> np.ndarray:
    """Return (answers, draws): which quantile of each answer belongs to which draw, by a scrambled Sobol sequence."""
    points = torch.quasirandom.SobolEngine(answers, scramble=True, seed=0).draw(draws)
    return points.argsort(0).argsort(0).T.numpy()


def probability_words(description: dict) -> str:
    """Return ``62%``, or ``62%; no class: 31%`` where many draws have none, of what a describer says of an image."""
    uncertain = description.get("uncertain")
    more = f"; no class: {uncertain:.0%}" if uncertain is not None and uncertain >= MANY_UNCERTAIN else ""
    return f"{description['probability']:.0%}{more}"


def class_doubts(uncertain: float | None) -> list[Doubt]:
    """Return the doubt of a class for which the class head weighs more than all draws; empty for others.

    Args:
        uncertain: share of draws without class, of one image; None where the class head decides.
    """
    return [NO_CLASS] if uncertain is not None and uncertain > ALL_UNDECIDED else []
