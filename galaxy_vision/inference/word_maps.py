"""Maps of the words of a caption: where the image speaks for the claim that a word states."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..captions.claims import Claim
from ..captions.plan import plan_of
from ..captions.reading import claims_of_words
from ..models.decision_tree import GALAXY_ZOO_2
from ..models.trees import Trees
from .evidence import Scores
from .explain import _write

VOTES, WORDS = "votes", "words"
"""Whose evidence a map shows: that for the answer of the classifier, or that for the captioner's own words."""


def claimed_answers(concepts: Sequence[str], trees: Trees, campaign: str | None = None) -> dict[str, tuple]:
    """Return the answers that mean each concept, and the others of their question, by index on the last axis.

    Concepts for which the campaign does not ask, or which all answers of a question mean, are left out.
    """
    tree = trees.named(campaign)
    first, asks = trees.slices[tree.name].start, plan_of(tree).asks
    found = {}
    for concept in concepts:
        for question, answers in asks.get(concept, ())[:1]:
            part = tree.slices[question]
            others = [first + index for index in range(part.start, part.stop) if index not in answers]
            if others:
                found[concept] = ([first + index for index in answers], others)
    return found


def vote_scores(classifier: nn.Module, answers: Sequence[tuple[list[int], list[int]]]) -> Scores:
    """Return the log-odds of answers against the others of their question, as a function of pixels.

    Args:
        classifier: with a vote head.
        answers: for each score, as :func:`claimed_answers` gives them.
    """

    def scores(pixels: torch.Tensor) -> torch.Tensor:
        logs = classifier(pixel_values=pixels).vote_concentration.log()
        return torch.stack([logs[:, ours].logsumexp(1) - logs[:, others].logsumexp(1) for ours, others in answers], 1)

    return scores


def word_scores(captioner: nn.Module, sequence: torch.Tensor, positions: Sequence[Sequence[int]]) -> Scores:
    """Return the log probability of words of a caption after the words before them, as a function of pixels.

    Args:
        captioner: of the words.
        sequence: (1, 1 + T) the start token and the caption.
        positions: for each score, the positions of its words from 0 to T - 1; their log probabilities are added.
    """

    def scores(pixels: torch.Tensor) -> torch.Tensor:
        read = sequence[:, :-1].expand(len(pixels), -1)
        logs = captioner(pixel_values=pixels, decoder_input_ids=read).logits.float().log_softmax(-1)
        written = logs.gather(2, sequence[:, 1:].expand(len(pixels), -1)[..., None])[..., 0]
        return torch.stack([written[:, list(words)].sum(1) for words in positions], 1)

    return scores
