"""A catalogue of any size -> numbered parts of rows, always cut in the same way.

A part is what one process does at a time. Folders, zips, tars and tables of paths are listed once into an index on disk, so that
memory does not grow with the catalogue (the directory of a zip alone is held, .6 kB a member).
"""

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from .images import FITS_SUFFIXES, IMAGE_SUFFIXES, MAX_BYTES

ID_COLUMNS = ("id", "id_str")
IMAGE_COLUMNS = ("image", "path", "file_loc", "file_name", "filename")
"""Names that are looked for if none is given; `id_str` and `file_loc` are those of galaxy-datasets."""

ROWS_AT_ONCE = 64
"""Rows of a table that are read together: 1 MB of Galaxy Zoo images."""

_INDEX = pa.schema(
    {
        "id": pa.string(),
        "source": pa.string(),
        "file": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "check": pa.int64(),
    }
)


class Row(NamedTuple):
    """One galaxy of a catalogue.

    Attributes:
        id: as the catalogue has it; it may occur twice.
        source: where the row is in the catalogue; it occurs once.
        load: gives the bytes of the image. Raises FileNotFoundError if there are none, other errors if they cannot be read.
    """

    id: str
    source: str
    load: Callable[[], bytes]


class Catalogue(NamedTuple):
    """Numbered parts.

    Attributes:
        part_rows: number of rows of each part; None where only reading it tells.
        rows: part number -> its rows, in order.
        fingerprint: of names, sizes and whatever checksums the files carry (not of every byte); takes a while.
    """

    part_rows: list[int | None]
    rows: Callable[[int], Iterator[Row]]
    fingerprint: Callable[[], str]


class Columns(NamedTuple):
    """Names of the columns of a table, None to look for the usual ones; where relative paths start; and which split is meant."""

    id: str | None = None
    image: str | None = None
    image_root: str | None = None
    split: str | None = None


def needs_index(path: str) -> bool:
    """Whether :func:`write_index` must be called once, by one process, before :func:`open_catalogue`."""
    return _kind(path) in ("tars", "images", "zip", "csv")


def write_index(path: str, index: Path, rows_per_part: int, columns: Columns) -> None:
    """List the images of a folder, zip, tar, folder of tars, or table of paths; one record batch for each part.

    Raises:
        ValueError: the catalogue is damaged, has no such columns, or holds no image.
    """
    scan = {"tars": _scan_tars, "images": _scan_folder, "zip": _scan_zip, "csv": _scan_csv}[_kind(path)]
    entries = scan(Path(path), columns)
    unfinished, found = index.with_suffix(".tmp"), False
    with pa.OSFile(str(unfinished), "wb") as file, pa.ipc.new_file(file, _INDEX) as writer:
        while part := list(islice(entries, rows_per_part)):
            writer.write_batch(pa.record_batch(list(map(list, zip(*part, strict=True))), schema=_INDEX))
            found = True
    if not found:
        unfinished.unlink()
        raise ValueError(f"catalogue={path} holds no row, or no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    unfinished.rename(index)


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
        return _open_parquet(Path(path), rows_per_part, columns)
    if kind == "hub":
        return _open_streamed(path, columns)
    return _open_index(Path(path), index, kind)


def _kind(path: str) -> str:
    place = Path(path)
    if place.is_dir():  # the first file that could be meant decides: listing everything may take minutes
        kinds = (
            {".parquet": "parquet", ".tar": "tars"}.get(Path(name).suffix, "images" * _is_image(name))
            for name, _ in _files(place)
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


# ---------------------------------------------------------------------------------------------- folders, archives, tables of paths


def _is_image(name: str) -> bool:
    name = name.lower()
    suffix = Path(name).suffix
    known = name.endswith(".fits.gz") if suffix == ".gz" else suffix in IMAGE_SUFFIXES | FITS_SUFFIXES
    return known and not Path(name).name.startswith(".")


def _stem(name: str) -> str:
    """File name without its suffix, that of a compressed FITS file being two."""
    return Path(name.removesuffix(".gz")).stem


def _files(folder: Path, inside: str = "") -> Iterator[tuple[str, os.DirEntry]]:
    with os.scandir(folder / inside) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{inside}{entry.name}"
        if entry.is_dir():
            yield from _files(folder, name + "/")
        else:
            yield name, entry


def _scan_folder(folder: Path, columns: Columns) -> Iterator[tuple]:
    for name, entry in _files(folder):
        if _is_image(name):
            yield _stem(name), name, str(folder / name), 0, entry.stat().st_size, 0


def _scan_zip(path: Path, columns: Columns) -> Iterator[tuple]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
    except zipfile.BadZipFile as error:
        raise ValueError(f"catalogue={path} is not a complete zip file ({error}); download it again") from error
    for member in members:
        if _is_image(member.filename):
            yield _stem(member.filename), member.filename, str(path), member.header_offset, member.file_size, member.CRC


def _scan_tars(path: Path, columns: Columns) -> Iterator[tuple]:
    """As WebDataset names them: the id ends at the first dot, and what lies beside an image under the same id is not read."""
    for file in sorted(path.rglob("*.tar")) if path.is_dir() else [path]:
        prefix = f"{file.relative_to(path)}:" if path.is_dir() else ""
        try:
            with tarfile.open(file, "r:") as archive:
                for member in archive:
                    archive.members = []  # which would otherwise grow with the tar
                    if member.isfile() and _is_image(member.name):
                        place = (member.offset_data, member.size, member.chksum)
                        yield Path(member.name).name.split(".")[0], f"{prefix}{member.name}@{place[0]}", str(file), *place
        except tarfile.TarError as error:
            raise ValueError(f"{file} is not a complete, uncompressed tar ({error}); download or unpack it again") from error


def _scan_csv(path: Path, columns: Columns) -> Iterator[tuple]:
    with csv.open_csv(path) as opened:
        names = opened.schema.names
    id_column, image_column = _choose(names, columns, str(path))
    read = [image_column, *([id_column] if id_column else [])]
    options = csv.ConvertOptions(include_columns=read, column_types=dict.fromkeys(read, pa.string()))
    root, number = Path(columns.image_root or path.parent), 0
    with csv.open_csv(path, convert_options=options) as opened:
        for batch in opened:
            paths = batch.column(image_column).to_pylist()
            ids = batch.column(id_column).to_pylist() if id_column else [_stem(each) for each in paths]
            for galaxy_id, image in zip(ids, paths, strict=True):
                yield galaxy_id, f"{path.name}:{number}", str(root / image) if image else "", 0, -1, 0
                number += 1


def _open_index(path: Path, index: Path, kind: str) -> Catalogue:
    opened = pa.ipc.open_file(pa.memory_map(str(index)))
    archive = zipfile.ZipFile(path) if kind == "zip" else None

    def load(source: str, file: str, offset: int, size: int) -> bytes:
        if size > MAX_BYTES:
            raise ValueError(
                f"file of {size / 2**20:.0f} MiB is larger than the limit of {MAX_BYTES >> 20} MiB; cut it down first"
            )
        if archive:
            return archive.read(source)
        if kind == "tars":
            with open(file, "rb") as tar:
                tar.seek(offset)
                return tar.read(size)
        if not file:
            raise FileNotFoundError("the catalogue names no file")
        return Path(file).read_bytes()

    def rows(part: int) -> Iterator[Row]:
        for entry in opened.get_batch(part).to_pylist():
            place = [entry[name] for name in ("source", "file", "offset", "size")]
            yield Row(entry["id"], entry["source"], partial(load, *place))

    def fingerprint() -> str:
        digest = hashlib.blake2b(digest_size=16)
        with open(index, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    part_rows = [opened.get_batch(part).num_rows for part in range(opened.num_record_batches)]
    return Catalogue(part_rows, rows, fingerprint)


# -------------------------------------------------------------------------------------------------------- tables that hold images


def _choose(names: Iterable[str], columns: Columns, where: str) -> tuple[str | None, str]:
    """The columns of id (or None) and image."""
    names = list(names)
    chosen = []
    for flag, given, usual in (("id_column", columns.id, ID_COLUMNS), ("image_column", columns.image, IMAGE_COLUMNS)):
        if given is not None and given not in names:
            raise ValueError(f"{flag}={given!r} is not a column of {where}; it has {', '.join(names)}")
        chosen.append(given or next((name for name in usual if name in names), None))
    if chosen[1] is None:
        raise ValueError(
            f"{where} has none of the columns {', '.join(IMAGE_COLUMNS)}; name one of {', '.join(names)} by --image_column"
        )
    return chosen[0], chosen[1]


def _check_id_type(kind: str, column: str, where: str) -> None:
    if "float" in kind or "double" in kind:
        raise ValueError(f"{where}: id column {column!r} is {kind}, which cannot hold 18 digits; store it as string or int64")


def _loader(image, root: Path) -> Callable[[], bytes]:
    """Of a cell of an image column: bytes, {"bytes", "path"}, or a path."""

    def load() -> bytes:
        data, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
        if isinstance(data, str):
            data, path = None, data
        if data is not None:
            return data
        if not path:
            raise FileNotFoundError("the row has no image")
        return (root / path).read_bytes()

    return load


def _open_parquet(path: Path, rows_per_part: int, columns: Columns) -> Catalogue:
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if columns.split:
        files = [file for file in files if file.name.startswith(columns.split)]
    parts, part_rows, digest = [], [], hashlib.blake2b(digest_size=16)
    for file in files:
        with pq.ParquetFile(file) as opened:
            chosen = _choose(opened.schema_arrow.names, columns, str(file))
            if chosen[0]:
                _check_id_type(str(opened.schema_arrow.field(chosen[0]).type), chosen[0], str(file))
            sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        digest.update(f"{name} {file.stat().st_size} {chosen}".encode() + _footer(file))
        first, start = 0, 0
        for group in range(len(sizes)):
            count = sum(sizes[first : group + 1])
            if count and (count >= rows_per_part or group == len(sizes) - 1):
                parts.append((file, name, chosen, range(first, group + 1), start))
                part_rows.append(count)
                first, start = group + 1, start + count
    if not parts:
        raise ValueError(f"catalogue={path} has no row" + (f" in files named {columns.split}*" if columns.split else ""))

    def rows(part: int) -> Iterator[Row]:
        file, name, (id_column, image_column), groups, number = parts[part]
        root = Path(columns.image_root or file.parent)
        read = [image_column, *([id_column] if id_column else [])]
        with pq.ParquetFile(file, pre_buffer=False) as opened:
            for batch in opened.iter_batches(ROWS_AT_ONCE, row_groups=list(groups), columns=read):
                images = batch.column(image_column).to_pylist()
                ids = batch.column(id_column).to_pylist() if id_column else [None] * len(images)
                for galaxy_id, image in zip(ids, images, strict=True):
                    source = f"{name}:{number}"
                    yield Row(source if galaxy_id is None else str(galaxy_id), source, _loader(image, root))
                    number += 1

    return Catalogue(part_rows, rows, digest.hexdigest)


def _footer(file: Path) -> bytes:
    """The footer of a Parquet file: schema, sizes and statistics of every column chunk."""
    with open(file, "rb") as opened:
        opened.seek(-8, os.SEEK_END)
        length = int.from_bytes(opened.read(4), "little")
        opened.seek(-8 - length, os.SEEK_END)
        return opened.read(length)


def _open_streamed(repo_id: str, columns: Columns) -> Catalogue:
    """A data set of the Hub: nothing is stored here, and a part is one of its files."""
    from datasets import Image, load_dataset  # takes a second
    from huggingface_hub import HfApi
    from huggingface_hub.utils import httpx

    try:
        revision = HfApi().dataset_info(repo_id).sha
        data = load_dataset(repo_id, revision=revision, streaming=True)
    except (OSError, ValueError, httpx.TransportError) as error:  # of the Hub's client and of datasets
        raise ValueError(f"catalogue={repo_id!r} is neither a file here nor a data set on the Hub ({error})") from error
    if columns.split and columns.split not in data:
        raise ValueError(f"split={columns.split!r} is not in catalogue={repo_id!r}; it has {', '.join(data)}")
    parts = []
    for split in [columns.split] if columns.split else list(data):
        stream = data[split]
        features = stream.features or {name: None for row in stream.take(1) for name in row}
        id_column, image_column = _choose(features, columns, f"{repo_id}, split {split}")
        if id_column:
            _check_id_type(str(getattr(features[id_column], "dtype", "")), id_column, repo_id)
        if isinstance(features[image_column], Image):
            stream = stream.cast_column(image_column, Image(decode=False))
        stream = stream.select_columns([image_column, *([id_column] if id_column else [])])
        parts += [(split, stream, number, id_column, image_column) for number in range(stream.num_shards)]

    def rows(part: int) -> Iterator[Row]:
        split, stream, shard, id_column, image_column = parts[part]
        for number, row in enumerate(stream.shard(num_shards=stream.num_shards, index=shard)):
            source = f"{split}/{shard}:{number}"
            galaxy_id = source if id_column is None or row[id_column] is None else str(row[id_column])
            yield Row(galaxy_id, source, _loader(row[image_column], Path(columns.image_root or ".")))

    chosen = [(split, id_column, image_column) for split, _, _, id_column, image_column in parts]
    fingerprint = hashlib.blake2b(f"{repo_id} {revision} {chosen}".encode(), digest_size=16).hexdigest
    return Catalogue([None] * len(parts), rows, fingerprint)
