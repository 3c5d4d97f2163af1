"""Predicted votes that are held to what the class of a galaxy says about them."""

import json

import numpy as np
import pytest
from scipy import stats

from galaxy_vision.data.bounds import hold, least_fractions, read_bounds
from galaxy_vision.models.decision_tree import (
    ANSWERS,
    GALAXY_ZOO_2,
    KAGGLE_COLUMNS,
    QUESTION_SLICES,
    conditional_fractions,
    question_totals,
)

SPIRAL = [["Class1.2", 0.43], ["Class2.2", 0.715], ["Class4.1", 0.619]]


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, their certainties, and true fractions that were drawn from these predictions: all (rows, 37)."""
    rng = np.random.default_rng(seed)
    concentration = rng.gamma(2.0, 2.0, (rows, len(ANSWERS))) + 0.1
    truth = conditional_fractions(rng.gamma(concentration))
    return conditional_fractions(concentration), question_totals(concentration), truth


def test_an_answer_becomes_the_mean_of_its_distribution_above_the_bound():
    fractions, certainty, _ = drawn(20)
    held = hold(fractions, certainty, least_fractions([["Class1.2", 0.43]]))
    for row in range(20):
        a = fractions[row, 1] * certainty[row, 1]
        known = stats.beta(a, certainty[row, 1] - a).expect(lb=0.43, ub=1.0, conditional=True)
        assert held[row, 1] == pytest.approx(known, abs=1e-6)
        assert held[row, 0] / held[row, 2] == pytest.approx(fractions[row, 0] / fractions[row, 2])


def test_held_fractions_keep_all_bounds_and_remain_fractions():
    fractions, certainty, _ = drawn(500)
    fractions[:3, 0:3] = [[0.999999, 1e-6, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    certainty[:2] = 1e4  # and still below the bound
    least = least_fractions(SPIRAL)
    held = hold(fractions, certainty, least)
    assert (GALAXY_ZOO_2.cumulative(held) >= least - 1e-9).all()
    for stem, answers in QUESTION_SLICES.items():
        assert np.allclose(held[:, answers].sum(1), 1.0)
        if stem not in ("t01_smooth_or_features", "t02_edgeon", "t04_spiral"):
            assert np.array_equal(held[:, answers], fractions[:, answers])


def test_what_is_certainly_above_its_bounds_is_not_changed():
    fractions, certainty, _ = drawn(50)
    for column, value in (("Class1.2", 0.95), ("Class2.2", 0.95), ("Class4.1", 0.95)):
        index = KAGGLE_COLUMNS.index(column)
        answers = next(answers for answers in QUESTION_SLICES.values() if answers.start <= index < answers.stop)
        fractions[:, answers] = (1 - value) / (answers.stop - answers.start - 1)
        fractions[:, index] = value
    assert np.allclose(hold(fractions, certainty * 0 + 500.0, least_fractions(SPIRAL)), fractions, atol=1e-3)


def test_held_fractions_are_closer_to_the_true_ones_than_free_and_than_clipped_ones():
    fractions, certainty, truth = drawn(20_000)
    least = least_fractions([["Class1.1", 0.3], ["Class7.2", 0.2]])
    kept = (GALAXY_ZOO_2.cumulative(truth) >= least).all(1)
    assert kept.sum() > 1000
    fractions, certainty, truth = fractions[kept], certainty[kept], GALAXY_ZOO_2.cumulative(truth[kept])

    def rmse(predicted: np.ndarray) -> float:
        return float(np.sqrt(((GALAXY_ZOO_2.cumulative(predicted) - truth) ** 2).mean()))

    clipped = rmse(hold(fractions, np.full_like(certainty, 1e7), least))  # a certain prediction is clipped
    assert rmse(hold(fractions, certainty, least)) < clipped < rmse(fractions)


def test_an_answer_that_leads_to_a_bounded_one_has_its_bound():
    least = least_fractions([["Class4.1", 0.619], ["Class1.2", 0.43]])
    assert {KAGGLE_COLUMNS[index]: least[index] for index in np.flatnonzero(least)} == {
        "Class1.2": 0.619,
        "Class2.2": 0.619,
        "Class4.1": 0.619,
    }


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[", "cannot be read"),
        ("[]", "is not an object such as"),
        ('{"round": [["Class1.1", 0.469]]}', "has the class 'round', and those of the data set are smooth, spiral"),
        ('{"spiral": [["Class4.9", 0.5]]}', r"class 'spiral': \['Class4.9', 0.5\] is not a column and a number"),
        ('{"spiral": [["Class4.1", "much"]]}', "is not a column and a number"),
        ('{"spiral": ["Class4.1", 0.5]}', "'Class4.1' is not a column and a number"),
        ('{"spiral": [["Class4.1", 61.9]]}', "Class4.1 >= 61.9 is outside 0 <= fraction < 1"),
        ('{"spiral": [["Class1.1", 0.3], ["Class4.1", 0.3]]}', "two answers of t01_smooth_or_features have bounds"),
        ('{"spiral": [["Class6.1", 0.5]]}', "bounds on t06_odd cannot be held to"),
        ('{"spiral": [["Class8.1", 0.5]]}', "bounds on t08_odd_feature cannot be held to"),
    ],
)
def test_bounds_that_cannot_be_meant_are_refused(tmp_path, content, sentence):
    (tmp_path / "bounds.json").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        read_bounds(str(tmp_path / "bounds.json"), ["smooth", "spiral"])


def test_bounds_are_those_of_the_labels_of_their_classes(tmp_path):
    (tmp_path / "bounds.json").write_text(json.dumps({"spiral": SPIRAL}))
    bounds = read_bounds(str(tmp_path / "bounds.json"), ["smooth", "spiral"])
    assert list(bounds) == [1] and np.array_equal(bounds[1], least_fractions(SPIRAL))
