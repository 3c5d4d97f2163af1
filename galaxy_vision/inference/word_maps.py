"""Maps of the words of a caption: where the image speaks for the claim that a word states."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..captions.plan import plan_of
from ..captions.reading import claims_of_words
from ..models.trees import Trees
from .describe import Describer, Read
from .evidence import Scores, evidence
from .explain import on_image, spoken

VOTES, WORDS = "votes", "words"
"""What a map is evidence for: the answer of the classifier that a word states, or the captioner's own word."""
NOT_LOCATED = frozenset({"ring", "merger"})
"""Concepts whose map need not point at the structure: that of a ring is hot on the nucleus inside it, that of a merger
on either of its galaxies, and methods that point at ring or companion do so with random weights too (lab_notes.md,
"Maps of words"). Figure and demo say so."""
LEAST = 1.0
"""Evidence in nats that is the end of the common scale if no word has as much. Ours."""


class WordMaps(NamedTuple):
    """A caption and the evidence for the claim of each of its words.

    Attributes:
        caption: the whole text; empty if the model ended it before the first word.
        words: its words and punctuation, in order.
        maps: (words, H, W) float32 in [0, 1] on the pixels of the image, 0 outside the crop that the models read. All
            have one scale, on which 1 is ``scale``. Words that state no claim have 0 everywhere.
        concepts: the concept that each word states, such as ``"bar"``; None for words that state none.
        sources: :data:`VOTES`, or :data:`WORDS` where the classifier is not asked; None for words that state none.
        scale: nats at the end of the scale: the change of the log-odds, or of the log probability, if the whole image
            were like that place.
    """

    caption: str
    words: list[str]
    maps: np.ndarray
    concepts: list[str | None]
    sources: list[str | None]
    scale: float


@torch.inference_mode(False)  # in a caller's inference mode there would be no gradients
def word_maps(
    describer: Describer, image: Image.Image, max_new_tokens: int | None = None, read: Read | None = None
) -> WordMaps:
    """Write a caption, and map where the image speaks for the claims of its words.

    A word such as "barred" states an answer of the decision tree. Its map is evidence for the log-odds of this answer
    in the classifier, which points better than that for the log probability of the word in the captioner
    (``benchmarks/word_maps.py``); that is shown for claims about which the classifier is not asked.

    Args:
        describer: both models. They are not changed: copies in float32 are differentiated.
        image: an RGB image.
        max_new_tokens: maximum of words; None for that of the captioner.
        read: what the describer returned for the image, if it has read it already.
    """
    captioner = describer.captioner
    read = read or describer.read(image, max_new_tokens)
    sequence, caption, words = spoken(captioner, describer.processor, read.sequence)
    sequence = sequence.clone()  # no longer an inference tensor
    pixels = describer.processor(image)["pixel_values"].to(captioner.device)
    claims = claims_of_words(words, describer.tree)
    concepts = [claim.concept if claim else None for claim in claims]
    stated = list(dict.fromkeys(concept for concept in concepts if concept))
    maps: dict[str, np.ndarray] = {}
    classifier, answers = describer.classifier, {}
    if classifier.config.predict_votes:
        answers = claimed_answers(stated, classifier.trees, describer.campaign)
    if answers:
        model = _copy(classifier)
        seen = describer.image_processor(image, return_tensors="pt").pixel_values.to(model.device)
        heats = evidence(vote_scores(model, list(answers.values())), seen)
        maps |= _placed(answers, heats, image, describer.image_processor)
    if others := [concept for concept in stated if concept not in answers]:
        model = _copy(captioner)
        positions = [[index for index, name in enumerate(concepts) if name == concept] for concept in others]
        heats = evidence(word_scores(model, sequence, positions), pixels)
        maps |= _placed(others, heats, image, describer.processor.image_processor)
    scale = max([LEAST, *(float(heat.max()) for heat in maps.values())])
    nothing = np.zeros((image.height, image.width), np.float32)
    shown = [nothing if concept is None else maps[concept] / scale for concept in concepts]
    sources = [None if concept is None else VOTES if concept in answers else WORDS for concept in concepts]
    return WordMaps(caption, words, np.stack([*shown, nothing])[:-1], concepts, sources, scale)


def _copy(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).float().eval().requires_grad_(False)


def _placed(concepts, heats: torch.Tensor, image: Image.Image, processor) -> dict[str, np.ndarray]:
    """Return the positive part of maps (K, S, S) on the whole image, by concept."""
    heats = heats.clamp_min(0).cpu().numpy()
    return {concept: on_image(heat, image, processor) for concept, heat in zip(concepts, heats, strict=True)}


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
