"""CSV tables -> checked rows and chunks of them; an error names the file, the line and the column.

Every cell is text until a number is asked for: ``00005`` is not 5, and ``NA`` is not missing.
"""

import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

ROWS_PER_CHUNK = 2000
MAX_LINE = 2**20
"""Longest line in characters: a guard against files that are not tables and would be held as a whole."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between cells: the one that cuts the header into most columns does, the first on a tie."""

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "\\N")
"""Cells of a column of numbers that hold none. In a column of text they are text: `NA` may be the name of a class."""


class _NotATable(Exception):
    """Why a file is not a table, without its name."""


class Table(NamedTuple):
    """An opened table.

    Attributes:
        names: of the columns, as the header has them, without spaces around.
        separator: a key of :data:`SEPARATORS`.
        rows: line (the first of the file is 1) and cells, as many as names, of each row.
    """

    names: list[str]
    separator: str
    rows: Iterator[tuple[int, list[str]]]


@contextmanager
def open_table(path: str) -> Iterator[Table]:
    """Open a table, also compressed, with or without a byte order mark, however its lines end.

    Raises:
        ValueError: also while its rows are read: the file is empty, damaged or not a CSV table in UTF-8; a row has more
            or fewer cells than the header, so that nobody knows which cell is of which column; or a quotation mark is
            not closed, so that the rows after it are in one cell.
    """
    try:
        with fsspec.open(path, "rb", compression="infer") as file:
            lines = _lines(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
            header, number = "", 0
            while not header.strip():
                number += 1
                if (header := next(lines, None)) is None:
                    raise ValueError(f"{path} is empty; download it again")
            cuts = {separator: next(csv.reader([header], delimiter=separator), []) for separator in SEPARATORS}
            separator = max(cuts, key=lambda separator: len(cuts[separator]))
            names = [name.strip() for name in cuts[separator]]
            yield Table(names, separator, _rows(lines, names, separator, number))
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); download it again") from error
    except _NotATable as error:
        raise ValueError(f"{path}, {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {' '.join(str(error).split())[:200]}") from error


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            raise _NotATable(f"a line of more than {MAX_LINE >> 20} MiB; give a CSV table")
        yield line


def _rows(lines: Iterator[str], names: list[str], separator: str, above: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of the rows; ``above`` is the line of the header."""
    # Strict: else a quotation mark that is never closed would take all rows after it into one cell.
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = above + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _NotATable(f"line {line}: {error} (is a quotation mark not closed?); mend the row") from error
        if cells is None:
            return
        if not cells:  # an empty line
            continue
        if len(cells) != len(names):
            raise _NotATable(
                f"line {line}: {len(cells)} cells where the header has {len(names)}, separated by "
                f"{SEPARATORS[separator]}; mend or remove the row (decimal commas must be points)"
            )
        yield line, cells


def _require(table: Table, path: str, needed: Sequence[str], remedy: str) -> None:
    """Check that every needed column is there once; raise ValueError otherwise."""
    if missing := [column for column in needed if column not in table.names]:
        names = ", ".join(table.names[:8]) + (f" and {len(table.names) - 8} more" if len(table.names) > 8 else "")
        raise ValueError(
            f"{path} has no column {', '.join(missing[:5])}; its columns, read as separated by "
            f"{SEPARATORS[table.separator]}, are {names}; give {remedy}"
        )
    if twice := [column for column in needed if table.names.count(column) > 1]:
        raise ValueError(f"{path} has two columns {twice[0]}; rename the one that is not meant")


def read_header(path: str, needed: Sequence[str], give: str) -> list[str]:
    """Return the column names of a table that must have some.

    Args:
        path: CSV, also compressed; separated by commas, semicolons, tabs or bars.
        needed: columns that must be there.
        give: what to give instead of a table that lacks one, for the error.

    Raises:
        ValueError: a column is missing or there twice, or as :func:`open_table`.
    """
    with open_table(path) as table:
        _require(table, path, needed, give)
        return table.names


def _columns(
    table: Table, columns: Sequence[str], rows: Iterable[tuple[int, list[str]]]
) -> tuple[dict[str, list[str]], list[int]]:
    """Return the cells of these columns, each in the order of the rows, and the lines of the rows."""
    indices = [table.names.index(column) for column in columns]
    lines, picked = [], []
    for line, row in rows:
        lines.append(line)
        picked.append([row[index] for index in indices])
    cells = zip(*picked, strict=True) if picked else [()] * len(columns)
    cells = {column: list(values) for column, values in zip(columns, cells, strict=True)}
    return cells, lines


def read_chunks(path: str, ids: Sequence[str], texts: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a table in their order, :data:`ROWS_PER_CHUNK` at once.

    Args:
        path: as in :func:`read_header`.
        ids: columns of integers that are read as text, since they have up to 18 digits and as floats have lost the last
            ones.
        texts: columns of text.
        numbers: columns of numbers; a cell of :data:`MISSING` is NaN.

    Raises:
        ValueError: a cell of ``ids`` is not an integer, one of ``numbers`` is not a finite number, or as
            :func:`open_table`.
    """
    columns = [*ids, *texts, *numbers]
    with open_table(path) as table:
        _require(table, path, columns, "a table that has them")
        while True:
            chunk, lines = _columns(table, columns, islice(table.rows, ROWS_PER_CHUNK))
            if not lines:
                return
            for column in ids:
                for line, cell in zip(lines, chunk[column], strict=True):
                    if not (cell.isascii() and cell.isdigit()):
                        expected = "an integer; export the table with ids as text or 64-bit integers"
                        raise ValueError(f"{path}, line {line}, column {column}: {cell!r} is not {expected}")
            yield pd.DataFrame(
                chunk | {column: _numbers(chunk[column], path, column, lines) for column in numbers}, copy=False
            )


def _numbers(cells: list[str], path: str, column: str, lines: list[int]):
    """Return (N,) float64 of a column of text, NaN where a cell holds no number; ``lines`` are those of the cells."""
    trimmed = pc.utf8_trim_whitespace(pa.array(cells, pa.string()))
    present = pc.if_else(pc.is_in(trimmed, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)
    try:
        values = pc.cast(present, pa.float64())
        if pc.all(pc.is_finite(values)).as_py() is not False:
            return values.to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        pass
    for line, cell in zip(lines, present, strict=True):
        try:
            if not cell.is_valid or pc.is_finite(pc.cast(cell, pa.float64())).as_py():
                continue
        except pa.ArrowInvalid:
            pass
        remedy = "write a decimal point" if "," in cell.as_py() else "mend or remove the row"
        raise ValueError(f"{path}, line {line}, column {column}: {cell.as_py()!r} is not a number; {remedy}")


def read_text(path: str, needed: Sequence[str], give: str) -> pa.Table:
    """Return a whole table as text: `00005` keeps its zeros, 18 digits stay, and `NA` is a word.

    Args:
        path: as in :func:`read_header`.
        needed: as in :func:`read_header`.
        give: as in :func:`read_header`.

    Raises:
        ValueError: as :func:`read_header` and :func:`open_table`.
    """
    with open_table(path) as table:
        _require(table, path, needed, give)
        columns = list(dict.fromkeys(table.names))
        cells, _ = _columns(table, columns, table.rows)
        return pa.table(cells, schema=pa.schema({column: pa.string() for column in columns}))
