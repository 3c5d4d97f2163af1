"""Numbered parts of an output as Parquet files, each there completely or not at all."""

import json
import os
import uuid
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..runtime.files import write_json

MANIFEST = "_SUCCESS.json"
"""Beside the parts; readers of a folder of Parquet leave out names that start with an underscore."""

METADATA_KEY = b"galaxy_vision"


class PartWriter:
    """One part at a time: under a hidden name until it is complete and on disk."""

    def __init__(self, output_dir: Path, schema: pa.Schema, described: dict, rows_per_group: int):
        self.output_dir, self.described, self.rows_per_group = output_dir, described, rows_per_group
        self.schema, self.parts = schema, described["identity"]["parts"]
        self.writer, self.tables, self.rows = None, [], 0
        self.mine = uuid.uuid4().hex[:8]  # a process that outlived its killed launcher may be writing the same part

    def add(self, part: int, table: pa.Table) -> None:
        self._open(part)
        self.tables.append(table)
        self.rows += len(table)
        if self.rows >= self.rows_per_group:
            self._flush()

    def finish(self, part: int) -> None:
        self._open(part)
        self._flush()
        self.writer.close()
        with open(self._hidden(part), "rb") as file:
            os.fsync(file.fileno())  # before the name, so that a power cut leaves no half part under it
        self._hidden(part).rename(self.output_dir / part_name(part, self.parts))
        self.writer = None

    def _hidden(self, part: int) -> Path:
        return self.output_dir / f"_{part_name(part, self.parts)}.{self.mine}.tmp"

    def _open(self, part: int) -> None:
        if self.writer is None:
            metadata = {METADATA_KEY: json.dumps(self.described | {"part": part})}
            self.writer = pq.ParquetWriter(self._hidden(part), self.schema.with_metadata(metadata))

    def _flush(self) -> None:
        if self.tables:
            self.writer.write_table(pa.concat_tables(self.tables))
            self.tables, self.rows = [], 0


def part_name(part: int, parts: int) -> str:
    return f"part-{part:05d}-of-{parts:05d}.parquet"


def _made(path: Path) -> dict:
    """What a part says of itself."""
    try:
        return json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, "{}"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and it is made again") from error


def recorded_identity(output_dir: Path) -> dict:
    """That of the parts that are there; empty where there is none."""
    first = min(output_dir.glob("part-*.parquet"), default=None)
    return _made(first).get("identity", {}) if first else {}


def missing_parts(output_dir: Path, identity: dict) -> list[int]:
    """Numbers of the parts that are not there yet.

    Raises:
        ValueError: a part is there that another model, catalogue or option has made, or that is damaged.
    """
    found = set()
    for path in sorted(output_dir.glob("part-*.parquet")):
        made = _made(path)
        theirs = made.get("identity", {})
        changed = [
            f"{key} {theirs.get(key)!r}, now {value!r}" for key, value in identity.items() if theirs.get(key) != value
        ]
        if changed:
            raise ValueError(f"{path} is of another run ({'; '.join(changed)}); give another output_dir, or remove it")
        found.add(made["part"])
    return [part for part in range(identity["parts"]) if part not in found]


def count_rows(output_dir: Path, part_rows: list[int | None]) -> dict[str, int]:
    """Status -> number of rows, over all parts, which must be there.

    Args:
        output_dir: of the parts.
        part_rows: how many rows each part has in the catalogue; None where that is not known.

    Raises:
        ValueError: a part has another number of rows.
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
    """What the first row that has an error says of it."""
    for path in sorted(output_dir.glob("part-*.parquet")):
        for row in pq.read_table(path, columns=["source", "status", "error"]).to_pylist():
            if row["error"]:
                return f"{row['source']} is {row['status']}: {row['error']}"
    return "the catalogue has no row"


def write_manifest(output_dir: Path, described: dict, counts: dict[str, int]) -> None:
    """Write :data:`MANIFEST`: its existence means that the run is complete. What killed runs left is removed."""
    for left in output_dir.glob("_part-*.tmp"):
        left.unlink(missing_ok=True)
    write_json(output_dir / MANIFEST, described | {"rows": sum(counts.values()), "rows_by_status": counts})
