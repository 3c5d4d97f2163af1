"""Class scores of rows of several campaigns: each row by the campaign that labels it."""

import numpy as np
import torch

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.data.labels import assign_labels, class_names_for
from galaxy_vision.evaluation.evaluate import _probabilities_of_rows
from galaxy_vision.models.modeling_galaxy_resnet import GalaxyClassifierOutput
from galaxy_vision.models.trees import Trees

TREES = Trees([tree_of("gz2"), tree_of("gz_challenge")])
CERTAIN = 400.0
"""Concentration of a prediction without doubt."""


def votes_on(answers: dict[str, str]) -> np.ndarray:
    """Votes of 40 volunteers who all gave the same answers, and 0 elsewhere."""
    tree, votes = TREES.first, np.zeros(37)
    for question, answer in answers.items():
        votes[tree.index(question, answer)] = 40
    return votes


def test_a_row_has_the_class_that_the_campaign_with_its_votes_predicts():
    tree = TREES.first
    first = tree.first_question
    smooth = votes_on({first.name: first.answers[0], tree.questions[6].name: tree.questions[6].answers[0]})
    edge_on = votes_on({first.name: first.answers[1], tree.questions[1].name: tree.questions[1].answers[0]})
    names = class_names_for("hubble", TREES)
    config = GalaxyResNetConfig(
        backbone="resnet10t", image_size=32, trees=TREES.to_list(), id2label=dict(enumerate(names))
    )
    config.label2id = {name: label for label, name in enumerate(names)}
    model = GalaxyResNetForImageClassification(config)
    # The two campaigns predict different answers for the same image.
    concentration = np.concatenate([smooth, edge_on])[None].repeat(3, 0) * CERTAIN / 40 + 0.01
    outputs = GalaxyClassifierOutput(
        logits=torch.zeros(3, len(names)), vote_concentration=torch.tensor(concentration, dtype=torch.float32)
    )
    unknown = np.full(37, np.nan)
    rows = np.stack([np.r_[smooth, unknown], np.r_[unknown, edge_on], np.r_[smooth, edge_on]])
    labels = assign_labels(rows, "hubble", trees=TREES)
    assert [names[label] for label in labels] == ["elliptical", "edge-on disc", "elliptical"]
    probabilities = _probabilities_of_rows(model, outputs, torch.tensor(rows), TREES, None)
    assert probabilities.argmax(1).tolist() == labels.tolist()
