"""Training losses as sums and counts, so that means do not depend on the batches or the number of processes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ..models.losses import vote_losses
from ..models.trees import Trees


class Objective(NamedTuple):
    """A loss that is the sum of P means, each over rows or words of its own.

    Attributes:
        counts: maps the arguments of ``forward`` to the number (P,) of values of each mean, without the model.
        sums: maps the model and the arguments of ``forward`` to the sum (P,) of the values of each mean.
    """

    counts: Callable[[dict], torch.Tensor]
    sums: Callable[[nn.Module, dict], torch.Tensor]


def mean_loss(sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the scalar loss of sums (P,) and counts (P,); a mean over no values is 0."""
    return (sums / torch.where(counts > 0, counts, torch.ones_like(counts))).sum()


def class_nll(probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return (2,): the sum of -log probability (B, C) of the labels (B,) that are not negative, and their number."""
    decided = labels >= 0
    chosen = probabilities[decided, labels[decided]].double().clamp_min(1e-12)
    return torch.stack([-chosen.log().sum(), decided.sum()])


def vote_nll(concentration: torch.Tensor, votes: torch.Tensor, trees: Trees) -> torch.Tensor:
    """Return (2,): the sum over rows of the mean loss of a question of each tree, and the number of rows."""
    # In float32 the terms of many votes cancel to six digits.
    total = vote_sum(concentration.double(), votes, trees)
    return torch.stack([total, total.new_tensor(len(votes))])


def vote_sum(concentration: torch.Tensor, votes: torch.Tensor, trees: Trees) -> torch.Tensor:
    """Return the sum over rows of the mean loss of a question of each tree."""
    first, *others = (losses.sum() / losses.shape[1] for losses in vote_losses(concentration, votes, trees))
    return sum(others, start=first)


def _classifier_counts(inputs: dict) -> torch.Tensor:
    decided = (inputs["labels"] >= 0).sum()
    rows = torch.full_like(decided, len(inputs["labels"]) if inputs["votes"] is not None else 0)
    return torch.stack([decided, rows]).float()


def _classifier_sums(model: nn.Module, inputs: dict) -> torch.Tensor:
    """Return the class loss of rows with a class and the vote loss of all rows, as in the classifier's ``forward``."""
    output, labels, votes = model(pixel_values=inputs["pixel_values"]), inputs["labels"], inputs["votes"]
    classes = F.cross_entropy(
        output.logits.float(), labels, weight=inputs["class_weights"], ignore_index=-1, reduction="sum"
    )
    if votes is None:
        return torch.stack([classes, torch.zeros_like(classes)])
    return torch.stack([classes, vote_sum(output.vote_concentration, votes, inputs.get("trees", Trees()))])


def _words(inputs: dict) -> torch.Tensor:
    return (inputs["labels"] != -100).sum()[None].float()


CLASSIFIER = Objective(_classifier_counts, _classifier_sums)
"""Means over the rows with a class, and over the rows with votes."""

CAPTIONER = Objective(_words, lambda model, inputs: model(**inputs).loss[None] * _words(inputs))
"""Mean over the words of the references."""
