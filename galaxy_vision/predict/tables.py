"""Read Parquet files of images or of their paths in numbered parts of whole row groups."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq

from ..images.listing import files_in
from ..sky.about import abouts_in, with_about
from .rows import Catalogue, Columns, Row, check_types, choose_columns, row_of

ROWS_AT_ONCE = 64
"""Rows of a table that are read together: 1 MB of Galaxy Zoo images."""


def open_parquet(path: Path, rows_per_part: int, columns: Columns) -> Catalogue:
    """Open a Parquet file or a folder of them; a part ends with the row group that reaches ``rows_per_part``."""
    parts, part_rows, digest = [], [], hashlib.blake2b(digest_size=16)
    given, chosen = None, (None, None)
    for file in _files(path, columns.split):
        with _opened(file) as opened:
            chosen = choose_columns(opened.schema_arrow.names, columns, f"catalogue={file}")
            check_types(opened.schema_arrow, *chosen, f"catalogue={file}")
            given = _common(given, _with_abouts(opened))
            sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        digest.update(f"{name} {file.stat().st_size} {chosen}".encode() + _footer(file))
        first, start = 0, 0
        for group in range(len(sizes)):
            count = sum(sizes[first : group + 1])
            if count and (count >= rows_per_part or group == len(sizes) - 1):
                parts.append((file, name, chosen, range(first, group + 1), start))
                part_rows.append(count)
                first, start = group + 1, start + count
    if not parts:
        raise ValueError(
            f"catalogue={path} has no rows" + (f" in files of the split {columns.split}" if columns.split else "")
        )

    def rows(part: int) -> Iterator[Row]:
        file, name, (id_column, image_column), groups, number = parts[part]
        root = Path(columns.image_root or file.parent)
        read = list(dict.fromkeys([*filter(None, (image_column, id_column)), *given.names]))
        with pq.ParquetFile(file, pre_buffer=False) as opened:
            for batch in opened.iter_batches(ROWS_AT_ONCE, row_groups=list(groups), columns=read):
                images = batch.column(image_column).to_pylist() if image_column else [None] * batch.num_rows
                ids = batch.column(id_column).to_pylist() if id_column else [None] * len(images)
                theirs = pa.RecordBatch.from_arrays([batch.column(name) for name in given.names], schema=given)
                for index, (galaxy_id, image) in enumerate(zip(ids, images, strict=True)):
                    yield row_of(galaxy_id, image, f"{name}:{number}", root)._replace(given=theirs.slice(index, 1))
                    number += 1

    return Catalogue(part_rows, rows, digest.hexdigest, given, chosen[0], chosen[1] is not None)


def _with_abouts(opened: pq.ParquetFile) -> pa.Schema:
    """Return the schema of a file: with what its columns mean, without images themselves and names that occur twice."""
    schema, abouts = opened.schema_arrow, abouts_in(opened.metadata.metadata)
    fields = [field for field in schema if schema.names.count(field.name) == 1 and not _holds_bytes(field.type)]
    return pa.schema([with_about(field, abouts[field.name]) if field.name in abouts else field for field in fields])


def _holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type are bytes, or have bytes in them."""
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_bytes(kind.storage_type)
    if pa.types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    types = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(is_type(kind) for is_type in types)


def _common(first: pa.Schema | None, other: pa.Schema) -> pa.Schema:
    """Return the columns that the files of a folder share; those of some files only cannot come back."""
    if first is None:
        return other
    types = dict(zip(other.names, other.types, strict=True))
    return pa.schema([field for field in first if types.get(field.name) == field.type])


def _files(path: Path, split: str | None) -> list[Path]:
    """Return the Parquet files of a folder, or of one of its splits.

    Names that start with an underscore, such as Spark's ``_temporary``, belong to programs that write tables; pyarrow
    and Dask skip them too.
    """
    names = [path.name]
    if path.is_dir():
        names = [name for name, _ in files_in(path) if name.lower().endswith(".parquet")]
        names = [name for name in names if not any(part.startswith("_") for part in PurePath(name).parts)]
    if split:  # train-00000-of-00002.parquet or train/0000.parquet, but not training.parquet
        pattern = re.compile(rf"{re.escape(split)}(?![A-Za-z0-9])")
        names = [name for name in names if any(pattern.match(part) for part in PurePath(name).parts)]
    return [path / name if path.is_dir() else path for name in names]


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"catalogue={file} cannot be read as Parquet: {error}; download or write it again") from error


def _footer(file: Path) -> bytes:
    """Return the footer of a Parquet file: schema, sizes and statistics of every column chunk."""
    with open(file, "rb") as opened:
        opened.seek(-8, os.SEEK_END)
        length = int.from_bytes(opened.read(4), "little")
        opened.seek(-8 - length, os.SEEK_END)
        return opened.read(length)
