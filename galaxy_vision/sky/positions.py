"""Positions and radii from the columns of any table: by name, unit, UCD and usual names; decimal or sexagesimal."""

from collections.abc import Sequence
from typing import NamedTuple

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import Angle, SkyCoord
from astropy.table import Table

from .about import About, about_of, with_about

RA_UCD, DEC_UCD, MAIN = "pos.eq.ra", "pos.eq.dec", "meta.main"
RADIUS_NAMES = ("petror90_r", "petror90", "petro_r90", "petrorad90", "petro90", "petro_th90", "petro_theta90")
"""Usual names of the column of petroR90, in any case; arcsec without a unit, as in the tables of SDSS."""

OF_VIZIER = (("raj2000", "dej2000"), ("_raj2000", "_dej2000"), ("ra_icrs", "de_icrs"))
"""Names of positions in tables of VizieR, in any case, whose declination astropy does not know."""


class PositionColumns(NamedTuple):
    """Names of the columns of a position, and of petroR90 (None where it is measured)."""

    ra: str
    dec: str
    radius: str | None = None


class Position(NamedTuple):
    """A position, ICRS degrees, and petroR90 in arcsec.

    Attributes:
        ra: right ascension.
        dec: declination.
        radius: None where it must be measured.
        problem: why there is no position; empty where there is one.
    """

    ra: float
    dec: float
    radius: float | None
    problem: str = ""


def position_columns(schema: pa.Schema, given: Sequence[str | None], where: str) -> PositionColumns:
    """Choose the columns of positions: those that are named, or by UCD, or by the usual names of astropy.

    Args:
        schema: of the table, whose fields may say what they mean.
        given: names of the columns of right ascension, declination and petroR90; None to guess.
        where: of the table, for errors.

    Raises:
        ValueError: a named column does not exist, or there are none or several that could be meant.
    """
    names = list(schema.names)
    for flag, name in zip(("ra_column", "dec_column", "radius_column"), given, strict=True):
        if name is not None and name not in names:
            raise ValueError(f"{flag}={name!r} is not a column of {where}; it has {', '.join(names)}")
    ra, dec, radius = given
    ra, dec = ra or _by_ucd(schema, RA_UCD), dec or _by_ucd(schema, DEC_UCD)
    if not (ra and dec):
        guessed = _by_name(names)
        if guessed is None:
            raise ValueError(
                f"{where} has no columns of positions, or several that could be meant; name them by --ra_column and "
                f"--dec_column among {', '.join(names)}"
            )
        ra, dec = ra or guessed[0], dec or guessed[1]
    radius = radius or next((name for name in names if name.lower() in RADIUS_NAMES), None)
    return PositionColumns(ra, dec, radius)


def with_meaning(schema: pa.Schema, columns: PositionColumns) -> pa.Schema:
    """Return a schema in which columns of positions say what they were read as, where they said nothing."""
    known = {columns.ra: About("deg", f"{RA_UCD};{MAIN}"), columns.dec: About("deg", f"{DEC_UCD};{MAIN}")}
    if columns.radius:
        known[columns.radius] = About("arcsec", "phys.angSize")
    fields = []
    for field in schema:
        if field.name in known and not any(about_of(field)):
            read = known[field.name]
            is_number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
            field = with_about(field, read if is_number else read._replace(unit=""))
        fields.append(field)
    return pa.schema(fields, schema.metadata)


def _by_ucd(schema: pa.Schema, ucd: str) -> str | None:
    """Return the main column of a UCD, or the only one."""
    words = {field.name: about_of(field).ucd.lower().split(";") for field in schema}
    found = [name for name, parts in words.items() if parts[0] == ucd]
    main = [name for name in found if MAIN in words[name]]
    return main[0] if len(main) == 1 else found[0] if len(found) == 1 else None


def _by_name(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the columns that astropy takes for a position, each of which is given a value of its own to be told by."""
    lower = {name.lower(): name for name in names}
    for ra, dec in OF_VIZIER:
        if ra in lower and dec in lower:
            return lower[ra], lower[dec]
    names = [name for name in names if "ra" in name.lower() or "dec" in name.lower()]
    values = {name: [float(number + 1)] for number, name in enumerate(names[:80])}
    try:
        found = SkyCoord.guess_from_table(Table(values), unit=u.deg)
    except (ValueError, TypeError):
        return None
    numbers = round(float(found.ra.deg[0])) - 1, round(float(found.dec.deg[0])) - 1
    return names[numbers[0]], names[numbers[1]]


def positions_of(table: pa.RecordBatch, columns: PositionColumns) -> list[Position]:
    """Return the position of each row, by the units of the columns.

    Right ascension without a unit is in degrees, or in hours where it is sexagesimal (``13:29:52.7``); a radius without
    a unit is in arcsec.

    Raises:
        ValueError: a unit is not one of angles.
    """
    ra = _degrees(table, columns.ra, "hour")
    dec = _degrees(table, columns.dec, "deg")
    radii = [None] * table.num_rows
    if columns.radius:
        radii = _numbers(table, columns.radius, u.arcsec)
    return [_position(*row) for row in zip(ra, dec, radii, strict=True)]


def _position(ra: float, dec: float, radius: float | None) -> Position:
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return Position(ra, dec, None, "the row has no position")
    if not (-90 <= dec <= 90 and -360 <= ra <= 360):
        return Position(ra, dec, None, f"ra={ra:g} dec={dec:g} deg is not a position on the sky")
    return Position(ra % 360, dec, float(radius) if radius is not None and np.isfinite(radius) and radius > 0 else None)


def _unit(table: pa.RecordBatch, name: str, default: u.Unit) -> u.Unit:
    text = about_of(table.schema.field(name)).unit.strip().strip('"').lower()
    if not text or ":" in text:  # "h:m:s" of CDS: sexagesimal, as the cells are
        return default
    try:
        unit = {"hms": default, "dms": default, "degrees": u.deg, "hours": u.hourangle}.get(text) or u.Unit(text)
        unit.to(u.deg)
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise ValueError(f"the column {name!r} has the unit {text!r}, which is not one of angles; mend it") from error
    return unit


def _numbers(table: pa.RecordBatch, name: str, default: u.Unit) -> np.ndarray:
    """Return the numbers of a column in the default unit; NaN where there is none."""
    values = [_number(value) for value in table.column(name).to_pylist()]
    return (np.array(values, float) * _unit(table, name, default)).to_value(default)


def _number(value) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _degrees(table: pa.RecordBatch, name: str, sexagesimal: str) -> np.ndarray:
    """Return the angles of a column in degrees, cell by cell where they are text."""
    column, unit = table.column(name), _unit(table, name, u.deg)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return _numbers(table, name, u.deg)
    return np.array([_angle(cell, unit, sexagesimal) for cell in column.to_pylist()], float)


def parse_position(ra: str | None, dec: str | None) -> tuple[float, float]:
    """Return a position in ICRS degrees.

    Args:
        ra: decimal degrees, or sexagesimal hours such as ``13:29:52.7`` or ``13h29m52.7s``.
        dec: degrees, decimal or sexagesimal.

    Raises:
        ValueError: one is missing, or they are not a position.
    """
    if ra is None or dec is None:
        raise ValueError("a position has two coordinates; give --ra and --dec, both in degrees or sexagesimal")
    position = _position(_angle(str(ra), u.deg, "hour"), _angle(str(dec), u.deg, "deg"), None)
    if position.problem:
        raise ValueError(f"ra={ra} dec={dec} is not a position; give degrees, or hours and degrees such as 13:29:52.7")
    return position.ra, position.dec


def _angle(cell: str | None, unit: u.Unit, sexagesimal: str) -> float:
    text = (cell or "").strip().replace("−", "-")
    try:
        return float((float(text) * unit).to_value(u.deg))
    except ValueError:
        pass
    try:
        own_unit = any(letter in text for letter in "hd°")
        return float((Angle(text) if own_unit else Angle(text, sexagesimal)).to_value(u.deg))
    except (ValueError, u.UnitsError, TypeError):
        return float("nan")
