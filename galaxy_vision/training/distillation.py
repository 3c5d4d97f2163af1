"""The words that a captioner learns of each galaxy: a reference of its votes, or what a trained classifier teaches."""

import torch

from ..captions.claims import claims_from_votes
from ..captions.writing import write_captions
from ..models.tree import DecisionTree
from ..models.trees import Trees


def drawn_references(input_ids: torch.Tensor, num_references: int, generator: torch.Generator) -> torch.Tensor:
    """One of the first ``num_references`` references (B, R, T) of each galaxy, drawn at random: (B, T)."""
    choice = torch.randint(0, num_references, (len(input_ids),), generator=generator)
    return input_ids[torch.arange(len(choice)), choice.to(input_ids.device)]


def drawn_campaign(trees: Trees | None, tree: DecisionTree, share: float, generator: torch.Generator) -> str | None:
    """Return the campaign whose votes a captioner reads of a batch: one of its trees, drawn at random.

    Where not all references are taught, some are of the votes of ``tree``, and the captioner reads these.

    Args:
        trees: those of the captioner; None if it does not read votes.
        tree: of the votes of the data set.
        share: of the references that are taught.
    """
    if trees is None:
        return None
    if share < 1:
        return tree.name if tree.name in trees else None
    return list(trees)[int(torch.randint(0, len(trees), (), generator=generator))]


@torch.no_grad()
def taught_references(
    classifier,
    tree: DecisionTree,
    tokenizer,
    pixels: torch.Tensor,
    ids: torch.Tensor,
    share: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Replace a share of the references by captions of the votes that the classifier predicts for these very pixels.

    Distillation (Hinton et al. 2015, arXiv:1503.02531): the classifier knows when it cannot know, which the captions of
    one galaxy's true votes do not.

    Args:
        tree: one of those of the classifier.
        pixels: (B, 3, H, W), normalised and augmented.
        ids: (B, T) words of the references.
        share: chance of each reference to be replaced.

    Returns:
        (B, T') words, with T' at least T.
    """
    taught = torch.rand(len(ids), generator=generator) < share
    if not taught.any():
        return ids
    rows = taught.nonzero()[:, 0].to(ids.device)
    concentration = classifier(pixels[rows]).vote_concentration
    predicted = classifier.trees.part(concentration, tree.name).float().cpu().numpy()
    seeds = torch.randint(0, 2**31, (len(rows),), generator=generator).tolist()
    claims = [claims_from_votes(row, tree) for row in predicted]
    captions = [write_captions(stated, 1, seed, tree)[0] for stated, seed in zip(claims, seeds, strict=True)]
    written = tokenizer(captions, padding=True, return_tensors="pt")["input_ids"].to(ids.device)
    replaced = ids.new_full((len(ids), max(ids.shape[1], written.shape[1])), tokenizer.pad_token_id)
    replaced[:, : ids.shape[1]] = ids
    replaced[rows] = tokenizer.pad_token_id
    replaced[rows, : written.shape[1]] = written
    return replaced


def words_to_learn(ids: torch.Tensor, pad_token_id: int) -> torch.Tensor:
    """Words (B, T) -> labels, -100 where they are padding, as long as the longest."""
    labels = ids.masked_fill(ids == pad_token_id, -100)
    return labels[:, : (labels != -100).sum(1).max()]
