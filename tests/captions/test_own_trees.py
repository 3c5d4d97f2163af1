"""Trees of one's own are described by their words, which a reader can tell from all others."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.captions import grammar
from galaxy_vision.captions.claims import Claim, Claims, claims_from_votes
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.vocabulary import NEGATING, NEUTRAL, READ_HEDGES, vocabulary_of
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.models.concepts import CONCEPTS
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree, Question

EUCLID = load_campaign("gz_euclid").tree

MINE = DecisionTree(
    "mine",
    (
        Question("seen", ("galaxy", "other")),
        Question("polar", ("yes", "no"), (("seen", "galaxy"),), words=("a polar ring", "")),
        Question("bar", ("yes", "no"), (("seen", "galaxy"),), concepts=("bar", "bar-none")),
        Question("colour", ("red", "blue"), (("polar", "yes"),), words=("red dust", "young stars")),
    ),
)


def test_a_tree_of_ones_own_is_described_by_its_words():
    claims = claims_from_votes([9, 1, 8, 2, 0, 9, 5, 4], MINE)
    assert claims == {Claim("a polar ring"), Claim("bar-none"), Claim("red dust", True)}
    sentences = {grammar.compose(claims.in_order(), random.Random(seed), MINE) for seed in range(400)}
    assert "an unbarred galaxy with a polar ring and possibly red dust" in sentences
    assert parse_claims("No bar, but a polar ring!", MINE) == {Claim("bar-none"), Claim("a polar ring")}
    assert parse_claims("a galaxy without a polar ring", MINE) == frozenset()
    few = [1, 9, 1, 0, 1, 0, 1, 0]  # one volunteer of ten sees a galaxy, and is asked the rest
    assert claims_from_votes(few, MINE) == frozenset()


def test_what_follows_several_answers_is_told_where_many_gave_them_and_nothing_that_they_exclude():
    halves = [Question("half", tuple("abcd"))]
    for name, answers in (("left", "ab"), ("right", "cd")):
        parents = tuple(("half", answer) for answer in answers)
        halves.append(Question(name, ("yes", "no"), parents, words=(f"a {name} tail", "")))
    tree = DecisionTree("halves", tuple(halves))
    assert claims_from_votes([1, 1, 19, 19, 2, 0, 38, 0], tree) == {Claim("a right tail")}
    assert claims_from_votes([10, 10, 10, 10, 20, 0, 20, 0], tree) == {Claim("a left tail")}
    with pytest.raises(ValueError, match="a left tail and a right tail exclude each other"):
        write_captions([Claim("a left tail"), Claim("a right tail")], tree=tree)


def test_answers_of_a_question_with_several_choices_do_not_exclude_each_other():
    both = [Claim("ring"), Claim("dust-lane")]
    assert parse_claims(write_captions(both, 1, 0, EUCLID)[0], EUCLID) == set(both)
    with pytest.raises(ValueError, match="ring and dust-lane exclude each other"):
        write_captions(both)


def test_a_tree_without_concepts_and_words_claims_nothing():
    tree = DecisionTree("mine", (Question("kind", ("a", "b")), Question("more", ("c", "d"), (("kind", "a"),))))
    assert claims_from_votes([40, 0, 40, 0], tree) == frozenset()
    for sentence in write_captions([], 5, 0, tree):
        read = parse_claims(sentence, tree)
        assert "uncertain" in sentence or "unclear" in sentence
        assert read == frozenset() and not read.unread


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a bar", ""), "the words 'a bar' of tree 'mine' cannot be read back from a caption; give the concept"),
        (("two arms", ""), "give the concept in its place"),
        (("no companion", ""), "leave out 'no'"),
        (("a ring and a tail", ""), "leave out 'and'"),
        (("a {0} ring", ""), "give letters, digits, hyphens and spaces only"),
        (("rings, many", ""), "give letters, digits, hyphens and spaces only"),
        (("a Tail", "a tail"), "other words say the same"),
        (("possible tail", "tail"), "other words say the same"),
    ],
)
def test_words_that_cannot_be_read_back_are_refused(words, message):
    first = Question("first", ("yes", "no"), words=words)
    bars = Question("bar", ("yes", "no"), (("first", "yes"),), concepts=("bar", "bar-none"))
    arms = Question("arms", ("two", "more"), (("first", "no"),), concepts=("arms-2", "arms-more-than-4"))
    with pytest.raises(ValueError, match=message):
        write_captions([], 1, 0, DecisionTree("mine", (first, bars, arms)))


PHRASES = sorted(
    {*NEUTRAL, *NEGATING, *READ_HEDGES, ",", ":", "bulge", "arms", "or"}.union(
        *(table for _, table, _ in vocabulary_of(GALAXY_ZOO_2).phrases if table)
    )
)
WORD = st.sampled_from(PHRASES) | st.sampled_from(["polar", "tail", "Type 2", "x-ray", "a", "an", "3", "it's"])


OWN = st.lists(WORD, min_size=1, max_size=3).map(" ".join).filter(lambda words: words not in CONCEPTS)


@settings(max_examples=200, deadline=None)
@given(st.tuples(OWN, OWN), st.integers(0, 2**32))
def test_words_are_refused_or_read_back_beside_any_claims(words, seed):
    asked = GALAXY_ZOO_2.questions
    parents = ((asked[0].name, "a02_features_or_disk"),)
    own = Question("own", ("one", "other"), parents, is_multiple=True, words=words)
    tree = DecisionTree("mine", (*asked, own))
    beside = [Claim("spiral"), Claim("bar-none"), Claim("arms-2"), Claim("bulge-none"), Claim("lens-or-arc", True)]
    rng = random.Random(seed)
    claims = Claims([*rng.sample(beside, 4), Claim("spiral"), *(Claim(phrase, rng.random() < 0.5) for phrase in words)])
    try:
        write_captions(claims, 1, 0, tree)
    except ValueError as refused:
        assert "cannot be read back" in str(refused) or "exclude" in str(refused)
        return
    for number in range(10):
        sentence = grammar.compose(claims.in_order(), random.Random(seed + number), tree)
        read = parse_claims(sentence, tree)
        assert read == claims and not read.unread, sentence
