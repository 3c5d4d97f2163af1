"""A probe: a linear head on the embeddings of a frozen backbone, fitted in seconds to few labels.

Embeddings are standardised, feature by feature, and scaled to a mean squared length of 1. A probe of classes is a
logistic regression, one of several labels at once is one logistic regression for each, and one of numbers is a ridge
regression. How strongly weights are held to zero is chosen on held-out folds of the training rows. Standardisation is
folded into weight and bias, so that the head is that of an ordinary classifier.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV

from ..inference.classes import OWN_CLASSES
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.losses import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification

STRENGTHS = tuple(10.0 ** (power / 2) for power in range(-2, 9))
"""Inverse penalties of logistic regressions that are compared, from the strongest penalty: ``C`` of scikit-learn."""

UNCHOSEN = 10.0
"""That of a probe of which no row can be held out, since every class has one only."""

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-8, 9))
"""Penalties of ridge regressions that are compared: ``alpha`` of scikit-learn."""

FOLDS = 5

FEW_UNKNOWNS = 600
"""Weights up to which Newton's method is used, whose steps are few but cost their third power. Ours."""


@dataclass(frozen=True)
class Probe:
    """A linear head, float64.

    Attributes:
        task: ``problem_type`` of a configuration: single_label_classification, multi_label_classification, regression.
        names: of the outputs.
        weight: (outputs, D).
        bias: (outputs,).
        strengths: the penalty that was chosen: of all classes, or of each label or number.
        loss: by held-out rows: log loss in nats a row and output, or the root of the mean squared error of each number;
            NaN where no row could be held out.
    """

    task: str
    names: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray
    strengths: tuple[float, ...]
    loss: tuple[float, ...]

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the outputs (N, outputs) for embeddings (N, D): logits, or the numbers themselves."""
        return np.asarray(embeddings, np.float64) @ self.weight.T + self.bias

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (N, outputs) for embeddings (N, D): probabilities of classes or labels, or numbers."""
        of_task = {SINGLE_LABEL: lambda logits: softmax(logits, axis=-1), MULTI_LABEL: expit, REGRESSION: np.asarray}
        return of_task[self.task](self.logits(embeddings))


def fit_probe(
    embeddings: np.ndarray, targets: np.ndarray, task: str, names: Sequence[str] | None = None, seed: int = 0
) -> Probe:
    """Fit a probe, and choose its penalty by folds of the rows.

    Args:
        embeddings: (N, D).
        targets: of classes (N,), numbers of classes from 0; of several labels (N, L), 0 or 1, NaN where unknown; of
            numbers (N,) or (N, L), NaN where unknown.
        task: ``problem_type`` of a configuration: single_label_classification, multi_label_classification, regression.
        names: of classes, labels or numbers; None for their numbers.
        seed: of the folds.

    Raises:
        ValueError: the arrays do not fit each other or the task, an embedding is not finite, or there is nothing to
            learn: a class without rows, a label that all rows have or none, fewer than two rows.
    """
    embeddings, targets = np.asarray(embeddings, np.float64), np.asarray(targets)
    if embeddings.ndim != 2 or len(embeddings) != len(targets):
        raise ValueError(
            f"embeddings have shape {embeddings.shape}, and there are {len(targets)} targets; give (N, D) and N"
        )
    if not np.isfinite(embeddings).all():
        raise ValueError("an embedding is not finite; leave its image out")
    if task not in (SINGLE_LABEL, MULTI_LABEL, REGRESSION):
        raise ValueError(f"task={task!r} is not {SINGLE_LABEL}, {MULTI_LABEL} or {REGRESSION}")
    if len(embeddings) < 2:
        raise ValueError(f"{len(embeddings)} labelled images are fewer than 2, and nothing can be learned from them")
    mean, spread = embeddings.mean(0), embeddings.std(0)
    spread = np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, np.inf)  # a constant feature says nothing
    spread *= np.sqrt(max(np.isfinite(spread).sum(), 1))
    # In the space of the rows: the penalty does not change when features are rotated, and few rows have few axes.
    left, lengths, axes = np.linalg.svd((embeddings - mean) / spread, full_matrices=False)
    kept = lengths > 1e-9 * max(lengths.max(), 1e-9)
    scaled, axes = (left * lengths)[:, kept], axes[kept]
    fit = {SINGLE_LABEL: _of_classes, MULTI_LABEL: _of_labels, REGRESSION: _of_numbers}[task]
    if task != SINGLE_LABEL:
        targets = np.asarray(targets, np.float64).reshape(len(targets), -1)
    count = int(targets.max()) + 1 if task == SINGLE_LABEL else targets.shape[1]
    names = tuple(map(str, range(count) if names is None else names))
    if count > len(names) or (task != SINGLE_LABEL and count != len(names)):
        raise ValueError(f"targets have {count} classes or columns, and {len(names)} are named; name as many")
    weight, bias, strengths, loss = fit(scaled, targets, names, seed)
    weight = weight @ axes / spread
    return Probe(task, names, weight, bias - weight @ mean, tuple(strengths), tuple(loss))


def _of_classes(scaled: np.ndarray, targets: np.ndarray, names: tuple[str, ...], seed: int) -> tuple:
    if not np.issubdtype(targets.dtype, np.integer) or targets.ndim != 1 or targets.min() < 0:
        raise ValueError(f"targets of {targets.dtype} and shape {targets.shape} are not (N,) class numbers from 0")
    rows = np.bincount(targets, minlength=len(names))
    if not rows.all():
        raise ValueError(f"class {names[int(rows.argmin())]!r} has no labelled image; leave it out, or label one")
    if len(names) < 2:
        raise ValueError(
            f"all labelled images are {names[0]!r}, and nothing can be learned; label one of another class"
        )

    def loss(logits: np.ndarray, true: np.ndarray) -> np.ndarray:
        return -log_softmax(logits, -1)[np.arange(len(true)), true]

    (weight, bias), strength, held_out = _chosen(scaled, targets, loss, seed)
    return weight, bias, [strength], [held_out]


def _of_labels(scaled: np.ndarray, targets: np.ndarray, names: tuple[str, ...], seed: int) -> tuple:
    def loss(logits: np.ndarray, true: np.ndarray) -> np.ndarray:
        margin = logits[:, 1] - logits[:, 0]
        return -log_expit(np.where(true == 1, margin, -margin))

    fitted = []
    for column, name in zip(targets.T, names, strict=True):
        known = ~np.isnan(column)
        if not np.isin(column[known], (0, 1)).all():
            raise ValueError(f"label {name!r} has values other than 0, 1 and NaN; give these")
        if len(np.unique(column[known])) < 2:
            have = "all" if column[known].any() else "none"
            raise ValueError(
                f"label {name!r}: {have} of {known.sum()} labelled images have it, and nothing can be learned"
            )
        (weight, bias), strength, held_out = _chosen(scaled[known], column[known].astype(int), loss, seed)
        fitted.append((weight[1] - weight[0], bias[1] - bias[0], strength, held_out))
    weights, biases, strengths, losses = zip(*fitted, strict=True)
    return np.stack(weights), np.array(biases), strengths, losses


def _of_numbers(scaled: np.ndarray, targets: np.ndarray, names: tuple[str, ...], seed: int) -> tuple:
    fitted = []
    for column, name in zip(targets.T, names, strict=True):
        known = np.isfinite(column)
        if known.sum() < 2:
            raise ValueError(f"{name!r} is known of {known.sum()} images; give two or more")
        ridge = RidgeCV(PENALTIES).fit(scaled[known], column[known])  # each row is held out once, in closed form
        fitted.append((ridge.coef_, ridge.intercept_, float(ridge.alpha_), float(max(-ridge.best_score_, 0)) ** 0.5))
    weights, biases, strengths, losses = zip(*fitted, strict=True)
    return np.stack(weights), np.array(biases), strengths, losses


def _chosen(scaled: np.ndarray, targets: np.ndarray, loss: Callable, seed: int) -> tuple:
    """Return head, inverse penalty and its held-out loss of a logistic regression; of equal ones the strongest.

    The only row of a class is never held out, since no head would know its class.
    """
    may_be_out = np.bincount(targets)[targets] > 1
    if not may_be_out.any():
        return _logistic(scaled, targets, (UNCHOSEN,))[0], UNCHOSEN, float("nan")
    folds, losses = stratified_folds(targets, seed=seed), np.zeros(len(STRENGTHS))
    for fold in range(FOLDS):
        out = may_be_out & (folds == fold)
        if out.any():
            heads = _logistic(scaled[~out], targets[~out], STRENGTHS)
            losses += [loss(scaled[out] @ weight.T + bias, targets[out]).sum() for weight, bias in heads]
    best = int(losses.argmin())
    head = _logistic(scaled, targets, STRENGTHS[: best + 1])[-1]
    return head, STRENGTHS[best], float(losses[best] / may_be_out.sum())


def _logistic(scaled: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[tuple]:
    """Return (weight (classes, D), bias (classes,)) for each inverse penalty, each begun at the one before."""
    classes, axes = len(np.unique(targets)), scaled.shape[1]
    unknowns = (classes if classes > 2 else 1) * axes
    solver = "newton-cholesky" if unknowns <= FEW_UNKNOWNS else "lbfgs"
    regression, heads = LogisticRegression(solver=solver, max_iter=500, warm_start=True), []
    for strength in strengths:
        regression.set_params(C=strength)
        with warnings.catch_warnings():  # a fit of the weakest penalties need not be exact to be compared
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(scaled, targets)
        weight, bias = regression.coef_.copy(), regression.intercept_.copy()
        if len(weight) == 1:  # two classes: the logit of the second
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        heads.append((weight, bias))
    return heads


def stratified_folds(classes: np.ndarray, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Return the fold (N,) of each row, drawn at random; a class has as many rows in one as in another, give or take 1.

    Two or more rows of a class are in two folds at least.
    """
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    ordered = shuffled[np.argsort(classes[shuffled], kind="stable")]
    numbers = np.empty(len(classes), int)
    numbers[ordered] = np.arange(len(classes)) % folds
    return numbers


def with_probe(model: GalaxyResNetForImageClassification, probe: Probe) -> GalaxyResNetForImageClassification:
    """Return a classifier whose class head is a probe; backbone and vote head are those of ``model``.

    Raises:
        ValueError: the probe was fitted to embeddings of another size.
    """
    if probe.weight.shape[1] != model.backbone.num_features:
        raise ValueError(
            f"the probe takes {probe.weight.shape[1]} features, and the model has {model.backbone.num_features}; give "
            "the model whose embeddings it was fitted to"
        )
    config = copy.deepcopy(model.config)
    config.id2label = dict(enumerate(probe.names))
    config.label2id = {name: number for number, name in enumerate(probe.names)}
    config.problem_type = probe.task
    config.label_scheme = OWN_CLASSES if config.predict_votes else None  # else votes would decide namesakes of a scheme
    weights = dict(model.state_dict())
    like = weights["classifier.bias"]
    for name, values in (("weight", probe.weight), ("bias", probe.bias)):
        weights[f"classifier.{name}"] = like.new_tensor(values)
    probed = GalaxyResNetForImageClassification(config)
    probed.load_state_dict(weights)
    return probed.eval()


def save_probe(
    probe: Probe, model: GalaxyResNetForImageClassification, processor: GalaxyImageProcessor, folder: str | Path
) -> None:
    """Save the classifier of :func:`with_probe` and its processor, for ``from_pretrained``, ``predict`` and the demo.

    Raises:
        ValueError: as :func:`with_probe`.
        OSError: the folder cannot be written.
    """
    with_probe(model, probe).save_pretrained(folder)
    processor.save_pretrained(folder)
