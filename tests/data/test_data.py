"""Data sets in Parquet tables: labels compare by name, captions are sentences, and ambiguous input is refused."""

import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from PIL import Image as PillowImage

from galaxy_vision.captions.writing import captions_of
from galaxy_vision.data.class_names import sorted_names
from galaxy_vision.data.load import class_counts, load_galaxies
from galaxy_vision.data.parquet_folders import parquet_files
from galaxy_vision.data.references import reference_captions, with_caption_lists
from galaxy_vision.data.votes import with_votes_column
from galaxy_vision.models.decision_tree import NUM_ANSWERS


def png(value: int) -> dict:
    file = io.BytesIO()
    PillowImage.new("RGB", (8, 8), (value % 256, value // 256, 40)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def rows(labels, kind=None, start: int = 0, **columns) -> Dataset:
    """Return a data set of one split; ``kind`` is the feature of ``label``."""
    table = {"image": [png(start + index) for index in range(len(labels))], "label": labels} | columns
    table.setdefault("id", [f"g{start + index}" for index in range(len(labels))])
    data = Dataset.from_dict(table).cast_column("image", Image())
    return data if kind is None else data.cast_column("label", kind)


def parquet(folder, **splits: Dataset) -> str:
    """Write a Parquet file for each split, named after it, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in splits.items():
        part.to_parquet(folder / f"{split}.parquet")
    return str(folder)


def labels(data: DatasetDict) -> dict[str, str]:
    """Return the names of the classes by the ids of the rows."""
    names = {split: part.features["label"].names for split, part in data.items()}
    return {
        key: None if label is None or label < 0 else names[split][label]
        for split, part in data.items()
        for key, label in zip(part["id"], part["label"], strict=True)
    }


ABC, CAB = ClassLabel(names=["a", "b", "c"]), ClassLabel(names=["c", "a", "b"])


@pytest.mark.parametrize("saved", ["parquet", "one split", "save_to_disk"])
def test_labels_compare_by_name_where_files_order_their_classes_differently(tmp_path, saved):
    train, test = rows(list("abc") * 20, ABC), rows(list("abc") * 5, CAB, start=100)
    assert test["label"][:3] == [1, 2, 0]
    if saved == "save_to_disk":
        DatasetDict(train=train, test=test).save_to_disk(tmp_path / "data")
        name = str(tmp_path / "data")
    else:
        second = {"train-1": test} if saved == "one split" else {"test": test}
        name = parquet(
            tmp_path / "data", **({"train-0": train} if saved == "one split" else {"train": train}), **second
        )
    data = load_galaxies(name)
    assert data["train"].features["label"] == data["test"].features["label"] == ABC
    assert labels(data) == {f"g{index}": "abc"[index % 3] for index in range(60)} | {
        f"g{100 + index}": "abc"[index % 3] for index in range(15)
    }


@pytest.mark.parametrize(
    "train, test",
    [
        ((list("abc") * 20, ABC), (list("abc") * 5, None)),
        ((list("abc") * 20, None), (list("abc") * 5, CAB)),
        ((["1", "2", "10"] * 20, None), ([1, 2, 10] * 5, None)),
        (([1, 2, 10] * 20, None), ([1.0, 2.0, 10.0] * 5, None)),
        (([1.0, 2.0, None] * 20, None), ([1, 2, -1] * 5, None)),
        ((["a", "b ", "é"] * 20, None), (["a", " b", "e\u0301"] * 5, None)),
    ],
)
def test_labels_of_any_kind_compare_by_name(tmp_path, train, test):
    data = load_galaxies(parquet(tmp_path / "data", train=rows(*train), test=rows(*test, start=100)))
    names_by_id = labels(data)
    assert [names_by_id[f"g{index}"] for index in range(3)] == [names_by_id[f"g{100 + index}"] for index in range(3)]
    assert data["train"].features == data["test"].features == data["validation"].features


def test_classes_of_any_type_are_read_from_pandas_too(tmp_path):
    table = rows(list("ab") * 30).with_format("arrow")[:]
    table = table.set_column(
        table.column_names.index("label"), "label", table["label"].combine_chunks().dictionary_encode()
    )
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "train.parquet")
    assert labels(load_galaxies(str(tmp_path / "data"))) == {f"g{index}": "ab"[index % 2] for index in range(60)}


def outside(value: int, count: int = 5) -> Dataset:
    """Return a split whose fifth row has a label outside its classes."""
    made = rows(list("abc") * count, ABC, start=100)
    table = made.data.table
    values = table["label"].to_pylist()
    values[4] = value
    return Dataset(
        table.set_column(table.column_names.index("label"), "label", pa.array(values, pa.int64())).cast(table.schema)
    )


@pytest.mark.parametrize("form", ["same", "other order"])
@pytest.mark.parametrize("value", [3, 99, -2])
def test_a_label_that_is_not_a_class_is_refused_with_its_row(tmp_path, value, form):
    train = rows(list("abc") * 20, ABC if form == "same" else CAB)
    name = parquet(tmp_path / "data", train=train, test=outside(value))
    with pytest.raises(
        ValueError, match=f"row 4 of test of .* has label {value}, and its classes are 0 to 2 \\(a, b, c\\)"
    ):
        load_galaxies(name)


def test_minus_one_is_no_label_in_every_form(tmp_path):
    forms = (outside(-1, 20), rows(["0", "1", "-1"] * 20), rows([0, 1, -1] * 20), rows([0.0, 1.0, None] * 20))
    for number, split in enumerate(forms):
        names_by_id = labels(load_galaxies(parquet(tmp_path / str(number), train=split)))
        assert len(names_by_id) == 60 and list(names_by_id.values()).count(None) == (20 if number else 1)


@pytest.mark.parametrize(
    "train, test, message",
    [
        (
            (list("ab") * 30, ClassLabel(names=["a", "b"])),
            (list("abc") * 5, ABC),
            "test .* has 5 rows of class 'c' \\(first: row 2\\)",
        ),
        (
            (list("ab") * 30, None),
            (["a", "d", None], None),
            "has 1 rows of class 'd' \\(first: row 1\\), which train does not have \\(a, b\\)",
        ),
        (([0, 1] * 30, None), ([0, 7], None), "has 1 rows of class '7'"),
        (
            (list("ab") * 30, ClassLabel(names=["a", "b"])),
            ([0, 1], None),
            "has 1 rows of class '0'|has 1 rows of class '1'",
        ),
        (([True, False] * 30, None), ([True], None), "holds bool values; it needs names of classes, or integers"),
        ((["a"] * 60, None), (["a"], None), "has only one class \\(a\\); add a second one"),
        (([None] * 30 + [""] * 30, Value("string")), (["", None], None), "has 0 different values"),
        (
            ([-5, -3, 1] * 20, None),
            ([1], None),
            "row 0 of train of .* has label -5, which does not name a class; write names",
        ),
        (([0.5, 1.0] * 30, None), ([1.0], None), "row 0 of train of .* has label 0.5"),
    ],
)
def test_classes_that_cannot_be_meant_are_refused(tmp_path, train, test, message):
    with pytest.raises(ValueError, match=message):
        load_galaxies(parquet(tmp_path / "data", train=rows(*train), test=rows(*test, start=100)))


@pytest.mark.parametrize(
    "names, splits",
    [
        (("Train", "Test"), {"train", "test"}),
        (("galaxies_training", "galaxies_testing"), {"train", "test"}),
        (("data/Train/0", "data/holdout/0"), {"train", "test"}),
        (("training_data/train", "training_data/test"), {"train", "test"}),
        (("part-0", "part-1"), {"train"}),
    ],
)
def test_parquet_files_of_any_spelling_are_their_splits(tmp_path, names, splits):
    for number, name in enumerate(names):
        path = tmp_path / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows(list("ab") * 30, start=100 * number).to_parquet(path)
    data = load_galaxies(str(tmp_path / "data"))
    assert sum(map(len, data.values())) == 120 and set(data) == {"train", "validation", "test"}
    if "test" in splits:
        assert set(data["test"]["id"]) == {f"g{100 + index}" for index in range(60)}


def test_hidden_and_system_files_beside_parquet_files_are_not_read(tmp_path):
    name = parquet(tmp_path / "data", train=rows(list("ab") * 30), test=rows(list("ab"), start=100))
    for path in (
        ".ipynb_checkpoints/train.parquet",
        "@eaDir/test.parquet",
        "__MACOSX/train.parquet",
        "._train.parquet",
    ):
        (tmp_path / "data" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / path).write_bytes(b"x")
    assert len(load_galaxies(name)["test"]) == 2
    hidden = tmp_path / ".cache" / "data"
    shutil.copytree(tmp_path / "data", hidden)  # this path is given by the user
    assert len(load_galaxies(str(hidden))["test"]) == 2


def test_files_and_splits_that_contradict_each_other_are_named(tmp_path):
    name = parquet(tmp_path / "one", train=rows(list("ab") * 30), test=rows(list("ab")), catalogue=rows(list("ab")))
    with pytest.raises(ValueError, match="files of the splits test, train, and 1 of none, such as catalogue.parquet"):
        load_galaxies(name)
    DatasetDict(train=rows(list("ab") * 30), val=rows(["a"]), valid=rows(["b"])).save_to_disk(tmp_path / "two")
    with pytest.raises(ValueError, match="has the splits train, val, valid, of which several mean validation"):
        load_galaxies(str(tmp_path / "two"))
    for number, (train, test) in enumerate((((), ("label",)), (("id",), ()))):
        parts = {"train": rows(list("ab") * 30).remove_columns(train), "test": rows(list("ab")).remove_columns(test)}
        lacks, has = ("test", "train") if test else ("train", "test")
        with pytest.raises(
            ValueError, match=f"{lacks}.parquet of .* has no column .*, which {has}.parquet has; give all files"
        ):
            load_galaxies(parquet(tmp_path / f"three{number}", **parts))
    name = parquet(
        tmp_path / "four", train=rows(list("ab") * 30, size=[1] * 60), test=rows(list("ab"), size=["x", "y"])
    )
    with pytest.raises(ValueError, match="files of dataset=.* do not fit together .*give all files the same columns"):
        load_galaxies(name)


def test_what_save_to_disk_wrote_is_loaded(tmp_path):
    rows(list("ab") * 30).save_to_disk(tmp_path / "one")
    DatasetDict(Train=rows(list("ab") * 30), val=rows(list("ab"), start=100)).save_to_disk(tmp_path / "more")
    assert labels(load_galaxies(str(tmp_path / "one"))) == {f"g{index}": "ab"[index % 2] for index in range(60)}
    assert set(load_galaxies(str(tmp_path / "more"))["validation"]["id"]) == {"g100", "g101"}


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"id": [1.5e17] * 60}, "column `id` is of floats, which cannot hold 18 digits"),
        ({"votes": [[1.0] * 36] * 60}, "row 0 .* has 36 votes; it needs one for each of the 37 answers"),
        ({"votes": [[1.0] * 37] * 59 + [[-1.0] * 37]}, "row 59 .id g59. has -1 votes for an answer"),
        ({"votes": ["many"] * 60}, "column `votes` holds string values; it needs lists of 37 numbers"),
    ],
)
def test_columns_that_cannot_be_meant_are_named(tmp_path, columns, message):
    with pytest.raises(ValueError, match=f"train of dataset=.*{message}"):
        load_galaxies(parquet(tmp_path / "data", train=rows(list("ab") * 30, **columns)))


def test_a_data_set_without_images_or_rows_is_named(tmp_path):
    name = parquet(tmp_path / "none", train=rows(list("ab") * 30).remove_columns("image"))
    with pytest.raises(ValueError, match="train of dataset=.* has columns .'label', 'id'.; it needs `image`"):
        load_galaxies(name)
    name = parquet(tmp_path / "empty", train=rows(list("ab") * 30), test=rows(list("ab")).select([]))
    with pytest.raises(
        ValueError, match="dataset=.* has a split without rows .*; remove its files, and it is cut from train"
    ):
        load_galaxies(name)


def some_votes(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 40, (count, NUM_ANSWERS)).astype(np.float32)


def test_a_row_without_votes_moves_no_votes(tmp_path):
    votes = some_votes(60).tolist()
    votes[7] = None
    data = load_galaxies(parquet(tmp_path / "data", train=rows(list("ab") * 30, votes=votes).remove_columns("label")))
    votes_by_id = {
        key: row_votes for part in data.values() for key, row_votes in zip(part["id"], part["votes"], strict=True)
    }
    assert np.isnan(votes_by_id["g7"]).all()
    assert all(votes_by_id[f"g{index}"] == votes[index] for index in range(60) if index != 7)


def test_captions_of_rows_without_ids_differ_as_those_of_rows_with_ids():
    votes = some_votes(80)
    votes[:, :3] = (40, 1, 0)  # all of one class
    table = rows(["x"] * 80, votes=votes.tolist()).remove_columns("label")
    first = {captions[0] for captions in with_votes_column(table.remove_columns("id"))["captions"]}
    with_ids = {captions_of(f"g{index}", row_votes)[0] for index, row_votes in enumerate(votes)}
    assert len(first) > 0.8 * len(with_ids)
    turned = with_votes_column(table.remove_columns("id").select(range(79, -1, -1)))["captions"]
    assert turned[::-1] == with_votes_column(table.remove_columns("id"))["captions"][:]
    streamed = reference_captions(
        table.remove_columns(["id", "image"]).with_format("arrow")[:], votes.astype(np.float64)
    )
    assert streamed == turned[::-1]


def test_captions_given_as_one_text_are_not_split_into_letters(tmp_path):
    texts = ["a spiral" if index % 2 else "an elliptical" for index in range(60)]
    made = rows(list("ab") * 30, captions=texts)
    data = load_galaxies(parquet(tmp_path / "data", train=made))
    captions_by_id = {
        key: text for part in data.values() for key, text in zip(part["id"], part["captions"], strict=True)
    }
    assert captions_by_id == {f"g{index}": [text] for index, text in enumerate(texts)}
    assert reference_captions(made.with_format("arrow")[:], None) == [[text] for text in texts]
    lists = rows(["a", "b"], captions=[["one", "two"], ["three"]])
    assert with_caption_lists(lists) is lists
    assert with_caption_lists(rows(["a", "b"], captions=["one", None]))["captions"] == [["one"], []]


def test_captions_of_ones_own_stay_where_labels_are_made_from_votes():
    captioned = rows(["a", "b"], captions=["mine", "too"], votes=some_votes(2).tolist()).remove_columns("label")
    assert with_votes_column(with_caption_lists(captioned))["captions"] == [["mine"], ["too"]]


def test_streaming_refuses_files_that_order_their_classes_differently(tmp_path):
    parts = {"train": rows(list("abc"), ABC), "validation": rows(list("abc"), ABC), "test": rows(list("abc"), CAB)}
    with pytest.raises(
        ValueError, match="different classes, a, b, c in train.parquet and c, a, b in test.parquet; leave --streaming"
    ):
        parquet_files(parquet(tmp_path / "other", **parts))
    name = parquet(
        tmp_path / "Same [1]", Training=parts["train"], Dev=parts["validation"], Holdout=rows(list("abc"), ABC)
    )
    files, features, _ = parquet_files(name)
    assert list(files) == ["train", "validation", "test"]
    assert features["label"] == ABC
    assert len(load_galaxies(name, streaming=True)["test"]) == 3


def test_rows_without_ids_are_split_by_their_image(tmp_path):
    made = rows(list("ab") * 30).remove_columns("id")
    data = load_galaxies(parquet(tmp_path / "one", train=made))
    again = load_galaxies(parquet(tmp_path / "two", train=made.select(range(59, -1, -1))))
    for split in data:
        images = [
            sorted(row["bytes"] for row in part[split].with_format("arrow")[:]["image"].to_pylist())
            for part in (data, again)
        ]
        assert images[0] == images[1]


def test_classes_stand_in_the_order_of_their_numbers_or_names():
    assert sorted_names({"10", "2", "1"}) == ["1", "2", "10"]
    assert sorted_names({"02", "2", "1"}) == ["1", "02", "2"]
    assert sorted_names({"10", "2", "b"}) == ["10", "2", "b"]


def test_rows_of_each_class_are_counted(tmp_path):
    data = load_galaxies(parquet(tmp_path / "data", train=rows(["a", "b", None, "b"] * 15)))
    assert sum(class_counts(part, 2) for part in data.values()).tolist() == [15, 30]


def test_a_fixed_list_of_captions_is_left_as_it_is():
    features = Features({"captions": List(Value("string"), length=2)})
    captioned = Dataset.from_dict({"captions": [["a", "b"]]}, features=features)
    assert with_caption_lists(captioned) is captioned


def test_training_rows_of_further_data_sets_are_added_and_no_other_split_changes(tmp_path):
    kind = ClassLabel(names=["round", "spiral"])
    first = parquet(
        tmp_path / "first", train=rows([0, 1], kind), validation=rows([0], kind, 2), test=rows([1], kind, 3)
    )
    more = parquet(tmp_path / "more", train=rows([1] * 30, kind, 10))  # from which no split may be cut
    even_more = parquet(tmp_path / "even_more", train=rows([0], kind, 50), test=rows([0], kind, 51))
    alone, joined = load_galaxies(first), load_galaxies(first, also=[more, even_more])
    assert joined["train"]["id"] == ["g0", "g1", *[f"g{number}" for number in range(10, 40)], "g50"]
    assert joined["train"]["label"] == [0, 1, *[1] * 30, 0]
    for split in ("validation", "test"):
        assert joined[split].to_list() == alone[split].to_list()


def test_further_data_sets_that_do_not_belong_to_the_first_are_refused(tmp_path):
    kind, other = ClassLabel(names=["round", "spiral"]), ClassLabel(names=["spiral", "merger"])
    first = parquet(
        tmp_path / "first", train=rows([0, 1], kind), validation=rows([0], kind, 2), test=rows([1], kind, 3)
    )
    with pytest.raises(ValueError, match="also=.*classes.* has other columns or classes than dataset=.*first"):
        load_galaxies(first, also=[parquet(tmp_path / "classes", train=rows([0, 1], other, 10))])
    with pytest.raises(ValueError, match="has 1 rows that dataset=.* holds out, such as id g3; remove"):
        load_galaxies(first, also=[parquet(tmp_path / "held_out", train=rows([0, 1], kind, 3))])


def test_a_row_without_a_list_of_votes_has_unknown_votes():
    votes = [[float(answer) for answer in range(37)], None]
    labelled = rows([0, 1], ClassLabel(names=["spiral", "smooth"]), votes=votes)
    read = np.array(with_votes_column(labelled)["votes"])
    assert read.shape == (2, 37) and read[0].tolist() == votes[0] and np.isnan(read[1]).all()
