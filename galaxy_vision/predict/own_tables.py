"""A table of the user (CSV, FITS, VOTable, ECSV) as entries of an index, beside which its columns stand."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ..images.limits import image_id
from ..sky.read_tables import read_batches
from .csv_files import csv_batches, header_of
from .entry import Entry
from .rows import Columns, as_text, check_types, choose_columns


def scan_table(path: Path, kind: str, columns: Columns, rows: int) -> Iterator[tuple[list[Entry], pa.RecordBatch]]:
    """Yield the entries and the columns of the rows of a table, ``rows`` at once.

    Args:
        path: of the table.
        kind: ``"csv"`` or ``"table"``.
        columns: of ids and images.
        rows: of a part.

    Raises:
        ValueError: it has no such columns, is not such a table, or would lose rows.
    """
    where, number = f"catalogue={path}", 0
    if kind == "csv":
        id_column, image_column = choose_columns(header_of(path), columns, where)
        texts = [name for name in (id_column, image_column) if name]
        batches = csv_batches(path, rows, texts, image_column)
    else:
        batches, id_column, image_column = read_batches(path, rows), None, None
    for batch in batches:
        if kind == "table" and not number:
            id_column, image_column = choose_columns(batch.schema.names, columns, where)
            check_types(batch.schema, id_column, image_column, where)
        entries = []
        ids = batch.column(id_column).to_pylist() if id_column else [None] * batch.num_rows
        images = batch.column(image_column).to_pylist() if image_column else [None] * batch.num_rows
        for galaxy_id, image in zip(ids, images, strict=True):
            image = as_text(image).strip() if image is not None else ""
            source = f"{path.name}:{number}"
            name = "" if galaxy_id is None else as_text(galaxy_id).strip()
            absent = "" if image else "the catalogue names no file"
            entries.append(Entry(name or image_id(image) or source, source, image, absent=absent))
            number += 1
        yield entries, batch
