"""What a run takes from the model that it starts from, and what it refuses before its first step."""

import json

import pytest
import timm
import torch
from conftest import FEW, train

from galaxy_vision import (
    GalaxyCaptionerForConditionalGeneration,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.training.starting_point import take_weights

QUICK = ["--num_simulated", "200", "--max_rows", "12", "--batch_size", "6", "--epochs", "1", "--mixed_precision", "no"]


@pytest.fixture
def other(tmp_path):
    """The folder of a classifier with another backbone than the default one, at another size and crop."""
    config = GalaxyResNetConfig(backbone="resnet14t", image_size=48)
    GalaxyResNetForImageClassification(config).save_pretrained(tmp_path / "other")
    GalaxyImageProcessor(size={"height": 48, "width": 48}, crop_fraction=0.5).save_pretrained(tmp_path / "other")
    return str(tmp_path / "other")


def test_a_classifier_takes_the_backbone_of_the_model_it_starts_from(other, tmp_path, capsys):
    argv = [*QUICK, "--image_size", "32", "--init_from", other, "--output_dir", str(tmp_path / "run")]
    train("train_classifier", *argv)
    printed = capsys.readouterr().out
    assert "backbone=resnet14t, drop_rate=0.0, crop_fraction=0.5" in printed  # what nobody gave
    assert "image_size=48, here 32" in printed
    model = GalaxyResNetForImageClassification.from_pretrained(tmp_path / "run")
    assert model.config.backbone == "resnet14t"
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["arguments"]["backbone"] == "resnet14t" and "backbone" not in run["changed_arguments"]  # nobody gave it


def test_a_classifier_takes_the_backbone_of_the_weights_of_timm(tmp_path, monkeypatch):
    made, create = [], timm.create_model

    def offline(name, pretrained=False, **kw):
        made.append((name, pretrained))
        return create(name, **kw)

    monkeypatch.setattr(timm, "create_model", offline)
    argv = [*QUICK, "--image_size", "32", "--output_dir", str(tmp_path)]
    train("train_classifier", *argv, "--pretrained_backbone", "resnet14t.c3_in1k")
    assert ("resnet14t.c3_in1k", True) in made
    assert GalaxyResNetForImageClassification.from_pretrained(tmp_path).config.backbone == "resnet14t"


@pytest.mark.parametrize("start", ["init_from", "pretrained_backbone"])
def test_another_backbone_than_that_of_the_start_is_refused_before_anything_is_loaded(
    start, other, tmp_path, monkeypatch
):
    monkeypatch.setattr("galaxy_vision.training.rows.load_galaxies", None)
    name = other if start == "init_from" else "resnet14t.c3_in1k"
    with pytest.raises(
        SystemExit, match=f"error: {start}=.* has backbone='resnet14t', and backbone='test_resnet' was given"
    ):
        train("train_classifier", *FEW, f"--{start}", name, "--output_dir", str(tmp_path / "run"))


def test_a_captioner_starts_from_a_resnet_only(tmp_path, monkeypatch):
    monkeypatch.setattr("galaxy_vision.training.rows.load_galaxies", None)
    config = GalaxyResNetConfig(backbone="tf_efficientnet_lite0")
    GalaxyResNetForImageClassification(config).save_pretrained(tmp_path / "lite")
    GalaxyImageProcessor().save_pretrained(tmp_path / "lite")
    with pytest.raises(SystemExit, match="error: encoder=.* has backbone='tf_efficientnet_lite0' is not a timm ResNet"):
        train("train_captioner", "--encoder", str(tmp_path / "lite"), "--output_dir", str(tmp_path / "run"))


def test_the_rows_of_further_data_sets_are_trained_on(tmp_path, capsys):
    data = load_galaxies("simulated", num_simulated=200)
    kept = data["train"].select(range(12))
    for name, rows in (("more", kept), ("even_more", kept.select(range(5)))):
        renamed = rows.remove_columns("id").add_column("id", [f"{name}{row}" for row in range(len(rows))])
        renamed.to_parquet(tmp_path / name / "train.parquet")
    argv = [*QUICK, "--image_size", "32", "--max_rows", "0", "--stop_after", "1", "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="130"):
        train("train_classifier", *argv, "--also", f"{tmp_path / 'more'},{tmp_path / 'even_more'}")
    assert f": {len(data['train']) + 17} train, " in capsys.readouterr().out


def test_the_backbone_of_the_start_may_be_named_too(other, tmp_path):
    argv = [*QUICK, "--image_size", "32", "--init_from", other, "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="130"):
        train("train_classifier", *argv, "--backbone", "resnet14t.c3_in1k", "--stop_after", "1")


def test_a_start_that_cannot_be_is_named(tmp_path, capsys, monkeypatch):
    for argv, message in (
        (
            ["--pretrained_backbone", "vit_tiny_patch16_224"],
            "pretrained_backbone='vit_tiny_patch16_224' does not give feature maps",
        ),
        (["--pretrained_backbone", "resnet18", "--init_from", "runs/classifier"], "give one of them"),
    ):
        with pytest.raises(SystemExit, match="2"):
            train("train_classifier", *argv)
        assert message in capsys.readouterr().err
    with pytest.raises(
        SystemExit, match="error: pretrained_backbone='resnet18.nothing' cannot be loaded: Invalid pretrained tag"
    ):
        train(
            "train_classifier",
            *QUICK,
            "--pretrained_backbone",
            "resnet18.nothing",
            "--output_dir",
            str(tmp_path / "run"),
        )
    grey = GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="test_resnet", image_size=32, num_channels=1))
    grey.save_pretrained(tmp_path / "grey")
    for script, argument in (("train_classifier", "init_from"), ("train_captioner", "encoder")):
        with pytest.raises(SystemExit, match=f"{argument}=.* takes images of 1 channels, and a run trains on 3"):
            train(script, *QUICK, f"--{argument}", str(tmp_path / "grey"), "--output_dir", str(tmp_path / "run"))


def test_a_captioner_takes_everything_that_its_encoder_or_its_start_is_made_of(other, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    argv = [*QUICK, "--max_new_tokens", "4", "--num_beams", "1"]
    small = ["--hidden_size", "16", "--attention_stage", "4", "--no_use_attention"]
    results = train("train_captioner", *argv, *small, "--encoder", other, "--output_dir", str(first))
    assert "image_size=48, crop_fraction=0.5, backbone=resnet14t" in capsys.readouterr().out
    known = {"backbone": "resnet14t", "image_size": 48, "crop_fraction": 0.5}
    assert results["arguments"] | known == results["arguments"]
    train("train_captioner", *argv, "--init_from", str(first), "--image_size", "32", "--output_dir", str(second))
    one, two = (GalaxyCaptionerForConditionalGeneration.from_pretrained(folder) for folder in (first, second))
    for name in ("backbone", "hidden_size", "attention_stage", "use_attention", "tie_word_embeddings"):
        assert getattr(one.config, name) == getattr(two.config, name)
    assert two.config.image_size == 32
    with pytest.raises(SystemExit, match="init_from=.* has hidden_size=16, and hidden_size=32 was given"):
        wider = [*argv, "--hidden_size", "32", "--output_dir", str(tmp_path / "third")]
        train("train_captioner", *wider, "--init_from", str(first))
    with pytest.raises(SystemExit, match="encoder=.* has image_size=48, and image_size=96 was given"):
        train(
            "train_captioner", *argv, "--encoder", other, "--image_size", "96", "--output_dir", str(tmp_path / "third")
        )


WRONG_ARGUMENTS = {
    "--attention_stage 5": "attention_stage=5 is not an integer from 2 to 4",
    "--hidden_size 0": "hidden_size=0 is not an integer from 1",
    "--num_beams 65": "num_beams=65 is not an integer from 1 to 64",
    "--max_new_tokens 600": "max_new_tokens=600 is not an integer from 1 to 512",
    "--backbone_rate -1": "backbone_rate=-1.0 is below 0",
    "--frozen_epochs -1": "frozen_epochs=-1 is below 0",
    "--learning_rate 0": "learning_rate=0.0 is not above 0, so nothing would be learned",
    "--max_grad_norm 0": "max_grad_norm=0.0 is not above 0, so nothing would be learned",
    "--warmup_fraction 1": "warmup_fraction=1.0 is outside 0 <= warmup_fraction < 1",
}


@pytest.mark.parametrize(("argument", "message"), WRONG_ARGUMENTS.items(), ids=WRONG_ARGUMENTS)
def test_a_captioner_that_cannot_be_is_refused_by_its_arguments(argument, message, capsys):
    with pytest.raises(SystemExit):
        train("train_captioner", *argument.split())
    assert message in capsys.readouterr().err


def test_the_weights_of_the_start_are_those_that_are_trained_on(other, tmp_path):
    """A rate so small that what was learned cannot be told from what it started with."""
    argv = [*QUICK, "--image_size", "32", "--init_from", other, "--output_dir", str(tmp_path / "run")]
    train("train_classifier", *argv, "--learning_rate", "1e-9", "--weight_decay", "0", "--ema_decay", "0")
    one, two = (
        GalaxyResNetForImageClassification.from_pretrained(folder).backbone for folder in (other, tmp_path / "run")
    )
    for (name, known), weight in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(weight, known, atol=1e-5), name


@pytest.mark.parametrize(
    "labels, votes, taken",
    [
        (["a", "b"], True, ["backbone", "classifier", "vote_head"]),
        (["b", "a"], True, ["backbone", "vote_head"]),
        (["a", "b", "c"], False, ["backbone"]),
    ],
)
def test_heads_are_taken_from_the_start_where_they_mean_the_same(labels, votes, taken):
    def classifier(labels, votes):
        names = {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
        config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, predict_votes=votes, **names)
        return GalaxyResNetForImageClassification(config)

    start, model = classifier(["a", "b"], True), classifier(labels, votes)
    assert take_weights(model, start, "init_from='m'") == f"weights taken from init_from='m': {', '.join(taken)}"
    for name in ("backbone", "classifier", "vote_head"):
        ours, theirs = getattr(model, name), getattr(start, name)
        if ours is not None:
            same = all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
            assert same is (name in taken), name


def test_a_class_head_whose_classes_do_not_exclude_each_other_is_not_taken():
    settings = {"backbone": "test_resnet", "image_size": 32, "predict_votes": False}
    start = GalaxyResNetForImageClassification(
        GalaxyResNetConfig(**settings, problem_type="multi_label_classification")
    )
    model = GalaxyResNetForImageClassification(GalaxyResNetConfig(**settings))
    assert take_weights(model, start, "init_from='m'") == "weights taken from init_from='m': backbone"
