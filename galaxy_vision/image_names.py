"""What the name of a file says: whether it is one of the user's images, and which galaxy it shows.

Every entry (folders, zips, tars, data sets, ``predict``, builders, the demo) asks these functions, with the path *inside* what the user named: a
folder may itself lie in a hidden one.
"""

from pathlib import PurePosixPath

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
    known = lower.endswith((".fits.gz", ".fit.gz", ".fts.gz")) if suffix == ".gz" else suffix in IMAGE_SUFFIXES | FITS_SUFFIXES
    return known and not is_hidden(name)


def image_id(name: str) -> str:
    """File name without its suffix, that of a compressed FITS file being two: ``J123456.78+012345.6.jpg`` keeps its other dots."""
    path = normal_path(name)
    suffix = path.suffix.lower()
    if suffix in (".gz", ".fz") and PurePosixPath(path.stem).suffix.lower() in FITS_SUFFIXES:
        return PurePosixPath(path.stem).stem
    return path.stem if suffix in IMAGE_SUFFIXES | FITS_SUFFIXES else path.name
