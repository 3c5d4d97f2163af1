"""Intervals of few rows allow for mistakes that have not happened yet; outputs of folds are scored as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_vision.evaluation.metrics import GalaxyMetric
from galaxy_vision.evaluation.own_scores import FILE, Predictions, label_scores, number_scores
from galaxy_vision.evaluation.sums import confusion_draws, few_tested, wilson


def test_the_interval_of_a_share_is_that_of_wilson():
    assert wilson(10, 10) == pytest.approx([0.7225, 1.0], abs=1e-4)
    assert wilson(0, 10) == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)  # Newcombe 1998, Stat. Med. 17, 857, table I


@given(st.lists(st.integers(0, 2), min_size=2, max_size=300))
def test_no_score_of_few_rows_is_certain_though_all_are_right(labels):
    metric = GalaxyMetric("classes", label_names=["a", "b", "c"])
    found = metric.compute(predictions=np.eye(3)[labels], references=np.array(labels))
    assert found["accuracy"] == 1.0
    lower, upper = found["interval_95"]["accuracy"]
    assert lower < 1 - 1 / len(labels) and upper == pytest.approx(1.0)


def test_confusion_matrices_of_many_rows_are_drawn_as_they_are():
    confusion = np.diag([700, 800])
    assert (confusion_draws(confusion, 50)[:, 0, 1] == 0).all()
    assert confusion_draws(np.diag([5, 5]), 500)[:, 0, 1].any()


def test_below_a_hundred_rows_a_sentence_says_so():
    assert few_tested(100) is None and "only 99 rows were tested" in few_tested(99)
    assert "--folds 5" in few_tested(99) and "--folds" not in few_tested(99, folds=5)


def test_several_labels_are_scored_where_they_are_known():
    labels = np.array([[1.0, 0.0], [1.0, np.nan], [0.0, 0.0], [0.0, np.nan]])
    outputs = np.array([[2.0, -1.0], [-1.0, 3.0], [-2.0, -3.0], [-3.0, 1.0]])
    found = label_scores(Predictions(np.arange(4), outputs, labels), ["ring", "bar"], np.array([0.5, 0.0]))
    ring, bar = found["per_label"]
    assert (ring["precision"], ring["recall"], ring["f1"]) == (1.0, 0.5, pytest.approx(2 / 3))
    assert ring["average_precision"] == 1.0 and (bar["rows"], bar["support"], bar["accuracy"]) == (2, 0, 1.0)
    assert found["macro_f1"] == ring["f1"] and bar["average_precision"] is None
    assert bar["interval_95"][0] < 0.5


def test_numbers_are_scored_beside_the_mean_of_training():
    labels, outputs = np.array([[1.0], [3.0], [np.nan]]), np.array([[2.0], [3.0], [9.0]])
    predictions = Predictions(np.arange(3), outputs, labels, errors=np.array([[0.5], [0.5], [0.5]]))
    row = number_scores(predictions, ["z"], np.array([2.0]))["per_number"][0]
    assert row["rmse"] == pytest.approx(0.5**0.5) and row["bias"] == 0.5 and row["coverage_68"] == 0.5
    assert row["baseline_rmse"] == 1.0 and row["rows"] == 2


def test_outputs_of_folds_are_read_as_one(tmp_path):
    class Rows:
        data = {"test": {"id": ["x", "y"]}}  # noqa: RUF012 (never changed)

    class Test(dict):
        column_names = ("id",)

    for number in (1, 2):
        folder = tmp_path / f"fold_{number}"
        folder.mkdir()
        rows = Rows()
        rows.data = {"test": Test(id=["x", "y"])}
        outputs = np.array([[number, 0.0], [0.0, number]])
        Predictions(np.arange(2), outputs, np.array([0, -1])).write(folder, rows)
        assert (folder / FILE).is_file()
    both = Predictions.read([tmp_path / "fold_1", tmp_path / "fold_2"])
    assert both.outputs.tolist() == [[1, 0], [0, 1], [2, 0], [0, 2]] and both.labels.tolist() == [0, -1, 0, -1]
    assert both.row.tolist() == [0, 1, 2, 3] and both.errors is None
