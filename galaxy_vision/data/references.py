"""The reference captions of a galaxy: those of its row, or those that follow from its votes."""

import zlib

import numpy as np
import pyarrow as pa
from datasets import Dataset, List, Value

from ..captions.writing import captions_of
from ..models.tree import DecisionTree
from ..models.trees import Trees

ID_COLUMNS = ("id", "id_str")
"""Names of a column of ids; the second is that of galaxy-datasets."""

IMAGE_COLUMNS = ("image", "path", "file_loc", "file_name", "filename")
"""Names of a column of images or paths, in upper or lower case; ``file_loc`` is that of galaxy-datasets."""


def shown_votes(votes, trees: Trees) -> tuple[np.ndarray, DecisionTree]:
    """Return the votes of one galaxy, and their tree, of the first campaign that has votes of it.

    Args:
        votes: (answers of all trees,), NaN where unknown.
        trees: of these answers.
    """
    for campaign, tree in trees.items():
        part = trees.part(votes, campaign)
        if not np.isnan(part).all():
            return part, tree
    return trees.part(votes), trees.first


def written_captions(table: pa.Table, votes: np.ndarray, trees: Trees | None = None) -> list[list[str]]:
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
    trees = trees or Trees()
    return [captions_of(name, *shown_votes(answers, trees)) for name, answers in zip(names, votes, strict=True)]


def reference_captions(table: pa.Table, votes: np.ndarray | None, trees: Trees | None = None) -> list[list[str]]:
    """Return the reference captions of each row: its ``captions``, else those that follow from its votes.

    A single text becomes a list of one caption, and null an empty list.
    """
    if "captions" not in table.column_names:
        return written_captions(table, votes, trees)
    values = table["captions"].to_pylist()
    return [[value] if isinstance(value, str) else value or [] for value in values]


def with_caption_lists(rows: Dataset) -> Dataset:
    """Return rows whose ``captions`` are lists, also where each row has a single text."""
    if getattr(rows.features.get("captions"), "dtype", "") not in ("string", "large_string"):
        return rows
    captions = reference_captions(rows.select_columns(["captions"]).with_format("arrow")[:], None)
    return rows.remove_columns("captions").add_column("captions", captions, feature=List(Value("string")))
