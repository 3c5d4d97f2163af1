"""Images of the same field of the sky are found under other ids, and left out of evaluations."""

import io
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from datasets import Dataset, Features, Image
from PIL import Image as PILImage

from galaxy_vision.cli import main as cli
from galaxy_vision.data.twins import without_twins

FEATURES = Features({"image": Image()})


def rows(images: list[bytes]) -> Dataset:
    return Dataset.from_list([{"image": {"bytes": data, "path": None}} for data in images], features=FEATURES)


def smaller(data: bytes) -> bytes:
    """Return the same field with half the pixels on a side and another JPEG quality."""
    image = PILImage.open(io.BytesIO(data))
    file = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(file, "JPEG", quality=90)
    return file.getvalue()


def test_twins_are_found_at_another_size_and_quality_and_nothing_else_is(galaxies):
    images = [data for data, _, _ in galaxies]
    kept = without_twins(rows(images[:30]), rows([smaller(data) for data in images[20:]]))
    assert [row["image"]["bytes"] for row in kept.cast_column("image", Image(decode=False))] == images[:20]


def test_a_data_set_of_twins_only_is_refused(galaxies):
    images = [data for data, _, _ in galaxies[:5]]
    with pytest.raises(ValueError, match="all 5 images are in the other data set too"):
        without_twins(rows(images), rows([smaller(data) for data in images]))


def test_an_evaluation_of_the_whole_data_set_leaves_twins_out(
    classifier_run, challenge_files, galaxies, tmp_path, capsys
):
    script = [sys.executable, str(REPOSITORY / "datasets_scripts" / "galaxy_zoo_challenge.py")]
    inputs = ["--images", str(challenge_files["images"]), "--labels", str(challenge_files["labels"])]
    subprocess.run([*script, *inputs, "--output_dir", str(tmp_path / "challenge")], check=True, capture_output=True)
    for name in ("a", "b"):
        (tmp_path / "learned" / name).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "learned" / name / f"{name}{number}.jpg").write_bytes(
                smaller(galaxies[number + 10 * (name == "b")][0])
            )
    evaluate = ["evaluate", "--model", str(classifier_run[0]), "--dataset", str(tmp_path / "challenge")]
    evaluate += ["--split", "all"]
    assert cli([*evaluate, "--without_twins_of", str(tmp_path / "learned"), "--rotations", "4"]) == 0
    output = capsys.readouterr().out
    first, second = output.splitlines()[:2]
    assert first.endswith(": 40 galaxies") and second.startswith("20 more are in")
