"""What the name of a file says: whether it is one of the user's images, and which galaxy it shows.

Every entry (folders, zips, tars, data sets, ``predict``, builders, the demo) asks these functions, with the path
*inside* what the user named: a folder may itself lie in a hidden one.
"""

import struct
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif"}
FITS_SUFFIXES = {".fits", ".fit", ".fts", ".fz", ".gz"}

SYSTEM_NAMES = {
    "__macosx",  # macOS, in zips
    "@eadir",  # Synology
    "#recycle",  # Synology, QNAP
    "$recycle.bin",  # Windows
    "system volume information",  # Windows
    "thumbs.db",  # Windows
    "desktop.ini",  # Windows
    "lost+found",  # ext file systems
    "__pycache__",  # Python
}
"""Files and folders that systems and tools leave beside those of the user, in lower case; so do all whose names start with a dot."""


def normal_path(name: str) -> PurePosixPath:
    """A path inside an archive or folder, whichever slash its writer used."""
    return PurePosixPath(name.replace("\\", "/"))


def is_hidden(name: str) -> bool:
    """Whether a part of this path is hidden or belongs to the system: no file of the user."""
    parts = (part for part in normal_path(name).parts if part not in (".", "..", "/"))
    return any(part.startswith(".") or part.lower() in SYSTEM_NAMES for part in parts)


def is_image(name: str) -> bool:
    """Whether a file of this path, relative to what the user named, is read as an image of a galaxy."""
    lower = name.lower()
    suffix = normal_path(lower).suffix
    known = (
        lower.endswith((".fits.gz", ".fit.gz", ".fts.gz"))
        if suffix == ".gz"
        else suffix in IMAGE_SUFFIXES | FITS_SUFFIXES
    )
    return known and not is_hidden(name)


def image_id(name: str) -> str:
    """File name without its suffix, that of a compressed FITS file being two: ``J123456.78+012345.6.jpg`` keeps its other dots."""
    path = normal_path(name)
    suffix = path.suffix.lower()
    if suffix in (".gz", ".fz") and PurePosixPath(path.stem).suffix.lower() in FITS_SUFFIXES:
        return PurePosixPath(path.stem).stem
    return path.stem if suffix in IMAGE_SUFFIXES | FITS_SUFFIXES else path.name


FITS_STARTS = (b"SIMPLE  =", b"\x1f\x8b")
"""First bytes of a FITS file, and of any gzip file."""
MAX_SIDE = 4096
"""Largest accepted side in pixels, ten times a Galaxy Zoo cut-out: a guard against decompression bombs."""
MAX_BYTES = 64 * 2**20
"""Largest accepted file, and largest decompressed FITS file."""
STRETCHES = ("auto", "asinh", "linear")


def check_size(width: int, height: int) -> None:
    """Raises:
    ValueError: a side is longer than :data:`MAX_SIDE`.
    """
    if max(width, height) > MAX_SIDE:
        raise ValueError(
            f"image of {width}x{height} px is larger than the limit of {MAX_SIDE} px a side; cut it down first"
        )


def zip_directory_bytes(data: bytes) -> int | None:
    """Size of the directory of a zip archive that ends these bytes (0 if it has no file); None if they are no such archive."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 22 - 65535))
    if end < 0 or len(data) < end + 22:
        return None
    size = struct.unpack_from("<I", data, end + 12)[0]
    if size == 0:
        return 0 if end + 22 + struct.unpack_from("<H", data, end + 20)[0] == len(data) else None
    return size if size == 0xFFFFFFFF or data[max(0, end - size) :].startswith(b"PK\x01\x02") else None


def read_file(path: str | Path) -> bytes:
    """As :func:`read_limited`.

    Raises:
        ValueError: it is larger than :data:`MAX_BYTES` or cannot be read.
    """
    try:
        return read_limited(path)
    except OSError as error:
        raise ValueError(f"unreadable: {error}") from error


def check_bytes(size: int, what: str = "file") -> None:
    """Raises ValueError if a file of ``size`` bytes is larger than :data:`MAX_BYTES`."""
    if size > MAX_BYTES:
        raise ValueError(
            f"{what} of {size / 2**20:.0f} MiB is larger than the limit of {MAX_BYTES >> 20} MiB; cut it down first"
        )


def read_limited(path: str | Path) -> bytes:
    """A file's bytes, looked at before it is read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than :data:`MAX_BYTES`, or a device or pipe that gives more.
    """
    path = Path(path)
    check_bytes(path.stat().st_size)
    if path.is_file():
        return path.read_bytes()
    with open(path, "rb") as file:  # it has no size to be looked at
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is a device or pipe and gives more than {MAX_BYTES >> 20} MiB; give an image file")
    return data
