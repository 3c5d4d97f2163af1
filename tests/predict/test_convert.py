"""Predictions in other formats: every column says what it means, and no row is lost."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from predicted_catalogues import CLASSES, table_of, votes_for, write_parts

from galaxy_vision.cli import main
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees
from galaxy_vision.predict.columns import output_columns, schema
from galaxy_vision.predict.parts import MANIFEST
from galaxy_vision.sky.about import about_of


def test_every_column_has_a_description_and_a_ucd_of_the_vocabulary():
    columns = output_columns(CLASSES, Trees([GALAXY_ZOO_2, tree_of("gz_decals_dr5")]), True, 16, True)
    abouts = {field.name: about_of(field) for field in schema(columns)}
    assert len(abouts) == len(columns) > 100
    for name, about in abouts.items():
        assert about.description and about.ucd, name
        assert check_ucd(about.ucd, check_controlled_vocabulary=True), f"{name}: {about.ucd}"
    assert abouts["id"].ucd == "meta.id;meta.main" and abouts["class"].ucd == "src.morph.type"
    assert len({about.description for about in abouts.values()}) == len(abouts)


@pytest.fixture
def predictions(tmp_path):
    rows = table_of(np.stack([votes_for(smooth=share) for share in np.linspace(0.1, 0.9, 10)]))
    return write_parts(tmp_path / "predictions", rows), rows


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".vot", ".csv", ".ecsv"])
def test_the_rows_of_all_parts_are_one_file_in_their_order(ending, predictions, tmp_path, capsys):
    folder, rows = predictions
    (folder / MANIFEST).write_text("{}")
    output = tmp_path / f"galaxies{ending}"
    assert main(["convert", str(folder), "--output", str(output)]) == 0
    assert "10 rows: " in capsys.readouterr().out
    read = Table.read(output, format="votable" if ending == ".vot" else None)
    assert read.colnames == list(rows.columns)
    assert [str(value) for value in read["id"]] == rows["id"].tolist()
    first = next(name for name in rows.columns if name.endswith("_fraction"))
    assert np.allclose(read[first], rows[first])


def test_a_prediction_that_is_not_finished_is_refused(predictions, tmp_path, capsys):
    folder, _ = predictions
    assert main(["convert", str(folder), "--output", str(tmp_path / "galaxies.fits")]) == 2
    assert "is not finished; run galaxy-vision predict again" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "no"), "--output", str(tmp_path / "galaxies.fits")]) == 2
    assert "does not exist; give the output_dir" in capsys.readouterr().err
    assert main(["convert", str(folder), "--output", str(tmp_path / "galaxies.xlsx")]) == 2
    assert "does not end with one of .parquet, .fits" in capsys.readouterr().err
    assert not list(tmp_path.glob("galaxies*"))


def test_memory_does_not_grow_with_the_rows(predictions, tmp_path, monkeypatch):
    """No batch that is held has more rows than ROWS_AT_ONCE."""
    folder, _ = predictions
    (folder / MANIFEST).write_text("{}")
    monkeypatch.setattr("galaxy_vision.predict.convert.ROWS_AT_ONCE", 3)
    assert main(["convert", str(folder), "--output", str(tmp_path / "galaxies.parquet")]) == 0
    opened = pq.ParquetFile(tmp_path / "galaxies.parquet")
    assert max(opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)) <= 3
    assert opened.metadata.num_rows == 10
