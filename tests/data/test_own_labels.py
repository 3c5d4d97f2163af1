"""Labels of one's own: recognised from the columns, cleaned with a count of what is left out, and split by class."""

import csv
import io
import zipfile
from collections import Counter

import numpy as np
import pytest
from astropy.table import Table
from datasets import ClassLabel
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.missing_splits import folds_of
from galaxy_vision.data.own_tasks import OwnLabels, recognise

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with images ``im/g0.png`` to ``im/g39.png``."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "im").mkdir()
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "im" / f"g{index}.png")
    return folder


def table(folder, header, rows, name="mine.csv"):
    """Write a table, and return its path."""
    with open(folder / name, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(folder / name)


def of_images(*columns):
    """Rows of a table, the first cell the path of an image and the others functions of its number."""
    return [[f"im/g{index}.png", *(column(index) for column in columns)] for index in range(COUNT)]


TABLES = {
    "classes": (["path", "label"], (lambda i: "ab"[i % 2],), "single_label", ("label",)),
    "a column of 0 and 1": (["path", "ring"], (lambda i: i % 2,), "single_label", ("ring",)),
    "several columns of 0 and 1": (
        ["path", "ring", "bar"],
        (lambda i: i % 2, lambda i: i // 2 % 2),
        "multi_label",
        ("ring", "bar"),
    ),
    "lists": (["path", "labels"], (lambda i: ["ring;bar", "bar", ""][i % 3],), "multi_label", ("labels",)),
    "numbers": (["path", "z"], (lambda i: i / 7,), "regression", ("z",)),
    "counts": (
        ["path", "polar_yes", "polar_no"],
        (lambda i: i % 5, lambda i: 5 - i % 5),
        "counts",
        ("polar_yes", "polar_no"),
    ),
    "T-types": (["path", "type"], (lambda i: i % 5,), "single_label", ("type",)),
    "a text beside a number": (
        ["path", "kind", "mag"],
        (lambda i: "ab"[i % 2], lambda i: i / 3),
        "single_label",
        ("kind",),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_task_is_recognised_by_the_columns(name, folder):
    header, columns, kind, taken = TABLES[name]
    data = load_galaxies(table(folder, header, of_images(*columns)))
    assert (data.task.kind, data.task.columns) == (kind, taken)
    assert sum(map(len, data.values())) == COUNT and all(len(rows) for rows in data.values())


def test_labels_and_numbers_have_the_names_of_their_columns_and_the_values_of_their_cells(folder):
    header, columns, *_ = TABLES["several columns of 0 and 1"]
    data = load_galaxies(table(folder, header, of_images(*columns)))
    for rows in data.values():
        for galaxy, label in zip(rows["id"], rows["label"], strict=True):
            index = int(galaxy[1:])
            assert label == {"ring": index % 2, "bar": index // 2 % 2}
    lists = load_galaxies(table(folder, *[TABLES["lists"][0], of_images(*TABLES["lists"][1])]))
    assert {tuple(label.values()) for label in lists["train"]["label"]} == {(1.0, 1.0), (1.0, 0.0), (0.0, 0.0)}


def test_counts_are_votes_on_a_tree_of_one_question_for_each_group_of_columns(folder):
    columns = (lambda i: i % 4, lambda i: 3 - i % 4, lambda i: 2, lambda i: i % 3, lambda i: 9)
    header = ["path", "polar_yes", "polar_no", "dust_none", "dust_lane", "dust_patches"]
    data = load_galaxies(table(folder, header, of_images(*columns)))
    assert list(data.trees) == ["polar", "dust"] and data.trees["dust"].answers[1] == ("dust", "lane")
    row = data["test"][0]
    index = int(row["id"][1:])
    assert list(row["votes"]) == [index % 4, 3 - index % 4, 2, index % 3, 9]


def test_the_task_and_the_columns_can_be_forced(folder):
    path = table(folder, ["path", "type", "mag"], of_images(lambda i: i % 5, lambda i: i / 3))
    numbers = load_galaxies(path, own=OwnLabels("regression", ("type",)))
    assert numbers.task.kind == "regression" and list(numbers["train"].features["label"]) == ["type"]
    assert load_galaxies(path, own=OwnLabels(columns=("mag",))).task.kind == "regression"
    with pytest.raises(ValueError, match="label_columns='size' is not a column of .*; it has .*type, mag"):
        load_galaxies(path, own=OwnLabels(columns=("size",)))


def test_a_fits_table_a_votable_and_a_zip_are_read_as_a_csv_is(folder, tmp_path):
    rows = Table({"path": [f"im/g{i}.png" for i in range(COUNT)], "z": np.arange(COUNT) / 3.0})
    for name, kind in (("mine.fits", "fits"), ("mine.vot", "votable"), ("mine.ecsv", "ascii.ecsv")):
        rows.write(folder / name, format=kind, overwrite=True)
        data = load_galaxies(str(folder / name))
        values = {
            galaxy: label["z"]
            for part in data.values()
            for galaxy, label in zip(part["id"], part["label"], strict=True)
        }
        assert values == {f"g{i}": pytest.approx(i / 3) for i in range(COUNT)}
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for index in range(COUNT):
            archive.write(folder / "im" / f"g{index}.png", f"{'ab'[index % 2]}/g{index}.png")
        archive.writestr("__MACOSX/a/g0.png", b"")
    data = load_galaxies(str(tmp_path / "mine.zip"))
    assert data["train"].features["label"] == ClassLabel(names=["a", "b"]) and sum(map(len, data.values())) == COUNT


def test_a_zip_writes_nothing_outside_of_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../x.png", b"x")
    with pytest.raises(ValueError, match="has a member '../../x.png', which lies outside of it"):
        load_galaxies(str(tmp_path / "bad.zip"))


def test_what_is_left_out_is_counted_and_listed(folder):
    rows = of_images(lambda i: ["Spiral", "round", "spiral "][i % 3])
    rows[0][1] = "unique"
    rows[3][1] = ""
    rows += [["im/none.png", "round"], ["im/g1.png", "round"], ["", "round"]]
    data = load_galaxies(table(folder, ["path", "label"], rows))
    assert data.notes == (
        "left out, 1 row: the image is not there (im/none.png)",
        "left out, 1 row: an earlier row names the same image (im/g1.png)",
        "left out, 1 row: no image is named",
        "left out, 1 row: no label (g3)",
        "left out, 1 row: the only image of its class; unique (g0)",
        "the classes 'Spiral', 'spiral ' are taken for one, 'spiral'",
    )
    assert data["train"].features["label"].names == ["round", "spiral"]


def test_numbers_that_are_none_are_left_out_and_text_among_numbers_is_refused(folder):
    rows = of_images(lambda i: ["nan", "inf", i / 3][i % 3])
    data = load_galaxies(table(folder, ["path", "z"], rows), own=OwnLabels("regression"))
    assert sum(map(len, data.values())) == COUNT // 3
    assert [note.split(" (")[0] for note in data.notes] == [
        "left out, 14 rows: no label",
        "left out, 13 rows: a number that is not finite",
    ]
    rows[2][1] = "far"
    with pytest.raises(ValueError, match="column z: 'far' is not a number; mend or remove the row"):
        load_galaxies(table(folder, ["path", "z"], rows), own=OwnLabels("regression", ("z",)))


REFUSED = {
    "one class": (["path", "label"], lambda i: "one", "has only one class .one.; add a second one"),
    "no label": (["path", "label"], lambda i: "", "no row of .* has a label in column label; label some"),
    "a class an image": (["path", "label"], lambda i: f"c{i}", "has another value in every row; classes are 2 to 1000"),
    "no path": (["picture", "label"], lambda i: "a", "none is a path of an image; name it one of image, path"),
    "names": (["path", "name"], lambda i: f"galaxy {i}", "has another value in every row"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_of_which_nothing_can_be_learned_is_refused_in_a_sentence(name, folder):
    header, column, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as refused:
        load_galaxies(table(folder, header, of_images(column)))
    assert "\n" not in str(refused.value)


def test_ten_thousand_classes_are_refused_in_a_sentence():
    from datasets import Dataset, DatasetDict

    from galaxy_vision.data.own_labels import with_own_labels

    labels = [f"c{index // 2}" for index in range(20_000)]
    data = DatasetDict(train=Dataset.from_dict({"id": [str(i) for i in range(20_000)], "label": labels}))
    with pytest.raises(ValueError, match="column 'label' of mine has 10,000 different values; classes are 2 to 1000"):
        with_own_labels(data, "mine")


def test_images_that_are_not_there_are_refused_with_the_folder_that_was_looked_in(folder, tmp_path):
    path = table(tmp_path, ["path", "label"], of_images(lambda i: "ab"[i % 2]))
    with pytest.raises(ValueError, match="none of its 40 images is in .*, such as im/g0.png; give .* by --image_root"):
        load_galaxies(path)
    assert sum(map(len, load_galaxies(path, own=OwnLabels(image_root=str(folder))).values())) == COUNT


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("aaaabbc"), min_size=12, max_size=200))
def test_every_class_of_few_rows_has_its_share_in_every_fold(labels):
    from datasets import Dataset, Value

    rows = Dataset.from_dict({"id": [f"g{i}" for i in range(len(labels))], "label": labels})
    rows = rows.cast_column("label", Value("string"))
    folds = folds_of(rows, 5)
    assert np.array_equal(folds, folds_of(rows, 5))
    for name in set(labels):
        counts = Counter(folds[np.array(labels) == name].tolist())
        assert max(counts.values()) - min([counts.get(fold, 0) for fold in range(5)]) <= 1


def test_few_rows_are_split_by_class_and_rows_of_one_name_stay_together(folder):
    rows = of_images(lambda i: "rare" if i < 4 else "common")
    data = load_galaxies(table(folder, ["path", "label"], rows))
    names = data["train"].features["label"].names
    counts = {split: Counter(names[label] for label in part["label"]) for split, part in data.items()}
    assert counts["test"] == {"rare": 1, "common": 7} and counts["validation"]["common"] == 4


@given(st.dictionaries(st.text("abc_", min_size=1), st.lists(st.text("01.;xy-", max_size=4), min_size=3, max_size=3)))
def test_any_table_has_a_task_or_is_refused_in_a_sentence(columns):
    try:
        task = recognise(columns, "mine")
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert set(task.columns) <= set(columns) and str(task).startswith("task ")


def test_a_damaged_table_is_refused_in_a_sentence(folder):
    (folder / "bad.fits").write_bytes(b"SIMPLE  =" + b"x" * 100)
    (folder / "bad.zip").write_bytes(b"PK" + io.BytesIO(b"x" * 50).read())
    for name, message in (("bad.fits", "is not a table that can be read"), ("bad.zip", "is not a complete zip file")):
        with pytest.raises(ValueError, match=message):
            load_galaxies(str(folder / name))
