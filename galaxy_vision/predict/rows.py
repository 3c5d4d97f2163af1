"""The rows and numbered parts of a catalogue, and the columns of a table that they are read from."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ..data.references import ID_COLUMNS, IMAGE_COLUMNS
from ..images.limits import image_id, is_image, normal_path, read_limited

LONGEST_PATH = 4096
"""Most bytes of a cell that may be a path: PATH_MAX of Linux."""


class Row(NamedTuple):
    """One galaxy of a catalogue.

    Attributes:
        id: id in the catalogue, which may occur twice.
        source: location of the row in the catalogue, which is unique.
        load: returns the bytes of the image; raises FileNotFoundError if there is none, and other errors if it cannot
            be read.
        file: of the image; None where it is in an archive or a table.
        given: one row, all columns of the user's table; None where the catalogue is not a table.
        is_cutout: the image is a cut-out of a service.
        is_framed: it is one that has the right frame already.
    """

    id: str
    source: str
    load: Callable[[], bytes]
    file: Path | None = None
    given: pa.RecordBatch | None = None
    is_cutout: bool = False
    is_framed: bool = False


class Catalogue(NamedTuple):
    """A catalogue in numbered parts.

    Attributes:
        part_rows: number of rows of each part; None where it is unknown before the part is read.
        rows: maps the number of a part to its rows, in order.
        fingerprint: returns a digest of the names, sizes and available checksums of the files, not of all bytes, that
            does not depend on the division into parts; it takes a while.
        given: schema of ``given`` of the rows, with what its columns mean; None where the catalogue is not a table.
        id_column: of a table.
        has_images: whether a table has a column of images; if not, its rows are positions.
        close: ends what was begun for rows that are not needed any more.
    """

    part_rows: list[int | None]
    rows: Callable[[int], Iterator[Row]]
    fingerprint: Callable[[], str]
    given: pa.Schema | None = None
    id_column: str | None = None
    has_images: bool = True
    close: Callable[[], None] = lambda: None


class Columns(NamedTuple):
    """The columns of a table (None for the default names), the root of its paths, its split and configuration.

    ``survey`` is where cut-outs come from if there is no column of images, and ``ra``, ``dec`` and ``radius`` are the
    columns of their positions and of petroR90.
    """

    id: str | None = None
    image: str | None = None
    image_root: str | None = None
    split: str | None = None
    config: str | None = None
    survey: str | None = None
    ra: str | None = None
    dec: str | None = None
    radius: str | None = None


def choose_columns(names: Iterable[str], columns: Columns, where: str) -> tuple[str | None, str | None]:
    """Return the names of the columns of ids (or None) and of images (None for positions in a survey).

    Raises:
        ValueError: a requested column does not exist, there is no column of images, or a chosen name occurs twice.
    """
    names = list(names)
    listed = ", ".join(names)
    in_lower_case = {name.strip().lower(): name for name in reversed(names)}
    chosen = []
    kinds = (("id_column", columns.id, ID_COLUMNS), ("image_column", columns.image, IMAGE_COLUMNS))
    for flag, requested, defaults in kinds:
        if requested is not None and requested not in names:
            raise ValueError(f"{flag}={requested!r} is not a column of {where}; it has {listed}")
        exact = next((name for name in defaults if name in names), None)
        similar = next((in_lower_case[name] for name in defaults if name in in_lower_case), None)
        chosen.append(requested or exact or similar)
        if names.count(chosen[-1]) > 1:
            raise ValueError(
                f"{where} has the column {chosen[-1]!r} {names.count(chosen[-1])} times; rename all but one"
            )
    if chosen[1] is None and columns.survey is None:
        raise ValueError(
            f"{where} has none of the columns {', '.join(IMAGE_COLUMNS)}; name one of {listed} by --image_column, "
            "or fetch cut-outs at positions by --survey"
        )
    return chosen[0], chosen[1]


def check_types(schema: pa.Schema, id_column: str | None, image_column: str | None, where: str) -> None:
    """Check that the types of columns fit ids and images: bytes of a file, a path, or a struct of both.

    Raises:
        ValueError: ids are floats or nested, or images are of another type, such as arrays of pixels.
    """
    if id_column:
        kind = _plain(schema.field(id_column).type)
        if pa.types.is_floating(kind):
            raise ValueError(
                f"{where}: id column {id_column!r} is {kind}, which cannot hold 18 digits; store it as string or int64"
            )
        if pa.types.is_nested(kind):
            raise ValueError(
                f"{where}: id column {id_column!r} is {kind}, not a text or number; name another one by --id_column"
            )
    if image_column is None:
        return
    kind = _plain(schema.field(image_column).type)
    if not _holds_file(kind):
        shown = str(kind) if len(str(kind)) < 120 else f"{str(kind)[:120]}..."
        raise ValueError(
            f"{where}: image column {image_column!r} is {shown}; "
            "give the bytes of an image file (JPEG, PNG, TIFF, FITS) or its path"
        )


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary or extension type."""
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return kind


def _holds_file(kind: pa.DataType) -> bool:
    kind, types = _plain(kind), pa.types
    if types.is_struct(kind):
        types_by_name = {field.name: field.type for field in kind}
        present = types_by_name.keys() & {"bytes", "path"}
        return bool(present) and all(_holds_file(types_by_name[name]) for name in present)
    if types.is_list(kind) or types.is_large_list(kind):
        return types.is_uint8(kind.value_type)
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    data = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return text or data or types.is_fixed_size_binary(kind) or types.is_null(kind)


def as_text(value: Any) -> str:
    """Return a cell as text, also if it is padded bytes, as strings of FITS tables are."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0 ")


def _is_path(data: bytes | None) -> bool:
    """Return whether bytes are not an image but the path of one, or blank, as a path in a FITS table may be."""
    if not data or len(data) > LONGEST_PATH:
        return False
    text = as_text(data)
    return not text or (text.isprintable() and is_image(text))


def row_of(
    galaxy_id: Any, image: Any, source: str, root: Path, read: Callable[[Path, str], bytes] | None = None
) -> Row:
    """Return a row of a table, whose id is by default that of its image file, or else its source.

    Args:
        galaxy_id: cell of the id, or None.
        image: cell of the image: bytes, path, {"bytes", "path"} or None.
        source: location of the row.
        root: folder of relative paths.
        read: reads a path, by default :func:`read_path`.
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

    file = root / path if path and data is None and read is None else None
    return Row(name or image_id(path.split("::")[0]) or source, source, load, file)  # zip://a.jpg::hf://b.zip


def read_path(root: Path, path: str) -> bytes:
    """Return the bytes of a file that a table names, also with backslashes as on Windows.

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
