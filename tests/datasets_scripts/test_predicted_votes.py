"""The builder that adds galaxies with the votes that a classifier predicts."""

import json
import zipfile

import numpy as np
import pytest
import torch
from builder_files import all_rows, partial_tables
from conftest import build, builder, refused
from datasets import DatasetDict, load_dataset
from transformers import AutoModelForImageClassification

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.data.load import load_galaxies, load_training_rows
from galaxy_vision.data.vote_marks import MARK
from galaxy_vision.inference.rotations import classify
from galaxy_vision.models.decision_tree import (
    GALAXY_ZOO_2,
    KAGGLE_COLUMNS,
    conditional_fractions,
    kaggle_from_conditional,
    question_totals,
    votes_from_conditional,
)
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.starting_point import take_weights


@pytest.fixture
def folders_of_images(tmp_path, galaxies):
    for index, (data, _, _) in enumerate(galaxies):
        folder = tmp_path / "images" / ("spiral" if index % 3 else "smooth_round")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"other{index}.jpg").write_bytes(data)
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
    assert np.abs(fractions[0] - fractions[1]).max() > 0.03
    assert np.allclose((fractions[0] + fractions[1]) / 2, fractions[2], atol=1e-5)
    assert "that the mean of `" in (tmp_path / "out2" / "README.md").read_text()


def test_a_teacher_of_several_campaigns_predicts_its_votes_of_that_of_the_data_set(
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

    teacher("both", "gz_desi", "gz_challenge", start=teacher("one", "gz_challenge"))
    teacher("desi", "gz_desi")
    build("galaxy_zoo_challenge", tmp_path / "given", **challenge_files)
    build("class_folders", tmp_path / "unlabelled", images=folders_of_images)
    sources = {"dataset": tmp_path / "given", "unlabelled": tmp_path / "unlabelled", "rotations": 1}
    data = [
        build("predicted_votes", tmp_path / f"out-{name}", model=tmp_path / name, **sources)["train"]
        for name in ("one", "both")
    ]
    assert np.array_equal(*(np.array(rows["votes"]) for rows in data), equal_nan=True)
    error = refused(capsys, "predicted_votes", tmp_path / "none", model=tmp_path / "desi", **sources)
    assert "predicts votes of gz_desi, and dataset=" in error


def test_votes_of_data_sets_that_do_not_say_whose_they_are_are_those_of_the_campaign_that_is_named(
    tmp_path, challenge_files, folders_of_images, classifier_run, capsys
):
    tables = partial_tables(challenge_files, slice(0, 40), slice(40, 60))
    for name, table, more in (("given", tables[0], []), ("more", tables[1], ["--split", "train"])):
        argv = ["--images", str(challenge_files["images"]), "--labels", table, *more]
        builder("galaxy_zoo_challenge")([*argv, "--output_dir", str(tmp_path / f"marked-{name}")])
        marked = load_dataset(str(tmp_path / f"marked-{name}"))
        DatasetDict({split: rows.remove_columns(MARK) for split, rows in marked.items()}).save_to_disk(tmp_path / name)
    build("class_folders", tmp_path / "unlabelled", images=folders_of_images)
    sources = {"dataset": tmp_path / "given", "unlabelled": tmp_path / "unlabelled", "also": tmp_path / "more"}
    printed = {}
    for campaign, option in (("gz2", {}), ("gz_challenge", {"campaign": "gz_challenge"})):
        capsys.readouterr()
        build("predicted_votes", tmp_path / campaign, model=classifier_run[0], rotations=1, **sources, **option)
        printed[campaign] = capsys.readouterr().out
        for rows in load_dataset(str(tmp_path / campaign)).values():
            assert set(rows[MARK]) == {campaign}
    assert f"{tmp_path / 'given'} do not say whose they are, and are taken for those of gz2" in printed["gz2"]
    assert f"{tmp_path / 'more'} are taken for those of gz2 where they do not say whose" in printed["gz2"]
    assert "the votes of" not in printed["gz_challenge"]
    marked = sources | {"dataset": tmp_path / "marked-given"}
    error = refused(capsys, "predicted_votes", tmp_path / "x", model=classifier_run[0], campaign="gz2", **marked)
    assert "has no votes of 'gz2'; it has those of gz_challenge; give another --campaign" in error


def test_predicted_votes_for_a_data_set_without_votes_are_refused(tmp_path, folders_of_images, classifier_run, capsys):
    folder = tmp_path / "unlabelled"
    build("class_folders", folder, images=folders_of_images)
    error = refused(
        capsys, "predicted_votes", tmp_path / "out", model=classifier_run[0], dataset=folder, unlabelled=folder
    )
    assert "has no column votes; build it with a script of this folder" in error
