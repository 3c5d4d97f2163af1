import json

import datasets
import numpy as np
import pytest

from galaxy_vision.data import simulated
from galaxy_vision.data.campaigns import tree_of, wanted_trees
from galaxy_vision.data.labels import assign_labels, class_names_for
from galaxy_vision.simulation.render import simulate_galaxy


@pytest.fixture(autouse=True)
def in_one_process(tmp_path, monkeypatch):
    """Draw galaxies here, and keep the data sets of this test."""

    def rows(num_galaxies, seed, trees):
        return (simulated._draw(index, seed, trees) for index in range(num_galaxies))

    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path)
    monkeypatch.setattr(simulated, "simulated_rows", rows)


def rows_of(folder) -> dict[str, dict]:
    """Rows of all splits by their id, without decoded images."""
    splits = datasets.load_dataset(str(folder)).values()
    return {row["id"]: row for split in splits for row in split.remove_columns("image")}


def votes_of(row: dict, tree) -> np.ndarray:
    values = [row[f"{question}_{answer}"] for question, answer in tree.answers]
    return np.array(values, dtype=np.float64)  # None becomes NaN


def test_a_data_set_of_desi_has_its_columns_and_the_votes_that_were_drawn():
    folder = simulated.simulated_dataset(12, 7, wanted_trees("gz_desi"))
    tree, trees = tree_of("gz_desi"), wanted_trees("gz_desi")
    rows = rows_of(folder)
    assert len(rows) == 12
    for index in range(12):
        row, galaxy = rows[f"simulated-7-{index}"], simulate_galaxy(7, index, tree)
        assert votes_of(row, tree).tolist() == galaxy.votes.tolist()
        assert row["num_classifications"] == galaxy.num_classifications and row["kind"] == galaxy.parameters.kind
        label = int(assign_labels(galaxy.votes, trees=trees))
        assert row["label"] == (label if label >= 0 else None)
        assert "votes" not in row and all(row["captions"])
    features = next(iter(datasets.load_dataset(str(folder)).values())).features
    assert features["label"].names == class_names_for("hubble", trees)
    assert "--campaign gz_desi" in (folder / "README.md").read_text()


def test_volunteers_of_several_campaigns_take_turns():
    campaigns = ["gz2", "gz_decals_dr5", "gz_desi"]
    rows = rows_of(simulated.simulated_dataset(9, 7, wanted_trees(",".join(campaigns[1:]))))
    for index in range(9):
        row = rows[f"simulated-7-{index}"]
        for turn, campaign in enumerate(campaigns[1:]):
            votes = votes_of(row, tree_of(campaign))
            assert np.isnan(votes).all() if index % 2 != turn else not np.isnan(votes).any()


def test_every_campaign_and_every_tree_of_ones_own_has_a_cache_of_its_own(tmp_path):
    one_question = {
        "name": "mine",
        "questions": [
            {
                "name": "look",
                "answers": ["smooth", "featured", "star"],
                "concepts": ["smooth", "featured", "not-a-galaxy"],
            },
            {
                "name": "thin",
                "answers": ["yes", "no"],
                "concepts": ["edge-on", "not-edge-on"],
                "parents": [["look", "featured"]],
            },
            {
                "name": "arms",
                "answers": ["yes", "no"],
                "concepts": ["spiral", "spiral-none"],
                "parents": [["thin", "no"]],
            },
        ],
    }
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps(one_question))
    campaigns = ["gz2", "gz_desi", "gz_decals_dr5", "gz_desi,gz_decals_dr5"]
    folders = [simulated.simulated_dataset(2, 0, wanted_trees(campaign)) for campaign in campaigns]
    folders.append(simulated.simulated_dataset(2, 0, wanted_trees(None, str(mine))))
    one_question["questions"][2]["answers"] = ["arms", "none"]
    mine.write_text(json.dumps(one_question))
    folders.append(simulated.simulated_dataset(2, 0, wanted_trees(None, str(mine))))
    assert len(set(folders)) == len(folders)
    assert simulated.simulated_dataset(2, 0, wanted_trees("gz_desi")) == folders[1]
    assert folders[0].name == f"simulated-v{simulated.VERSION}-2-0"


@pytest.mark.parametrize(
    ("campaign", "message"),
    [("gz_hubble", "clump-count-hubble"), ("galaxy_mnist", "label"), ("gz_dessi", "gz_dessi")],
)
def test_a_campaign_that_is_not_simulated_is_refused_before_a_galaxy_is_drawn(campaign, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        simulated.simulated_dataset(3, 0, wanted_trees(campaign))
    assert not list(tmp_path.rglob("*.parquet"))
