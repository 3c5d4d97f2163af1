"""``galaxy-vision search`` over what ``galaxy-vision predict`` wrote, from images to a contact sheet."""

import io
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import Table
from catalogues import FIRST_ID, images_in
from PIL import Image

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.cli import main

SENTENCE = "a barred spiral or a <blue> ring, definitely no lens"


def small_model(folder, seed: int = 0) -> str:
    torch.manual_seed(seed)
    GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="test_resnet", image_size=32)).save_pretrained(
        folder
    )
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory, galaxies):
    return images_in(tmp_path_factory.mktemp("images"), galaxies)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory, images):
    folder, model = tmp_path_factory.mktemp("predictions"), small_model(tmp_path_factory.mktemp("model"))
    argv = ["--model", model, "--catalogue", str(images), "--output_dir", str(folder), "--embedding"]
    assert main(["predict", *argv, "--batch_size", "8", "--rows_per_part", "16", "--mixed_precision", "no"]) == 0
    return folder


def test_a_sentence_prints_what_was_understood_and_found(predictions, capsys):
    assert main(["search", str(predictions), SENTENCE, "--limit", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "understood: bar and spiral arms or ring; lens or arc (below 20%)"
    assert lines[1] == "not read: blue" and lines[2].startswith("note: volunteers are not asked about colours (blue)")
    assert lines[3] == "3 of 58 galaxies" and "probability" in lines[4] and len(lines) == 8


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".fits", ".vot"])
def test_rows_are_written_for_pandas_and_astropy(suffix, predictions, tmp_path):
    path = tmp_path / f"found{suffix}"
    assert main(["search", str(predictions), "a ring", "--limit", "5", "--output", str(path)]) == 0
    if suffix in (".csv", ".parquet"):
        rows = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    else:
        rows = Table.read(path).to_pandas()
    assert len(rows) == 5 and rows["score"].is_monotonic_decreasing and rows["p_ring"].between(0, 1).all()
    assert rows["id"].astype(str).str.startswith(str(FIRST_ID)[:15]).all() and "t03_bar_reach" in rows


def test_a_contact_sheet_is_one_file_with_a_tile_for_each_row(predictions, tmp_path, capsys):
    for name in ("found.html", "found.png"):
        argv = ["search", str(predictions), SENTENCE, "--limit", "4", "--gallery", str(tmp_path / name)]
        assert main(argv) == 0 and name in capsys.readouterr().out
    page = (tmp_path / "found.html").read_text()
    thumbnails = re.findall(r'src="data:image/jpeg;base64,', page)
    assert len(thumbnails) == page.count("<li>") == 4 and page.count("<dt>") == 8
    assert "http" not in page and "<blue>" not in page and "&lt;blue&gt;" in page
    with Image.open(tmp_path / "found.png") as sheet:
        assert np.asarray(sheet.convert("L")).std() > 10 and sheet.width > 600


def test_a_gallery_says_where_images_are_missing(predictions, images, tmp_path, capsys):
    moved = tmp_path / "moved"
    images.rename(moved)
    try:
        argv = ["search", str(predictions), "a ring", "--limit", "2", "--gallery", str(tmp_path / "found.html")]
        assert main(argv) == 0 and "cannot be shown" in capsys.readouterr().out
    finally:
        moved.rename(images)
    assert (tmp_path / "found.html").read_text().count("no image") == 2


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_and_mirrored_copy_finds_the_same_galaxies(turns, mirrored, predictions, images, tmp_path, capsys):
    (path,) = images.rglob(f"{FIRST_ID + 3}.jpg")
    pixels = np.rot90(np.asarray(Image.open(path)), turns)
    copy = tmp_path / "copy.png"
    Image.fromarray(pixels[:, ::-1] if mirrored else pixels).save(copy)
    orders = []
    for example in (path, copy):
        output = tmp_path / "found.csv"
        argv = ["search", str(predictions), "--like", str(example), "--limit", "5", "--output", str(output)]
        assert main(argv) == 0
        orders.append(pd.read_csv(output, dtype={"id": str})["id"].tolist())
    assert orders[0] == orders[1]


def test_an_id_finds_itself_first(predictions, tmp_path, capsys):
    assert main(["search", str(predictions), "--like", str(FIRST_ID + 3), "--limit", "1"]) == 0
    assert str(FIRST_ID + 3) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "give a sentence"),
        (["a blue galaxy"], "nothing in 'a blue galaxy' is a claim of gz2"),
        (["a bar", "--campaign", "gz_desi"], "campaign='gz_desi': the catalogue has votes of gz2"),
        (["a bar", "--where", "z < 0.1"], 'where="z < 0.1" is not a condition'),
        (["a bar", "--output", "found.txt"], "--output found.txt does not end with one of .csv, .parquet, .fits, .vot"),
        (["a bar", "--output", "nowhere/found.csv"], "the folder does not exist"),
        (["a bar", "--gallery", "found.gif"], "does not end with .html or .png"),
        (["--like", "nobody"], "'nobody' is neither an image file nor an id"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(argv, sentence, predictions, capsys):
    assert main(["search", str(predictions), *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and sentence in line


def test_another_model_than_that_of_the_catalogue_is_refused(predictions, images, tmp_path, capsys):
    example = str(next(images.rglob(f"{FIRST_ID}.jpg")))
    other = small_model(tmp_path / "other", seed=1)
    assert main(["search", str(predictions), "--like", example, "--model", other]) == 2
    assert "is not the model that made the catalogue" in capsys.readouterr().err


def test_a_damaged_example_is_refused_in_one_line(predictions, tmp_path, capsys):
    example = tmp_path / "damaged.jpg"
    example.write_bytes(b"\xff\xd8\xff" + b"0" * 100)
    assert main(["search", str(predictions), "--like", str(example)]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_nothing_found_is_an_exit_status(predictions, tmp_path, capsys):
    assert main(["search", str(predictions), "a bar", "--where", "id = 'nobody'"]) == 1
    assert "0 of 0 galaxies: nothing was found" in capsys.readouterr().out


def test_a_search_without_duckdb_says_how_to_install_it(predictions, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    assert main(["search", str(predictions), "a bar"]) == 2
    assert "pip install 'galaxy_vision[search]'" in capsys.readouterr().err


def test_predictions_that_are_copied_can_be_searched(predictions, tmp_path, capsys):
    copied = shutil.copytree(predictions, tmp_path / "copied")
    assert main(["search", str(copied), "a bar", "--limit", "1"]) == 0
    assert io.StringIO(capsys.readouterr().out).readline() == "understood: bar\n"
