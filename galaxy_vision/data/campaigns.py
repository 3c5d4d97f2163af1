"""The campaigns of Galaxy Zoo, and trees of one's own: names and files -> decision trees.

``campaigns.json`` has the trees as volunteers walked them, with the names of the published tables. Where a published
list of dependencies contradicts the flowchart of the paper, the flowchart is taken; the notes of a campaign say where.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..models.tree import DecisionTree

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
        tree = DecisionTree.from_dict(facts | {"name": source})
        licence, lists = facts["licence"], (tuple(facts["citation"]), tuple(facts["notes"]))
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

    draw(next(question.name for question in tree.questions if not question.parents), 0)
    return "\n".join(lines)
