import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galaxy_vision.models.decision_tree import (
    ANSWERS,
    KAGGLE_COLUMNS,
    QUESTION_SLICES,
    QUESTIONS,
    answer_index,
    conditional_fractions,
    conditional_from_kaggle,
    hub_columns,
    kaggle_from_conditional,
    question_totals,
    reach,
    votes_from_conditional,
)

positive_votes = arrays(np.float64, (3, 37), elements=st.floats(0.01, 100))


def fractions(**named) -> np.ndarray:
    values = np.zeros(37)
    for answer, value in named.items():
        values[answer_index(answer)] = value
    return values


def test_the_tree_has_the_37_answers_in_the_order_of_the_published_tables():
    assert len(QUESTIONS) == 11
    assert len(set(ANSWERS)) == 37
    assert ANSWERS[0] == "t01_smooth_or_features_a01_smooth"
    assert ANSWERS[24] == "t08_odd_feature_a38_dust_lane"  # a38 was added to t08 later
    assert ANSWERS[-1] == "t11_arms_number_a37_cant_tell"
    assert KAGGLE_COLUMNS[:4] == ("Class1.1", "Class1.2", "Class1.3", "Class2.1")
    assert KAGGLE_COLUMNS[24] == "Class8.7"
    assert KAGGLE_COLUMNS[-1] == "Class11.6"


def test_reach_multiplies_the_answers_on_the_way_and_knows_both_ways_to_odd():
    conditional = fractions(a01=0.3, a02=0.6, a03=0.1, a04=0.25, a05=0.75, a08=0.5, a09=0.5, a14=0.2, a15=0.8)
    asked = dict(zip(ANSWERS, reach(conditional), strict=True))
    known = {
        "t01": 1,
        "t02": 0.6,
        "t03": 0.45,
        "t04": 0.45,
        "t05": 0.45,
        "t06": 0.9,
        "t07": 0.3,
        "t08": 0.18,
        "t09": 0.15,
    }
    known |= {"t10": 0.225, "t11": 0.225}
    for answer, value in asked.items():
        assert value == pytest.approx(known[answer[:3]]), answer


def test_reach_of_a_question_below_one_that_nobody_reaches_is_zero_even_if_unknown():
    conditional = fractions(a01=1.0)
    conditional[QUESTION_SLICES["t02_edgeon"]] = np.nan
    assert (reach(conditional)[QUESTION_SLICES["t04_spiral"]] == 0).all()
    conditional[:2] = 0.5
    assert np.isnan(reach(conditional)[QUESTION_SLICES["t04_spiral"]]).all()


@given(positive_votes)
def test_fractions_sum_to_one_and_torch_agrees_with_numpy(votes):
    conditional = conditional_fractions(votes)
    assert np.allclose(question_totals(conditional), 1)
    assert np.allclose(reach(torch.from_numpy(conditional)).numpy(), reach(conditional))


def test_a_question_without_votes_or_without_knowledge_is_nan():
    votes = np.ones(37)
    votes[QUESTION_SLICES["t09_bulge_shape"]] = 0
    votes[QUESTION_SLICES["t08_odd_feature"]] = np.nan
    conditional = conditional_fractions(votes)
    assert np.isnan(conditional[QUESTION_SLICES["t09_bulge_shape"]]).all()
    assert np.isnan(conditional).sum() == 3 + 7


@given(positive_votes)
def test_the_kaggle_transform_inverts(votes):
    conditional = conditional_fractions(votes)
    assert np.allclose(conditional_from_kaggle(kaggle_from_conditional(conditional)), conditional)


@given(positive_votes)
def test_a_branch_that_nobody_takes_is_zero_in_kaggle_values_and_inverts(votes):
    votes[:, answer_index("a02")] = 0
    kaggle = kaggle_from_conditional(conditional_fractions(votes))
    assert (kaggle[:, QUESTION_SLICES["t04_spiral"]] == 0).all()
    assert np.allclose(kaggle_from_conditional(conditional_from_kaggle(kaggle)), kaggle)


def test_kaggle_sums_follow_the_tree_except_question_six():
    conditional = conditional_fractions(np.random.default_rng(0).uniform(1, 9, 37))
    kaggle = dict(zip(KAGGLE_COLUMNS, kaggle_from_conditional(conditional), strict=True))

    def total(number):
        return sum(value for name, value in kaggle.items() if name.startswith(f"Class{number}."))

    assert total(1) == pytest.approx(1)
    assert total(2) == pytest.approx(kaggle["Class1.2"])
    assert total(3) == total(4) == pytest.approx(kaggle["Class2.2"])
    assert total(5) == pytest.approx(kaggle["Class2.2"])
    assert total(6) == pytest.approx(1)  # the known error of the release
    assert total(7) == pytest.approx(kaggle["Class1.1"])
    assert total(8) == pytest.approx(kaggle["Class6.1"])
    assert total(9) == pytest.approx(kaggle["Class2.1"])
    assert total(10) == total(11) == pytest.approx(kaggle["Class4.1"])


def test_expected_votes_are_reach_times_fraction_times_volunteers():
    conditional = fractions(a01=0.25, a02=0.75, a04=0.5, a05=0.5)
    votes = votes_from_conditional(conditional, 40)
    assert votes[answer_index("a02")] == 30
    assert votes[answer_index("a05")] == 15


def test_hub_columns_map_the_reversed_bulge_by_name_and_lack_the_odd_features():
    columns = dict(zip(ANSWERS, hub_columns("gz2"), strict=True))
    assert columns["t05_bulge_prominence_a10_no_bulge"] == "bulge-size-gz2_no"
    assert columns["t05_bulge_prominence_a13_dominant"] == "bulge-size-gz2_dominant"
    assert columns["t08_odd_feature_a19_ring"] is None
    assert sum(column is not None for column in columns.values()) == 30


def test_an_array_with_another_last_axis_is_refused():
    with pytest.raises(ValueError, match="37 answers"):
        reach(np.ones((2, 36)))


def test_reach_of_a_tensor_is_that_of_the_array_and_comes_without_gradients():
    conditional = np.random.default_rng(0).random((5, 37))
    conditional[0, :3], conditional[1, 5:9] = (1, 0, 0), np.nan
    tensor = torch.tensor(conditional, requires_grad=True)
    reached = reach(tensor)
    assert not reached.requires_grad and np.array_equal(reached.numpy(), reach(conditional), equal_nan=True)
    assert tensor.tolist()[0] == conditional.tolist()[0]  # which is not changed
