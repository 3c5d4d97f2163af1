"""The rows of a run on labels of one's own: a fold held out, a number of labels drawn, few rows all learned from."""

import numpy as np
from datasets import concatenate_datasets

from ..data.batches import label_array
from ..data.load import Galaxies
from ..data.missing_splits import FEW_ROWS, folds_of

CHOICES = ("fold", "folds", "labels_per_class", "learning_curve", "probe")
"""Arguments that have a meaning for labels of one's own only."""


SCHEDULE = {"learning_rate": 3e-4, "batch_size": 16, "ema_decay": 0.99, "weight_decay": 0.05}
"""Of a run that starts from a trained model, where nobody gives another. Ours: lab_notes.md, "Few labels"."""
FEW_RATE = 1e-4
"""Peak learning rate of few rows. Ours: larger ones spoil what the first head has found (same place)."""
VIEWS_SHOWN = 6000
"""Views of the training images that are shown in all, where no epochs are given."""
EPOCHS = (5, 20)
"""Least and most passes over the training images, where none are given; from scratch three times as many."""


def learns_own_labels(args, data: Galaxies) -> bool:
    """Return whether a run learns labels of one's own from a trained model, or ones that are not one class of many.

    Classes without votes are labels of one's own where the run starts from a trained classifier, or by an argument that
    has a meaning for them only; otherwise they are learned as any data set is.
    """
    if not hasattr(args, "own"):  # a captioner
        return False
    several = isinstance(data["test"].features["label"], dict)
    is_meant = any(getattr(args, name, None) for name in ("init_from", *CHOICES))
    return several or (is_meant and (getattr(data, "task", None) is not None or data.trees is None))


def arrange(args, data: Galaxies) -> Galaxies:
    """Return the splits that a run learns from and is tested on.

    Of fewer than :data:`~galaxy_vision.data.missing_splits.FEW_ROWS`, the validation rows are learned from too: too few
    to choose an epoch by, they are worth more as labels. Arguments of the schedule that nobody gave are set.

    Raises:
        ValueError: an argument is for labels of one's own, and these are not; or a fold is not one of its number.
    """
    if not hasattr(args, "own"):
        return data
    if args.streaming or not learns_own_labels(args, data):
        if asked := [name for name in CHOICES if getattr(args, name, None)]:
            raise ValueError(
                f"{asked[0]}={getattr(args, asked[0])!r} is for labels of your own, and dataset={args.dataset!r} has "
                "votes of a campaign, or is streamed; leave it out"
            )
        return data
    splits = dict(data)
    if args.fold is not None:
        splits = _held_out(splits, args.fold)
    if few := sum(map(len, splits.values())) < FEW_ROWS:
        splits["train"] = concatenate_datasets([splits["train"], splits["validation"]])
    if args.labels_per_class:
        splits["train"] = splits["train"].select(_drawn(splits["train"], args.labels_per_class, args.seed))
    if args.init_from:
        args.take(SCHEDULE | ({"learning_rate": FEW_RATE} if few else {}))
    passes = np.clip(VIEWS_SHOWN // max(len(splits["train"]), 1), *EPOCHS)
    args.take({"epochs": int(passes) * (1 if args.init_from else 3)})
    arranged = Galaxies(splits)
    arranged.trees, arranged.notes, arranged.task, arranged.few = data.trees, data.notes, data.task, few
    return arranged


def _held_out(splits: dict, fold: str) -> dict:
    """Return splits of which a fold of all rows is the test; fold 0 of any number holds out none and tests on all."""
    number, count = map(int, fold.split("/"))
    if number > count or count < 2:
        raise ValueError(f"fold={fold!r} is not one of 1/{count} to {count}/{count}; mend it")
    rows = concatenate_datasets(list(splits.values()))
    folds = folds_of(rows, count) + 1
    if number and not (folds == number).any():
        raise ValueError(f"fold={fold!r} has no row, as there are {len(rows)}; give fewer folds")
    test = np.arange(len(rows)) if number == 0 else np.flatnonzero(folds == number)
    learned = np.random.default_rng(0).permutation(np.flatnonzero(folds != number))
    cut = max(len(learned) // 10, 1)
    parts = {"train": np.sort(learned[cut:]), "validation": np.sort(learned[:cut]), "test": test}
    return {split: rows.select(indices) for split, indices in parts.items()}


def _drawn(rows, count: int, seed: int) -> np.ndarray:
    """Return the indices of ``count`` rows of each class, drawn by the seed; of several labels and numbers, of all."""
    labels = label_array(rows.select_columns(["label"]).with_format("arrow")[:]["label"])
    order = np.random.default_rng(seed).permutation(len(rows))
    if labels.ndim > 1:
        return np.sort(order[:count])
    return np.sort(np.concatenate([order[labels[order] == label][:count] for label in np.unique(labels[labels >= 0])]))
