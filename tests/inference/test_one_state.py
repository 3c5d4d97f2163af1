"""Whatever names the class of an image names the same one, that of the votes of the campaign that is asked for."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from small_captioners import save_small

from galaxy_vision import (
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
    class_probabilities,
    read_rgb,
)
from galaxy_vision.cli import main
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.data.labels import class_names_for
from galaxy_vision.inference.explain import explain
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees

RINGS = load_campaign("gz_rings").released
TREES = Trees((GALAXY_ZOO_2, load_campaign("gz_desi").released, RINGS))
NAMES = class_names_for("hubble", TREES)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(3)
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {name: label for label, name in enumerate(NAMES)}}
    config = GalaxyResNetConfig(backbone="resnet10t", image_size=32, trees=TREES.to_list(), **labels)
    model = GalaxyResNetForImageClassification(config)
    with torch.no_grad():  # so that answers differ
        model.vote_head.bias.normal_()
    model.save_pretrained(folder)
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("captioner"))[0]


@pytest.fixture(scope="module")
def images(tmp_path_factory, galaxies):
    folder = tmp_path_factory.mktemp("images")
    for number, (data, *_) in enumerate(galaxies[:3]):
        (folder / f"{number}.jpg").write_bytes(data)
    return folder


def known(model, image, campaign: str | None):
    loaded = GalaxyResNetForImageClassification.from_pretrained(model).eval()
    with torch.inference_mode():
        outputs = loaded(**GalaxyImageProcessor.from_pretrained(model)(read_rgb(image), return_tensors="pt"))
    classes = class_probabilities(loaded, outputs, campaign)
    return classes.probabilities[0].tolist(), None if classes.uncertain is None else classes.uncertain.item()


@pytest.mark.parametrize("campaign", [None, "gz_desi", "gz_rings"])
def test_describe_and_predict_name_the_class_of_the_votes(campaign, model, captioner, images, tmp_path, capsys):
    more = ["--frame", "as_is"] + ([] if campaign is None else ["--campaign", campaign])
    paths = sorted(images.glob("*.jpg"))
    assert (
        main(["describe", *map(str, paths), "--model", str(model), "--captioner", str(captioner), "--json", *more]) == 0
    )
    described = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    argv = ["predict", "--model", str(model), "--catalogue", str(images), "--output_dir", str(tmp_path / "out")]
    assert main([*argv, "--mixed_precision", "no", *more]) == 0
    rows = pd.read_parquet(tmp_path / "out").set_index("id")
    assert ("uncertain" in rows) == (campaign != "gz_rings")  # whose votes decide no class
    columns = [f"probability_{name.replace(' ', '_').replace('-', '_')}" for name in NAMES]
    for path, description in zip(paths, described, strict=True):
        probabilities, uncertain = known(model, path, campaign)
        row = rows.loc[path.stem]
        # One draw of 256 may lie so near to a limit that rounding decides it.
        np.testing.assert_allclose(list(description["probabilities"].values()), probabilities, atol=0.01)
        np.testing.assert_allclose(row[columns].to_numpy(float), probabilities, atol=0.01)
        assert description["class"] == row["class"] == NAMES[int(np.argmax(probabilities))]
        assert description["uncertain"] == pytest.approx(uncertain, abs=0.01)
        if uncertain is not None:
            assert row["uncertain"] == pytest.approx(uncertain, abs=0.01)


def test_the_heat_map_without_a_target_is_that_of_the_class_of_the_votes(model, images):
    loaded = GalaxyResNetForImageClassification.from_pretrained(model).eval()
    processor, path = GalaxyImageProcessor.from_pretrained(model), images / "0.jpg"
    for campaign in (None, "gz_desi"):
        probabilities, _ = known(model, path, campaign)
        image, label = read_rgb(path), int(np.argmax(probabilities))
        np.testing.assert_array_equal(
            explain(loaded, processor, image, campaign=campaign), explain(loaded, processor, image, label)
        )
