"""The tables that the builders of the challenge and of Galaxy Zoo 2 read: separators, columns, and cells."""

import numpy as np
import pandas as pd
import pytest
from builder_files import all_rows, without
from conftest import build, refused

from galaxy_vision.models.decision_tree import (
    ANSWERS,
)


def test_a_missing_column_is_named(tmp_path, capsys, challenge_files, gz2_files):
    files = without(challenge_files, "labels", lambda t: t.drop(columns="Class8.7"))
    assert "no column Class8.7 beside Class8.1, " in refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    files = without(challenge_files, "labels", lambda t: t[["GalaxyID"]])
    assert "no column Class1.1" in refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    files = without(gz2_files, "labels", lambda t: t.drop(columns="total_classifications"))
    assert "no column total_classifications" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)
    files = without(gz2_files, "mapping", lambda t: t.drop(columns="asset_id"))
    assert "no column asset_id" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


def test_a_cell_that_is_no_number_is_named_with_file_line_and_column(tmp_path, capsys, challenge_files, gz2_files):
    def spoiled(column, row, value):
        return lambda table: table.astype({column: object}).assign(
            **{column: lambda t: t[column].where(np.arange(len(t)) != row, value)}
        )

    files = without(challenge_files, "labels", spoiled("Class3.1", 7, "n/a?"))
    error = refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    assert f"{files['labels']}, line 9, column Class3.1: 'n/a?' is not a number" in error
    files = without(challenge_files, "labels", spoiled("GalaxyID", 0, "1.00008e5"))
    error = refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    assert f"{files['labels']}, line 2, column GalaxyID: '1.00008e5' is not an integer" in error
    column = f"{ANSWERS[5]}_count"
    files = without(gz2_files, "labels", spoiled(column, 59, "many"))
    error = refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)
    assert f"line 61, column {column}: 'many' is not a number" in error
    files = without(gz2_files, "mapping", spoiled("asset_id", 2, ""))
    assert "line 4, column asset_id: '' is not an integer" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


@pytest.mark.parametrize(
    "content, reason", [(b"", "is empty"), (b"a,b\n1,2,3\n1,2,3,4\n", "no column"), (b"\xff\xfe\x00", "not a CSV")]
)
def test_a_table_that_is_none_is_named(tmp_path, capsys, challenge_files, gz2_files, content, reason):
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    for name, files in (("galaxy_zoo_challenge", challenge_files), ("galaxy_zoo_2", gz2_files)):
        error = refused(capsys, name, tmp_path / "out", **(files | {"labels": table}))
        assert str(table) in error and reason in error


def test_tables_may_be_separated_by_semicolons_and_tabs(tmp_path, challenge_files, gz2_files):
    known = all_rows(build("galaxy_zoo_challenge", tmp_path / "commas", **challenge_files))
    for name, separator in (("semicolons", ";"), ("tabs", "\t")):
        table = pd.read_csv(challenge_files["labels"], dtype=str)
        table.to_csv(tmp_path / f"{name}.csv", index=False, sep=separator, encoding="utf-8-sig")
        rows = all_rows(
            build("galaxy_zoo_challenge", tmp_path / name, **challenge_files | {"labels": tmp_path / f"{name}.csv"})
        )
        assert {key: row["votes"].tolist() for key, row in rows.items()} == {
            key: row["votes"].tolist() for key, row in known.items()
        }
    mapping = tmp_path / "mapping.tsv"
    pd.read_csv(gz2_files["mapping"], dtype=str).to_csv(mapping, index=False, sep="\t")
    assert len(all_rows(build("galaxy_zoo_2", tmp_path / "gz2", **gz2_files | {"mapping": mapping}))) == 60
