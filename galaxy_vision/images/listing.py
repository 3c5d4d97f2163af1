"""The user's files in a folder, for everything that lists one: training, builders, ``predict``."""

import os
from collections.abc import Iterator
from pathlib import Path

from .limits import is_hidden


def files_in(folder: Path) -> Iterator[tuple[str, os.DirEntry]]:
    """Yield the user's files at any depth, sorted by name in each folder: (path inside the folder, entry).

    Links are followed, but not back into a folder that holds them. What is hidden, of the system, or neither a file
    nor a link to nowhere is left out.

    Raises:
        ValueError: a folder cannot be listed.
    """
    return _files_in(folder, "", frozenset())


def _files_in(folder: Path, inside: str, above: frozenset) -> Iterator[tuple[str, os.DirEntry]]:
    try:
        state = os.stat(folder / inside)
        if (identity := (state.st_dev, state.st_ino)) in above:
            return
        with os.scandir(folder / inside) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder / inside} cannot be listed ({error.strerror}); give one that can be read") from error
    for entry in entries:
        name = f"{inside}{entry.name}"
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            yield from _files_in(folder, name + "/", above | {identity})
        elif entry.is_file() or entry.is_symlink():
            yield name, entry
