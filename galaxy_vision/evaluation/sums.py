"""Parts of the metrics: running sums, ratios, confusion matrices and calibration curves."""

import numpy as np
from scipy.stats import betabinom

NUM_BINS = 10
"""Bins of a reliability curve. Ours: a tenth each."""

SMALL = 1000
"""Rows below which intervals allow for mistakes that have not happened yet. Ours: above, they are .001 apart."""
Z_95 = 1.959964
"""Of the 95 % interval of a normal distribution."""
FEW_TESTED = 100
"""Test rows below which a score is doubted. Ours: the interval of an accuracy of .9 is then .12 wide."""

CLASS_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
}
"""Scores of classes in the results, and their names in tables."""


class BatchedMetric:
    """What an ``evaluate.Metric`` has in common with others that hold what was added themselves, not in an Arrow file.

    It stands before ``evaluate.Metric`` among the base classes, and is not a metric itself, since ``evaluate.load``
    takes the first metric of a module. Subclasses have ``add_batch``, ``_scores`` (the scores of ``held``) and:

    Attributes:
        held: a container of what was added since the last ``compute``.
    """

    def add(self, *, prediction=None, reference=None, **kw) -> None:
        """Add one row."""
        self.add_batch(predictions=[prediction], references=[reference])

    def compute(self, *, predictions=None, references=None, **kw) -> dict:
        """Return the scores of all that was added, as plain Python (None where undefined), and start again.

        Raises:
            ValueError: no row was added.
        """
        if predictions is not None:
            self.add_batch(predictions=predictions, references=references)
        if not self.held:
            raise ValueError("no row was added; call add_batch(predictions=..., references=...) first")
        result = self._scores()
        self.held = type(self.held)()
        return result


class RunningSums(dict):
    """Running sums by name."""

    def add(self, name: str, value) -> None:
        """Add to a sum, or start it."""
        self[name] = self[name] + value if name in self else np.asarray(value, dtype=np.float64)


def ratio(above: float, below: float) -> float | None:
    """Return the ratio of two sums; None where ``below`` is 0."""
    return float(above / below) if below > 0 else None


def root(above: float, below: float) -> float | None:
    """Return the root mean square of ``below`` values whose squares sum to ``above``; None where there are none."""
    return float(np.sqrt(max(above, 0.0) / below)) if below > 0 else None


def few_tested(rows: int, folds: int = 0) -> str | None:
    """Return the sentence of doubt about scores of few rows, tested in so many folds; None for enough of them."""
    if rows >= FEW_TESTED:
        return None
    more = "" if folds else ", or give --folds 5, which tests all of them"
    return f"only {rows} rows were tested, so the scores may be far off (see their intervals); label more{more}"


def interval_95(values) -> list[float]:
    """Return the 2.5 % and 97.5 % quantiles."""
    return [float(edge) for edge in np.quantile(values, [0.025, 0.975])]


def wilson(successes: float, total: float) -> list[float]:
    """Return the 95 % interval of a share (Wilson 1927, JASA 22, 209), which is not a point for 0 or all of few."""
    z2 = Z_95**2
    centre = (successes + z2 / 2) / (total + z2)
    half = Z_95 / (total + z2) * np.sqrt(successes * (total - successes) / total + z2 / 4)
    return [float(max(centre - half, 0.0)), float(min(centre + half, 1.0))]


def confusion_draws(confusion: np.ndarray, count: int) -> np.ndarray:
    """Return bootstrapped confusion matrices (count, C, C).

    Those of fewer than :data:`SMALL` rows are drawn as if half a row more had been any mistake: ten right answers of
    ten do not mean that the next hundred are right.
    """
    total, size = confusion.sum(), len(confusion)
    shares = confusion.astype(float)
    if total < SMALL:
        shares = shares + 0.5 * confusion.sum(1, keepdims=True) / total / size
    draws = np.random.default_rng(0).multinomial(int(total), (shares / shares.sum()).ravel(), size=count)
    return draws.reshape(-1, size, size).astype(float)


def confusion_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Score confusion matrices (..., C, C), whose rows are true classes; undefined precision and recall count as 0."""
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    recall = np.divide(correct, true, out=np.zeros_like(correct), where=true > 0)
    precision = np.divide(correct, predicted, out=np.zeros_like(correct), where=predicted > 0)
    f1 = np.divide(2 * correct, true + predicted, out=np.zeros_like(correct), where=true + predicted > 0)
    # A class that is neither true nor predicted is not averaged over: the test set does not have it.
    occurs, counted = true > 0, true + predicted > 0
    return {
        "accuracy": correct.sum(-1) / true.sum(-1),
        "balanced_accuracy": recall.sum(-1) / occurs.sum(-1),
        "macro_f1": f1.sum(-1) / counted.sum(-1),
        "weighted_f1": (f1 * true).sum(-1) / true.sum(-1),
        "per_class": np.stack([precision, recall, f1, true], -1),
    }


def constant_scores(confusion: np.ndarray, answer: int) -> dict[str, np.ndarray]:
    """Score the constant answer of one class on the rows of a confusion matrix (C, C)."""
    constant = np.zeros_like(confusion)
    constant[:, answer] = confusion.sum(1)
    return confusion_scores(constant)


def calibration(weight: np.ndarray, predicted: np.ndarray, observed: np.ndarray, rows: np.ndarray = None) -> dict:
    """Return the expected calibration error and the reliability curve of sums (:data:`NUM_BINS`,) over bins.

    ``rows`` counts what a bin was summed over where this is not its weight: the curve then has it too.
    """
    filled = weight > 0
    curve = [
        {"predicted": float(p / w), "observed": float(o / w), "weight": float(w)}
        for w, p, o in zip(weight[filled], predicted[filled], observed[filled], strict=True)
    ]
    if rows is not None:
        curve = [point | {"rows": int(count)} for point, count in zip(curve, rows[filled], strict=True)]
    return {"ece": ratio(np.abs(predicted - observed).sum(), weight.sum()), "reliability": curve}


def binned(values: np.ndarray, *weights: np.ndarray) -> list[np.ndarray]:
    """Sum each of the weights (N,) over :data:`NUM_BINS` equal bins of the values (N,), which are 0 to 1."""
    bins = np.minimum((values * NUM_BINS).astype(int), NUM_BINS - 1)
    return [np.bincount(bins, weight, minlength=NUM_BINS) for weight in weights]


def counts_in_interval(a: np.ndarray, b: np.ndarray, yes: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """Return how many observed counts lie in their central 90 % intervals, and the sum of the widths of these.

    The number of ``count`` volunteers that give an answer is beta-binomial. Hardly any count has 5 % exactly below it,
    so an observed count is inside by the share of its probability that lies between 5 % and 95 % (the non-randomised
    PIT of Czado, Gneiting & Held 2009, Biometrics 65, 1254): a perfect model covers .90 for any number of volunteers.

    Args:
        a: (N,) concentrations of the answer.
        b: (N,) concentrations of the other answers of its question.
        yes: (N,) volunteers that gave the answer.
        count: (N,) volunteers that were asked.

    Returns:
        The sum of the shares, and that of the widths as fractions of ``count``.
    """
    if not len(count):
        return 0.0, 0.0
    probability = betabinom.pmf(np.arange(count.max() + 1), count[:, None], a[:, None], b[:, None])
    cumulative = probability.cumsum(1)
    rows = np.arange(len(count))
    own, top = probability[rows, yes], cumulative[rows, yes]
    inside = (np.minimum(top, 0.95) - np.maximum(top - own, 0.05)) / np.maximum(own, 1e-300)
    lower, upper = ((cumulative < quantile).sum(1) for quantile in (0.05, 0.95))
    return np.clip(inside, 0, 1).sum(), ((upper - lower) / count).sum()
