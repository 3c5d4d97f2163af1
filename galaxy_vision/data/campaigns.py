"""The campaigns of Galaxy Zoo, and trees of one's own: names and files -> decision trees.

``campaigns.json`` has the trees as volunteers walked them, with the names of the published tables. Where a published
list of dependencies contradicts the flowchart of the paper, the flowchart is taken; the notes of a campaign say where.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..models.decision_tree import GALAXY_ZOO_2, hub_columns
from ..models.tree import DecisionTree
from ..models.trees import Trees

FILE = Path(__file__).with_name("campaigns.json")


class Campaign(NamedTuple):
    """What is known of a campaign.

    Attributes:
        tree: all questions that volunteers were asked.
        released: the questions whose votes are in the published tables, each after the nearest one that is.
        dataset: of the Hub; None where there is none.
        citation: papers.
        licence: of what -> which.
        notes: where published tables are wrong, and what to know of images and votes.
    """

    tree: DecisionTree
    released: DecisionTree
    dataset: str | None = None
    citation: tuple[str, ...] = ()
    licence: dict[str, str] = {}  # noqa: RUF012 (never changed)
    notes: tuple[str, ...] = ()


@cache
def _facts() -> dict[str, dict]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def campaign_names() -> list[str]:
    """Return the names of all campaigns that come with the package."""
    return list(_facts())


def load_campaign(source: str) -> Campaign:
    """Return a campaign by its name, or the tree of a JSON file of one's own.

    Raises:
        ValueError: no campaign has this name and there is no such file, or its content is not a tree.
    """
    if source in _facts():
        facts = _facts()[source]
        licence, lists = facts["licence"], (tuple(facts["citation"]), tuple(facts["notes"]))
        if "like" in facts:  # the same questions and answers, with the names that our arrays have
            tree = replace(tree_of(facts["like"]), name=source)
            return Campaign(tree, tree, facts["dataset"], lists[0], licence, lists[1])
        tree = DecisionTree.from_dict(facts | {"name": source})
        return Campaign(tree, _released(tree, facts["questions"]), facts["dataset"], lists[0], licence, lists[1])
    path = Path(source)
    if not path.is_file():
        raise ValueError(
            f"tree={source!r} is neither a campaign ({', '.join(campaign_names())}) nor a JSON file; give one of them"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"tree={source!r} is not a JSON file ({error}); mend it") from error
    if isinstance(data, dict):
        data = {"name": path.stem} | data
    try:
        tree = DecisionTree.from_dict(data)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return Campaign(tree, tree)


def _released(tree: DecisionTree, facts: list[dict]) -> DecisionTree:
    questions = []
    for question, known in zip(tree.questions, facts, strict=True):
        if question.is_released:
            parents = tuple(map(tuple, known.get("hub_parents", question.parents)))
            questions.append(question._replace(parents=parents))
    return replace(tree, questions=tuple(questions))


def tree_of(source: str) -> DecisionTree:
    """Return the tree whose votes are learned and predicted for a campaign, or that of a JSON file of one's own.

    It has the questions of the published tables. That of Galaxy Zoo 2 is :data:`GALAXY_ZOO_2`, with the names of hart16
    and the odd features.

    Raises:
        ValueError: as for :func:`load_campaign`.
    """
    return GALAXY_ZOO_2 if source == GALAXY_ZOO_2.name else load_campaign(source).released


def wanted_trees(campaign: str | None, tree: str | None = None) -> Trees | None:
    """Return the trees of ``--campaign``, names with commas between, and of ``--tree``, a JSON file; None without both.

    Raises:
        ValueError: as for :func:`load_campaign`, or two trees have the same name.
    """
    names = [name.strip() for name in (campaign or "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in campaign_names()]:
        raise ValueError(
            f"campaign={unknown[0]!r} is not one of {', '.join(campaign_names())}; give a tree of your own by --tree"
        )
    sources = [*names, *([tree] if tree else [])]
    return Trees(map(tree_of, sources)) if sources else None


def column_names(tree: DecisionTree) -> tuple[str | None, ...]:
    """Return the column of each answer in tables of votes, ``{question}_{answer}``; None where they do not have it.

    For :data:`GALAXY_ZOO_2` those of the data sets on the Hub, which lack the odd features; another campaign with its
    answers, such as the challenge, has its own name before them, so that both fit into one table.
    """
    if tree == GALAXY_ZOO_2:
        return hub_columns()
    before = f"{tree.name}_" if tree.answers == GALAXY_ZOO_2.answers else ""
    return tuple(f"{before}{question}_{answer}" for question, answer in tree.answers)


@cache
def recognised(columns: frozenset[str]) -> Trees | None:
    """Return the campaigns whose votes a table has, by the names of its columns; None without any.

    A campaign is recognised by two answers of its first question, unless the table has answers to one of its questions
    that it does not know: tables of DECaLS have the column names of DESI, and ``bar_yes``. Of campaigns that share
    columns, that with most of them in the table is taken, and then the smallest.
    """
    trees = [tree_of(name) for name in campaign_names()]
    all_answers = {answer for name in campaign_names() for _, answer in load_campaign(name).tree.answers}
    candidates: list[tuple[int, int, DecisionTree, set[str]]] = []
    for tree in trees:
        names = column_names(tree)
        first = set(names[tree.slices[tree.first_question.name]])
        asked = {name.rpartition("_")[0] for name in names if name}
        others = {f"{question}_{answer}" for question in asked for answer in all_answers} - set(names)
        if len(first & columns) >= 2 and not others & columns:
            found = columns & set(names)
            candidates.append((-len(found), len(names), tree, found))
    chosen: list[DecisionTree] = []
    taken: set[str] = set()
    for *_, tree, found in sorted(candidates, key=lambda candidate: candidate[:2]):
        if not found & taken:
            chosen.append(tree)
            taken |= found
    return Trees(tree for tree in trees if tree in chosen) if chosen else None


def drawn(tree: DecisionTree) -> str:
    """Return a tree as indented lines: each question with its answers, below it what the answers lead to."""
    lines: list[str] = []
    drawn_already: set[str] = set()

    def draw(name: str, depth: int) -> None:
        question, indent = tree.question(name), "    " * depth
        kinds = (" (several answers)" if question.is_multiple else "") + ("" if question.is_released else " (no votes)")
        if name in drawn_already:
            lines.append(f"{indent}{name}, as above")
            return
        drawn_already.add(name)
        lines.append(f"{indent}{name}: {', '.join(question.answers)}{kinds}")
        for answer in question.answers:
            following = [child.name for child in tree.questions if (name, answer) in child.parents]
            if following:
                lines.append(f"{indent}  {answer}:")
            for child in following:
                draw(child, depth + 1)

    draw(tree.first_question.name, 0)
    return "\n".join(lines)
