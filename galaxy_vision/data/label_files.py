"""Labels in a file -> rows: a table with a column of paths (CSV, FITS, VOTable, ECSV), or a zip of a folder of images.

Every cell becomes text, as in the metadata of a folder of images; :mod:`galaxy_vision.data.own_labels` finds out what
the columns mean.
"""

import hashlib
import os
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
from datasets import DatasetDict

from ..images.archives import read_member
from ..images.limits import image_id, is_hidden, is_image, normal_path
from ..runtime.files import written_whole
from .csv_tables import read_text
from .image_folders import METADATA, as_splits, load_image_folder
from .own_labels import Dropped
from .references import ID_COLUMNS, IMAGE_COLUMNS
from .splits import split_name

CSV_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
ASTROPY_FORMATS = {".fits": "fits", ".fit": "fits", ".fits.gz": "fits", ".vot": "votable", ".votable": "votable"}
ASTROPY_FORMATS |= {".xml": "votable", ".vot.gz": "votable", ".ecsv": "ascii.ecsv"}
"""Ends of the names of tables that astropy reads, and its names of their formats."""


def is_label_file(name: str) -> bool:
    """Return whether a data set of this name is a file of labels: a table, or a zip of images."""
    return Path(name).is_file() and name.lower().endswith((".zip", *CSV_ENDINGS, *ASTROPY_FORMATS))


def load_label_file(name: str, image_root: str | None = None) -> tuple[DatasetDict, list[Dropped]]:
    """Load a table of paths and labels, or a zip of class folders or of images with metadata.

    Args:
        name: path of the file.
        image_root: folder in which relative paths of a table begin; None for that of the table.

    Returns:
        Splits with columns of text, and what was left out.

    Raises:
        ValueError: the file is damaged, has no column of paths, or none of its images is there.
    """
    if name.lower().endswith(".zip"):
        return load_image_folder(_unpacked(Path(name))), []
    return _rows_of_table(Path(name), Path(image_root) if image_root else Path(name).parent)


def _rows_of_table(path: Path, root: Path) -> tuple[DatasetDict, list[Dropped]]:
    columns = _read_columns(path)
    lower = {column.lower(): column for column in reversed(list(columns))}
    column = next((lower[known] for known in IMAGE_COLUMNS if known in lower), None)
    if column is None:
        raise ValueError(
            f"{path} has the columns {', '.join(columns)}, and none is a path of an image; name it one of "
            f"{', '.join(IMAGE_COLUMNS)}"
        )
    rows, splits, absent, again, empty = {}, {}, [], [], 0
    for values in zip(*columns.values(), strict=True):
        cells = dict(zip(columns, values, strict=True))
        file = (cells.pop(column) or "").strip()
        if not file:
            empty += 1
            continue
        found = _found(root, file)
        if found is None:
            absent.append(file)
        elif found in rows:
            again.append(file)
        else:
            ids = [name for name in ID_COLUMNS if cells.get(name)]
            rows[found] = {"id": cells[ids[0]] if ids else image_id(file)} | cells
            splits[found] = split_name(cells.get("split") or "") or "train"
    dropped = [
        Dropped("the image is not there", absent),
        Dropped("an earlier row names the same image", again),
        Dropped("no image is named", [""] * empty),
    ]
    if not rows:
        example = f", such as {absent[0]}" if absent else ""
        raise ValueError(
            f"{path}: none of its {len(next(iter(columns.values()), []))} images is in {root}{example}; give the "
            "folder in which the paths begin by --image_root"
        )
    # A galaxy may lie in two folders: their ids would be equal, and neither may be lost.
    twice = {galaxy for galaxy, count in Counter(row["id"] for row in rows.values()).items() if count > 1}
    for found, row in rows.items():
        if row["id"] in twice:
            row["id"] = os.path.relpath(found, root)
    return as_splits(root.absolute(), rows, splits), [drop for drop in dropped if drop.rows]


def _found(root: Path, file: str) -> str | None:
    """Return the path of an image that a table names, None where it is not there."""
    for candidate in (root / file, root / normal_path(file)):
        if candidate.is_file():
            return str(candidate.absolute())
    return None


def _read_columns(path: Path) -> dict[str, list[str]]:
    """Return the columns of a table as text; missing cells are empty."""
    kind = next((kind for ending, kind in ASTROPY_FORMATS.items() if path.name.lower().endswith(ending)), None)
    if kind is None:
        return read_text(str(path), [], "a table of paths and labels").to_pydict()
    from astropy.table import Table  # takes half a second to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units and versions, which do not matter here
            table = Table.read(path, format=kind)
    except Exception as error:  # damaged files raise whatever their reader happens to meet
        raise ValueError(f"{path} is not a table that can be read: {' '.join(str(error).split())[:200]}") from error
    return {column: _as_text(table[column]) for column in table.colnames}


def _as_text(column) -> list[str]:
    """Return a column of astropy as text; masked cells are empty, and a cell of several values is joined by ``;``."""
    masked = np.ma.getmaskarray(np.ma.asarray(column))
    values = np.ma.getdata(np.ma.asarray(column))
    return [_cell(value, mask) for value, mask in zip(values, masked, strict=True)]


def _cell(value, mask) -> str:
    if np.ndim(value):
        return ";".join(
            _cell(one, hidden) for one, hidden in zip(value, np.broadcast_to(mask, np.shape(value)), strict=True)
        )
    if mask:
        return ""
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "backslashreplace").strip() if isinstance(value, bytes) else str(value).strip()


def _unpacked(path: Path) -> Path:
    """Return a folder of the images and metadata of a zip, which the first call writes.

    Raises:
        ValueError: it is damaged, or a member is too large.
    """
    state = path.stat()
    key = hashlib.blake2b(f"{path.absolute()} {state.st_size} {state.st_mtime_ns}".encode(), digest_size=12).hexdigest()
    folder = Path(datasets.config.HF_DATASETS_CACHE, "galaxy_vision_zips", key)
    whole = folder / ".whole"
    if whole.is_file():
        return folder
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                inside = normal_path(entry.filename)
                is_wanted = is_image(entry.filename) or inside.name in METADATA
                if entry.is_dir() or not is_wanted or is_hidden(entry.filename):
                    continue
                if inside.is_absolute() or ".." in inside.parts:
                    raise ValueError(f"{path} has a member {entry.filename!r}, which lies outside of it; pack it anew")
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                with written_whole(folder / inside) as partial:
                    partial.write_bytes(read_member(archive, entry))
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a complete zip file ({error}); download it again") from error
    if not folder.is_dir():
        raise ValueError(f"{path} holds no images; give a zip of class folders")
    whole.touch()
    return folder
