"""A catalogue of any size -> numbered parts of rows, always cut in the same way.

A part is what one process does at a time. What kind a catalogue is decides which of ``catalogue_index.py``,
``catalogue_tables.py`` and ``catalogue_hub.py`` reads it.
"""

from pathlib import Path

from ..images.limits import is_image
from ..images.listing import files_in
from . import hub_datasets as catalogue_hub
from . import indexed as catalogue_index
from . import tables as catalogue_tables
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
}
"""Ends of names -> kinds of catalogues."""

_OBEYED = {
    "images": (),
    "zip": (),
    "tars": ("image",),
    "csv": ("id", "image", "image_root"),
    "parquet": ("id", "image", "image_root", "split"),
    "hub": ("id", "image", "image_root", "split", "config"),
}
"""Kinds of catalogues -> what of :class:`Columns` they have a use for."""


def needs_index(path: str) -> bool:
    """Whether :func:`write_index` must be called once, by one process, before :func:`open_catalogue`."""
    return _kind(path) in catalogue_index.KINDS


def write_index(path: str, index: Path, rows_per_part: int, columns: Columns) -> list[str]:
    """List the images of a folder, zip, tar, folder of tars, or table of paths; one record batch for each part.

    Returns:
        What is worth knowing: sentences about files that are left out although they look like images or hold some.

    Raises:
        ValueError: the catalogue is damaged, has no such columns, or holds no image.
    """
    kind = _checked_kind(path, columns)
    return catalogue_index.write_index(Path(path), kind, index, rows_per_part, columns)


def open_catalogue(path: str, index: Path, rows_per_part: int, columns: Columns) -> Catalogue:
    """Open a folder, zip, tar, table of paths (CSV), Parquet (file or folder), or a data set of the Hub by id.

    Args:
        path: the catalogue.
        index: what :func:`write_index` wrote, where :func:`needs_index`.
        rows_per_part: rows of a part; Parquet is cut at the first row group that reaches them, a data set of the Hub,
            which is streamed, into its files.
        columns: of tables.

    Raises:
        ValueError: there is no such catalogue, it has no such columns, no row, or no use for one of ``columns``.
    """
    kind = _checked_kind(path, columns)
    if kind == "parquet":
        return catalogue_tables.open_parquet(Path(path), rows_per_part, columns)
    if kind == "hub":
        return catalogue_hub.open_streamed(path, columns)
    return catalogue_index.open_index(Path(path), index, kind, columns)


def _checked_kind(path: str, columns: Columns) -> str:
    kind = _kind(path)
    for name, value in columns._asdict().items():
        if value is not None and name not in _OBEYED[kind]:
            argument = f"{name}_column" if name in ("id", "image") else name
            kinds = {"images": "a folder of images", "hub": "a data set of the Hub", "csv": "a CSV table"}
            raise ValueError(
                f"{argument}={value!r} has no meaning for catalogue={path}, which is {kinds.get(kind, kind)}; leave "
                "it out"
            )
    return kind


def _kind(path: str) -> str:
    place = Path(path)
    if place.is_dir():  # the first file that could be meant decides: listing everything may take minutes
        for name, _ in files_in(place):
            suffix = Path(name).suffix.lower()
            if suffix in (".parquet", ".tar"):
                return _FILES[suffix]
            if is_image(name):
                break
        return "images"
    if place.is_file():
        for ending, kind in _FILES.items():
            if place.name.lower().endswith(ending):
                return kind
        raise ValueError(
            f"catalogue={path} is not a folder or a file that ends with {', '.join(_FILES)}; "
            "unpack other archives first (a compressed tar cannot be read in parts)"
        )
    if path.count("/") > 1 or place.suffix or not path or path.startswith((".", "/", "~")):
        raise ValueError(f"catalogue={path} does not exist; give a folder, file, or the id of a data set of the Hub")
    return "hub"
