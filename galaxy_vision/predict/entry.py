"""An image of a catalogue without an own row in a table: where it lies."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A row of the index.

    Attributes:
        id: of the galaxy.
        source: where it is in the catalogue; it occurs once.
        file: path inside the folder of the catalogue, or as the table has it.
        offset: of a tar, where its bytes start (of a sparse file, its header); of a zip, its place in the directory.
        size: of its bytes, -1 if unknown.
        check: a number that changes with its content: checksum or time of change, 0 if unknown.
        sparse: a tar holds it without its holes.
        absent: why there is nothing to read; empty if there is.
    """

    id: str
    source: str
    file: str
    offset: int = 0
    size: int = -1
    check: int = 0
    sparse: bool = False
    absent: str = ""
