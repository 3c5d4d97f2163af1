"""Probabilities of a search are those of the predicted Dirichlet distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predicted_catalogues import table_of, votes_for
from scipy.special import betaincc

from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.search.catalogue import _columns
from galaxy_vision.search.probability import beta_above, certainty_from_intervals, merged, query_scores, score_limit
from galaxy_vision.search.sentence import read_sentence

from galaxy_vision.models.trees import Trees  # isort: skip

DRAWS = 200_000


def scores(sentence: str, concentration: np.ndarray, **settings):
    rows = table_of(np.atleast_2d(concentration), **settings)
    votes = _columns(Trees(), rows.columns)["gz2"]
    sources = votes.sources()
    columns = {name: rows[name].to_numpy() for name in rows.columns}
    return query_scores(merged(read_sentence(sentence, GALAXY_ZOO_2), sources), sources, columns)


def drawn(concentration: np.ndarray, question: str) -> np.ndarray:
    """Fractions of the answers to a question, (draws, answers), by numpy's own Dirichlet variates."""
    return np.random.default_rng(0).dirichlet(concentration[GALAXY_ZOO_2.slices[question]], DRAWS)


def reach_of(concentration: np.ndarray, question: str) -> float:
    mean = GALAXY_ZOO_2.conditional(concentration)
    return GALAXY_ZOO_2.reach(mean)[GALAXY_ZOO_2.slices[question].start]


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1), st.floats(-5, 9.2), st.sampled_from([0.05, 0.2, 0.3, 0.5, 0.8, 0.95]))
def test_the_table_of_beta_is_that_of_scipy(mean, log_certainty, share):
    certainty = np.exp(log_certainty)
    known = betaincc(max(mean * certainty, 1e-12), max((1 - mean) * certainty, 1e-12), share)
    assert beta_above([mean], [certainty], share)[0] == pytest.approx(known, abs=0.0015)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 0.98), st.floats(0.001, 0.02), st.floats(-4, 9), st.floats(0.05, 0.95))
def test_a_larger_fraction_or_a_smaller_share_is_never_less_probable(mean, more, log_certainty, share):
    certainty = [np.exp(log_certainty)] * 2
    low, high = beta_above([mean, mean + more], certainty, share)
    assert low <= high + 1e-6
    assert beta_above([mean], certainty[:1], share)[0] <= beta_above([mean], certainty[:1], share * 0.9)[0] + 0.002


def test_what_is_unknown_stays_unknown():
    assert np.isnan(beta_above([np.nan, 0.5], [1.0, np.nan], 0.5)).all()


def test_the_probability_of_a_claim_is_that_of_monte_carlo_times_reach():
    votes = votes_for(12, featured=0.9, not_edge_on=0.8, bar=0.55)
    expected = (drawn(votes, "t03_bar")[:, 0] > 0.5).mean() * reach_of(votes, "t03_bar")
    assert scores("a bar", votes).probability[0] == pytest.approx(expected, abs=0.004)
    definite = (drawn(votes, "t03_bar")[:, 0] > 0.8).mean() * reach_of(votes, "t03_bar")
    assert scores("definitely a bar", votes).probability[0] == pytest.approx(definite, abs=0.004)
    assert scores("no bar", votes).probability[0] == pytest.approx(1 - expected, abs=0.004)


@pytest.mark.parametrize(
    "sentence", ["a bar", "definitely a bar or a ring", "no ring, two loose arms", "a bar, no bulge"]
)
def test_no_score_is_above_its_limit(sentence):
    rows = table_of(np.exp(np.random.default_rng(0).uniform(-6, 7, (500, 37))))
    sources = _columns(Trees(), rows.columns)["gz2"].sources()
    columns, query = {name: rows[name].to_numpy() for name in rows.columns}, read_sentence(sentence, GALAXY_ZOO_2)
    query = merged(query, sources)
    assert (query_scores(query, sources, columns).score <= score_limit(query, sources, columns) + 1e-6).all()


def test_alternatives_that_are_answers_to_one_question_add_their_fractions():
    votes = votes_for(8, featured=0.9, odd=0.9, ring=0.35)
    fractions = drawn(votes, "t08_odd_feature")
    expected = (fractions[:, :2].sum(1) > 0.5).mean() * reach_of(votes, "t08_odd_feature")
    assert scores("a ring or a lens", votes).probability[0] == pytest.approx(expected, abs=0.004)


def test_other_alternatives_are_probable_where_one_of_them_is():
    votes = votes_for(30, featured=0.95, not_edge_on=0.95, bar=0.7, odd=0.6, ring=0.6)
    bar, ring = (scores(sentence, votes).probability[0] for sentence in ("a bar", "a ring"))
    assert scores("a bar or a ring", votes).probability[0] == pytest.approx(1 - (1 - bar) * (1 - ring), abs=1e-6)


def test_reach_counts_once_for_claims_about_the_same_volunteers():
    votes = votes_for(30, featured=0.7, not_edge_on=0.8, bar=0.9, spiral=0.9)
    found = scores("a barred spiral", votes)
    reach = reach_of(votes, "t03_bar")
    assert found.probability[0] == pytest.approx(np.prod(found.clauses[0]) / reach, rel=1e-5)
    assert found.clauses[0].max() <= reach + 1e-6


def test_rows_are_ranked_by_probability_and_by_share():
    certain, likely, unlikely = (
        votes_for(200, featured=0.99, not_edge_on=0.99, bar=0.95),
        *(votes_for(20, featured=0.9, not_edge_on=0.9, bar=share) for share in (0.7, 0.3)),
    )
    found = scores("a bar", np.stack([unlikely, certain, likely]))
    assert np.argsort(-found.score).tolist() == [1, 2, 0]
    assert np.allclose(found.score**2, found.probability * [0.3 * 0.81, 0.95 * 0.99**2, 0.7 * 0.81], rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_number_of_a_search_is_a_probability_and_a_denial_is_the_rest(seed):
    concentration = np.exp(np.random.default_rng(seed).uniform(-6, 7, (5, 37)))
    for sentence in ("a bar", "a ring or a bar", "two loose arms", "an edge-on disc with a boxy bulge"):
        for values in scores(sentence, concentration):
            assert ((values >= -1e-6) & (values <= 1 + 1e-6)).all()
    whole = scores("a ring", concentration).probability + scores("no ring", concentration).probability
    assert np.allclose(whole, 1, atol=1e-5)


def test_an_older_catalogue_without_certainty_gives_nearly_the_same():
    votes = votes_for(25, featured=0.9, not_edge_on=0.9, bar=0.6)
    new, old = (scores("a bar", votes, certainty=known).probability[0] for known in (True, False))
    assert old == pytest.approx(new, abs=0.02)
    fractions, low, high = np.full((3, 1), 1 / 3), np.full((3, 1), 0.19), np.full((3, 1), 0.49)
    assert certainty_from_intervals(fractions, low, high)[0] == pytest.approx(25, rel=0.1)
