"""Splits by the position on the sky, for galaxies that stand in several data sets."""

from collections import Counter

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import offset_by
from hypothesis import given
from hypothesis import strategies as st

from galaxy_vision.data.splits import CELL, SPLITS, split_of_position

NUM = 20_000
DEGREE = st.floats(allow_nan=False, allow_infinity=False)


def all_over_the_sky(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, NUM), np.degrees(np.arcsin(rng.uniform(-1, 1, NUM)))


@given(ra=DEGREE, dec=st.floats(-90, 90))
def test_every_position_has_a_split_poles_and_meridians_included(ra, dec):
    assert split_of_position(ra, dec) in SPLITS
    assert {split_of_position(0.0, pole) for pole in (-90, 90)} | {split_of_position(360.0, dec)} <= set(SPLITS)


@given(ra=st.integers(0, 359 * 8).map(lambda eighths: eighths / 8), dec=st.floats(-90, 90), turns=st.integers(-3, 3))
def test_whole_turns_change_nothing(ra, dec, turns):
    assert split_of_position(ra + 360 * turns, dec) == split_of_position(ra, dec)


@given(
    ra=st.one_of(DEGREE, st.just(float("nan")), st.just(float("inf"))),
    dec=st.one_of(
        st.floats(max_value=-90, exclude_max=True), st.floats(min_value=90, exclude_min=True), st.just(np.nan)
    ),
)
def test_what_is_not_a_position_is_refused_with_its_values(ra, dec):
    with pytest.raises(ValueError, match="is not a position on the sky in degrees; mend it, or split by id"):
        split_of_position(ra, dec)
    with pytest.raises(ValueError, match="ra=nan, dec=0 is not"):
        split_of_position(float("nan"), 0)


def test_hardly_any_pair_of_3_arcsec_is_torn_apart():
    ra, dec = all_over_the_sky(0)
    angles = np.random.default_rng(1).uniform(0, 360, NUM)
    near = offset_by(ra * u.deg, dec * u.deg, angles * u.deg, 3 * u.arcsec)
    pairs = zip(ra, dec, near[0].to_value(u.deg), near[1].to_value(u.deg), strict=True)
    torn = sum(split_of_position(*pair[:2]) != split_of_position(*pair[2:]) for pair in pairs)
    assert torn / NUM < 0.006  # .0036 in a larger sample; 5 standard deviations above


def test_splits_have_their_shares_at_every_declination():
    ra, dec = all_over_the_sky(2)
    splits = np.array([split_of_position(*position) for position in zip(ra, dec, strict=True)])
    for band in (np.abs(dec) < 20, dec > 40, dec < -40):
        counts = Counter(splits[band].tolist())
        for split, share in SPLITS.items():
            assert abs(counts[split] / band.sum() - share) < 5 * np.sqrt(share * (1 - share) / band.sum())


def test_neighbours_share_a_split_and_distant_galaxies_do_not_depend_on_each_other():
    centres = CELL * (np.arange(200) + 0.5)
    assert all(split_of_position(c, CELL / 2) == split_of_position(c + 0.45 * CELL, CELL / 20) for c in centres)
    changes = sum(split_of_position(c, CELL / 2) != split_of_position(c + CELL, CELL / 2) for c in centres)
    assert 40 < changes < 100  # 1 - .8^2 - .1^2 - .1^2 = .34 of neighbouring cells differ
