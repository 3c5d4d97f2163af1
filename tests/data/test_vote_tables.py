"""Votes from the columns of published tables, whatever their order, and expected votes from fractions."""

import numpy as np
from builder_files import counts
from hypothesis import given
from hypothesis import strategies as st

from galaxy_vision.data.campaigns import campaign_names, tree_of
from galaxy_vision.data.vote_tables import expected_votes, plain_names, values_by_name

TREES = st.sampled_from([tree_of(name) for name in campaign_names()])


@given(tree=TREES, data=st.data())
def test_votes_by_name_are_the_counts_whatever_the_order_of_the_columns(tree, data):
    names, votes = plain_names(tree), counts(tree, data.draw(st.integers(0, 99)), 3)
    order = data.draw(st.permutations(range(len(names))))
    table = {names[index]: votes[:, index] for index in order}
    np.testing.assert_array_equal(values_by_name(table, names, tree), votes)


@given(tree=TREES, seed=st.integers(0, 99))
def test_expected_votes_have_the_fractions_and_flow_down_the_tree(tree, seed):
    votes = counts(tree, seed, 3).astype(float)
    expected = expected_votes(tree.conditional(votes), tree, 7.0)
    asked = tree.totals(expected) > 0
    np.testing.assert_allclose(tree.conditional(expected)[asked], tree.conditional(votes)[asked])
    for question in tree.questions:
        arrived = sum(expected[:, tree.index(*parent)] for parent in question.parents) if question.parents else 7.0
        np.testing.assert_allclose(expected[:, tree.slices[question.name]].sum(axis=1), arrived, atol=1e-9)


def test_an_answer_without_a_value_makes_its_question_unknown_and_no_other():
    tree = tree_of("gz_decals_dr5")
    names, votes = plain_names(tree), counts(tree, 1, 2).astype(float)
    table = {name: votes[:, index].copy() for index, name in enumerate(names)}
    table["bar_weak"][1] = np.nan
    values, bar = values_by_name(table, names, tree), tree.slices["bar-dr5"]
    assert np.isnan(values[1, bar]).all() and np.isnan(values).sum() == 3
    assert (values[0] == votes[0]).all()
