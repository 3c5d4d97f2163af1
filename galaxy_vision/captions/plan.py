"""What captions can claim of a tree: the claims of its questions, what leads to them, and what excludes what.

A claim is named by its *key*: a concept, or the words of an answer that means none ("a polar ring"). Words that are
the name of a concept ("ring") mean this concept.
"""

from collections.abc import Iterable
from functools import lru_cache
from graphlib import TopologicalSorter
from itertools import combinations
from typing import NamedTuple

from ..models.concepts import CONCEPTS, PARTS
from ..models.tree import DecisionTree, Question

SILENT = frozenset(("not-edge-on", "odd-none", "no-clumps", "merging-none"))
"""Concepts that captions do not state, and beside which their opposite is claimed even if fewer volunteers see it.

Most galaxies do not merge and have no clumps: sentences that say so tell galaxies apart no better than silence.
"""
UNCLEAR = "arms-cant-tell"
"""The concept that keeps the other answers to its question from being claimed where it is the most frequent one."""
DENIALS = frozenset(("bar-none", "spiral-none", "bulge-none", "edge-on-bulge-none"))
"""Concepts that deny a structure; they are claimed plainly or not at all."""
GENERAL = frozenset(("odd", "bad-image"))
"""Concepts of which the next question asks what they are; it is taken up even where they are hedged."""
PROBLEMS = ("star", "artifact", "bad-zoom", "bad-image", "not-a-galaxy")
"""Concepts beside which nothing else is claimed, those that say most first."""

_COARSE = {part: concept for concept, parts in PARTS.items() for part in parts}


class Option(NamedTuple):
    """A claim that a question allows: its key, and the indices of the answers that mean it."""

    key: str
    answers: tuple[int, ...]


class Way(NamedTuple):
    """Answers of one question, any of which leads to another question.

    Attributes:
        question: name of the question that is answered.
        answers: indices of the answers.
        keys: of the claims that these answers make; empty where they make none.
    """

    question: str
    answers: tuple[int, ...]
    keys: frozenset[str]


class Step(NamedTuple):
    """A question of the tree as captions take it up.

    Attributes:
        name: of the question.
        options: what can be claimed, in the order of the answers; finer concepts count for the coarse one.
        parts: the finer concepts ("a strong bar"), which are claimed plainly or not at all.
        ways: what leads here; empty for the first question.
        cuts: as in :attr:`DecisionTree.cuts`.
    """

    name: str
    options: tuple[Option, ...]
    parts: tuple[Option, ...]
    ways: tuple[Way, ...]
    cuts: tuple[tuple[int, float], ...]


class Plan(NamedTuple):
    """What captions can claim of a tree.

    Attributes:
        steps: its questions, parents first.
        asks: key -> the questions that ask for it, with the indices of the answers that mean it.
        sayable: keys that captions can state.
        words: those that are words of the tree, not concepts.
        excluding: pairs of keys that no volunteer can have given together.
    """

    steps: tuple[Step, ...]
    asks: dict[str, tuple[tuple[str, tuple[int, ...]], ...]]
    sayable: frozenset[str]
    words: tuple[str, ...]
    excluding: frozenset[frozenset[str]]


@lru_cache(maxsize=64)
def plan_of(tree: DecisionTree) -> Plan:
    """Return what captions can claim of a tree."""
    steps, asks = [], {}
    for question in _parents_first(tree):
        answers = _by_key(tree, question)
        fine, options = _grouped(answers), _grouped((_COARSE.get(key, key), index) for key, index in answers)
        parts = tuple(option for option in fine if option.key in _COARSE)
        stated = tuple(option for option in options if option.key not in SILENT)
        steps.append(Step(question.name, stated, parts, _ways(tree, question), tree.cuts[question.name]))
        for option in dict.fromkeys((*fine, *options)):
            asks.setdefault(option.key, []).append((question.name, option.answers))
    asks = {key: tuple(dict(found).items()) for key, found in asks.items()}
    sayable = frozenset(asks) - SILENT - {UNCLEAR}
    routes = _routes(tree, asks)
    excluding = {frozenset(pair) for pair in combinations(asks, 2) if _exclude(routes[pair[0]], routes[pair[1]])}
    return Plan(tuple(steps), asks, sayable, tuple(sorted(asks.keys() - set(CONCEPTS))), frozenset(excluding))


def _parents_first(tree: DecisionTree) -> list[Question]:
    parents = {question.name: {parent for parent, _ in question.parents} for question in tree.questions}
    return [tree.question(name) for name in TopologicalSorter(parents).static_order()]


def _by_key(tree: DecisionTree, question: Question) -> list[tuple[str, int]]:
    """Return key and index of the answers that mean something."""
    start, count = tree.slices[question.name].start, len(question.answers)
    concepts, words = question.concepts or (None,) * count, question.words or ("",) * count
    keys = (concept or phrase for concept, phrase in zip(concepts, words, strict=True))
    return [(key, index) for index, key in enumerate(keys, start) if key.strip()]


def _grouped(answers: Iterable[tuple[str, int]]) -> tuple[Option, ...]:
    """Return the options of (key, index) pairs; several answers can mean the same."""
    groups: dict[str, tuple[int, ...]] = {}
    for key, index in answers:
        groups[key] = (*groups.get(key, ()), index)
    return tuple(Option(*group) for group in groups.items())


def _ways(tree: DecisionTree, question: Question) -> tuple[Way, ...]:
    leading = _grouped((parent, tree.index(parent, answer)) for parent, answer in question.parents)
    ways = []
    for parent, answers in leading:
        fine = {key for key, index in _by_key(tree, tree.question(parent)) if index in answers} - SILENT
        ways.append(Way(parent, answers, frozenset(fine | {_COARSE[key] for key in fine & _COARSE.keys()})))
    return tuple(ways)


Route = dict[str, frozenset[int]]
"""Questions that a volunteer must have answered -> indices of the answers that he or she can have given."""


def _routes(tree: DecisionTree, asks: dict) -> dict[str, Route]:
    """Return the route to each key."""
    multiple = {question.name for question in tree.questions if question.is_multiple}
    to_question: dict[str, Route] = {}

    def through(question: str, answers: Iterable[int]) -> Route:
        # Other answers may be given beside one of a multiple-choice question.
        return to_question[question] | ({} if question in multiple else {question: frozenset(answers)})

    for question in _parents_first(tree):
        to_question[question.name] = _shared([through(way.question, way.answers) for way in _ways(tree, question)])
    return {key: _shared([through(*found) for found in questions]) for key, questions in asks.items()}


def _shared(routes: list[Route]) -> Route:
    """Return what holds on all of several routes."""
    questions = set.intersection(*map(set, routes)) if routes else set()
    return {question: frozenset().union(*(route[question] for route in routes)) for question in questions}


def _exclude(one: Route, other: Route) -> bool:
    return any(one[question].isdisjoint(other[question]) for question in one.keys() & other.keys())
