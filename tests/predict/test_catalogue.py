"""Catalogues of every kind have a row for every image of the user, with its own bytes and name."""

import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogues import FIRST_ID, found, images_in, make_csv, make_parquet, make_tars, make_zip, rows_of
from datasets import Dataset, Features, Image, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_vision.predict.catalogue import needs_index, open_catalogue, write_index
from galaxy_vision.predict.rows import Columns


@pytest.fixture(scope="module")
def images(tmp_path_factory, galaxies):
    return images_in(tmp_path_factory.mktemp("images"), galaxies)


@pytest.mark.parametrize("kind", ["zip", "tars", "structs", "bytes", "paths", "csv", "csv.gz"])
def test_every_kind_of_catalogue_holds_the_same_galaxies(kind, images, tmp_path):
    columns = Columns(image_root=str(images)) if kind.startswith("csv") else Columns()
    if kind == "zip":
        path = make_zip(images, tmp_path / "images.zip")
    elif kind == "tars":
        path = make_tars(images, tmp_path / "tars")
    elif kind.startswith("csv"):
        path = make_csv(images, tmp_path / f"table.{kind}")
    else:
        path = make_parquet(images, tmp_path / "parquet", kind)
    assert found(path, columns) == sorted((file.stem, file.read_bytes()) for file in images.rglob("*.jpg"))


def test_a_streamed_parquet_folder_of_datasets_is_read_as_it_is(images, tmp_path):
    files = sorted(images.rglob("*.jpg"))
    features = Features({"id": Value("string"), "image": Image()})
    rows = {
        "id": [file.stem for file in files],
        "image": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
    }
    (tmp_path / "folder").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "folder" / "train-00000.parquet")
    assert [(row.id, row.load()) for row in rows_of(tmp_path / "folder")] == [
        (file.stem, file.read_bytes()) for file in files
    ]


USERS_NAMES = st.from_regex(r"[A-Za-z0-9+_é ][A-Za-z0-9.+_é -]{0,11}", fullmatch=True).filter(str.strip)
USERS_FOLDERS = st.sampled_from(["", "north/", "north/deep/", "a.b/"])
HIDDEN = st.sampled_from(
    [".git/", "__MACOSX/", "north/.ipynb_checkpoints/", "@eaDir/", "north/@eaDir/x.jpg/", "._", "north/._"]
)


def members(kind: str):
    """Return a strategy of stems and folders of the user's images, and prefixes of hidden files."""
    stems = st.lists(USERS_NAMES, min_size=1, max_size=8, unique_by=str.lower)
    if kind == "tar":  # in which a.mask.jpg belongs to a.jpg
        stems = stems.filter(lambda stems: not any(one.startswith(f"{other}.") for one in stems for other in stems))
    return st.tuples(stems, st.lists(USERS_FOLDERS, min_size=8, max_size=8), st.lists(HIDDEN, max_size=3))


def write(kind: str, folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / f"catalogue.{kind}"
    if kind == "folder":
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        (path / "empty").mkdir(exist_ok=True)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    elif kind == "parquet":
        images = [{"bytes": data, "path": name} for name, data in files.items()]
        pq.write_table(pa.table({"image": images}), path, row_group_size=3)
    elif kind == "csv":
        write("folder", folder / "files", files)
        lines = "".join(f'"files/catalogue.folder/{name}"\r\n' for name in files)
        path.write_text("\ufeffpath\r\n" + lines, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "parquet", "csv"])
def test_every_image_of_the_user_is_one_row_with_its_own_bytes_and_name(kind):
    @settings(max_examples=30, deadline=None)
    @given(members(kind))
    def check(drawn):
        stems, folders, hidden = drawn
        expected = {}
        for number, (stem, folder) in enumerate(zip(stems, folders, strict=False)):
            expected[f"{folder}{stem}.jpg"] = (stem, f"image {number}".encode())
        files = {name: data for name, (_, data) in expected.items()}
        if kind in ("folder", "zip", "tar"):  # a table lists its images
            files |= {f"{prefix}{stems[0]}.jpg": b"of the system" for prefix in hidden}
            files["notes.txt"] = b"not an image"
        with tempfile.TemporaryDirectory() as folder:
            assert found(write(kind, Path(folder), files)) == sorted(expected.values())

    check()


SYSTEM = [".git/a.jpg", "north/.thumbnails/a.jpg", "__MACOSX/._1.jpg", "@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", ".a.jpg"]
SYSTEM += ["$RECYCLE.BIN/a.jpg", "lost+found/a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_files_of_the_system_are_not_galaxies(kind, tmp_path):
    path = write(kind, tmp_path, dict.fromkeys(SYSTEM, b"other") | {"1.jpg": b"a", "north/2.jpg": b"b"})
    assert found(path) == [("1", b"a"), ("2", b"b")]


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_shards_of_the_system_are_not_read(suffix, tmp_path):
    (tmp_path / "shards" / ".cache").mkdir(parents=True)
    shard = write(suffix, tmp_path, {"1.jpg": b"a"})
    shard.rename(tmp_path / "shards" / f"train-0.{suffix.upper()}")
    (tmp_path / "shards" / f"._train-0.{suffix}").write_bytes(b"of macOS")
    (tmp_path / "shards" / ".cache" / f"train-0.{suffix}").write_bytes(b"half a shard")
    assert found(tmp_path / "shards") == [("1", b"a")]


def test_parquet_that_a_writer_left_unfinished_is_not_read(tmp_path):
    (tmp_path / "table" / "_temporary" / "0").mkdir(parents=True)
    shard = write("parquet", tmp_path, {"1.jpg": b"a"})
    (tmp_path / "table" / "_temporary" / "0" / "part-0.parquet").write_bytes(shard.read_bytes())
    shard.rename(tmp_path / "table" / "part-0.parquet")
    assert found(tmp_path / "table") == [("1", b"a")]


def test_a_folder_in_a_hidden_one_is_read(tmp_path):
    (tmp_path / ".cache").mkdir()
    assert found(write("folder", tmp_path / ".cache", {"1.jpg": b"a"})) == [("1", b"a")]


def test_links_in_a_folder_are_followed_once_and_those_to_nowhere_are_rows(tmp_path):
    folder = write("folder", tmp_path, {"north/1.jpg": b"a"})
    (folder / "north" / "back").symlink_to(folder)
    (folder / "other").symlink_to(folder / "north")
    (folder / "2.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(folder / "3.jpg")  # reading it would block forever
    rows = {row.source: row for row in rows_of(folder)}
    assert sorted(rows) == ["2.jpg", "north/1.jpg", "other/1.jpg"]
    assert rows["other/1.jpg"].load() == b"a"
    with pytest.raises(FileNotFoundError, match="No such file"):
        rows["2.jpg"].load()


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    folder = write("folder", tmp_path, {"north/1.jpg": b"a"})

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("galaxy_vision.images.listing.os.scandir", refuse)
    with pytest.raises(ValueError, match=r"catalogue.folder cannot be listed \(Permission denied\)"):
        rows_of(folder)


def test_names_that_are_not_utf_8_are_rows_too(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"a")
    assert found(tmp_path / "images") == [(r"caf\xe9", b"a")]
    with tarfile.open(tmp_path / "images.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tmp_path / "images", ".")
    assert found(tmp_path / "images.tar") == [(r"caf\xe9", b"a")]


def test_a_note_says_what_is_not_read_beside_the_images(tmp_path):
    folder = write("folder", tmp_path, {"1.jpg": b"a", "more.zip": b"", "north/shard.tar": b""})
    (note,) = write_index(str(folder), tmp_path / "index", 4, Columns())
    assert note.startswith("2 zip or tar files in")


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("images", Columns(split="test"), "split='test' has no meaning for .* which is a folder of images"),
        ("images", Columns(image="jpg"), "image_column='jpg' has no meaning"),
        ("images.zip", Columns(image_root="x"), "image_root='x' has no meaning"),
        ("table.parquet", Columns(config="one"), "config='one' has no meaning"),
        ("table.csv", Columns(split="train"), "split='train' has no meaning for .* which is a CSV table"),
    ],
)
def test_an_argument_that_would_change_nothing_is_refused(name, columns, message, tmp_path):
    (tmp_path / name).mkdir() if name == "images" else (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        rows_of(tmp_path / name, columns)


def test_the_fingerprint_is_of_the_rows_and_not_of_their_cut(tmp_path):
    folder = write("folder", tmp_path, {f"{number}.jpg": b"same" for number in range(9)})

    def fingerprint(path, rows_per_part):
        write_index(str(path), tmp_path / "index", rows_per_part, Columns())
        return open_catalogue(str(path), tmp_path / "index", rows_per_part, Columns()).fingerprint()

    first = fingerprint(folder, 4)
    assert fingerprint(folder, 5) == first
    folder = folder.rename(tmp_path / "moved")
    assert fingerprint(folder, 4) == first
    (folder / "3.jpg").write_bytes(b"SAME")  # of the same size, like the FITS files of a survey
    os.utime(folder / "3.jpg", (1e9, 1e9))
    assert fingerprint(folder, 4) != first


def test_memory_does_not_hold_the_catalogue(tmp_path):
    """An index of many rows is opened without being read."""
    lines = [f"{FIRST_ID + number},galaxies/{number}.jpg\n" for number in range(60_000)]
    (tmp_path / "table.csv").write_text("id,path\n" + "".join(lines))
    assert needs_index(str(tmp_path / "table.csv"))
    before = pa.total_allocated_bytes()
    write_index(str(tmp_path / "table.csv"), tmp_path / "i.arrow", 4096, Columns())
    opened = open_catalogue(str(tmp_path / "table.csv"), tmp_path / "i.arrow", 4096, Columns())
    row = next(opened.rows(12))
    assert (row.id, row.source) == (str(FIRST_ID + 12 * 4096), f"table.csv:{12 * 4096}")
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert sum(opened.part_rows) == 60_000
