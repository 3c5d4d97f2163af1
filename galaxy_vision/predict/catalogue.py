"""Divide a catalogue of any size into numbered parts of rows, always in the same way.

A part is the unit of work of a process. ``indexed.py``, ``tables.py`` and ``hub_datasets.py`` read the different kinds
of catalogues.
"""

from pathlib import Path

from ..images.limits import SURVEY_NAMES, is_image
from ..images.listing import files_in
from ..sky.read_tables import FORMATS as TABLE_FORMATS
from . import hub_datasets as catalogue_hub
from . import indexed as catalogue_index
from . import tables as catalogue_tables
from .positions import with_cutouts
from .rows import Catalogue, Columns, Row

__all__ = ["Catalogue", "Columns", "Row", "needs_index", "open_catalogue", "write_index"]

_FILES = {
    ".parquet": "parquet",
    ".zip": "zip",
    ".tar": "tars",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
    **dict.fromkeys(TABLE_FORMATS, "table"),
}
"""Kinds of catalogues by the ends of their names."""

_OF_TABLES = ("id", "image", "image_root", "survey", "ra", "dec", "radius")
_ACCEPTED = {
    "images": (),
    "zip": (),
    "tars": ("image",),
    "csv": _OF_TABLES,
    "table": _OF_TABLES,
    "parquet": (*_OF_TABLES, "split"),
    "hub": ("id", "image", "image_root", "split", "config"),
}
"""Fields of :class:`Columns` that every kind of catalogue uses."""


def needs_index(path: str) -> bool:
    """Return whether one process must call :func:`write_index` before :func:`open_catalogue`."""
    return _kind(path) in catalogue_index.KINDS


def write_index(path: str, index: Path, rows_per_part: int, columns: Columns) -> list[str]:
    """Write the list of images of a folder, zip, tar, folder of tars, or table of paths, a record batch per part.

    Returns:
        Notes for the user: sentences about files that were left out although they look like images or hold some.

    Raises:
        ValueError: the catalogue is damaged, does not have the columns, or holds no images.
    """
    kind = _checked_kind(path, columns)
    return catalogue_index.write_index(Path(path), kind, index, rows_per_part, columns)


def open_catalogue(path: str, index: Path, rows_per_part: int, columns: Columns) -> Catalogue:
    """Open a folder, zip, tar, table of paths (CSV), Parquet (file or folder), or a Hub data set.

    Args:
        path: path of the catalogue, or id of a Hub data set.
        index: file that :func:`write_index` wrote, if :func:`needs_index`.
        rows_per_part: rows of a part. A part of Parquet ends with the row group that reaches them; a part of a Hub data
            set, which is streamed, is one of its files.
        columns: columns of tables.

    Raises:
        ValueError: the catalogue does not exist, does not have the columns, has no rows, or does not use one of
            ``columns``.
    """
    kind = _checked_kind(path, columns)
    if kind == "parquet":
        catalogue = catalogue_tables.open_parquet(Path(path), rows_per_part, columns)
    elif kind == "hub":
        catalogue = catalogue_hub.open_streamed(path, columns)
    else:
        catalogue = catalogue_index.open_index(Path(path), index, kind, columns)
    if not catalogue.has_images:
        return with_cutouts(catalogue, columns, f"catalogue={path}")
    if columns.survey not in (None, *SURVEY_NAMES):
        raise ValueError(
            f"survey={columns.survey!r} gives cut-outs at positions, and catalogue={path} has images; leave it out"
        )
    return catalogue


def _checked_kind(path: str, columns: Columns) -> str:
    kind = _kind(path)
    for name, value in columns._asdict().items():
        if value is not None and name not in _ACCEPTED[kind]:
            if name == "survey":  # of images, how they are read
                continue
            argument = f"{name}_column" if name in ("id", "image", "ra", "dec", "radius") else name
            kinds = {"images": "a folder of images", "hub": "a Hub data set", "csv": "a CSV table"}
            raise ValueError(
                f"{argument}={value!r} has no meaning for catalogue={path}, which is {kinds.get(kind, kind)}; omit it"
            )
    return kind


def _kind(path: str) -> str:
    location = Path(path)
    if location.is_dir():  # the first image, tar or Parquet file decides, since listing all files may take minutes
        for name, _ in files_in(location):
            suffix = Path(name).suffix.lower()
            if suffix in (".parquet", ".tar"):
                return _FILES[suffix]
            if is_image(name):
                break
        return "images"
    if location.is_file():
        for ending, kind in _FILES.items():
            if location.name.lower().endswith(ending):
                return kind
        raise ValueError(
            f"catalogue={path} is not a folder or a file that ends with {', '.join(_FILES)}; "
            "unpack other archives first (a compressed tar cannot be read in parts)"
        )
    if path.count("/") > 1 or location.suffix or not path or path.startswith((".", "/", "~")):
        raise ValueError(f"catalogue={path} does not exist; give a folder, a file or the id of a Hub data set")
    return "hub"
