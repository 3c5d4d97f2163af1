"""An image of a catalogue without an own row in a table: where it lies, and the files among which it is looked for."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..images.limits import is_hidden


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


def files_in(folder: Path) -> Iterator[tuple[str, os.DirEntry]]:
    """The user's files at any depth, by name, as they are found: (path inside the folder, entry).

    Links are followed, but not back into a folder that holds them. What is hidden, of the system, or neither a file
    nor a link to nowhere is left out.

    Raises:
        ValueError: a folder cannot be listed.
    """
    return _files_in(folder, "", frozenset())


def _files_in(folder: Path, inside: str, above: frozenset) -> Iterator[tuple[str, os.DirEntry]]:
    try:
        state = os.stat(folder / inside)
        if (here := (state.st_dev, state.st_ino)) in above:
            return
        with os.scandir(folder / inside) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"catalogue={folder}: {folder / inside} cannot be listed ({error.strerror})") from error
    for entry in entries:
        name = f"{inside}{entry.name}"
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            yield from _files_in(folder, name + "/", above | {here})
        elif entry.is_file() or entry.is_symlink():
            yield name, entry
