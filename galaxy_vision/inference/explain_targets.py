"""What a heat map can explain: classes of a classifier, then the 37 answers, by every name that people use."""

import operator
import re
from collections.abc import Iterable

from ..models.decision_tree import ANSWERS, QUESTION_OF_ANSWER, QUESTIONS, SHORT_NAMES

SPEAKING_QUESTIONS = ("t01_smooth_or_features", "t03_bar", "t04_spiral")
"""Questions whose answers can be understood alone."""


def target_index(config, target) -> int:
    """Place of a target among the classes and the 37 answers that follow them.

    Names are first taken as they are written, then without regard to capitals, spaces, hyphens and underscores. A class
    comes before an answer that has the same bare word: ``"spiral"`` is the class, and ``"a08_spiral"`` the answer.

    Args:
        config: of the classifier.
        target: a class by name or number (an integer of Python, numpy or torch); or an answer by its short name
            (``"a06_bar"``), its number (``"a06"``), its whole stem, or the bare word (``"bar"``) where one answer alone
            has it and no class.

    Raises:
        ValueError: there is no such class or answer, the name has several meanings, it is neither a name nor a whole
            number, or the model knows no votes.
    """
    if getattr(target, "ndim", None) == 0:  # a scalar of numpy or torch
        target = target.item()
    classes = config.num_labels
    if not isinstance(target, str):
        return _class_number(target, classes)
    names = [
        config.id2label[index] for index in range(classes)
    ]  # what the classifier calls them: label2id may be of another model
    full_names = [{number, short, stem} for number, short, stem in zip(_NUMBERS, SHORT_NAMES, ANSWERS, strict=True)]
    bare_words = [{short.split("_", 1)[1]} for short in SHORT_NAMES]
    word = _plain(target)
    # From the most to the least literal reading; classes before the bare words of answers.
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
            f"target={target!r} can mean a class by its number or the answer {_called(config, meant)}; "
            f"use the whole number without quotes, or the name of the answer"
        )
    if len(meant) > 1:
        raise ValueError(f"target={target!r} has several meanings; use one of {_called(config, meant)}")
    if not meant:
        known = ", ".join([*names, *SHORT_NAMES] if config.predict_votes else names)
        raise ValueError(f"target={target!r} is neither a class nor an answer; use one of {known}")
    return meant[0]


_NUMBERS = [short.split("_", 1)[0] for short in SHORT_NAMES]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _answers(names: list[set[str]], word: str, classes: int) -> list[int]:
    return [classes + place for place, known in enumerate(names) if word in known]


def _called(config, meant: list[int]) -> str:
    """Names that are not mistaken for each other: classes with their number, answers with their question."""
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
    """A target for each of ``count`` images: one for all of them, or one each.

    Raises:
        ValueError: their number is not that of the images.
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
    place = index - config.num_labels
    stem = QUESTIONS[QUESTION_OF_ANSWER[place]].stem
    answer = SHORT_NAMES[place].split("_", 1)[1].replace("_", " ")
    if stem in SPEAKING_QUESTIONS:
        return answer
    return f"{stem.split('_', 1)[1]}: {answer}".replace("_", " ")
