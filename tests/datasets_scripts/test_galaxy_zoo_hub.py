"""The builder of data sets of the Hub on small files in the layouts of the published ones."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from builder_files import counts, desi_ids, stored
from conftest import REPOSITORY, build, refused
from hub_stand_in import TOKEN, Hub

from galaxy_vision.data.campaigns import column_names, tree_of
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.schema import galaxy_features
from galaxy_vision.data.schemes import SCHEMES
from galaxy_vision.data.splits import split_of, split_of_position
from galaxy_vision.data.votes import trees_in


def hub_columns_of(campaign: str, votes: np.ndarray, weights: np.ndarray | float = 1.0) -> dict:
    """Columns of a data set of the Hub: counts int32, fractions float32 (null where nobody was asked), totals int32.

    Weighted votes have fractions of two digits, and their counts are rounded.
    """
    tree, columns = tree_of(campaign), {}
    fractions, totals = tree.conditional(votes * weights), tree.totals(votes).astype(np.int32)
    if np.ndim(weights):
        fractions = fractions.round(2)
        votes = np.nan_to_num(fractions * totals).round()
    names = column_names(tree)
    for answers in tree.slices.values():
        if names[answers][0] is None:  # the odd features of Galaxy Zoo 2
            continue
        for index in range(answers.start, answers.stop):
            columns[names[index]] = pa.array(votes[:, index].astype(np.int32))
            columns[f"{names[index]}_fraction"] = pa.array(fractions[:, index].astype(np.float32), from_pandas=True)
        columns[f"{names[answers.start].rpartition('_')[0]}_total-votes"] = pa.array(totals[:, answers.start])
    return columns


def hub_file(ids, galaxies, columns: dict, dataset: str, positions: bool = True, **more) -> bytes:
    rows = len(ids)
    base = {"image": [{"bytes": galaxies[index % len(galaxies)][0], "path": None} for index in range(rows)]}
    base |= {"id_str": ids, "dataset_name": [dataset] * rows}
    if positions:
        base |= {"ra": np.linspace(1, 300, rows), "dec": np.linspace(-30, 60, rows)}
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(base | more | columns), file)
    return file.getvalue().to_pybytes()


def hub_card(*configs: str) -> bytes:
    lines = ["---", "configs:"]
    for config, folder in (pair.split("=") for pair in configs):
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [
            line for split in ("train", "test") for line in (f"  - split: {split}", f"    path: {folder}/{split}-*")
        ]
    return "\n".join([*lines, "---"]).encode()


def desi_like(galaxies) -> tuple[dict[str, bytes], dict]:
    """Files of a repository like gz_desi, and the votes of each galaxy: id -> (campaign, votes)."""
    campaigns = ["gz_decals_dr12", "gz_decals_dr5", "gz_decals_dr8"]
    ids, votes, known = desi_ids(30), {}, {}
    for number, campaign in enumerate(campaigns):
        votes[campaign] = counts(tree_of(campaign), number, 30)
        votes[campaign][np.arange(30) % 3 != number] = 0  # shown in another campaign
        known |= {ids[row]: (campaign, votes[campaign][row]) for row in range(number, 30, 3)}
    columns = {}
    for campaign in campaigns:
        columns |= hub_columns_of(campaign, votes[campaign])
    files = {"README.md": hub_card("default=data", "tiny=tiny")}
    for folder, rows in (("data", 30), ("tiny", 9)):
        for split, part in (("train", slice(0, rows - 4)), ("test", slice(rows - 4, rows))):
            some = {name: values[part] for name, values in columns.items()}
            files[f"{folder}/{split}-00000-of-00001.parquet"] = hub_file(ids[part], galaxies, some, "gz_desi")
    return files, known


def hubble_like(galaxies) -> tuple[dict[str, bytes], dict]:
    """Files of a repository like gz_hubble, and its columns."""
    votes = counts(tree_of("gz_hubble"), 8, 20, number=38)
    columns = hub_columns_of("gz_hubble", votes, np.random.default_rng(1).uniform(0.5, 1, votes.shape))
    files, ids = {"README.md": hub_card("default=data")}, [f"{10000000 + index}.jpg" for index in range(20)]
    for split, part in (("train", slice(0, 15)), ("test", slice(15, 20))):
        some = {name: values[part] for name, values in columns.items()}
        files[f"data/{split}-00000-of-00001.parquet"] = hub_file(ids[part], galaxies, some, "gz_hubble")
    return files, columns


def evo_like(galaxies) -> tuple[dict[str, bytes], list[str]]:
    """Files of a repository like gz_evo, several campaigns and `summary`, and the summaries."""
    columns = {}
    for number, campaign in enumerate(["gz2", "gz_decals_dr5", "gz_hubble"]):
        tree = tree_of(campaign)
        votes = counts(tree, number, 12)
        votes[np.arange(12) % 3 != number] = 0
        columns |= hub_columns_of(campaign, votes)
    summaries = ["", "smooth_round", "smooth_cigar", "unbarred_spiral", "edge_on_disk", "barred_spiral"] * 2
    ids = [f"58772298173612032{index}" if index % 3 == 0 else f"{index}_7" for index in range(12)]
    files = {"README.md": hub_card("default=data", "tiny=tiny")}
    for split, part in (("train", slice(0, 9)), ("test", slice(9, 12))):
        some = {name: values[part] for name, values in columns.items()}
        data = hub_file(ids[part], galaxies, some, "gz_evo", summary=summaries[part])
        files |= {f"{folder}/{split}-00000-of-00001.parquet": data for folder in ("data", "tiny")}
    return files, dict(zip(ids, summaries, strict=True))


def saved_files(folder, files: dict[str, bytes]):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_other_campaigns_of_a_row_are_unknown_and_the_source_keeps_its_splits(tmp_path, galaxies, capsys):
    files, known = desi_like(galaxies)
    repo = saved_files(tmp_path / "gz_desi", files)
    rows = stored(build("galaxy_zoo_hub", tmp_path / "out", repo=repo, config="default"))
    assert "has the votes of gz_decals_dr12, gz_decals_dr5, gz_decals_dr8" in capsys.readouterr().out
    assert len(rows) == 30 and set(rows[rows["split"] == "test"].index) == set(desi_ids(30)[26:])
    trained = rows[rows["split"] != "test"]["split"]
    assert all((split == "validation") == (split_of(key) == "validation") for key, split in trained.items())
    for galaxy_id, row in rows.iterrows():
        for campaign in ("gz_decals_dr12", "gz_decals_dr5", "gz_decals_dr8"):
            votes = row[list(column_names(tree_of(campaign)))].to_numpy(float)
            if campaign == known[galaxy_id][0]:
                assert votes.tolist() == known[galaxy_id][1].tolist()
            else:
                assert np.isnan(votes).all()
    assert (rows["num_classifications"] == 40).all()
    trees = trees_in(rows.columns)
    for part in load_galaxies(str(tmp_path / "out")).values():
        for galaxy_id, votes in zip(part["id"], part["votes"], strict=True):
            campaign, own = known[galaxy_id]
            assert trees.part(np.array(votes), campaign).tolist() == own.tolist()
            assert np.isfinite(votes).sum() == len(own)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card and "source code" in card


def test_rounded_counts_become_fraction_times_total_and_ids_lose_jpg(tmp_path, galaxies):
    files, columns = hubble_like(galaxies)
    repo = saved_files(tmp_path / "gz_hubble", files)
    rows = stored(build("galaxy_zoo_hub", tmp_path / "out", repo=repo)).sort_index()
    assert list(rows.index) == [str(10000000 + index) for index in range(20)]
    tree, kept = tree_of("gz_hubble"), set()
    for question, answers in tree.slices.items():
        names = column_names(tree)[answers]
        counted = np.stack([columns[name].to_numpy() for name in names], axis=1)
        fractions = np.stack([columns[f"{name}_fraction"].to_numpy(zero_copy_only=False) for name in names], axis=1)
        totals = columns[f"{question}_total-votes"].to_numpy()
        adds_up = counted.sum(axis=1) == totals
        expected = np.where(adds_up[:, None], counted, tree_fractions(fractions) * totals[:, None])
        np.testing.assert_allclose(rows[list(names)], expected, rtol=1e-5)
        kept |= set(adds_up)
    assert kept == {True, False}


def tree_fractions(fractions: np.ndarray) -> np.ndarray:
    return fractions / fractions.sum(axis=1, keepdims=True)


def test_galaxies_of_a_source_may_be_split_by_position(tmp_path, galaxies):
    repo = saved_files(tmp_path / "gz_desi", desi_like(galaxies)[0])
    before = stored(build("galaxy_zoo_hub", tmp_path / "out", repo=repo, config="default"))
    shutil.rmtree(tmp_path / "out")
    rows = stored(build("galaxy_zoo_hub", tmp_path / "out", repo=repo, config="default", split_by="position"))
    assert all(split_of_position(row["ra"], row["dec"]) == row["split"] for _, row in rows.iterrows())
    assert set(before.index) == set(rows.index) and (before["split"] != rows.loc[before.index, "split"]).any()


def test_galaxies_without_positions_keep_their_splits(tmp_path, galaxies, capsys):
    ids = [f"{index:024x}" for index in range(8)]  # of UKIDSS: 24 hexadecimal digits
    data = hub_file(ids, galaxies, hub_columns_of("gz_ukidss", counts(tree_of("gz_ukidss"), 0, 8)), "gz_ukidss", False)
    repo = saved_files(tmp_path / "gz_ukidss", {"data/train-0.parquet": data})
    error = refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo=repo, split_by="position")
    assert "has no columns ra and dec; give --split_by source" in error
    rows = stored(build("galaxy_zoo_hub", tmp_path / "kept", repo=repo))
    assert all(split_of(key) == split for key, split in rows["split"].items()) and set(rows.index) == set(ids)


def test_sources_that_cannot_be_used_are_refused_in_one_line(tmp_path, galaxies, capsys):
    files, _ = desi_like(galaxies)
    repo = saved_files(tmp_path / "gz_desi", files)
    error = refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo=repo, config="evo")
    assert "has no configuration 'evo'; give --config with one of default, tiny" in error
    other = {"data/train.parquet": hub_file(["1"], galaxies, {}, "gz_rings", label=[1])}
    error = refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo=saved_files(tmp_path / "rings", other))
    assert "has no columns of a campaign" in error
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "train.csv").write_text("id_str,x\na,1\n")
    error = refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo=tmp_path / "csv")
    assert "is a data set of csv" in error
    assert "cannot be read" in refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo="nobody/nothing")
    broken = files["data/train-00000-of-00001.parquet"][:-100]
    repo = saved_files(tmp_path / "broken", files | {"data/train-00000-of-00001.parquet": broken})
    error = refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo=repo, config="default")
    assert "cannot be read: Could not open Parquet" in error or "cannot be read: Parquet magic" in error


def test_files_of_one_source_with_different_columns_are_refused(tmp_path, galaxies, capsys):
    columns = hub_columns_of("gz_decals_dr5", counts(tree_of("gz_decals_dr5"), 0, 2))
    files = {"data/train-0.parquet": hub_file(["1_1", "1_2"], galaxies, columns, "gz_desi")}
    del columns["bar-dr5_weak"]
    files["data/train-1.parquet"] = hub_file(["1_3", "1_4"], galaxies, columns, "gz_desi")
    error = refused(capsys, "galaxy_zoo_hub", tmp_path / "out", repo=saved_files(tmp_path / "repo", files))
    assert "train-1.parquet" in error and "has no column bar-dr5_weak, which others have" in error


def test_damaged_images_and_rows_without_votes_are_listed(tmp_path, galaxies):
    votes = counts(tree_of("gz_decals_dr5"), 0, 6)
    votes[2] = 0
    broken = [*galaxies[:4], (galaxies[4][0][:300], None, None), (b"", None, None)]
    data = hub_file([f"{index}_1" for index in range(6)], broken, hub_columns_of("gz_decals_dr5", votes), "gz_desi")
    repo = saved_files(tmp_path / "repo", {"data/train-0.parquet": data})
    rows = stored(build("galaxy_zoo_hub", tmp_path / "out", repo=repo))
    assert set(rows.index) == {"0_1", "1_1", "3_1"}
    listed = dict(line.split("\t") for line in (tmp_path / "out" / "dropped.tsv").read_text().splitlines()[1:])
    assert listed["2_1"] == "no votes" and listed["5_1"] == "no image" and "4_1" in listed


BUILD_FROM_THE_HUB = """
import json, runpy, sys
main = runpy.run_path("datasets_scripts/galaxy_zoo_hub.py")["main"]
for argv in json.loads(sys.argv[1]):
    main(argv)
"""


def test_data_sets_of_the_hub_are_downloaded_by_configuration_and_revision(tmp_path, galaxies):
    repos = {"mwalmsley/gz_desi": desi_like(galaxies), "mwalmsley/gz_hubble": hubble_like(galaxies)}
    repos["mwalmsley/gz_evo"] = evo_like(galaxies)
    with Hub() as hub:
        revisions = {}
        for name, (files, _) in repos.items():
            hub.repos["dataset", name] = {"private": False, "commits": {}}
            revisions[name] = hub.commit(hub.repos["dataset", name], files)
        hub.commit(hub.repos["dataset", "mwalmsley/gz_hubble"], {"README.md": b"emptied since"})
        runs = [["--repo", "mwalmsley/gz_desi", "--config", "tiny", "--output_dir", str(tmp_path / "desi")]]
        runs += [["--repo", "mwalmsley/gz_hubble", "--revision", revisions["mwalmsley/gz_hubble"]]]
        runs[1] += ["--output_dir", str(tmp_path / "hubble")]
        runs += [["--repo", "mwalmsley/gz_evo", "--config", "tiny", "--label_scheme", "summary"]]
        runs[2] += ["--output_dir", str(tmp_path / "evo")]
        environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
        environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
        command = [sys.executable, "-c", BUILD_FROM_THE_HUB, json.dumps(runs)]
        done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not [asked for asked in hub.requests if "gz_desi" in asked and "/data/" in asked]  # tiny only

    def built(name):
        return pa.concat_tables([pq.read_table(path) for path in sorted((tmp_path / name / "data").iterdir())])

    assert set(built("desi")["id"].to_pylist()) == set(desi_ids(9))
    assert built("hubble").num_rows == 20
    assert revisions["mwalmsley/gz_hubble"] in (tmp_path / "hubble" / "README.md").read_text()
    evo, classes = built("evo"), SCHEMES["summary"].class_names
    labels = dict(zip(evo["id"].to_pylist(), evo["label"].to_pylist(), strict=True))
    assert {key: "" if label is None else classes[label] for key, label in labels.items()} == repos["mwalmsley/gz_evo"][
        1
    ]
    assert {"smooth-or-featured-gz2_smooth", "bar-dr5_weak", "clumpy-appearance-hubble_yes"} <= set(evo.column_names)
    asked = [evo[f"smooth-or-featured-{name}_smooth"].is_valid().to_pylist() for name in ("gz2", "dr5", "hubble")]
    assert all(sum(known) == 1 for known in zip(*asked, strict=True))
    assert evo.schema.names == galaxy_features_names(evo)


def galaxy_features_names(table: pa.Table) -> list[str]:
    """The columns of the schema of three campaigns, in its order."""
    more = {"dataset_name": "string", "summary": "string", "ra": "float64", "dec": "float64"}
    return list(galaxy_features(["a"], trees=trees_in(table.column_names), **more))
