"""From features of an image to the answers of volunteers: Dirichlet concentrations, and the fractions they expect."""

import torch

from .tree import DecisionTree

LOWEST, HIGHEST = -6.0, 7.0
"""Limits of the log of a concentration: e^-6 to e^7 votes, which keep lgamma and its gradient finite."""


def concentration_of(raw: torch.Tensor) -> torch.Tensor:
    """Return the Dirichlet concentrations > 0 for the raw outputs (..., answers) of a vote head, in float32.

    Within a question, the softmax of the raw output is the expected fraction, and its scale the certainty.
    """
    return raw.float().clamp(LOWEST, HIGHEST).exp()


def totals_of(concentration: torch.Tensor, tree: DecisionTree) -> torch.Tensor:
    """Return the sum of the concentrations (..., answers) of its question at each answer."""
    sums = [
        concentration[..., answers]
        .sum(-1, keepdim=True)
        .expand(*concentration.shape[:-1], answers.stop - answers.start)
        for answers in tree.slices.values()
    ]
    return torch.cat(sums, dim=-1)


def expected_fractions(concentration: torch.Tensor, tree: DecisionTree) -> torch.Tensor:
    """Return the expected fraction of each answer (..., answers) among the volunteers who are asked its question."""
    return concentration / totals_of(concentration, tree)


__all__ = ["concentration_of", "expected_fractions", "totals_of"]
