"""A catalogue of any size -> numbered parts of rows, always cut in the same way.

A part is what one process does at a time. What kind a catalogue is decides which of ``catalogue_index.py`` and ``catalogue_tables.py``
reads it.
"""

from pathlib import Path

from . import catalogue_index, catalogue_tables
from .catalogue_index import files_in
from .catalogue_rows import Catalogue, Columns, Row
from .image_names import is_image

__all__ = ["Catalogue", "Columns", "Row", "needs_index", "open_catalogue", "write_index"]


def needs_index(path: str) -> bool:
    """Whether :func:`write_index` must be called once, by one process, before :func:`open_catalogue`."""
    return _kind(path) in catalogue_index.KINDS


def write_index(path: str, index: Path, rows_per_part: int, columns: Columns) -> None:
    """List the images of a folder, zip, tar, folder of tars, or table of paths; one record batch for each part.

    Raises:
        ValueError: the catalogue is damaged, has no such columns, or holds no image.
    """
    catalogue_index.write_index(Path(path), _kind(path), index, rows_per_part, columns)


def open_catalogue(path: str, index: Path, rows_per_part: int, columns: Columns) -> Catalogue:
    """Open a folder, zip, tar, table of paths (CSV), Parquet (file or folder), or a data set of the Hub by id (streamed).

    Args:
        path: the catalogue.
        index: what :func:`write_index` wrote, where :func:`needs_index`.
        rows_per_part: rows of a part; Parquet is cut at the first row group that reaches them, a streamed data set into its files.
        columns: of tables.

    Raises:
        ValueError: there is no such catalogue, or it has no such columns, or no row.
    """
    kind = _kind(path)
    if kind == "parquet":
        return catalogue_tables.open_parquet(Path(path), rows_per_part, columns)
    if kind == "hub":
        return catalogue_tables.open_streamed(path, columns)
    return catalogue_index.open_index(Path(path), index, kind)


def _kind(path: str) -> str:
    place = Path(path)
    if place.is_dir():  # the first file that could be meant decides: listing everything may take minutes
        kinds = (
            {".parquet": "parquet", ".tar": "tars"}.get(Path(name).suffix, "images" * is_image(name))
            for name, _ in files_in(place)
        )
        return next(filter(None, kinds), "images")
    if place.is_file():
        name = place.name.lower()
        for ending, kind in ((".parquet", "parquet"), (".zip", "zip"), (".tar", "tars"), (".csv", "csv"), (".csv.gz", "csv")):
            if name.endswith(ending):
                return kind
        raise ValueError(
            f"catalogue={path} is none of folder, .zip, .tar, .parquet, .csv or .csv.gz; unpack other archives first "
            "(a compressed tar cannot be read in parts)"
        )
    if path.count("/") > 1 or place.suffix or not path or path.startswith((".", "/", "~")):
        raise ValueError(f"catalogue={path} does not exist; give a folder, file, or the id of a data set of the Hub")
    return "hub"
