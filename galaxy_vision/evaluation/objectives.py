"""What is learned, as sums and counts: a mean is the same however rows are cut into batches and dealt to processes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ..models.decision_tree import QUESTION_SLICES
from ..models.losses import dirichlet_multinomial_nll


class Objective(NamedTuple):
    """A loss that is the sum of P means, each over its own rows or words.

    Attributes:
        counts: what ``targets`` returned -> (P,) how many each mean is over; known before the model has run.
        sums: model and forward's arguments -> (P,) what each mean is the sum of, by which the model learns.
    """

    counts: Callable[[dict], torch.Tensor]
    sums: Callable[[nn.Module, dict], torch.Tensor]


def mean_loss(sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Sums (P,) and counts (P,) -> the scalar loss; a part without rows costs nothing."""
    return (sums / torch.where(counts > 0, counts, torch.ones_like(counts))).sum()


def class_nll(probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return (2,): the sum of -log of the probabilities (B, C) of decided (not negative) labels, and their number."""
    decided = labels >= 0
    chosen = probabilities[decided, labels[decided]].double().clamp_min(1e-12)
    return torch.stack([-chosen.log().sum(), decided.sum()])


def vote_nll(concentration: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """(2,) sum over the rows of the loss of a question, mean of the questions of the tree, and the number of rows."""
    nll = dirichlet_multinomial_nll(
        concentration.double(), votes
    )  # in float32 the terms of many votes cancel to six digits
    return torch.stack([nll.sum() / len(QUESTION_SLICES), nll.new_tensor(len(nll))])


def _classifier_counts(inputs: dict) -> torch.Tensor:
    decided = (inputs["labels"] >= 0).sum()
    rows = torch.full_like(decided, len(inputs["labels"]) if inputs["votes"] is not None else 0)
    return torch.stack([decided, rows]).float()


def _classifier_sums(model: nn.Module, inputs: dict) -> torch.Tensor:
    """Return the class loss of decided rows and the vote loss of all rows, as the classifier's ``forward`` has them."""
    output, labels, votes = model(pixel_values=inputs["pixel_values"]), inputs["labels"], inputs["votes"]
    classes = F.cross_entropy(
        output.logits.float(), labels, weight=inputs["class_weights"], ignore_index=-1, reduction="sum"
    )
    if votes is None:
        return torch.stack([classes, torch.zeros_like(classes)])
    return torch.stack(
        [classes, dirichlet_multinomial_nll(output.vote_concentration, votes).sum() / len(QUESTION_SLICES)]
    )


def _words(inputs: dict) -> torch.Tensor:
    return (inputs["labels"] != -100).sum()[None].float()


CLASSIFIER = Objective(_classifier_counts, _classifier_sums)
"""Decided rows, and rows with votes."""

CAPTIONER = Objective(_words, lambda model, inputs: model(**inputs).loss[None] * _words(inputs))
"""Words of the references."""
