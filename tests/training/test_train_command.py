"""Labels of one's own, from a table to a model: the real commands on a few images and a tiny trained model."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import train
from transformers import pipeline

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.cli import main
from galaxy_vision.data.own_tasks import OwnLabels
from galaxy_vision.evaluation.saved import evaluate_saved

COUNT = 32
QUICK = ["--epochs", "1", "--mixed_precision", "no", "--warmup_fraction", "0"]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The folder of a tiny classifier with votes, with the card and the record of a training run."""
    folder = tmp_path_factory.mktemp("start") / "tiny"
    torch.manual_seed(0)
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, drop_rate=0.1)
    GalaxyResNetForImageClassification(config).save_pretrained(folder)
    GalaxyImageProcessor(size={"height": 32, "width": 32}, crop_fraction=0.5).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# tiny\n")
    (folder / "run.json").write_text(json.dumps({"dataset": {"title": "Some survey", "citation": "Cite them (2020)."}}))
    return str(folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory, galaxies):
    """Folder with images and three tables of their labels: ``class.csv``, ``labels.csv`` and ``z.csv``."""
    folder = tmp_path_factory.mktemp("own")
    for index in range(COUNT):
        (folder / f"g{index}.jpg").write_bytes(galaxies[index][0])
    columns = {
        "class": {"label": lambda i: ("round", "flat")[i % 2]},
        "labels": {"ring": lambda i: i % 2, "bar": lambda i: i // 2 % 2},
        "z": {"z": lambda i: i / COUNT},
        "votes": {"polar_yes": lambda i: i % 6, "polar_no": lambda i: 5 - i % 6},
    }
    for name, values in columns.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            rows = [[f"g{i}.jpg", *(value(i) for value in values.values())] for i in range(COUNT)]
            csv.writer(file).writerows([["path", *values], *rows])
    return folder


def trained(table, start, output_dir, *argv, report=False):
    """Run ``galaxy-vision train``; return the folder and its metrics.json."""
    with pytest.MonkeyPatch.context() as patch:
        if not report:
            patch.setattr("galaxy_vision.evaluation.report.write_report", lambda *arguments: [])
        argv = ["--data", str(table), "--init_from", start, "--output_dir", str(output_dir), *QUICK, *argv]
        assert main(["train", *argv]) == 0
    return output_dir, json.loads((output_dir / "metrics.json").read_text())


@pytest.fixture(scope="module")
def of_classes(own, start, tmp_path_factory):
    return trained(own / "class.csv", start, tmp_path_factory.mktemp("run") / "class", report=True)


@pytest.fixture(scope="module")
def of_labels(own, start, tmp_path_factory):
    return trained(own / "labels.csv", start, tmp_path_factory.mktemp("run") / "labels", report=True)


@pytest.fixture(scope="module")
def of_numbers(own, start, tmp_path_factory):
    return trained(own / "z.csv", start, tmp_path_factory.mktemp("run") / "z", report=True)


def test_the_command_and_the_script_are_the_same_run(of_classes, own, start, tmp_path):
    argv = ["--dataset", str(own / "class.csv"), "--init_from", start, "--output_dir", str(tmp_path), *QUICK]
    results = train("train_classifier", *argv)
    for name in ("classes", "loss", "history", "kept_votes", "split_fingerprint"):
        assert results[name] == of_classes[1][name], name


def test_image_size_crop_backbone_and_dropout_are_those_of_the_start_and_are_said(own, start, tmp_path, capsys):
    folder, results = trained(own / "class.csv", start, tmp_path / "run", "--probe")
    assert (
        f"taken from init_from={start!r}: backbone=test_resnet, drop_rate=0.1, image_size=32, crop_fraction=0.5"
        in capsys.readouterr().out
    )
    run = json.loads((folder / "run.json").read_text())
    assert not {"image_size", "crop_fraction", "drop_rate", "backbone", "dataset"} & set(run["changed_arguments"])
    assert GalaxyImageProcessor.from_pretrained(folder).crop_fraction == 0.5 == results["arguments"]["crop_fraction"]


def test_a_probe_changes_the_class_head_alone(own, start, tmp_path):
    folder, results = trained(own / "class.csv", start, tmp_path / "run", "--probe")
    old, new = (GalaxyResNetForImageClassification.from_pretrained(path).state_dict() for path in (start, folder))
    assert all(torch.equal(old[name], new[name]) for name in old if not name.startswith("classifier"))
    assert results["kept_votes"] == {"campaigns": ["gz2"], "mean_change": 0.0}


def test_votes_are_kept_and_hardly_change_unless_they_are_dropped(of_classes, own, start, tmp_path):
    folder, results = of_classes
    model = GalaxyResNetForImageClassification.from_pretrained(folder)
    assert list(model.trees) == ["gz2"] and 0 < results["kept_votes"]["mean_change"] < 0.01
    assert model.config.label_scheme == "own"  # classes are not those of any rules on votes
    folder, results = trained(own / "class.csv", start, tmp_path / "run", "--drop_votes", "--probe")
    assert results["kept_votes"] is None
    assert GalaxyResNetForImageClassification.from_pretrained(folder).vote_head is None


def test_the_card_names_the_base_model_its_licence_and_citation_and_what_was_kept(of_classes):
    card = " ".join((of_classes[0] / "README.md").read_text().split())
    assert "license: cc-by-4.0" in card and "starting from `tiny`" in card
    assert "Of `tiny` it keeps the backbone, whose weights have learned a little further, and the votes of gz2" in card
    assert "was trained on Some survey; its licence: `cc-by-4.0`" in card and "Cite them (2020)." in card
    assert "for validation (they are few and were learned from too)" in card and "Only 6 rows were tested" in card


def test_a_perfect_score_of_few_rows_has_a_wide_interval(of_classes):
    interval = of_classes[1]["classes"]["interval_95"]
    assert all(upper - lower > 0.2 for lower, upper in interval.values())


def test_several_labels_have_a_probability_each_in_every_command(of_labels, own, tmp_path, capsys):
    folder, results = of_labels
    config = GalaxyResNetForImageClassification.from_pretrained(folder).config
    assert config.problem_type == "multi_label_classification" and list(config.id2label.values()) == ["ring", "bar"]
    scores = pipeline("image-classification", str(folder), trust_remote_code=False)(str(own / "g0.jpg"))
    assert {row["label"] for row in scores} == {"ring", "bar"} and all(0 < row["score"] < 1 for row in scores)
    assert main(["describe", str(own / "g0.jpg"), "--model", str(folder), "--frame", "as_is"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{row['label']} ({row['score']:.0%})" in printed for row in scores)
    again = evaluate_saved(str(folder), str(own / "labels.csv"), mixed_precision="no")
    assert again["labels"] == results["labels"]
    argv = ["--catalogue", str(own), "--output_dir", str(tmp_path / "out"), "--model", str(folder)]
    assert main(["predict", *argv, "--frame", "as_is", "--mixed_precision", "no"]) == 0
    table = pd.read_parquet(tmp_path / "out").set_index("id")
    found = table.loc["g0", ["probability_ring", "probability_bar"]].to_list()
    assert "class" not in table and found == pytest.approx(
        [next(row["score"] for row in scores if row["label"] == name) for name in ("ring", "bar")], abs=1e-4
    )


def test_numbers_have_a_mean_and_a_standard_error_in_every_command(of_numbers, own, tmp_path, capsys):
    folder, results = of_numbers
    row = results["numbers"]["per_number"][0]
    assert row["number"] == "z" and 0 < row["rmse"] < 1 and 0 <= row["coverage_68"] <= 1
    assert main(["describe", str(own / "g0.jpg"), "--model", str(folder), "--frame", "as_is", "--json"]) == 0
    number = json.loads(capsys.readouterr().out)["numbers"]["z"]
    assert number["error"] > 0
    assert main(["describe", str(own / "g0.jpg"), "--model", str(folder), "--frame", "as_is"]) == 0
    assert f"z = {number['value']:.4g} +- {number['error']:.2g}" in capsys.readouterr().out
    argv = ["--catalogue", str(own), "--output_dir", str(tmp_path / "out"), "--model", str(folder)]
    assert main(["predict", *argv, "--frame", "as_is", "--mixed_precision", "no"]) == 0
    table = pd.read_parquet(tmp_path / "out").set_index("id")
    assert table.loc["g0", ["z", "z_error"]].to_list() == pytest.approx(list(number.values()), rel=1e-3)
    assert main(["explain", str(own / "g0.jpg"), "--model", str(folder)]) == 2
    assert "predicts numbers, and heat maps are of classes and answers" in capsys.readouterr().err
    again = evaluate_saved(str(folder), str(own / "z.csv"), mixed_precision="no", own=OwnLabels("regression", ("z",)))
    known = again["numbers"]["per_number"][0]
    assert {**known, "baseline_rmse": None} == {**row, "baseline_rmse": None}  # the run learned from validation too
    with pytest.raises(ValueError, match="the model predicts the numbers z, and the data set has ring, bar"):
        evaluate_saved(str(folder), str(own / "labels.csv"), mixed_precision="no")


def test_counts_are_learned_beside_the_votes_that_are_kept(own, start, tmp_path):
    folder, results = trained(own / "votes.csv", start, tmp_path / "run")
    model = GalaxyResNetForImageClassification.from_pretrained(folder)
    assert list(model.trees) == ["polar", "gz2"] and results["task"] == "counts"
    assert results["votes"]["campaign"] == "polar" and results["kept_votes"]["campaigns"] == ["gz2"]


def test_folds_test_every_row_once_and_are_not_repeated_after_a_kill(own, start, tmp_path, capsys):
    argv = [own / "class.csv", start, tmp_path / "run", "--probe", "--folds", "2", "--learning_curve"]
    folder, results = trained(*argv, report=True)
    assert results["rows"] == results["classes"]["rows"] == COUNT == results["split_rows"]["train"]
    parts = [json.loads((folder / f"fold_{number}" / "metrics.json").read_text()) for number in (1, 2)]
    summed = sum(np.array(part["classes"]["confusion_matrix"]) for part in parts)
    assert summed.tolist() == results["classes"]["confusion_matrix"]
    assert "each by a model of 2 that has not learned from it" in capsys.readouterr().out
    first = (folder / "fold_1" / "model.safetensors").stat().st_mtime_ns
    (folder / "metrics.json").unlink()
    again = trained(*argv)[1]
    assert (folder / "fold_1" / "model.safetensors").stat().st_mtime_ns == first
    assert again["classes"] == results["classes"]
    with pytest.raises(SystemExit, match="fold_1 holds a run with seed=0, and 1 was given; give another --output_dir"):
        trained(*argv, "--seed", "1")


WRONG = {
    "--folds 1": "folds=1 is not 2 to 100; give 5, or leave it out",
    "--fold 3": "fold='3' is not such as 2/5, the second of five; mend it",
    "--task shape": "task='shape' is not one of single_label, multi_label, regression, counts",
    "--labels_per_class -1": "labels_per_class=-1 is below 0",
}


@pytest.mark.parametrize(("argument", "message"), WRONG.items(), ids=WRONG)
def test_arguments_of_own_labels_that_cannot_be_are_refused(argument, message, own, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--data", str(own / "class.csv"), *argument.split()])
    assert message in capsys.readouterr().err


def test_without_data_and_with_votes_of_a_campaign_the_command_says_what_to_do(capsys, start, tmp_path):
    with pytest.raises(SystemExit):
        main(["train"])
    assert "data is missing; give --data, a table of paths and labels" in capsys.readouterr().err
    argv = ["--data", "simulated", "--num_simulated", "200", "--max_rows", "8", "--init_from", start]
    with pytest.raises(SystemExit, match="has the votes of gz2 and no labels of your own; train on it by train_classi"):
        main(["train", *argv, "--output_dir", str(tmp_path / "run")])
