"""Cut the splits that a data set does not have from its training rows, and the folds of a cross-validation."""

import hashlib
from collections import defaultdict

import numpy as np
from datasets import Dataset, DatasetDict, Image

from ..images.limits import image_id
from .references import ID_COLUMNS
from .splits import SPLITS, split_with

FEW_ROWS = 2000
"""Rows with labels of their own below which splits are cut by class. Ours: a tenth of fewer may miss a rare class."""
FEW_SHARES = {"test": 0.2, "validation": 0.1}
"""Shares of few rows. Ours: a tenth of 100 rows says hardly anything of a model."""
BINS = 5
"""Parts of the range of a number, by its quantiles, that splits have equal shares of."""


def with_all_splits(data: DatasetDict, by_class: bool = False) -> DatasetDict:
    """Cut missing splits from the training rows, by a hash of the id, the file name or the image of a row.

    Args:
        data: splits, of which train is one.
        by_class: of fewer than :data:`FEW_ROWS`, each class has its share in every split; rows of one name stay
            together.

    Raises:
        ValueError: a split would have no rows.
    """
    missing = [split for split in SPLITS if split not in data]
    if not missing:
        return data
    train, rows_of = data["train"], {split: [] for split in SPLITS}
    is_small = by_class and len(train) < FEW_ROWS and "label" in train.column_names
    splits = _stratified(train, missing) if is_small else [split_with(name, missing) for name in _names(train)]
    for row, split in enumerate(splits):
        rows_of[split].append(row)
    empty = [split for split in (*missing, "train") if not rows_of[split]]
    if empty:
        raise ValueError(f"{len(train)} rows leave none for {' and '.join(empty)}; use a larger data set")
    return DatasetDict({**data, **{split: train.select(rows_of[split]) for split in [*missing, "train"]}})


def _stratified(rows: Dataset, missing: list[str]) -> list[str]:
    """Return the split of each row: of every class its share, at least one row to test where it has two."""
    splits = ["train"] * len(rows)
    for _, members in _strata(rows):
        start = 0
        for split in ("test", "validation"):
            if split in missing:
                count = round(FEW_SHARES[split] * len(members))
                count = max(count, 1) if split == "test" and len(members) > 1 else count
                for member in members[start : start + count]:
                    for row in member:
                        splits[row] = split
                start += count
    for split in missing:
        if split not in splits and splits.count("train") > 1:
            splits[splits.index("train")] = split
    return splits


def folds_of(rows: Dataset, count: int) -> np.ndarray:
    """Return the fold (N,) of each row, of which every class has its share; rows of one name are in one fold."""
    folds, last = np.zeros(len(rows), dtype=int), 0
    for _, members in _strata(rows):
        for member in members:
            folds[member] = last % count
            last += 1
    return folds


def _strata(rows: Dataset) -> list[tuple[object, list[list[int]]]]:
    """Return the classes with their rows, grouped by name, in the order of a hash of the names."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(_names(rows)):
        groups[name.rpartition("/")[2]].append(row)
    strata: dict[object, list[tuple[str, list[int]]]] = defaultdict(list)
    classes = _classes(rows)
    for name, members in groups.items():
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        strata[classes[members[0]]].append((digest, members))
    return [(key, [members for _, members in sorted(strata[key])]) for key in sorted(strata, key=repr)]


def _classes(rows: Dataset) -> list:
    """Return what the splits of each row have equal shares of: its class, its labels, or the range of its number."""
    labels = rows.select_columns(["label"]).with_format("arrow")[:]["label"].to_pylist()
    if not isinstance(rows.features["label"], dict):
        return labels
    values = np.array([[np.nan if value is None else value for value in label.values()] for label in labels])
    if np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        return [tuple(row) for row in np.nan_to_num(values, nan=-1.0).tolist()]
    first = values[:, 0]
    edges = np.nanquantile(first, np.arange(1, BINS) / BINS)
    return np.digitize(np.nan_to_num(first), edges).tolist()


def _names(rows: Dataset) -> list[str]:
    """Return a name for each row: its id, else the name of its file, else a hash of its image."""
    if ids := [column for column in ID_COLUMNS if column in rows.column_names]:
        return [str(key) for key in rows[ids[0]]]
    files = rows.select_columns(["image"]).cast_column("image", Image(decode=False))
    images = (row["image"] or {} for row in files)
    return [
        image_id(image["path"])
        if image.get("path")
        else hashlib.blake2b(image.get("bytes") or b"", digest_size=16).hexdigest()
        for image in images
    ]
