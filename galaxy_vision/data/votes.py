"""The columns of a source -> votes, labels and captions."""

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
"""Names of a column of ids, the second that of galaxy-datasets."""
_CAMPAIGN_MARK = "smooth-or-featured-"


def vote_columns(names) -> list[str]:
    """Of these columns ``["votes"]``, or those of galaxy-datasets; none if there are no votes."""
    if "votes" in names:
        return ["votes"]
    return [column for column in _campaign_columns(names) if column in names]


def _campaign_columns(names) -> list[str | None]:
    """The 37 columns of the campaign that these belong to, in the order of the answers; none if they belong to none."""
    marks = [column for column in names if column.startswith(_CAMPAIGN_MARK) and column.endswith("_smooth")]
    return hub_columns(marks[0][len(_CAMPAIGN_MARK) : -len("_smooth")]) if marks else []


def has_labels(features: Features, label_scheme: str | None) -> bool:
    """Whether the column ``label`` is what is wanted; if not, labels are made from the votes."""
    columns, label = vote_columns(features), features.get("label")
    if columns != ["votes"]:
        return not columns
    return label is not None and (
        label_scheme is None or label == ClassLabel(names=get_scheme(label_scheme).class_names)
    )


def votes_of(table: pa.Table) -> np.ndarray | None:
    """(N, 37) float64 votes of a table, NaN where unknown; None if it has none.

    Raises:
        ValueError: a row has not one vote for each answer, or one that is negative or infinite.
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
        place = int(np.flatnonzero(wrong.any(axis=1))[0])
        value = votes[place][wrong[place]][0]
        raise ValueError(f"{_row_name(table, place)} has {value:g} votes for an answer; mend or remove the row")
    return votes


def _listed_votes(table: pa.Table) -> np.ndarray:
    column = table["votes"].combine_chunks()
    if not isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray) or not (
        pa.types.is_floating(column.type.value_type) or pa.types.is_integer(column.type.value_type)
    ):
        raise ValueError(f"column `votes` holds {column.type} values; it needs lists of {NUM_ANSWERS} numbers")
    known = np.asarray(column.is_valid())
    lengths = pc.list_value_length(column).fill_null(NUM_ANSWERS).to_numpy(zero_copy_only=False)
    if len(wrong := np.flatnonzero(lengths != NUM_ANSWERS)):
        raise ValueError(
            f"{_row_name(table, int(wrong[0]))} has {lengths[wrong[0]]} votes; it needs one for each of the "
            f"{NUM_ANSWERS} answers"
        )
    votes = np.full((len(column), NUM_ANSWERS), np.nan)
    values = column.drop_null().flatten().to_numpy(zero_copy_only=False)
    votes[known] = values.astype(np.float64).reshape(-1, NUM_ANSWERS)
    return votes


def _row_name(table: pa.Table, place: int) -> str:
    ids = [column for column in ID_COLUMNS if column in table.column_names]
    return f"row {place} (id {table[ids[0]][place]})" if ids else f"row {place}"


def votes_and_labels(
    table: pa.Table, features: Features, label_scheme: str | None
) -> tuple[np.ndarray | None, np.ndarray]:
    """(N, 37) float32 votes (None if there are none) and (N,) labels, -1 where uncertain, of rows with these features.

    Raises:
        ValueError: as :func:`votes_of`.
    """
    votes = votes_of(table)
    if has_labels(features, label_scheme):
        labels = table["label"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        labels = assign_labels(votes, label_scheme or DEFAULT_SCHEME)
    return None if votes is None else votes.astype(np.float32), labels


def with_votes_column(rows: Dataset, label_scheme: str | None = None) -> Dataset:
    """Add ``votes``, ``captions`` and ``label`` where rows have the columns of galaxy-datasets, or ``votes`` alone.

    Also where they have the ``label`` of another scheme; other rows stay as they are.

    An answer that the table does not have is unknown (NaN), which is not the same as no vote.

    Raises:
        ValueError: as :func:`votes_of`.
    """
    columns = vote_columns(rows.features)
    ids = [column for column in ID_COLUMNS if column in rows.column_names]
    if has_labels(rows.features, label_scheme):
        if columns:
            votes_of(rows.select_columns([*columns, *ids]).with_format("arrow")[:])  # checked
        return rows
    own = [column for column in ("captions",) if column in rows.column_names]
    table = rows.select_columns([*columns, *ids]).with_format("arrow")[:]
    votes, scheme = votes_of(table), get_scheme(label_scheme or DEFAULT_SCHEME)
    labels = assign_labels(votes, scheme.name)
    extra = {"votes": votes.astype(np.float32), "label": [None if label < 0 else int(label) for label in labels]}
    if not own:
        extra["captions"] = written_captions(table, votes)
    extra = Dataset.from_dict(extra).cast_column("label", ClassLabel(names=scheme.class_names))
    kept = [column for column in ("image", *ids) if column in rows.column_names]
    return concatenate_datasets([rows.select_columns([*kept, *own]), extra], axis=1)


def written_captions(table: pa.Table, votes: np.ndarray) -> list[list[str]]:
    """Write the reference captions that follow from the votes, drawn by the id of each galaxy.

    Where rows have no ids they are drawn by the votes: galaxies of one class then still differ in words, and a row has
    the same words wherever it stands.
    """
    ids = [column for column in ID_COLUMNS if column in table.column_names]
    names = table[ids[0]].to_pylist() if ids else [None] * len(table)
    names = [
        str(name) if name is not None else f"votes-{zlib.crc32(each.astype(np.float32).tobytes())}"
        for name, each in zip(names, votes, strict=True)
    ]
    return [captions_of(name, each) for name, each in zip(names, votes, strict=True)]


def reference_captions(table: pa.Table, votes: np.ndarray | None) -> list[list[str]]:
    """Return the reference captions of each row: its ``captions``, else those that follow from its votes.

    A single text is a list of one, and null a list of none.
    """
    if "captions" not in table.column_names:
        return written_captions(table, votes)
    return [[each] if isinstance(each, str) else each or [] for each in table["captions"].to_pylist()]


def with_caption_lists(rows: Dataset) -> Dataset:
    """``captions`` given as one text for each row -> lists of one text."""
    if getattr(rows.features.get("captions"), "dtype", "") not in ("string", "large_string"):
        return rows
    captions = reference_captions(rows.select_columns(["captions"]).with_format("arrow")[:], None)
    return rows.remove_columns("captions").add_column("captions", captions, feature=List(Value("string")))
