"""Zips and tars with repeated names, backslashes, dots and links, and joined, truncated and damaged archives."""

import io
import tarfile
import warnings
import zipfile

import pytest
from catalogues import found, rows_of

from galaxy_vision.predict.catalogue import write_index
from galaxy_vision.predict.rows import Columns

POSITIONS = [f"J123456.{number}+012345.6" for number in range(3)]


def tarred(members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def write_tar(tmp_path, members: dict[str, bytes], **more):
    path = tmp_path / "images.tar"
    path.write_bytes(tarred(members, **more))
    return path


def test_a_zip_that_holds_a_name_twice_gives_each_row_its_own_pixels(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in (("b.jpg", b"1"), ("a.jpg", b"2"), ("a.jpg", b"3"), ("a.jpg", b"4")):
            archive.writestr(name, data)
    assert [(row.id, row.source, row.load()) for row in rows_of(path)] == [
        ("a", "a.jpg@1", b"2"),
        ("a", "a.jpg@2", b"3"),
        ("a", "a.jpg@3", b"4"),
        ("b", "b.jpg", b"1"),
    ]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_with_backslashes_are_paths(kind, tmp_path):
    names = {
        "images\\00000.jpg": b"1",
        "images\\00001.jpg": b"2",
        "__MACOSX\\._00000.jpg": b"",
        ".thumbs\\00000.jpg": b"",
    }
    path = tmp_path / f"images.{kind}"
    if kind == "tar":
        path.write_bytes(tarred(names))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in names.items():
                archive.writestr(name, data)
    assert found(path) == [("00000", b"1"), ("00001", b"2")]


def test_a_folder_in_a_zip_that_is_called_like_an_image_is_not_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.mkdir("a.jpg") if hasattr(archive, "mkdir") else archive.writestr("a.jpg/", b"")
        archive.writestr("a.jpg/1.jpg", b"1")
    assert found(tmp_path / "images.zip") == [("1", b"1")]


@pytest.mark.parametrize("suffix", ["jpg", "png", "fits", "fits.gz", "fits.bz2", "fits.fz"])
def test_galaxies_in_a_tar_keep_their_whole_name(suffix, tmp_path):
    path = write_tar(tmp_path, {f"cutouts/{name}.{suffix}": name.encode() for name in POSITIONS})
    assert found(path) == [(name, name.encode()) for name in POSITIONS]


def test_what_lies_beside_a_galaxy_in_a_tar_is_not_one(tmp_path):
    members = {
        "a.mask.png": b"m",
        "a.jpg": b"1",
        "a.json": b"{}",
        "b.jpg": b"2",
        "b.seg_v2.png": b"m",
        "c.mask.png": b"3",
    }
    path = write_tar(
        tmp_path, members | {f"{name}.jpg": b"4" for name in POSITIONS} | {f"{POSITIONS[0]}.weight.fits": b"w"}
    )
    assert found(path) == sorted([(name, b"4") for name in POSITIONS] + [("a", b"1"), ("b", b"2"), ("c.mask", b"3")])
    (note,) = write_index(str(path), tmp_path / "index", 4, Columns())
    assert note.startswith("3 images in") and "left out" in note


def test_the_kind_of_image_in_a_tar_can_be_named(tmp_path):
    path = write_tar(tmp_path, {"x/a.jpg": b"1", "x/a.png": b"m", "x/b.jpg": b"2", "x/b.png": b"m", "y/a.jpg": b"3"})
    with pytest.raises(ValueError, match=r"images.tar has x/a.jpg and x/a.png; say by --image_column jpg which"):
        rows_of(path)
    assert found(path, Columns(image="jpg")) == [("a", b"1"), ("a", b"3"), ("b", b"2")]
    path = write_tar(tmp_path, {"a.image.fits": b"1", "a.invvar.fits": b"i", "b.image.fits": b"2"})
    assert found(path, Columns(image="image.fits")) == [("a", b"1"), ("b", b"2")]
    with pytest.raises(
        ValueError, match=r"image_column='tiff': no file in .*images.tar has a name that ends with .tiff"
    ):
        rows_of(path, Columns(image="tiff"))


def test_links_in_a_tar_are_the_files_that_they_lead_to(tmp_path):
    path = tmp_path / "images.tar"
    links = [  # name, kind, target
        ("north/hard.jpg", tarfile.LNKTYPE, "blobs/f00"),
        ("north/hard2.jpg", tarfile.LNKTYPE, "north/hard.jpg"),
        ("north/soft.jpg", tarfile.SYMTYPE, "../blobs/f00"),
        ("north/soft2.jpg", tarfile.SYMTYPE, "soft.jpg"),
        ("north/later.jpg", tarfile.SYMTYPE, "../z.jpg"),
        ("north/round.jpg", tarfile.SYMTYPE, "round.jpg"),
        ("north/out.jpg", tarfile.SYMTYPE, "/etc/passwd"),
    ]
    with tarfile.open(path, "w") as archive:
        first = tarfile.TarInfo("./blobs/f00")
        first.size = 5
        archive.addfile(first, io.BytesIO(b"first"))
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        last = tarfile.TarInfo("z.jpg")
        last.size = 4
        archive.addfile(last, io.BytesIO(b"last"))
    rows = {row.id: row for row in rows_of(path)}
    loaded = {name: rows.pop(name).load() for name in ("hard", "hard2", "soft", "soft2", "later", "z")}
    assert loaded == dict.fromkeys(("hard", "hard2", "soft", "soft2"), b"first") | {"later": b"last", "z": b"last"}
    assert sorted(rows) == ["out", "round"]
    for row in rows.values():
        with pytest.raises(FileNotFoundError, match="not in the tar"):
            row.load()


def test_a_hard_link_keeps_what_it_led_to_when_the_name_comes_again(tmp_path):
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for name, data in (("a.jpg", b"old"), ("b.jpg", None), ("a.jpg", b"new")):
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.LNKTYPE, "a.jpg"
            else:
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data or b""))
    assert [(row.id, row.load()) for row in rows_of(tmp_path / "images.tar")] == [
        ("a", b"old"),
        ("b", b"old"),
        ("a", b"new"),
    ]


@pytest.mark.parametrize("joints", [1, 3])
def test_joined_tars_are_read_to_the_end(joints, tmp_path):
    several = [
        tarred({f"{part}/{number}.jpg": f"{part}{number}".encode() for number in range(3)})
        for part in range(joints + 1)
    ]
    (tmp_path / "images.tar").write_bytes(b"".join(several))
    expected = [(str(number), f"{part}{number}".encode()) for part in range(joints + 1) for number in range(3)]
    assert found(tmp_path / "images.tar") == sorted(expected)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_a_tar_are_whole(format, tmp_path):
    folder = "a" * 90 + "/" + "b" * 60
    name = "J123456.78+012345.6" * (5 if format == tarfile.USTAR_FORMAT else 11)
    path = write_tar(tmp_path, {f"{folder}/{name}.jpg": b"1", "2.jpg": b"2"}, format=format)
    assert found(path) == [("2", b"2"), (name, b"1")]


def test_a_sparse_file_in_a_tar_has_its_holes_again(tmp_path):
    content = b"start" + bytes(995) + b"end"
    with tarfile.open(tmp_path / "images.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        sparse = tarfile.TarInfo("a.fits")
        sparse.size, stored = 8, b"startend"
        sparse.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,5,1000,3"}
        sparse.pax_headers |= {"GNU.sparse.size": str(len(content)), "GNU.sparse.numblocks": "2"}
        archive.addfile(sparse, io.BytesIO(stored))
        plain = tarfile.TarInfo("b.fits")
        plain.size = 5
        archive.addfile(plain, io.BytesIO(b"plain"))
    assert found(tmp_path / "images.tar") == [("a", content), ("b", b"plain")]


def test_a_tar_that_is_cut_or_damaged_loses_no_row_in_silence(tmp_path):
    """Even where tarfile takes the damage for the end: between two files, and at a damaged header."""
    whole = tarred({f"{number}.jpg": b"x" * 100 for number in range(5)})
    for name, data in {
        "cut between": whole[: 2 * 1024],
        "cut in a header": whole[: 2 * 1024 + 100],
        "cut in a file": whole[: 2 * 1024 + 512 + 50],
        "damaged header": whole[: 2 * 1024 + 10] + b"\xff" + whole[2 * 1024 + 11 :],
        "something behind": whole + b"not a tar" * 100,
        "empty": b"",
    }.items():
        (tmp_path / "images.tar").write_bytes(data)
        with pytest.raises(ValueError, match="images.tar is not a complete, uncompressed tar"):
            rows_of(tmp_path / "images.tar")
            pytest.fail(name)
    (tmp_path / "images.tar").write_bytes(
        whole[: 5 * 1024 + 512]
    )  # one block of zeros, instead of two, marks the end too
    assert len(rows_of(tmp_path / "images.tar")) == 5


def test_a_tar_that_shrinks_while_it_is_read_gives_no_half_image(tmp_path):
    path = write_tar(tmp_path, {"a.jpg": b"x" * 5000})
    (row,) = rows_of(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="ends before the image does"):
        row.load()


def test_a_zip_of_a_version_that_is_not_known_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a.jpg", b"1")
    data = bytearray((tmp_path / "images.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 99
    (tmp_path / "images.zip").write_bytes(data)
    with pytest.raises(ValueError, match="images.zip is not a complete zip file"):
        rows_of(tmp_path / "images.zip")
