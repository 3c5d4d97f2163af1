"""The builder of class folders, in a folder or a zip."""

import zipfile

from builder_files import all_rows
from conftest import build, refused

from galaxy_vision.data.splits import split_of


def test_class_folders_become_labels(tmp_path, galaxies):
    for index, (jpeg, _, _) in enumerate(galaxies):
        folder = tmp_path / "images" / ("spiral" if index % 3 else "smooth_round")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(jpeg)
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images")
    names = data["train"].features["label"].names
    assert names == ["smooth_round", "spiral"]
    assert all(
        names[row["label"]] == ("spiral" if int(key) % 3 else "smooth_round") for key, row in all_rows(data).items()
    )


def test_class_folders_with_the_same_file_names_keep_both_in_one_split(tmp_path, galaxies):
    names = [("arms", "1.jpg"), ("arms", "2.jpg"), ("arms", "2.png"), ("round", "1.jpg"), ("round", "3.jpg")]
    names += [("round", f"more{index}.jpg") for index in range(40)]
    for (folder, name), (data, _, _) in zip(names, galaxies, strict=False):
        (tmp_path / "images" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / folder / name).write_bytes(data)
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images")
    rows = all_rows(data)
    assert {key for key in rows if "more" not in key} == {"arms/1", "round/1", "2", "3"}
    assert [rows[key]["label"] for key in ("arms/1", "round/1", "2", "3")] == [0, 1, 0, 1]
    assert "arms/2.png\tduplicate id" in (tmp_path / "out" / "dropped.tsv").read_text()
    assert split_of("arms/1") == split_of("round/1") == split_of("1")
    assert all({split_of(key) for key in part["id"]} == {split} for split, part in data.items())


def test_class_folders_in_a_zip_are_named_by_their_path_and_keep_their_splits(tmp_path, galaxies):
    folders = ("Train/spiral/barred", "Train/spiral/plain", "Train/round", "Test/round", "Test/spiral/barred")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number, folder in enumerate(folders):
            for index in range(20):
                archive.writestr(f"cutouts/{folder}/{index}.jpg", galaxies[(20 * number + index) % 60][0])
        archive.writestr("__MACOSX/cutouts/Train/round/._0.jpg", b"x")
    data = build("class_folders", tmp_path / "out", images=tmp_path / "images.zip")
    names = data["train"].features["label"].names
    assert names == ["round", "spiral/barred", "spiral/plain"]
    assert len(data["test"]) == 40 and len(data["train"]) + len(data["validation"]) == 60
    assert all(
        key == f"{'test' if split == 'test' else 'train'}/{names[label]}/{key.rpartition('/')[2]}"
        for split, rows in data.items()
        for key, label in zip(rows["id"], rows["label"], strict=True)
    )
    assert (
        "Splits are those of the folders; validation is cut from train" in (tmp_path / "out" / "README.md").read_text()
    )


def test_class_folders_that_cannot_be_meant_are_refused(tmp_path, galaxies, capsys):
    for name in ("one", "beside", "nested"):
        for folder in {"one": ["a"], "beside": ["a", "b", "."], "nested": ["a", "a/b", "c"]}[name]:
            (tmp_path / name / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / folder / f"{len(folder)}.jpg").write_bytes(galaxies[0][0])
    error = refused(capsys, "class_folders", tmp_path / "out", images=tmp_path / "one")
    assert "one class only: its 1 images lie in a; put those of each class into a folder of its name" in error
    assert "images beside class folders, such as 1.jpg" in refused(
        capsys, "class_folders", tmp_path / "out", images=tmp_path / "beside"
    )
    assert "such as a/1.jpg beside a/b" in refused(
        capsys, "class_folders", tmp_path / "out", images=tmp_path / "nested"
    )
