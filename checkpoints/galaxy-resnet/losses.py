"""Losses of the galaxy ResNet: of class labels by kind of problem, and of votes by a Dirichlet-multinomial."""

import torch
from torch.nn import functional as F

from .decision_tree import GALAXY_ZOO_2
from .tree import DecisionTree
from .trees import Trees

SINGLE_LABEL, MULTI_LABEL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
"""Values of ``config.problem_type``, those of transformers."""

IGNORED_LABEL = -1
"""Label of an uncertain galaxy, which is left out of the class loss; so is -100, which transformers uses."""


def problem_of(config, labels: torch.Tensor) -> str:
    """Return ``config.problem_type``; where it is None, infer it from classes and labels as transformers does."""
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return REGRESSION
    return MULTI_LABEL if labels.is_floating_point() or labels.ndim > 1 else SINGLE_LABEL


def label_loss(
    problem: str, logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the loss of a problem: cross entropy, binary cross entropy or squared error, averaged over known labels.

    Args:
        problem: ``"single_label_classification"``, ``"multi_label_classification"`` or ``"regression"``.
        logits: (B, C).
        labels: in this order of problems: (B,) class numbers, -1 or -100 where uncertain; (B, C) from 0 to 1, NaN
            where unknown; (B, C) numbers, NaN where unknown. (B,) is allowed where C is 1.
        class_weights: (C,) weight of each class.

    Raises:
        ValueError: the labels do not fit the problem.
    """
    logits = logits.float()
    if problem == SINGLE_LABEL:
        if labels.ndim != 1 or labels.is_floating_point():
            raise ValueError(
                f"labels of {labels.dtype} and shape {tuple(labels.shape)} are not one class number for each image; "
                f"give class numbers, or set config.problem_type to {MULTI_LABEL!r} or {REGRESSION!r}"
            )
        labels = labels.long().masked_fill(labels == -100, IGNORED_LABEL)
        decided = (labels != IGNORED_LABEL).sum().clamp(min=1)
        # Divided by the number of labels, not by their weights: a batch without labels then has the loss 0, not NaN.
        total = F.cross_entropy(logits, labels, weight=class_weights, ignore_index=IGNORED_LABEL, reduction="sum")
        return total / decided
    if logits.shape[1] == 1 and labels.ndim == 1:
        labels = labels[:, None]
    if labels.shape != logits.shape:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not fit {problem}; give labels of shape {tuple(logits.shape)}"
        )
    is_known = ~labels.isnan()
    labels = torch.where(is_known, labels, 0).float()
    if problem == REGRESSION:
        losses = F.mse_loss(logits, labels, reduction="none")
    elif ((labels < 0) | (labels > 1)).any():
        raise ValueError(
            f"labels from {labels.min():g} to {labels.max():g} are not from 0 to 1; {problem} needs probabilities"
        )
    else:
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if class_weights is not None:
        losses = losses * class_weights
    return torch.where(is_known, losses, 0).sum() / is_known.sum().clamp(min=1)


def gaussian_nll(values: torch.Tensor, errors: torch.Tensor, labels: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of numbers under a Gaussian of the predicted error (Nix & Weigend 1994).

    Args:
        values: (B, C) predicted means.
        errors: (B, C) predicted standard deviations, > 0.
        labels: (B, C) numbers, NaN where unknown; (B,) is allowed where C is 1.
        scale: (C,) units in which the likelihood is given.

    Returns:
        (B, C) nats without the constant of the Gaussian, 0 where unknown.

    Raises:
        ValueError: the shapes differ.
    """
    labels = labels[:, None] if values.shape[1] == 1 and labels.ndim == 1 else labels
    if labels.shape != values.shape:
        raise ValueError(f"labels of shape {tuple(labels.shape)} are not numbers of shape {tuple(values.shape)}")
    is_known = ~labels.isnan()
    distance = (torch.where(is_known, labels, values) - values) / errors
    return torch.where(is_known, distance.square() / 2 + (errors / scale).log(), 0)


def dirichlet_multinomial_nll(
    concentration: torch.Tensor, votes: torch.Tensor, tree: DecisionTree = GALAXY_ZOO_2
) -> torch.Tensor:
    """Return the negative log-likelihood of votes under one Dirichlet-multinomial for each question.

    For a question with votes k and concentrations a, n = sum k and A = sum a, the likelihood is
    ``G(n+1) G(A) / G(n+A) * prod G(k+a) / (G(k+1) G(a))``, where G is the gamma function; it is defined for fractional
    votes too. Questions with unknown votes (any NaN) are left out, and those without votes contribute exactly 0.

    Args:
        concentration: (B, answers) Dirichlet concentrations > 0.
        votes: (B, answers) votes >= 0, fractional allowed, NaN where unknown.
        tree: the tree of these answers.

    Returns:
        (B, questions) nats for each question, 0 where it is unknown.

    Raises:
        ValueError: the shapes differ.
    """
    if concentration.shape != votes.shape:
        raise ValueError(
            f"votes have shape {tuple(votes.shape)}, not {tuple(concentration.shape)}; give one vote per answer"
        )
    dtype = torch.promote_types(concentration.dtype, torch.float32)  # bf16 is too coarse for lgamma
    concentration, votes = concentration.to(dtype), votes.to(dtype)
    losses = []
    for answers in tree.slices.values():
        a, k = concentration[..., answers], votes[..., answers]
        is_known = ~k.isnan().any(dim=-1)
        k = torch.where(is_known[..., None], k, torch.zeros_like(k))
        n, total = k.sum(-1), a.sum(-1)
        log_likelihood = torch.lgamma(n + 1) + torch.lgamma(total) - torch.lgamma(n + total)
        log_likelihood = log_likelihood + (torch.lgamma(k + a) - torch.lgamma(k + 1) - torch.lgamma(a)).sum(-1)
        losses.append(torch.where(is_known, -log_likelihood, torch.zeros_like(n)))
    return torch.stack(losses, dim=-1)


def vote_losses(concentration: torch.Tensor, votes: torch.Tensor, trees: Trees) -> list[torch.Tensor]:
    """Return the losses (B, questions) of each tree, by :func:`dirichlet_multinomial_nll`.

    A row teaches the trees that it has votes for; the unknown ones of the others contribute 0.

    Args:
        concentration: (B, all answers) Dirichlet concentrations > 0.
        votes: (B, all answers) votes >= 0, NaN where unknown.
        trees: of these answers.

    Raises:
        ValueError: the shapes differ, or are not those of the trees.
    """
    if votes.shape[-1] != trees.num_answers:
        raise ValueError(
            f"votes have shape {tuple(votes.shape)}; the last axis must be the {trees.num_answers} answers of "
            f"{', '.join(trees)}"
        )
    return [
        dirichlet_multinomial_nll(concentration[..., part], votes[..., part], trees[campaign])
        for campaign, part in trees.slices.items()
    ]


def vote_loss(concentration: torch.Tensor, votes: torch.Tensor, trees: Trees) -> torch.Tensor:
    """Return the scalar loss of votes: the mean of :func:`vote_losses` over rows and questions, summed over trees."""
    first, *others = (losses.mean() for losses in vote_losses(concentration, votes, trees))
    return sum(others, start=first)


__all__ = [
    "MULTI_LABEL",
    "REGRESSION",
    "SINGLE_LABEL",
    "dirichlet_multinomial_nll",
    "gaussian_nll",
    "label_loss",
    "problem_of",
    "vote_loss",
    "vote_losses",
]
