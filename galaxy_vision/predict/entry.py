"""The location of an image that is listed in an index, since no row of a table holds it."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A row of the index.

    Attributes:
        id: id of the galaxy.
        source: location in the catalogue, which is unique.
        file: path inside the folder of the catalogue, or as given in the table.
        offset: in a tar, the byte at which its content (for a sparse file, its header) starts; in a zip, its index in
            the directory.
        size: number of bytes, -1 if unknown.
        check: a number that changes with the content: checksum or time of modification, 0 if unknown.
        sparse: whether it is a sparse file of a tar.
        absent: why it cannot be read; empty if it can.
    """

    id: str
    source: str
    file: str
    offset: int = 0
    size: int = -1
    check: int = 0
    sparse: bool = False
    absent: str = ""
