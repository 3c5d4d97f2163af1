"""What scores are made of: running sums, ratios, confusion matrices and calibration curves."""

import numpy as np

NUM_BINS = 10
"""Bins of a reliability curve; ours."""


class RunningSums(dict):
    """Running sums by name; adding to a name that is not there starts it."""

    def add(self, name: str, value) -> None:
        self[name] = self[name] + value if name in self else np.asarray(value, dtype=np.float64)


def ratio(above: float, below: float) -> float | None:
    """Divide; None where there is nothing to divide by."""
    return float(above / below) if below > 0 else None


def root(above: float, below: float) -> float | None:
    """Root of the mean of squares that sum to ``above`` over ``below`` values; None where there are none."""
    return float(np.sqrt(max(above, 0.0) / below)) if below > 0 else None


def interval_95(values) -> list[float]:
    """The 2.5 % and 97.5 % quantiles."""
    return [float(edge) for edge in np.quantile(values, [0.025, 0.975])]


def confusion_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Score confusion matrices (..., C, C), rows true; F1 of a class without rows or answers is 0."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    recall = np.divide(right, true, out=np.zeros_like(right), where=true > 0)
    precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
    f1 = np.divide(2 * right, true + predicted, out=np.zeros_like(right), where=true + predicted > 0)
    # A class that is neither true nor predicted is not a class of this test set.
    occurs, counted = true > 0, true + predicted > 0
    return {
        "accuracy": right.sum(-1) / true.sum(-1),
        "balanced_accuracy": recall.sum(-1) / occurs.sum(-1),
        "macro_f1": f1.sum(-1) / counted.sum(-1),
        "weighted_f1": (f1 * true).sum(-1) / true.sum(-1),
        "per_class": np.stack([precision, recall, f1, true], -1),
    }


def calibration(weight: np.ndarray, predicted: np.ndarray, observed: np.ndarray) -> dict:
    """Expected calibration error and reliability curve from sums over bins."""
    filled = weight > 0
    curve = [
        {"predicted": float(p / w), "observed": float(o / w), "weight": float(w)}
        for w, p, o in zip(weight[filled], predicted[filled], observed[filled], strict=True)
    ]
    return {"ece": ratio(np.abs(predicted - observed).sum(), weight.sum()), "reliability": curve}


def binned(values: np.ndarray, *weights: np.ndarray) -> list[np.ndarray]:
    """Sum each of the weights (N,) over :data:`NUM_BINS` equal bins of the values (N,), which are 0 to 1."""
    bins = np.minimum((values * NUM_BINS).astype(int), NUM_BINS - 1)
    return [np.bincount(bins, weight, minlength=NUM_BINS) for weight in weights]
