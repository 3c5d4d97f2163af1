import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.models.concepts import CONCEPTS
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree, Question
from galaxy_vision.simulation.parameters import draw_parameters
from galaxy_vision.simulation.render import simulate_galaxy
from galaxy_vision.simulation.volunteers import TOPICS, answer_probabilities, concept_weights, vote

CAMPAIGNS = ("gz2", "gz_ukidss", "gz_decals_dr12", "gz_decals_dr5", "gz_decals_dr8", "gz_desi")
LATER = ("gz_candels", "gz_cosmic_dawn", "gz_euclid", "gz_jwst_ceers", "gz_jwst_cosmos", "gz_rings")
GALAXIES = 300


def tree_of(campaign: str) -> DecisionTree:
    return GALAXY_ZOO_2 if campaign == "gz2" else load_campaign(campaign).released


def drawn(seed: int, index: int):
    """A galaxy, and the generator of random numbers in the state after it was drawn."""
    rng = np.random.default_rng([seed, index])
    return draw_parameters(rng), rng


def mean_fractions(tree: DecisionTree, galaxies) -> dict[str, float]:
    """Concept -> share of it in all votes on its question."""
    votes = sum(vote(galaxy, np.random.default_rng(index), tree) for index, galaxy in enumerate(galaxies))
    return {concept: float(tree.share(tree.conditional(votes), concept)) for concept in tree.concepts}


@pytest.fixture(scope="module")
def population():
    return [drawn(7, index)[0] for index in range(GALAXIES)]


@pytest.fixture(scope="module")
def desi(population):
    return mean_fractions(tree_of("gz_desi"), population)


@pytest.fixture(scope="module")
def face_on_barred():
    sky = (drawn(7, index)[0] for index in range(2000))
    return [g for g in sky if g.kind == "barred spiral" and g.axis_ratio > 0.5 and g.petro_r90 > 8]


def test_galaxy_zoo_2_votes_are_those_of_the_version_that_knew_no_other_tree():
    votes = [vote(*drawn(11, index)) for index in range(50)]
    known = "52466647d2bd7fc516a0617a52500e968efe33a34182c610f43c75e2e441b31e"
    assert hashlib.sha256(np.stack(votes).tobytes()).hexdigest() == known


@pytest.mark.parametrize("campaign", [*CAMPAIGNS, *LATER])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 1000))
def test_as_many_votes_on_a_question_as_on_the_answers_that_lead_to_it(campaign, seed, index):
    tree = tree_of(campaign)
    votes = vote(*drawn(seed, index), tree)
    assert votes.shape == (len(tree.answers),) and votes.dtype == np.float32
    assert (votes >= 0).all() and (votes == votes.round()).all()
    for question in tree.questions:
        on_question = votes[tree.slices[question.name]].sum()
        if question.parents:
            assert on_question == sum(votes[tree.index(*parent)] for parent in question.parents)
        else:
            assert 20 <= on_question <= 70


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([*CAMPAIGNS, *LATER]), st.integers(0, 2**32), st.integers(0, 1000))
def test_every_answer_may_be_given_and_one_of_them_is(campaign, seed, index):
    tree = tree_of(campaign)
    probabilities = answer_probabilities(*drawn(seed, index), tree)
    assert list(probabilities) == [question.name for question in tree.questions]
    for chances in probabilities.values():
        assert (chances > 0).all() and chances.sum() == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_in_which_a_campaign_lists_answers_does_not_matter(seed, index, shuffle):
    question = tree_of("gz_desi").question("bulge-size")
    order = list(range(len(question.answers)))
    shuffle.shuffle(order)
    other = Question(
        "bulge", tuple(question.answers[i] for i in order), concepts=tuple(question.concepts[i] for i in order)
    )
    same = Question("bulge", question.answers, concepts=question.concepts)
    galaxy = drawn(seed, index)[0]
    chances, shuffled = (
        answer_probabilities(galaxy, np.random.default_rng(0), DecisionTree("one", (one,)))["bulge"]
        for one in (same, other)
    )
    assert shuffled == pytest.approx(chances[order])


def test_a_question_may_stand_before_the_one_that_leads_to_it():
    tree = tree_of("gz_desi")
    turned = dataclasses.replace(tree, questions=tree.questions[::-1])
    for index in range(20):
        votes = vote(*drawn(3, index), turned)
        for question in turned.questions[:-1]:
            asked = sum(votes[turned.index(*parent)] for parent in question.parents)
            assert votes[turned.slices[question.name]].sum() == asked


def test_weights_are_there_for_every_meaning():
    weights = concept_weights(*drawn(0, 0))
    assert {topic: set(meanings) for topic, meanings in weights.items()} == {
        topic: set(meanings) for topic, meanings in TOPICS.items()
    }
    assert {meaning for meanings in weights.values() for meaning in meanings} >= set(CONCEPTS)


def test_desi_volunteers_answer_in_plausible_shares(desi):
    """Few bars are strong (15.5 % of galaxies to 28.1 % weak, Geron et al. 2021); most galaxies are undisturbed."""
    assert 0.4 < desi["smooth"] < 0.55 and desi["not-a-galaxy"] < 0.06
    assert 0.03 < desi["bar-strong"] < desi["bar-weak"] < desi["bar-none"]
    assert desi["bar"] == pytest.approx(desi["bar-strong"] + desi["bar-weak"])
    sizes = [desi[f"bulge-{size}"] for size in ("none", "small", "moderate", "large", "dominant")]
    assert min(sizes) > 0.05 and max(sizes) < 0.5
    assert max(sizes) in sizes[1:3]
    assert 0.7 < desi["merging-none"] < 0.9
    assert desi["disturbance-minor"] > desi["disturbance-major"] > 0.01


def test_campaigns_with_the_same_question_get_the_same_answers(population, desi):
    old = mean_fractions(GALAXY_ZOO_2, population)
    for concept in ("smooth", "edge-on", "spiral", "round", "edge-on-bulge-none", "winding-tight", "arms-2"):
        assert desi[concept] == pytest.approx(old[concept], abs=0.03), concept
    assert desi["bulge-obvious"] == pytest.approx(old["bulge-obvious"], abs=0.03)


def test_a_long_and_bright_bar_is_strong_and_a_short_or_faint_one_is_weak(face_on_barred):
    tree = tree_of("gz_desi")

    def share(length: float, strength: float) -> dict[str, float]:
        changed = [dataclasses.replace(g, bar_length=length, bar_strength=strength) for g in face_on_barred]
        return mean_fractions(tree, changed)

    strong = share(0.5, 0.25)
    assert strong["bar-strong"] > strong["bar-weak"] > 0.05
    for weak in (share(0.3, 0.15), share(0.5, 0.08)):
        assert weak["bar-weak"] > 2 * weak["bar-strong"]
        assert strong["bar-strong"] > 3 * weak["bar-strong"]
    without = share(0.0, 0.0)
    assert without["bar-none"] > 0.8 > strong["bar-none"]


def test_the_bulge_grows_through_all_five_sizes(face_on_barred):
    tree = tree_of("gz_desi")
    led = []
    for fraction in (0.0, 0.08, 0.3, 0.52, 0.8):
        changed = [dataclasses.replace(g, bulge_fraction=fraction, bar_strength=0.0) for g in face_on_barred]
        shares = mean_fractions(tree, changed)
        sizes = ("none", "small", "moderate", "large", "dominant")
        led.append(max(sizes, key=lambda size, shares=shares: shares[f"bulge-{size}"]))
    assert led == ["none", "small", "moderate", "large", "dominant"]


@pytest.mark.parametrize("campaign", ["gz_decals_dr12", "gz_desi"])
def test_mergers_are_answered_as_mergers_and_others_are_not(campaign):
    tree = tree_of(campaign)
    sky = [drawn(7, index)[0] for index in range(1500)]
    mergers = mean_fractions(tree, [g for g in sky if g.companion_flux > 0.5])
    undisturbed = mean_fractions(tree, [g for g in sky if g.kind in ("elliptical", "lenticular", "spiral")])
    assert mergers["merger"] > 0.5
    assert undisturbed["merger"] < 0.05 and undisturbed["merging-none"] > 0.85


def test_faint_tails_are_a_minor_and_bright_ones_a_major_disturbance():
    tree = tree_of("gz_desi")
    disturbed = [galaxy for galaxy, _ in (drawn(7, index) for index in range(1500)) if galaxy.kind == "disturbed"]
    faint, bright = (
        mean_fractions(tree, [dataclasses.replace(g, tail_strength=tails, asymmetry=0.25) for g in disturbed])
        for tails in (0.05, 0.25)
    )
    assert faint["disturbance-minor"] > 2 * faint["disturbance-major"]
    assert bright["disturbance-major"] > bright["disturbance-minor"]


def test_a_merger_with_tails_is_both_where_a_campaign_has_that_answer():
    tree = tree_of("gz_decals_dr12")
    merger = next(g for g, _ in (drawn(7, index) for index in range(1000)) if g.kind == "merger")
    merger = dataclasses.replace(merger, companion_flux=1.0, petro_r90=20.0, r_magnitude=14.5, asymmetry=0.0)
    answers = dict(enumerate(tree.question("merging-dr12").answers))
    leads = []
    for tails in (0.0, 0.25):
        chances = answer_probabilities(
            dataclasses.replace(merger, tail_strength=tails), np.random.default_rng(0), tree
        )["merging-dr12"]
        leads.append(answers[int(chances.argmax())])
    assert leads == ["merger", "both"]


def test_a_galaxy_has_the_same_image_in_every_campaign():
    old, new = simulate_galaxy(7, 7), simulate_galaxy(7, 7, tree_of("gz_desi"))
    assert new.image.tobytes() == old.image.tobytes() and new.parameters == old.parameters
    assert new.votes.shape == (34,)
    assert new.num_classifications == old.num_classifications


@pytest.mark.parametrize(
    ("tree", "question"),
    [
        (load_campaign("gz_hubble").released, "clump-count-hubble"),
        (load_campaign("gz_ukidss").tree, "rare-features-ukidss"),
        (load_campaign("galaxy_mnist").released, "label"),
        (DecisionTree("mine", (Question("bulge shape", ("round", "in-between")),)), "bulge shape"),
    ],
)
def test_a_question_that_is_not_simulated_is_refused_by_name(tree, question):
    with pytest.raises(ValueError, match=question) as refusal:
        vote(*drawn(0, 0), tree)
    assert "data set" in str(refusal.value) and tree.name in str(refusal.value)
