"""A CSV table in Arrow batches: whole numbers, numbers and text, as the cells of a whole column are.

A column is of numbers only if that changes no cell: ``00005``, ``NA`` and whole numbers of too many digits are text.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..data.csv_tables import ROWS_PER_CHUNK, open_table

_WHOLE = r"^(-?[1-9][0-9]{0,18}|0)?$"
_NUMBER = r"^([+-]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|NaN|inf|Infinity))?$"


def header_of(path: Path) -> list[str]:
    """Return the names of the columns; raise ValueError as :func:`~galaxy_vision.data.csv_tables.open_table`."""
    with open_table(str(path)) as table:
        return table.names


def csv_batches(
    path: Path, rows: int, texts: Sequence[str] = (), one_line: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table that :func:`~galaxy_vision.data.csv_tables.open_table` opens, ``rows`` at once.

    Args:
        path: of the table.
        rows: of a batch.
        texts: columns that are text whatever is in them.
        one_line: column of paths, which do not go over several lines.

    Raises:
        ValueError: it is not a table in UTF-8, would lose rows, or a path goes over several lines.
    """
    kinds = _kinds(path, set(texts))
    with open_table(str(path)) as table:
        schema = pa.schema(list(zip(table.names, kinds, strict=True)))
        index = None if one_line is None else table.names.index(one_line)
        while some := list(islice(table.rows, rows)):
            for line, cells in some if index is not None else ():
                if "\n" in (image := cells[index].strip()) or "\r" in image:
                    raise ValueError(
                        f"catalogue={path}, line {line}: the path goes over several lines (is a quotation mark not "
                        "closed?); mend the row"
                    )
            columns = zip(*(cells for _, cells in some), strict=True)
            arrays = [_typed(cells, kind) for cells, kind in zip(columns, kinds, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _kinds(path: Path, texts: set[str]) -> list[pa.DataType]:
    """Read a table once and return the types of its columns."""
    with open_table(str(path)) as table:
        open_kinds = [[] if name in texts else [pa.int64(), pa.float64()] for name in table.names]
        seen = [False] * len(table.names)
        while some := list(islice(table.rows, ROWS_PER_CHUNK)):
            for index, cells in enumerate(zip(*(cells for _, cells in some), strict=True)):
                if open_kinds[index]:
                    open_kinds[index] = [kind for kind in open_kinds[index] if _fits(cells, kind)]
                    seen[index] = seen[index] or any(cells)
    return [kinds[0] if kinds and any_cell else pa.string() for kinds, any_cell in zip(open_kinds, seen, strict=True)]


def _fits(cells: Sequence[str], kind: pa.DataType) -> bool:
    pattern = _WHOLE if pa.types.is_integer(kind) else _NUMBER
    if not pc.all(pc.match_substring_regex(pa.array(cells, pa.string()), pattern)).as_py():
        return False
    try:
        _typed(cells, kind)
    except pa.ArrowInvalid:  # a number beyond 64 bits, or a lone sign
        return False
    return True


def _typed(cells: Sequence[str], kind: pa.DataType) -> pa.Array:
    array = pa.array(cells, pa.string())
    if pa.types.is_string(kind):
        return array
    return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array).cast(kind)
