"""Which files are images, which galaxy an image shows by its name, and how large it may be.

Everything that lists files (folders, zips, tars, data sets, ``predict``, builders, the demo) calls these functions with
the path *inside* the folder or archive that the user named, since that folder may itself be inside a hidden one.
"""

import struct
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif"}
PLAIN_FITS_SUFFIXES = {".fits", ".fit", ".fts"}
PACKED_SUFFIXES = {".gz", ".bz2"}
"""Of a packed FITS file, behind one of :data:`PLAIN_FITS_SUFFIXES`; other packed files are not images."""
FITS_SUFFIXES = PLAIN_FITS_SUFFIXES | PACKED_SUFFIXES | {".fz"}
"""Last suffixes of FITS files; ``.fz`` (tiles compressed by fpack) also stands alone."""

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
"""Files and folders that systems and tools write beside those of the user, in lower case.

Names that start with a dot are treated in the same way.
"""


def normal_path(name: str) -> PurePosixPath:
    """Return a path inside an archive or folder with forward slashes, whichever slash its writer used."""
    return PurePosixPath(name.replace("\\", "/"))


def is_hidden(name: str) -> bool:
    """Return whether a part of this path is hidden or belongs to the system, and so is not a file of the user."""
    parts = (part for part in normal_path(name).parts if part not in (".", "..", "/"))
    return any(part.startswith(".") or part.lower() in SYSTEM_NAMES for part in parts)


def is_image(name: str) -> bool:
    """Return whether a file of this path, relative to what the user named, is read as an image of a galaxy."""
    path = normal_path(name.lower())
    if path.suffix in PACKED_SUFFIXES:
        has_image_suffix = PurePosixPath(path.stem).suffix in PLAIN_FITS_SUFFIXES
    else:
        has_image_suffix = path.suffix in IMAGE_SUFFIXES | FITS_SUFFIXES
    return has_image_suffix and not is_hidden(name)


def image_id(name: str) -> str:
    """Return the file name without its suffix, or without the two suffixes of a compressed FITS file.

    Other dots are kept: ``J123456.78+012345.6.jpg`` is ``J123456.78+012345.6``.
    """
    path = normal_path(name)
    suffix = path.suffix.lower()
    if suffix in PACKED_SUFFIXES | {".fz"} and PurePosixPath(path.stem).suffix.lower() in PLAIN_FITS_SUFFIXES:
        return PurePosixPath(path.stem).stem
    return path.stem if suffix in IMAGE_SUFFIXES | FITS_SUFFIXES else path.name


FITS_STARTS = (b"SIMPLE  =", b"\x1f\x8b", b"BZh")
"""First bytes of a FITS file, and of any gzip or bzip2 file."""
MAX_SIDE = 4096
"""Largest accepted side in pixels. Ours: ten times a Galaxy Zoo cut-out; a guard against decompression bombs."""
MAX_BYTES = 64 * 2**20
"""Largest accepted file, and largest decompressed FITS file. Ours: four bytes a pixel for the largest image."""
FRAME_HELP = (
    "field that the models see: auto (8.48 petroR90 around the galaxy nearest to the centre, as Galaxy Zoo's), as_is, "
    "RADIUS_PX, CENTRE_X,CENTRE_Y,RADIUS_PX (of petroR90), or 12arcsec where the file has a WCS"
)
STRETCHES = ("auto", "asinh", "linear")
SURVEY_NAMES = ("sdss", "legacy", "panstarrs", "hst", "euclid")
"""Keys of :data:`galaxy_vision.images.surveys.SURVEYS`, here since parsers of arguments need them without astropy."""


def check_size(width: int, height: int) -> None:
    """Check that no side is longer than :data:`MAX_SIDE` pixels; raise ValueError otherwise."""
    if max(width, height) > MAX_SIDE:
        raise ValueError(
            f"image of {width}x{height} px is larger than the limit of {MAX_SIDE} px a side; cut it down first"
        )


def zip_directory_bytes(data: bytes) -> int | None:
    """Return the size of the central directory of a zip archive at the end of these bytes.

    Offsets are those of the end-of-central-directory record (PKWARE APPNOTE, section 4.3.16): 22 bytes, and a comment
    of at most 65535.

    Returns:
        Bytes of the directory, 0 for an archive without files; None if no zip archive ends these bytes.
    """
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 22 - 65535))
    if end < 0 or len(data) < end + 22:
        return None
    size = struct.unpack_from("<I", data, end + 12)[0]
    if size == 0:
        return 0 if end + 22 + struct.unpack_from("<H", data, end + 20)[0] == len(data) else None
    return size if size == 0xFFFFFFFF or data[max(0, end - size) :].startswith(b"PK\x01\x02") else None


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a file, as :func:`read_limited` does, with ValueError for every failure.

    Raises:
        ValueError: the file is larger than :data:`MAX_BYTES` or cannot be read.
    """
    try:
        return read_limited(path)
    except OSError as error:
        raise ValueError(f"unreadable: {error}") from error


def check_bytes(size: int, what: str = "file") -> None:
    """Check that ``size`` bytes are at most :data:`MAX_BYTES`; raise ValueError, which names ``what``, otherwise."""
    if size > MAX_BYTES:
        raise ValueError(
            f"{what} of {size / 2**20:.0f} MiB is larger than the limit of {MAX_BYTES >> 20} MiB; cut it down first"
        )


def read_limited(path: str | Path) -> bytes:
    """Return the bytes of a file, after checking its size.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is larger than :data:`MAX_BYTES`, or a device or pipe that gives more.
    """
    path = Path(path)
    check_bytes(path.stat().st_size)
    if path.is_file():
        return path.read_bytes()
    with open(path, "rb") as file:  # a device or pipe has no size that could be checked before
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is a device or pipe and gives more than {MAX_BYTES >> 20} MiB; give an image file")
    return data
