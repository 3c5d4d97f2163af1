"""The builders on the real files of Galaxy Zoo: what only those can show."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import build

from galaxy_vision.data.splits import split_of
from galaxy_vision.models.decision_tree import (
    ANSWERS,
    KAGGLE_COLUMNS,
    conditional_fractions,
    kaggle_from_conditional,
)

DATA = Path(os.environ.get("GALAXY_VISION_DATA", "not set"))
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="GALAXY_VISION_DATA does not name the folder of the real files"),
]
GZ2 = {
    "images": DATA / "galaxy_zoo_2" / "images_gz2.zip",
    "labels": DATA / "galaxy_zoo_2" / "gz2_hart16.csv.gz",
    "mapping": DATA / "galaxy_zoo_2" / "gz2_filename_mapping.csv",
}
CHALLENGE = {
    "images": DATA / "galaxy_zoo_challenge" / "images_training_rev1.zip",
    "labels": DATA / "galaxy_zoo_challenge" / "training_solutions_rev1.csv",
}


def no_galaxy_is_in_two_splits(data) -> bool:
    """Neither an id nor an image: the same bytes under two ids would be a leak too."""
    places: dict[str, set[str]] = {}
    for split, rows in data.items():
        for row in rows.select_columns(["id", "image"]).with_format("arrow").iter(500):
            images = row["image"].combine_chunks().field("bytes").to_pylist()
            for key in [*row["id"].to_pylist(), *(hashlib.blake2b(image).hexdigest() for image in images)]:
                places.setdefault(key, set()).add(split)
    return all(len(splits) == 1 for splits in places.values())


@pytest.fixture(scope="module")
def gz2(tmp_path_factory):
    return build("galaxy_zoo_2", tmp_path_factory.mktemp("gz2") / "out", **GZ2)


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    return build("galaxy_zoo_challenge", tmp_path_factory.mktemp("challenge") / "out", **CHALLENGE)


def test_every_galaxy_of_gz2_arrives_with_its_published_fractions(gz2):
    rows = {row["id"]: row for part in gz2.values() for row in part.remove_columns("image").with_format("numpy")}
    table = pd.read_csv(GZ2["labels"], dtype={"dr7objid": str}).set_index("dr7objid")
    assert len(rows) == len(table) == 600
    published = table[[f"{answer}_weighted_fraction" for answer in ANSWERS]]
    for galaxy_id, row in rows.items():
        fractions, known = conditional_fractions(row["votes"]), published.loc[galaxy_id].to_numpy()
        asked = ~np.isnan(fractions)
        assert np.allclose(fractions[asked], known[asked], atol=2e-3)  # three digits, and some sum to .999
        assert row["gz2_class"] == table.loc[galaxy_id, "gz2_class"]


def test_every_galaxy_of_the_challenge_arrives_with_its_published_values(challenge):
    rows = {row["id"]: row for part in challenge.values() for row in part.remove_columns("image").with_format("numpy")}
    table = pd.read_csv(CHALLENGE["labels"], dtype={"GalaxyID": str}).set_index("GalaxyID")[list(KAGGLE_COLUMNS)]
    assert len(rows) == len(table) == 7053
    votes = np.stack([rows[galaxy_id]["votes"] for galaxy_id in table.index])
    error = np.abs(kaggle_from_conditional(conditional_fractions(votes)) - table.to_numpy())
    assert error.max() < 1e-3


@pytest.mark.parametrize("name", ["gz2", "challenge"])
def test_no_galaxy_is_in_two_splits(name, request):
    data = request.getfixturevalue(name)
    assert all({split_of(key) for key in rows["id"]} == {split} for split, rows in data.items())
    assert no_galaxy_is_in_two_splits(data)
    shares = np.array([len(data[split]) for split in ("train", "validation", "test")]) / sum(map(len, data.values()))
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.05)
