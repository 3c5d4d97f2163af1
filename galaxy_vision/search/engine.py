"""Rank the rows of a catalogue by a query, with DuckDB over its Parquet files in place: nothing is imported.

DuckDB reads the columns that the query needs, and no others, applies the conditions on the user's own columns, and
hands batches of rows to :mod:`galaxy_vision.search.probability`. The best rows so far are kept, and read in full at the
end, so that memory does not grow with the catalogue.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..runtime.hardware import available_cores
from .catalogue import EMBEDDING, PredictedCatalogue
from .probability import columns_of, merged, query_scores, score_limit
from .query import Query
from .tables import join_table, quoted, texts

ROWS_AT_ONCE = 122_880
"""Rows of a batch: a row group of DuckDB's own files, 0.5 MB for each column."""
MEMORY = "1GB"
ADMITTED = 0.3
"""Probability of each clause from which a sentence admits a row that is ranked by its similarity. Ours."""
_ROW = ("file_index", "file_row_number")
_ORDER = "_order_of_search"  # a name that no table of a user has


class Ranked(NamedTuple):
    """The best rows of a catalogue.

    Attributes:
        rows: their columns in the catalogue but for the embedding, best first; index from 0.
        score: (N,) by which they are ordered.
        probability: (N,) that the whole query holds; 1 without one.
        clauses: (N, clauses) probability of each clause of the query.
        parts: (N,) number of the part of each row.
        searched: number of rows that were compared: those that could be read and meet the condition.
    """

    rows: pd.DataFrame
    score: np.ndarray
    probability: np.ndarray
    clauses: np.ndarray
    parts: np.ndarray
    searched: int


class Engine:
    """A catalogue in a connection of DuckDB that reads its files and the user's tables, and nothing else.

    Args:
        catalogue: that is searched.
        where: condition in SQL on columns of the catalogue and of the tables; None for all rows.
        tables: of the user, joined to the catalogue by the column ``id``.

    Raises:
        ValueError: a table cannot be read or joined, or the condition is not one.
    """

    def __init__(self, catalogue: PredictedCatalogue, where: str | None = None, tables: Sequence[str] = ()):
        duckdb = _import_duckdb()
        self.catalogue, self.error = catalogue, duckdb.Error
        self.connection = duckdb.connect()
        limits = {"memory_limit": MEMORY, "threads": available_cores(), "preserve_insertion_order": False}
        for name, value in limits.items():
            self.connection.execute(f"SET {name} = {value!r}")
        columns = ", ".join(quoted(name) for name in (*_ROW, *catalogue.schema.names))
        source = f"read_parquet({texts(catalogue.files)})"
        self.connection.execute(f"CREATE VIEW predicted AS SELECT {columns} FROM {source}")
        joins = (join_table(self.connection, number, table, catalogue) for number, table in enumerate(tables))
        self.joins = " ".join(joins)
        left_out = ", ".join(f"id_table_{number}" for number in range(len(tables)))
        self.left_out = f" EXCLUDE ({left_out})" if tables else ""
        self.connection.execute(f"CREATE VIEW catalogue AS SELECT *{self.left_out} FROM predicted {self.joins}")
        self._lock([*map(str, catalogue.files), *tables])
        self.relation = self.connection.view("catalogue")
        if "status" in catalogue.schema.names:
            self.relation = self.relation.filter("status = 'ok'")
        if where:
            self.relation = self._filtered(where)

    def _lock(self, files: list[str]) -> None:
        """Forbid what a condition could do besides comparing: other files, extensions, variables, settings."""
        self.connection.execute(f"SET allowed_paths = {texts(files)}")
        for name in ("enable_external_access", "python_enable_replacements", "autoload_known_extensions"):
            self.connection.execute(f"SET {name} = false")
        self.connection.execute("SET lock_configuration = true")

    def _filtered(self, where: str):
        try:
            relation = self.relation.filter(where)
            relation.limit(1).fetchall()
            return relation
        except (self.error, RuntimeError) as error:
            reason = " ".join(str(error).split("\n")[0].split())
            raise ValueError(
                f'where="{where}" is not a condition on this catalogue ({reason}); write SQL such as "z < 0.1", and '
                "give tables of yours by --with"
            ) from error

    def rank(
        self,
        query: Query | None,
        campaign: str | None = None,
        limit: int = 20,
        similarity: np.ndarray | None = None,
        starts: np.ndarray | None = None,
    ) -> Ranked:
        """Return the rows for which a query is most probable, or those it admits that are most similar to an example.

        Args:
            query: see :func:`~galaxy_vision.search.sentence.read_sentence`; None for all rows.
            campaign: whose votes count; None for the first.
            limit: number of rows.
            similarity: (rows of all parts,) to the example; None without one.
            starts: row of ``similarity`` at which each part begins.
        """
        sources = self.catalogue.sources(campaign)
        query = merged(query, sources) if query else None
        names = sorted(columns_of(query, sources)) if query else []
        best, searched = _Best(limit, len(query.clauses) if query else 0), 0
        projected = self.relation.select(*map(quoted, (*_ROW, *names)))
        for batch in projected.to_arrow_reader(ROWS_AT_ONCE):
            columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}
            file, row = (columns.pop(name) for name in _ROW)
            searched += len(row)
            score = similarity[starts[file] + row] if similarity is not None else score_limit(query, sources, columns)
            kept = np.flatnonzero(score >= best.least)  # others are worse than all that were found, however certain
            columns = {name: values[kept] for name, values in columns.items()}
            score, rows = score[kept], np.stack([file[kept], row[kept]], axis=-1).astype(np.int64)
            clauses, probability = np.empty((len(kept), 0)), np.ones(len(kept))
            if query:
                scores = query_scores(query, sources, columns)
                clauses, probability = scores.clauses, scores.probability
                admitted = np.where((clauses >= ADMITTED).all(axis=-1), score, np.nan)
                score = scores.score if similarity is None else admitted
            best.add(score, rows, clauses, probability)
        found = self.read(best.rows)
        return Ranked(found, best.score, best.probability, best.clauses, best.rows[:, 0], searched)

    def row_of(self, galaxy_id: str) -> tuple[int, int] | None:
        """Return the part and row number of the first row with an id; None where there is none."""
        if "id" not in self.catalogue.schema.names:
            return None
        found = self.connection.execute(
            f"SELECT {', '.join(_ROW)} FROM predicted WHERE CAST(id AS VARCHAR) = ? ORDER BY ALL LIMIT 1", [galaxy_id]
        ).fetchall()
        return found[0] if found else None

    def read(self, rows: np.ndarray) -> pd.DataFrame:
        """Return all columns but the embedding of rows (N, 2), as part and row number, in their order.

        Only the row groups in which they lie are read.
        """
        columns = [name for name in self.catalogue.schema.names if name != EMBEDDING]
        found, order = [self.catalogue.schema.empty_table().select(columns)], []
        for file in np.unique(rows[:, 0]):
            of_file = np.flatnonzero(rows[:, 0] == file)
            with pq.ParquetFile(self.catalogue.files[file]) as opened:
                sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
                starts = np.cumsum([0, *sizes])
                groups = np.searchsorted(starts, rows[of_file, 1], side="right") - 1
                for group in np.unique(groups):
                    of_group = of_file[groups == group]
                    found.append(opened.read_row_group(group, columns).take(rows[of_group, 1] - starts[group]))
                    order += of_group.tolist()
        table = pa.concat_tables(found).replace_schema_metadata().take(np.argsort(order))
        return self._with_tables(table) if self.joins else table.to_pandas()

    def _with_tables(self, table: pa.Table) -> pd.DataFrame:
        """Return rows of the catalogue with the columns of the user's tables."""
        self.connection.register("found", table.append_column(_ORDER, pa.array(range(len(table)))))
        joined = self.connection.execute(
            f"SELECT *{self.left_out} FROM found AS predicted {self.joins} ORDER BY {_ORDER}"
        )
        return joined.df().drop(columns=_ORDER)


class _Best:
    """The best rows so far, with their scores, probabilities and clauses."""

    def __init__(self, limit: int, clauses: int):
        self.limit, self.score, self.probability = limit, np.empty(0), np.empty(0)
        self.rows, self.clauses = np.empty((0, 2), np.int64), np.empty((0, clauses))

    @property
    def least(self) -> float:
        """Score that a row needs to be among the best."""
        return self.score[-1] if len(self.score) == self.limit else -np.inf

    def add(self, score: np.ndarray, rows: np.ndarray, clauses: np.ndarray, probability: np.ndarray) -> None:
        kept = np.flatnonzero(~np.isnan(score))
        kept = kept[score[kept] >= self.least]
        if len(kept) > 2 * self.limit:  # a rough cut, which keeps all rows that are equal to the last one
            least = np.partition(score[kept], -self.limit)[-self.limit]
            kept = kept[score[kept] >= least]
        joined = [
            (self.score, score),
            (self.rows, rows),
            (self.clauses, clauses),
            (self.probability, probability),
        ]
        score, rows, clauses, probability = (np.concatenate([old, new[kept]]) for old, new in joined)
        order = np.lexsort((rows[:, 1], rows[:, 0], -score))[: self.limit]  # ties in the order of the catalogue
        self.score, self.rows, self.clauses, self.probability = (
            values[order] for values in (score, rows, clauses, probability)
        )


def _import_duckdb():
    try:
        import duckdb
    except ImportError as error:
        raise ValueError("a search needs duckdb; pip install 'galaxy_vision[search]'") from error
    return duckdb
