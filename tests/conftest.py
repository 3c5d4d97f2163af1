# ruff: noqa: E402
"""Tiny files in the shape of the real ones, and a cache of their own for every test run."""

import importlib.util
import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path

_CACHE = tempfile.TemporaryDirectory(prefix="galaxy-vision-tests-")
os.environ["HF_HOME"] = _CACHE.name  # before datasets is imported
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pandas as pd
import pytest

from galaxy_vision.decision_tree import ANSWERS, KAGGLE_COLUMNS, conditional_fractions, kaggle_from_conditional
from galaxy_vision.simulation import simulate_galaxy

REPOSITORY = Path(__file__).parent.parent
NUM_GALAXIES = 60


def load_script(name: str):
    """A training script as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def jpeg(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="session")
def galaxies():
    """60 simulated galaxies with their JPEG bytes."""
    drawn = [simulate_galaxy(1, index) for index in range(NUM_GALAXIES)]
    return [(jpeg(galaxy.image), galaxy.votes, galaxy.num_classifications) for galaxy in drawn]


@pytest.fixture
def challenge_files(tmp_path, galaxies):
    """Image zip and solutions table of the Galaxy Challenge."""
    ids = [str(100008 + 15 * place) for place in range(len(galaxies))]
    with zipfile.ZipFile(tmp_path / "images_training_rev1.zip", "w") as archive:
        for galaxy_id, (data, _, _) in zip(ids, galaxies, strict=True):
            archive.writestr(f"images_training_rev1/{galaxy_id}.jpg", data)
    votes = np.array([votes for _, votes, _ in galaxies])
    table = pd.DataFrame(kaggle_from_conditional(conditional_fractions(votes)), columns=list(KAGGLE_COLUMNS))
    table.insert(0, "GalaxyID", ids)
    table.to_csv(tmp_path / "training_solutions_rev1.csv", index=False)
    return {"images": tmp_path / "images_training_rev1.zip", "labels": tmp_path / "training_solutions_rev1.csv"}


@pytest.fixture
def gz2_files(tmp_path, galaxies):
    """Image zip, whole hart16-like table with counts, fractions and debiased, and a mapping with rows too many."""
    ids = [str(587722981736120320 + 7 * place) for place in range(len(galaxies))]
    with zipfile.ZipFile(tmp_path / "images_gz2.zip", "w") as archive:
        for place, (data, _, _) in enumerate(galaxies):
            archive.writestr(f"images/{place + 1}.jpg", data)
    votes = np.array([votes for _, votes, _ in galaxies])
    fractions = np.nan_to_num(conditional_fractions(votes))
    columns = {"dr7objid": ids, "sample": "original", "gz2_class": "Er", "total_classifications": [n for *_, n in galaxies]}
    for place, answer in enumerate(ANSWERS):
        columns[f"{answer}_count"] = votes[:, place].astype(int)
        columns[f"{answer}_weighted_fraction"] = fractions[:, place]
        columns[f"{answer}_debiased"] = fractions[:, place]
    pd.DataFrame(columns).to_csv(tmp_path / "gz2_hart16.csv.gz", index=False)
    extra = [str(588000000000000000 + place) for place in range(5)]
    mapping = pd.DataFrame({"objid": ids + extra, "sample": "original", "asset_id": range(1, len(ids) + 6)})
    mapping.to_csv(tmp_path / "gz2_filename_mapping.csv", index=False)
    names = {"images": "images_gz2.zip", "labels": "gz2_hart16.csv.gz", "mapping": "gz2_filename_mapping.csv"}
    return {key: tmp_path / name for key, name in names.items()}
