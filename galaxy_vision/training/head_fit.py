"""Fit a linear head for votes to the features of few galaxies, beginning at a head of similar votes and held to it.

Arrays have the answers of one tree on the last axis. A head gives the logarithm of Dirichlet concentrations,
``features @ weight.T + bias``, as ``vote_head`` of the classifier does. The new head is that of the prior with a scale
and an offset for each answer, and a change of its weights:

    weight = scale * prior.weight + change,  bias = scale * prior.bias + offset

A penalty of half a squared unit holds scales to 1 and offsets to 0; ``strength / 2`` times the squared change, for
features scaled to a mean squared distance of 1 from their mean, holds the change to 0. The change of a log
concentration is thus expected to be ``strength ** -0.5``, and an infinite strength leaves scale and offset alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..models.losses import dirichlet_multinomial_nll
from ..models.tree import DecisionTree
from ..models.vote_fractions import HIGHEST, LOWEST

STRENGTHS = (math.inf, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Strengths that are compared: from scale and offset alone to changes of 1 in the log of a concentration."""
FOLDS = 5
STEPS = 200
"""Most steps of L-BFGS. Ours: it converges in fewer where votes hold all answers."""


class Head(NamedTuple):
    """A linear head: ``weight`` (answers, D) and ``bias`` (answers,), float64."""

    weight: torch.Tensor
    bias: torch.Tensor

    def concentration(self, features: torch.Tensor) -> torch.Tensor:
        """Return Dirichlet concentrations (..., answers) for features (..., D)."""
        return (features.double() @ self.weight.T + self.bias).clamp(LOWEST, HIGHEST).exp()


def loss_of(concentration: torch.Tensor, votes: torch.Tensor, tree: DecisionTree) -> torch.Tensor:
    """Return the mean over rows and questions of the loss that classifiers learn votes by, in nats."""
    return dirichlet_multinomial_nll(concentration, votes, tree).mean()


def _objective_of(votes: torch.Tensor, tree: DecisionTree) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return log concentrations (N, answers) -> the sum of the loss of votes (N, answers), but for a constant.

    It is that of :func:`~galaxy_vision.models.losses.dirichlet_multinomial_nll`, with all questions at once, which
    takes a tenth of the time. A question with unknown votes has none here, and then contributes 0.
    """
    of_question = torch.zeros(votes.shape[1], len(tree.questions), dtype=torch.float64)
    of_question[torch.arange(votes.shape[1]), torch.as_tensor(tree.question_of_answer)] = 1.0
    known = (torch.isnan(votes).double() @ of_question == 0).double() @ of_question.T
    votes = torch.nan_to_num(votes) * known
    asked = votes @ of_question

    def objective(raw: torch.Tensor) -> torch.Tensor:
        concentration = raw.clamp(LOWEST, HIGHEST).exp()
        total = concentration @ of_question
        of_answers = torch.lgamma(concentration) - torch.lgamma(votes + concentration)
        return (torch.lgamma(asked + total) - torch.lgamma(total)).sum() + of_answers.sum()

    return objective


def fit_head(
    features: torch.Tensor, votes: torch.Tensor, prior: Head, tree: DecisionTree, strength: float = math.inf
) -> Head:
    """Fit a head by L-BFGS on the Dirichlet-multinomial likelihood of votes and the penalties.

    Args:
        features: (N, views, D) of several views of N galaxies, over which the likelihood of a galaxy is averaged.
        votes: (N, answers) votes, NaN where unknown; a galaxy without votes changes nothing.
        prior: the head that is begun at.
        tree: of the answers.
        strength: holds the change of the weights to 0, see the module.

    Raises:
        ValueError: ``strength`` is not above 0, or the shapes do not fit.
    """
    return fit_heads(features, votes, prior, tree, sorted({math.inf, strength}, reverse=True))[-1]


def fit_heads(
    features: torch.Tensor, votes: torch.Tensor, prior: Head, tree: DecisionTree, strengths: Sequence[float]
) -> list[Head]:
    """Fit a head for each strength, each begun at that of the one before; otherwise as :func:`fit_head`."""
    if min(strengths) <= 0:
        raise ValueError(f"strength={min(strengths)} is not above 0; give a larger one, or infinity")
    if features.ndim != 3 or len(features) != len(votes):
        raise ValueError(
            f"features have shape {tuple(features.shape)}, and there are {len(votes)} rows of votes; give (N, views, D)"
        )
    features, votes = features.double(), votes.double()
    prior = Head(prior.weight.double(), prior.bias.double())
    known = ~torch.isnan(votes).all(-1)
    features, votes = features[known], votes[known]
    if not len(features):
        return [prior] * len(strengths)
    count, views, size = features.shape
    mean = features.mean((0, 1))
    spread = (features - mean).square().sum(-1).mean().sqrt().clamp_min(1e-12)
    scaled = ((features - mean) / spread).reshape(count * views, size)
    before = (features @ prior.weight.T + prior.bias).reshape(count * views, -1)
    loss_of_votes = _objective_of(votes[:, None].expand(-1, views, -1).reshape(count * views, -1), tree)
    answers = len(prior.bias)
    scale, offset = torch.ones(answers, dtype=torch.float64), torch.zeros(answers, dtype=torch.float64)
    change, heads = torch.zeros(answers, size, dtype=torch.float64), []
    for strength in strengths:
        fitted = [scale, offset] if math.isinf(strength) else [scale, offset, change]
        for tensor in fitted:
            tensor.requires_grad_()
        optimizer = torch.optim.LBFGS(
            fitted, max_iter=STEPS, tolerance_grad=1e-3, tolerance_change=1e-4, line_search_fn="strong_wolfe"
        )

        def objective(optimizer=optimizer, strength=strength) -> torch.Tensor:
            optimizer.zero_grad()
            raw = scale * before + offset
            penalty = ((scale - 1).square().sum() + offset.square().sum()) / 2
            if change.requires_grad:
                raw = raw + scaled @ change.T
                penalty = penalty + strength / 2 * change.square().sum()
            loss = loss_of_votes(raw) / views + penalty
            loss.backward()
            return loss

        optimizer.step(objective)
        with torch.no_grad():
            moved = change / spread
            weight = scale[:, None] * prior.weight + moved
            heads.append(Head(weight, scale * prior.bias + offset - moved @ mean))
    return heads


def folds_of(count: int, folds: int = FOLDS, seed: int = 0) -> list[torch.Tensor]:
    """Return the rows of each of ``folds`` parts, drawn at random; fewer parts where there are fewer rows."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return [part for part in order.tensor_split(min(folds, count)) if len(part)]


def out_of_folds(
    features: torch.Tensor,
    votes: torch.Tensor,
    prior: Head,
    tree: DecisionTree,
    strengths: Sequence[float],
    folds: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Return for each strength the concentrations (N, answers) of the first views by heads of the other folds."""
    concentrations = [torch.empty(len(features), len(prior.bias), dtype=torch.float64) for _ in strengths]
    for fold in folds:
        others = torch.ones(len(features), dtype=torch.bool)
        others[fold] = False
        heads = fit_heads(features[others], votes[others], prior, tree, strengths)
        for concentration, head in zip(concentrations, heads, strict=True):
            concentration[fold] = head.concentration(features[fold, 0])
    return concentrations


def choose_strength(
    features: torch.Tensor,
    votes: torch.Tensor,
    prior: Head,
    tree: DecisionTree,
    held_out: tuple[torch.Tensor, torch.Tensor] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> tuple[float, dict[float, float]]:
    """Choose the strength by the loss of rows that a head was not fitted to.

    Args:
        features: (N, views, D).
        votes: (N, answers).
        prior: the head that is begun at.
        tree: of the answers.
        held_out: features (M, D) and votes (M, answers) of validation rows; None for folds of the others.
        strengths: those that are compared, from the strongest.
        seed: of the folds.

    Returns:
        The strength, and the loss of each; of equal ones the strongest is taken.
    """
    if held_out is not None:
        heads = fit_heads(features, votes, prior, tree, strengths)
        concentrations, votes = [head.concentration(held_out[0]) for head in heads], held_out[1]
    else:
        folds = folds_of(len(features), seed=seed)
        concentrations = out_of_folds(features, votes, prior, tree, strengths, folds)
    found = [loss_of(concentration, votes.double(), tree).item() for concentration in concentrations]
    losses = dict(zip(strengths, found, strict=True))
    return min(losses, key=losses.get), losses
