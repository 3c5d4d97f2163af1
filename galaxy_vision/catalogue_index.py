"""Folders, zips, tars and tables of paths -> an index on disk, so that memory does not grow with the catalogue (the directory of a zip
alone is held, .6 kB a member)."""

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from .catalogue_rows import Catalogue, Columns, Row, choose_columns
from .image_names import IMAGE_SUFFIXES, image_id, is_image
from .images import MAX_BYTES, read_limited
from .whole_files import written_whole

KINDS = ("tars", "images", "zip", "csv")
"""Kinds of catalogues that have an index."""

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

_IN_ORDER = csv.ReadOptions(use_threads=False)  # only then does an error say its row


def write_index(path: Path, kind: str, index: Path, rows_per_part: int, columns: Columns) -> None:
    """As :func:`~galaxy_vision.catalogue.write_index`, of a catalogue of that kind."""
    scan = {"tars": _scan_tars, "images": _scan_folder, "zip": _scan_zip, "csv": _scan_csv}[kind]
    entries = scan(path, columns)
    with written_whole(index) as unfinished:
        with pa.OSFile(str(unfinished), "wb") as file, pa.ipc.new_file(file, _INDEX) as writer:
            parts = 0
            while part := list(islice(entries, rows_per_part)):
                writer.write_batch(pa.record_batch(list(map(list, zip(*part, strict=True))), schema=_INDEX))
                parts += 1
        if not parts:
            raise ValueError(f"catalogue={path} holds no row, or no image ({', '.join(sorted(IMAGE_SUFFIXES))})")


def files_in(folder: Path, inside: str = "") -> Iterator[tuple[str, os.DirEntry]]:
    """Files at any depth, by name, as they are found: (path inside the folder, entry)."""
    with os.scandir(folder / inside) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{inside}{entry.name}"
        if entry.is_dir():
            yield from files_in(folder, name + "/")
        else:
            yield name, entry


def _scan_folder(folder: Path, columns: Columns) -> Iterator[tuple]:
    for name, entry in files_in(folder):
        if is_image(name):
            yield image_id(name), name, str(folder / name), 0, entry.stat().st_size, 0


def _scan_zip(path: Path, columns: Columns) -> Iterator[tuple]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
    except zipfile.BadZipFile as error:
        raise ValueError(f"catalogue={path} is not a complete zip file ({error}); download it again") from error
    for member in members:
        if is_image(member.filename):
            yield image_id(member.filename), member.filename, str(path), member.header_offset, member.file_size, member.CRC


def _scan_tars(path: Path, columns: Columns) -> Iterator[tuple]:
    """As WebDataset names them: the id ends at the first dot, and what lies beside an image under the same id is not read."""
    for file in sorted(path.rglob("*.tar")) if path.is_dir() else [path]:
        prefix = f"{file.relative_to(path)}:" if path.is_dir() else ""
        try:
            with tarfile.open(file, "r:") as archive:
                for member in archive:
                    archive.members = []  # which would otherwise grow with the tar
                    if member.isfile() and is_image(member.name):
                        place = (member.offset_data, member.size, member.chksum)
                        yield Path(member.name).name.split(".")[0], f"{prefix}{member.name}@{place[0]}", str(file), *place
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:  # a size beyond the end fails in seek
            raise ValueError(f"{file} is not a complete, uncompressed tar ({error}); download or unpack it again") from error


def _scan_csv(path: Path, columns: Columns) -> Iterator[tuple]:
    with _naming(path), csv.open_csv(path, read_options=_IN_ORDER) as opened:
        names = opened.schema.names
    id_column, image_column = choose_columns(names, columns, f"catalogue={path}")
    read = [image_column, *([id_column] if id_column else [])]
    options = csv.ConvertOptions(include_columns=read, column_types=dict.fromkeys(read, pa.string()))
    root, number = Path(columns.image_root or path.parent), 0
    with _naming(path), csv.open_csv(path, read_options=_IN_ORDER, convert_options=options) as opened:
        for batch in opened:
            paths = batch.column(image_column).to_pylist()
            ids = batch.column(id_column).to_pylist() if id_column else [image_id(each or "") for each in paths]
            for galaxy_id, image in zip(ids, paths, strict=True):
                yield galaxy_id, f"{path.name}:{number}", str(root / image) if image else "", 0, -1, 0
                number += 1


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of pyarrow, which say the line and what was expected there, with the name of the file."""
    try:
        yield
    except (ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"catalogue={path} cannot be read as a table in UTF-8: {reason}; write it again") from error


def open_index(path: Path, index: Path, kind: str) -> Catalogue:
    """The catalogue that :func:`write_index` has listed."""
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
        return read_limited(file)

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
