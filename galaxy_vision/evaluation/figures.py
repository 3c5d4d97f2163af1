"""Draw figures of scores and of test galaxies."""

import textwrap
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display is needed
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from sklearn.metrics import ConfusionMatrixDisplay

from ..captions.claims import score_claims
from ..captions.reading import parse_claims
from ..data.load import read_image
from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from ..runtime.files import written_whole
from .votes import by_campaign

COLUMNS = 6
"""Images in a row of a sheet of galaxies."""

NUM_CAPTIONED = 24
"""Galaxies on the sheet of captions. Ours: four rows fit a screen."""

_WRONG = "firebrick"


def draw_curves(results: dict, path: Path) -> Path:
    """Draw the loss, and the scores on the validation split, of a classifier or a captioner by epoch."""
    if "captions" in results:
        unit, losses = "nats a word", {"train_loss": "training"}
        scores = {"validation_claim_f1": "claim F1", "validation_bleu_4": "BLEU-4"}
    else:
        unit, losses = "nats", {"train_loss": "training (class-weighted)", "validation_loss": "validation"}
        scores = {"validation_macro_f1": "macro F1", "validation_rmse_37": "RMSE of 37"}
        if "task" in results:  # labels of one's own
            losses["train_loss"] = "training (labels, and what is kept)"
        if results["history"][0].get("validation_rmse_37") is None:
            scores = {"validation_macro_f1": "macro F1", "validation_rmse_known": "RMSE of votes"}
    history = results["history"]
    epochs = [row["epoch"] for row in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
    for axes, curves in ((left, losses), (right, scores)):
        for key, label in curves.items():
            if history[0].get(key) is not None:
                axes.plot(epochs, [row[key] for row in history], label=label, marker="o" if len(epochs) < 5 else None)
        axes.axvline(results["best_epoch"], color="grey", linewidth=1, linestyle=":", label="best epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    right.set_visible(any(history[0].get(key) is not None for key in scores))
    left.set(xlabel="epoch", ylabel=f"loss ({unit})", title="Loss")
    right.set(xlabel="epoch", title="Scores on the validation split")
    return _save(figure, path)


def draw_learning_curve(points: list[dict], path: Path) -> Path:
    """Draw a score against the number of labels, with its 95 % intervals.

    Args:
        points: with ``rows`` that were learned from, ``score`` (its name), ``value`` and ``interval``.
        path: of the figure.
    """
    figure, axes = plt.subplots(figsize=(5.2, 4.0), layout="constrained")
    rows, values = ([point[key] for point in points] for key in ("rows", "value"))
    edges = np.array([point["interval"] or [point["value"]] * 2 for point in points], dtype=float)
    axes.errorbar(rows, values, yerr=np.abs(edges - np.array(values)[:, None]).T, marker="o", capsize=3)
    axes.set_xscale("log")
    axes.set_xticks(rows, labels=[str(count) for count in rows], minor=False)
    axes.minorticks_off()
    axes.set(xlabel="labelled images", ylabel=points[0]["score"], title="More labels, and what they gain")
    return _save(figure, path)


def draw_confusion(classes: dict, path: Path) -> Path:
    """Draw the confusion matrix in galaxies; the colour is the share of the true class."""
    labels = classes["labels"]
    side = max(5.0, 2.4 + 0.65 * len(labels))
    figure, axes = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    matrix = np.array(classes["confusion_matrix"])
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(share, display_labels=labels)
    display.plot(
        ax=axes, cmap="Blues", include_values=False, xticks_rotation=40, colorbar=False, im_kw={"vmin": 0, "vmax": 1}
    )
    figure.colorbar(display.im_, ax=axes, shrink=0.8)
    plt.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
    for (row, column), count in np.ndenumerate(matrix):
        axes.text(column, row, count, ha="center", va="center", color="white" if share[row, column] > 0.5 else "black")
    axes.set(
        title=f"{classes['rows']} test galaxies; colour: share of the true class", xlabel="predicted", ylabel="true"
    )
    return _save(figure, path)


def draw_reliability(results: dict, path: Path) -> Path:
    """Draw observed against predicted frequencies: of a correct top class, and of volunteers that gave an answer."""
    figure, axes = plt.subplots(figsize=(5.2, 5.0), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    campaigns = by_campaign(results.get("votes"))
    curves = {"top class": results.get("classes", {})}
    for campaign, votes in campaigns.items():
        curves["vote fractions" + (f" of {campaign}" if len(campaigns) > 1 else "")] = votes
    for title, scores in curves.items():
        if curve := scores.get("reliability"):
            points = np.array([(point["predicted"], point["observed"]) for point in curve])
            axes.plot(*points.T, marker="o", label=f"{title}, ECE {scores['ece']:.3f}")
    axes.set(
        xlabel="predicted",
        ylabel="observed",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        title="Reliability on the test split",
    )
    axes.legend()
    return _save(figure, path)


def draw_mistakes(results: dict, rows, crop_fraction: float, path: Path) -> Path:
    """Draw the most confident mistakes: image, true class, predicted class and its probability.

    Args:
        results: of a classifier.
        rows: the test split, with ``image``.
        crop_fraction: of the image processor; a square shows what the model sees.
    """
    mistakes, classes = results["examples"]["mistakes"], results["classes"]
    wrong = round(classes["rows"] * (1 - classes["accuracy"]))
    figure, grid = _sheet(
        len(mistakes), f"The {len(mistakes)} most confident of {wrong} mistakes in {classes['rows']} galaxies"
    )
    for axes, mistake in zip(grid.flat, mistakes, strict=False):
        _show_galaxy(axes, read_image(rows, mistake["row"]), crop_fraction)
        axes.set_title(f"{mistake['true']}\n", fontsize=10)
        prediction = f"said {mistake['predicted']}, {100 * mistake['probability']:.0f} %"
        axes.text(0.5, 1.025, prediction, transform=axes.transAxes, ha="center", va="bottom", fontsize=10, color=_WRONG)
        _name_galaxy(axes, rows, mistake["row"])
    return _save(figure, path)


def draw_heat_maps(results: dict, rows, model, processor, path: Path) -> Path:
    """Draw the first correctly classified test galaxies of every class, beside their heat maps.

    Args:
        results: of a classifier, with ``results["examples"]["correct"]``.
        rows: the test split, with ``image``.
        model: the trained classifier.
        processor: its image processor; a square shows what the model sees.
    """
    from ..inference.explain import explain, overlay  # imports pytorch-grad-cam, which takes seconds

    correct = results["examples"]["correct"]
    names = [name for name in results["classes"]["labels"] if any(example["true"] == name for example in correct)]
    figure, grid = plt.subplots(
        len(names), COLUMNS, figsize=(16.0, 2.75 * len(names) + 0.5), layout="constrained", squeeze=False
    )
    figure.suptitle("Right answers, and where the model looked for that class (bright: much)", fontsize=13)
    images = [read_image(rows, example["row"]) for example in correct]
    targets = [model.config.label2id[example["true"]] for example in correct]
    heats = explain(model, processor, images, target=targets)
    drawn = dict.fromkeys(names, 0)
    for axes in grid.flat:
        axes.set_axis_off()
    for example, image, heat in zip(correct, images, heats, strict=True):
        name = example["true"]
        left, right = grid[names.index(name), 2 * drawn[name] : 2 * drawn[name] + 2]
        drawn[name] += 1
        _show_galaxy(left, image, processor.crop_fraction)
        right.imshow(overlay(image, heat))
        left.set_title(name, fontsize=10)
        right.set_title(f"{100 * example['probability']:.0f} %", fontsize=10)
        _name_galaxy(left, rows, example["row"])
    return _save(figure, path)


def draw_captions(captions: list[str], rows, path: Path, tree: DecisionTree = GALAXY_ZOO_2) -> Path:
    """Draw evenly spaced rows of the test split with their captions.

    Captions with a claim that the votes on ``tree`` contradict, or about which nobody was asked, are red, with a ✗ per
    such claim.
    """
    chosen = np.linspace(0, len(rows) - 1, min(NUM_CAPTIONED, len(rows))).astype(int)
    figure, grid = _sheet(
        len(chosen), "Captions of test galaxies; ✗: a claim that the votes contradict or never asked", height=3.5
    )
    for axes, index in zip(grid.flat, chosen, strict=False):
        row, caption = rows.remove_columns("image")[int(index)], captions[index]
        scored = score_claims(parse_claims(caption, tree), row["votes"], tree)
        wrong = scored["contradicted"] + scored["ungrounded"]
        axes.imshow(read_image(rows, int(index)))
        axes.set_title(f"{row.get('id', index)}{'  ✗' * wrong}", fontsize=10, color=_WRONG if wrong else "black")
        axes.text(0.5, -0.03, textwrap.fill(caption, 32), transform=axes.transAxes, ha="center", va="top", fontsize=9)
    return _save(figure, path)


def _sheet(count: int, title: str, height: float = 3.1):
    """Return a figure and its grid of at least ``count`` empty axes."""
    lines = max(1, -(-count // COLUMNS))
    figure, grid = plt.subplots(
        lines, COLUMNS, figsize=(16.0, height * lines + 0.5), layout="constrained", squeeze=False
    )
    for axes in grid.flat:
        axes.set_axis_off()
    figure.get_layout_engine().set(h_pad=0.1)  # inches; without it text below the last row touches the edge
    figure.suptitle(title, fontsize=13)
    return figure, grid


def _show_galaxy(axes, image, crop_fraction: float) -> None:
    """Show an image with the central square that the model sees."""
    axes.imshow(image)
    side = crop_fraction * min(image.size)
    corner = [(length - side) / 2 - 0.5 for length in image.size]
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=0.8, linestyle=":"))


def _name_galaxy(axes, rows, index: int) -> None:
    """Write the id of a galaxy, or its row in the split, into its image."""
    name = str(rows.select_columns("id")[index]["id"]) if "id" in rows.column_names else f"row {index}"
    axes.text(0.02, 0.02, name, transform=axes.transAxes, color="white", fontsize=8, va="bottom")


def _save(figure, path: Path) -> Path:
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    plt.close(figure)
    return path
