"""A decision tree is a value: checked when it is made, and right for any tree, not for that of Galaxy Zoo 2 alone."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.data.campaigns import load_campaign
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
        ([FIRST | {"concepts": ["ring"]}], "question 'first' has 1 concepts for its 2 answers"),
        ([FIRST | {"concepts": ["torus", None]}], "concept 'torus' of question 'first' is not one of smooth, "),
        ([FIRST | {"concepts": "ring"}], "concepts of question 0 are not a list"),
        ([FIRST | {"words": [3, "a ring"]}], "the words of question 'first' are not texts"),
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


def test_concepts_are_found_in_the_words_of_every_campaign():
    desi, gz2 = load_campaign("gz_desi").tree, GALAXY_ZOO_2
    fractions = desi.conditional(np.arange(1.0, len(desi.answers) + 1))
    strong, weak = fractions[desi.index("bar", "strong")], fractions[desi.index("bar", "weak")]
    assert desi.share(fractions, "bar") == strong + weak and desi.share(fractions, "bar-strong") == strong
    assert "bar-strong" not in gz2.concepts and gz2.concepts["bar"] == (gz2.index("t03_bar", "a06_bar"),)
    candels = load_campaign("gz_candels").tree
    merging = {candels.index("merging-candels", answer) for answer in ("merger", "both")}
    assert set(candels.concepts["merger"]) == merging


def test_galaxy_zoo_2_has_the_cuts_of_willett_2013_table_3():
    cuts = {
        stem: {GALAXY_ZOO_2.answers[index][1]: least for index, least in cuts}
        for stem, cuts in GALAXY_ZOO_2.cuts.items()
    }
    face_on = {"a02_features_or_disk": 0.430, "a05_no": 0.715}
    assert cuts == {
        "t01_smooth_or_features": {},
        "t02_edgeon": {"a02_features_or_disk": 0.430},
        "t03_bar": face_on,
        "t04_spiral": face_on,
        "t05_bulge_prominence": face_on,
        "t06_odd": {},
        "t07_rounded": {"a01_smooth": 0.469},
        "t08_odd_feature": {"a14_yes": 0.420},
        "t09_bulge_shape": {"a02_features_or_disk": 0.430, "a04_yes": 0.602},
        "t10_arms_winding": face_on | {"a08_spiral": 0.619},
        "t11_arms_number": face_on | {"a08_spiral": 0.619},
    }
