"""The figure for download: galaxy, heat map, class probabilities and the answers, on one sheet."""

import io
import textwrap

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from votes import words_of

from galaxy_vision.inference.answer_names import answer_names, question_words
from galaxy_vision.inference.describe import MIN_REACH, NO_CAPTION
from galaxy_vision.inference.explain import overlay
from galaxy_vision.models.tree import DecisionTree

INK, ACCENT, PALE = "#1e2433", "#5b5bd6", "#dfe1ee"


def sheet(
    image: Image.Image,
    description: dict,
    tree: DecisionTree,
    heat: np.ndarray,
    target: str,
    method: str,
    opacity: float = 0.6,
) -> bytes:
    """Draw the figure and return it as PNG bytes.

    Args:
        image: the galaxy.
        description: what :func:`studio.describe` returns for it.
        tree: whose answers its votes are.
        heat: (H, W) in [0, 1], the heat map.
        target: class or answer of the heat map.
        method: method of the heat map.
        opacity: of the heat map on the image, 0 to 1.
    """
    # Without pyplot, which is not safe with several threads.
    figure = Figure(figsize=(11, 8.5), dpi=110, layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.25))
    pictures = (image, overlay(image, heat, opacity))
    titles = (description["image"], f"evidence for {target} ({method})")
    for column, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(picture)
        axes.set_title(textwrap.shorten(title, 44), fontsize=10, color=INK, parse_math=False)
        axes.set_axis_off()
    ranked = sorted(description["probabilities"].items(), key=lambda item: item[1])
    axes = figure.add_subplot(grid[0, 2])
    axes.barh([name for name, _ in ranked], [value for _, value in ranked], color=ACCENT)
    axes.set_xlim(0, 1)
    axes.set_title("class probability", fontsize=10, color=INK)
    _answers(figure.add_subplot(grid[1, :]), description["votes"], tree)
    doubt = f"   (doubtful: {'; '.join(description['doubts'])})" if description["doubts"] else ""
    caption = description["caption"] if description["caption"].strip() else NO_CAPTION
    words = textwrap.fill(f"{description['class']}: {caption}{doubt}", 110)
    figure.suptitle(words, fontsize=12, color=INK, parse_math=False)  # a name with dollar signs is not a formula
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _answers(axes, votes: dict[str, dict[str, float]], tree: DecisionTree) -> None:
    """Plot the answers of the questions that most volunteers would be asked, with 90 % intervals."""
    words, questions, labels = words_of(tree), question_words(tree), answer_names(tree)
    names = []
    for question, part in tree.slices.items():
        if votes and votes[labels[part.start]]["reach"] >= MIN_REACH:
            if names:
                axes.axvline(len(names) - 0.5, color=PALE, linewidth=1)
            title = textwrap.fill(questions[question], 7 * (part.stop - part.start))
            axes.text(len(names) - 0.4, 1.13, title, va="top", fontsize=8, color=INK, parse_math=False)
            names += labels[part]
    share = np.array([votes[name]["fraction"] for name in names])
    low, high = (np.array([votes[name][key] for name in names]) for key in ("lower", "upper"))
    positions = np.arange(len(names))
    axes.bar(positions, share, color=PALE)
    axes.vlines(positions, low, high, color=ACCENT, linewidth=2.5)
    axes.plot(positions, share, "o", color=INK, markersize=4)
    axes.set_xticks(positions, [words[name] for name in names], rotation=40, ha="right", fontsize=8, parse_math=False)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_ylim(0, 1.15)  # room for the questions above their answers
    axes.set_title("predicted share of those asked, with 90 % interval", fontsize=10, color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
