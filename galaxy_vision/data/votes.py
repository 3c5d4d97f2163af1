"""Read votes, labels and captions from the columns of a source."""

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, Features, concatenate_datasets

from ..models.tree import DecisionTree
from ..models.trees import Trees
from .campaigns import column_names, recognised
from .labels import assign_labels, class_names_for, default_scheme, labels_of_summary
from .references import ID_COLUMNS, written_captions
from .schemes import get_scheme
from .vote_marks import MARK, marked_trees


def trees_in(names: Iterable[str], trees: Trees | None = None) -> Trees | None:
    """Return the trees whose votes a table has, by the names of its columns; None without votes.

    Args:
        names: columns.
        trees: those that are wanted; None for all that are recognised, and for Galaxy Zoo 2 where a column ``votes``
            has lists.

    Raises:
        ValueError: the table does not have the votes of a tree that is wanted.
    """
    names = frozenset(names)
    if "votes" in names:
        return trees or Trees()
    found = recognised(names)
    for tree in (trees or {}).values():
        first = column_names(tree)[tree.slices[tree.first_question.name]]
        if not names & set(first):
            others = f"; it has those of {', '.join(found)}" if found else ""
            raise ValueError(f"there are no votes of {tree.name!r}, such as a column {first[0]!r}{others}")
    return trees or found


def check_whole(tree: DecisionTree, names: Iterable[str]) -> None:
    """Check that each question has the columns of all of its answers or of none; raise ValueError otherwise.

    A table that somebody names a tree for has it as a whole: half a question is a misspelt column.
    """
    columns, names = column_names(tree), set(names)
    for question, answers in tree.slices.items():
        wanted = [column for column in columns[answers] if column]
        missing = [column for column in wanted if column not in names]
        if missing and len(missing) < len(wanted):
            similar = get_close_matches(missing[0], names - set(columns), 1)
            raise ValueError(
                f"question {question!r} of {tree.name!r} has a column {next(c for c in wanted if c in names)!r} and "
                f"none {missing[0]!r}{f'; is it {similar[0]!r}?' if similar else ''}; give all of its answers, or none"
            )


def vote_columns(names: Iterable[str], trees: Trees | None = None) -> list[str]:
    """Return those of these columns that hold votes: ``["votes"]``, those of campaigns, or none.

    Raises:
        ValueError: as for :func:`trees_in`.
    """
    names = list(names)
    if "votes" in names:
        return ["votes"]
    trees = trees_in(names, trees)
    wanted = {column for tree in trees.values() for column in column_names(tree)} if trees else set()
    return [column for column in names if column in wanted]


def has_labels(features: Features, label_scheme: str | None, trees: Trees | None = None) -> bool:
    """Return whether the column ``label`` is used; if not, labels are made from the votes by a scheme."""
    label, trees = features.get("label"), trees_in(features, trees)
    if trees is None:
        return True
    if label is None or label_scheme is None:
        return label is not None
    return label == ClassLabel(names=_class_names(features, label_scheme, trees))


def _class_names(columns: Iterable[str], scheme: str, trees: Trees) -> list[str]:
    """Return the classes of a scheme; all of ``summary`` where the table has a column of that name, as gz_evo has."""
    is_given = scheme == "summary" and "summary" in columns
    return get_scheme(scheme).class_names if is_given else class_names_for(scheme, trees)


def labels_by(table: pa.Table, votes: np.ndarray, scheme: str, trees: Trees) -> np.ndarray:
    """Return (N,) labels by a scheme: of a column ``summary`` where that is asked for, else of the votes."""
    if scheme == "summary" and "summary" in table.column_names:
        return labels_of_summary(table["summary"].to_pylist())
    return assign_labels(votes, scheme, trees=trees)


def votes_of(table: pa.Table, trees: Trees | None = None) -> np.ndarray | None:
    """Return the votes of a table, (N, answers of all trees) float64, NaN where unknown; None if it has no votes.

    Where a table has columns of several campaigns, those that nobody was asked about a galaxy have 0 on the first
    question, which here is unknown: the galaxy was shown in another campaign.

    Args:
        table: with a column ``votes`` of lists, and :data:`~galaxy_vision.data.vote_marks.MARK` beside it where that
            says whose they are; or with columns of campaigns.
        trees: whose votes are wanted; None for all that are recognised.

    Raises:
        ValueError: a row does not have as many votes as there are answers, one of them is negative or infinite, or the
            table does not have the votes that are wanted.
    """
    trees = _trees_of(table, trees)
    if trees is None:
        return None
    if {"votes", MARK} <= set(table.column_names):
        votes = _marked_votes(table, trees)
    elif "votes" in table.column_names:
        votes = _listed_votes(table, trees)
    else:
        votes = np.concatenate([_campaign_votes(table, tree) for tree in trees.values()], axis=1)
    if (wrong := (votes < 0) | np.isinf(votes)).any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        value = votes[row][wrong[row]][0]
        raise ValueError(f"{_row_name(table, row)} has {value:g} votes for an answer; mend or remove the row")
    return votes


def _trees_of(table: pa.Table, trees: Trees | None) -> Trees | None:
    """Return :func:`trees_in` of a table, and those that its rows name where none are wanted."""
    if trees is None and {"votes", MARK} <= set(table.column_names):
        return marked_trees([table[MARK]])
    return trees_in(table.column_names, trees)


def _campaign_votes(table: pa.Table, tree: DecisionTree) -> np.ndarray:
    """Return the votes of one campaign, (N, answers); an answer without a column is unknown."""
    absent = np.full(len(table), np.nan)
    votes = np.stack(
        [
            table[name].to_numpy().astype(np.float64) if name in table.column_names else absent
            for name in column_names(tree)
        ],
        axis=1,
    )
    asked = votes[:, tree.slices[tree.first_question.name]].sum(axis=1)
    votes[(asked == 0) & ~(votes < 0).any(axis=1)] = np.nan
    return votes


def _marked_votes(table: pa.Table, trees: Trees) -> np.ndarray:
    """Return the votes of lists whose campaign a column names, NaN for the campaigns that a row does not name."""
    votes = np.full((len(table), trees.num_answers), np.nan)
    names = np.array(table[MARK].to_pylist(), dtype=object)
    if len(nameless := np.flatnonzero([name is None for name in names] & np.asarray(table["votes"].is_valid()))):
        raise ValueError(f"{_row_name(table, int(nameless[0]))} has votes and no `{MARK}`; say whose they are")
    for tree in marked_trees([table[MARK]], trees).values() if any(names) else ():
        if tree.name in trees:
            rows = names == tree.name
            votes[rows, trees.slices[tree.name]] = _listed_votes(table.filter(pa.array(rows)), Trees([tree]))
    return votes


def _listed_votes(table: pa.Table, trees: Trees) -> np.ndarray:
    """Return the votes of a column ``votes`` of lists, NaN for a null list."""
    column, count = table["votes"].combine_chunks(), trees.num_answers
    if not isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray) or not (
        pa.types.is_floating(column.type.value_type) or pa.types.is_integer(column.type.value_type)
    ):
        raise ValueError(f"column `votes` holds {column.type} values; it needs lists of {count} numbers")
    has_list = np.asarray(column.is_valid())
    lengths = pc.list_value_length(column).fill_null(count).to_numpy(zero_copy_only=False)
    if len(wrong := np.flatnonzero(lengths != count)):
        raise ValueError(
            f"{_row_name(table, int(wrong[0]))} has {lengths[wrong[0]]} votes; it needs one for each of the "
            f"{count} answers of {', '.join(trees)}"
        )
    votes = np.full((len(column), count), np.nan)
    values = column.drop_null().flatten().to_numpy(zero_copy_only=False)
    votes[has_list] = values.astype(np.float64).reshape(-1, count)
    return votes


def _row_name(table: pa.Table, row: int) -> str:
    ids = [column for column in ID_COLUMNS if column in table.column_names]
    return f"row {row} (id {table[ids[0]][row]})" if ids else f"row {row}"


def votes_and_labels(
    table: pa.Table, features: Features, label_scheme: str | None, trees: Trees | None = None
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the votes of rows, (N, answers) float32 or None, and their labels, (N,) int64, -1 where uncertain.

    Args:
        table: the rows.
        features: features of the data set that the rows are from.
        label_scheme: as for :func:`~galaxy_vision.data.load.load_galaxies`.
        trees: as for :func:`votes_of`.

    Raises:
        ValueError: as for :func:`votes_of`.
    """
    trees = _trees_of(table, trees)
    votes = votes_of(table, trees)
    if has_labels(features, label_scheme, trees):
        labels = table["label"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        labels = labels_by(table, votes, label_scheme or default_scheme(trees), trees)
    return None if votes is None else votes.astype(np.float32), labels


def with_votes_column(rows: Dataset, label_scheme: str | None = None, trees: Trees | None = None) -> Dataset:
    """Add columns ``votes``, ``captions`` and ``label`` to rows with votes, as far as they do not have them.

    Rows may have the columns of campaigns or a column ``votes``; rows without votes are returned unchanged. An answer
    for which the table has no column is unknown (NaN), which is not the same as 0 votes. Labels are made anew where the
    classes are not those of the scheme.

    Args:
        rows: of a data set.
        label_scheme: as for :func:`~galaxy_vision.data.load.load_galaxies`.
        trees: as for :func:`votes_of`.

    Raises:
        ValueError: as for :func:`votes_of`.
    """
    if trees is None and {"votes", MARK} <= set(rows.column_names):
        trees = marked_trees([rows.select_columns([MARK]).with_format("arrow")[:][MARK]])
    trees = trees_in(rows.column_names, trees)
    columns = vote_columns(rows.column_names, trees)
    ids = [column for column in ID_COLUMNS if column in rows.column_names]
    labelled = has_labels(rows.features, label_scheme, trees)
    marks = [MARK] if MARK in rows.column_names and "votes" in columns else []
    if labelled and columns in ([], ["votes"]):
        if not columns:
            return rows
        table = rows.select_columns([*columns, *marks, *ids]).with_format("arrow")[:]
        votes = votes_of(table, trees)  # or raises
        if marks:
            return _without_mark(rows, votes, trees)
        return with_votes(rows, votes) if table["votes"].null_count else rows
    summary = ["summary"] if "summary" in rows.column_names else []
    table = rows.select_columns([*columns, *marks, *ids, *summary]).with_format("arrow")[:]
    votes = votes_of(table, trees)
    kept = ["image", *ids, "captions"]
    extra = {"votes": votes.astype(np.float32)}
    if labelled:
        kept.append("label")
    else:
        scheme = label_scheme or default_scheme(trees)
        labels = labels_by(table, votes, scheme, trees)
        extra["label"] = [None if label < 0 else int(label) for label in labels]
    if "captions" not in rows.column_names:
        extra["captions"] = written_captions(table, votes, trees)
    extra = Dataset.from_dict(extra)
    if not labelled:
        extra = extra.cast_column("label", ClassLabel(names=_class_names(table.column_names, scheme, trees)))
    kept = [column for column in kept if column in rows.column_names]
    return concatenate_datasets([rows.select_columns(kept), extra], axis=1)


def _without_mark(rows: Dataset, votes: np.ndarray, trees: Trees) -> Dataset:
    """Return rows whose column ``votes`` has the votes of all trees side by side, and needs no mark."""
    if set(rows.unique(MARK)) == set(trees) and len(trees) == 1:
        return rows.remove_columns(MARK)
    return with_votes(rows.remove_columns(MARK), votes)


def with_votes(rows: Dataset, votes: np.ndarray) -> Dataset:
    """Return rows with other votes, (N, answers)."""
    column = Dataset.from_dict({"votes": votes.astype(np.float32)})
    return concatenate_datasets([rows.remove_columns("votes"), column], axis=1)
