"""Draw the answers of one galaxy, grouped by question, with their intervals."""

import textwrap

import numpy as np
from matplotlib.figure import SubFigure

from ..models.tree import DecisionTree
from .answer_names import answer_names, answer_words, question_words
from .describe import MIN_REACH

QUESTIONS_A_ROW = 4
BLUE, PALE = "#1c5cba", "#cfd7e5"
LINE = 0.16
"""Inches of one answer."""
SPELLINGS = {
    "edgeon": "edge-on",
    "cant tell": "can't tell",
    "arms winding": "winding of arms",
    "arms number": "number of arms",
}
"""Names of the published tables that are not words as people write them."""


def readable(text: str) -> str:
    """Return the words of a question or an answer as people write them: ``"edgeon: yes"`` -> ``"edge-on: yes"``."""
    for name, words in SPELLINGS.items():
        text = text.replace(name, words)
    return text


def questions_shown(votes: dict[str, dict[str, float]], tree: DecisionTree) -> list[str]:
    """Return the questions that at least half of the volunteers would be asked, in the order of the tree."""
    names = answer_names(tree)
    return [
        question for question, part in tree.slices.items() if votes and votes[names[part.start]]["reach"] >= MIN_REACH
    ]


def answers_height(votes: dict[str, dict[str, float]], tree: DecisionTree) -> float:
    """Return the height in inches that :func:`draw_answers` needs."""
    return sum(0.5 + LINE * lines for lines in _lines_of_rows(questions_shown(votes, tree), tree))


def draw_answers(figure: SubFigure, votes: dict[str, dict[str, float]], tree: DecisionTree) -> None:
    """Draw a panel for each question that is asked: a dot for each answer, and a line for its 90 % interval.

    Args:
        figure: to draw into.
        votes: of a describer, by the names of :func:`~galaxy_vision.inference.answer_names.answer_names`.
        tree: whose answers they are.
    """
    questions, names, words = questions_shown(votes, tree), answer_names(tree), answer_words(tree)
    if not questions:
        return
    heights = [0.5 + LINE * lines for lines in _lines_of_rows(questions, tree)]
    grid = figure.subplots(len(heights), QUESTIONS_A_ROW, squeeze=False, height_ratios=heights)
    for axes in grid.flat[len(questions) :]:
        axes.set_axis_off()
    for axes, question in zip(grid.flat, questions, strict=False):
        answers = names[tree.slices[question]]
        share, low, high = (np.array([votes[name][key] for name in answers]) for key in ("fraction", "lower", "upper"))
        rows = np.arange(len(answers))
        axes.hlines(rows, 0, 1, color=PALE, linewidth=0.5)
        axes.hlines(rows, low, high, color=BLUE, linewidth=2.5, alpha=0.35)
        axes.plot(share, rows, "o", color=BLUE, markersize=4)
        labels = [textwrap.shorten(readable(words[name]), 18, placeholder="…") for name in answers]
        axes.set_yticks(rows, labels, parse_math=False)
        axes.set(xlim=(-0.04, 1.04), ylim=(len(rows) - 0.4, -0.6), xticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", "50", "100 %"])
        title = readable(question_words(tree)[question])
        axes.set_title(title[:1].upper() + title[1:], loc="left", fontweight="bold", pad=3, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    figure.supxlabel("share of the volunteers who would be asked, with 90 % interval", fontsize=6)


def _lines_of_rows(questions: list[str], tree: DecisionTree) -> list[int]:
    """Return the largest number of answers in each row of panels."""
    sizes = [tree.slices[question].stop - tree.slices[question].start for question in questions]
    return [max(sizes[start : start + QUESTIONS_A_ROW]) for start in range(0, len(sizes), QUESTIONS_A_ROW)]
