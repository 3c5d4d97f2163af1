"""Targets of heat maps: the classes of a classifier and the answers of its trees, by name or number."""

import operator
import re
from collections import Counter
from collections.abc import Iterable, Set
from typing import NamedTuple

from ..models.trees import Trees
from .answer_names import answer_names, answer_words, is_galaxy_zoo_2, published_names, question_words

SPEAKING = {
    "smooth": "smooth",
    "featured": "features or disk",
    "not-a-galaxy": "star or artifact",
    "bar": "bar",
    "bar-strong": "strong bar",
    "bar-weak": "weak bar",
    "bar-none": "no bar",
    "spiral": "spiral",
    "spiral-none": "no spiral",
}
"""Concept -> words that are clear without the question. They name the answers that mean it in every campaign; others
are named by their question and answer."""


class _Answer(NamedTuple):
    """Names of an answer.

    Attributes:
        campaign: of its tree.
        name: unique among the answers of the model.
        full: all names that mean no other answer of its tree.
        bare: words that may mean other answers too.
        title: words of figures.
    """

    campaign: str
    name: str
    full: frozenset[str]
    bare: frozenset[str]
    title: str


def _answers_of(trees: Trees) -> list[_Answer]:
    """Return the names of all answers in the order of the last axis."""
    counts = Counter(_plain(name) for tree in trees.values() for name in answer_names(tree))
    answers = []
    for campaign, tree in trees.items():
        questions, words = question_words(tree), answer_words(tree)
        concepts = [
            concept for question in tree.questions for concept in question.concepts or (None,) * len(question.answers)
        ]
        rows = zip(answer_names(tree), published_names(tree), tree.answers, concepts, strict=True)
        for short, stem, (question, _), concept in rows:
            title = SPEAKING.get(concept) or f"{questions[question]}: {words[short]}"
            full = {short, stem, *(f"{campaign}_{name}" for name in (short, stem))}
            full |= {short.split("_", 1)[0]} if is_galaxy_zoo_2(tree) else set()
            bare = frozenset({_plain(words[short]), _plain(title)})
            name = short if counts[_plain(short)] == 1 else f"{campaign}_{short}"
            title = f"{title} ({campaign})" if len(trees) > 1 else title
            answers.append(_Answer(campaign, name, frozenset(full), bare, title))
    return answers


def answer_targets(config) -> dict[str, str]:
    """Return a name that :func:`target_index` takes -> words for figures, of every answer of a classifier.

    The name is that of :func:`~galaxy_vision.inference.answer_names.answer_names`, with the campaign before it where
    several trees of the classifier have it: ``"gz_jwst_ceers_bar-jwst_strong"``. Empty without votes.
    """
    return {answer.name: answer.title for answer in _answers_of(config.decision_trees)} if config.predict_votes else {}


def target_index(config, target) -> int:
    """Return the index of a target among the classes and the answers that follow them.

    Names are compared exactly, then without regard to case, spaces, hyphens and underscores. A class takes precedence
    over the bare word of an answer: ``"spiral"`` is the class, and ``"a08_spiral"`` the answer.

    Args:
        config: configuration of the classifier.
        target: a class by name or number (an integer of Python, numpy or torch); or an answer: of Galaxy Zoo 2 by its
            short name (``"a06_bar"``), its number (``"a06"``) or its whole stem; of other trees by question and answer
            (``"bar_strong"``); with its campaign before it (``"gz_desi_bar_strong"``); or by its bare word (``"bar"``,
            ``"strong"``, ``"strong bar"``) if no class and no other answer has it. What several campaigns have is that
            of the first one, whose votes are meant wherever no campaign is named.

    Raises:
        ValueError: the target is not a class or an answer, it is ambiguous or of another type, or it is an answer and
            the model was trained without votes.
    """
    if getattr(target, "ndim", None) == 0:  # a scalar of numpy or torch
        target = target.item()
    classes = config.num_labels
    if not isinstance(target, str):
        return _class_number(target, classes)
    names = [config.id2label[index] for index in range(classes)]
    answers = _answers_of(config.decision_trees)
    full_names = [answer.full for answer in answers]
    plain_names = [{_plain(name) for name in answer.full} for answer in answers]
    bare_words = [answer.bare for answer in answers]
    word = _plain(target)
    # From the most to the least literal reading, and classes before the bare words of answers.
    readings = [
        [index for index, name in enumerate(names) if name == target] + _answers(full_names, target, classes),
        [index for index, name in enumerate(names) if _plain(name) == word] + _answers(plain_names, word, classes),
        _answers(bare_words, word, classes),
    ]
    meant = next(filter(None, readings), [])
    if not config.predict_votes:
        if meant and meant[0] >= classes:
            raise ValueError(f"target={target!r} is an answer, but this model was trained without votes; use a class")
        meant = [index for index in meant if index < classes]
    if word.isdecimal() and meant and meant[0] >= classes:  # "2": the class of that number, or two arms
        raise ValueError(
            f"target={target!r} can mean a class by its number or the answer {_unique_names(config, meant)}; "
            f"use the whole number without quotes, or the name of the answer"
        )
    if len(meant) > 1:
        meant = _of_first_campaign(answers, meant, classes)
    if len(meant) > 1:
        raise ValueError(f"target={target!r} has several meanings; use one of {_unique_names(config, meant)}")
    if not meant:
        targets = ", ".join([*names, *answer_targets(config)])
        raise ValueError(f"target={target!r} is neither a class nor an answer; use one of {targets}")
    return meant[0]


def _of_first_campaign(answers: list[_Answer], meant: list[int], classes: int) -> list[int]:
    """Return the one of these answers that is of the first campaign of the model, which is meant where none is named.

    All of them are returned if it has none or several, or if a class is among them.
    """
    first = answers[0].campaign
    found = [index for index in meant if index < classes or answers[index - classes].campaign == first]
    return found if len(found) == 1 and found[0] >= classes else meant


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _answers(names: Iterable[Set[str]], word: str, classes: int) -> list[int]:
    return [classes + index for index, synonyms in enumerate(names) if word in synonyms]


def _unique_names(config, meant: list[int]) -> str:
    """List targets by unambiguous names: classes by their number, answers by that of :func:`answer_targets`."""
    classes, answers = config.num_labels, list(answer_targets(config))
    return ", ".join(
        f"{index} (the class {config.id2label[index]!r})" if index < classes else answers[index - classes]
        for index in meant
    )


def _class_number(target, classes: int) -> int:
    try:
        if isinstance(target, bool) or isinstance(target, Iterable):
            raise TypeError
        number = operator.index(target)
    except TypeError:
        kind = type(target).__name__
        raise ValueError(
            f"target={target!r} is of type {kind}; use a class by name or whole number, or an answer by name"
        ) from None
    if not 0 <= number < classes:
        raise ValueError(f"target={number} is outside the {classes} classes; use 0 to {classes - 1}, or a name")
    return number


def target_list(target, count: int) -> list:
    """Return a target for each of ``count`` images, from one target for all or a sequence of one for each.

    Raises:
        ValueError: the number of targets is not that of the images.
    """
    if isinstance(target, str | bytes) or not isinstance(target, Iterable) or getattr(target, "ndim", 1) == 0:
        return [target] * count
    targets = list(target)
    if len(targets) != count:
        raise ValueError(f"{len(targets)} targets were given for {count} images; give one, or one for each")
    return targets


def target_name(config, index: int) -> str:
    """Name a class or an answer as figures do: ``"barred spiral"``, ``"bar"``, ``"edgeon: yes"``, ``"strong bar"``.

    Answers of a model of several trees have their campaign behind them.
    """
    if index < config.num_labels:
        return config.id2label[index]
    return _answers_of(config.decision_trees)[index - config.num_labels].title
