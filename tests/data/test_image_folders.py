"""Folders of images: their classes, splits and ids, and the messages about other files."""

import io
import json
import unicodedata

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from conftest import build
from PIL import Image

from galaxy_vision.data.batches import cache_pixels
from galaxy_vision.data.checks import fingerprint_of
from galaxy_vision.data.image_folders import check_classes, folder_labels, load_image_folder
from galaxy_vision.data.load import load_galaxies, read_image
from galaxy_vision.data.splits import split_name
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor


def picture(path, value: int = 0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), (value % 256, value // 256, 90)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes 40 images of unique names into each of some folders, and returns their parent."""

    def write(*folders: str, start: int = 0):
        for number, name in enumerate(folders):
            for index in range(40):
                picture(tmp_path / "images" / name / f"g{start + 40 * number + index}.png", index)
        return tmp_path / "images"

    return write


def labels(data) -> dict[str, str]:
    """Return the names of the classes by the stems of the files, over all splits."""
    names_by_stem = {}
    for rows in data.values():
        names = rows.features["label"].names
        paths = [row["path"] for row in rows.with_format("arrow")[:]["image"].to_pylist()]
        names_by_stem |= {
            path.rpartition("/")[2].partition(".")[0]: None if label is None else names[label]
            for path, label in zip(paths, rows["label"], strict=True)
        }
    return names_by_stem


@pytest.mark.parametrize(
    "name, split",
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN", "train"),
        ("TrainImages", "train"),
        ("images_training_rev1", "train"),
        ("valid", "validation"),
        ("dev-set", "validation"),
        ("val2017", "validation"),
        ("Testing", "test"),
        ("hold-out", "test"),
        ("test-00000-of-00001", "test"),
        ("latest", None),
        ("trained", None),
        ("spiral", None),
        ("train_test", None),
        ("", None),
    ],
)
def test_a_name_says_its_split_by_a_word(name, split):
    assert split_name(name) == split


def test_nested_class_folders_are_classes_of_their_whole_path(folder):
    data = load_galaxies(str(folder("spiral/barred", "spiral/plain", "round")))
    assert data["train"].features["label"].names == ["round", "spiral/barred", "spiral/plain"]
    names_by_stem = labels(data)
    assert [names_by_stem[f"g{index}"] for index in (0, 40, 80)] == ["spiral/barred", "spiral/plain", "round"]
    assert len(names_by_stem) == 120


@pytest.mark.parametrize("above", ["galaxies", "data/galaxies", "images_training_rev1", "train"])
def test_folders_that_all_images_lie_in_say_nothing(folder, above):
    data = load_galaxies(str(folder(f"{above}/spiral", f"{above}/round")))
    assert data["train"].features["label"].names == ["round", "spiral"]
    assert sum(map(len, data.values())) == 80


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/{label}",
        "archive/{split}/{label}",
        "{split}/images/{label}",
        "{label}/{split}",
        "{split}_images/{label}",
    ],
)
@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("train", "holdout")])
def test_splits_of_any_spelling_are_kept_and_what_is_missing_is_cut_from_train(folder, layout, names):
    paths = [layout.format(split=split, label=label) for split in names for label in ("round", "spiral")]
    data = load_galaxies(str(folder(*paths)))
    assert len(data["test"]) == 80 and len(data["train"]) + len(data["validation"]) == 80 and len(data["validation"])
    names_by_stem = labels(data)
    assert {int(stem[1:]) // 40 % 2: label for stem, label in names_by_stem.items()} == {0: "round", 1: "spiral"}
    assert {int(stem[1:]) // 80 for stem in labels({"test": data["test"]})} == {1}


def test_names_of_files_do_not_make_splits(folder):
    images = folder("spiral", "round")
    picture(images / "spiral" / "test_1.png")
    picture(images / "round" / "validation-2.png")
    data = load_image_folder(images)
    assert list(data) == ["train"] and len(data["train"]) == 82


def test_hidden_system_and_empty_folders_are_not_classes(folder):
    images = folder("spiral", "round")
    for name in (".git", ".ipynb_checkpoints", "__MACOSX/spiral", "@eaDir", "spiral/@eaDir", "lost+found", "#recycle"):
        picture(images / name / "x.png")
    picture(images / "spiral" / "._g1.png")
    (images / "empty").mkdir()
    (images / "notes").mkdir()
    (images / "notes" / "about.txt").write_text("x")
    data = load_galaxies(str(images))
    assert data["train"].features["label"].names == ["round", "spiral"]
    assert sum(map(len, data.values())) == 80


def test_numbers_as_names_stand_in_their_order(folder):
    data = load_galaxies(str(folder(*map(str, range(11)))))
    assert data["train"].features["label"].names == [str(number) for number in range(11)]


def test_names_are_compared_composed_and_without_spaces_around_them(folder):
    composed = unicodedata.normalize("NFC", "éllipse")
    decomposed = unicodedata.normalize("NFD", composed)
    images = folder(f"train/{composed}", "train/edge on", f"test/{decomposed}", "test/edge on ")
    data = load_galaxies(str(images))
    assert data["train"].features["label"].names == sorted([composed, "edge on"])
    assert labels(data)["g80"] == composed and labels(data)["g120"] == "edge on"


@pytest.mark.parametrize(
    "folders, message",
    [
        (["spiral"], "one class only: its 40 images lie in spiral; put those of each class into a folder of its name"),
        (["train/spiral", "test/spiral"], "one class only"),
        (["."], "one class only: its 40 images lie in no folder"),
        (
            ["spiral", "round", "."],
            "has 40 images beside class folders, such as g100.png beside round; a folder holds images or",
        ),
        (
            ["spiral", "spiral/barred", "round"],
            "has 40 images beside class folders, such as spiral/g0.png beside spiral/barred",
        ),
        (
            ["train/spiral", "train/round", "round"],
            "round/g100.png lies in no folder of a split; put every image into one of train",
        ),
        (["train/test/a", "train/b", "test/a"], "lies in folders of several splits \\(test, train\\)"),
        (["test/spiral", "test/round"], "has the splits test; it needs train"),
        (
            ["train/a", "train/b", "test/a", "test/c"],
            "test of .* has 40 rows of class 'c' \\(first: row 40\\), which train does not",
        ),
    ],
)
def test_folders_that_cannot_be_meant_are_refused_in_one_sentence(folder, folders, message):
    with pytest.raises(ValueError, match=message):
        load_galaxies(str(folder(*folders)))


def test_classes_that_differ_in_case_only_are_said(folder):
    with pytest.warns(UserWarning, match="has the classes 'Spiral' and 'spiral', which differ in case only"):
        load_galaxies(str(folder("spiral", "Spiral", "round")))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "semicolons"])
def test_metadata_is_read_as_text(tmp_path, kind):
    rows = []
    for index in range(60):
        picture(tmp_path / "images" / f"{index}.png", index)
        label = ("01", "NA", "1", None)[index % 4]
        rows.append(
            {"file_name": f"{index}.png", "id": f"{index:05d}", "label": label, "big": 123456789012345678 + index}
        )
    if kind == "jsonl":
        (tmp_path / "images" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        table = pd.DataFrame(rows).rename(columns={"big": "redshift"})
        table.to_csv(
            tmp_path / "images" / "metadata.csv",
            index=False,
            sep=";" if kind == "semicolons" else ",",
            encoding="utf-8-sig",
        )
    data = load_galaxies(str(tmp_path / "images"))
    assert data["train"].features["label"].names == ["01", "1", "NA"]
    ids = {key for rows in data.values() for key in rows["id"]}
    assert ids == {f"{index:05d}" for index in range(60)}
    assert labels(data) == {str(index): ("01", "NA", "1", None)[index % 4] for index in range(60)}
    extra = "big" if kind == "jsonl" else "redshift"
    assert {value for rows in data.values() for value in rows[extra]} == {
        str(123456789012345678 + index) for index in range(60)
    }


def metadata(folder, text: str):
    for index in range(60):
        picture(folder / f"{index}.png", index)
    (folder / "metadata.csv").write_text(text)
    return str(folder)


def test_images_without_a_row_are_counted_and_named(tmp_path):
    lines = ["file_name,label", *(f"{index}.png,{'ab'[index % 2]}" for index in range(57))]
    with pytest.warns(
        UserWarning, match="3 of 60 images have no row in metadata.csv and are left out, such as 57.png, 58.png, 59.png"
    ):
        data = load_galaxies(metadata(tmp_path, "\n".join(lines)))
    assert sum(map(len, data.values())) == 57


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows + ["7.png,a,99"], "names 7.png again in row 60; keep one of its rows"),
        (lambda rows: rows + ["60.png,a,60"], "row 60 of metadata.csv names '60.png', which is not an image there"),
        (lambda rows: rows + ["../outside.png,a,60"], "which is not an image there"),
        (lambda rows: rows + ["/etc/passwd,a,60"], "which is not an image there"),
        (
            lambda rows: [rows[0], "1.png,b,1.23e17", *rows[2:]],
            "row 1 of metadata.csv has id 1.23e17, whose last digits are lost",
        ),
        (lambda rows: [rows[0], "1.png,b,5.87723E+17", *rows[2:]], "has id 5.87723E.17, whose last digits are lost"),
        (
            lambda rows: [f"{index}.png,{index / 4},{index}" for index in range(60)],
            "row 1 of train of .* has label 0.25, which does not",
        ),
        (
            lambda rows: [f"{index}.png,{index % 5 - 3},{index}" for index in range(60)],
            "has label -3, which does not name a class; write names",
        ),
        (lambda rows: ["0.png,a", *rows[1:]], "line 2: 2 cells where the header has 3"),
    ],
)
def test_metadata_that_cannot_be_meant_is_refused_with_its_row(tmp_path, change, message):
    rows = [f"{index}.png,{'ab'[index % 2]},{index}" for index in range(60)]
    with pytest.raises(ValueError, match=message):
        load_galaxies(metadata(tmp_path, "\n".join(["file_name,label,id", *change(rows)])))


def test_numbers_with_gaps_are_the_integers_that_they_were(tmp_path):
    rows = [f"{index}.png,{('0.0', '10.0', '2.0', '', '-1.0')[index % 5]}" for index in range(60)]
    data = load_galaxies(metadata(tmp_path, "\n".join(["file_name,label", *rows])))
    assert data["train"].features["label"].names == ["0", "2", "10"]
    assert labels(data) == {str(index): ("0", "10", "2", None, None)[index % 5] for index in range(60)}


def test_spaces_around_labels_are_not_of_the_name(tmp_path):
    rows = [f"{index}.png,{('spiral', 'spiral ', ' round')[index % 3]}" for index in range(60)]
    data = load_galaxies(metadata(tmp_path, "\n".join(["file_name,label", *rows])))
    assert data["train"].features["label"].names == ["round", "spiral"]


def test_metadata_of_each_split_and_votes_in_it_are_read(tmp_path):
    for split in ("Train", "Val", "Test"):
        lines = ["file_name;id;smooth-or-featured-gz2_smooth;smooth-or-featured-gz2_featured-or-disk"]
        for index in range(20):
            picture(tmp_path / split / "cut" / f"{index}.png", index)
            lines.append(f"cut\\{index}.png;{split}{index};{index};")
        (tmp_path / split / "metadata.csv").write_text("\n".join(lines))
    data = load_galaxies(str(tmp_path))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 20, "validation": 20, "test": 20}
    votes = np.array(data["test"]["votes"])
    assert votes[:, 0].tolist() == list(range(20)) and np.isnan(votes[:, 1:]).all()
    assert data["test"]["id"][3] == "Test3"


def test_the_fingerprint_is_that_of_the_images_and_labels(folder):
    images = folder("spiral", "round")
    first = fingerprint_of(load_image_folder(images)["train"])
    assert fingerprint_of(load_image_folder(images)["train"]) == first
    Image.new("RGB", (13, 12)).save(images / "spiral" / "g1.png")
    second = fingerprint_of(load_image_folder(images)["train"])
    (images / "round" / "g41.png").rename(images / "spiral" / "g41.png")
    assert len({first, second, fingerprint_of(load_image_folder(images)["train"])}) == 3


def deep(path, kind: str):
    """Write a galaxy of one deep channel, brighter to the left, in a file that Pillow misreads or cannot read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    values = 1000 + 10 * rng.standard_normal((24, 24)) + 4000 * np.exp(-(np.arange(24)[None] ** 2) / 40)
    if kind == "fits":
        fits.PrimaryHDU(values.astype(np.float32)).writeto(path)
    elif kind == "png":
        Image.fromarray(values.astype(np.uint16)).save(path)
    elif kind == "alpha":
        Image.fromarray(np.full((24, 24, 4), (200, 100, 50, 0), np.uint8)).save(path)


@pytest.mark.parametrize("kind, suffix", [("fits", "fits"), ("png", "png"), ("alpha", "png")])
def test_deep_and_transparent_images_are_the_same_pixels_from_folder_and_builder(tmp_path, kind, suffix):
    for label in ("a", "b"):
        for index in range(20):
            picture(tmp_path / "images" / label / f"{label}{index}.png")
        deep(tmp_path / "images" / label / f"deep-{label}.{suffix}", kind)
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images")
    rows = [row for part in data.values() for row in part if row["id"] == "deep-a"]
    assert len(rows) == 1 and rows[0]["image"].mode == "RGB"
    loose = load_image_folder(tmp_path / "images")["train"]
    index = [
        row["path"].endswith(f"deep-a.{suffix}") for row in loose.with_format("arrow")[:]["image"].to_pylist()
    ].index(True)
    pixels = np.asarray(read_image(loose, index))
    assert np.array_equal(np.asarray(rows[0]["image"]), pixels)
    assert pixels.std() > 10 if kind != "alpha" else not pixels.any()
    processor = GalaxyImageProcessor(size={"height": 32, "width": 32})
    assert len(cache_pixels(loose, processor)) == len(loose)


def test_a_builder_keeps_files_that_every_reader_decodes_alike(tmp_path):
    for label in ("a", "b"):
        for index in range(10):
            picture(tmp_path / "images" / label / f"{label}{index}.png", index)
    file = io.BytesIO()
    Image.new("L", (12, 12), 77).save(file, "JPEG")
    (tmp_path / "images" / "a" / "grey.jpg").write_bytes(file.getvalue())
    build("class_folders", tmp_path / "out", images=tmp_path / "images")
    kept = {}
    for shard in (tmp_path / "out" / "data").iterdir():
        kept |= {row["id"]: row["image"]["bytes"] for row in pd.read_parquet(shard).to_dict("records")}
    assert kept == {path.stem: path.read_bytes() for path in (tmp_path / "images").rglob("*.*")}


def test_the_rules_hold_for_names_alone():
    assert folder_labels(["x/b/1.jpg", "x\\a\\2.jpg"], "zip") == [(None, "b"), (None, "a")]
    assert folder_labels(["1.jpg"], "zip") == [(None, "")]
    check_classes(["b/1.jpg", "a/2.jpg"], ["b", "a"], "zip")
