"""Draw figures of scores and of test galaxies."""

import itertools
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from ..captions.claims import score_claims
from ..captions.reading import parse_claims
from ..data.load import read_image
from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from ..runtime.paper import COLUMN, PAGE, paper_style, save_figure
from .sums import wilson
from .votes import by_campaign

COLUMNS = 6
"""Images in a row of a sheet of galaxies."""

NUM_CAPTIONED = 24
"""Galaxies on the sheet of captions. Ours: four rows fit a screen."""

LINES = ("-", "--")
"""Of curves in one panel, so that they are told apart in grey too."""

_WRONG = "#a4330c"


@paper_style()
def draw_curves(results: dict, path: Path) -> list[Path]:
    """Draw the loss, and the scores on the validation split, of a classifier or a captioner by epoch.

    Every score has an axis of its own, since a claim F1 and a BLEU, or an F1 and an error, share no scale.
    """
    if "captions" in results:
        unit, losses = "nats a word", {"train_loss": "training"}
        scores = {"validation_claim_f1": "F1 of claims", "validation_bleu_4": "BLEU-4"}
    else:
        unit, losses = "nats", {"train_loss": "training (class-weighted)", "validation_loss": "validation"}
        scores = {"validation_macro_f1": "macro F1", "validation_rmse_37": "RMSE of 37 vote fractions"}
        if "task" in results:  # labels of one's own
            losses["train_loss"] = "training (labels, and what is kept)"
        if results["history"][0].get("validation_rmse_37") is None:
            scores = {"validation_macro_f1": "macro F1", "validation_rmse_known": "RMSE of vote fractions"}
    history = results["history"]
    scores = {key: name for key, name in scores.items() if history[0].get(key) is not None}
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) < 5 else None
    figure = Figure(figsize=(PAGE * (1 + len(scores)) / 3, 2.1), layout="constrained")
    grid = figure.subplots(1, 1 + len(scores), squeeze=False)[0]
    for (key, label), style in zip(losses.items(), LINES, strict=False):
        if history[0].get(key) is not None:
            grid[0].plot(epochs, [row[key] for row in history], style, label=label, marker=marker)
    grid[0].set(ylabel=f"loss ({unit})", title="Loss")
    for axes, (key, name) in zip(grid[1:], scores.items(), strict=True):
        axes.plot(epochs, [row[key] for row in history], marker=marker, label="validation")
        axes.set(ylabel=name, title=f"{name[:1].upper()}{name[1:]}")
    for axes in grid:
        axes.axvline(results["best_epoch"], color="grey", linewidth=0.5, linestyle=":", label="chosen epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.legend()
    return save_figure(figure, path)


@paper_style()
def draw_learning_curve(points: list[dict], path: Path) -> list[Path]:
    """Draw a score against the number of labels, with its 95 % intervals.

    Args:
        points: with ``rows`` that were learned from, ``score`` (its name), ``value`` and ``interval``.
        path: of the figure.
    """
    figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
    axes = figure.subplots()
    rows, values = ([point[key] for point in points] for key in ("rows", "value"))
    edges = np.array([point["interval"] or [point["value"]] * 2 for point in points], dtype=float)
    axes.errorbar(rows, values, yerr=np.abs(edges - np.array(values)[:, None]).T, marker="o", capsize=2)
    axes.set_xscale("log")
    axes.set_xticks(rows, labels=[str(count) for count in rows], minor=False)
    axes.minorticks_off()
    axes.set(xlabel="labelled images", ylabel=points[0]["score"], title="More labels, and what they gain")
    return save_figure(figure, path)


@paper_style()
def draw_confusion(classes: dict, path: Path) -> list[Path]:
    """Draw the confusion matrix: in each cell the share of the row, which is a true class, and the galaxies."""
    labels, matrix = classes["labels"], np.array(classes["confusion_matrix"]).round().astype(int)
    rows = matrix.sum(axis=1)
    share = matrix / np.maximum(rows, 1)[:, None]
    side = float(np.clip(0.9 + 0.5 * len(labels), COLUMN, PAGE))
    figure = Figure(figsize=(side, side - 0.5), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = float(np.clip(46 / len(labels), 2.5, 6))
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if share[row, column] > 0.5 else "black"
            text = f"{share[row, column]:.0%}\n{count}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    positions = np.arange(len(labels))
    axes.set_xticks(positions, labels, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
    named = [f"{label} ({count})" for label, count in zip(labels, rows, strict=True)]
    axes.set_yticks(positions, named, parse_math=False)
    axes.set(xlabel="predicted class", ylabel="true class (test galaxies)")
    axes.tick_params(length=0)
    figure.colorbar(drawn, ax=axes, shrink=0.8, ticks=[0, 0.5, 1], format=PercentFormatter(1)).set_label(
        "share of the true class"
    )
    return save_figure(figure, path)


@paper_style()
def draw_reliability(results: dict, path: Path) -> list[Path]:
    """Draw observed against predicted frequencies: of a correct top class, and of volunteers that gave an answer.

    Below are the galaxies of each bin. Intervals are of 95 % by Wilson (1927, JASA 22, 209). Each answer of a galaxy
    counts once in them, not once for each of its volunteers, who saw the same image; runs of older versions did not
    count galaxies, and have no intervals of votes.
    """
    figure = Figure(figsize=(COLUMN, COLUMN * 1.25), layout="constrained")
    axes, counts = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    campaigns = by_campaign(results.get("votes"))
    curves = {"most probable class": results.get("classes", {})}
    for campaign, votes in campaigns.items():
        curves["vote fractions" + (f" of {campaign}" if len(campaigns) > 1 else "")] = votes
    for (title, scores), marker in zip(curves.items(), itertools.cycle("os^Dv")):
        if not (curve := scores.get("reliability")):
            continue
        predicted, observed = (np.array([point[key] for point in curve]) for key in ("predicted", "observed"))
        rows = [point.get("rows", point["weight"] if scores is results.get("classes") else None) for point in curve]
        label = f"{title}, calibration error {scores['ece']:.3f}"
        if None in rows:
            axes.plot(predicted, observed, marker=marker, label=label)
            continue
        limits = [wilson(share * count, count) for share, count in zip(observed, rows, strict=True)]
        errors = np.abs(np.array(limits).T - observed)
        axes.errorbar(predicted, observed, errors, marker=marker, capsize=1.5, elinewidth=0.8, label=label)
        counts.plot(predicted, rows, marker=marker, linewidth=0.6)
    axes.set(ylabel="observed share", xlim=(0, 1), ylim=(0, 1), aspect="equal", title="Reliability on the test split")
    counts.set(xlabel="predicted probability or share", ylabel="cases", yscale="log")
    axes.legend(loc="upper left")
    return save_figure(figure, path)


@paper_style()
def draw_mistakes(results: dict, rows, crop_fraction: float, path: Path) -> list[Path]:
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
        axes.set_title(f"{mistake['true']}\n")
        prediction = f"said {mistake['predicted']}, {100 * mistake['probability']:.0f} %"
        axes.text(0.5, 1.025, prediction, transform=axes.transAxes, ha="center", va="bottom", color=_WRONG)
        _name_galaxy(axes, rows, mistake["row"])
    return save_figure(figure, path)


@paper_style()
def draw_heat_maps(results: dict, rows, model, processor, path: Path) -> list[Path]:
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
    figure = Figure(figsize=(PAGE, 1.3 * len(names) + 0.25), layout="constrained")
    grid = figure.subplots(len(names), COLUMNS, squeeze=False)
    figure.suptitle("Right answers, and where the model looked for that class (bright: much)")
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
        left.set_title(name)
        right.set_title(f"{100 * example['probability']:.0f} %")
        _name_galaxy(left, rows, example["row"])
    return save_figure(figure, path)


@paper_style()
def draw_captions(captions: list[str], rows, path: Path, tree: DecisionTree = GALAXY_ZOO_2) -> list[Path]:
    """Draw evenly spaced rows of the test split with their captions.

    Captions with a claim that the votes on ``tree`` contradict, or about which nobody was asked, are red, with a ✗ per
    such claim.
    """
    chosen = np.linspace(0, len(rows) - 1, min(NUM_CAPTIONED, len(rows))).astype(int)
    figure, grid = _sheet(
        len(chosen), "Captions of test galaxies; ✗: a claim that the votes contradict or never asked", height=1.9
    )
    for axes, index in zip(grid.flat, chosen, strict=False):
        row, caption = rows.remove_columns("image")[int(index)], captions[index]
        scored = score_claims(parse_claims(caption, tree), row["votes"], tree)
        wrong = scored["contradicted"] + scored["ungrounded"]
        axes.imshow(read_image(rows, int(index)))
        axes.set_title(f"{row.get('id', index)}{'  ✗' * wrong}", color=_WRONG if wrong else "black")
        axes.text(
            0.5,
            -0.03,
            textwrap.fill(caption, 25, max_lines=6, placeholder=" …"),
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=6,
        )
    return save_figure(figure, path)


def _sheet(count: int, title: str, height: float = 1.45):
    """Return a figure and its grid of at least ``count`` empty axes."""
    lines = max(1, -(-count // COLUMNS))
    figure = Figure(figsize=(PAGE, height * lines + 0.25), layout="constrained")
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    figure.get_layout_engine().set(h_pad=0.05)  # inches; without it text below the last row touches the edge
    figure.suptitle(title)
    return figure, grid


def _show_galaxy(axes, image, crop_fraction: float) -> None:
    """Show an image with the central square that the model sees."""
    axes.imshow(image)
    side = crop_fraction * min(image.size)
    corner = [(length - side) / 2 - 0.5 for length in image.size]
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=0.5, linestyle=":"))


def _name_galaxy(axes, rows, index: int) -> None:
    """Write the id of a galaxy, or its row in the split, into its image."""
    name = str(rows.select_columns("id")[index]["id"]) if "id" in rows.column_names else f"row {index}"
    axes.text(0.02, 0.02, name, transform=axes.transAxes, color="white", fontsize=5, va="bottom")
