"""Losses of votes on the decision tree."""

import torch

from .decision_tree import QUESTION_SLICES


def dirichlet_multinomial_nll(concentration: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of votes under one Dirichlet-multinomial per question.

    For a question with votes k and concentrations a, n = sum k and A = sum a, the likelihood is
    ``G(n+1) G(A) / G(n+A) * prod G(k+a) / (G(k+1) G(a))``; it holds for fractional votes as it stands. A question that the
    source does not know (any NaN) is left out, and one that nobody was asked contributes exactly 0.

    Args:
        concentration: (B, 37) Dirichlet concentrations > 0.
        votes: (B, 37) votes >= 0, fractional allowed, NaN where unknown.

    Returns:
        (B, 11) nats for each question, 0 where it is unknown.

    Raises:
        ValueError: the shapes differ.
    """
    if concentration.shape != votes.shape:
        raise ValueError(
            f"votes have shape {tuple(votes.shape)} but concentrations {tuple(concentration.shape)}; give one vote per answer"
        )
    exact = torch.promote_types(concentration.dtype, torch.float32)  # lgamma of bf16 is worthless
    concentration, votes = concentration.to(exact), votes.to(exact)
    losses = []
    for places in QUESTION_SLICES.values():
        a, k = concentration[..., places], votes[..., places]
        known = ~k.isnan().any(dim=-1)
        k = torch.where(known[..., None], k, torch.zeros_like(k))
        n, total = k.sum(-1), a.sum(-1)
        log_likelihood = torch.lgamma(n + 1) + torch.lgamma(total) - torch.lgamma(n + total)
        log_likelihood = log_likelihood + (torch.lgamma(k + a) - torch.lgamma(k + 1) - torch.lgamma(a)).sum(-1)
        losses.append(torch.where(known, -log_likelihood, torch.zeros_like(n)))
    return torch.stack(losses, dim=-1)
