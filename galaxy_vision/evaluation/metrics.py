# ruff: noqa: I001 (evaluate.load reads this file, and follows imports of one name per line only)
"""Scores of classes and of votes, as one ``evaluate.Metric`` with the configurations ``classes`` and ``votes``.

``evaluate.load("galaxy_vision/evaluation/metrics.py", "votes")`` works too. Both keep running sums only, so that memory
does not grow with the test set. Scores of votes are given beside those of a constant answer, the mean of the training
rows.
"""

import zlib

import datasets
import evaluate
import numpy as np
from scipy.special import betaincinv

from galaxy_vision.evaluation.sums import BatchedMetric
from galaxy_vision.evaluation.sums import binned
from galaxy_vision.evaluation.sums import calibration
from galaxy_vision.evaluation.sums import CLASS_SCORES
from galaxy_vision.evaluation.sums import confusion_draws
from galaxy_vision.evaluation.sums import confusion_scores
from galaxy_vision.evaluation.sums import constant_scores
from galaxy_vision.evaluation.sums import counts_in_interval
from galaxy_vision.evaluation.sums import interval_95
from galaxy_vision.evaluation.sums import ratio
from galaxy_vision.evaluation.sums import root
from galaxy_vision.evaluation.sums import RunningSums
from galaxy_vision.evaluation.sums import SMALL
from galaxy_vision.evaluation.sums import wilson
from galaxy_vision.models.concepts import MIN_VOTES
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.decision_tree import kaggle_from_conditional
from galaxy_vision.models.tree import DecisionTree

BOOTSTRAPS = 500
"""Resamplings of a 95 % interval. Ours: its edges then have a dozen of them on either side."""


def training_constants(votes, tree: DecisionTree = GALAXY_ZOO_2) -> dict[str, np.ndarray | None]:
    """Return the constant answer of (N, answers) training votes, as keywords ``baseline_*`` of :class:`GalaxyMetric`.

    Returns:
        ``baseline_conditional`` (answers,), the mean conditional fraction of the galaxies whose question was asked;
        ``baseline_cumulative`` (answers,), the mean of :func:`cumulative` in the rows in which every question is known
        (None without such a row); ``baseline_interval`` (2, answers), the 5 % and 95 % quantiles of fractions of at
        least 20 volunteers, 0 and 1 where there are none.
    """
    conditional = tree.conditional(votes)
    is_known = ~np.isnan(conditional)
    mean = np.where(is_known, conditional, 0).sum(0) / np.maximum(is_known.sum(0), 1)
    values = cumulative(conditional, tree)
    whole = ~np.isnan(values).any(-1) & ~np.isnan(votes).any(-1)
    used = tree.totals(votes) >= MIN_VOTES
    columns = zip(conditional.T, used.T, strict=True)
    interval = [np.quantile(column[rows], [0.05, 0.95]) if rows.any() else [0.0, 1.0] for column, rows in columns]
    return {
        "baseline_conditional": mean,
        "baseline_cumulative": values[whole].mean(0) if whole.any() else None,
        "baseline_interval": np.transpose(interval),
    }


def cumulative(conditional, tree: DecisionTree = GALAXY_ZOO_2) -> np.ndarray:
    """Return cumulative fractions (..., answers); for the answers of Galaxy Zoo 2 as the challenge published them."""
    is_published = tree.answers == GALAXY_ZOO_2.answers
    return kaggle_from_conditional(conditional) if is_published else tree.cumulative(conditional)


def published_values(votes, tree: DecisionTree = GALAXY_ZOO_2) -> tuple[np.ndarray, np.ndarray]:
    """Return :func:`cumulative` fractions of votes (..., answers), NaN where unknown, and whether they are known."""
    published = cumulative(tree.conditional(votes), tree)
    return published, ~np.isnan(published) & ~np.isnan(votes)


def rmse_name(tree: DecisionTree) -> str:
    """Return the name of the error over all answers of a tree, in rows in which all are known: ``"rmse_37"``."""
    return f"rmse_{len(tree.answers)}"


class GalaxyMetric(BatchedMetric, evaluate.Metric):
    """Scores of one split, whose rows are added in batches or at once.

    Configuration ``classes``: predictions (B, C) probabilities, references (B,) class indices, negative where uncertain
    (left out and counted). Configuration ``votes``: predictions (B, answers) Dirichlet concentrations, references
    (B, answers) votes, NaN where unknown.

    Args:
        config_name: ``"classes"`` or ``"votes"``.
        label_names: the C class names, in label order.
        train_class_counts: (C,) training rows of each class; the constant answer is the most frequent class.
        tree: of these answers; None for that of Galaxy Zoo 2.
        baseline_conditional: (answers,) mean conditional fractions in training; this and the next two are those of
            :func:`training_constants`.
        baseline_cumulative: (answers,) mean cumulative fractions in training.
        baseline_interval: (2, answers) interval of the fractions in training.
    """

    def __init__(
        self,
        config_name="classes",
        label_names=None,
        train_class_counts=None,
        tree=None,
        baseline_conditional=None,
        baseline_cumulative=None,
        baseline_interval=None,
        **kw,
    ):
        if config_name not in ("classes", "votes"):
            raise ValueError(f"config_name={config_name!r} is not one of classes, votes")
        super().__init__(config_name=config_name, **kw)
        self.label_names, self.train_class_counts = label_names, train_class_counts
        self.tree = tree or GALAXY_ZOO_2
        self.baseline_conditional, self.baseline_cumulative = baseline_conditional, baseline_cumulative
        self.baseline_interval = baseline_interval
        self.held = RunningSums()

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name == "classes":
            features = {
                "predictions": datasets.Sequence(datasets.Value("float32")),
                "references": datasets.Value("int64"),
            }
        else:
            row = datasets.Sequence(datasets.Value("float32"))
            features = {"predictions": row, "references": row}
        return evaluate.MetricInfo(description=__doc__, citation="", features=datasets.Features(features))

    def add_batch(self, *, predictions, references, **kw) -> None:
        """Add rows to the running sums.

        Raises:
            ValueError: shapes do not match, a prediction is not finite, or a label is out of range.
        """
        predictions, references = np.asarray(predictions, np.float64), np.asarray(references)
        if predictions.ndim != 2 or len(predictions) != len(references):
            raise ValueError(
                f"predictions have shape {predictions.shape} and references {references.shape}; give one row per galaxy"
            )
        if not np.isfinite(predictions).all():
            row = np.argwhere(~np.isfinite(predictions))[0, 0]
            raise ValueError(f"predictions of row {row} are not finite; check the model's weights")
        (self._add_classes if self.config_name == "classes" else self._add_votes)(predictions, references)

    def _scores(self) -> dict:
        return self._class_scores() if self.config_name == "classes" else self._vote_scores()

    def _add_classes(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        size = probabilities.shape[1]
        if labels.max(initial=-1) >= size:
            raise ValueError(f"label {labels.max()} is outside the {size} classes; check label_names")
        decided = labels >= 0
        predicted, true = probabilities[decided].argmax(-1), labels[decided]
        top = probabilities[decided].max(-1)
        self.held.add("confusion", np.bincount(true * size + predicted, minlength=size * size).reshape(size, size))
        self.held.add("bins", np.stack(binned(top, np.ones_like(top), top, (predicted == true).astype(float))))
        self.held.add("uncertain", (~decided).sum())

    def _class_scores(self) -> dict:
        confusion = self.held["confusion"]
        total, size = confusion.sum(), len(confusion)
        names = self.label_names or [str(index) for index in range(size)]
        result = {"rows": int(total), "uncertain_rows": int(self.held["uncertain"]), "labels": list(names)}
        if not total:
            return result | dict.fromkeys(CLASS_SCORES)
        scores = confusion_scores(confusion)
        result |= {name: float(scores[name]) for name in CLASS_SCORES}
        columns = ("precision", "recall", "f1", "support")
        result["per_class"] = [
            {"label": name} | dict(zip(columns, row.tolist(), strict=True))
            for name, row in zip(names, scores["per_class"], strict=True)
        ]
        result["confusion_matrix"] = confusion.astype(int).tolist()
        resampled = confusion_scores(confusion_draws(confusion, BOOTSTRAPS))
        result["interval_95"] = {name: interval_95(resampled[name]) for name in CLASS_SCORES}
        if total < SMALL:
            result["interval_95"]["accuracy"] = wilson(np.trace(confusion), total)
        result |= calibration(*self.held["bins"])
        if self.train_class_counts is not None:
            baseline = constant_scores(confusion, int(np.argmax(self.train_class_counts)))
            result["baseline"] = {name: float(baseline[name]) for name in CLASS_SCORES}
        return result

    def _add_votes(self, concentration: np.ndarray, votes: np.ndarray) -> None:
        votes = votes.astype(np.float64)
        tree, count = self.tree, len(self.tree.answers)
        if concentration.shape[1] != count or votes.shape != concentration.shape:
            raise ValueError(
                f"predictions {concentration.shape} and references {votes.shape} must both be (B, {count})"
            )
        if (concentration <= 0).any():
            raise ValueError(
                f"concentration {concentration.min():g} is not above 0; give vote_concentration, not logits"
            )
        predicted, true = tree.conditional(concentration), tree.conditional(votes)
        asked = tree.totals(votes)
        self.held.add("rows", len(votes))
        # In a few rows of GZ2 a question that was reached has no votes left; such rows do not count in "whole".
        published, answered = published_values(votes, tree)
        errors = np.where(answered, cumulative(predicted, tree) - published, 0.0)
        self.held.add("answered", answered.sum())
        self.held.add("squared_answered", (errors**2).sum())
        whole = answered.all(-1)
        published, squared = published[whole], errors[whole] ** 2
        self.held.add("whole", whole.sum())
        self.held.add("squared_whole", squared.mean(-1).sum())
        # A Poisson bootstrap needs no second pass; weights follow from the content of a row, so batches do not matter.
        seeds = [zlib.crc32(row.tobytes()) for row in votes[whole].astype(np.float32)]
        weights = np.array([np.random.default_rng(seed).poisson(1.0, BOOTSTRAPS) for seed in seeds])
        weights = weights.reshape(-1, BOOTSTRAPS)  # also without rows
        self.held.add("bootstrap", np.stack([weights.T @ squared.mean(-1), weights.sum(0)]))
        if self.baseline_cumulative is not None:
            self.held.add("whole_baseline", ((published - self.baseline_cumulative) ** 2).mean(-1).sum())
        used = asked >= MIN_VOTES  # false for NaN
        number = np.where(used, asked, 1.0)
        error = np.where(used, predicted - true, 0.0)
        self.held.add("used", used.sum(0))
        self.held.add("squared", (error**2).sum(0))
        # Sampling variance p(1-p)/n of the true fraction p, estimated without bias by p(1-p)/(n-1) of the observed one.
        self.held.add("floor", np.where(used, true * (1 - true) / np.maximum(number - 1, 1), 0.0).sum(0))
        if self.baseline_conditional is not None:
            self.held.add("squared_baseline", np.where(used, (self.baseline_conditional - true) ** 2, 0.0).sum(0))
        voted = ~np.isnan(votes) & (asked > 0)
        weights = asked[voted], (asked * predicted)[voted], votes[voted], np.ones(voted.sum())
        self.held.add("bins", np.stack(binned(predicted[voted], *weights)))
        if self.baseline_conditional is not None:
            constant = np.broadcast_to(self.baseline_conditional, predicted.shape)
            bins = binned(constant[voted], asked[voted], (asked * constant)[voted], votes[voted])
            self.held.add("bins_baseline", np.stack(bins))
        total = tree.totals(concentration)
        a, b = concentration[used].astype(np.float64), (total - concentration)[used]
        self._add_intervals("latent", betaincinv(a, b, 0.05), betaincinv(a, b, 0.95), true[used])
        count = np.rint(number[used]).astype(int)
        yes = np.minimum(np.rint(votes[used]).astype(int), count)
        for rows in np.array_split(np.arange(len(count)), len(count) // 20_000 + 1):  # (20000, ~75) numbers at once
            inside, width = counts_in_interval(a[rows], b[rows], yes[rows], count[rows])
            self.held.add("inside_predictive", inside)
            self.held.add("width_predictive", width)
        if self.baseline_interval is not None:
            lower, upper = (np.broadcast_to(edge, true.shape)[used] for edge in self.baseline_interval)
            self._add_intervals("baseline", lower, upper, true[used])
        self.held.add("intervals", used.sum())
        for question, answers in tree.slices.items():
            rows, size = used[:, answers.start], answers.stop - answers.start
            pairs = true[rows, answers].argmax(-1) * size + predicted[rows, answers].argmax(-1)
            self.held.add(question, np.bincount(pairs, minlength=size * size).reshape(size, size))

    def _add_intervals(self, name: str, lower: np.ndarray, upper: np.ndarray, observed: np.ndarray) -> None:
        self.held.add(f"inside_{name}", ((observed >= lower - 1e-6) & (observed <= upper + 1e-6)).sum())
        self.held.add(f"width_{name}", (upper - lower).sum())

    def _vote_scores(self) -> dict:
        sums, rmse = self.held, rmse_name(self.tree)
        result = {
            "campaign": self.tree.name,
            "rows": int(sums["rows"]),
            "rows_with_all_questions": int(sums["whole"]),
            rmse: root(sums["squared_whole"], sums["whole"]),
            "known_answers": int(sums["answered"]),
            "rmse_known": root(sums["squared_answered"], sums["answered"]),
        }
        above, below = sums["bootstrap"]
        drawn = below > 0  # of a few rows, a resample can have none
        result["interval_95"] = {rmse: interval_95(np.sqrt(above[drawn] / below[drawn]))} if drawn.any() else {}
        result["baseline"] = {
            rmse: root(sums.get("whole_baseline", 0.0), sums["whole"] if "whole_baseline" in sums else 0)
        }
        if "bins_baseline" in sums:
            result["baseline"]["ece"] = calibration(*sums["bins_baseline"])["ece"]
        result["answers"] = []
        for index, (question, answer) in enumerate(self.tree.answers):
            used = sums["used"][index]
            row = {"answer": f"{question}_{answer}", "galaxies": int(used), "rmse": root(sums["squared"][index], used)}
            row["sampling_floor"] = root(sums["floor"][index], used)
            has_baseline = "squared_baseline" in sums
            row["baseline_rmse"] = root(sums["squared_baseline"][index], used) if has_baseline else None
            result["answers"].append(row)
        result["questions"] = [self._question(question) for question in self.tree.slices]
        result |= calibration(*sums["bins"])
        for key, sum_name in (("coverage_90", "inside"), ("width_90", "width")):
            kinds = ("latent", "predictive")
            result[key] = {kind: ratio(sums[f"{sum_name}_{kind}"], sums["intervals"]) for kind in kinds}
            if self.baseline_interval is not None:
                result["baseline"][key] = ratio(sums[f"{sum_name}_baseline"], sums["intervals"])
        return result

    def _question(self, question: str) -> dict:
        confusion = self.held[question]
        row = {"question": question, "galaxies": int(confusion.sum())}
        row |= dict.fromkeys(("accuracy", "macro_f1", "baseline_accuracy", "baseline_macro_f1"))
        if confusion.sum():
            scores = confusion_scores(confusion)
            row |= {"accuracy": float(scores["accuracy"]), "macro_f1": float(scores["macro_f1"])}
            if self.baseline_conditional is not None:
                answer = int(np.argmax(self.baseline_conditional[self.tree.slices[question]]))
                scores = constant_scores(confusion, answer)
                row |= {f"baseline_{name}": float(scores[name]) for name in ("accuracy", "macro_f1")}
        return row
