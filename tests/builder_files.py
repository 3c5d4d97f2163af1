"""Small tables and images in the layouts that the builders read, and the rows of what they write."""

import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galaxy_vision.models.decision_tree import (
    KAGGLE_COLUMNS,
)


def all_rows(data):
    return {row["id"]: row for rows in data.values() for row in rows.with_format("numpy")}


def without(files: dict, key: str, change) -> dict:
    """The same files with a changed table."""
    table = pd.read_csv(files[key], dtype={"dr7objid": str, "objid": str, "asset_id": str, "GalaxyID": str})
    path = files[key].with_name(f"changed_{files[key].name}")
    change(table).to_csv(path, index=False)
    return files | {key: path}


PARTIAL = [f"Class{number}" for number in (1, 2, 6, 7, 8)]
"""Questions of a partial table of the challenge."""


def partial_tables(files: dict, whole: slice, part: slice) -> list[str]:
    """Paths of a table of all columns of some galaxies, and of one of the columns of :data:`PARTIAL` of others."""
    table = pd.read_csv(files["labels"], dtype={"GalaxyID": str})
    columns = [column for column in KAGGLE_COLUMNS if column.split(".")[0] in PARTIAL]
    folder = files["labels"].parent
    table[whole].to_csv(folder / "whole.csv", index=False)
    table[part][["GalaxyID", *columns]].to_csv(folder / "part.csv", index=False)
    return [str(folder / "whole.csv"), str(folder / "part.csv")]


def counts(tree, seed: int, rows: int, number: int = 40) -> np.ndarray:
    """(rows, answers) votes of ``number`` volunteers who walk down a tree."""
    rng, votes = np.random.default_rng(seed), np.zeros((rows, len(tree.answers)), dtype=int)
    asked: set[str] = set()
    while len(asked) < len(tree.questions):
        for question in tree.questions:
            if question.name in asked or not {parent for parent, _ in question.parents} <= asked:
                continue
            asked.add(question.name)
            answers = tree.slices[question.name]
            for row in range(rows):
                size = (
                    sum(votes[row, tree.index(*parent)] for parent in question.parents) if question.parents else number
                )
                votes[row, answers] = rng.multinomial(size, rng.dirichlet(np.ones(len(question.answers))))
    return votes


def stored(data) -> pd.DataFrame:
    """All rows of a data set by their id, without images."""
    parts = [rows.remove_columns("image").to_pandas().assign(split=split) for split, rows in data.items()]
    return pd.concat(parts).set_index("id")


def save(table: pd.DataFrame, path):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    return path


def save_images(path, stems, galaxies):
    with zipfile.ZipFile(path, "w") as archive:
        for stem, (data, _, _) in zip(stems, galaxies, strict=False):
            archive.writestr(f"images/{stem}.png", data)
    return path


def desi_ids(rows: int) -> list[str]:
    return [f"{340000 + index}_{17 * index}" for index in range(rows)]
