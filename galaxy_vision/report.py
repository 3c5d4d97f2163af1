"""metrics.json -> figures."""

import textwrap
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display is needed
from matplotlib import pyplot as plt
from sklearn.metrics import ConfusionMatrixDisplay

from .captions import parse_claims, score_claims


def draw_report(results: dict, output_dir: Path) -> list[Path]:
    """Draw confusion_matrix.png, reliability.png and training_curves.png from the results of a training run."""
    drawn = []
    classes = results["classes"]
    if "confusion_matrix" in classes:
        figure, axes = plt.subplots(figsize=(7.0, 6.2), layout="constrained")
        matrix = np.array(classes["confusion_matrix"])
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        shown = ConfusionMatrixDisplay(share, display_labels=classes["labels"])
        shown.plot(ax=axes, cmap="Blues", include_values=False, xticks_rotation=40, im_kw={"vmin": 0, "vmax": 1})
        plt.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
        for (row, column), count in np.ndenumerate(matrix):
            axes.text(column, row, count, ha="center", va="center", color="white" if share[row, column] > 0.5 else "black")
        axes.set(title=f"{classes['rows']} test galaxies; colour: share of the true class", xlabel="predicted", ylabel="true")
        drawn.append(_save(figure, output_dir / "confusion_matrix.png"))
    figure, axes = plt.subplots(figsize=(5.2, 5.0), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for name, title in (("classes", "top class"), ("votes", "vote fractions")):
        if curve := results.get(name, {}).get("reliability"):
            points = np.array([(point["predicted"], point["observed"]) for point in curve])
            axes.plot(*points.T, marker="o", label=f"{title}, ECE {results[name]['ece']:.3f}")
    axes.set(
        xlabel="predicted", ylabel="observed", xlim=(0, 1), ylim=(0, 1), aspect="equal", title="Reliability on the test split"
    )
    axes.legend()
    drawn.append(_save(figure, output_dir / "reliability.png"))
    history = results["history"]
    epochs = [row["epoch"] for row in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
    for key, label in (("train_loss", "training (class-weighted)"), ("validation_loss", "validation")):
        left.plot(epochs, [row[key] for row in history], label=label)
    left.axvline(results["best_epoch"], color="grey", linewidth=1, linestyle=":", label="best epoch")
    left.set(xlabel="epoch", ylabel="loss (nats)")
    left.legend()
    right.plot(epochs, [row["validation_macro_f1"] for row in history], label="macro F1")
    if history[0].get("validation_rmse_37") is not None:
        right.plot(epochs, [row["validation_rmse_37"] for row in history], label="RMSE of 37")
    right.set(xlabel="epoch", title="Validation split")
    left.set_title("Loss")
    right.legend()
    drawn.append(_save(figure, output_dir / "training_curves.png"))
    return drawn


def draw_caption_report(results: dict, rows, output_dir: Path, count: int = 24) -> list[Path]:
    """Draw training_curves.png, and captions.png: test galaxies with their captions, ✗ where the votes contradict or never asked."""
    history = results["history"]
    epochs = [row["epoch"] for row in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
    left.plot(epochs, [row["train_loss"] for row in history])
    left.axvline(results["best_epoch"], color="grey", linewidth=1, linestyle=":", label="best epoch")
    left.set(xlabel="epoch", ylabel="loss (nats a word)", title="Training loss")
    left.legend()
    for key, label in (("validation_claim_f1", "claim F1"), ("validation_bleu_4", "BLEU-4")):
        right.plot(epochs, [row[key] for row in history], label=label)
    right.set(xlabel="epoch", title="Validation split, greedy")
    right.legend()
    drawn = [_save(figure, output_dir / "training_curves.png")]
    count = min(count, len(rows))
    figure, grid = plt.subplots(-(-count // 6), 6, figsize=(16.0, 3.5 * -(-count // 6)), layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    chosen = np.linspace(0, len(rows) - 1, count).astype(int)
    for axes, place in zip(grid.flat, chosen, strict=False):
        row, caption = rows[int(place)], results["examples"][place]
        scored = score_claims(parse_claims(caption), row["votes"])
        wrong = scored["contradicted"] + scored["ungrounded"]
        axes.imshow(row["image"])
        axes.set_title(f"{row.get('id', place)}{'  ✗' * wrong}", fontsize=9, color="firebrick" if wrong else "black")
        axes.text(0.5, -0.03, textwrap.fill(caption, 34), transform=axes.transAxes, ha="center", va="top", fontsize=9)
    drawn.append(_save(figure, output_dir / "captions.png"))
    return drawn


def _save(figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
