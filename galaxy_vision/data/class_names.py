"""Compare labels by the names of their classes.

All splits get the same classes in the same order, whatever type their columns ``label`` have, and in whatever order
their files name the classes.
"""

import math
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetDict

MAX_CLASSES = 1000
"""Largest number of classes. Ours: a column with more values has something else."""
UNLABELLED = -1
"""The integer for "no label", in the data sets of Hugging Face and in ours."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def clean_name(name: str) -> str:
    """Return a name without spaces around it and with composed letters; macOS decomposes those of folders."""
    return unicodedata.normalize("NFC", name).strip()


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort names of classes: integers by their value (2 before 10), other names as text."""
    names = set(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def label_names(rows: Dataset, where: str) -> list[str | None]:
    """Return the name of the class of each row, None for rows without label.

    The name is that of a ClassLabel, the text without spaces around it, or the digits of an integer. Whole floats count
    as integers, since pandas stores integers with gaps as floats. -1, null, NaN and empty text mean "no label".

    Args:
        rows: rows with a column ``label``.
        where: split and data set, for errors.

    Raises:
        ValueError: the column has another type, or a label is not a class; the message names its row.
    """
    feature = rows.features["label"]
    kind = "class" if isinstance(feature, ClassLabel) else getattr(feature, "dtype", "list")
    values = rows.select_columns("label").with_format("arrow")[:]["label"].to_pylist()
    if kind == "class":
        return [_declared_name(value, feature, row, where) for row, value in enumerate(values)]
    if kind in ("string", "large_string"):
        texts = [None if value is None else clean_name(value) or None for value in values]
        if any(text and not _NUMBER.fullmatch(text) for text in texts):
            return [None if text == str(UNLABELLED) else text for text in texts]
        return [
            text if text is None or text.isdigit() else _integer_name(float(text), row, where)
            for row, text in enumerate(texts)
        ]
    if kind.startswith(("int", "uint", "float", "double")):
        return [None if value is None else _integer_name(value, row, where) for row, value in enumerate(values)]
    raise ValueError(f"column `label` of {where} holds {kind} values; it needs names of classes, or integers")


def _declared_name(value: int | None, feature: ClassLabel, row: int, where: str) -> str | None:
    """Return the name that a ClassLabel gives to a value."""
    if value is None or value == UNLABELLED:
        return None
    if not 0 <= value < feature.num_classes:
        raise ValueError(
            f"row {row} of {where} has label {value}, and its classes are 0 to {feature.num_classes - 1} "
            f"({', '.join(feature.names[:8])}{' ...' * (feature.num_classes > 8)}); mend or remove the row"
        )
    return clean_name(feature.names[value])


def _integer_name(value: float, row: int, where: str) -> str | None:
    """Return the digits of a whole number as the name of a class."""
    if math.isnan(value) or value == UNLABELLED:
        return None
    if value < 0 or not float(value).is_integer():
        remedy = "write names, such as T-5 or low" if value < 0 else "write names of classes, or integers"
        raise ValueError(f"row {row} of {where} has label {value:g}, which does not name a class; {remedy}")
    return str(int(value))


def with_named_labels(data: DatasetDict, name: str) -> DatasetDict:
    """Convert the column ``label`` of all splits to ClassLabel with the classes of ``train``.

    Args:
        data: splits with a column ``label`` of any type that :func:`label_names` reads.
        name: name of the data set, for errors.

    Raises:
        ValueError: as for :func:`label_names`; or a split has a class that ``train`` does not have, or there are too
            few or too many classes.
    """
    features = {split: rows.features["label"] for split, rows in data.items()}
    first = features["train"]
    if isinstance(first, ClassLabel) and all(feature == first for feature in features.values()):
        for split, rows in data.items():
            column = rows.select_columns("label").with_format("arrow")[:]["label"].combine_chunks()
            labels = pc.fill_null(column, UNLABELLED).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero((labels < UNLABELLED) | (labels >= first.num_classes)):
                _declared_name(int(labels[row]), first, int(row), f"{split} of dataset={name!r}")
        _check_classes(first.names, data, name)
        return data
    named = {split: label_names(rows, f"{split} of dataset={name!r}") for split, rows in data.items()}
    if isinstance(first, ClassLabel):
        names = list(dict.fromkeys(map(clean_name, first.names)))
    else:
        names = sorted_names(set(named["train"]) - {None})
    for split, labels in named.items():
        _check_in_train(labels, names, split, name)
    _check_classes(names, data, name)
    indices = {class_name: index for index, class_name in enumerate(names)}
    labelled = {}
    for split, rows in data.items():
        labels = [indices.get(class_name) for class_name in named[split]]
        labelled[split] = rows.remove_columns("label").add_column("label", labels, feature=ClassLabel(names=names))
    return DatasetDict(labelled)


def _check_in_train(labels: Sequence[str | None], names: Sequence[str], split: str, name: str) -> None:
    unknown = Counter(label for label in labels if label is not None and label not in names)
    if unknown:
        label, count = unknown.most_common(1)[0]
        raise ValueError(
            f"{split} of dataset={name!r} has {count} rows of class {label!r} (first: row {labels.index(label)}), "
            f"which train does not have ({', '.join(names[:8])}{' ...' * (len(names) > 8)}); give both the same "
            "classes, or remove those rows"
        )


def _check_classes(names: Sequence[str], data: DatasetDict, name: str) -> None:
    has_votes = "votes" in data["train"].column_names
    if (not len(names) and not has_votes) or len(names) > MAX_CLASSES:
        raise ValueError(
            f"column `label` of dataset={name!r} has {len(names)} different values; use a data set of 2 to "
            f"{MAX_CLASSES} classes"
        )
    if len(names) == 1 and not has_votes:
        raise ValueError(f"dataset={name!r} has only one class ({names[0]}); add a second one")
    for first, second in pairwise(sorted(names, key=str.casefold)):
        if first.casefold() == second.casefold():
            warnings.warn(
                f"dataset={name!r} has the classes {first!r} and {second!r}, which differ in case only", stacklevel=2
            )
