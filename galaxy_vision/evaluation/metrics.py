# ruff: noqa: I001 (evaluate.load reads this file and follows one import a line)
"""Scores of classes and of votes, as one ``evaluate.Metric`` with the configurations ``classes`` and ``votes``.

``evaluate.load("galaxy_vision/evaluation/metrics.py", "votes")`` works too. Both keep running sums only, so memory does
not grow with the test set. Every score of votes stands beside that of a constant answer, the mean of the training rows.
"""

import zlib

import datasets
import evaluate
import numpy as np
from scipy.special import betaincinv
from scipy.stats import betabinom

from galaxy_vision.evaluation.sums import binned
from galaxy_vision.evaluation.sums import calibration
from galaxy_vision.evaluation.sums import confusion_scores
from galaxy_vision.evaluation.sums import interval_95
from galaxy_vision.evaluation.sums import ratio
from galaxy_vision.evaluation.sums import root
from galaxy_vision.evaluation.sums import RunningSums
from galaxy_vision.models.decision_tree import ANSWERS
from galaxy_vision.models.decision_tree import MIN_VOTES
from galaxy_vision.models.decision_tree import NUM_ANSWERS
from galaxy_vision.models.decision_tree import QUESTION_SLICES
from galaxy_vision.models.decision_tree import QUESTIONS
from galaxy_vision.models.decision_tree import conditional_fractions
from galaxy_vision.models.decision_tree import kaggle_from_conditional
from galaxy_vision.models.decision_tree import question_totals

BOOTSTRAPS = 500


def training_constants(votes) -> dict[str, np.ndarray | None]:
    """Return the constant answer, from (N, 37) training votes, as keywords ``baseline_*`` of :class:`GalaxyMetric`.

    Returns:
        ``baseline_conditional`` (37,), the mean conditional fraction of the galaxies in which a question was asked;
        ``baseline_kaggle`` (37,), the mean Kaggle value of the rows in which every question is known (None if there is
        no such row); ``baseline_interval`` (2, 37), the 5 % and 95 % quantiles of the fractions of at least 20
        volunteers: 0 and 1 where there is none.
    """
    conditional = conditional_fractions(votes)
    known = ~np.isnan(conditional)
    mean = np.where(known, conditional, 0).sum(0) / np.maximum(known.sum(0), 1)
    kaggle = kaggle_from_conditional(conditional)
    whole = ~np.isnan(kaggle).any(-1) & ~np.isnan(votes).any(-1)
    used = question_totals(votes) >= MIN_VOTES
    columns = zip(conditional.T, used.T, strict=True)
    interval = [np.quantile(column[rows], [0.05, 0.95]) if rows.any() else [0.0, 1.0] for column, rows in columns]
    return {
        "baseline_conditional": mean,
        "baseline_kaggle": kaggle[whole].mean(0) if whole.any() else None,
        "baseline_interval": np.transpose(interval),
    }


def published_values(votes) -> tuple[np.ndarray, np.ndarray]:
    """Turn votes (..., 37) into values of the Galaxy Challenge, NaN where unknown, and where they are known."""
    published = kaggle_from_conditional(conditional_fractions(votes))
    return published, ~np.isnan(published) & ~np.isnan(votes)


class GalaxyMetric(evaluate.Metric):
    """Scores of one split, from batches or at once.

    Configuration ``classes``: predictions (B, C) probabilities, references (B,) class indices, negative where uncertain
    (left out and counted). Configuration ``votes``: predictions (B, 37) Dirichlet concentrations, references (B, 37)
    votes, NaN where unknown.

    Args:
        config_name: ``"classes"`` or ``"votes"``.
        label_names: the C class names, in label order.
        train_class_counts: rows of each class in training; the constant baseline answers the largest.
        baseline_conditional: (37,) mean conditional fractions in training, from :func:`training_constants`, as the next
            two.
        baseline_kaggle: (37,) mean Kaggle values in training.
        baseline_interval: (2, 37) interval of the fractions in training.
    """

    def __init__(
        self,
        config_name="classes",
        label_names=None,
        train_class_counts=None,
        baseline_conditional=None,
        baseline_kaggle=None,
        baseline_interval=None,
        **kw,
    ):
        if config_name not in ("classes", "votes"):
            raise ValueError(f"config_name={config_name!r} is not one of classes, votes")
        super().__init__(config_name=config_name, **kw)
        self.label_names, self.train_class_counts = label_names, train_class_counts
        self.baseline_conditional, self.baseline_kaggle = baseline_conditional, baseline_kaggle
        self.baseline_interval = baseline_interval
        self.sums = RunningSums()

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
            ValueError: shapes do not fit, a prediction is not finite, or a label is out of range.
        """
        predictions, references = np.asarray(predictions, np.float64), np.asarray(references)
        if predictions.ndim != 2 or len(predictions) != len(references):
            raise ValueError(
                f"predictions have shape {predictions.shape} and references {references.shape}; give one row for "
                "each galaxy"
            )
        if not np.isfinite(predictions).all():
            raise ValueError(
                f"predictions of row {np.argwhere(~np.isfinite(predictions))[0, 0]} are not finite; check the "
                "model's weights"
            )
        (self._add_classes if self.config_name == "classes" else self._add_votes)(predictions, references)

    def add(self, *, prediction=None, reference=None, **kw) -> None:
        """Add one row."""
        self.add_batch(predictions=[prediction], references=[reference])

    def compute(self, *, predictions=None, references=None, **kw) -> dict:
        """Scores of everything added, as plain Python (None where undefined); starts anew afterwards.

        Raises:
            ValueError: no row was added.
        """
        if predictions is not None:
            self.add_batch(predictions=predictions, references=references)
        if not self.sums:
            raise ValueError("no row was added; call add_batch(predictions=..., references=...) first")
        result = self._classes() if self.config_name == "classes" else self._votes()
        self.sums = RunningSums()
        return result

    def _add_classes(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        size = probabilities.shape[1]
        if labels.max(initial=-1) >= size:
            raise ValueError(f"label {labels.max()} is outside the {size} classes; check label_names")
        decided = labels >= 0
        said, right = probabilities[decided].argmax(-1), labels[decided]
        top = probabilities[decided].max(-1)
        self.sums.add("confusion", np.bincount(right * size + said, minlength=size * size).reshape(size, size))
        self.sums.add("bins", np.stack(binned(top, np.ones_like(top), top, (said == right).astype(float))))
        self.sums.add("uncertain", (~decided).sum())

    def _classes(self) -> dict:
        confusion = self.sums["confusion"]
        total, size = confusion.sum(), len(confusion)
        names = self.label_names or [str(index) for index in range(size)]
        result = {"rows": int(total), "uncertain_rows": int(self.sums["uncertain"]), "labels": list(names)}
        if not total:
            return result | dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"))
        scores = confusion_scores(confusion)
        result |= {name: float(scores[name]) for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")}
        columns = ("precision", "recall", "f1", "support")
        result["per_class"] = [
            {"label": name} | dict(zip(columns, row.tolist(), strict=True))
            for name, row in zip(names, scores["per_class"], strict=True)
        ]
        result["confusion_matrix"] = confusion.astype(int).tolist()
        draws = np.random.default_rng(0).multinomial(int(total), confusion.ravel() / total, size=BOOTSTRAPS)
        spread = confusion_scores(draws.reshape(-1, size, size).astype(float))
        result["interval_95"] = {
            name: interval_95(spread[name]) for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
        }
        result |= calibration(*self.sums["bins"])
        if self.train_class_counts is not None:
            constant = np.zeros_like(confusion)
            constant[:, int(np.argmax(self.train_class_counts))] = confusion.sum(1)
            baseline = confusion_scores(constant)
            result["baseline"] = {
                name: float(baseline[name]) for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
            }
        return result

    def _add_votes(self, concentration: np.ndarray, votes: np.ndarray) -> None:
        votes = votes.astype(np.float64)
        if concentration.shape[1] != NUM_ANSWERS or votes.shape != concentration.shape:
            raise ValueError(
                f"predictions {concentration.shape} and references {votes.shape} must both be (B, {NUM_ANSWERS})"
            )
        if (concentration <= 0).any():
            raise ValueError(
                f"concentration {concentration.min():g} is not above 0; give vote_concentration, not logits"
            )
        said, true, asked = conditional_fractions(concentration), conditional_fractions(votes), question_totals(votes)
        self.sums.add("rows", len(votes))
        # A row counts if every question that was reached has votes (in a few rows of GZ2 a question lost all of its
        # own).
        published, answered = published_values(votes)
        errors = np.where(answered, kaggle_from_conditional(said) - published, 0.0)
        self.sums.add("answered", answered.sum())
        self.sums.add("kaggle_answered", (errors**2).sum())
        whole = answered.all(-1)
        published, squared = published[whole], errors[whole] ** 2
        self.sums.add("whole", whole.sum())
        self.sums.add("kaggle", squared.mean(-1).sum())
        # A Poisson bootstrap needs no second pass; its weights follow from the row's content, so batches do not matter.
        seeds = [zlib.crc32(row.tobytes()) for row in votes[whole].astype(np.float32)]
        weights = np.array([np.random.default_rng(seed).poisson(1.0, BOOTSTRAPS) for seed in seeds]).reshape(
            -1, BOOTSTRAPS
        )
        self.sums.add("kaggle_bootstrap", np.stack([weights.T @ squared.mean(-1), weights.sum(0)]))
        if self.baseline_kaggle is not None:
            self.sums.add("kaggle_baseline", ((published - self.baseline_kaggle) ** 2).mean(-1).sum())
        used = asked >= MIN_VOTES  # NaN is not
        number = np.where(used, asked, 1.0)
        error = np.where(used, said - true, 0.0)
        self.sums.add("used", used.sum(0))
        self.sums.add("squared", (error**2).sum(0))
        # p(1-p)/n of the true fraction; p(1-p)/(n-1) of the observed one is its unbiased estimate.
        self.sums.add("floor", np.where(used, true * (1 - true) / np.maximum(number - 1, 1), 0.0).sum(0))
        if self.baseline_conditional is not None:
            self.sums.add("squared_baseline", np.where(used, (self.baseline_conditional - true) ** 2, 0.0).sum(0))
        heard = ~np.isnan(votes) & (asked > 0)
        self.sums.add("bins", np.stack(binned(said[heard], asked[heard], (asked * said)[heard], votes[heard])))
        if self.baseline_conditional is not None:
            constant = np.broadcast_to(self.baseline_conditional, said.shape)
            constant_bins = binned(constant[heard], asked[heard], (asked * constant)[heard], votes[heard])
            self.sums.add("bins_baseline", np.stack(constant_bins))
        total = question_totals(concentration)
        a, b = concentration[used].astype(np.float64), (total - concentration)[used]
        self._add_intervals("latent", betaincinv(a, b, 0.05), betaincinv(a, b, 0.95), true[used])
        count = np.rint(number[used]).astype(int)
        yes = np.minimum(np.rint(votes[used]).astype(int), count)
        for few in np.array_split(np.arange(len(count)), len(count) // 20_000 + 1):  # (20000, ~75) numbers at once
            self._add_predictive(a[few], b[few], yes[few], count[few])
        if self.baseline_interval is not None:
            lower, upper = (np.broadcast_to(edge, true.shape)[used] for edge in self.baseline_interval)
            self._add_intervals("baseline", lower, upper, true[used])
        self.sums.add("intervals", used.sum())
        for question, places in QUESTION_SLICES.items():
            rows, size = used[:, places.start], places.stop - places.start
            pairs = true[rows, places].argmax(-1) * size + said[rows, places].argmax(-1)
            self.sums.add(question, np.bincount(pairs, minlength=size * size).reshape(size, size))

    def _add_intervals(self, name: str, lower: np.ndarray, upper: np.ndarray, seen: np.ndarray) -> None:
        self.sums.add(f"inside_{name}", ((seen >= lower - 1e-6) & (seen <= upper + 1e-6)).sum())
        self.sums.add(f"width_{name}", (upper - lower).sum())

    def _add_predictive(self, a: np.ndarray, b: np.ndarray, yes: np.ndarray, count: np.ndarray) -> None:
        """Intervals of how many of ``count`` volunteers say yes: beta-binomial.

        No count has 5 % exactly below it, so the count seen is inside by the share of its probability that lies between
        5 % and 95 %
        (the non-randomised PIT of Czado, Gneiting & Held 2009, Biometrics 65, 1254): a perfect model then covers .90,
            however few voted.
        """
        if not len(count):
            self.sums.add("inside_predictive", 0.0)
            self.sums.add("width_predictive", 0.0)
            return
        probability = betabinom.pmf(np.arange(count.max() + 1), count[:, None], a[:, None], b[:, None])
        up_to = probability.cumsum(1)
        rows = np.arange(len(count))
        own, top = probability[rows, yes], up_to[rows, yes]
        inside = (np.minimum(top, 0.95) - np.maximum(top - own, 0.05)) / np.maximum(own, 1e-300)
        self.sums.add("inside_predictive", np.clip(inside, 0, 1).sum())
        lower, upper = ((up_to < quantile).sum(1) for quantile in (0.05, 0.95))
        self.sums.add("width_predictive", ((upper - lower) / count).sum())

    def _votes(self) -> dict:
        sums = self.sums
        result = {
            "rows": int(sums["rows"]),
            "rows_with_all_questions": int(sums["whole"]),
            "rmse_37": root(sums["kaggle"], sums["whole"]),
            "known_answers": int(sums["answered"]),
            "rmse_known": root(sums["kaggle_answered"], sums["answered"]),
        }
        above, below = sums["kaggle_bootstrap"]
        result["interval_95"] = {"rmse_37": interval_95(np.sqrt(above / np.maximum(below, 1)))} if sums["whole"] else {}
        result["baseline"] = {
            "rmse_37": root(sums.get("kaggle_baseline", 0.0), sums["whole"] if "kaggle_baseline" in sums else 0)
        }
        if "bins_baseline" in sums:
            result["baseline"]["ece"] = calibration(*sums["bins_baseline"])["ece"]
        result["answers"] = [
            {
                "answer": answer,
                "galaxies": int(sums["used"][place]),
                "rmse": root(sums["squared"][place], sums["used"][place]),
                "sampling_floor": root(sums["floor"][place], sums["used"][place]),
                "baseline_rmse": root(sums["squared_baseline"][place], sums["used"][place])
                if "squared_baseline" in sums
                else None,
            }
            for place, answer in enumerate(ANSWERS)
        ]
        result["questions"] = [self._question(question.stem) for question in QUESTIONS]
        result |= calibration(*sums["bins"])
        for key, sum_name in (("coverage_90", "inside"), ("width_90", "width")):
            found = {name: ratio(sums[f"{sum_name}_{name}"], sums["intervals"]) for name in ("latent", "predictive")}
            result[key] = found
            if self.baseline_interval is not None:
                result["baseline"][key] = ratio(sums[f"{sum_name}_baseline"], sums["intervals"])
        return result

    def _question(self, stem: str) -> dict:
        confusion = self.sums[stem]
        row = {
            "question": stem,
            "galaxies": int(confusion.sum()),
            "accuracy": None,
            "macro_f1": None,
            "baseline_accuracy": None,
            "baseline_macro_f1": None,
        }
        if confusion.sum():
            scores = confusion_scores(confusion)
            row |= {"accuracy": float(scores["accuracy"]), "macro_f1": float(scores["macro_f1"])}
            if self.baseline_conditional is not None:
                constant = np.zeros_like(confusion)
                constant[:, np.argmax(self.baseline_conditional[QUESTION_SLICES[stem]])] = confusion.sum(1)
                scores = confusion_scores(constant)
                row |= {f"baseline_{name}": float(scores[name]) for name in ("accuracy", "macro_f1")}
        return row
