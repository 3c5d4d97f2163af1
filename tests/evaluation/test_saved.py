"""A saved model is scored on the votes that it predicts."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import column_names, tree_of
from galaxy_vision.evaluation.saved import evaluate_saved
from galaxy_vision.models.trees import Trees

GALAXIES = 6


@pytest.fixture(scope="module")
def data_set_of_two_campaigns(tmp_path_factory) -> str:
    """Each galaxy has 30 votes on the first question of Galaxy Zoo 2, or of DESI."""
    columns = {"image": [Image.new("RGB", (32, 32), (40 * row, 0, 0)) for row in range(GALAXIES)]}
    columns["label"] = ["a", "b"] * (GALAXIES // 2)
    for number, name in enumerate(("gz2", "gz_desi")):
        tree = tree_of(name)
        votes = np.zeros((GALAXIES, len(tree.answers)))
        votes[number::2, tree.slices[tree.first_question.name].start] = 30
        columns |= {column: votes[:, i] for i, column in enumerate(column_names(tree)) if column}
    rows = Dataset.from_dict(columns).class_encode_column("label")
    folder = str(tmp_path_factory.mktemp("data"))
    DatasetDict(train=rows, validation=rows, test=rows).save_to_disk(folder)
    return folder


@pytest.mark.parametrize("campaigns", [("gz2",), ("gz_desi",), ("gz_desi", "gz2")])
def test_the_votes_of_the_models_campaigns_are_compared_where_the_data_set_has_others_too(
    campaigns, data_set_of_two_campaigns, tmp_path
):
    trees = Trees(map(tree_of, campaigns))
    config = GalaxyResNetConfig(
        backbone="test_resnet",
        image_size=32,
        trees=None if trees == Trees() else trees.to_list(),
        id2label={0: "a", 1: "b"},
    )
    GalaxyResNetForImageClassification(config).save_pretrained(tmp_path)
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    results = evaluate_saved(str(tmp_path), data_set_of_two_campaigns)
    assert "note" not in results
    scores = results["votes"].get("campaigns", {campaigns[0]: results["votes"]})
    assert tuple(scores) == campaigns
    for score in scores.values():
        assert score["questions"][0]["galaxies"] == GALAXIES // 2
