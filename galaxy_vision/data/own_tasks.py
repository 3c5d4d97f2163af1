"""What the labels of one's own are, recognised from the columns of a table.

========================  ==========================================================================================
task                      columns
========================  ==========================================================================================
``single_label``          names of classes, or one column of 0 and 1
``multi_label``           several columns of 0 and 1, or one of lists (in a table ``ring;bar``)
``regression``            numbers
``counts``                votes: whole numbers in columns with a common beginning, such as ring_yes and ring_no
========================  ==========================================================================================
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

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


class OwnLabels(NamedTuple):
    """How labels of one's own are read.

    Attributes:
        task: one of :data:`TASKS`; None for that which the columns show.
        columns: that have the labels; empty for those that look like it.
        image_root: folder in which the paths of a table begin; None for that of the table.
    """

    task: str | None = None
    columns: tuple[str, ...] = ()
    image_root: str | None = None


AS_SHOWN = OwnLabels()
"""What is not said is seen from the columns."""


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


def recognise(columns: Mapping[str, Sequence], where: str, task: str | None = None, chosen: Sequence[str] = ()) -> Task:
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
    cells = {name: columns[name] for name in names if any(not is_unknown_number(cell) for cell in columns[name])}
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


def is_unknown_number(cell) -> bool:
    """Return whether a cell holds no number, and nothing else."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in UNKNOWN)


def number_in(cell) -> float | None:
    """Return the number of a cell; NaN for a cell without one, None for other text."""
    if is_unknown_number(cell):
        return math.nan
    text = cell.strip().lower() if isinstance(cell, str) else cell
    try:
        return 1.0 if text in TRUE else 0.0 if text in FALSE else float(text)
    except (TypeError, ValueError):
        return None


def _kind(cells: Sequence) -> str:
    """Return ``list``, ``binary``, ``whole`` (not negative), ``number`` or ``text``."""
    known = [cell for cell in cells if not is_unknown_number(cell)]
    if any(isinstance(cell, list | tuple) for cell in known):
        return "list"
    texts = {cell.strip().lower() for cell in known}
    if texts <= TRUE | FALSE:
        return "binary"
    numbers = [number_in(text) for text in texts]
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
    few = len({cell for cell in cells if not is_unknown_number(cell)}) <= FEW_NUMBERS
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
    names = Counter(name for cell in cells for name in split_labels(cell))
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{where} has {len(names)} different labels; use 1 to {MAX_CLASSES}")
    return sorted(names)


def split_labels(cell) -> list[str]:
    """Return the names in a list of labels, or in a text with semicolons or bars between them."""
    if is_unknown_number(cell):
        return []
    parts = cell if isinstance(cell, list | tuple) else cell.replace("|", ";").split(";")
    return [name for name in (clean_name(str(part)) for part in parts) if name]


def has_own_labels(columns: Iterable[str], in_file: bool, has_votes: bool, own: OwnLabels) -> bool:
    """Return whether the columns of a data set are labels of one's own, and not as our builders write them.

    Args:
        columns: of the data set.
        in_file: whether they are those of a table of paths.
        has_votes: whether they are votes of a campaign.
        own: what is said of them.
    """
    if own.task or own.columns:
        return True
    others = [name for name in columns if name != "image" and name.lower() not in OTHER_NAMES]
    return not has_votes and (in_file or ("label" not in columns and bool(others)))
