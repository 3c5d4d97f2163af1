"""Captions follow from the votes of any tree and are read back: campaigns, random trees, and trees of one's own."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.captions import grammar
from galaxy_vision.captions.claims import Claim, Claims, claims_from_votes, score_claims
from galaxy_vision.captions.plan import DENIALS, plan_of
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.vocabulary import NEGATING, NEUTRAL, READ_HEDGES, vocabulary_of
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.data.campaigns import campaign_names, load_campaign
from galaxy_vision.models.concepts import ASPECTS, CONCEPTS
from galaxy_vision.models.tree import DecisionTree, Question

TREES = {name: load_campaign(name).tree for name in campaign_names()}
CAMPAIGNS = [tree for name in TREES for tree in (TREES[name], load_campaign(name).released)]
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
    """Votes that mostly agree, as those of volunteers do, and often on the way to a question deep in the tree.

    Some questions were asked of nobody, some are unknown.
    """
    rng = np.random.default_rng(seed)
    votes = np.zeros(len(tree.answers))
    for answers in tree.slices.values():
        weights = rng.gamma(rng.choice([0.05, 0.2, 1]), size=answers.stop - answers.start) + 1e-12
        votes[answers] = rng.choice([40] * 8 + [0, np.nan]) * weights / weights.sum()
    question = tree.questions[rng.integers(len(tree.questions))]
    while question.parents and rng.random() < 0.95:
        parent, answer = question.parents[rng.integers(len(question.parents))]
        votes[tree.slices[parent]] = 1
        votes[tree.index(parent, answer)] = rng.choice([5, 20, 40])
        question = tree.question(parent)
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


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CAMPAIGNS), st.integers(0, 2**32 - 1))
def test_captions_of_every_campaign_follow_from_the_votes_and_are_read_back(tree, seed):
    check(tree, seed)


@settings(max_examples=250, deadline=None)
@given(random_trees(), st.integers(0, 2**32 - 1))
def test_captions_of_any_tree_follow_from_the_votes_and_are_read_back(tree, seed):
    check(tree, seed)


PHRASES = sorted(
    {*NEUTRAL, *NEGATING, *READ_HEDGES, ",", ":", "bulge", "arms", "or", "galaxy"}.union(
        *(table for tree in TREES.values() for _, table, _ in vocabulary_of(tree).phrases if table)
    )
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CAMPAIGNS), st.lists(st.sampled_from(PHRASES), max_size=15).map(" ".join) | st.text(max_size=60))
def test_any_text_is_read_as_claims_of_the_tree(tree, text):
    assert {claim.concept for claim in parse_claims(text, tree)} <= plan_of(tree).sayable


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_every_claim_of_a_campaign_has_words_that_are_read_back(tree):
    for concept in sorted(plan_of(tree).sayable):
        beside = [Claim("edge-on")] if concept.startswith("edge-on-bulge") else []
        beside = [Claim("spiral")] if concept.startswith(("arms", "winding")) else beside
        for hedged in (False, True)[: 1 if concept in DENIALS else 2]:
            claims = Claims([*beside, Claim(concept, hedged)])
            for seed in range(30):
                sentence = grammar.compose(claims.in_order(), random.Random(seed), tree)
                assert parse_claims(sentence, tree) == claims and not parse_claims(sentence, tree).unread, sentence


def votes_for(tree: DecisionTree, **shares: float) -> np.ndarray:
    """40 votes on each question that is named by a concept: ``bar_weak=.7`` is 70 % of those asked about bars."""
    votes = np.zeros(len(tree.answers))
    for concept, share in shares.items():
        votes[tree.concepts[concept.replace("_", "-")][0]] = 40 * share
    return votes


FACE_ON = {"featured": 1, "not_edge_on": 1}
KNOWN = [
    ("gz_desi", FACE_ON | {"bar_strong": 0.7, "bar_none": 0.3}, {"bar-strong"}, "a strongly barred disc galaxy"),
    ("gz_desi", FACE_ON | {"bar_strong": 0.4, "bar_weak": 0.3, "bar_none": 0.3}, {"bar"}, "a barred disc galaxy"),
    ("gz_desi", FACE_ON | {"bar_weak": 0.45, "bar_none": 0.55}, {"bar?"}, "a possibly barred disc galaxy"),
    ("gz_desi", FACE_ON | {"bar_weak": 0.3, "bar_none": 0.7}, {"bar-none"}, "an unbarred disc galaxy"),
    ("gz_desi", FACE_ON | {"bulge_moderate": 1}, {"bulge-moderate"}, "a disc galaxy with a moderate bulge"),
    (
        "gz_desi",
        FACE_ON | {"bulge_moderate": 0.4, "bulge_large": 0.3, "bulge_small": 0.3},
        {"bulge-obvious"},
        "a disc galaxy with an obvious bulge",
    ),
    ("gz_desi", {"smooth": 1, "disturbance_major": 1}, {"disturbance-major"}, "a smooth galaxy with tidal debris"),
    (
        "gz_desi",
        {"smooth": 1, "disturbance_minor": 0.5, "merging_none": 0.5},
        {"disturbance-minor?"},
        "a smooth, possibly slightly disturbed galaxy",
    ),
    ("gz_desi", {"smooth": 1, "merger": 1}, {"merger"}, "a smooth, merging galaxy"),
    ("gz_desi", {"smooth": 1, "merging_none": 1}, set(), "a smooth galaxy"),
    ("gz_hubble", {"featured": 1, "mostly_clumpy": 1}, {"mostly-clumpy"}, "a clumpy galaxy"),
    (
        "gz_candels",
        {"featured": 1, "no_clumps": 1, "edge_on": 1, "edge_on_bulge_any_shape": 1},
        {"edge-on", "edge-on-bulge-any-shape"},
        "an edge-on galaxy with a central bulge",
    ),
    ("gz_euclid", FACE_ON | {"bright_clumps": 1}, {"bright-clumps"}, "a disc galaxy with bright clumps"),
    ("gz_euclid", {"smooth": 1, "overlapping": 1}, {"overlapping"}, "a smooth galaxy with an overlapping galaxy"),
    ("gz_euclid", {"bad_image": 1}, {"bad-image"}, "an image that cannot be judged"),
    ("gz_euclid", {"bad_image": 1, "star": 1}, {"star"}, "the image shows a star"),
    ("gz_euclid", {"bad_image": 1, "star": 0.5, "bad_zoom": 0.5}, {"bad-image"}, "an image that cannot be judged"),
    ("gz_euclid", {"bad_image": 0.55, "featured": 0.45, "artifact": 1}, {"artifact?"}, "possibly an image artefact"),
    ("gz_rings", {"ring": 1}, {"ring"}, "a galaxy with a ring"),
    ("galaxy10_decals", {}, set(), "a galaxy of uncertain form"),
]


@pytest.mark.parametrize(("campaign", "shares", "told", "sentence"), KNOWN)
def test_galaxies_are_described_as_one_would(campaign, shares, told, sentence):
    tree = TREES[campaign]
    claims = claims_from_votes(votes_for(tree, **shares), tree)
    concepts = {claim.concept + "?" * claim.hedged for claim in claims}
    assert concepts - {"smooth", "featured"} == told
    assert sentence in {grammar.compose(claims.in_order(), random.Random(seed), tree) for seed in range(400)}
    assert "mostly-clumpy" not in told or "featured" not in concepts, (
        "volunteers who saw clumps were not asked about a disc"
    )


def test_answers_that_mean_the_same_count_together():
    tree = TREES["gz_decals_dr12"]  # its answers "merger" and "both" are mergers
    votes = votes_for(tree, smooth=1)
    votes[[tree.index("merging-dr12", answer) for answer in ("both", "merger", "neither")]] = 16, 10, 14
    assert Claim("merger") in claims_from_votes(votes, tree)
    assert score_claims([Claim("merger")], votes, tree)["soft_support"] == pytest.approx(26 / 40)


@pytest.mark.parametrize(
    ("text", "desi", "galaxy_zoo_2"),
    [
        ("a weak bar", Claim("bar-weak"), Claim("bar", True)),
        ("the bar is weak", Claim("bar-weak"), Claim("bar", True)),
        ("bar: weak", Claim("bar-weak"), Claim("bar", True)),
        ("possibly a weakly barred galaxy", Claim("bar-weak", True), Claim("bar", True)),
        ("a bar", Claim("bar"), Claim("bar")),
        ("a large bulge", Claim("bulge-large"), Claim("bulge-obvious")),
        ("its bulge is large", Claim("bulge-large"), Claim("bulge-obvious")),
        ("its bulge is moderate", Claim("bulge-moderate"), None),
        ("tidal tails", Claim("disturbance-major"), None),
        ("no strong bar", None, None),
        ("a ring", None, Claim("ring")),
        ("no bulge", Claim("bulge-none"), Claim("bulge-none")),
    ],
)
def test_a_text_is_read_in_the_words_of_the_tree(text, desi, galaxy_zoo_2):
    for claim, read in ((desi, parse_claims(text, TREES["gz_desi"])), (galaxy_zoo_2, parse_claims(text))):
        if claim:
            assert read >= {claim}
        else:
            assert read.unread and not any(found.aspect in ("merging", "odd feature") for found in read)


def test_what_a_tree_does_not_ask_is_undecided_and_what_nobody_knows_is_refused():
    votes = votes_for(TREES["gz_desi"], smooth=1, round=1)
    assert score_claims([Claim("ring"), Claim("round")], votes, TREES["gz_desi"])["undecided"] == 1
    with pytest.raises(ValueError, match="'torus' is neither a concept nor words of tree 'gz_desi'"):
        score_claims([Claim("torus")], votes, TREES["gz_desi"])
    with pytest.raises(ValueError, match="bar-weak has no words in captions of tree 'gz2'"):
        write_captions([Claim("bar-weak")])
