"""Captions follow from the votes of any tree and are read back: of all campaigns, random trees, and trees of one's own."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.captions import grammar
from galaxy_vision.captions.claims import Claim, Claims, claims_from_votes, score_claims
from galaxy_vision.captions.plan import SILENT, UNCLEAR
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.data.campaigns import campaign_names, load_campaign
from galaxy_vision.models.concepts import ASPECTS, CONCEPTS
from galaxy_vision.models.tree import DecisionTree, Question

CAMPAIGNS = [tree for name in campaign_names() for tree in (load_campaign(name).tree, load_campaign(name).released)]
DESI = load_campaign("gz_desi").tree
WORDS = ("a polar ring", "two nuclei", "a jet of gas", "type 2", "tidal bridge", "a Shell", "weak tails", "hot-spots")


@st.composite
def random_trees(draw) -> DecisionTree:
    """A tree of up to eight questions, whose answers mean random concepts, random words or nothing."""
    meanings = st.sampled_from([None, *CONCEPTS]) if draw(st.booleans()) else st.sampled_from([None, *WORDS, "ring"])
    aspects = st.sampled_from(list(ASPECTS))
    questions = []
    for number in range(draw(st.integers(1, 8))):
        count = draw(st.integers(2, 5))
        answers = tuple(f"a{index}" for index in range(count))
        before = [(question.name, answer) for question in questions for answer in question.answers]
        parents = draw(st.lists(st.sampled_from(before), min_size=1, max_size=4, unique=True)) if before else []
        if draw(st.booleans()):  # as in a campaign, of one aspect
            meaning = draw(st.permutations([*ASPECTS[draw(aspects)], None, None, None]))[:count]
        else:
            meaning = draw(st.lists(meanings, min_size=count, max_size=count))
        concepts = tuple(key if key in CONCEPTS else None for key in meaning)
        words = tuple("" if key in CONCEPTS or key is None else key for key in meaning)
        is_multiple = draw(st.booleans())
        questions.append(Question(f"q{number}", answers, tuple(parents), "", is_multiple, True, concepts, words))
    return DecisionTree("random", tuple(draw(st.permutations(questions))))


def random_votes(tree: DecisionTree, seed: int) -> np.ndarray:
    """Votes of which most agree, as volunteers do; some questions were asked of nobody, some are unknown."""
    rng = np.random.default_rng(seed)
    votes = np.zeros(len(tree.answers))
    for answers in tree.slices.values():
        weights = rng.gamma(rng.choice([0.05, 0.2, 1]), size=answers.stop - answers.start) + 1e-12
        votes[answers] = rng.choice([40, 40, 40, 40, 40, 0, np.nan]) * weights / weights.sum()
    return votes


def check(tree: DecisionTree, seed: int) -> None:
    votes = random_votes(tree, seed)
    claims = claims_from_votes(votes, tree)
    scored = score_claims(claims, votes, tree)
    assert scored["supported"] == scored["claims"] == len(claims)
    sentences = write_captions(claims, 5, seed, tree)
    for sentence in (*sentences[:3], grammar.compose(claims.in_order(), random.Random(seed), tree)):
        read = parse_claims(sentence, tree)
        assert read == claims and not read.unread, sentence
    for sentence in sentences[3:]:
        read = parse_claims(sentence, tree)
        assert read <= claims and not read.unread, sentence


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(CAMPAIGNS), st.integers(0, 2**32 - 1))
def test_captions_of_every_campaign_follow_from_the_votes_and_are_read_back(tree, seed):
    check(tree, seed)


@settings(max_examples=600, deadline=None)
@given(random_trees(), st.integers(0, 2**32 - 1))
def test_captions_of_any_tree_follow_from_the_votes_and_are_read_back(tree, seed):
    check(tree, seed)
