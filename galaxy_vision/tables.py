"""CSV tables -> checked chunks; an error names the file, the line and the column."""

import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fsspec
import pandas as pd
from pandas.api.types import is_numeric_dtype

ROWS_PER_CHUNK = 2000
MAX_LINE = 16 * 2**20
"""Longest line in bytes: a guard against files that are no tables, and which would be held as a whole."""


class _Lines(io.RawIOBase):
    """The bytes of a file as long as its lines are not too long."""

    def __init__(self, file, path: str):
        self.file, self.path, self.length = file, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self.file.read(len(buffer))
        end = data.rfind(b"\n")
        self.length = self.length + len(data) if end < 0 else len(data) - end - 1
        if self.length > MAX_LINE:
            raise ValueError(f"{self.path} has a line of more than {MAX_LINE >> 20} MiB; give a CSV table")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _named(path: str):
    """The opened and unpacked file; errors of reading say which one it was."""
    try:
        with fsspec.open(path, "rb", compression="infer") as file, io.BufferedReader(_Lines(file, path), 1 << 20) as lines:
            yield lines
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); download it again") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path} is empty; download it again") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from error


def read_header(path: str, needed: Sequence[str], give: str) -> list[str]:
    """The column names of a table that must have some.

    Args:
        path: CSV, also compressed.
        needed: columns that must be there.
        give: what to give instead of a table that lacks one, for the error.

    Raises:
        ValueError: a column is missing, or the file is empty, damaged or no CSV table.
    """
    with _named(path) as lines:
        header = list(pd.read_csv(lines, nrows=0).columns)
    if missing := [column for column in needed if column not in header]:
        raise ValueError(f"{path} has no column {', '.join(missing[:5])}; give {give}")
    return header


def read_chunks(path: str, ids: Sequence[str], texts: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The rows of a table in their order, :data:`ROWS_PER_CHUNK` at once.

    Args:
        path: CSV, also compressed.
        ids: columns of integers that are read as text, since they have up to 18 digits and as floats have lost the last ones.
        texts: columns of text.
        numbers: columns of numbers; an empty cell is NaN.

    Raises:
        ValueError: a cell of ``ids`` is no integer, one of ``numbers`` no number, or the file is damaged or no CSV table.
    """
    with _named(path) as lines:
        text_types = dict.fromkeys([*ids, *texts], str)
        # Without index_col=False, rows with more cells than the header would move the columns to the right.
        for chunk in pd.read_csv(
            lines, index_col=False, usecols=[*ids, *texts, *numbers], dtype=text_types, chunksize=ROWS_PER_CHUNK
        ):
            for column in ids:
                good = chunk[column].str.fullmatch(r"\d+", na=False)
                _refuse(chunk[column][~good], path, "an integer; export the table with ids as text or 64-bit integers")
            for column in numbers:
                if not is_numeric_dtype(chunk[column]):
                    read = pd.to_numeric(chunk[column], errors="coerce")
                    _refuse(chunk[column][read.isna() & chunk[column].notna()], path, "a number; mend or remove the row")
            yield chunk


def _refuse(wrong: pd.Series, path: str, expected: str) -> None:
    if len(wrong):  # the header is line 1
        raise ValueError(f"{path}, line {wrong.index[0] + 2}, column {wrong.name}: {wrong.iloc[0]!r} is not {expected}")
