"""FITS tables, VOTables and ECSV to Arrow batches, with what their columns mean.

A FITS table is read a piece at a time; astropy reads VOTables and ECSV as a whole.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from astropy.io import fits
from astropy.table import Table

from .astropy_tables import from_astropy

FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".fits.gz": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".vot.gz": "votable",
    ".ecsv": "ascii.ecsv",
}
"""Ends of the names of files, and the formats of astropy that read them."""


def read_batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table in batches of ``rows``, the last of which may be shorter; text is without padding.

    Raises:
        ValueError: it is not such a table, or is damaged.
    """
    kind = next(kind for ending, kind in FORMATS.items() if path.name.lower().endswith(ending))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units and names that are not of the standards
            if kind == "fits":
                yield from _fits_batches(path, rows)
                return
            batch = from_astropy(Table.read(path, format=kind))
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"catalogue={path} cannot be read as a table ({reason}); give a {kind} table") from error
    schema = batch.schema
    for start in range(0, batch.num_rows, rows):
        yield pa.RecordBatch.from_arrays([array.slice(start, rows) for array in batch.columns], schema=schema)


def _fits_batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    with fits.open(path, memmap=not path.name.lower().endswith(".gz")) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if table is None:
            raise ValueError("it has no table; an image is described by galaxy-vision describe")
        whole = len(table.data)
        schema = None
        for start in range(0, whole, rows):
            piece = type(table)(table.data[start : start + rows], header=table.header)
            batch = from_astropy(Table.read(piece))
            schema = schema or batch.schema
            arrays = [array.cast(field.type) for array, field in zip(batch.columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
