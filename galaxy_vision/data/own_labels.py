"""What the labels of one's own are: recognised from the columns, put into a column ``label`` or votes, and cleaned.

========================  ==========================================================================================
task                      columns
========================  ==========================================================================================
``single_label``          names of classes, or one column of 0 and 1
``multi_label``           several columns of 0 and 1, or one of lists (in a table ``ring;bar``)
``regression``            numbers
``counts``                votes: whole numbers in columns with a common beginning, such as ring_yes and ring_no
========================  ==========================================================================================

A row without label, or with one that is no number, is left out and counted.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from datasets import ClassLabel, Dataset, DatasetDict, Value

from ..models.question import Question
from ..models.tree import DecisionTree
from ..models.trees import Trees
from .class_names import MAX_CLASSES, clean_name
from .references import ID_COLUMNS, IMAGE_COLUMNS

TASKS = ("single_label", "multi_label", "regression", "counts")
LABEL_NAMES = ("label", "labels", "class", "type", "kind", "morphology", "target", "value")
"""Names of a column of labels, in upper or lower case; the first that a table has is taken."""
OTHER_NAMES = {*ID_COLUMNS, *IMAGE_COLUMNS, "split", "ra", "dec", "captions", "time", "score", "by", "who", "note"}
OTHER_NAMES |= {"comment", "num_classifications", "date", "user", "labeller"}
"""Columns that are no labels unless somebody names them."""
TRUE, FALSE = {"1", "1.0", "true", "yes", "t", "y"}, {"0", "0.0", "false", "no", "f", "n"}
UNKNOWN = {"", "nan", "na", "n/a", "null", "none", "<na>", "--", "\\n"}
"""Cells, in lower case, without a number."""
FEW_NUMBERS = 20
"""Most different whole numbers of a column of labels that are taken for classes. Ours: T-types are 16."""
LEAST_OF_CLASS = 2
"""Rows that a class needs: one to learn from and one to test."""
SHOWN = 5


class Task(NamedTuple):
    """What is learned.

    Attributes:
        kind: one of :data:`TASKS`.
        columns: of the source.
        names: of the labels or numbers; those of classes are in the features of the rows.
        trees: of counts, a tree of one question for each group of columns.
    """

    kind: str
    columns: tuple[str, ...]
    names: tuple[str, ...] = ()
    trees: Trees | None = None

    def __str__(self) -> str:
        what = {"single_label": "one class of many", "multi_label": "several labels at once"}
        what |= {"regression": "numbers with their errors", "counts": "counts of votes"}
        return f"task {self.kind}: {what[self.kind]}, from column{'s' * (len(self.columns) > 1)} " + ", ".join(
            self.columns
        )


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


def recognise(
    columns: Mapping[str, Sequence], where: str, task: str | None = None, chosen: Sequence[str] = ()
) -> Task:
    """Find out what the columns of a table are labels of.

    Args:
        columns: name -> cells: text, or lists of text.
        where: the data set, for errors.
        task: one of :data:`TASKS`, to force it.
        chosen: the columns to take; those that look like labels otherwise.

    Raises:
        ValueError: there is none of these columns, none looks like labels, or several kinds do.
    """
    if missing := [name for name in chosen if name not in columns]:
        raise ValueError(f"label_columns={missing[0]!r} is not a column of {where}; it has {', '.join(columns)}")
    lower = {name.lower(): name for name in reversed(list(columns))}
    named = next((lower[name] for name in LABEL_NAMES if name in lower), None)
    names = list(chosen) or ([named] if named else [name for name in columns if name.lower() not in OTHER_NAMES])
    cells = {name: columns[name] for name in names if any(not _is_unknown(cell) for cell in columns[name])}
    if (chosen or named) and not cells:
        raise ValueError(f"no row of {where} has a label in column {', '.join(names)}; label some, or name another")
    kinds = {name: _kind(values) for name, values in cells.items()}
    groups = _groups(cells, kinds)
    if task is None and len(cells) == 1:
        task = _task_of_one(*next(iter(cells.items())))
    elif task is None:
        task, cells = _task_of_several(cells, kinds, groups, bool(chosen))
    elif not chosen:  # those that can be of this task
        fits = {"single_label": {"text", "binary", "whole"}, "multi_label": {"binary", "list"}}
        fits |= {"regression": {"whole", "number", "binary"}, "counts": {"whole", "binary"}}
        cells = {name: values for name, values in cells.items() if kinds[name] in fits[task]}
    if task == "counts":
        cells = {name: columns[name] for group in groups.values() for name in group}
    if task is None or not cells or (task == "single_label" and len(cells) > 1):
        raise ValueError(
            f"{where} has the columns {', '.join(columns)}, and it is not clear which are labels; name them by "
            "--label_columns, with commas between, and what they are by --task " + ", ".join(TASKS)
        )
    taken = tuple(cells)
    if task == "counts":
        trees = [_tree(question, [name[len(question) + 1 :] for name in group]) for question, group in groups.items()]
        return Task(task, taken, trees=Trees(trees))
    if task == "multi_label" and len(taken) == 1 and kinds[taken[0]] != "binary":
        return Task(task, taken, tuple(_labels_in(cells[taken[0]], where)))
    return Task(task, taken, () if task == "single_label" else taken)


def _tree(question: str, answers: list[str]) -> DecisionTree:
    return DecisionTree(question, (Question(question, tuple(answers)),))


def _is_unknown(cell) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in UNKNOWN)


def _number(cell) -> float | None:
    """Return the number of a cell; NaN for a cell without one, None for other text."""
    if _is_unknown(cell):
        return math.nan
    text = cell.strip().lower() if isinstance(cell, str) else cell
    try:
        return 1.0 if text in TRUE else 0.0 if text in FALSE else float(text)
    except (TypeError, ValueError):
        return None


def _kind(cells: Sequence) -> str:
    """Return ``list``, ``binary``, ``whole`` (not negative), ``number`` or ``text``."""
    known = [cell for cell in cells if not _is_unknown(cell)]
    if any(isinstance(cell, list | tuple) for cell in known):
        return "list"
    texts = {cell.strip().lower() for cell in known}
    if texts <= TRUE | FALSE:
        return "binary"
    numbers = [_number(text) for text in texts]
    if any(number is None for number in numbers):
        return "text"
    return "whole" if all(number >= 0 and number.is_integer() for number in numbers) else "number"


def _groups(cells: Mapping[str, Sequence], kinds: Mapping[str, str]) -> dict[str, list[str]]:
    """Return question -> columns of its answers: whole numbers above 1, or ``_yes`` and ``_no``."""
    groups: dict[str, list[str]] = {}
    for name in cells:
        question, _, answer = name.rpartition("_")
        if question and answer and kinds[name] in ("binary", "whole"):
            groups.setdefault(question, []).append(name)
    return {
        question: names
        for question, names in groups.items()
        if len(names) > 1
        and (
            {name.rpartition("_")[2].lower() for name in names} == {"yes", "no"}
            or all(kinds[name] == "whole" for name in names)
        )
    }


def _task_of_one(name: str, cells: Sequence) -> str:
    kind = _kind(cells)
    if kind == "list" or (name.lower() == "labels" and kind == "text" and any(";" in (cell or "") for cell in cells)):
        return "multi_label"
    few = len({cell for cell in cells if not _is_unknown(cell)}) <= FEW_NUMBERS
    return "single_label" if kind in ("text", "binary") or (kind == "whole" and few) else "regression"


def _task_of_several(
    cells: Mapping[str, Sequence], kinds: Mapping[str, str], groups: Mapping, chosen: bool
) -> tuple[str | None, Mapping[str, Sequence]]:
    """Return the task of several columns and those that it takes; None where it is not clear."""

    def of(*wanted: str) -> dict[str, Sequence]:
        return {name: values for name, values in cells.items() if kinds[name] in wanted}

    if groups:
        return "counts", cells
    if of("binary") and (not chosen or len(of("binary")) == len(cells)):
        return ("multi_label" if len(of("binary")) > 1 else "single_label"), of("binary")
    texts = {
        name: values for name, values in of("text").items() if len(set(values)) <= min(MAX_CLASSES, len(values) / 2)
    }
    if len(texts) == 1 and not chosen:
        return "single_label", texts
    numbers = of("number", "whole")
    if len(numbers) == len(cells) if chosen else len(numbers) == 1:
        return "regression", numbers
    return None, {}


def _labels_in(cells: Sequence, where: str) -> list[str]:
    names = Counter(name for cell in cells for name in _split(cell))
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{where} has {len(names)} different labels; use 1 to {MAX_CLASSES}")
    return sorted(names)


def _split(cell) -> list[str]:
    if _is_unknown(cell):
        return []
    parts = cell if isinstance(cell, list | tuple) else cell.replace("|", ";").split(";")
    return [name for name in (clean_name(str(part)) for part in parts) if name]


def with_own_labels(
    data: DatasetDict, where: str, task: str | None = None, chosen: Sequence[str] = ()
) -> tuple[DatasetDict, Task, list]:
    """Return splits whose column ``label``, or columns of votes, are what is learned.

    A single label is text. Several labels, or numbers, are a struct of floats with their names, NaN where unknown.

    Args:
        data: splits with the columns of the source.
        where: as for :func:`recognise`; so are ``task`` and ``chosen``.

    Returns:
        The splits with ``image``, the id, and labels or votes; what is learned; and what was left out or taken for one.

    Raises:
        ValueError: as for :func:`recognise`; or a cell is not what the others are, or no row is left.
    """
    shared = [name for name in next(iter(data.values())).column_names if name != "image"]
    cells = {split: {name: _texts(rows, name) for name in shared} for split, rows in data.items()}
    whole = {name: [cell for split in cells for cell in cells[split][name]] for name in shared}
    found = recognise(whole, where, task, chosen)
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
            numbers = [_number(cell) for cell in cells]
            if None in numbers:
                raise ValueError(f"column {name}: {cells[numbers.index(None)]!r} is not a number; mend or remove the row")
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
        f"the classes {', '.join(map(repr, written))} are taken for one, {taken!r}"
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
            f"column {task.columns[0]!r} of {where} has {kind}; classes are 2 to {MAX_CLASSES}, of several images: name "
            "another column by --label_columns, or say --task regression if it is a number"
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
        return [float(name in _split(cell)) for name in task.names], None
    numbers = []
    for name, cell in cells.items():
        number = _number(cell)
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
