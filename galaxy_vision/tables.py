"""CSV tables -> checked chunks; an error names the file, the line and the column."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
from pandas.api.types import is_numeric_dtype

ROWS_PER_CHUNK = 2000


@contextmanager
def _named(path: str):
    """Errors of reading say which file it was."""
    try:
        yield
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
    with _named(path):
        header = list(pd.read_csv(path, nrows=0).columns)
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
    with _named(path):
        text_types = dict.fromkeys([*ids, *texts], str)
        # Without index_col=False, rows with more cells than the header would move the columns to the right.
        for chunk in pd.read_csv(
            path, index_col=False, usecols=[*ids, *texts, *numbers], dtype=text_types, chunksize=ROWS_PER_CHUNK
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
