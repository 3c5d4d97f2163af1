"""A CSV table of paths -> entries of an index. Every cell stays text: ``00005`` is not 5, and ``NA`` is not missing."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..images.limits import image_id
from .entry import Entry
from .rows import Columns, choose_columns

SEPARATORS = ",;\t"
"""Of cells; the one that cuts the header into most columns is taken, the first on a tie."""

MAX_LINE = 2**20
"""Longest line in characters: a guard against files that are not tables and would be held as a whole."""


def scan_csv(path: Path, columns: Columns, notes: list[str]) -> Iterator[Entry]:
    """The rows of a table, also gzipped, with or without a byte order mark.

    Raises:
        ValueError: it has no such columns, is not a table in UTF-8, or a line has not as many cells as the header.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            yield from _entries(path, text, columns)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, _NotATable) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"catalogue={path} cannot be read as a table in UTF-8: {reason}; write it again") from error


class _NotATable(Exception):
    pass


def _entries(path: Path, text: io.TextIOWrapper, columns: Columns) -> Iterator[Entry]:
    lines = _lines(text)
    header_line = next(lines, "")
    cuts = [next(csv.reader([header_line], delimiter=separator), []) for separator in SEPARATORS]
    header = max(cuts, key=len)
    if not any(header):
        raise _NotATable("it has no header")
    id_column, image_column = choose_columns(header, columns, f"catalogue={path}")
    image_place, id_place = header.index(image_column), header.index(id_column) if id_column else None
    # Strict: else a quote that is never closed would take all rows after it into one cell.
    reader = csv.reader(lines, delimiter=SEPARATORS[cuts.index(header)], strict=True)
    number = 0
    while True:
        first = reader.line_num + 2  # the header is line 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _NotATable(f"line {first}: {error} (is a quote not closed?)") from error
        if cells is None:
            return
        if not cells:  # an empty line
            continue
        if len(cells) != len(header):
            raise _NotATable(f"line {first} has {len(cells)} cells, and the header {len(header)}: {', '.join(header)}")
        image = cells[image_place].strip()
        if "\n" in image or "\r" in image:
            raise _NotATable(f"line {first}: the path goes over several lines (is a quote not closed?)")
        source = f"{path.name}:{number}"
        galaxy_id = cells[id_place].strip() if id_column else ""
        absent = "" if image else "the catalogue names no file"
        yield Entry(galaxy_id or image_id(image) or source, source, image, absent=absent)
        number += 1


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text, however they end."""
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            raise _NotATable(f"it has a line of more than {MAX_LINE >> 20} MiB")
        yield line
