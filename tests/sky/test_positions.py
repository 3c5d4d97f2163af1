"""Positions are found in any table, and mean what their units say."""

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable.ucd import check_ucd
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.sky.about import About, about_of, with_about
from galaxy_vision.sky.positions import PositionColumns, parse_position, position_columns, positions_of, with_meaning

NONE = (None, None, None)


def table(columns: dict, **abouts: About) -> pa.RecordBatch:
    batch = pa.record_batch(columns)
    fields = [with_about(field, abouts[field.name]) if field.name in abouts else field for field in batch.schema]
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields))


@pytest.mark.parametrize(
    "names, expected",
    [
        (["id", "ra", "dec"], ("ra", "dec", None)),
        (["RA", "DEC", "petroR90_r"], ("RA", "DEC", "petroR90_r")),
        (["objid", "RA_J2000", "Dec_J2000", "rad"], ("RA_J2000", "Dec_J2000", None)),
        (["RAJ2000", "DEJ2000"], ("RAJ2000", "DEJ2000", None)),
        (["radius", "decals_id", "ra", "dec", "ra_error"], None),
        (["x", "y"], None),
    ],
)
def test_usual_names_are_found(names, expected):
    schema = pa.schema([(name, pa.float64()) for name in names])
    if expected is None:
        with pytest.raises(ValueError, match=f"name them by --ra_column and --dec_column among {names[0]}"):
            position_columns(schema, NONE, "t.csv")
    else:
        assert position_columns(schema, NONE, "t.csv") == expected


def test_flags_come_before_ucds_and_ucds_before_names():
    main = {"alpha": About("deg", "pos.eq.ra;meta.main"), "delta": About("deg", "pos.eq.dec;meta.main")}
    batch = table(dict.fromkeys(["ra", "dec", "alpha", "delta"], [1.0]), **main)
    assert position_columns(batch.schema, NONE, "t")[:2] == ("alpha", "delta")
    assert position_columns(batch.schema, ("ra", "dec", None), "t")[:2] == ("ra", "dec")
    with pytest.raises(ValueError, match="ra_column='x' is not a column of t; it has ra, dec, alpha, delta"):
        position_columns(batch.schema, ("x", None, None), "t")


COLUMNS = PositionColumns("ra", "dec", "r")
M51 = SkyCoord("13h29m52.698s", "+47d11m42.93s")


@pytest.mark.parametrize(
    "ra, dec, unit",
    [
        (M51.ra.deg, M51.dec.deg, "deg"),
        (M51.ra.deg, M51.dec.deg, ""),
        (M51.ra.rad, M51.dec.rad, "rad"),
        (M51.ra.arcsec, M51.dec.arcsec, "arcsec"),
        (str(M51.ra.deg), f"+{M51.dec.deg}", ""),
        ("13:29:52.698", "+47:11:42.93", ""),
        ("13 29 52.698", "+47 11 42.93", '"h:m:s"'),
        ("13h29m52.698s", "47d11m42.93s", ""),
    ],
)
def test_units_are_obeyed_and_sexagesimal_is_read_right(ra, dec, unit):
    batch = table({"ra": [ra], "dec": [dec], "r": [10.0]}, ra=About(unit), dec=About(unit))
    (position,) = positions_of(batch, COLUMNS)
    assert SkyCoord(position.ra, position.dec, unit="deg").separation(M51).arcsec < 1e-3
    assert position.radius == 10.0 and not position.problem


def test_hours_and_arcmin_are_obeyed():
    batch = table({"ra": [1.5], "dec": [-30.0], "r": [0.5]}, ra=About("hourangle"), r=About("arcmin"))
    (position,) = positions_of(batch, COLUMNS)
    assert position[:3] == pytest.approx((22.5, -30.0, 30.0)) and not position.problem


def test_rows_without_a_position_say_why_and_a_wrong_radius_is_measured():
    batch = table(
        {
            "ra": [None, 400.0, 10.0, 359.0, -1.0],
            "dec": [1.0, 1.0, 91.0, 1.0, 1.0],
            "r": [1.0, 1, 1, float("nan"), -9999],
        }
    )
    found = positions_of(batch, COLUMNS)
    assert [position.problem != "" for position in found] == [True, True, True, False, False]
    assert found[3][:3] == (359.0, 1.0, None) and found[4][:3] == (359.0, 1.0, None)
    assert "dec=91" in found[2].problem


def test_a_unit_that_is_not_of_angles_is_refused():
    batch = table({"ra": [1.0], "dec": [1.0], "r": [1.0]}, ra=About("km"))
    with pytest.raises(ValueError, match="the column 'ra' has the unit 'km', which is not one of angles"):
        positions_of(batch, COLUMNS)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 359.999), st.floats(-89.9, 89.9))
def test_a_position_on_the_command_line_is_the_same_in_every_notation(ra, dec):
    position = SkyCoord(ra, dec, unit="deg")
    for separator in (":", " ", None):
        words = position.to_string("hmsdms", precision=6, **({"sep": separator} if separator else {}))
        if separator == " ":
            parts = words.split()
            texts = (" ".join(parts[:3]), " ".join(parts[3:]))
        else:
            texts = tuple(words.split())
        assert SkyCoord(*parse_position(*texts), unit="deg").separation(position).arcsec < 1e-3
    assert np.allclose(parse_position(repr(ra), repr(dec)), (ra, dec))


def test_half_a_position_is_refused():
    with pytest.raises(ValueError, match="a position has two coordinates; give --ra and --dec"):
        parse_position("1", None)
    with pytest.raises(ValueError, match="ra=a dec=b is not a position"):
        parse_position("a", "b")


def test_columns_say_what_they_were_read_as():
    batch = table({"ra": [1.0], "dec": ["+1:00:00"], "r": [1.0]}, r=About("arcmin"))
    abouts = [about_of(field) for field in with_meaning(batch.schema, COLUMNS)]
    assert abouts == [About("deg", "pos.eq.ra;meta.main"), About("", "pos.eq.dec;meta.main"), About("arcmin")]
    assert all(check_ucd(about.ucd, check_controlled_vocabulary=True) for about in abouts if about.ucd)
    assert check_ucd("phys.angSize", check_controlled_vocabulary=True)
