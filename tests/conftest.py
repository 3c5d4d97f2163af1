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
from datasets import load_dataset

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


def train(name: str, *argv: str) -> dict:
    """The real main([...]) of a training script."""
    return load_script(name).main(list(argv))


def builder(name: str):
    """The main([...]) of a script of ``datasets_scripts``."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "datasets_scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def build(name: str, output_dir, **arguments):
    """The data set that a builder writes."""
    argv = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
    builder(name)([*argv, "--output_dir", str(output_dir)])
    return load_dataset(str(output_dir))


def jpeg(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="session")
def galaxies():
    """60 simulated galaxies with their JPEG bytes."""
    drawn = [simulate_galaxy(1, index) for index in range(NUM_GALAXIES)]
    return [(jpeg(galaxy.image), galaxy.votes, galaxy.num_classifications) for galaxy in drawn]


FEW = ["--num_simulated", "200", "--image_size", "32", "--backbone", "resnet10t", "--epochs", "2", "--batch_size", "40"]
FEW += ["--mixed_precision", "no", "--drop_rate", "0.1"]
CAPTIONER = [*FEW[:2], "--batch_size", "40", "--mixed_precision", "no", "--epochs", "2", "--hidden_size", "32"]
CAPTIONER += ["--frozen_epochs", "1", "--max_new_tokens", "12", "--teacher_share", "0.5"]


@pytest.fixture(scope="session")
def classifier_run(tmp_path_factory):
    """Folder and results of a short training of the classifier, shared by all tests: leave the folder as it is."""
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    return folder, train("train_classifier", *FEW, "--output_dir", str(folder))


@pytest.fixture(scope="session")
def captioner_run(tmp_path_factory, classifier_run):
    """Folder and results of a short training of the captioner on that classifier's backbone: leave the folder as it is."""
    folder = tmp_path_factory.mktemp("runs") / "captioner"
    return folder, train("train_captioner", *CAPTIONER, "--encoder", str(classifier_run[0]), "--output_dir", str(folder))


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory):
    """The demo with tiny models, shared by all tests: its address and its folder. When it is stopped no upload is left."""
    from space_server import save_tiny_models, start_server

    folder = tmp_path_factory.mktemp("space")
    process, address = start_server(folder, save_tiny_models(folder))
    yield address, folder
    process.terminate()
    process.wait(120)
    assert not [path for path in (folder / "cache").rglob("*") if path.is_file()]


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
