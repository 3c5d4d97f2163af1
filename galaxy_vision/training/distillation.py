"""What a trained classifier teaches a captioner."""

import torch

from ..captions.claims import claims_from_votes
from ..captions.writing import write_captions


@torch.no_grad()
def taught_targets(
    classifier, tokenizer, pixels: torch.Tensor, labels: torch.Tensor, taught: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Replace the references (B, T) of the rows in ``taught`` (B,) by captions of the votes that the classifier predicts for these pixels.

    Distillation (Hinton et al. 2015, arXiv:1503.02531): the classifier knows when it cannot know, which the captions of
    one galaxy's true votes do not.
    """
    rows = taught.nonzero()[:, 0]
    predicted = classifier(pixels[rows]).vote_concentration.float().cpu().numpy()
    seeds = torch.randint(0, 2**31, (len(rows),), generator=generator).tolist()
    captions = [write_captions(claims_from_votes(row), 1, seed)[0] for row, seed in zip(predicted, seeds, strict=True)]
    written = tokenizer(captions, padding=True, return_tensors="pt")["input_ids"].to(labels.device)
    replaced = labels.new_full((len(labels), max(labels.shape[1], written.shape[1])), tokenizer.pad_token_id)
    replaced[:, : labels.shape[1]] = labels
    replaced[rows] = tokenizer.pad_token_id
    replaced[rows, : written.shape[1]] = written
    return replaced
