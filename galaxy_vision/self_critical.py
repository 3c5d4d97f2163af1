"""Self-critical sequence training (Rennie et al. 2017, CVPR) on what a caption says: a sampled caption is made more likely if the votes
support it better than the greedy caption, and less likely if worse."""

import numpy as np
import torch

from .captions import claims_from_votes, parse_claims, score_claims

WRONG = 0.5
"""What a claim that is contradicted or was not asked costs, in units of the claim F1 of one caption; by measurement (lab_notes.md)."""


def reward(caption: str, votes: np.ndarray) -> float:
    """Claim F1 of one caption, less :data:`WRONG` times its share of wrong claims; words that say nothing are wrong claims too."""
    said, known = parse_claims(caption), claims_from_votes(votes)
    scored = score_claims(said, votes)
    total = scored["claims"] + len(said.unread)
    if not total or not known:
        return float(total == len(known))
    given = len({claim.answer for claim in said} & {claim.answer for claim in known})
    precision, recall = scored["supported"] / total, given / len(known)
    wrong = (scored["contradicted"] + scored["ungrounded"] + len(said.unread)) / total
    return 2 * precision * recall / max(precision + recall, 1e-9) - WRONG * wrong


@torch.no_grad()
def self_critical_targets(
    model, processor, pixels: torch.Tensor, labels: torch.Tensor, votes: torch.Tensor, generator: torch.Generator, args
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace every second reference by a sampled caption.

    Args:
        model: the captioner, in training mode.
        processor: its processor.
        pixels: (B, C, H, W) as the model reads them.
        labels: (B, T) references, padded with the pad token.
        votes: (B, 37).
        generator: of the sampling, so that a resumed run repeats it.
        args: ``max_new_tokens`` of a caption, and ``self_critical_weight``.

    Returns:
        Labels (B, T') and the weight of each row: 1 for a reference, the advantage over the greedy caption for a sample.
    """
    model.eval()
    sampled_rows = torch.arange(1, len(pixels), 2, device=pixels.device)
    encoded = model.encoder(pixels[sampled_rows])
    torch.manual_seed(int(torch.randint(0, 2**62, (1,), generator=generator)))
    sampled, greedy = (
        model.generate(encoder_outputs=encoded, max_new_tokens=args.max_new_tokens, **how)[:, 1:]
        for how in ({"do_sample": True, "top_k": 0}, {"do_sample": False})
    )
    model.train()
    known = votes[sampled_rows].float().cpu().numpy()
    gains = [
        reward(mine, row) - reward(usual, row)
        for mine, usual, row in zip(processor.batch_decode(sampled), processor.batch_decode(greedy), known, strict=True)
    ]
    width = max(labels.shape[1], sampled.shape[1])
    replaced = labels.new_full((len(labels), width), model.config.pad_token_id)
    replaced[:, : labels.shape[1]] = labels
    replaced[sampled_rows] = model.config.pad_token_id
    replaced[sampled_rows, : sampled.shape[1]] = sampled
    weights = torch.ones(len(labels), device=pixels.device)
    weights[sampled_rows] = args.self_critical_weight * torch.tensor(gains, dtype=weights.dtype, device=pixels.device)
    return replaced, weights
