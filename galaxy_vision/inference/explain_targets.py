"""Targets of heat maps: the classes of a classifier and the 37 answers, by name or number."""

import operator
import re
from collections.abc import Iterable

from ..models.decision_tree import ANSWERS, QUESTION_OF_ANSWER, QUESTIONS, SHORT_NAMES

SPEAKING_QUESTIONS = ("t01_smooth_or_features", "t03_bar", "t04_spiral")
"""Questions whose answers are clear without the question."""


def target_index(config, target) -> int:
    """Return the index of a target among the classes and the 37 answers that follow them.

    Names are compared exactly, then without regard to case, spaces, hyphens and underscores. A class takes precedence
    over the bare word of an answer: ``"spiral"`` is the class, and ``"a08_spiral"`` the answer.

    Args:
        config: configuration of the classifier.
        target: a class by name or number (an integer of Python, numpy or torch); or an answer by its short name
            (``"a06_bar"``), its number (``"a06"``), its whole stem, or its bare word (``"bar"``) if no class and no
            other answer has it.

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
    full_names = [{number, short, stem} for number, short, stem in zip(_NUMBERS, SHORT_NAMES, ANSWERS, strict=True)]
    bare_words = [{short.split("_", 1)[1]} for short in SHORT_NAMES]
    word = _plain(target)
    # From the most to the least literal reading, and classes before the bare words of answers.
    readings = [
        [index for index, name in enumerate(names) if name == target] + _answers(full_names, target, classes),
        [index for index, name in enumerate(names) if _plain(name) == word] + _answers(full_names, word, classes),
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
        raise ValueError(f"target={target!r} has several meanings; use one of {_unique_names(config, meant)}")
    if not meant:
        targets = ", ".join([*names, *SHORT_NAMES] if config.predict_votes else names)
        raise ValueError(f"target={target!r} is neither a class nor an answer; use one of {targets}")
    return meant[0]


_NUMBERS = [short.split("_", 1)[0] for short in SHORT_NAMES]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _answers(names: list[set[str]], word: str, classes: int) -> list[int]:
    return [classes + index for index, synonyms in enumerate(names) if word in synonyms]


def _unique_names(config, meant: list[int]) -> str:
    """List targets by unambiguous names: classes by their number, answers by their short name."""
    classes = config.num_labels
    return ", ".join(
        f"{index} (the class {config.id2label[index]!r})" if index < classes else SHORT_NAMES[index - classes]
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
    """Name a class or an answer as figures do: ``"barred spiral"``, ``"bar"``, ``"edgeon: yes"``."""
    if index < config.num_labels:
        return config.id2label[index]
    answer_index = index - config.num_labels
    stem = QUESTIONS[QUESTION_OF_ANSWER[answer_index]].stem
    answer = SHORT_NAMES[answer_index].split("_", 1)[1].replace("_", " ")
    if stem in SPEAKING_QUESTIONS:
        return answer
    return f"{stem.split('_', 1)[1]}: {answer}".replace("_", " ")
