"""All columns of the user's table come back, unchanged, in front of ours."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table
from test_predict_runs import run, small_model

from galaxy_vision.predict.csv_files import csv_batches
from galaxy_vision.predict.given import columns_back
from galaxy_vision.sky.about import about_of

ID = 1237648720693755918  # of SDSS: 19 digits
ROWS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def own(tmp_path, galaxies) -> Table:
    """A table of paths with awkward columns of the user, among them two whose names are ours."""
    for number, (data, *_) in enumerate(galaxies[:ROWS]):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    table = Table()
    table["objID"] = np.arange(ROWS, dtype=np.int64) + ID
    table["path"] = [f"{number}.jpg" for number in range(ROWS)]
    table["ra"] = np.linspace(0.1, 359, ROWS)
    table["ra"].unit, table["ra"].description = "deg", "right ascension"
    table["ra"].info.meta = {"ucd": "pos.eq.ra;meta.main"}
    table["z"] = MaskedColumn(np.linspace(0, 0.1, ROWS), mask=[False] * 5 + [True])
    table["plate"] = ["0012", "0013", "7", "NA", "-", "x"]
    table["Class"] = ["S", "E", "", "Sérsic", "螺旋", "S"]
    table["status"] = np.arange(ROWS, dtype=np.int32)
    return table


WRITE = {".fits": "fits", ".vot": "votable", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv"}


def written(table: Table, path) -> None:
    if path.suffix == ".parquet":
        columns = {name: table[name].tolist() for name in table.colnames}
        pq.write_table(pa.table(columns), path, row_group_size=2)
        return
    if path.suffix == ".fits":
        table["Class"] = [name.encode() for name in table["Class"]]
    table.write(path, format=WRITE[path.suffix])


@pytest.mark.parametrize("ending", [*WRITE, ".parquet"])
def test_all_columns_come_back_in_front_of_ours(ending, own, model, tmp_path, capsys):
    written(own, tmp_path / f"own{ending}")
    frame = run(model, tmp_path / f"own{ending}", tmp_path / "out", "--id_column", "objID")
    said_of = capsys.readouterr().err
    names = ["objID", "path", "ra", "z", "plate", "Class_given", "status_given"]
    assert list(frame.columns)[: len(names) + 3] == [*names, "id", "source", "status"]
    assert "note: the column 'Class' of the catalogue is 'Class_given' in the output" in said_of
    assert "note: the column 'status' of the catalogue is 'status_given' in the output" in said_of
    assert frame["id"].tolist() == frame["objID"].astype(str).tolist() == [str(ID + row) for row in range(ROWS)]
    assert frame["path"].tolist() == list(own["path"]) and frame["status"].eq("ok").all()
    assert frame["ra"].tolist() == own["ra"].tolist() and frame["plate"].tolist() == list(own["plate"])
    assert frame["z"].tolist()[:5] == own["z"].tolist()[:5] and pd.isna(frame["z"][5])
    assert frame["Class_given"].fillna("").tolist() == ["S", "E", "", "Sérsic", "螺旋", "S"]
    assert frame["status_given"].tolist() == list(range(ROWS))
    part = pq.read_schema(next((tmp_path / "out").glob("part-*")))
    if ending in (".vot", ".ecsv", ".fits"):
        about = about_of(part.field("ra"))
        assert about.unit == "deg" and (about.description == "right ascension" or ending == ".fits")
        assert ending == ".fits" or about.ucd == "pos.eq.ra;meta.main"


def test_one_command_gives_the_catalogue_back_in_its_own_format(own, model, tmp_path, capsys):
    own.write(tmp_path / "own.vot", format="votable")
    run(model, tmp_path / "own.vot", tmp_path / "out", "--format", "votable")
    assert "all rows as votable: " in capsys.readouterr().out
    read = Table.read(tmp_path / "out" / "_predictions.vot")
    assert len(read) == ROWS and str(read["ra"].unit) == "deg" and read["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert read["class"].meta["ucd"] == "src.morph.type"


def test_a_column_of_the_catalogue_that_changed_makes_another_run(own, model, tmp_path, capsys):
    own.write(tmp_path / "own.csv", format="ascii.csv")
    run(model, tmp_path / "own.csv", tmp_path / "out")
    own["z"][0] = 0.5
    own.write(tmp_path / "own.csv", format="ascii.csv", overwrite=True)
    run(model, tmp_path / "own.csv", tmp_path / "out", code=2)
    assert "is of another run (catalogue_fingerprint" in capsys.readouterr().err


def test_a_column_of_ids_called_id_is_there_once():
    given = pa.schema([("id", pa.int64()), ("ID2", pa.string()), ("source", pa.string())])
    back, notes = columns_back(given, ["id", "source"], "id")
    assert back.names == ["ID2", "source"] and back.schema.names == ["ID2", "source_given"] and len(notes) == 1
    assert columns_back(None, ["id"], None) == (back._replace(names=[], schema=pa.schema([])), [])


def test_cells_of_a_csv_table_are_numbers_only_if_nothing_is_lost(tmp_path):
    columns = {
        "whole": ["1", "", "-5", "9223372036854775807"],
        "zeros": ["007", "1", "2", "3"],
        "beyond": ["9223372036854775808", "1", "2", "3"],
        "float": ["1", "2.5", "nan", "-1e-5"],
        "mixed": ["1.5", "1237648720693755918", "2", ""],
        "word": ["1.5", "NA", "2", ""],
        "sign": ["-", "1", "2", "3"],
        "blank": ["", "", "", ""],
    }
    pd.DataFrame(columns).to_csv(tmp_path / "own.csv", index=False)
    table = pa.Table.from_batches(csv_batches(tmp_path / "own.csv", 3))
    assert {field.name: str(field.type) for field in table.schema} == {
        "whole": "int64",
        "zeros": "string",
        "beyond": "string",
        "float": "double",
        "mixed": "string",
        "word": "string",
        "sign": "string",
        "blank": "string",
    }
    assert table["whole"].to_pylist() == [1, None, -5, 9223372036854775807]
    for name, cells in columns.items():
        if table[name].type == pa.string():
            assert table[name].to_pylist() == cells


def test_a_file_that_is_no_table_is_refused_in_one_sentence(model, tmp_path, capsys):
    from astropy.io import fits

    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    (tmp_path / "broken.vot").write_text("<VOTABLE><RESOURCE>")
    for name, reason in (("image.fits", "it has no table"), ("broken.vot", "cannot be read as a table")):
        run(model, tmp_path / name, tmp_path / "out", code=2)
        error = capsys.readouterr().err
        assert reason in error and "Traceback" not in error and error.count("error:") == 1
