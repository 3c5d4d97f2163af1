"""A sentence is understood whatever its words, and what it cannot mean is named."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.captions.plan import plan_of
from galaxy_vision.data.campaigns import campaign_names, tree_of
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.search.query import Clause, Term
from galaxy_vision.search.sentence import read_sentence
from galaxy_vision.search.words import DEFINITE, POSSIBLE

CLASSES = ["elliptical", "lenticular", "spiral", "barred spiral", "edge-on disc", "irregular", "merger"]


def read(sentence: str, tree=GALAXY_ZOO_2, classes=CLASSES):
    return read_sentence(sentence, tree, classes)


def meaning(sentence: str) -> set:
    """What a sentence asks for, without regard to the order of clauses and alternatives."""
    return {frozenset(map(frozenset, clause.alternatives)) for clause in read(sentence).clauses}


def clause(*keys: str, denied: bool = False, **settings) -> Clause:
    return Clause(((Term(keys, denied=denied, **settings),),))


def paraphrases() -> list[tuple[str, str, bool]]:
    """(sentence, paraphrase, whether it was kept aside while the reader was built)."""
    found, sentence = [], ""
    for line in (Path(__file__).parent / "paraphrases.txt").read_text().splitlines():
        if line.startswith("= "):
            sentence = line[2:]
        elif line and not line.startswith("#"):
            found.append((sentence, line.removeprefix("~ "), line.startswith("~ ")))
    return found


def test_there_are_a_hundred_paraphrases_of_ten_sentences_and_a_fifth_was_kept_aside():
    assert len(paraphrases()) == 100 and len({sentence for sentence, *_ in paraphrases()}) == 10
    assert sum(held for *_, held in paraphrases()) == 20


@pytest.mark.parametrize(("sentence", "paraphrase"), [(sentence, other) for sentence, other, _ in paraphrases()])
def test_a_paraphrase_is_understood_as_its_sentence_is(sentence, paraphrase):
    assert meaning(paraphrase) == meaning(sentence) and not read(paraphrase).unread


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a barred spiral", [clause("bar"), clause("spiral")]),
        ("definitely a bar", [clause("bar", share=DEFINITE)]),
        ("possibly a ring", [clause("ring", share=POSSIBLE)]),
        ("at least 65 % bar and a ring", [clause("bar", share=0.65), clause("ring")]),
        ("a ring with at least 90% of the votes, no bar", [clause("ring", share=0.9), clause("bar", denied=True)]),
        ("bar < 20 %", [clause("bar", share=0.2, denied=True)]),
        ("no bar, ring or lens", [clause(key, denied=True) for key in ("bar", "ring", "lens-or-arc")]),
        ("neither a bar nor a ring", [clause("bar", denied=True), clause("ring", denied=True)]),
        ("definitely no ring", [clause("ring", share=1 - DEFINITE, denied=True)]),
        ("not smooth", [clause("smooth", denied=True)]),
        ("more than four arms", [clause("arms-more-than-4")]),
        ("an edge-on disc without a bulge", [clause("edge-on-bulge-none")]),
        ("a disc without a bulge", [clause("bulge-none")]),
        ("an elliptical", [clause("class elliptical")]),
        ("lenticulars", [clause("class lenticular")]),
    ],
)
def test_thresholds_negations_and_classes_are_read(sentence, expected):
    assert list(read(sentence).clauses) == expected and not read(sentence).unread


@pytest.mark.parametrize(
    ("sentence", "alternatives"),
    [
        ("a merger or a barred spiral", [("merger",), ("bar", "spiral")]),
        ("a barred spiral or a merger", [("bar", "spiral"), ("merger",)]),
        ("a blue barred spiral or a red ring", [("bar", "spiral"), ("ring",)]),
        ("a ring, or a bar", [("ring",), ("bar",)]),
        ("a ring or an elliptical", [("ring",), ("class elliptical",)]),
        ("mergers or barred spirals", [("merger",), ("bar", "spiral")]),
    ],
)
def test_or_joins_words_or_whole_phrases(sentence, alternatives):
    (only,) = read(sentence).clauses
    assert [tuple(term.keys[0] for term in terms) for terms in only.alternatives] == alternatives


def test_or_joins_no_more_than_what_stands_beside_it():
    keys = [[terms[0].keys[0] for terms in known.alternatives] for known in read("a bar, and a ring or a lens").clauses]
    assert keys == [["bar"], ["ring", "lens-or-arc"]]


def test_a_claim_that_another_one_needs_counts_with_it_and_is_named():
    query = read("a face-on spiral with two arms")
    assert query.clauses == (clause("arms-2"),)
    assert "spiral arms counts with two arms" in " ".join(query.notes)
    definite = read("definitely a spiral with two arms")
    assert clause("spiral", share=DEFINITE) in definite.clauses


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("a blue galaxy", r"nothing in 'a blue galaxy' is a claim of gz2 \(volunteers are not asked about colours"),
        ("the most distant ones", r"not asked about distances \(distant\)"),
        ("", "nothing in '' is a claim of gz2; write, for example"),
        ("a bar, but no bar", "asks for bar and for no bar; leave one of them out"),
        ("more than 120 % bar", "120 % is not a share"),
        ("bar " * 300, "longer than 1000"),
        ("qwertz", "nothing in 'qwertz' is a claim"),
    ],
)
def test_a_sentence_that_cannot_be_understood_says_why(sentence, why):
    with pytest.raises(ValueError, match=why) as raised:
        read(sentence)
    assert "\n" not in str(raised.value)


def test_words_that_the_tree_does_not_know_are_named_beside_those_that_it_does():
    query = read("a massive blue barred spiral near the Virgo cluster")
    assert query.clauses == (clause("bar"), clause("spiral"))
    assert query.unread == ("massive", "blue", "near", "virgo", "cluster")
    assert any("colours (blue)" in note for note in query.notes)
    assert read("a small galaxy with a bar").unread == ("small",)  # not of the bulge


def test_claims_that_no_volunteer_can_make_together_are_noted():
    assert any("no volunteer can have said both" in note for note in read("a round galaxy with a bar").notes)


def test_a_catalogue_without_votes_has_its_classes_and_says_so_where_a_claim_is_asked_for():
    assert read("spirals", None).clauses == (clause("class spiral"),)
    with pytest.raises(ValueError, match="class of this catalogue, which has no votes; write one of elliptical"):
        read("a dust lane", None)


def test_classes_of_ones_own_and_words_of_ones_own_tree_can_be_searched():
    assert read("Sb", None, ["Sa", "Sb"]).clauses == (clause("class Sb"),)
    data = {"name": "mine", "questions": [{"name": "q", "answers": ["yes", "no"], "words": ["a polar ring", None]}]}
    tree = DecisionTree.from_dict(data)
    assert read("definitely a polar ring", tree).clauses == (clause("a polar ring", share=DEFINITE),)


@pytest.mark.parametrize("campaign", campaign_names())
def test_every_campaign_can_be_searched_by_what_it_asks(campaign):
    tree = tree_of(campaign)
    if "bar" in tree.concepts:
        assert read("a bar", tree).clauses == (clause("bar"),)
    if "bar-strong" in tree.concepts:
        assert read("strongly barred", tree).clauses == (clause("bar-strong"),)
        assert read("a strong bar", tree).clauses == (clause("bar-strong"),)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused_in_one_sentence(text):
    try:
        query = read(text)
    except ValueError as error:
        assert "\n" not in json.dumps(str(error))
    else:
        assert query.clauses and all(str(clause) for clause in query.clauses)


WORDS = (
    "a bar ring lens spiral no not or and , definitely possibly at least 80 % two loose arms bulge boxy without".split()
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_order_of_known_words_is_understood_or_refused(words):
    try:
        query = read(" ".join(words))
    except ValueError:
        return
    for known in query.clauses:
        assert all(0 < term.share < 1 and term.keys for term in known.terms)


def test_a_share_belongs_to_its_own_part_of_the_sentence():
    query = read("definitely blue, a bar")
    assert query.clauses == (clause("bar"),) and query.unread == ("definitely", "blue")


SOME = (
    "no arms, a bulge",
    "arms and no bulge",
    "an edge-on disc without a bulge",
    "face-on, nothing odd, armless, unbarred",
    "two open arms or a huge bulge",
    "a merger, tidal tails, a clumpy star",
    "definitely strongly barred, a peanut-shaped bulge",
)


@pytest.mark.parametrize("campaign", campaign_names())
def test_whatever_is_understood_can_be_looked_up_in_the_tree(campaign):
    tree = tree_of(campaign)
    for sentence in SOME:
        try:
            query = read(sentence, tree)
        except ValueError:
            continue
        keys = {key for known in query.clauses for term in known.terms for key in term.keys}
        assert all(key in plan_of(tree).asks or key.removeprefix("class ") in CLASSES for key in keys)
