"""A folder of images -> its splits: what a class folder is, and its name, for training and for the builder.

``datasets`` would take words in the names of files for splits, hidden folders for classes, and nothing at all for
labels where folders are nested; and it reads ``metadata.csv`` with pandas, to which `00005` is 5 and `NA` is nothing.
"""

import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, Features, Image, List, Value

from ..images.limits import is_image, normal_path
from ..images.listing import files_in
from ..models.trees import Trees
from ..runtime.files import written_whole
from .checks import set_fingerprint
from .class_names import clean_name
from .csv_tables import read_text
from .references import ID_COLUMNS
from .splits import split_name
from .votes import vote_columns

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FLOAT_ID = re.compile(r"[+-]?\d(\.\d+[eE]\+?|[eE]\+)\d+")
"""An id that was a floating-point number once, such as 1.23e+17: its last digits are lost."""


def folder_labels(names: Sequence[str], where: str) -> list[tuple[str | None, str]]:
    """The split (None if no folder names one) and the class of each image, from the folders that it lies in.

    A class folder holds images, and its name is its whole path: ``spiral/barred``, ``spiral/plain``, ``round``. Folders
    that all images lie in say nothing, and a folder that names a split, wherever it lies, is not a part of the class.
    An image that lies in no folder, or in one that holds others, has the class ``""`` or that of the outer one;
    :func:`check_classes` refuses both.

    Args:
        names: paths of images inside the folder.
        where: the folder, for errors.

    Raises:
        ValueError: some images lie in a split and others in none, or one in several.
    """
    parts = [normal_path(name).parts[:-1] for name in names]
    outer = os.path.commonprefix(parts)
    parts = [folders[len(outer) :] for folders in parts]
    splits = [{split_name(folder) for folder in folders} - {None} for folders in parts]
    if any(splits):
        for name, named in zip(names, splits, strict=True):
            if len(named) != 1:
                lies = (
                    f"in folders of several splits ({', '.join(sorted(named))})" if named else "in no folder of a split"
                )
                raise ValueError(
                    f"{where} has folders of splits, and {name} lies {lies}; put every image into one of train, "
                    "validation and test"
                )
        parts = [tuple(folder for folder in folders if split_name(folder) is None) for folders in parts]
        parts = [folders[len(os.path.commonprefix(parts)) :] for folders in parts]
    else:
        above = [split_name(part) for part in outer if split_name(part)]
        splits = [set(above[-1:])] * len(names)
    classes = ["/".join(map(clean_name, folders)) for folders in parts]
    return [(next(iter(split), None), name) for split, name in zip(splits, classes, strict=True)]


def check_classes(names: Sequence[str], classes: Sequence[str], where: str) -> None:
    """Raise ValueError where class folders are not there, or lie in one another.

    Args:
        names: paths of images.
        classes: of each, from :func:`folder_labels`.
        where: the folder, for errors.
    """
    counts = Counter(classes)
    if len(counts) < 2:
        folders = sorted({normal_path(name).parent.name or "no folder" for name in names})
        raise ValueError(
            f"{where} has one class only: its {len(names)} images lie in {', '.join(folders[:3])}; put those of each "
            "class into a "
            "folder of its name"
        )
    for name in sorted(counts):
        within = [other for other in counts if other != name and (not name or other.startswith(name + "/"))]
        if within:
            index = classes.index(name)
            raise ValueError(
                f"{where} has {counts[name]} images beside class folders, such as {names[index]} beside {within[0]}; "
                "a folder holds "
                "images or class folders, so move them into a class folder, or away"
            )


def load_image_folder(folder: Path, trees: Trees | None = None) -> DatasetDict:
    """Load a folder of class folders, of split folders with them, or of images with ``metadata.csv`` or the like.

    Labels, as text, come from the metadata if they are there, otherwise from the folders. Ids are text. An image
    without a row in the metadata is left out, with a warning. Columns of votes are those of ``trees``, or of the
    campaigns that are recognised.

    Raises:
        ValueError: there are neither metadata nor class folders, or they contradict the images.
    """
    where, files = f"dataset={str(folder)!r}", [name for name, _ in files_in(folder)]
    names = [name for name in files if is_image(name)]
    tables = [name for name in files if PurePosixPath(name).name in METADATA]
    if not names:
        raise ValueError(
            f"{where} holds neither Parquet files, class folders nor metadata.csv; build it with a script of "
            "datasets_scripts"
        )
    labelled = folder_labels(names, where)
    rows = {name: {} for name in names}
    if tables:
        rows = _metadata(folder, tables, set(names), where, trees)
        columns = {column for row in rows.values() for column in row}
        if left := [name for name in names if name not in rows]:
            warnings.warn(
                f"{where}: {len(left)} of {len(names)} images have no row in {', '.join(tables)} and are left out, "
                "such as "
                f"{', '.join(left[:3])}",
                stacklevel=3,
            )
    if not tables or not ({"label", "votes"} & columns or vote_columns(columns, trees)):
        classes = [name for _, name in labelled]
        if not tables or any(classes):
            check_classes(names, classes, where)
            rows = {
                name: row | {"label": label}
                for name, label in zip(names, classes, strict=True)
                if (row := rows.get(name)) is not None
            }
    splits = {name: split or "train" for name, (split, _) in zip(names, labelled, strict=True) if name in rows}
    numbers = set(vote_columns({column for row in rows.values() for column in row}, trees)) - {"votes"}
    return as_splits(folder, rows, splits, numbers)


def _metadata(folder: Path, tables: list[str], images: set[str], where: str, trees: Trees | None) -> dict[str, dict]:
    """Path of an image -> its row of the metadata, in the order of the tables."""
    rows, known = {}, {clean_name(name): name for name in images}
    for table in tables:
        for number, row in enumerate(_read_metadata(folder / table, trees)):
            row.pop("image", None)
            file = row.pop("file_name", None)
            inside = PurePosixPath(table).parent / normal_path(file) if file else PurePosixPath()
            name = known.get(clean_name(os.path.normpath(inside).replace(os.sep, "/")))
            if name is None:
                raise ValueError(
                    f"{where}: row {number} of {table} names {file!r}, which is not an image there; remove the row"
                )
            if name in rows:
                raise ValueError(f"{where}: {table} names {file} again in row {number}; keep one of its rows")
            for column in ID_COLUMNS:
                if FLOAT_ID.fullmatch(str(row.get(column))):
                    raise ValueError(
                        f"{where}: row {number} of {table} has {column} {row[column]}, whose last digits are lost; "
                        "write ids as text"
                    )
            rows[name] = row
    return rows


def _read_metadata(path: Path, trees: Trees | None) -> Iterator[dict]:
    """Rows with ids, labels and what else there is as text, and votes as numbers."""
    if path.suffix == ".csv":
        rows = read_text(str(path), ["file_name"], "one with the path of each image beside it").to_pylist()
    elif path.suffix == ".jsonl":
        rows = _read_lines(path)
    else:
        try:
            rows = pq.read_table(path).to_pylist()
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is damaged ({error}); write it again") from error
    for number, row in enumerate(rows):
        numbers = set(vote_columns(row, trees))
        yield {key: _cell(value, key in numbers, f"{path}, row {number}, column {key}") for key, value in row.items()}


def _read_lines(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError as error:
                raise ValueError(f"{path}, line {number} is not JSON ({error}); mend or remove the line") from error
            if isinstance(row, dict):
                yield row
            elif row is not None:
                raise ValueError(f"{path}, line {number} is not an object of JSON; mend or remove the line")


def _cell(value, number: bool, where: str):
    """A list of votes or captions as it is, a number where one is meant, otherwise text."""
    if number and not isinstance(value, list):
        try:
            return None if value is None or value == "" else float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{where}: {value!r} is not a number; mend or remove the row") from None
    return value if value is None or isinstance(value, list | str) else str(value)


def as_splits(
    folder: Path, rows: dict[str, dict], splits: dict[str, str], numbers: set[str] = frozenset()
) -> DatasetDict:
    """Write rows to memory-mapped data sets, whose fingerprints change with any cell and any image's size or time.

    Args:
        folder: of the images.
        rows: path of an image inside the folder -> its cells.
        splits: path of an image -> its split.
        numbers: columns of floats; others are lists, or text.
    """
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lists = {column for row in rows.values() for column, value in row.items() if isinstance(value, list)}
    kinds = {column: Value("float64" if column in numbers else "string") for column in columns}
    kinds |= {column: List(Value("float32" if column == "votes" else "string")) for column in lists}
    features = Features({"image": Image()} | kinds)
    data = {}
    for split in dict.fromkeys(splits.values()):
        names = [name for name in rows if splits[name] == split]
        images = [{"bytes": None, "path": str(folder / name)} for name in names]
        cells = {"image": images} | {column: [rows[name].get(column) for name in names] for column in columns}
        table = pa.table(cells, schema=features.arrow_schema)
        digest = hashlib.blake2b(digest_size=16)
        for name in names:
            state = os.stat(folder / name)
            digest.update(f"{state.st_size} {state.st_mtime_ns}\n".encode())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        content = sink.getvalue()
        digest.update(content)
        path = Path(datasets.config.HF_DATASETS_CACHE, "galaxy_vision_folders", digest.hexdigest(), f"{split}.arrow")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as unfinished:
                unfinished.write_bytes(content)
        data[split] = Dataset.from_file(str(path), split=datasets.NamedSplit(split))
        set_fingerprint(data[split], digest.hexdigest())  # else it would hold the time at which this file was written
    return DatasetDict(data)
