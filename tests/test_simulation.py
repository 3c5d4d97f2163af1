import dataclasses

import numpy as np
import pytest

from galaxy_vision.decision_tree import QUESTION_SLICES, answer_index
from galaxy_vision.simulation import KINDS, GalaxyParameters, render, simulate_galaxy, vote

SPIRAL = GalaxyParameters(
    kind="spiral",
    radius_arcsec=20.0,
    seeing_arcsec=1.2,
    signal=250.0,
    axis_ratio=0.85,
    angle=0.3,
    bulge=0.2,
    bulge_shape="",
    bar=0.0,
    arms=2,
    pitch=18.0,
    arm_contrast=1.5,
    odd="",
    blue=0.6,
    artefact="",
    companions=0,
    stars=0,
)


def mean_votes(parameters: GalaxyParameters) -> np.ndarray:
    return np.mean([vote(parameters, np.random.default_rng(draw)) for draw in range(60)], axis=0)


@pytest.fixture(scope="module")
def sky():
    return [simulate_galaxy(5, index) for index in range(150)]


def test_a_galaxy_depends_on_seed_and_index_alone(sky):
    again, other = simulate_galaxy(5, 7), simulate_galaxy(6, 7)
    assert again.image.tobytes() == sky[7].image.tobytes()
    assert again.votes.tolist() == sky[7].votes.tolist()
    assert other.image.tobytes() != sky[7].image.tobytes()


def test_volunteers_obey_the_tree(sky):
    for galaxy in sky:
        totals = {question[:3]: galaxy.votes[places].sum() for question, places in QUESTION_SLICES.items()}
        said = {name: galaxy.votes[answer_index(name)] for name in ("a01", "a02", "a04", "a05", "a08", "a14")}
        assert (galaxy.votes == galaxy.votes.round()).all()
        assert totals["t01"] == galaxy.num_classifications
        assert totals["t02"] == said["a02"]
        assert totals["t03"] == totals["t04"] == totals["t05"] == said["a05"]
        assert totals["t06"] == said["a01"] + said["a02"]
        assert totals["t07"] == said["a01"]
        assert totals["t08"] == said["a14"]
        assert totals["t09"] == said["a04"]
        assert totals["t10"] == totals["t11"] == said["a08"]


def test_every_kind_and_every_answer_occurs(sky):
    assert {galaxy.parameters.kind for galaxy in sky} == set(KINDS)
    assert (np.sum([galaxy.votes for galaxy in sky], axis=0) > 0).all()


def test_images_look_like_the_files_of_galaxy_zoo(sky):
    pixels = np.array([np.asarray(galaxy.image) for galaxy in sky if galaxy.parameters.kind != "star"], dtype=float)
    assert pixels.shape[1:] == (212, 212, 3)
    assert np.median(pixels[:, :30, :30]) < 15  # a dark sky
    assert np.median(pixels[:, 100:112, 100:112]) > 80  # a galaxy in the middle
    ellipticals = [np.asarray(g.image, dtype=float)[96:116, 96:116] for g in sky if g.parameters.kind == "elliptical"]
    red, _, blue = np.mean(ellipticals, axis=(0, 1, 2))
    assert red > 1.15 * blue


def test_arms_that_the_seeing_hides_get_fewer_votes():
    sharp = mean_votes(SPIRAL)
    blurred = mean_votes(dataclasses.replace(SPIRAL, radius_arcsec=4.0, seeing_arcsec=1.9))
    assert sharp[answer_index("a08")] > 3 * blurred[answer_index("a08")]
    assert blurred[answer_index("a01")] > sharp[answer_index("a01")]


def test_volunteers_report_what_is_there():
    barred = mean_votes(dataclasses.replace(SPIRAL, bar=0.45))
    assert barred[answer_index("a06")] > 3 * mean_votes(SPIRAL)[answer_index("a06")]
    edge_on = mean_votes(dataclasses.replace(SPIRAL, kind="edge-on", arms=0, axis_ratio=0.15, bulge_shape="boxy"))
    assert edge_on[answer_index("a04")] > 10 * mean_votes(SPIRAL)[answer_index("a04")]
    assert edge_on[answer_index("a26")] > edge_on[answer_index("a27")]
    three = mean_votes(dataclasses.replace(SPIRAL, arms=3, pitch=32.0))
    assert three[answer_index("a33")] > three[answer_index("a32")]
    assert three[answer_index("a30")] > three[answer_index("a28")]


def test_arms_are_in_the_picture():
    """Around the centre, the light of a two-armed spiral varies with the double angle, that of its disc does not."""
    face_on = dataclasses.replace(SPIRAL, axis_ratio=1.0, angle=0.0, signal=3000.0)
    y, x = np.mgrid[:212, :212] - 105.5
    ring = np.abs(np.hypot(x, y) - 14) < 1.5
    phase = np.exp(2j * np.arctan2(y, x)[ring])

    def double(parameters):
        light = render(parameters, np.random.default_rng(0)).astype(float).mean(-1)[ring]
        return np.abs((light * phase).mean()) / light.mean()

    assert double(face_on) > 5 * double(dataclasses.replace(face_on, kind="lenticular", arms=0))
