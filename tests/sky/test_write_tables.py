"""Tables in every format: what was written comes back, with what it means, and other programs open it."""

import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from galaxy_vision.sky.about import ASTROPY_HEADER, HEADERS, About, about_of, abouts_in, with_about
from galaxy_vision.sky.write_tables import FORMATS, write_table

ID = 587722981736120347  # 18 digits: a float would lose the last
LONG = "a barred spiral galaxy " * 60 + 'with “two arms”, one\tcomma, and a "mark" & <less>'
ROWS = 7
MEANING = {
    "id": About("", "meta.id;meta.main", "identifier"),
    "ra": About("deg", "pos.eq.ra;meta.main", "right ascension, ICRS"),
    "dec": About("deg", "pos.eq.dec;meta.main", "declination, ICRS"),
    "objid": About("", "meta.id", "another identifier, as a number"),
    "count": About("", "meta.number", "of which some are absent"),
    "fraction": About("", "src.morph.param", "of which some are not known"),
    "flag": About("", "meta.code", "true or false"),
    "embedding": About("", "", "features"),
    "name": About("", "meta.id", "in any script"),
    "caption": About("", "meta.note", "what is seen"),
}


def table() -> pa.Table:
    columns = {
        "id": [str(ID + row) for row in range(ROWS)],
        "ra": np.linspace(0.1, 359.9, ROWS),
        "dec": np.linspace(-89.9, 89.9, ROWS),
        "objid": pa.array([ID + row for row in range(ROWS)], pa.int64()),
        "count": pa.array([None, 0, 1, 2, 3, None, -5], pa.int32()),
        "fraction": pa.array([0.1, float("nan"), None, 1.0, 1e-30, 0.5, 0.25], pa.float32()),
        "flag": [True, False, True, True, False, False, True],
        "embedding": pa.array(
            np.arange(3 * ROWS, dtype=np.float32).reshape(ROWS, 3).tolist(), pa.list_(pa.float32(), 3)
        ),
        "name": ["M 101", "", "Sérsic", "螺旋", " two  words ", "a;b", "é"],
        "caption": [LONG, "", "", "short", LONG[:100], "1", "nan"],
    }
    made = pa.table(columns)
    return made.cast(pa.schema([with_about(field, MEANING[field.name]) for field in made.schema]))


def written(path, rows: pa.Table | None = None):
    rows = table() if rows is None else rows
    write_table(path, rows.schema, lambda: iter(rows.to_batches(max_chunksize=3)))
    return path


READ = {"parquet": "parquet.votable", "votable": "votable", "fits": "fits", "csv": "ascii.csv", "ecsv": "ascii.ecsv"}


@pytest.mark.filterwarnings("ignore:No table..len")
@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_written_comes_back(kind, tmp_path):
    rows = table() if kind != "parquet" else table().drop_columns("count")  # astropy makes floats of absent numbers
    read = Table.read(written(tmp_path / f"table{FORMATS[kind]}", rows), format=READ[kind])
    if kind == "fits":
        read.convert_bytestring_to_unicode()
    assert read.colnames == rows.column_names and len(read) == ROWS
    assert [str(value) for value in read["id"]] == rows["id"].to_pylist()
    assert np.array_equal(read["objid"], rows["objid"].to_numpy()) and read["objid"].dtype.itemsize == 8
    for name in ("ra", "dec"):
        assert np.array_equal(read[name], rows[name].to_numpy())
    expected = np.array([np.nan if value is None else value for value in rows["fraction"].to_pylist()], np.float32)
    assert np.array_equal(np.ma.filled(read["fraction"], np.nan).astype(np.float32), expected, equal_nan=True)
    if "count" in read.colnames:
        assert np.ma.filled(read["count"], 99).tolist() == [99, 0, 1, 2, 3, 99, -5]
    assert [str(value).lower() for value in read["flag"]] == ["true", "false", "true", "true", "false", "false", "true"]
    if kind != "csv":
        assert np.array_equal(np.stack(list(read["embedding"])), np.arange(3 * ROWS).reshape(ROWS, 3))
    for name in ("name", "caption"):
        texts = ["" if value is np.ma.masked else str(value) for value in read[name]]
        if kind in ("csv", "ecsv", "fits"):  # whose readers take the blanks around text away
            assert [text.strip() for text in texts] == [text.strip() for text in rows[name].to_pylist()]
        else:
            assert texts == rows[name].to_pylist()


@pytest.mark.filterwarnings("ignore:No table..len")
@pytest.mark.parametrize("kind", ["parquet", "votable", "fits", "ecsv"])
def test_units_and_descriptions_come_back(kind, tmp_path):
    path = written(tmp_path / f"table{FORMATS[kind]}", table().drop_columns("count"))
    for how in (READ[kind], None) if kind == "parquet" else (READ[kind],):
        read = Table.read(path, format=how)
        assert (str(read["ra"].unit), str(read["dec"].unit), read["id"].unit) == ("deg", "deg", None)
        assert {name: read[name].description for name in read.colnames} == {
            name: MEANING[name].description for name in read.colnames
        }
        if kind != "fits":  # which has no UCDs
            assert {name: (read[name].meta or {}).get("ucd", "") for name in read.colnames} == {
                name: MEANING[name].ucd for name in read.colnames
            }


def test_parquet_has_the_header_of_the_virtual_observatory(tmp_path):
    """IVOA's note "VOTable in Parquet": two keys of the metadata, and no data in the XML."""
    path = written(tmp_path / "table.parquet")
    metadata = pq.ParquetFile(path).metadata.metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    assert b"<DATA" not in metadata[b"IVOA.VOTable-Parquet.content"] and set(HEADERS) <= set(metadata)
    assert abouts_in(metadata) == abouts_in({ASTROPY_HEADER: metadata[ASTROPY_HEADER]}) == MEANING
    assert {field.name: about_of(field) for field in pq.read_schema(path)} == MEANING


@pytest.mark.parametrize("kind", ["votable", "fits"])
def test_a_table_of_no_rows_is_a_table(kind, tmp_path):
    rows = table()
    path = tmp_path / f"table{FORMATS[kind]}"
    write_table(path, rows.schema, lambda: iter(()))
    assert len(Table.read(path, format=READ[kind])) == 0


def test_a_format_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"table.xls does not end with one of .parquet, .fits, .vot, .csv, .ecsv"):
        written(tmp_path / "table.xls")


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not on PATH; the build installs it")
def test_stilts_opens_fits_votable_and_csv_and_votlint_finds_no_error(tmp_path):
    def stilts(*words) -> str:
        done = subprocess.run(["stilts", *map(str, words)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    for kind in ("fits", "votable", "csv"):  # Debian's build has no reader of ECSV
        path = written(tmp_path / f"table{FORMATS[kind]}")
        shown = stilts(
            "tpipe", f"in={path}", f"ifmt={kind}", "cmd=keepcols 'id ra count name'", "omode=out", "ofmt=csv"
        )
        lines = shown.strip().splitlines()
        assert len(lines) == ROWS + 1 and lines[0] == "id,ra,count,name"
        assert [line.split(",")[0] for line in lines[1:]] == [str(ID + row) for row in range(ROWS)]
        assert [line.split(",")[2] for line in lines[1:]] == ["", "0", "1", "2", "3", "", "-5"]
    assert "ERROR" not in stilts("votlint", tmp_path / "table.vot")


@pytest.mark.parametrize("kind", ["fits", "votable", "csv"])
def test_types_that_a_format_does_not_have_become_text_or_wider_numbers(kind, tmp_path):
    """Columns of the user may be of any type of Arrow."""
    rows = pa.table(
        {
            "when": pa.array([0, None], pa.timestamp("s")),
            "list": [[1, 2], [3]],
            "big": pa.array([2**64 - 1, 1], pa.uint64()),
            "small": pa.array([-1, 1], pa.int8()),
            "word": pa.array(["spiral", "é"]).dictionary_encode(),
            "struct": [{"a": 1, "b": "x"}, None],
            "bytes": [b"ab  ", b"c"],
            "half": pa.array(np.array([0.5, 1.5], np.float16)),
        }
    )
    read = Table.read(written(tmp_path / f"table{FORMATS[kind]}", rows), format=READ[kind])
    if kind == "fits":
        read.convert_bytestring_to_unicode()
    assert read.colnames == rows.column_names
    first = {name: str(read[name][0]) for name in read.colnames}
    assert first == {
        "when": "1970-01-01T00:00:00",
        "list": "[1, 2]",
        "big": "18446744073709551615",
        "small": "-1",
        "word": "spiral",
        "struct": '{"a": 1, "b": "x"}',
        "bytes": "ab",
        "half": "0.5",
    }
    assert str(read["word"][1]) == "é"
