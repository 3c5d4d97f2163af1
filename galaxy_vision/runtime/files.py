"""Files that are whole or not there, and what is said where they cannot be written."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .orderly_end import undisturbed

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


@contextmanager
def sole_run(output_dir: Path) -> Iterator[None]:
    """Hold ``output_dir`` for one run, by a lock that dies with the main process; errors of writing are one line.

    Raises:
        SystemExit: another run holds the folder; or it, or whatever the run writes, is on a full or read-only file
            system.
    """
    try:
        if (
            os.environ.get("RANK", "0") != "0"
        ):  # the main process has the lock; if it is refused, the launcher ends the others
            yield
            return
        output_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(output_dir / ".lock", timeout=0):
            shutil.rmtree(output_dir / "finished.tmp", ignore_errors=True)  # what a kill in remove_checkpoints left
            yield
    except Timeout as error:
        raise SystemExit(
            f"error: output_dir={output_dir} is in use by another run; wait for it, or give another folder"
        ) from error
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise SystemExit(f"error: {cannot_write(error, output_dir)}") from error


def remove_checkpoints(output_dir: Path) -> None:
    """Of a finished run, at once: a kill in between leaves all of them or none, and SIGTERM comes too late."""
    with undisturbed():
        shutil.rmtree(output_dir / "best")  # of which a checkpoint has a copy
        (output_dir / "checkpoints").rename(output_dir / "finished.tmp")
        shutil.rmtree(output_dir / "finished.tmp")
