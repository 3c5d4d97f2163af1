"""A decision tree is a value: checked when it is made, and right for any tree, not for that of Galaxy Zoo 2 alone."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.models.decision_tree import ANSWERS, GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree, Question


@st.composite
def trees(draw) -> DecisionTree:
    """A tree of up to seven questions, each after any answers of those before it, in any order."""
    questions = []
    for number in range(draw(st.integers(1, 7))):
        answers = tuple(f"a{index}" for index in range(draw(st.integers(2, 4))))
        before = [(question.name, answer) for question in questions for answer in question.answers]
        parents = draw(st.lists(st.sampled_from(before), min_size=1, max_size=4, unique=True)) if before else []
        questions.append(Question(f"q{number}", answers, tuple(parents)))
    return DecisionTree("random", tuple(draw(st.permutations(questions))))


def fractions_of(tree: DecisionTree, seed: int) -> np.ndarray:
    """(5, answers) conditional fractions; some answers get none."""
    rng = np.random.default_rng(seed)
    weights = rng.gamma(0.4, size=(5, len(tree.answers))) + 1e-9
    return tree.conditional(weights)


def reach_by_paths(tree: DecisionTree, fractions: np.ndarray, name: str) -> np.ndarray:
    """The sum over all paths to a question of the product of the fractions along them."""
    parents = tree.question(name).parents
    if not parents:
        return np.ones(len(fractions))
    return sum(
        reach_by_paths(tree, fractions, question) * fractions[:, tree.index(question, answer)]
        for question, answer in parents
    )


@settings(max_examples=150, deadline=None)
@given(trees(), st.integers(0, 2**32 - 1))
def test_reach_multiplies_along_paths_and_fractions_sum_to_one(tree, seed):
    fractions = fractions_of(tree, seed)
    asked = tree.reach(fractions)
    for name, answers in tree.slices.items():
        assert np.allclose(fractions[:, answers].sum(1), 1)
        assert np.allclose(asked[:, answers], reach_by_paths(tree, fractions, name)[:, None])
    assert np.array_equal(tree.reach(torch.from_numpy(fractions)).numpy(), asked)


@settings(max_examples=100, deadline=None)
@given(trees(), st.integers(0, 2**32 - 1))
def test_cumulative_fractions_and_votes_give_the_conditional_ones_back(tree, seed):
    fractions = fractions_of(tree, seed)
    asked = tree.reach(fractions)
    for weights in (tree.cumulative(fractions), 40 * tree.cumulative(fractions)):
        back = tree.conditional(weights)
        assert np.allclose(back[asked > 1e-12], fractions[asked > 1e-12])


@settings(max_examples=50, deadline=None)
@given(trees())
def test_a_tree_is_written_and_read_back(tree):
    assert DecisionTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree


def test_the_smallest_tree_is_one_question():
    tree = DecisionTree("rings", (Question("ring", ("yes", "no")),))
    assert tree.conditional([[3, 1]]).tolist() == [[0.75, 0.25]] and tree.reach([[0.75, 0.25]]).tolist() == [[1, 1]]
    assert np.isnan(tree.conditional([[0, 0]])).all()


def test_the_answers_of_galaxy_zoo_2_are_those_of_its_tree():
    assert tuple(f"{question}_{answer}" for question, answer in GALAXY_ZOO_2.answers) == ANSWERS


FIRST = {"name": "first", "answers": ["yes", "no"]}


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "has no question"),
        ([{"name": "one", "answers": ["yes"]}], "question 'one' has 1 answers; give two or more"),
        ([FIRST, FIRST], "question 'first' is there twice"),
        ([{"name": "a", "answers": ["x", "x"]}], "answer of question 'a' 'x' is there twice"),
        ([{"name": " ", "answers": ["x", "y"]}], "question ' ' has no name"),
        ([{"answers": ["x", "y"]}], "question None has no name"),
        ([FIRST, {"name": "b", "answers": ["x", "y"]}], "2 questions have no parent .first, b."),
        (
            [FIRST, {"name": "b", "answers": ["x", "y"], "parents": [["first", "maybe"]]}],
            "after 'first maybe', which is",
        ),
        ([FIRST, {"name": "b", "answers": ["x", "y"], "parents": ["first"]}], "not a list of .question, answer."),
        (
            [
                FIRST,
                {"name": "b", "answers": ["x", "y"], "parents": [["c", "x"]]},
                {"name": "c", "answers": ["x", "y"], "parents": [["b", "x"]]},
            ],
            "the questions b, c lead to each other",
        ),
        ([{"name": "a", "answers": [f"x{number}" for number in range(1001)]}], "more than 1000 answers"),
        ([{"name": "a", "answers": "yes"}], "question 0 is not an object with a list of answers"),
        ("first", "a tree is an object with a list of"),
    ],
    ids=str,
)
def test_what_is_not_a_tree_is_refused_in_one_sentence(questions, message):
    with pytest.raises(ValueError, match=message):
        DecisionTree.from_dict({"name": "mine", "questions": questions})


def test_arrays_of_another_length_and_unknown_names_are_named():
    tree = DecisionTree("mine", (Question("first", ("yes", "no")),))
    with pytest.raises(ValueError, match=r"votes has shape \(3,\); its last axis must be the 2 answers of tree 'mine'"):
        tree.conditional([1, 2, 3])
    with pytest.raises(KeyError, match="'second' is not a question of tree 'mine': first"):
        tree.question("second")
    with pytest.raises(KeyError, match="'maybe' is not an answer of 'first': yes, no"):
        tree.index("first", "maybe")
