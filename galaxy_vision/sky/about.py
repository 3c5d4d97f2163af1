"""What a column means: its unit, UCD and description, in Arrow schemas and in the headers of Parquet files.

IVOA's note "VOTable in Parquet" puts the VOTable without its rows into the metadata of a Parquet file, and astropy's
own Parquet files have a header in YAML. Files of ours have both, so that ``Table.read(file)`` and
``Table.read(file, format="parquet.votable")`` see units.
"""

import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
from astropy.io.votable import from_table, parse
from astropy.table import Table
from astropy.table.meta import get_header_from_yaml, get_yaml_from_table

VOTABLE_VERSION, VOTABLE_CONTENT = b"IVOA.VOTable-Parquet.version", b"IVOA.VOTable-Parquet.content"
ASTROPY_HEADER = b"table_meta_yaml"
HEADERS = (VOTABLE_VERSION, VOTABLE_CONTENT, ASTROPY_HEADER)
"""Keys of the metadata of a Parquet file that hold what its columns mean."""


class About(NamedTuple):
    """What a column means.

    Attributes:
        unit: as VOTables write it, such as ``deg``; empty for none.
        ucd: unified content descriptor of IVOA; empty where it is not known.
        description: in words.
    """

    unit: str = ""
    ucd: str = ""
    description: str = ""


def with_about(field: pa.Field, about: About) -> pa.Field:
    """Return a field whose metadata say what it means."""
    return field.with_metadata({name: value for name, value in about._asdict().items() if value})


def about_of(field: pa.Field) -> About:
    """Return what the metadata of a field say."""
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return About(*(metadata.get(name, "") for name in About._fields))


def as_about(column) -> About:
    """Return what a column of an astropy table means."""
    unit = column.unit.to_string("vounit") if hasattr(column.unit, "to_string") and _in_vounits(column.unit) else ""
    unit = unit or str(column.unit or "")
    return About(unit, str(column.info.meta.get("ucd") or "") if column.info.meta else "", column.description or "")


def _in_vounits(unit) -> bool:
    try:
        unit.to_string("vounit")
    except ValueError:
        return False
    return True


def yaml_header(one: Table) -> list[str]:
    """Return the lines of astropy's header of a table of one row, whose text columns are objects."""
    return get_yaml_from_table(_with_text(one, {}))


def votable_header(one: Table, lengths: Mapping[str, int]) -> dict[bytes, bytes]:
    """Return the metadata of a Parquet file that IVOA's note asks for.

    Args:
        one: table of one row, whose text columns are objects.
        lengths: most characters of text columns. astropy cannot read the header of text of any length.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units of the user that VOTables do not know are kept as they are
        votable, file = from_table(_with_text(one, lengths)), io.BytesIO()
        votable.to_xml(file)
    root = ET.fromstring(file.getvalue())
    space = root.tag.removesuffix("VOTABLE")
    ET.register_namespace("", space.strip("{}"))
    (table,) = root.iter(f"{space}TABLE")
    table.attrib.pop("nrows", None)
    for data in table.findall(f"{space}DATA"):
        table.remove(data)
    content = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return {VOTABLE_VERSION: b"1.0", VOTABLE_CONTENT: content}


def _with_text(one: Table, lengths: Mapping[str, int]) -> Table:
    """Return a table whose text columns have lengths, 1 where it is not known."""
    columns = [one[name] for name in one.colnames]
    return Table(
        [column.astype(f"U{lengths.get(column.name, 1)}") if column.dtype.kind == "O" else column for column in columns]
    )


def abouts_in(metadata: dict[bytes, bytes] | None) -> dict[str, About]:
    """Return what the metadata of a Parquet file say of its columns; damaged headers say nothing."""
    metadata = metadata or {}
    try:
        if VOTABLE_CONTENT in metadata:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = parse(io.BytesIO(metadata[VOTABLE_CONTENT])).get_first_table()
            return {
                field.name: About(str(field.unit or ""), field.ucd or "", field.description or "")
                for field in table.fields
            }
        if ASTROPY_HEADER in metadata:
            header = get_header_from_yaml(metadata[ASTROPY_HEADER].decode().splitlines())
            return {
                column["name"]: About(
                    str(column.get("unit") or ""),
                    str((column.get("meta") or {}).get("ucd") or ""),
                    column.get("description") or "",
                )
                for column in header["datatype"]
            }
    except (ValueError, KeyError, IndexError, TypeError, OSError):  # of a program that wrote it otherwise
        pass
    return {}
