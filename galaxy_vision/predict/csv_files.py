"""A CSV table of paths -> entries of an index."""

from collections.abc import Iterator
from pathlib import Path

from ..data.csv_tables import open_table
from ..images.limits import image_id
from .entry import Entry
from .rows import Columns, choose_columns


def scan_csv(path: Path, columns: Columns, notes: list[str]) -> Iterator[Entry]:
    """Yield the rows of a table that :func:`~galaxy_vision.data.csv_tables.open_table` opens.

    Raises:
        ValueError: it has no such columns, is not a table in UTF-8, or would lose rows.
    """
    with open_table(str(path)) as table:
        id_column, image_column = choose_columns(table.names, columns, f"catalogue={path}")
        image_index = table.names.index(image_column)
        id_index = table.names.index(id_column) if id_column else None
        for number, (line, cells) in enumerate(table.rows):
            image = cells[image_index].strip()
            if "\n" in image or "\r" in image:
                raise ValueError(
                    f"catalogue={path}, line {line}: the path goes over several lines (is a quotation mark not "
                    "closed?); mend the row"
                )
            source = f"{path.name}:{number}"
            galaxy_id = cells[id_index].strip() if id_column else ""
            absent = "" if image else "the catalogue names no file"
            yield Entry(galaxy_id or image_id(image) or source, source, image, absent=absent)
