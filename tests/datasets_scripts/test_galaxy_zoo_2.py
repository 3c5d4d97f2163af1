"""The builder of Galaxy Zoo 2 on small files in the published layout."""

import numpy as np
import pandas as pd
from builder_files import all_rows, without
from conftest import build, refused

from galaxy_vision.models.decision_tree import (
    ANSWERS,
)


def test_gz2_counts_arrive_as_votes_with_their_ids(tmp_path, gz2_files, galaxies):
    rows = all_rows(build("galaxy_zoo_2", tmp_path / "out", **gz2_files))
    assert len(rows) == len(galaxies)
    for index, (_, votes, number) in enumerate(galaxies):
        row = rows[str(587722981736120320 + 7 * index)]
        assert row["votes"].tolist() == votes.tolist()
        assert row["num_classifications"] == number
        assert row["asset_id"] == str(index + 1)


def test_a_partial_gz2_export_gives_the_expected_votes(tmp_path, gz2_files, galaxies):
    files = without(gz2_files, "labels", lambda t: t.drop(columns=[f"{a}_count" for a in ANSWERS]))
    rows = all_rows(build("galaxy_zoo_2", tmp_path / "out", **files))
    for index, (_, votes, _) in enumerate(galaxies):
        assert np.allclose(rows[str(587722981736120320 + 7 * index)]["votes"], votes, atol=1e-3)


def test_ids_that_were_floats_are_refused(tmp_path, capsys, gz2_files):
    files = without(gz2_files, "labels", lambda t: t.assign(dr7objid=t["dr7objid"].astype(float)))
    assert "is not an integer" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


def test_an_objid_with_two_images_and_an_image_of_two_objids_are_dropped_and_listed(tmp_path, gz2_files):
    def contradict(table):
        again = table.iloc[[4, 5]].assign(asset_id=["11", "6"])  # 4 has two images now; 5 the same one twice
        again.iloc[0, table.columns.get_loc("asset_id")] = "9005"
        shared = table.iloc[[7]].assign(objid="999", asset_id=table["asset_id"].iloc[8])
        return pd.concat([again, table, shared])

    files = without(gz2_files, "mapping", contradict)
    rows = all_rows(build("galaxy_zoo_2", tmp_path / "out", **files))
    ids = [str(587722981736120320 + 7 * index) for index in range(60)]
    assert set(ids) - set(rows) == {ids[4], ids[8]}
    assert rows[ids[5]]["asset_id"] == "6"
    listed = (tmp_path / "out" / "dropped.tsv").read_text().splitlines()
    assert f"{ids[4]}\tseveral images in the mapping" in listed
    assert f"{ids[8]}\timage of several galaxies in the mapping" in listed


def test_a_truncated_table_is_refused(tmp_path, capsys, gz2_files):
    data = gz2_files["labels"].read_bytes()
    gz2_files["labels"].write_bytes(data[: len(data) // 2])
    assert f"{gz2_files['labels']} is damaged" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **gz2_files)


def test_a_mapping_without_images_is_refused_with_the_count(tmp_path, capsys, gz2_files):
    files = without(gz2_files, "mapping", lambda t: t.assign(asset_id="9" + t["asset_id"]))
    assert "60 x no image" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)
