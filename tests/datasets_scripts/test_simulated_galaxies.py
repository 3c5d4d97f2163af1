"""The builder of simulated galaxies."""

from conftest import build


def test_simulated_galaxies_are_a_data_set(tmp_path):
    data = build("simulated_galaxies", tmp_path / "out", num_galaxies=30, seed=2)
    assert sum(len(rows) for rows in data.values()) == 30
    assert data["train"][0]["image"].size == (212, 212)
