"""The builder of the Galaxy Challenge on small files in the published layout."""

import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from builder_files import PARTIAL, all_rows, partial_tables, without
from conftest import build, builder, refused

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.splits import split_of
from galaxy_vision.data.writer import write_dataset
from galaxy_vision.models.decision_tree import (
    KAGGLE_COLUMNS,
    conditional_fractions,
    kaggle_from_conditional,
)


def test_the_challenge_keeps_images_byte_for_byte_and_fractions_exactly(tmp_path, challenge_files, galaxies):
    data = build("galaxy_zoo_challenge", tmp_path / "out", **challenge_files)
    rows = all_rows(data)
    assert len(rows) == len(galaxies)
    raw = data["train"].with_format("arrow")["image"].to_pylist()
    assert {image["bytes"] for image in raw} <= {jpeg for jpeg, _, _ in galaxies}
    table = pd.read_csv(challenge_files["labels"], dtype={"GalaxyID": str}).set_index("GalaxyID")
    for galaxy_id, row in rows.items():
        again = kaggle_from_conditional(conditional_fractions(row["votes"]))
        assert np.allclose(again, table.loc[galaxy_id, list(KAGGLE_COLUMNS)].to_numpy(), atol=1e-5)


def test_questions_that_a_challenge_table_lacks_are_unknown_and_the_others_as_in_the_whole_table(
    tmp_path, challenge_files
):
    tables = partial_tables(challenge_files, slice(0, 30), slice(30, 60))
    complete = all_rows(build("galaxy_zoo_challenge", tmp_path / "complete", **challenge_files))
    builder("galaxy_zoo_challenge")(
        ["--images", str(challenge_files["images"]), "--labels", *tables, "--output_dir", str(tmp_path / "out")]
    )
    rows = all_rows(load_galaxies(str(tmp_path / "out")))
    known = np.isin([column.split(".")[0] for column in KAGGLE_COLUMNS], PARTIAL)
    for number, (galaxy_id, row) in enumerate(sorted(complete.items(), key=lambda item: int(item[0]))):
        votes = rows[galaxy_id]["votes"]
        assert np.allclose(votes[known], row["votes"][known], atol=1e-4)  # also in Q6 and Q8, whose release is wrong
        assert np.isnan(votes[~known]).all() if number >= 30 else np.allclose(votes, row["votes"])


def test_the_first_of_several_challenge_tables_describes_a_galaxy(tmp_path, challenge_files):
    tables = partial_tables(challenge_files, slice(0, 40), slice(20, 60))
    builder("galaxy_zoo_challenge")(
        ["--images", str(challenge_files["images"]), "--labels", *tables, "--output_dir", str(tmp_path / "out")]
    )
    rows = all_rows(load_galaxies(str(tmp_path / "out")))
    assert len(rows) == 60 and sum(np.isnan(row["votes"]).any() for row in rows.values()) == 20
    assert (tmp_path / "out" / "dropped.tsv").read_text().count("duplicate id: only the first is kept") == 20


def test_all_rows_of_the_challenge_may_be_for_training(tmp_path, challenge_files):
    build("galaxy_zoo_challenge", tmp_path / "out", **challenge_files, split="train")
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    assert "All rows are of the split train." in (tmp_path / "out" / "README.md").read_text()


def test_images_may_lie_in_a_folder(tmp_path, challenge_files):
    with zipfile.ZipFile(challenge_files["images"]) as archive:
        archive.extractall(tmp_path / "unpacked")
    data = build("galaxy_zoo_challenge", tmp_path / "out", **(challenge_files | {"images": tmp_path / "unpacked"}))
    assert sum(len(rows) for rows in data.values()) == 60


def test_two_builds_are_the_same_bytes_and_a_row_more_moves_no_galaxy(tmp_path, challenge_files):
    build("galaxy_zoo_challenge", tmp_path / "one", **challenge_files)
    build("galaxy_zoo_challenge", tmp_path / "two", **challenge_files)
    for shard in sorted((tmp_path / "one" / "data").iterdir()):
        assert shard.read_bytes() == (tmp_path / "two" / "data" / shard.name).read_bytes()
    files = without(challenge_files, "labels", lambda t: t.iloc[:40])
    fewer = build("galaxy_zoo_challenge", tmp_path / "three", **files)
    for split, rows in fewer.items():
        assert {split_of(key) for key in rows["id"]} == {split}


def test_the_card_counts_what_came_in_and_what_was_dropped(tmp_path, challenge_files):
    def spoil(table):
        table = pd.concat([table, table.iloc[[3]]])  # a duplicate
        table.iloc[0, 1] = 1.5
        return table

    files = without(challenge_files, "labels", spoil)
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(files["images"]) as source, zipfile.ZipFile(broken, "w") as target:
        for index, name in enumerate(source.namelist()):
            if index != 1:  # the second galaxy has no image, the third half of one
                target.writestr(name, source.read(name)[: 1500 if index == 2 else None])
    data = build("galaxy_zoo_challenge", tmp_path / "out", **(files | {"images": broken}))
    assert sum(len(rows) for rows in data.values()) == 57
    card = (tmp_path / "out" / "README.md").read_text()
    assert "61 rows in, 57 out, 4 dropped" in card
    for reason in ("duplicate id", "no image", "unreadable image", "vote fraction outside 0..1"):
        assert f"| {reason} | 1 |" in card
    listed = (tmp_path / "out" / "dropped.tsv").read_text()
    assert "100008\tvote fraction outside 0..1: 1.5" in listed


def test_a_truncated_zip_is_refused(tmp_path, capsys, challenge_files):
    data = challenge_files["images"].read_bytes()
    challenge_files["images"].write_bytes(data[: len(data) // 2])
    assert "not a complete zip" in refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **challenge_files)


def test_a_damaged_member_of_the_zip_is_dropped_and_said(tmp_path, capsys, challenge_files):
    damaged = tmp_path / "damaged.zip"
    with (
        zipfile.ZipFile(challenge_files["images"]) as source,
        zipfile.ZipFile(damaged, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
        start = target.infolist()[3].header_offset + 60  # behind its header
    data = bytearray(damaged.read_bytes())
    data[start : start + 100] = bytes(byte ^ 0xFF for byte in data[start : start + 100])
    damaged.write_bytes(data)
    rows = all_rows(build("galaxy_zoo_challenge", tmp_path / "out", **(challenge_files | {"images": damaged})))
    assert len(rows) == 59
    assert "1 rows were dropped" in capsys.readouterr().out


def test_a_killed_build_leaves_nothing_that_loads_and_an_existing_one_is_kept(
    tmp_path, capsys, challenge_files, galaxies
):
    def rows():
        yield {"image": galaxies[0][0], "id": "1", "label": 0}
        raise KeyboardInterrupt

    from galaxy_vision.data.schema import Card, galaxy_features

    with pytest.raises(KeyboardInterrupt):
        write_dataset(rows(), tmp_path / "out", galaxy_features(["a"], with_votes=False), Card("t", "d", "mit", "c"))
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "out.incomplete").mkdir()  # of one that was killed without notice
    (tmp_path / "out.incomplete" / "rest").touch()
    data = build("galaxy_zoo_challenge", tmp_path / "out", **challenge_files)
    assert sum(map(len, data.values())) == 60 and not (tmp_path / "out" / "rest").exists()
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(SystemExit):
        build("galaxy_zoo_challenge", tmp_path / "out", **challenge_files)
    assert "exists already" in capsys.readouterr().err
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert "datasets_scripts" not in sys.modules
