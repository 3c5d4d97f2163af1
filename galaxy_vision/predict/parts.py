"""Write the numbered parts of an output as Parquet files, each of which exists completely or not at all."""

import json
import os
import uuid
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..runtime.files import write_json
from ..sky.write_tables import ParquetTable

MANIFEST = "_SUCCESS.json"
"""File beside the parts; readers of a folder of Parquet files skip names that start with an underscore."""

METADATA_KEY = b"galaxy_vision"
"""Key of the JSON in the metadata of a part that describes the run."""


class PartWriter:
    """Write one part at a time, under a hidden name until it is complete and on disk.

    Args:
        output_dir: folder of the parts.
        schema: schema of the output, whose fields say what they mean.
        metadata: JSON content of the metadata of every part, with the ``identity`` of the run.
        rows_per_group: rows from which a row group is written.
    """

    def __init__(self, output_dir: Path, schema: pa.Schema, metadata: dict, rows_per_group: int):
        self.output_dir, self.metadata, self.rows_per_group = output_dir, metadata, rows_per_group
        self.schema, self.parts = schema, metadata["identity"]["parts"]
        self.writer, self.tables, self.rows = None, [], 0
        self.token = uuid.uuid4().hex[:8]  # a process whose launcher was killed may still be writing the same part

    def add(self, part: int, table: pa.Table) -> None:
        """Add rows to the part."""
        self._open(part)
        self.tables.append(table)
        self.rows += len(table)
        if self.rows >= self.rows_per_group:
            self._flush()

    def finish(self, part: int) -> None:
        """Complete the part under its name."""
        self._open(part)
        self._flush()
        self.writer.close()
        with open(self._hidden(part), "rb") as file:
            os.fsync(
                file.fileno()
            )  # before renaming, so that no power failure leaves an incomplete part under the name
        self._hidden(part).rename(self.output_dir / part_name(part, self.parts))
        self.writer = None

    def _hidden(self, part: int) -> Path:
        return self.output_dir / f"_{part_name(part, self.parts)}.{self.token}.tmp"

    def _open(self, part: int) -> None:
        if self.writer is None:
            metadata = {METADATA_KEY: json.dumps(self.metadata | {"part": part})}
            self.writer = ParquetTable(self._hidden(part), self.schema.with_metadata(metadata))

    def _flush(self) -> None:
        if self.tables:
            self.writer.write(pa.concat_tables(self.tables))
            self.tables, self.rows = [], 0


def part_name(part: int, parts: int) -> str:
    """Return the file name of a part, counted from 0."""
    return f"part-{part:05d}-of-{parts:05d}.parquet"


def _metadata(path: Path) -> dict:
    """Return the JSON in the metadata of a part; raise ValueError if the file is damaged."""
    try:
        return json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, "{}"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and run again to replace it") from error


def recorded_identity(output_dir: Path) -> dict:
    """Return the identity of the existing parts; empty if there are none."""
    first = min(output_dir.glob("part-*.parquet"), default=None)
    return _metadata(first).get("identity", {}) if first else {}


def missing_parts(output_dir: Path, identity: dict) -> list[int]:
    """Return the numbers of the parts that do not exist yet.

    Raises:
        ValueError: a part was made with another model, catalogue or option, or is damaged.
    """
    complete = set()
    for path in sorted(output_dir.glob("part-*.parquet")):
        metadata = _metadata(path)
        recorded = metadata.get("identity", {})
        changed = [
            f"{key} {recorded.get(key)!r}, now {value!r}"
            for key, value in identity.items()
            if recorded.get(key) != value
        ]
        if changed:
            raise ValueError(f"{path} is of another run ({'; '.join(changed)}); give another output_dir, or remove it")
        complete.add(metadata["part"])
    return [part for part in range(identity["parts"]) if part not in complete]


def count_rows(output_dir: Path, part_rows: list[int | None]) -> dict[str, int]:
    """Return the number of rows of each status over all parts, which must exist.

    Args:
        output_dir: folder of the parts.
        part_rows: number of rows of each part in the catalogue; None where it is unknown.

    Raises:
        ValueError: a part does not have as many rows as in the catalogue.
    """
    counts = Counter()
    for part, expected in enumerate(part_rows):
        path = output_dir / part_name(part, len(part_rows))
        table = pq.read_table(path, columns=["status"])
        if expected not in (None, len(table)):
            raise ValueError(
                f"{path} has {len(table)} rows, and its part of the catalogue {expected}; remove it, and start again"
            )
        counts.update({row["values"]: row["counts"] for row in table["status"].value_counts().to_pylist()})
    return dict(sorted(counts.items()))


def first_error(output_dir: Path) -> str:
    """Return source, status and error of the first row with an error."""
    for path in sorted(output_dir.glob("part-*.parquet")):
        for row in pq.read_table(path, columns=["source", "status", "error"]).to_pylist():
            if row["error"]:
                return f"{row['source']} is {row['status']}: {row['error']}"
    return "the catalogue has no rows"


def write_manifest(output_dir: Path, metadata: dict, counts: dict[str, int]) -> None:
    """Write :data:`MANIFEST`, which marks a complete run, and remove unfinished files of killed runs."""
    for path in output_dir.glob("_part-*.tmp"):
        path.unlink(missing_ok=True)
    write_json(output_dir / MANIFEST, metadata | {"rows": sum(counts.values()), "rows_by_status": counts})
