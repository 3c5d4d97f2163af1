"""Captions can be read back, follow from the votes, and are scored as documented."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_votes import SPIRAL, votes_of

from galaxy_vision.captions import grammar
from galaxy_vision.captions.claims import Claim, Claims, claims_from_votes, score_claims
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.models.decision_tree import QUESTION_SLICES, QUESTIONS, SHORT_NAMES, answer_index

ANSWERS_OF = {question.stem: SHORT_NAMES[QUESTION_SLICES[question.stem]] for question in QUESTIONS}


@st.composite
def any_votes(draw):
    """Draw votes of any galaxy, of which some questions were asked of nobody and some are unknown."""
    votes = np.zeros(37)
    for answers in QUESTION_SLICES.values():
        kind = draw(st.sampled_from(["asked", "asked", "asked", "nobody", "unknown"]))
        size = answers.stop - answers.start
        if kind == "asked":
            sharp = draw(st.floats(0.05, 3))
            weights = np.random.default_rng(draw(st.integers(0, 2**32))).gamma(sharp, size=size)
            votes[answers] = 40 * weights / max(weights.sum(), 1e-9)
        elif kind == "unknown":
            votes[answers] = np.nan
    return votes


@st.composite
def any_claims(draw):
    """Draw a set of claims that the tree allows, plain or hedged where the writer hedges."""

    def one(stem, exclude=()):
        answer = draw(st.sampled_from([None, *(a for a in ANSWERS_OF[stem] if a not in exclude)]))
        plain_only = answer in ("a07_no_bar", "a09_no_spiral", "a10_no_bulge", "a27_no_bulge")
        return [] if answer is None else [Claim(answer, not plain_only and draw(st.booleans()))]

    head = draw(st.sampled_from(["none", "smooth", "disc", "edge-on", "spiral", "star"]))
    if head == "star":
        return Claims([Claim("a03_star_or_artifact", draw(st.booleans()))])
    claims = []
    if head == "smooth":
        claims += [Claim("a01_smooth", draw(st.booleans())), *one("t07_rounded")]
    if head == "disc":
        claims.append(Claim("a02_features_or_disk", draw(st.booleans())))
        if not claims[0].hedged:
            if draw(st.booleans()):
                claims.append(Claim("a04_yes", True))
            else:
                claims += [*one("t03_bar"), *one("t05_bulge_prominence")]
                claims += draw(st.sampled_from([[], [Claim("a08_spiral", True)], [Claim("a09_no_spiral")]]))
    if head == "edge-on":
        claims += [Claim("a04_yes"), *one("t09_bulge_shape")]
    if head == "spiral":
        claims += [Claim("a08_spiral"), *one("t03_bar"), *one("t05_bulge_prominence")]
        claims += [*one("t10_arms_winding"), *one("t11_arms_number", exclude=("a37_cant_tell",))]
    odd = one("t08_odd_feature")
    return Claims(claims + (odd or draw(st.sampled_from([[], [Claim("a14_yes")], [Claim("a14_yes", True)]]))))


@settings(max_examples=600, deadline=None)
@given(any_claims(), st.integers(0, 2**32))
def test_every_sentence_of_the_grammar_is_read_back_exactly(claims, seed):
    sentence = grammar.compose(claims.in_order(), random.Random(seed))
    read = parse_claims(sentence)
    assert read == claims, sentence
    assert read.unread == (), sentence


@settings(max_examples=300, deadline=None)
@given(any_votes(), st.integers(0, 2**32))
def test_captions_say_what_the_votes_say_and_nothing_that_the_tree_forbids(votes, seed):
    claims = claims_from_votes(votes)
    scored = score_claims(claims, votes)
    assert scored["supported"] == scored["claims"] == len(claims)
    questions = [claim.question for claim in claims]
    assert len(questions) == len(set(questions)), "two answers to one question"
    answers = {claim.answer for claim in claims}
    smooth, disc = "a01_smooth" in answers, answers & {"a02_features_or_disk", "a04_yes", "a08_spiral"}
    assert not (smooth and disc)
    assert not (
        smooth
        and answers & {*ANSWERS_OF["t03_bar"], *ANSWERS_OF["t05_bulge_prominence"], *ANSWERS_OF["t09_bulge_shape"]}
    )
    assert not ("a04_yes" in answers and answers & {*ANSWERS_OF["t03_bar"], *ANSWERS_OF["t04_spiral"]})
    assert "a08_spiral" in answers or not answers & {*ANSWERS_OF["t10_arms_winding"], *ANSWERS_OF["t11_arms_number"]}
    sentences = write_captions(claims, 5, seed)
    assert all(parse_claims(sentence) == claims for sentence in sentences[:3])
    assert all(parse_claims(sentence) <= claims for sentence in sentences[3:])
    assert sentences == write_captions(claims, 5, seed)


def test_a_barred_spiral_is_described_as_one_would():
    claims = claims_from_votes(SPIRAL)
    assert claims == {
        Claim("a06_bar"),
        Claim("a08_spiral"),
        Claim("a11_just_noticeable"),
        Claim("a30_loose"),
        Claim("a32_2"),
    }
    assert len(set(write_captions(claims, 5, seed=0))) == 5
    written = {grammar.compose(claims.in_order(), random.Random(seed)) for seed in range(2000)}
    assert "a barred spiral galaxy with two loosely wound arms and a small bulge" in written


def test_what_was_not_asked_or_has_no_majority_is_not_said():
    ring = votes_of(a01=1, a16=1, a14=0.3, a15=0.7, a19=1)  # an error of the first baseline: a ring that 30 % find odd
    assert claims_from_votes(ring) == {Claim("a01_smooth"), Claim("a16_completely_round")}
    hedged = votes_of(a01=1, a16=0.5, a17=0.5, a14=0.5, a15=0.5, a19=1)
    assert claims_from_votes(hedged) == {
        Claim("a01_smooth"),
        Claim("a16_completely_round", True),
        Claim("a19_ring", True),
    }
    assert claims_from_votes(np.zeros(37)) == frozenset()
    assert parse_claims(write_captions([], 1, 0)[0]) == frozenset()
    for votes in (np.zeros(36), np.zeros((2, 37))):
        with pytest.raises(ValueError, match="shape"):
            claims_from_votes(votes)


def test_other_words_word_orders_and_spellings_are_read():
    expected = {Claim("a08_spiral"), Claim("a11_just_noticeable"), Claim("a30_loose"), Claim("a32_2")}
    for text in (
        "A spiral galaxy with two loosely wound arms and a small bulge.",
        "Small bulge; two arms, loosely wound: this is a spiral galaxy!",
        "The galaxy is a spiral; its arms, two, are loosely wound. Its bulge is small.",
        "A two-armed spiral galaxy, its arms loosely-wound, with a small bulge",
    ):
        assert parse_claims(text) == expected, text
    for text in ("a disk galaxy seen edge on with a boxy bulge", "An edge-on disc galaxy with a box-shaped bulge"):
        assert parse_claims(text) == {Claim("a04_yes"), Claim("a26_boxy")}
    assert (
        parse_claims("a star or an image artifact")
        == parse_claims("a star or an image artefact")
        == {Claim("a03_star_or_artifact")}
    )
    assert parse_claims("a bar through the center") == {Claim("a06_bar")}


@pytest.mark.parametrize(
    "text, claims",
    [
        (
            "a disc galaxy with no arms or bar",
            [Claim("a02_features_or_disk"), Claim("a09_no_spiral"), Claim("a07_no_bar")],
        ),
        ("a spiral that lacks a bulge", [Claim("a08_spiral"), Claim("a10_no_bulge")]),
        (
            "a spiral galaxy lacking a bar, maybe with a ring",
            [Claim("a08_spiral"), Claim("a07_no_bar"), Claim("a19_ring", True)],
        ),
        ("a two-armed spiral, not barred", [Claim("a08_spiral"), Claim("a32_2"), Claim("a07_no_bar")]),
        ("it is not a smooth galaxy", []),
        ("no odd features, not edge-on, without a ring", []),
        ("it isn’t barred", [Claim("a07_no_bar")]),
        ("a spiral that doesn't have a bar", [Claim("a08_spiral"), Claim("a07_no_bar")]),
        ("a disc without the bar", [Claim("a02_features_or_disk"), Claim("a07_no_bar")]),
        ("no evidence of spiral arms, no clear bar", [Claim("a09_no_spiral"), Claim("a07_no_bar")]),
        ("no bar, ring or bulge", [Claim("a07_no_bar"), Claim("a10_no_bulge")]),
        (
            "a spiral with no bar, possibly a lens or an arc and one arm",
            [Claim("a08_spiral"), Claim("a07_no_bar"), Claim("a20_lens_or_arc", True), Claim("a31_1")],
        ),
        ("no hint of a bar", [Claim("a07_no_bar")]),
        ("spiral arms are absent, and a bar is not visible", [Claim("a09_no_spiral"), Claim("a07_no_bar")]),
        ("no clear bar, a dominant bulge", [Claim("a07_no_bar"), Claim("a13_dominant")]),
        ("no obvious ring, not quite round, not sure whether barred", []),
        ("not only barred but spiral", [Claim("a06_bar"), Claim("a08_spiral")]),
    ],
)
def test_a_negation_never_claims_what_it_denies(text, claims):
    assert parse_claims(text) == Claims(claims)


@pytest.mark.parametrize(
    "text, claims, unread",
    [
        ("bar: no", [Claim("a07_no_bar")], ()),
        (
            "Bar: none; spiral arms: absent; bulge: no.",
            [Claim("a07_no_bar"), Claim("a09_no_spiral"), Claim("a10_no_bulge")],
            (),
        ),
        ("no bar", [Claim("a07_no_bar")], ()),
        ("non-barred, no bar is visible", [Claim("a07_no_bar")], ("visible",)),
        ("bar: yes, dust lane: yes", [Claim("a06_bar"), Claim("a38_dust_lane")], ()),
        (
            "bar: no spiral arms: yes bulge: small",
            [Claim("a07_no_bar"), Claim("a08_spiral"), Claim("a11_just_noticeable")],
            (),
        ),
        ("bar, no spiral arms", [Claim("a06_bar"), Claim("a09_no_spiral")], ()),
        ("a weakly barred spiral galaxy", [Claim("a06_bar", True), Claim("a08_spiral")], ()),
        ("bar strength: weak", [Claim("a06_bar", True)], ()),
        ("bar strength: none", [Claim("a07_no_bar")], ()),
        ("the bar is weak", [Claim("a06_bar", True)], ()),
        ("bar: possible", [Claim("a06_bar", True)], ()),
        ("no weak bar", [], ("no", "weak", "bar")),
        ("ring: no, edge-on: no", [], ("ring", "no", "edge-on", "no")),
    ],
)
def test_tables_of_answers_and_weak_bars_are_read(text, claims, unread):
    read = parse_claims(text)
    assert read == Claims(claims) and read.unread == unread


def test_what_cannot_be_read_is_returned():
    read = parse_claims("a green barred spiral galaxy 20 kpc across")
    assert read == {Claim("a06_bar"), Claim("a08_spiral")}
    assert read.unread == ("green", "20", "kpc", "across")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    assert all(claim.answer in SHORT_NAMES for claim in parse_claims(text))


def test_claims_are_judged_by_the_votes():
    scored = score_claims(
        [
            Claim("a06_bar"),
            Claim("a12_obvious"),
            Claim("a32_2"),
            Claim("a28_tight"),
            Claim("a25_rounded"),
            Claim("a01_smooth", True),
        ],
        SPIRAL,
    )
    # supported: bar .8, two arms 1; undecided: obvious bulge .3; contradicted: tight 0, possibly smooth .1; not asked:
    # edge-on bulge
    assert scored == {
        "claims": 6,
        "supported": 2,
        "contradicted": 2,
        "ungrounded": 1,
        "undecided": 1,
        "soft_support": pytest.approx(2.2),
    }
    unknown = SPIRAL.copy()
    unknown[answer_index("a14")], unknown[answer_index("a15")] = 30, 10
    unknown[QUESTION_SLICES["t08_odd_feature"]] = np.nan  # galaxy-datasets has no t08
    assert score_claims([Claim("a19_ring")], unknown)["undecided"] == 1
    assert score_claims([], SPIRAL)["claims"] == 0


@pytest.mark.parametrize(
    "claims, message",
    [
        ([Claim("a01_smooth"), Claim("a06_bar")], "a01_smooth and a06_bar exclude each other"),
        ([Claim("a06_bar"), Claim("a07_no_bar")], "exclude each other"),
        ([Claim("a04_yes", True), Claim("a30_loose")], "exclude each other"),
        ([Claim("a03_star_or_artifact"), Claim("a19_ring")], "exclude each other"),
        ([Claim("a37_cant_tell")], "a37_cant_tell has no words"),
    ],
)
def test_what_the_tree_forbids_together_is_not_written(claims, message):
    with pytest.raises(ValueError, match=message):
        write_captions(claims)


def test_asking_for_no_caption_is_refused():
    with pytest.raises(ValueError, match="n=0"):
        write_captions([], 0)
