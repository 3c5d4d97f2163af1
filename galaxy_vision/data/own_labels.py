"""Labels of one's own -> a column ``label``, or votes: cleaned, counted, and with one spelling of each class.

A row without label, or with a number that is not finite, is left out and counted.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from datasets import ClassLabel, Dataset, DatasetDict, Value

from ..models.trees import Trees
from .class_names import MAX_CLASSES, clean_name
from .own_tasks import AS_SHOWN, LABEL_NAMES, OwnLabels, Task, has_own_labels, number_in, recognise, split_labels
from .references import ID_COLUMNS
from .votes import vote_columns

LEAST_OF_CLASS = 2
"""Rows that a class needs: one to learn from and one to test."""
SHOWN = 5
"""Rows that are listed of those that were left out."""


class Dropped(NamedTuple):
    """Rows that were left out for one reason: ids, or names of files."""

    reason: str
    rows: list[str]


def listed(dropped: Dropped | str) -> str:
    """Return the line that counts and lists what was left out; another note as it is."""
    if isinstance(dropped, str):
        return dropped
    names = [name for name in dropped.rows if name]
    shown = f" ({', '.join(names[:SHOWN])}{' ...' * (len(names) > SHOWN)})" if names else ""
    return f"left out, {len(dropped.rows)} row{'s' * (len(dropped.rows) > 1)}: {dropped.reason}{shown}"


def read_own_labels(
    data: DatasetDict, where: str, in_file: bool, trees: Trees | None, own: OwnLabels
) -> tuple[DatasetDict, Task | None, Trees | None, list]:
    """Return splits as they are, or, where they have labels of one's own, with these.

    Args:
        data: splits with the columns of the source.
        where: the data set, for errors.
        in_file: whether they are those of a table of paths, whose cells are text.
        trees: whose votes are wanted; None for those that are recognised.
        own: what is said of the columns.

    Returns:
        The splits, what is learned (None without labels of one's own), whose votes, and what was left out.

    Raises:
        ValueError: as :func:`with_own_labels`.
    """
    columns = next(iter(data.values())).column_names
    votes = vote_columns(columns, trees)
    if has_own_labels(columns, in_file, bool(votes), own):
        data, task, dropped = with_own_labels(data, where, own)
        return data, task, task.trees or trees, dropped
    if in_file:  # votes of a campaign, or of a tree of one's own
        return with_numbers(data, votes), Task("counts", tuple(votes)), trees, []
    return data, None, trees, []


def with_own_labels(data: DatasetDict, where: str, own: OwnLabels = AS_SHOWN) -> tuple[DatasetDict, Task, list]:
    """Return splits whose column ``label``, or columns of votes, are what is learned.

    A single label is text. Several labels, or numbers, are a struct of floats with their names, NaN where unknown.

    Args:
        data: splits with the columns of the source.
        where: as for :func:`~galaxy_vision.data.own_tasks.recognise`.
        own: what is said of the columns.

    Returns:
        The splits with ``image``, the id, and labels or votes; what is learned; and what was left out or taken for one.

    Raises:
        ValueError: as for :func:`~galaxy_vision.data.own_tasks.recognise`; or a cell is not what the others are, or no
            row is left.
    """
    shared = [name for name in next(iter(data.values())).column_names if name != "image"]
    cells = {split: {name: _texts(rows, name) for name in shared} for split, rows in data.items()}
    whole = {name: [cell for split in cells for cell in cells[split][name]] for name in shared}
    found = recognise(whole, where, own.task, own.columns)
    spelling, lone = _spelling(whole[found.columns[0]]) if found.kind == "single_label" else ({}, set())
    _check_number_of_classes(set(spelling.values()), lone, found, where)
    labelled, dropped = {}, {"no label": [], "a number that is not finite": []}
    few = f"the only image of its class; {', '.join(sorted(lone)[:SHOWN])}"
    for split, rows in data.items():
        ids = next((cells[split][name] for name in ID_COLUMNS if name in shared), None) or [""] * len(rows)
        kept, values = [], []
        for row in range(len(rows)):
            value, reason = _value(found, {name: cells[split][name][row] for name in found.columns}, spelling, where)
            reason = few if reason is None and found.kind == "single_label" and value in lone else reason
            if reason is None:
                kept.append(row)
                values.append(value)
            else:
                dropped.setdefault(reason, []).append(ids[row])
        if not kept:
            raise ValueError(f"none of the {len(rows)} rows of {where} has a label; label some, or name other columns")
        labelled[split] = _labelled(rows.select(kept), values, found)
    notes = [Dropped(reason, rows) for reason, rows in dropped.items() if rows]
    if found.kind == "single_label":
        notes += merged_spellings(whole[found.columns[0]])
    return DatasetDict(labelled), found, notes


def with_numbers(data: DatasetDict, names: Sequence[str]) -> DatasetDict:
    """Return splits in which columns of text hold their numbers, NaN for an empty cell; raise ValueError for others."""
    for split, rows in data.items():
        for name in names:
            cells = _texts(rows, name)
            numbers = [number_in(cell) for cell in cells]
            if None in numbers:
                raise ValueError(
                    f"column {name}: {cells[numbers.index(None)]!r} is not a number; mend or remove the row"
                )
            rows = rows.remove_columns(name).add_column(name, numbers, feature=Value("float64"))
        data[split] = rows
    return data


def merged_spellings(names: Sequence[str]) -> list[str]:
    """Return a line for each class of which a table has several spellings."""
    spelling, _ = _spelling(names)
    groups: dict[str, list[str]] = {}
    for written, taken in spelling.items():
        groups.setdefault(taken, []).append(written)
    return [
        f"the classes {', '.join(map(repr, sorted(written)))} are taken for one, {taken!r}"
        for taken, written in groups.items()
        if len(written) > 1
    ]


def _spelling(cells: Sequence) -> tuple[dict[str, str], set[str]]:
    """Return each spelling of a class with the commonest that differs in case and spaces only; and classes of few."""
    counts = Counter(cell for cell in cells if not _is_unknown_class(cell))
    groups: dict[str, Counter] = {}
    for written, count in counts.items():
        groups.setdefault(" ".join(clean_name(written).casefold().split()), Counter())[written] += count
    taken = {key: clean_name(max(sorted(group), key=group.get)) for key, group in groups.items()}
    lone = {taken[key] for key, group in groups.items() if group.total() < LEAST_OF_CLASS}
    return {written: taken[key] for key, group in groups.items() for written in group}, lone


def _check_number_of_classes(names: set[str], lone: set[str], task: Task, where: str) -> None:
    if len(names) > MAX_CLASSES or (lone and lone == names):
        kind = f"{len(names):,} different values" if len(names) > MAX_CLASSES else "another value in every row"
        raise ValueError(
            f"column {task.columns[0]!r} of {where} has {kind}; classes are 2 to {MAX_CLASSES}, of several images: "
            "name another column by --label_columns, or say --task regression if it is a number"
        )


def _is_unknown_class(cell) -> bool:
    """`NA` may be the name of a class; empty text, NaN and -1 are none."""
    return cell is None or cell.strip().lower() in ("", "nan", "-1")


def _value(task: Task, cells: Mapping, spelling: Mapping[str, str], where: str) -> tuple[object, str | None]:
    """Return the label of a row, or why it has none."""
    if task.kind == "single_label":
        cell = cells[task.columns[0]]
        return (None, "no label") if _is_unknown_class(cell) else (spelling[cell], None)
    if task.kind == "multi_label" and task.names != task.columns:
        cell = cells[task.columns[0]]
        if cell is None:
            return None, "no label"
        return [float(name in split_labels(cell)) for name in task.names], None
    numbers = []
    for name, cell in cells.items():
        number = number_in(cell)
        if number is None:
            raise ValueError(f"{where}, column {name}: {cell!r} is not a number; mend or remove the row")
        if math.isinf(number):
            return None, "a number that is not finite"
        numbers.append(number)
    if task.kind == "multi_label" and any(number not in (0.0, 1.0) and not math.isnan(number) for number in numbers):
        raise ValueError(f"{where}: {numbers} are not 0 or 1 each; several labels at once are 0 and 1")
    return (None, "no label") if all(map(math.isnan, numbers)) else (numbers, None)


def _labelled(rows: Dataset, values: list, task: Task) -> Dataset:
    """Return rows with what is learned, and of their other columns image, id and split."""
    columns = rows.select_columns([name for name in ("image", *ID_COLUMNS) if name in rows.column_names])
    if task.kind == "single_label":
        if len({*values} | {"0", "1"}) == 2:  # a column of 0 and 1 has the names of its classes in its own
            name = task.columns[0]
            if name.lower() not in LABEL_NAMES:
                values = [name if value == "1" else f"not {name}" for value in values]
        return columns.add_column("label", values, feature=Value("string"))
    if task.kind == "counts":
        for index, name in enumerate(task.columns):
            columns = columns.add_column(name, [row[index] for row in values], feature=Value("float64"))
        return columns
    structs = [dict(zip(task.names, row, strict=True)) for row in values]
    return columns.add_column("label", structs, feature={name: Value("float32") for name in task.names})


def _texts(rows: Dataset, name: str) -> list:
    """Return the cells of a column as text, or as lists of text; None where there is nothing."""
    feature = rows.features[name]
    values = rows.select_columns([name]).with_format("arrow")[:][name].to_pylist()
    if isinstance(feature, ClassLabel):
        return [None if value is None or value < 0 else feature.names[value] for value in values]
    return [_text(value) for value in values]


def _text(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        return None
    return [str(part) for part in value] if isinstance(value, list) else str(value)


def label_names_of(rows: Dataset) -> list[str]:
    """Return the names of the classes, labels or numbers of a column ``label``."""
    feature = rows.features["label"]
    return list(feature) if isinstance(feature, dict) else list(feature.names)
