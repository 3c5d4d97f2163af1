"""What a catalogue is made of: rows in numbered parts, and the columns of a table that they come from."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

ID_COLUMNS = ("id", "id_str")
IMAGE_COLUMNS = ("image", "path", "file_loc", "file_name", "filename")
"""Names that are looked for if none is given; `id_str` and `file_loc` are those of galaxy-datasets."""


class Row(NamedTuple):
    """One galaxy of a catalogue.

    Attributes:
        id: as the catalogue has it; it may occur twice.
        source: where the row is in the catalogue; it occurs once.
        load: gives the bytes of the image. Raises FileNotFoundError if there are none, other errors if they cannot be read.
    """

    id: str
    source: str
    load: Callable[[], bytes]


class Catalogue(NamedTuple):
    """Numbered parts.

    Attributes:
        part_rows: number of rows of each part; None where only reading it tells.
        rows: part number -> its rows, in order.
        fingerprint: of names, sizes and whatever checksums the files carry (not of every byte); takes a while.
    """

    part_rows: list[int | None]
    rows: Callable[[int], Iterator[Row]]
    fingerprint: Callable[[], str]


class Columns(NamedTuple):
    """Names of the columns of a table, None to look for the usual ones; where relative paths start; and which split is meant."""

    id: str | None = None
    image: str | None = None
    image_root: str | None = None
    split: str | None = None


def choose_columns(names: Iterable[str], columns: Columns, where: str) -> tuple[str | None, str]:
    """The columns of id (or None) and image."""
    names = list(names)
    chosen = []
    for flag, given, usual in (("id_column", columns.id, ID_COLUMNS), ("image_column", columns.image, IMAGE_COLUMNS)):
        if given is not None and given not in names:
            raise ValueError(f"{flag}={given!r} is not a column of {where}; it has {', '.join(names)}")
        chosen.append(given or next((name for name in usual if name in names), None))
    if chosen[1] is None:
        raise ValueError(
            f"{where} has none of the columns {', '.join(IMAGE_COLUMNS)}; name one of {', '.join(names)} by --image_column"
        )
    return chosen[0], chosen[1]


def check_id_type(kind: str, column: str, where: str) -> None:
    """Raises ValueError for ids of floating point."""
    if "float" in kind or "double" in kind:
        raise ValueError(f"{where}: id column {column!r} is {kind}, which cannot hold 18 digits; store it as string or int64")
