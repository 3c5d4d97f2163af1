"""Labels compare by name.

Whatever a column ``label`` holds, and in whatever order its files name the classes, all splits get the same classes.
"""

import math
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetDict

MAX_CLASSES = 1000  # a column with more values does not hold classes
UNLABELLED = -1
"""The integer that stands for no label, in the data sets of Hugging Face and in ours."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def clean_name(name: str) -> str:
    """A name as it is compared: composed letters (macOS writes folders in decomposed ones), no spaces around it."""
    return unicodedata.normalize("NFC", name).strip()


def sorted_names(names: Iterable[str]) -> list[str]:
    """Names of classes in label order: integers by their value (2 before 10), other names as text."""
    names = set(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def label_names(rows: Dataset, where: str) -> list[str | None]:
    """The name of the class of every row, None where it has none.

    A ClassLabel says its name; text is a name, without spaces around it; integers are their digits; floats are integers
    where all of them are whole, as pandas makes them of integers with gaps. -1, null, NaN and empty text are no label.

    Args:
        rows: with a column ``label``.
        where: split and data set, for errors.

    Raises:
        ValueError: the column is of another type, or a label is not a class; the message names its row.
    """
    feature = rows.features["label"]
    kind = "class" if isinstance(feature, ClassLabel) else getattr(feature, "dtype", "list")
    values = rows.select_columns("label").with_format("arrow")[:]["label"].to_pylist()
    if kind == "class":
        return [_declared(value, feature, place, where) for place, value in enumerate(values)]
    if kind in ("string", "large_string"):
        texts = [None if value is None else clean_name(value) or None for value in values]
        if any(text and not _NUMBER.fullmatch(text) for text in texts):
            return [None if text == str(UNLABELLED) else text for text in texts]
        return [
            text if text is None or text.isdigit() else _whole(float(text), place, where)
            for place, text in enumerate(texts)
        ]
    if kind.startswith(("int", "uint", "float", "double")):
        return [None if value is None else _whole(value, place, where) for place, value in enumerate(values)]
    raise ValueError(f"column `label` of {where} holds {kind} values; it needs names of classes, or integers")


def _declared(value: int | None, feature: ClassLabel, place: int, where: str) -> str | None:
    if value is None or value == UNLABELLED:
        return None
    if not 0 <= value < feature.num_classes:
        raise ValueError(
            f"row {place} of {where} has label {value}, and its classes are 0 to {feature.num_classes - 1} "
            f"({', '.join(feature.names[:8])}{' ...' * (feature.num_classes > 8)}); mend or remove the row"
        )
    return clean_name(feature.names[value])


def _whole(value: float, place: int, where: str) -> str | None:
    """The digits of an integer that stands for a class."""
    if math.isnan(value) or value == UNLABELLED:
        return None
    if value < 0 or not float(value).is_integer():
        remedy = "write names, such as T-5 or low" if value < 0 else "write names of classes, or integers"
        raise ValueError(f"row {place} of {where} has label {value:g}, which does not name a class; {remedy}")
    return str(int(value))


def with_named_labels(data: DatasetDict, name: str) -> DatasetDict:
    """A ``label`` of any kind -> ClassLabel with the classes of ``train``, the same in all splits.

    Args:
        data: splits with a column ``label``.
        name: of the data set, for errors.

    Raises:
        ValueError: as :func:`label_names`; or a split has a class that ``train`` does not have, or there are too few or
            too many.
    """
    features = {split: rows.features["label"] for split, rows in data.items()}
    first = features["train"]
    if isinstance(first, ClassLabel) and all(feature == first for feature in features.values()):
        for split, rows in data.items():
            column = rows.select_columns("label").with_format("arrow")[:]["label"].combine_chunks()
            labels = pc.fill_null(column, UNLABELLED).to_numpy(zero_copy_only=False)
            for place in np.flatnonzero((labels < UNLABELLED) | (labels >= first.num_classes)):
                _declared(int(labels[place]), first, int(place), f"{split} of dataset={name!r}")
        _check_classes(first.names, data, name)
        return data
    named = {split: label_names(rows, f"{split} of dataset={name!r}") for split, rows in data.items()}
    declared = isinstance(first, ClassLabel)
    names = (
        list(dict.fromkeys(map(clean_name, first.names))) if declared else sorted_names(set(named["train"]) - {None})
    )
    for split, labels in named.items():
        _check_known(labels, names, split, name)
    _check_classes(names, data, name)
    places, feature = {each: place for place, each in enumerate(names)}, ClassLabel(names=names)
    return DatasetDict(
        {
            split: rows.remove_columns("label").add_column(
                "label", [places.get(each) for each in named[split]], feature=feature
            )
            for split, rows in data.items()
        }
    )


def _check_known(labels: Sequence[str | None], names: Sequence[str], split: str, name: str) -> None:
    unknown = Counter(label for label in labels if label is not None and label not in names)
    if unknown:
        label, count = unknown.most_common(1)[0]
        raise ValueError(
            f"{split} of dataset={name!r} has {count} rows of class {label!r} (first: row {labels.index(label)}), "
            "which train does "
            f"not have ({', '.join(names[:8])}{' ...' * (len(names) > 8)}); give both the same classes, or remove "
            "those rows"
        )


def _check_classes(names: Sequence[str], data: DatasetDict, name: str) -> None:
    if not len(names) and "votes" not in data["train"].column_names or len(names) > MAX_CLASSES:
        raise ValueError(
            f"column `label` of dataset={name!r} has {len(names)} different values; use a data set of 2 to "
            f"{MAX_CLASSES} classes"
        )
    if len(names) == 1 and "votes" not in data["train"].column_names:
        raise ValueError(
            f"dataset={name!r} has one class only ({names[0]}), and there is nothing to tell apart; add a second one"
        )
    for first, second in zip(same := sorted(names, key=str.casefold), same[1:], strict=False):
        if first.casefold() == second.casefold():
            warnings.warn(
                f"dataset={name!r} has the classes {first!r} and {second!r}, which differ in case only", stacklevel=2
            )
