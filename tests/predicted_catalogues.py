"""Catalogues as `galaxy-vision predict` writes them, of galaxies whose votes are known, for tests of searches."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import betaincinv

from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.models.trees import Trees
from galaxy_vision.predict.column_names import vote_columns
from galaxy_vision.predict.parts import METADATA_KEY, part_name

CLASSES = ("elliptical", "lenticular", "spiral", "barred spiral", "edge-on disc", "irregular", "merger")


def votes_for(certainty: float = 40.0, tree: DecisionTree = GALAXY_ZOO_2, **shares: float) -> np.ndarray:
    """Concentrations (answers,) whose means are these shares of concepts (``arms_2=0.9``), others even."""
    mean = np.ones(len(tree.answers))
    for answers in tree.slices.values():
        mean[answers] /= answers.stop - answers.start
    for concept, share in shares.items():
        (index,) = tree.concepts[concept.replace("_", "-")]
        answers = next(part for part in tree.slices.values() if part.start <= index < part.stop)
        others = [other for other in range(answers.start, answers.stop) if other != index]
        mean[others] *= (1 - share) / mean[others].sum()
        mean[index] = share
    return np.maximum(mean, 1e-4) * certainty


def table_of(
    concentration: np.ndarray,
    trees: Trees = Trees(),  # noqa: B008
    certainty: bool = True,
    **more,
) -> pd.DataFrame:
    """The columns of (N, answers of all trees) concentrations, an id for each galaxy, and others."""
    count, columns = len(concentration), {}
    for campaign, names in vote_columns(trees).items():
        tree, own = trees[campaign], trees.part(concentration, campaign)
        total = tree.totals(own)
        mean = own / total
        reach, values = tree.reach(mean), []
        for index in range(len(tree.answers)):
            a, b = own[:, index], total[:, index] - own[:, index]
            values += [mean[:, index], betaincinv(a, b, 0.05), betaincinv(a, b, 0.95)]
        values += [reach[:, answers.start] for answers in tree.slices.values()]
        values += [total[:, answers.start] for answers in tree.slices.values()]
        columns |= {name: value.astype(np.float32) for name, value in zip(names, values, strict=True)}
    if not certainty:
        columns = {name: values for name, values in columns.items() if not name.endswith("_certainty")}
    ids = [f"g{number}" for number in range(count)]
    rows = {"id": ids, "source": [f"{name}.jpg" for name in ids], "status": ["ok"] * count, "class": ["spiral"] * count}
    return pd.DataFrame(rows | columns | more)


def write_parts(
    folder: Path, rows: pd.DataFrame, rows_per_part: int = 4, trees: Trees | None = None, **identity
) -> Path:
    """Write rows as numbered parts with the metadata of one run, without the manifest."""
    folder.mkdir(exist_ok=True)
    starts = range(0, max(len(rows), 1), rows_per_part)
    known = {"parts": len(starts), "rows_per_part": rows_per_part, "campaigns": ["gz2"]} | identity
    classes = [name for name in CLASSES if f"probability_{name.replace(' ', '_')}" in rows]
    metadata = {"identity": known, "class_names": classes, "trees": trees and trees.to_list()}
    metadata["class_columns"] = [f"probability_{name.replace(' ', '_')}" for name in classes]
    for part, start in enumerate(starts):
        table = pa.Table.from_pandas(rows.iloc[start : start + rows_per_part], preserve_index=False)
        schema = table.schema.with_metadata({METADATA_KEY: json.dumps(metadata | {"part": part})})
        pq.write_table(table.cast(schema), folder / part_name(part, len(starts)))
    return folder
