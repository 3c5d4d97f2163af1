"""A captioner to start from that reads votes: the data set and the teacher must have them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from small_captioners import make_model

from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.checks import check_captioner_start

OTHER = replace(GALAXY_ZOO_2, name="gz_challenge")


@pytest.mark.parametrize(
    ("tree", "teacher", "frozen_epochs", "message"),
    [
        (OTHER, None, 5, "init_from='start' reads votes of gz2, and dataset='rows' has those of gz_challenge"),
        (GALAXY_ZOO_2, None, 4, "must not change, and frozen_epochs=4; give --frozen_epochs 5"),
        (GALAXY_ZOO_2, Trees((OTHER,)), 5, "reads votes of gz2, and encoder='teacher' predicts those of gz_challenge"),
    ],
)
def test_votes_that_cannot_be_read_further_are_refused_before_training(tree, teacher, frozen_epochs, message):
    args = SimpleNamespace(init_from="start", encoder="teacher", dataset="rows", epochs=5, frozen_epochs=frozen_epochs)
    classifier = teacher and SimpleNamespace(trees=teacher, config=SimpleNamespace(predict_votes=True))
    start = make_model(trees=Trees().to_list())
    with pytest.raises(SystemExit, match=message):
        check_captioner_start(args, tree, None, start, None, classifier)


def test_a_captioner_that_reads_what_data_and_teacher_have_may_be_started_from():
    args = SimpleNamespace(init_from="start", encoder="teacher", dataset="rows", epochs=5, frozen_epochs=5)
    classifier = SimpleNamespace(trees=Trees((OTHER, GALAXY_ZOO_2)), config=SimpleNamespace(predict_votes=True))
    check_captioner_start(args, GALAXY_ZOO_2, None, make_model(trees=Trees().to_list()), None, classifier)
