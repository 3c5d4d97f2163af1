"""The loss of labels of one's own, as sums and counts: of labels or numbers, of votes, and of votes that are kept."""

import torch
from torch import nn
from torch.nn import functional as F

from ..models.losses import MULTI_LABEL, REGRESSION, gaussian_nll
from ..models.trees import Trees
from .objectives import Objective, vote_sum


def label_sum(problem: str, output, inputs: dict, scale: torch.Tensor | None) -> torch.Tensor:
    """Return the sum of the loss of the labels that are known.

    Args:
        problem: ``config.problem_type``.
        output: of the model.
        inputs: ``labels``, (B,) or (B, C), and ``class_weights`` (C,).
        scale: (C,) units of numbers.
    """
    labels, logits = inputs["labels"], output.logits.float()
    if problem == REGRESSION:
        return gaussian_nll(logits, output.label_errors, labels, scale).sum()
    if problem == MULTI_LABEL:
        known = ~labels.isnan()
        losses = F.binary_cross_entropy_with_logits(logits, torch.where(known, labels, 0.0), reduction="none")
        return torch.where(known, losses, 0).sum()
    return F.cross_entropy(logits, labels, weight=inputs["class_weights"], ignore_index=-1, reduction="sum")


def own_objective(problem: str, trees: Trees | None, kept: Trees | None, kept_weight: float) -> Objective:
    """Return the objective of a run on labels of one's own: the mean losses of labels, of votes, and of kept votes.

    Args:
        problem: ``config.problem_type``.
        trees: whose votes the rows have; None without votes. They come first among those of the model.
        kept: whose votes are held to ``inputs["kept"]``, concentrations (B, answers) of another model; None for none.
        kept_weight: of the mean squared change of their logarithms.
    """

    def counts(inputs: dict) -> torch.Tensor:
        labels = inputs["labels"]
        known = (~labels.isnan()).sum() if labels.is_floating_point() else (labels >= 0).sum()
        rows = torch.full_like(known, len(labels))
        return torch.stack([known, rows * (trees is not None), rows * (kept is not None)]).float()

    def sums(model: nn.Module, inputs: dict) -> torch.Tensor:
        output = model(pixel_values=inputs["pixel_values"])
        inner = getattr(model, "module", model)
        labels = label_sum(problem, output, inputs, getattr(inner, "label_scale", None))
        votes = kept_loss = torch.zeros_like(labels)
        if trees is not None:
            votes = vote_sum(output.vote_concentration[..., : trees.num_answers], inputs["votes"], trees)
        if kept is not None:
            change = output.vote_concentration[..., -kept.num_answers :].float().log() - inputs["kept"].log()
            kept_loss = kept_weight * change.square().mean(-1).sum()
        return torch.stack([labels, votes, kept_loss])

    return Objective(counts, sums)
