"""Files that are written whole or not at all, locks of folders, and messages for errors of writing."""

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
"""Error numbers where the path cannot be a folder: a file or a broken link is in the way, or the name is invalid."""

CANNOT_WRITE = NO_FOLDER | {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""Error numbers where nothing can be written: :data:`NO_FOLDER`, a full or read-only disk, no permission."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, and rename it to ``path`` at the end.

    A reader never sees half a file, and if writing fails, as on a full disk, the old file stays.
    """
    partial = path.with_name(f"{path.name}.tmp")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # exists only if writing failed


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    with written_whole(path) as partial:
        partial.write_text(json_text(content))


def json_text(content: dict) -> str:
    """Return the text that :func:`write_json` writes."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def cannot_write(error: OSError, folder: Path) -> str:
    """Describe an error of :data:`CANNOT_WRITE` that occurred on writing to ``folder``, in one sentence."""
    if error.errno in NO_FOLDER:
        return f"cannot write {error.filename or folder}: {error.strerror}; give another folder"
    where = error.filename or f"{folder} or the cache of data sets"  # errors of `write` do not name the file
    return f"cannot write {where}: {reason_and_room(error, folder)}"


def reason_and_room(error: Exception, folder: Path) -> str:
    """Return the first line of an error and the free disk space, since some libraries do not report a full disk."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    return f"{text} ({shutil.disk_usage(folder).free / 2**20:.0f} MiB free); make room, or give another folder"


@contextmanager
def sole_run(output_dir: Path) -> Iterator[None]:
    """Lock ``output_dir`` for one run, and turn errors of writing into one line.

    The lock ends with the main process. The launcher ends the other processes if the main one is refused the lock.

    Raises:
        SystemExit: another run holds the folder, or a file of the run is on a full or read-only file system.
    """
    try:
        if os.environ.get("RANK", "0") != "0":  # only the main process holds the lock
            yield
            return
        output_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(output_dir / ".lock", timeout=0):
            shutil.rmtree(output_dir / "finished.tmp", ignore_errors=True)  # left if remove_checkpoints was killed
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
    """Remove the checkpoints of a finished run in one rename, so that a killed process leaves all of them or none.

    SIGTERM is ignored meanwhile: the run is complete.
    """
    with undisturbed():
        shutil.rmtree(output_dir / "best")  # checkpoints have a copy of it
        (output_dir / "checkpoints").rename(output_dir / "finished.tmp")
        shutil.rmtree(output_dir / "finished.tmp")
