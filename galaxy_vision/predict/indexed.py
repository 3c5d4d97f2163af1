"""List folders, zips, tars and tables of paths in an index on disk, so that memory does not grow with the catalogue.

Only the directory of one zip or tar at a time is held in memory, .6 kB per member.
"""

import hashlib
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice, repeat
from pathlib import Path

import pyarrow as pa

from ..images.limits import IMAGE_SUFFIXES, check_bytes, image_id, is_image, read_limited
from ..images.listing import files_in
from ..runtime.files import written_whole
from .entry import Entry
from .own_tables import scan_table
from .rows import Catalogue, Columns, Row, choose_columns, read_path
from .tars import read_tar, scan_tars

TABLES = ("csv", "table")
KINDS = ("tars", "images", "zip", *TABLES)
"""Kinds of catalogues that need an index."""

_INDEX = pa.schema(
    {
        "id": pa.string(),
        "source": pa.string(),
        "file": pa.binary(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "check": pa.int64(),
        "sparse": pa.bool_(),
        "absent": pa.string(),
    }
)
"""The fields of :class:`~galaxy_vision.predict.entry.Entry`."""

_GIVEN = "given"
"""Column of the index with all columns of the user's table."""

_SURROGATES = ("utf-8", "surrogateescape")  # how Python represents the bytes of a name that is not UTF-8


def write_index(path: Path, kind: str, index: Path, rows_per_part: int, columns: Columns) -> list[str]:
    """Do what :func:`~galaxy_vision.predict.catalogue.write_index` does, for a catalogue of this kind."""
    notes = []
    if kind in TABLES:
        parts = scan_table(path, kind, columns, rows_per_part)
    else:
        entries = {"tars": scan_tars, "images": _scan_folder, "zip": _scan_zip}[kind](path, columns, notes)
        parts = ((part, None) for part in iter(lambda: list(islice(entries, rows_per_part)), []))
    with written_whole(index) as partial:
        with ExitStack() as stack:
            writer = None
            for part, given in parts:
                batch = _index_batch(part, given)
                if writer is None:
                    file = stack.enter_context(pa.OSFile(str(partial), "wb"))
                    writer = stack.enter_context(pa.ipc.new_file(file, batch.schema))
                writer.write_batch(batch)
        if writer is None:
            raise ValueError(f"catalogue={path} holds no row, or no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return notes


def _index_batch(part: list[Entry], given: pa.RecordBatch | None) -> pa.RecordBatch:
    rows = [
        entry._replace(id=_printable(entry.id), source=_printable(entry.source), file=entry.file.encode(*_SURROGATES))
        for entry in part
    ]
    listed = pa.record_batch(list(map(list, zip(*rows, strict=True))), schema=_INDEX)
    if given is None:
        return listed
    struct = pa.StructArray.from_arrays(given.columns, fields=list(given.schema))
    return pa.record_batch([*listed.columns, struct], schema=_INDEX.append(pa.field(_GIVEN, struct.type)))


def _printable(name: str) -> str:
    """Return a name with bytes that are not UTF-8 escaped, as in ``caf\\xe9.jpg``."""
    return name if name.isascii() else name.encode(*_SURROGATES).decode("utf-8", "backslashreplace")


def _scan_folder(folder: Path, columns: Columns, notes: list[str]) -> Iterator[Entry]:
    archives = 0
    for name, file in files_in(folder):
        archives += Path(name).suffix.lower() in (".tar", ".zip")
        if is_image(name):
            try:
                state = file.stat()
            except OSError as error:  # such as a broken link
                yield Entry(image_id(name), name, name, absent=error.strerror)
                continue
            yield Entry(image_id(name), name, name, size=state.st_size, check=state.st_mtime_ns)
    if archives:
        notes.append(
            f"{archives} zip or tar files in {folder} are not read, since it also holds images; predict each of them "
            "separately"
        )


def _scan_zip(path: Path, columns: Columns, notes: list[str]) -> Iterator[Entry]:
    members = list(enumerate(_opened_zip(path).infolist()))
    names = Counter(member.filename for _, member in members)
    for number, member in sorted(members, key=lambda numbered: numbered[1].filename):
        name = member.filename
        if is_image(name) and not member.is_dir():
            source = name if names[name] == 1 else f"{name}@{number}"
            yield Entry(image_id(name), source, "", number, member.file_size, member.CRC)


def _opened_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise ValueError(f"catalogue={path} is not a complete zip file ({error}); download it again") from error


def open_index(path: Path, index: Path, kind: str, columns: Columns) -> Catalogue:
    """Open a catalogue that :func:`write_index` has listed."""
    opened = pa.ipc.open_file(pa.memory_map(str(index)))
    read = _reader(path, kind, columns)
    root = {"images": path, "csv": Path(columns.image_root or path.parent)}.get(kind)

    def load(entry: Entry) -> bytes:
        if entry.absent:
            raise FileNotFoundError(entry.absent)
        check_bytes(entry.size)
        return read(entry)

    given = pa.schema(list(opened.schema.field(_GIVEN).type)) if _GIVEN in opened.schema.names else None

    def entries(part: int) -> Iterator[Entry]:
        for row in zip(*opened.get_batch(part).select(_INDEX.names).to_pydict().values(), strict=True):
            entry = Entry(*row)
            yield entry._replace(file=entry.file.decode(*_SURROGATES))

    def theirs(part: int) -> pa.RecordBatch | None:
        if given is None:
            return None
        return pa.RecordBatch.from_arrays(opened.get_batch(part).column(_GIVEN).flatten(), schema=given)

    def rows(part: int) -> Iterator[Row]:
        table = theirs(part)
        for number, entry in enumerate(entries(part)):
            file = None if root is None else root / entry.file
            row = None if table is None else table.slice(number, 1)
            yield Row(entry.id, entry.source, lambda entry=entry: load(entry), file, row)

    def fingerprint() -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in range(opened.num_record_batches):
            table = theirs(part)
            cells = repeat(()) if table is None else zip(*(column.to_pylist() for column in table.columns), strict=True)
            for entry, row in zip(entries(part), cells, strict=False):
                digest.update(repr((*entry, *row)).encode())
        return digest.hexdigest()

    part_rows = [opened.get_batch(part).num_rows for part in range(opened.num_record_batches)]
    if given is None:
        return Catalogue(part_rows, rows, fingerprint)
    id_column, image_column = choose_columns(given.names, columns, f"catalogue={path}")
    return Catalogue(part_rows, rows, fingerprint, given, id_column, image_column is not None)


def _reader(path: Path, kind: str, columns: Columns) -> Callable[[Entry], bytes]:
    """Return a function that reads the bytes of an image, which must exist and not be too large."""
    if kind == "zip":
        archive = _opened_zip(path)
        members = archive.infolist()  # by index, since two members may have the same name
        return lambda entry: archive.read(members[entry.offset])
    if kind in TABLES:
        return lambda entry: read_path(Path(columns.image_root or path.parent), entry.file)
    folder = path if path.is_dir() else path.parent
    if kind == "tars":
        return lambda entry: read_tar(folder / entry.file, entry)
    return lambda entry: read_limited(folder / entry.file)
