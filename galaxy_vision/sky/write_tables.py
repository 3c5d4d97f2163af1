"""Write tables of any length as VOTable, FITS, CSV or ECSV, a batch at a time, whole or not at all.

What a row looks like is left to astropy and pyarrow: of the bytes that they write for a batch, the rows are taken.
"""

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Field
from astropy.table import Column, MaskedColumn, Table

from ..runtime.files import written_whole
from .about import ASTROPY_HEADER, HEADERS, votable_header, yaml_header
from .astropy_tables import as_astropy, plain, plain_field

FITS_BLOCK = 2880
"""Bytes of which a FITS file has whole blocks (standard 4.0, section 3.1)."""

_STREAM = re.compile(rb"(<STREAM[^>]*>)(.*?)(</STREAM>)", re.DOTALL)
_NROWS = re.compile(rb'( nrows=")\d+(")')


class Lengths(NamedTuple):
    """What must be known of a whole table before its first row is written.

    Attributes:
        rows: their number.
        text: column -> most bytes of its text in UTF-8; 1 at least.
        absent: columns of whole numbers in which some are absent.
    """

    rows: int
    text: dict[str, int]
    absent: frozenset[str]


def one_row(schema: pa.Schema) -> Table:
    """Return a table of one row of nothing, from which headers are made."""
    fields = [plain_field(field) for field in schema]
    return as_astropy(pa.record_batch([pa.nulls(1, field.type) for field in fields], schema=pa.schema(fields)))


class ParquetTable:
    """A Parquet file whose metadata say what its columns mean, to Arrow, astropy and the virtual observatory.

    Args:
        file: path or opened file.
        schema: whose fields say what they mean.
    """

    def __init__(self, file, schema: pa.Schema):
        kept = {key: value for key, value in (schema.metadata or {}).items() if key not in HEADERS}
        self.one, self.lengths = one_row(schema), {}
        header = {ASTROPY_HEADER: "\n".join(yaml_header(self.one)).encode()}
        self.writer = pq.ParquetWriter(file, schema.with_metadata(kept | header))

    def write(self, table: pa.Table) -> None:
        """Write a row group."""
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_string(column.type):
                longest = pc.max(pc.utf8_length(column)).as_py() or 1
                self.lengths[name] = max(self.lengths.get(name, 1), longest)
        self.writer.write_table(table)

    def close(self) -> None:
        """Write the header of the virtual observatory, for which the lengths of text must be known, and the end."""
        self.writer.add_key_value_metadata(votable_header(self.one, self.lengths))
        self.writer.close()


def lengths_of(batches: Iterable[pa.RecordBatch]) -> Lengths:
    """Read a table once and return its lengths."""
    rows, text, absent = 0, {}, set()
    for batch in map(plain, batches):
        rows += batch.num_rows
        for field, array in zip(batch.schema, batch.columns, strict=True):
            if pa.types.is_string(field.type):
                longest = pc.max(pc.binary_length(array)).as_py() or 1
                text[field.name] = max(text.get(field.name, 1), longest)
            elif pa.types.is_integer(field.type) and array.null_count:
                absent.add(field.name)
    return Lengths(rows, text, frozenset(absent))


def write_table(path: Path, schema: pa.Schema, batches: Callable[[], Iterator[pa.RecordBatch]]) -> None:
    """Write a table; the ending of the path says in which format.

    Args:
        path: ends with one of :data:`WRITERS`.
        schema: of the batches, whose fields say what they mean.
        batches: returns those of the whole table, and may be called twice.

    Raises:
        ValueError: the format is not known, or cannot hold the table.
    """
    check_format(path)
    with written_whole(path) as partial, open(partial, "wb") as file:
        WRITERS[path.suffix.lower()](file, schema, batches)


def check_format(path: Path) -> None:
    """Check that a file of this name can be written; raise ValueError otherwise."""
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"{path} does not end with one of {', '.join(WRITERS)}; name the file by its format")


def _write_parquet(file: BinaryIO, schema: pa.Schema, batches: Callable) -> None:
    table = ParquetTable(file, schema)
    for batch in batches():
        table.write(pa.Table.from_batches([batch]))
    table.close()


def _write_csv(file: BinaryIO, schema: pa.Schema, batches: Callable) -> None:
    names = pa.array([field.name for field in schema])
    line = pa.record_batch([names.slice(index, 1) for index in range(len(names))], names=names.to_pylist())
    _append_lines(file, line)
    for batch in batches():
        _append_lines(file, plain(batch))


def _write_ecsv(file: BinaryIO, schema: pa.Schema, batches: Callable) -> None:
    lines = ["%ECSV 1.0", "---", "delimiter: ','", *yaml_header(one_row(schema))]
    file.write("".join(f"# {line}\n" for line in lines).encode())
    _write_csv(file, schema, batches)


def _append_lines(file: BinaryIO, batch: pa.RecordBatch) -> None:
    """Append lines of comma-separated values: text in quotation marks, what is absent empty."""
    arrays = []
    for array in batch.columns:
        if pa.types.is_boolean(array.type):
            array = pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
        elif pa.types.is_fixed_size_list(array.type):
            rows = [None if row is None else str(row).replace("nan", "NaN") for row in array.to_pylist()]
            array = pa.array(rows, pa.string())
        arrays.append(array)
    options = pa_csv.WriteOptions(include_header=False)
    pa_csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=batch.schema.names), file, options)


def _write_votable(file: BinaryIO, schema: pa.Schema, batches: Callable) -> None:
    """Write BINARY2, whose base64 goes over the whole table, and so through a remainder of up to two bytes."""
    lengths = lengths_of(batches())
    start, end, _ = _votable_of(one_row(schema))
    file.write(_NROWS.sub(rb"\g<1>%d\g<2>" % lengths.rows, start))
    rest = b""
    for batch in batches():
        data = rest + base64.b64decode(_votable_of(as_astropy(plain(batch)))[2])
        whole = len(data) - len(data) % 3
        file.write(b"\n" + base64.b64encode(data[:whole]))
        rest = data[whole:]
    file.write(b"\n" + base64.b64encode(rest) + b"\n" + end)


def _votable_of(table: Table) -> tuple[bytes, bytes, bytes]:
    """Return what is before the rows, what is behind them, and the rows in base64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units of the user that VOTables do not know are kept as they are
        votable, buffer = from_table(table), io.BytesIO()
        written = votable.get_first_table()
        written.format = "binary2"
        for index, field in enumerate(written.fields):
            if field.datatype == "bit":  # as which astropy writes truth, and which STIL cannot read in BINARY2
                known = {"ID": field.ID, "ucd": field.ucd, "unit": field.unit}
                written.fields[index] = Field(votable, name=field.name, datatype="boolean", **known)
                written.fields[index].description = field.description
        votable.to_xml(buffer)
    document = buffer.getvalue()
    match = _STREAM.search(document)
    return document[: match.end(1)], document[match.start(3) :], match[2]


def _write_fits(file: BinaryIO, schema: pa.Schema, batches: Callable) -> None:
    """Write a primary HDU without data and the table; text is UTF-8 in columns as wide as the longest.

    astropy writes descriptions and UCDs into comments of the header. Others find them in ``TCOMMn`` and ``TUCDn``.
    """
    lengths = lengths_of(batches())
    one = one_row(schema)
    header, _ = _fits_of(one, lengths)
    header["NAXIS2"] = lengths.rows
    for number, name in enumerate(one.colnames, 1):
        for key, text in (("TCOMM", one[name].description), ("TUCD", one[name].meta.get("ucd"))):
            if text:
                header[f"{key}{number}"] = text.encode("ascii", "replace").decode()
    file.write(fits.PrimaryHDU().header.tostring().encode() + header.tostring().encode())
    for batch in batches():
        file.write(_fits_of(as_astropy(plain(batch)), lengths)[1])
    file.write(b"\0" * (-header["NAXIS1"] * lengths.rows % FITS_BLOCK))


def _fits_of(table: Table, lengths: Lengths) -> tuple[fits.Header, memoryview]:
    """Return the header of a table, and its rows."""
    whole = Table()
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "O":
            encoded = np.array([value.encode() for value in column], f"S{lengths.text.get(name, 1)}")
            column = Column(encoded, name=name, unit=column.unit, description=column.description, meta=column.meta)
        elif name in lengths.absent:
            limits = np.iinfo(column.dtype)
            column = MaskedColumn(column, fill_value=limits.min or limits.max)
        whole.add_column(column)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units of the user that FITS does not know are kept as they are
        whole.write(buffer, format="fits")
        with fits.open(io.BytesIO(buffer.getvalue())) as hdus:
            header, start = hdus[1].header.copy(), hdus[1].fileinfo()["datLoc"]
    return header, buffer.getbuffer()[start : start + header["NAXIS1"] * len(whole)]


WRITERS = {
    ".parquet": _write_parquet,
    ".fits": _write_fits,
    ".vot": _write_votable,
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
}
"""Endings of files, and what writes their formats."""
FORMATS = {"parquet": ".parquet", "fits": ".fits", "votable": ".vot", "csv": ".csv", "ecsv": ".ecsv"}
"""Names of the formats, and the endings of their files."""
