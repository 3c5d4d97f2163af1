"""What a catalogue is made of: rows in numbered parts, and the columns of a table that they come from."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ..images.limits import image_id, is_image, normal_path, read_limited

ID_COLUMNS = ("id", "id_str")
IMAGE_COLUMNS = ("image", "path", "file_loc", "file_name", "filename")
"""Names that are looked for, in any case, if none is given; `id_str` and `file_loc` are those of galaxy-datasets."""

LONGEST_PATH = 4096
"""Bytes of a cell that may be a path: PATH_MAX of Linux."""


class Row(NamedTuple):
    """One galaxy of a catalogue.

    Attributes:
        id: as the catalogue has it; it may occur twice.
        source: where the row is in the catalogue; it occurs once.
        load: gives the bytes of the image. Raises FileNotFoundError if there are none, and other errors if they
            cannot be read.
    """

    id: str
    source: str
    load: Callable[[], bytes]


class Catalogue(NamedTuple):
    """Numbered parts.

    Attributes:
        part_rows: number of rows of each part; None where only reading it tells.
        rows: part number -> its rows, in order.
        fingerprint: of names, sizes and whatever checksums the files carry (not of every byte), whatever the cut into
            parts; takes a while.
    """

    part_rows: list[int | None]
    rows: Callable[[int], Iterator[Row]]
    fingerprint: Callable[[], str]


class Columns(NamedTuple):
    """Which columns, split and configuration of a table are meant.

    Columns by name, None to look for the usual ones; and where relative paths start.
    """

    id: str | None = None
    image: str | None = None
    image_root: str | None = None
    split: str | None = None
    config: str | None = None


def choose_columns(names: Iterable[str], columns: Columns, where: str) -> tuple[str | None, str]:
    """The columns of id (or None) and image.

    Raises:
        ValueError: a given name is not there, none of the usual ones is for the image, or a chosen one occurs twice.
    """
    names = list(names)
    found = ", ".join(names)
    in_lower_case = {name.strip().lower(): name for name in reversed(names)}
    chosen = []
    for flag, given, usual in (("id_column", columns.id, ID_COLUMNS), ("image_column", columns.image, IMAGE_COLUMNS)):
        if given is not None and given not in names:
            raise ValueError(f"{flag}={given!r} is not a column of {where}; it has {found}")
        exact = next((name for name in usual if name in names), None)
        like = next((in_lower_case[name] for name in usual if name in in_lower_case), None)
        chosen.append(given or exact or like)
        if names.count(chosen[-1]) > 1:
            raise ValueError(
                f"{where} has the column {chosen[-1]!r} {names.count(chosen[-1])} times; rename all but one"
            )
    if chosen[1] is None:
        raise ValueError(
            f"{where} has none of the columns {', '.join(IMAGE_COLUMNS)}; name one of {found} by --image_column"
        )
    return chosen[0], chosen[1]


def check_types(schema: pa.Schema, id_column: str | None, image_column: str, where: str) -> None:
    """Whether the cells of these columns can be an id and an image: bytes of a file, a path, or a struct of these.

    Raises:
        ValueError: ids are floats or nested, or images are pixels, bands or anything else.
    """
    if id_column:
        kind = _plain(schema.field(id_column).type)
        if pa.types.is_floating(kind):
            raise ValueError(
                f"{where}: id column {id_column!r} is {kind}, which cannot hold 18 digits; store it as string or int64"
            )
        if pa.types.is_nested(kind):
            raise ValueError(
                f"{where}: id column {id_column!r} is {kind}, not a text or number; name another by --id_column"
            )
    kind = _plain(schema.field(image_column).type)
    if not _holds_file(kind):
        shown = str(kind) if len(str(kind)) < 120 else f"{str(kind)[:120]}..."
        raise ValueError(
            f"{where}: image column {image_column!r} is {shown}; "
            "give the bytes of an image file (JPEG, PNG, TIFF, FITS) or its path"
        )


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary or extension type."""
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return kind


def _holds_file(kind: pa.DataType) -> bool:
    kind, types = _plain(kind), pa.types
    if types.is_struct(kind):
        inside = {field.name: field.type for field in kind}
        return bool(inside.keys() & {"bytes", "path"}) and all(
            _holds_file(inside.get(key, pa.null())) for key in ("bytes", "path")
        )
    if types.is_list(kind) or types.is_large_list(kind):
        return types.is_uint8(kind.value_type)
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    data = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return text or data or types.is_fixed_size_binary(kind) or types.is_null(kind)


def as_text(value: Any) -> str:
    """A cell as text; bytes and padding are what a FITS table leaves of its strings."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0 ")


def _is_path(data: bytes | None) -> bool:
    """Whether these bytes are the path of an image, or blank as a path of a FITS table may be, and not an image."""
    if not data or len(data) > LONGEST_PATH:
        return False
    text = as_text(data)
    return not text or (text.isprintable() and is_image(text))


def row_of(
    galaxy_id: Any, image: Any, source: str, root: Path, read: Callable[[Path, str], bytes] | None = None
) -> Row:
    """A row of a table. Without an id it is called as its image file, and without that as its place.

    Args:
        galaxy_id: the cell of the id, None if there is none.
        image: the cell of the image: bytes, path, {"bytes", "path"} or None.
        source: where the row is.
        root: where relative paths start.
        read: reads the path in the cell, instead of :func:`read_path`.
    """
    data, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
    if isinstance(data, list):
        data = bytes(data)
    if isinstance(data, str) or _is_path(data):
        data, path = None, data
    path = as_text(path) if path else ""
    name = as_text(galaxy_id) if galaxy_id is not None else ""

    def load() -> bytes:
        if data is not None:
            return data
        if not path:
            raise FileNotFoundError("the row has no image")
        return (read or read_path)(root, path)

    return Row(name or image_id(path.split("::")[0]) or source, source, load)  # zip://a.jpg::hf://b.zip


def read_path(root: Path, path: str) -> bytes:
    """The bytes of a file that a table names, also with the backslashes of Windows.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large.
    """
    try:
        return read_limited(root / path)
    except FileNotFoundError:
        if "\\" not in path:
            raise
        return read_limited(root / normal_path(path))
