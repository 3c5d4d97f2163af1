"""The real builders on tiny files of every format, and on every kind of bad input."""

import json
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import build, builder, refused
from transformers import AutoModelForImageClassification

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.data.load import load_galaxies, load_training_rows
from galaxy_vision.data.splits import split_of
from galaxy_vision.data.writer import write_dataset
from galaxy_vision.inference.rotations import classify
from galaxy_vision.models.decision_tree import (
    ANSWERS,
    GALAXY_ZOO_2,
    KAGGLE_COLUMNS,
    conditional_fractions,
    kaggle_from_conditional,
    question_totals,
    votes_from_conditional,
)
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.starting_point import take_weights


def all_rows(data):
    return {row["id"]: row for rows in data.values() for row in rows.with_format("numpy")}


def without(files: dict, key: str, change) -> dict:
    """The same files with a changed table."""
    table = pd.read_csv(files[key], dtype={"dr7objid": str, "objid": str, "asset_id": str, "GalaxyID": str})
    path = files[key].with_name(f"changed_{files[key].name}")
    change(table).to_csv(path, index=False)
    return files | {key: path}


def test_the_challenge_keeps_images_byte_for_byte_and_fractions_exactly(tmp_path, challenge_files, galaxies):
    data = build("galaxy_zoo_challenge", tmp_path / "out", **challenge_files)
    rows = all_rows(data)
    assert len(rows) == len(galaxies)
    raw = data["train"].with_format("arrow")["image"].to_pylist()
    assert {each["bytes"] for each in raw} <= {jpeg for jpeg, _, _ in galaxies}
    table = pd.read_csv(challenge_files["labels"], dtype={"GalaxyID": str}).set_index("GalaxyID")
    for galaxy_id, row in rows.items():
        again = kaggle_from_conditional(conditional_fractions(row["votes"]))
        assert np.allclose(again, table.loc[galaxy_id, list(KAGGLE_COLUMNS)].to_numpy(), atol=1e-5)


PARTIAL = [f"Class{number}" for number in (1, 2, 6, 7, 8)]
"""Questions of a partial table of the challenge."""


def partial_tables(files: dict, whole: slice, part: slice) -> list[str]:
    """Paths of a table of all columns of some galaxies, and of one of the columns of :data:`PARTIAL` of others."""
    table = pd.read_csv(files["labels"], dtype={"GalaxyID": str})
    columns = [column for column in KAGGLE_COLUMNS if column.split(".")[0] in PARTIAL]
    folder = files["labels"].parent
    table[whole].to_csv(folder / "whole.csv", index=False)
    table[part][["GalaxyID", *columns]].to_csv(folder / "part.csv", index=False)
    return [str(folder / "whole.csv"), str(folder / "part.csv")]


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


def test_gz2_counts_arrive_as_votes_with_their_ids(tmp_path, gz2_files, galaxies):
    rows = all_rows(build("galaxy_zoo_2", tmp_path / "out", **gz2_files))
    assert len(rows) == len(galaxies)
    for place, (_, votes, number) in enumerate(galaxies):
        row = rows[str(587722981736120320 + 7 * place)]
        assert row["votes"].tolist() == votes.tolist()
        assert row["num_classifications"] == number
        assert row["asset_id"] == str(place + 1)


def test_a_partial_gz2_export_gives_the_expected_votes(tmp_path, gz2_files, galaxies):
    files = without(gz2_files, "labels", lambda t: t.drop(columns=[f"{a}_count" for a in ANSWERS]))
    rows = all_rows(build("galaxy_zoo_2", tmp_path / "out", **files))
    for place, (_, votes, _) in enumerate(galaxies):
        assert np.allclose(rows[str(587722981736120320 + 7 * place)]["votes"], votes, atol=1e-3)


def test_images_may_lie_in_a_folder(tmp_path, challenge_files):
    with zipfile.ZipFile(challenge_files["images"]) as archive:
        archive.extractall(tmp_path / "unpacked")
    data = build("galaxy_zoo_challenge", tmp_path / "out", **(challenge_files | {"images": tmp_path / "unpacked"}))
    assert sum(len(rows) for rows in data.values()) == 60


def test_class_folders_become_labels(tmp_path, galaxies):
    for place, (jpeg, _, _) in enumerate(galaxies):
        folder = tmp_path / "images" / ("spiral" if place % 3 else "smooth_round")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.jpg").write_bytes(jpeg)
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images")
    names = data["train"].features["label"].names
    assert names == ["smooth_round", "spiral"]
    assert all(
        names[row["label"]] == ("spiral" if int(key) % 3 else "smooth_round") for key, row in all_rows(data).items()
    )


def test_class_folders_with_the_same_file_names_keep_both_in_one_split(tmp_path, galaxies):
    names = [("arms", "1.jpg"), ("arms", "2.jpg"), ("arms", "2.png"), ("round", "1.jpg"), ("round", "3.jpg")]
    names += [("round", f"more{place}.jpg") for place in range(40)]
    for (folder, name), (data, _, _) in zip(names, galaxies, strict=False):
        (tmp_path / "images" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / folder / name).write_bytes(data)
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images")
    rows = all_rows(data)
    assert {key for key in rows if "more" not in key} == {"arms/1", "round/1", "2", "3"}
    assert [rows[key]["label"] for key in ("arms/1", "round/1", "2", "3")] == [0, 1, 0, 1]
    assert "arms/2.png\tduplicate id" in (tmp_path / "out" / "dropped.tsv").read_text()
    assert split_of("arms/1") == split_of("round/1") == split_of("1")
    assert all({split_of(key) for key in part["id"]} == {split} for split, part in data.items())


def test_class_folders_in_a_zip_are_named_by_their_path_and_keep_their_splits(tmp_path, galaxies):
    folders = ("Train/spiral/barred", "Train/spiral/plain", "Train/round", "Test/round", "Test/spiral/barred")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number, folder in enumerate(folders):
            for place in range(20):
                archive.writestr(f"cutouts/{folder}/{place}.jpg", galaxies[(20 * number + place) % 60][0])
        archive.writestr("__MACOSX/cutouts/Train/round/._0.jpg", b"x")
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images.zip")
    names = data["train"].features["label"].names
    assert names == ["round", "spiral/barred", "spiral/plain"]
    assert len(data["test"]) == 40 and len(data["train"]) + len(data["validation"]) == 60
    assert all(
        key == f"{'test' if split == 'test' else 'train'}/{names[label]}/{key.rpartition('/')[2]}"
        for split, rows in data.items()
        for key, label in zip(rows["id"], rows["label"], strict=True)
    )
    assert (
        "Splits are those of the folders; validation is cut from train" in (tmp_path / "out" / "README.md").read_text()
    )


def test_class_folders_that_cannot_be_meant_are_refused(tmp_path, galaxies, capsys):
    for name in ("one", "beside", "nested"):
        for folder in {"one": ["a"], "beside": ["a", "b", "."], "nested": ["a", "a/b", "c"]}[name]:
            (tmp_path / name / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / folder / f"{len(folder)}.jpg").write_bytes(galaxies[0][0])
    said = refused(capsys, "class_folders", tmp_path / "out", images=tmp_path / "one")
    assert "one class only: its 1 images lie in a; put those of each class into a folder of its name" in said
    assert "images beside class folders, such as 1.jpg" in refused(
        capsys, "class_folders", tmp_path / "out", images=tmp_path / "beside"
    )
    assert "such as a/1.jpg beside a/b" in refused(
        capsys, "class_folders", tmp_path / "out", images=tmp_path / "nested"
    )


@pytest.fixture
def folders_of_images(tmp_path, galaxies):
    for place, (data, _, _) in enumerate(galaxies):
        folder = tmp_path / "images" / ("spiral" if place % 3 else "smooth_round")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"other{place}.jpg").write_bytes(data)
    return tmp_path / "images"


def test_predicted_votes_stand_beside_given_ones_in_the_training_split_only(
    tmp_path, challenge_files, folders_of_images, classifier_run
):
    given = build("galaxy_zoo_challenge", tmp_path / "given", **challenge_files)
    unlabelled = build("class_folders", tmp_path / "unlabelled", images=folders_of_images)
    sources = {"dataset": tmp_path / "given", "unlabelled": tmp_path / "unlabelled"}
    data = build("predicted_votes", tmp_path / "out", model=classifier_run[0], rotations=4, **sources)
    for split, rows in given.items():
        assert data[split]["votes"][: len(rows)] == rows["votes"]
        assert data[split]["label"][: len(rows)] == rows["label"]
    assert [len(data[split]) for split in ("validation", "test")] == [
        len(given[split]) for split in ("validation", "test")
    ]
    added = data["train"].select(range(len(given["train"]), len(data["train"])))
    assert added["id"] == [f"predicted/{key}" for key in unlabelled["train"]["id"]]
    model = AutoModelForImageClassification.from_pretrained(classifier_run[0]).eval()
    processor = GalaxyImageProcessor.from_pretrained(classifier_run[0])
    with torch.inference_mode():
        pixels = processor([added[0]["image"]], return_tensors="pt")["pixel_values"]
        fractions = model.predict_fractions(classify(model, pixels, 4)).conditional
    np.testing.assert_allclose(added[0]["votes"], votes_from_conditional(fractions, 44)[0], atol=1e-3)


def test_predicted_votes_are_held_to_the_bounds_of_their_classes(
    tmp_path, challenge_files, folders_of_images, classifier_run
):
    build("galaxy_zoo_challenge", tmp_path / "given", **challenge_files)
    unlabelled = build("class_folders", tmp_path / "unlabelled", images=folders_of_images)["train"]
    names = unlabelled.features["label"].names
    (tmp_path / "bounds.json").write_text(json.dumps({names[0]: [["Class1.1", 0.9], ["Class7.1", 0.8]]}))
    sources = {"dataset": tmp_path / "given", "unlabelled": tmp_path / "unlabelled"}
    data = build(
        "predicted_votes", tmp_path / "out", model=classifier_run[0], bounds=tmp_path / "bounds.json", **sources
    )
    added = [row for row in all_rows(data).values() if row["id"].startswith("predicted/")]
    labels = dict(zip(unlabelled["id"], unlabelled["label"], strict=True))
    cumulative = np.array([kaggle_from_conditional(conditional_fractions(row["votes"])) for row in added])
    is_bounded = np.array([labels[row["id"].removeprefix("predicted/")] == 0 for row in added])
    smooth, completely_round = cumulative[:, 0], cumulative[:, KAGGLE_COLUMNS.index("Class7.1")]
    assert is_bounded.any() and not is_bounded.all()
    assert (smooth[is_bounded] > 0.9 - 1e-6).all() and (completely_round[is_bounded] > 0.8 - 1e-6).all()
    assert not (smooth[~is_bounded] > 0.9).all()


def test_unknown_votes_of_further_data_sets_are_predicted_and_known_ones_kept(
    tmp_path, challenge_files, folders_of_images, classifier_run
):
    tables = partial_tables(challenge_files, slice(0, 40), slice(40, 60))
    images = ["--images", str(challenge_files["images"])]
    for name, table, more in (("given", tables[0], []), ("more", tables[1], ["--split", "train"])):
        builder("galaxy_zoo_challenge")([*images, "--labels", table, *more, "--output_dir", str(tmp_path / name)])
    with zipfile.ZipFile(challenge_files["images"]) as archive:  # galaxies of both are also in a class folder
        for name in archive.namelist():
            (folders_of_images / "spiral" / name.rpartition("/")[2]).write_bytes(archive.read(name))
    unlabelled = build("class_folders", tmp_path / "unlabelled", images=folders_of_images)["train"]
    more = load_training_rows(str(tmp_path / "more")).with_format("numpy")
    assert len(more) == 20  # none of them in another split
    sources = {"dataset": tmp_path / "given", "unlabelled": tmp_path / "unlabelled", "also": tmp_path / "more"}
    data = build("predicted_votes", tmp_path / "out", model=classifier_run[0], **sources)
    filled = {row["id"]: row["votes"] for row in data["train"].with_format("numpy") if row["id"].startswith("filled/")}
    assert len(filled) == 20
    for row in more:
        votes, known = filled[f"filled/{row['id']}"], ~np.isnan(row["votes"])
        assert np.array_equal(votes[known], row["votes"][known]) and not np.isnan(votes).any()
        asked = GALAXY_ZOO_2.reach(conditional_fractions(votes))
        assert np.allclose(question_totals(votes), 44 * asked, atol=1e-3)
    without = [key for key in unlabelled["id"] if key not in more["id"]]
    assert 0 < len(without) < len(unlabelled)
    assert [key for key in data["train"]["id"] if key.startswith("predicted/")] == [
        f"predicted/{key}" for key in without
    ]


def test_several_teachers_predict_the_mean_of_their_fractions(
    tmp_path, challenge_files, folders_of_images, classifier_run
):
    torch.manual_seed(1)
    untrained = GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="resnet10t", image_size=32))
    untrained.save_pretrained(tmp_path / "other")
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "other")
    build("galaxy_zoo_challenge", tmp_path / "given", **challenge_files)
    build("class_folders", tmp_path / "unlabelled", images=folders_of_images)
    fractions = []
    teachers = [classifier_run[0], tmp_path / "other"]
    for number, models in enumerate((teachers[:1], teachers[1:], teachers)):
        argv = ["--model", *map(str, models), "--dataset", tmp_path / "given", "--unlabelled", tmp_path / "unlabelled"]
        out = tmp_path / f"out{number}"
        builder("predicted_votes")([*map(str, argv), "--rotations", "1", "--output_dir", str(out)])
        rows = [row for row in all_rows(load_galaxies(str(out))).values() if row["id"].startswith("predicted/")]
        fractions.append(np.array([conditional_fractions(row["votes"]) for row in rows]))
    assert np.abs(fractions[0] - fractions[1]).max() > 0.05
    assert np.allclose((fractions[0] + fractions[1]) / 2, fractions[2], atol=1e-5)
    assert "that the mean of `" in (tmp_path / "out2" / "README.md").read_text()


def test_a_teacher_of_several_campaigns_predicts_its_votes_of_galaxy_zoo_2(
    tmp_path, challenge_files, folders_of_images, capsys
):
    def teacher(name, *campaigns, start=None):
        config = GalaxyResNetConfig(backbone="resnet10t", image_size=32, trees=Trees(map(tree_of, campaigns)).to_list())
        model = GalaxyResNetForImageClassification(config)
        if start is not None:
            take_weights(model, start, "the other teacher")
        model.save_pretrained(tmp_path / name)
        GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / name)
        return model

    teacher("both", "gz_desi", "gz2", start=teacher("one", "gz2"))
    teacher("desi", "gz_desi")
    build("galaxy_zoo_challenge", tmp_path / "given", **challenge_files)
    build("class_folders", tmp_path / "unlabelled", images=folders_of_images)
    sources = {"dataset": tmp_path / "given", "unlabelled": tmp_path / "unlabelled", "rotations": 1}
    data = [
        build("predicted_votes", tmp_path / f"out-{name}", model=tmp_path / name, **sources)["train"]
        for name in ("one", "both")
    ]
    assert np.array_equal(*(np.array(rows["votes"]) for rows in data), equal_nan=True)
    said = refused(capsys, "predicted_votes", tmp_path / "none", model=tmp_path / "desi", **sources)
    assert "predicts votes of gz_desi, and this script adds those of Galaxy Zoo 2 only" in said


def test_predicted_votes_for_a_data_set_without_votes_are_refused(tmp_path, folders_of_images, classifier_run, capsys):
    folder = tmp_path / "unlabelled"
    build("class_folders", folder, images=folders_of_images)
    said = refused(
        capsys, "predicted_votes", tmp_path / "out", model=classifier_run[0], dataset=folder, unlabelled=folder
    )
    assert "has no column votes; build it with a script of this folder" in said


def test_two_builds_are_the_same_bytes_and_a_row_more_moves_no_galaxy(tmp_path, challenge_files):
    build("galaxy_zoo_challenge", tmp_path / "one", **challenge_files)
    build("galaxy_zoo_challenge", tmp_path / "two", **challenge_files)
    for shard in sorted((tmp_path / "one" / "data").iterdir()):
        assert shard.read_bytes() == (tmp_path / "two" / "data" / shard.name).read_bytes()
    files = without(challenge_files, "labels", lambda t: t.iloc[:40])
    fewer = build("galaxy_zoo_challenge", tmp_path / "three", **files)
    for split, rows in fewer.items():
        assert {split_of(key) for key in rows["id"]} == {split}


def test_simulated_galaxies_are_a_data_set(tmp_path):
    data = build("simulated_galaxies", tmp_path / "out", num_galaxies=30, seed=2)
    assert sum(len(rows) for rows in data.values()) == 30
    assert data["train"][0]["image"].size == (212, 212)


def test_the_card_counts_what_came_in_and_what_was_dropped(tmp_path, challenge_files):
    def spoil(table):
        table = pd.concat([table, table.iloc[[3]]])  # a duplicate
        table.iloc[0, 1] = 1.5
        return table

    files = without(challenge_files, "labels", spoil)
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(files["images"]) as source, zipfile.ZipFile(broken, "w") as target:
        for place, name in enumerate(source.namelist()):
            if place != 1:  # the second galaxy has no image, the third half of one
                target.writestr(name, source.read(name)[: 1500 if place == 2 else None])
    data = build("galaxy_zoo_challenge", tmp_path / "out", **(files | {"images": broken}))
    assert sum(len(rows) for rows in data.values()) == 57
    card = (tmp_path / "out" / "README.md").read_text()
    assert "61 rows in, 57 out, 4 dropped" in card
    for reason in ("duplicate id", "no image", "unreadable image", "vote fraction outside 0..1"):
        assert f"| {reason} | 1 |" in card
    listed = (tmp_path / "out" / "dropped.tsv").read_text()
    assert "100008\tvote fraction outside 0..1: 1.5" in listed


def test_a_missing_column_is_named(tmp_path, capsys, challenge_files, gz2_files):
    files = without(challenge_files, "labels", lambda t: t.drop(columns="Class8.7"))
    assert "no column Class8.7 beside Class8.1, " in refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    files = without(challenge_files, "labels", lambda t: t[["GalaxyID"]])
    assert "no column Class1.1" in refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    files = without(gz2_files, "labels", lambda t: t.drop(columns="total_classifications"))
    assert "no column total_classifications" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)
    files = without(gz2_files, "mapping", lambda t: t.drop(columns="asset_id"))
    assert "no column asset_id" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


def test_ids_that_were_floats_are_refused(tmp_path, capsys, gz2_files):
    files = without(gz2_files, "labels", lambda t: t.assign(dr7objid=t["dr7objid"].astype(float)))
    assert "is not an integer" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


def test_a_cell_that_is_no_number_is_named_with_file_line_and_column(tmp_path, capsys, challenge_files, gz2_files):
    def spoiled(column, place, value):
        return lambda table: table.astype({column: object}).assign(
            **{column: lambda t: t[column].where(np.arange(len(t)) != place, value)}
        )

    files = without(challenge_files, "labels", spoiled("Class3.1", 7, "n/a?"))
    said = refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    assert f"{files['labels']}, line 9, column Class3.1: 'n/a?' is not a number" in said
    files = without(challenge_files, "labels", spoiled("GalaxyID", 0, "1.00008e5"))
    said = refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **files)
    assert f"{files['labels']}, line 2, column GalaxyID: '1.00008e5' is not an integer" in said
    column = f"{ANSWERS[5]}_count"
    files = without(gz2_files, "labels", spoiled(column, 59, "many"))
    said = refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)
    assert f"line 61, column {column}: 'many' is not a number" in said
    files = without(gz2_files, "mapping", spoiled("asset_id", 2, ""))
    assert "line 4, column asset_id: '' is not an integer" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


@pytest.mark.parametrize(
    "content, said", [(b"", "is empty"), (b"a,b\n1,2,3\n1,2,3,4\n", "no column"), (b"\xff\xfe\x00", "not a CSV")]
)
def test_a_table_that_is_none_is_named(tmp_path, capsys, challenge_files, gz2_files, content, said):
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    for name, files in (("galaxy_zoo_challenge", challenge_files), ("galaxy_zoo_2", gz2_files)):
        error = refused(capsys, name, tmp_path / "out", **(files | {"labels": table}))
        assert str(table) in error and said in error


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


def test_an_objid_with_two_images_and_an_image_of_two_objids_are_dropped_and_listed(tmp_path, gz2_files):
    def contradict(table):
        again = table.iloc[[4, 5]].assign(asset_id=["11", "6"])  # 4 has two images now; 5 the same one twice
        again.iloc[0, table.columns.get_loc("asset_id")] = "9005"
        shared = table.iloc[[7]].assign(objid="999", asset_id=table["asset_id"].iloc[8])
        return pd.concat([again, table, shared])

    files = without(gz2_files, "mapping", contradict)
    rows = all_rows(build("galaxy_zoo_2", tmp_path / "out", **files))
    ids = [str(587722981736120320 + 7 * place) for place in range(60)]
    assert set(ids) - set(rows) == {ids[4], ids[8]}
    assert rows[ids[5]]["asset_id"] == "6"
    listed = (tmp_path / "out" / "dropped.tsv").read_text().splitlines()
    assert f"{ids[4]}\tseveral images in the mapping" in listed
    assert f"{ids[8]}\timage of several galaxies in the mapping" in listed


def test_a_truncated_zip_is_refused(tmp_path, capsys, challenge_files):
    data = challenge_files["images"].read_bytes()
    challenge_files["images"].write_bytes(data[: len(data) // 2])
    assert "not a complete zip" in refused(capsys, "galaxy_zoo_challenge", tmp_path / "out", **challenge_files)


def test_a_truncated_table_is_refused(tmp_path, capsys, gz2_files):
    data = gz2_files["labels"].read_bytes()
    gz2_files["labels"].write_bytes(data[: len(data) // 2])
    assert f"{gz2_files['labels']} is damaged" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **gz2_files)


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


def test_a_mapping_without_images_is_refused_with_the_count(tmp_path, capsys, gz2_files):
    files = without(gz2_files, "mapping", lambda t: t.assign(asset_id="9" + t["asset_id"]))
    assert "60 x no image" in refused(capsys, "galaxy_zoo_2", tmp_path / "out", **files)


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
