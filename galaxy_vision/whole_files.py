"""Files that are whole or not there, and what is said where they cannot be written."""

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_FOLDER = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Numbers of the errors where a file or a broken link stands in the way, or the name is none."""

CANNOT_WRITE = NO_FOLDER | {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""The same, and those of a full, read-only or forbidden place."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """The name of a file beside ``path`` to write, which then takes its place.

    So no reader sees half a file, and if writing fails, as on a full disk, the old one stays.
    """
    partial = path.with_name(f"{path.name}.tmp")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # not there any more if all went well


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        ValueError: a number in it is NaN or infinite, which JSON does not have.
    """
    with written_whole(path) as partial:
        partial.write_text(json_text(content))


def json_text(content: dict) -> str:
    """What :func:`write_json` writes."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def cannot_write(error: OSError, folder: Path) -> str:
    """One sentence about an error of :data:`CANNOT_WRITE`, on the way to ``folder``."""
    if error.errno in NO_FOLDER:
        return f"cannot write {error.filename or folder}: {error.strerror}; give another folder"
    where = error.filename or f"{folder} or the cache of data sets"  # a write does not know its file's name
    return f"cannot write {where}: {reason_and_room(error, folder)}"


def reason_and_room(error: Exception, folder: Path) -> str:
    """The first line of an error, and how much room there is, since some writers do not say that there is none."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    return f"{text} ({shutil.disk_usage(folder).free / 2**20:.0f} MiB free); make room, or give another folder"
