"""The package as people install it: a wheel, outside of the checkout, with its models."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from galaxy_vision.runtime.shipped import CAPTIONER, CLASSIFIER, model_source

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the wheel was installed, with its scripts in ``bin``."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for folder in ("galaxy_vision", "checkpoints"):
        shutil.copytree(REPOSITORY / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return target


def test_the_wheel_describes_a_galaxy_from_an_empty_folder(installed, galaxies, tmp_path):
    image = tmp_path / "galaxy.jpg"
    image.write_bytes(galaxies[0][0])
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, str(installed / "bin" / "galaxy-vision"), "describe", str(image), "--json"],
        cwd=tmp_path / "empty",
        env=os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    description = json.loads(done.stdout)
    assert description["class"] in description["probabilities"] and description["caption"] and description["votes"]


def test_the_wheel_holds_every_module_and_every_file_of_the_models(installed):
    for folder in ("galaxy_vision", "checkpoints"):
        inside = installed / "galaxy_vision" if folder == "galaxy_vision" else installed / "galaxy_vision" / folder
        of_package, of_models = (
            (".py", ".md", ".html", ".css", ".js"),
            (".safetensors", "config.json", "tokenizer.json"),
        )
        suffixes = of_package if folder == "galaxy_vision" else of_models
        names = [path.relative_to(REPOSITORY / folder) for path in (REPOSITORY / folder).rglob("*")]
        assert not [name for name in names if name.name.endswith(suffixes) and not (inside / name).is_file()]


def test_a_folder_of_the_user_comes_before_the_shipped_model_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(model_source(CLASSIFIER)).is_dir() and Path(model_source(CAPTIONER)).is_dir()
    (tmp_path / CLASSIFIER).mkdir()
    assert model_source(CLASSIFIER) == CLASSIFIER and model_source("someone/galaxies") == "someone/galaxies"
