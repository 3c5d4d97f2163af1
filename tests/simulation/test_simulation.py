import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor

import datasets
import numpy as np
import pytest

from galaxy_vision.data import simulated as simulated_dataset
from galaxy_vision.models.decision_tree import QUESTION_SLICES, answer_index
from galaxy_vision.simulation.parameters import KINDS, GalaxyParameters
from galaxy_vision.simulation.render import render, simulate_galaxy
from galaxy_vision.simulation.volunteers import vote

SPIRAL = GalaxyParameters(
    kind="spiral",
    petro_r90=16.0,
    seeing=1.2,
    r_magnitude=14.5,
    color_bulge=0.85,
    color_disc=0.4,
    position_angle=0.0,
    axis_ratio=0.95,
    bulge_fraction=0.12,
    bulge_radius=0.08,
    sersic_index=2.0,
    band_shift=0.0,
    noise=1.0,
    sky=0.01,
    artifact="none",
    artifact_angle=0.0,
    artifact_offset=1.0,
    arm_count=2,
    pitch_angle=math.radians(18),
    arm_contrast=0.8,
)


def with_changes(**changes) -> GalaxyParameters:
    return dataclasses.replace(SPIRAL, **changes)


def mean_votes(parameters: GalaxyParameters) -> dict[str, float]:
    """Votes per answer over 60 groups of volunteers, under names such as ``a08``."""
    votes = np.mean([vote(parameters, np.random.default_rng(draw)) for draw in range(60)], axis=0)
    return {f"a{number:02}": votes[answer_index(f"a{number:02}")] for number in (*range(1, 35), 36, 37, 38)}


@pytest.fixture(scope="module")
def sky():
    return [simulate_galaxy(7, index) for index in range(300)]


def test_a_galaxy_depends_on_seed_and_index_alone(sky):
    again = simulate_galaxy(7, 7)
    assert again.image.tobytes() == sky[7].image.tobytes()
    assert again.votes.tolist() == sky[7].votes.tolist()
    assert again.parameters == sky[7].parameters
    assert simulate_galaxy(6, 7).image.tobytes() != again.image.tobytes()
    assert sky[8].image.tobytes() != again.image.tobytes()


def test_volunteers_obey_the_tree(sky):
    for galaxy in sky:
        totals = {stem[:3]: galaxy.votes[places].sum() for stem, places in QUESTION_SLICES.items()}
        votes = {name: galaxy.votes[answer_index(name)] for name in ("a01", "a02", "a04", "a05", "a08", "a14")}
        assert galaxy.votes.dtype == np.float32 and galaxy.votes.shape == (37,)
        assert (galaxy.votes == galaxy.votes.round()).all() and (galaxy.votes >= 0).all()
        assert 20 <= totals["t01"] == galaxy.num_classifications <= 70
        assert totals["t02"] == votes["a02"]
        assert totals["t03"] == totals["t04"] == totals["t05"] == votes["a05"]
        assert totals["t06"] == votes["a01"] + votes["a02"]
        assert totals["t07"] == votes["a01"]
        assert totals["t08"] == votes["a14"]
        assert totals["t09"] == votes["a04"]
        assert totals["t10"] == totals["t11"] == votes["a08"]


def test_every_kind_and_every_answer_occurs(sky):
    assert {galaxy.parameters.kind for galaxy in sky} == set(KINDS)
    assert (np.sum([galaxy.votes for galaxy in sky], axis=0) > 0).all()


def test_volunteers_agree_and_disagree_as_in_galaxy_zoo_2(sky):
    """Compare with the means of the Galaxy Challenge's table.

    Smooth .46, featured .52, artifact .03, odd .21; and many galaxies are in doubt.
    """
    first = np.array([galaxy.votes[:3] / galaxy.num_classifications for galaxy in sky])
    assert np.allclose(first.mean(axis=0), [0.46, 0.52, 0.03], atol=0.07)
    odd = [galaxy.votes[answer_index("a14")] / galaxy.num_classifications for galaxy in sky]
    assert 0.12 < np.mean(odd) < 0.3
    assert ((first[:, 0] > 0.3) & (first[:, 0] < 0.7)).mean() > 0.15


def test_images_look_like_the_files_of_galaxy_zoo(sky):
    assert all(galaxy.image.mode == "RGB" and galaxy.image.size == (212, 212) for galaxy in sky)
    pixels = {
        kind: np.array([np.asarray(g.image, dtype=float) for g in sky if g.parameters.kind == kind])
        for kind in ("elliptical", "spiral")
    }
    for images in pixels.values():
        assert 1 <= np.median(images[:, :30, :30]) <= 10  # a dark sky that is not cut off
        assert 1 < images[:, :30, :30].std(axis=(1, 2)).mean() < 20  # with grain and neighbours
        assert np.median(images[:, 100:112, 100:112]) > 80  # a galaxy in the middle
    red, _, blue = pixels["elliptical"][:, 96:116, 96:116].mean(axis=(0, 1, 2))
    spiral_red, _, spiral_blue = pixels["spiral"][:, 96:116, 96:116].mean(axis=(0, 1, 2))
    assert red / blue > 1.3
    assert red / blue > spiral_red / spiral_blue + 0.15


def test_arms_that_the_seeing_or_the_noise_hides_get_fewer_votes():
    sharp = mean_votes(SPIRAL)
    assert sharp["a08"] > 25
    for hidden in (with_changes(petro_r90=4.0, seeing=1.9), with_changes(r_magnitude=19.5, noise=2.0)):
        votes = mean_votes(hidden)
        assert votes["a08"] < sharp["a08"] / 3
        assert votes["a01"] > 3 * sharp["a01"]
        assert votes["a37"] / votes["a08"] > 2 * sharp["a37"] / sharp["a08"]


@pytest.mark.parametrize(
    ("answer", "rival", "changes"),
    [
        ("a06", "a07", {"kind": "barred spiral", "bar_length": 0.45, "bar_strength": 0.2}),
        ("a04", "a05", {"kind": "edge-on disc", "axis_ratio": 0.1, "arm_count": 0}),
        (
            "a26",
            "a25",
            {"kind": "edge-on disc", "axis_ratio": 0.1, "arm_count": 0, "bulge_shape": "boxy", "bulge_fraction": 0.3},
        ),
        ("a33", "a32", {"arm_count": 3}),
        ("a36", "a32", {"arm_count": 7, "pitch_angle": 0.5}),
        ("a28", "a29", {"pitch_angle": math.radians(9)}),
        ("a30", "a29", {"pitch_angle": math.radians(36)}),
        ("a10", "a11", {"bulge_fraction": 0.0}),
        ("a13", "a11", {"bulge_fraction": 0.75}),
        ("a19", "a23", {"ring_strength": 0.3}),
        ("a22", "a23", {"kind": "irregular", "arm_count": 0, "clumpiness": 1.2, "bulge_fraction": 0.05}),
        ("a21", "a23", {"kind": "disturbed", "asymmetry": 0.5, "tail_strength": 0.2}),
        ("a24", "a21", {"kind": "merger", "companion_flux": 0.8, "companion_distance": 0.9}),
        (
            "a20",
            "a23",
            {"kind": "elliptical", "arm_count": 0, "bulge_fraction": 1.0, "bulge_radius": 0.7, "arc_strength": 0.06},
        ),
        ("a03", "a01", {"kind": "star", "arm_count": 0}),
        ("a16", "a18", {"kind": "elliptical", "arm_count": 0, "bulge_fraction": 1.0, "axis_ratio": 0.98}),
        ("a18", "a16", {"kind": "elliptical", "arm_count": 0, "bulge_fraction": 1.0, "axis_ratio": 0.3}),
    ],
)
def test_volunteers_report_what_is_there(answer, rival, changes):
    votes = mean_votes(with_changes(**changes))
    assert votes[answer] > votes[rival]
    assert votes[answer] > 1.5 * mean_votes(SPIRAL)[answer]


def wave(parameters: GalaxyParameters, arms: int, radius: float = 14.0) -> float:
    """Strength of the arms-fold pattern in the light of a ring around the centre, relative to the mean light."""
    y, x = np.mgrid[:212, :212] - 105.5
    ring = np.abs(np.hypot(x, y) - radius) < 1.5
    light = render(parameters, np.random.default_rng(2)).astype(float).mean(axis=-1)[ring]
    return float(np.abs((light * np.exp(1j * arms * np.arctan2(y, x)[ring])).mean()) / light.mean())


@pytest.mark.parametrize("arms", [2, 3, 4])
def test_as_many_arms_are_in_the_picture_as_in_the_truth(arms):
    face_on = with_changes(axis_ratio=1.0, arm_count=arms, pitch_angle=0.5)
    assert wave(face_on, arms) > 4 * wave(with_changes(axis_ratio=1.0, arm_count=0, kind="lenticular"), arms)
    assert wave(face_on, arms) > 1.5 * max(wave(face_on, other) for other in (2, 3, 4) if other != arms)


def test_seeing_blurs_the_arms_of_the_picture_too():
    face_on = with_changes(axis_ratio=1.0)
    assert wave(face_on, 2) > 2 * wave(dataclasses.replace(face_on, petro_r90=4.0, seeing=1.9, r_magnitude=17.0), 2)


def test_an_edge_on_disc_is_thin_in_the_picture():
    image = (
        render(with_changes(kind="edge-on disc", axis_ratio=0.1, arm_count=0), np.random.default_rng(0))
        .astype(float)
        .mean(-1)
    )
    assert image[104:108, 80:90].mean() > 5 * image[80:90, 104:108].mean()


def test_of_runs_that_start_together_one_draws_and_the_others_take_what_it_drew(tmp_path, monkeypatch):
    drawn = []

    def slowly(num_galaxies, seed, trees):
        drawn.append(num_galaxies)
        for index in range(num_galaxies):
            time.sleep(0.02)
            yield simulated_dataset._draw(index, seed, trees)

    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path)
    monkeypatch.setattr(simulated_dataset, "simulated_rows", slowly)
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(simulated_dataset.simulated_dataset, [12] * 3, [0] * 3))
    assert drawn == [12] and len(set(folders)) == 1 and (folders[0] / "README.md").exists()
