"""What is shown next: known answers, and what holds for any galaxies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_vision.label.queue import likeliest_first, nearest, next_to_label, spread

NOTHING = np.empty(0, int)


def test_without_a_model_each_next_one_is_the_farthest_from_all_before():
    line = np.array([[0.0], [1.0], [10.0], [11.0], [5.0]])
    chosen = next_to_label(line, np.ones(5, bool), np.array([0]), None, 4)
    assert chosen.tolist()[:2] == [3, 4]  # 11 is farthest from 0, then 5 from both


def test_the_model_asks_what_it_hesitates_over_but_not_twice_for_the_same():
    embeddings = np.array([[0.0, 0.0], [0.0, 0.01], [9.0, 9.0], [-9.0, 9.0], [5.0, -5.0]])
    doubtful = np.array([[0.5, 0.5], [0.5, 0.5], [0.52, 0.48], [0.99, 0.01], [1.0, 0.0]])
    chosen = next_to_label(embeddings, np.ones(5, bool), NOTHING, doubtful, 2).tolist()
    assert set(chosen) == {2, 0} or set(chosen) == {2, 1}  # of the two alike only one, and none that is certain


def test_what_is_certain_comes_last():
    random = np.random.default_rng(0)
    probability = np.concatenate([np.full(20, 0.5), np.full(180, 0.999)])
    chosen = next_to_label(
        random.normal(size=(200, 8)), np.ones(200, bool), NOTHING, np.stack([probability, 1 - probability], 1), 15
    )
    assert (chosen < 20).all()


def test_find_shows_the_likeliest_first_and_before_that_what_is_like_the_examples():
    embeddings, probability = np.arange(6.0)[:, None], np.array([0.1, 0.9, 0.3, 0.8, 0.2, 0.7])
    is_open = np.array([True, True, True, True, True, False])
    likely = likeliest_first(embeddings, is_open, NOTHING, embeddings[:0], probability, 3)
    assert likely.tolist() == [1, 3, 2]
    alike = likeliest_first(embeddings, is_open, NOTHING, np.array([[3.2], [0.1]]), None, 3)
    assert alike.tolist() == [0, 3, 4]
    unknown = likeliest_first(embeddings, is_open, NOTHING, embeddings[:0], None, 9)
    assert sorted(unknown.tolist()) == [0, 1, 2, 3, 4]


def test_nearest_is_the_euclidean_distance():
    index, distance = nearest(np.array([[0.0, 3.0], [8.0, 0.0]]), np.array([[4.0, 0.0], [0.0, 0.0]]))
    assert index.tolist() == [1, 0] and np.allclose(distance, [3, 4])


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 50), st.booleans(), st.integers(0, 5))
def test_only_open_galaxies_come_each_once_and_as_many_as_there_are(opened, wanted, has_learned, seed):
    count, is_open = len(opened), np.array(opened)
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(count, 4)).round(1)
    probabilities = random.dirichlet(np.ones(3), count) if has_learned else None
    labelled = np.flatnonzero(~is_open)
    for chosen in (
        next_to_label(embeddings, is_open, labelled, probabilities, wanted, seed),
        likeliest_first(
            embeddings, is_open, labelled, embeddings[:1], probabilities[:, 0] if has_learned else None, wanted
        ),
    ):
        assert len(chosen) == len(set(chosen.tolist())) == min(wanted, is_open.sum())
        assert is_open[chosen].all()


@pytest.mark.parametrize("known", [0, 3])
def test_spread_takes_identical_galaxies_too(known):
    same = np.ones((5, 3))
    assert sorted(spread(same, same[:known], np.ones(5), 5).tolist()) == [0, 1, 2, 3, 4]
