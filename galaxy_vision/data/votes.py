"""Read votes, labels and captions from the columns of a source."""

import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, Features, List, Value, concatenate_datasets

from ..captions.writing import captions_of
from ..models.decision_tree import NUM_ANSWERS, hub_columns
from .labels import assign_labels, get_scheme

DEFAULT_SCHEME = "hubble"
ID_COLUMNS = ("id", "id_str")
"""Names of a column of ids; the second is that of galaxy-datasets."""
_FIRST_QUESTION = "smooth-or-featured-"
"""Start of the columns of galaxy-datasets for the first question; the campaign and the answer follow."""


def vote_columns(names) -> list[str]:
    """Return those of these columns that hold votes: ``["votes"]``, those of galaxy-datasets, or none."""
    if "votes" in names:
        return ["votes"]
    return [column for column in _campaign_columns(names) if column in names]


def _campaign_columns(names) -> list[str | None]:
    """Return the 37 columns of the campaign of galaxy-datasets that these belong to, in the order of the answers.

    None for an answer that the campaign does not have; an empty list if the columns are not of galaxy-datasets.
    """
    smooth = [column for column in names if column.startswith(_FIRST_QUESTION) and column.endswith("_smooth")]
    return hub_columns(smooth[0][len(_FIRST_QUESTION) : -len("_smooth")]) if smooth else []


def has_labels(features: Features, label_scheme: str | None) -> bool:
    """Return whether the column ``label`` is used; if not, labels are made from the votes by a scheme."""
    columns, label = vote_columns(features), features.get("label")
    if columns != ["votes"]:
        return not columns
    if label is None or label_scheme is None:
        return label is not None
    return label == ClassLabel(names=get_scheme(label_scheme).class_names)


def votes_of(table: pa.Table) -> np.ndarray | None:
    """Return the votes of a table, (N, 37) float64, NaN where unknown; None if it has no votes.

    Raises:
        ValueError: a row does not have 37 votes, or one of them is negative or infinite.
    """
    if "votes" in table.column_names:
        votes = _listed_votes(table)
    elif names := _campaign_columns(table.column_names):
        absent = np.full(len(table), np.nan)
        columns = [
            table[name].to_numpy().astype(np.float64) if name in table.column_names else absent for name in names
        ]
        votes = np.stack(columns, 1)
    else:
        return None
    if (wrong := (votes < 0) | np.isinf(votes)).any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        value = votes[row][wrong[row]][0]
        raise ValueError(f"{_row_name(table, row)} has {value:g} votes for an answer; mend or remove the row")
    return votes


def _listed_votes(table: pa.Table) -> np.ndarray:
    """Return the votes of a column ``votes`` of lists, NaN for a null list."""
    column = table["votes"].combine_chunks()
    if not isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray) or not (
        pa.types.is_floating(column.type.value_type) or pa.types.is_integer(column.type.value_type)
    ):
        raise ValueError(f"column `votes` holds {column.type} values; it needs lists of {NUM_ANSWERS} numbers")
    has_list = np.asarray(column.is_valid())
    lengths = pc.list_value_length(column).fill_null(NUM_ANSWERS).to_numpy(zero_copy_only=False)
    if len(wrong := np.flatnonzero(lengths != NUM_ANSWERS)):
        raise ValueError(
            f"{_row_name(table, int(wrong[0]))} has {lengths[wrong[0]]} votes; it needs one for each of the "
            f"{NUM_ANSWERS} answers"
        )
    votes = np.full((len(column), NUM_ANSWERS), np.nan)
    values = column.drop_null().flatten().to_numpy(zero_copy_only=False)
    votes[has_list] = values.astype(np.float64).reshape(-1, NUM_ANSWERS)
    return votes


def _row_name(table: pa.Table, row: int) -> str:
    ids = [column for column in ID_COLUMNS if column in table.column_names]
    return f"row {row} (id {table[ids[0]][row]})" if ids else f"row {row}"


def votes_and_labels(
    table: pa.Table, features: Features, label_scheme: str | None
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the votes of rows, (N, 37) float32 or None, and their labels, (N,) int64, -1 where uncertain.

    Args:
        table: the rows.
        features: features of the data set that the rows are from.
        label_scheme: as for :func:`~galaxy_vision.data.load.load_galaxies`.

    Raises:
        ValueError: as for :func:`votes_of`.
    """
    votes = votes_of(table)
    if has_labels(features, label_scheme):
        labels = table["label"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        labels = assign_labels(votes, label_scheme or DEFAULT_SCHEME)
    return None if votes is None else votes.astype(np.float32), labels


def with_votes_column(rows: Dataset, label_scheme: str | None = None) -> Dataset:
    """Add columns ``votes``, ``captions`` and ``label`` to rows with votes, where they have no label of this scheme.

    Rows may have the columns of galaxy-datasets or a column ``votes``; rows without votes are returned unchanged. An
    answer for which the table has no column is unknown (NaN), which is not the same as 0 votes.

    Raises:
        ValueError: as for :func:`votes_of`.
    """
    columns = vote_columns(rows.features)
    ids = [column for column in ID_COLUMNS if column in rows.column_names]
    if has_labels(rows.features, label_scheme):
        if columns:
            votes_of(rows.select_columns([*columns, *ids]).with_format("arrow")[:])  # raises for wrong votes
        return rows
    own_captions = ["captions"] if "captions" in rows.column_names else []
    table = rows.select_columns([*columns, *ids]).with_format("arrow")[:]
    votes, scheme = votes_of(table), get_scheme(label_scheme or DEFAULT_SCHEME)
    labels = assign_labels(votes, scheme.name)
    extra = {"votes": votes.astype(np.float32), "label": [None if label < 0 else int(label) for label in labels]}
    if not own_captions:
        extra["captions"] = written_captions(table, votes)
    extra = Dataset.from_dict(extra).cast_column("label", ClassLabel(names=scheme.class_names))
    kept = [column for column in ("image", *ids) if column in rows.column_names]
    return concatenate_datasets([rows.select_columns([*kept, *own_captions]), extra], axis=1)


def written_captions(table: pa.Table, votes: np.ndarray) -> list[list[str]]:
    """Return the reference captions that follow from votes; the id of a galaxy determines their wording.

    Where rows have no ids the votes do, so that galaxies of one class have different wordings, which do not depend on
    the order of the rows.
    """
    ids = [column for column in ID_COLUMNS if column in table.column_names]
    names = table[ids[0]].to_pylist() if ids else [None] * len(table)
    names = [
        str(name) if name is not None else f"votes-{zlib.crc32(answers.astype(np.float32).tobytes())}"
        for name, answers in zip(names, votes, strict=True)
    ]
    return [captions_of(name, answers) for name, answers in zip(names, votes, strict=True)]


def reference_captions(table: pa.Table, votes: np.ndarray | None) -> list[list[str]]:
    """Return the reference captions of each row: its ``captions``, else those that follow from its votes.

    A single text becomes a list of one caption, and null an empty list.
    """
    if "captions" not in table.column_names:
        return written_captions(table, votes)
    values = table["captions"].to_pylist()
    return [[value] if isinstance(value, str) else value or [] for value in values]


def with_caption_lists(rows: Dataset) -> Dataset:
    """Return rows whose ``captions`` are lists, also where each row has a single text."""
    if getattr(rows.features.get("captions"), "dtype", "") not in ("string", "large_string"):
        return rows
    captions = reference_captions(rows.select_columns(["captions"]).with_format("arrow")[:], None)
    return rows.remove_columns("captions").add_column("captions", captions, feature=List(Value("string")))
