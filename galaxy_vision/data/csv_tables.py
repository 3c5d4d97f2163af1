"""CSV tables -> checked chunks; an error names the file, the line and the column."""

import codecs
import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

ROWS_PER_CHUNK = 2000
MAX_LINE = 16 * 2**20
"""Longest line in bytes: a guard against files that are not tables and would be held as a whole."""
BLOCK_BYTES = 4 * 2**20
"""Bytes that are parsed at once; a row must lie within two of them."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between cells: the one that occurs most often in the header does."""

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "\\N")
"""Cells of a column of numbers that hold none. In a column of text they are text: `NA` may be the name of a class."""


class _Lines(io.RawIOBase):
    """The bytes of a file as long as they are UTF-8 and its lines not too long."""

    def __init__(self, file, path: str):
        self.file, self.path, self.length = file, path, 0
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self.file.read(len(buffer))
        self.decoder.decode(data, final=not data)  # Arrow would print a traceback of a broken row of unequal length
        end = data.rfind(b"\n")
        self.length = self.length + len(data) if end < 0 else len(data) - end - 1
        if self.length > MAX_LINE:
            raise ValueError(f"{self.path} has a line of more than {MAX_LINE >> 20} MiB; give a CSV table")
        buffer[: len(data)] = data
        return len(data)


class _Table(NamedTuple):
    """An opened table: names of its columns, their separator, the rest of its lines, and the line of the first row."""

    names: list[str]
    separator: str
    lines: io.BufferedReader
    first_line: int


@contextmanager
def _opened(path: str) -> Iterator[_Table]:
    """The unpacked file behind its header; errors of reading say which file it was."""
    try:
        with (
            fsspec.open(path, "rb", compression="infer") as file,
            io.BufferedReader(_Lines(file, path), 1 << 20) as lines,
        ):
            number = 1
            while (line := lines.readline()) and not line.strip(b"\xef\xbb\xbf \r\n"):
                number += 1
            if not line:
                raise ValueError(f"{path} is empty; download it again")
            header = line.decode("utf-8-sig").rstrip("\r\n")
            unquoted = "".join(header.split('"')[::2])
            separator = max(SEPARATORS, key=unquoted.count)  # the first, a comma, if there is none
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
            yield _Table(names, separator, lines, number + 1)
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); download it again") from error
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {' '.join(str(error).split())[:200]}") from error


def _require(table: _Table, path: str, needed: Sequence[str], give: str) -> None:
    """Raise ValueError where a column is missing or stands there twice."""
    if missing := [column for column in needed if column not in table.names]:
        found = ", ".join(table.names[:8]) + (f" and {len(table.names) - 8} more" if len(table.names) > 8 else "")
        raise ValueError(
            f"{path} has no column {', '.join(missing[:5])}; its columns, read as separated by "
            f"{SEPARATORS[table.separator]}, are {found}; give {give}"
        )
    if twice := [column for column in needed if table.names.count(column) > 1]:
        raise ValueError(f"{path} has two columns {twice[0]}; rename the one that is not meant")


def read_header(path: str, needed: Sequence[str], give: str) -> list[str]:
    """The column names of a table that must have some.

    Args:
        path: CSV, also compressed; separated by commas, semicolons, tabs or bars.
        needed: columns that must be there.
        give: what to give instead of a table that lacks one, for the error.

    Raises:
        ValueError: a column is missing or there twice, or the file is empty, damaged or no CSV table.
    """
    with _opened(path) as table:
        _require(table, path, needed, give)
        return table.names


def _batches(table: _Table, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of these columns as they stand in the file: text, in order.

    Raises:
        ValueError: a row has more or fewer cells than the header, so that nobody knows which cell is of which column;
            or a quotation mark is not closed, so that the rows behind it are in one cell.
    """
    unequal = []

    def note(row) -> str:
        unequal.append(row)
        return "error"

    names = [name if table.names.index(name) == place else f"{name}/{place}" for place, name in enumerate(table.names)]
    read, last = list(dict.fromkeys([*columns, names[-1]])), ""
    try:
        opened = arrow_csv.open_csv(
            table.lines,
            # One thread: only then does an error say its row.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names),
            parse_options=arrow_csv.ParseOptions(
                delimiter=table.separator, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=read, strings_can_be_null=False
            ),
        )
        for batch in opened:
            if len(batch):
                last = batch.column(names[-1])[-1].as_py()
            for start in range(0, len(batch), ROWS_PER_CHUNK):
                yield batch.slice(start, ROWS_PER_CHUNK).select(columns)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):  # behind its header
            return
        if not unequal:
            raise
        row = unequal[0]
        raise ValueError(
            f"{path}, line {row.number + table.first_line - 1}: {row.actual_columns} cells where the header has "
            f"{row.expected_columns}, separated by {SEPARATORS[table.separator]}; mend or remove the row (decimal "
            "commas "
            "must be points)"
        ) from error
    if "\n" in last:
        raise ValueError(
            f"{path}: the last row has several lines in column {names[-1]}; close the quotation mark that begins it"
        )


def read_chunks(path: str, ids: Sequence[str], texts: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The rows of a table in their order, :data:`ROWS_PER_CHUNK` at once.

    Args:
        path: as in :func:`read_header`.
        ids: columns of integers that are read as text, since they have up to 18 digits and as floats have lost the last
            ones.
        texts: columns of text.
        numbers: columns of numbers; a cell of :data:`MISSING` is NaN.

    Raises:
        ValueError: a cell of ``ids`` is no integer, one of ``numbers`` no finite number, a row has not as many cells as
            the header, or the file is damaged or no CSV table.
    """
    columns = [*ids, *texts, *numbers]
    with _opened(path) as table:
        _require(table, path, columns, "a table that has them")
        line = table.first_line
        for batch in _batches(table, path, columns):
            chunk = {}
            for column in ids:
                cells = chunk[column] = batch.column(column).to_pylist()
                for place, cell in enumerate(cells):
                    if not (cell.isascii() and cell.isdigit()):
                        expected = "an integer; export the table with ids as text or 64-bit integers"
                        raise ValueError(f"{path}, line {line + place}, column {column}: {cell!r} is not {expected}")
            chunk |= {column: batch.column(column).to_pylist() for column in texts}
            chunk |= {column: _numbers(batch.column(column), path, column, line) for column in numbers}
            yield pd.DataFrame(chunk)
            line += len(batch)


def _numbers(cells: pa.Array, path: str, column: str, line: int):
    """(N,) float64 of a column of text, NaN where a cell holds no number; ``line`` is that of the first."""
    cells = pc.utf8_trim_whitespace(cells)
    known = pc.if_else(pc.is_in(cells, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), cells)
    try:
        values = pc.cast(known, pa.float64())
        if pc.all(pc.is_finite(values)).as_py() is not False:
            return values.to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        pass
    for place, cell in enumerate(known):
        try:
            if not cell.is_valid or pc.is_finite(pc.cast(cell, pa.float64())).as_py():
                continue
        except pa.ArrowInvalid:
            pass
        remedy = "write a decimal point" if "," in cell.as_py() else "mend or remove the row"
        raise ValueError(f"{path}, line {line + place}, column {column}: {cell.as_py()!r} is not a number; {remedy}")


def read_text(path: str, needed: Sequence[str], give: str) -> pa.Table:
    """A whole table as text: `00005` keeps its zeros, 18 digits stay, and `NA` is a word.

    Args:
        path, needed, give: as in :func:`read_header`.

    Raises:
        ValueError: as :func:`read_header` and :func:`read_chunks`.
    """
    with _opened(path) as table:
        _require(table, path, needed, give)
        columns = list(dict.fromkeys(table.names))
        schema = pa.schema({name: pa.string() for name in columns})
        return pa.Table.from_batches(list(_batches(table, path, columns)), schema)
