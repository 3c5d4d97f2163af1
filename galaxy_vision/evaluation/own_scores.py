"""Scores of labels of one's own: of one class of many, of several labels at once, of numbers, and of counts of votes.

The outputs of a split are held as a whole, so that those of several folds can be scored as one.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.special import log_expit, log_softmax, softmax
from sklearn.metrics import average_precision_score

from ..data.batches import label_array
from ..data.load import class_counts
from ..data.references import ID_COLUMNS
from ..inference.rotations import classify
from ..models.losses import MULTI_LABEL, REGRESSION
from ..models.trees import Trees
from ..runtime.files import written_whole
from .evaluate import Examples, over_split
from .metrics import BOOTSTRAPS, GalaxyMetric
from .sums import confusion_draws, confusion_scores, interval_95, wilson
from .votes import VoteMetrics

FILE = "test_outputs.parquet"


@dataclass
class Predictions:
    """Outputs of a split, and what its rows are labelled; arrays are in the order of the rows.

    Attributes:
        row: (N,) indices in the split.
        outputs: (N, C) logits, or numbers.
        labels: (N,) class numbers, -1 where there is none; or (N, C) labels or numbers, NaN where unknown.
        errors: (N, C) standard errors of numbers; None for others.
        concentration: (N, answers) of the trees whose votes the rows have; None without votes.
        votes: (N, answers).
    """

    row: np.ndarray
    outputs: np.ndarray
    labels: np.ndarray
    errors: np.ndarray | None = None
    concentration: np.ndarray | None = None
    votes: np.ndarray | None = None

    def write(self, folder: str | Path, rows) -> None:
        """Write them as a Parquet file with the ids of the test split."""
        test = rows.data["test"]
        ids = next((test[name] for name in ID_COLUMNS if name in test.column_names), list(range(len(test))))
        columns = {"id": [str(ids[row]) for row in self.row]}
        columns |= {name: value.tolist() for name, value in vars(self).items() if value is not None}
        path = Path(folder) / FILE
        with written_whole(path) as partial:
            pq.write_table(pa.table(columns), partial)

    @classmethod
    def read(cls, folders: list[Path]) -> "Predictions":
        """Return those of several folders as one; rows are numbered through."""
        tables = [pq.read_table(folder / FILE).to_pydict() for folder in folders]
        names = [field.name for field in fields(cls) if field.name in tables[0]]
        values = {name: np.concatenate([np.array(table[name], dtype=float) for table in tables]) for name in names}
        values["row"] = np.arange(len(values["row"]))
        if values["labels"].ndim == 1:
            values["labels"] = values["labels"].astype(np.int64)
        return cls(**values)


def predict_split(
    accelerator, model, loader, processor, desc: str, trees: Trees | None = None, rotations: int = 1
) -> Predictions | None:
    """Return the outputs of a model for a split on the main process, in the order of its rows; None on the others.

    Args:
        accelerator: that of the run.
        model: of labels of one's own.
        loader: of the split.
        processor: normalises its pixels.
        desc: label of the progress bar.
        trees: whose votes the rows have, the first of those of the model; None without votes.
        rotations: as in :func:`~galaxy_vision.inference.rotations.classify`.
    """

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        output = classify(model, pixels, rotations)
        computed = {"outputs": output.logits.float(), "labels": batch["labels"]}
        if output.label_errors is not None:
            computed["errors"] = output.label_errors.float()
        if trees is not None:
            computed |= {"concentration": output.vote_concentration[..., : trees.num_answers].float()}
            computed |= {"votes": batch["votes"]}
        return computed

    batches = list(over_split(accelerator, model, loader, processor, desc, compute))
    if not accelerator.is_main_process:
        return None
    values = {name: torch.cat([batch[name] for batch in batches]).numpy() for name in batches[0]}
    order = np.argsort(values["row"])
    return Predictions(**{name: value[order] for name, value in values.items()})


def scores_of(predictions: Predictions, problem: str, names: list[str], trees: Trees | None, train) -> dict:
    """Score the outputs of a split.

    Args:
        predictions: of the split.
        problem: ``config.problem_type``.
        names: of classes, labels or numbers.
        trees: whose votes the rows have.
        train: training rows, from which the constant answers are.

    Returns:
        ``loss`` and ``rows``; ``classes`` with ``examples``, ``labels`` or ``numbers``; and ``votes``.
    """
    results = {"rows": len(predictions.row)}
    if problem == MULTI_LABEL:
        labels = label_array(train.with_format("arrow")[:]["label"])
        results |= {"labels": label_scores(predictions, names, np.nanmean(labels, axis=0))}
        loss = _mean(-_signed(predictions), ~np.isnan(predictions.labels))
    elif problem == REGRESSION:
        labels = label_array(train.with_format("arrow")[:]["label"])
        results |= {"numbers": number_scores(predictions, names, np.nanmean(labels, axis=0))}
        loss = number_loss(predictions, np.nanstd(labels, axis=0))
    else:
        counts = class_counts(train, len(names)).tolist()
        metric, examples = GalaxyMetric("classes", label_names=names, train_class_counts=counts), Examples(names)
        probabilities = softmax(predictions.outputs.astype(float), axis=-1)
        results["classes"] = metric.compute(predictions=probabilities, references=predictions.labels)
        tensors = (
            torch.from_numpy(np.asarray(value)) for value in (predictions.row, probabilities, predictions.labels)
        )
        examples.add_batch(*tensors)
        results["examples"] = examples.compute()
        known = predictions.labels >= 0
        chosen = np.maximum(predictions.labels, 0)[:, None]
        log = np.take_along_axis(log_softmax(predictions.outputs.astype(float), axis=-1), chosen, 1)[:, 0]
        loss = _mean(-log, known)
    if predictions.votes is not None:
        metric = VoteMetrics(trees, train.with_format("numpy")["votes"][:])
        metric.add_batch(predictions=predictions.concentration, references=predictions.votes)
        results["votes"] = metric.compute()
    return results | {"loss": loss}


def _mean(values: np.ndarray, known: np.ndarray) -> float | None:
    return float(values[known].mean()) if known.any() else None


def _signed(predictions: Predictions) -> np.ndarray:
    """Return the log probability (N, C) of each label as it is."""
    sign = np.where(predictions.labels == 1, 1.0, -1.0)
    return log_expit(sign * predictions.outputs.astype(float))


def label_scores(predictions: Predictions, names: list[str], shares: np.ndarray) -> dict:
    """Score several labels at once: of each its F1 at a probability of one half, and average precision.

    Args:
        predictions: with ``labels`` (N, C) of 0, 1 and NaN.
        names: of the labels.
        shares: (C,) share of each label in training, by which the constant answer has it or not.
    """
    per_label, drawn = [], []
    for index, name in enumerate(names):
        known = ~np.isnan(predictions.labels[:, index])
        true, logits = predictions.labels[known, index].astype(int), predictions.outputs[known, index]
        row = {"label": name, "rows": int(known.sum()), "support": int(true.sum())}
        row |= dict.fromkeys(("accuracy", "precision", "recall", "f1", "average_precision", "baseline_accuracy"))
        per_label.append(row)
        if not len(true):
            continue
        confusion = np.bincount(2 * true + (logits > 0), minlength=4).reshape(2, 2)
        scores = confusion_scores(confusion.astype(float))
        row |= dict(zip(("precision", "recall", "f1"), scores["per_class"][1, :3].tolist(), strict=True))
        row |= {"accuracy": float(scores["accuracy"]), "interval_95": wilson(np.trace(confusion), confusion.sum())}
        row["baseline_accuracy"] = float((true == (shares[index] > 0.5)).mean())
        if 0 < true.sum():
            row["average_precision"] = float(average_precision_score(true, logits))
            drawn.append(confusion_scores(confusion_draws(confusion, BOOTSTRAPS))["per_class"][:, 1, 2])
    known = [row for row in per_label if row["rows"]]
    occurring = [row for row in known if row["support"]]
    return {
        "rows": len(predictions.row),
        "labels": list(names),
        "per_label": per_label,
        "accuracy": _average("accuracy", known),
        "macro_f1": _average("f1", occurring),
        "mean_average_precision": float(np.mean([row["average_precision"] for row in occurring]))
        if occurring
        else None,
        "interval_95": {"macro_f1": interval_95(np.mean(drawn, axis=0))} if drawn else {},
        "baseline": {"accuracy": _average("baseline_accuracy", known)},
    }


def _average(key: str, rows: list[dict]) -> float | None:
    return float(np.mean([row[key] for row in rows])) if rows else None


def number_loss(predictions: Predictions, scale: np.ndarray) -> float | None:
    """Return the mean loss of numbers that training has: of a Gaussian of the predicted error, in units of scale."""
    distance = (predictions.labels - predictions.outputs) / predictions.errors
    losses = distance**2 / 2 + np.log(predictions.errors / np.where(scale > 0, scale, 1.0))
    return _mean(losses, ~np.isnan(predictions.labels))


def number_scores(predictions: Predictions, names: list[str], means: np.ndarray) -> dict:
    """Score numbers: the error of each beside that of the mean of the training rows, and how often 1 sigma covers it.

    Args:
        predictions: with ``labels`` (N, C) numbers, NaN where unknown, and ``errors``.
        names: of the numbers.
        means: (C,) of the training rows.
    """
    per_number = []
    for index, name in enumerate(names):
        known = ~np.isnan(predictions.labels[:, index])
        true, value = predictions.labels[known, index].astype(float), predictions.outputs[known, index]
        row = {"number": name, "rows": int(known.sum())}
        row |= dict.fromkeys(("rmse", "mae", "bias", "coverage_68", "mean_error", "baseline_rmse", "interval_95"))
        per_number.append(row)
        if not len(true):
            continue
        residual, error = value - true, predictions.errors[known, index]
        drawn = np.random.default_rng(0).integers(0, len(true), (BOOTSTRAPS, len(true)))
        row |= {
            "rmse": float(np.sqrt((residual**2).mean())),
            "mae": float(np.abs(residual).mean()),
            "bias": float(residual.mean()),
            "coverage_68": float((np.abs(residual) <= error).mean()),
            "mean_error": float(error.mean()),
            "baseline_rmse": float(np.sqrt(((means[index] - true) ** 2).mean())),
            "interval_95": interval_95(np.sqrt((residual**2)[drawn].mean(1))),
        }
    return {"rows": len(predictions.row), "numbers": list(names), "per_number": per_number}
