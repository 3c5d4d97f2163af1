"""Small files that ask for much: an error in one line or a counted drop, in little time and memory (``limits.py``)."""

import bz2
import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib

import PIL
import pytest
from limits import MEBIBYTES, soon
from PIL import Image
from spoiled_files import challenge_table, run_builder, write, zipped

from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.data.csv_tables import read_chunks, read_header
from galaxy_vision.images.archives import ImageSource
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.images.limits import MAX_SIDE, read_file
from galaxy_vision.predict.catalogue import open_catalogue, write_index
from galaxy_vision.predict.rows import Columns

BOMB = 300 * 2**20
"""Bytes that a bomb of .3 MB unpacks to: more than the limit, and than the memory that the tests of archives allow."""


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def header(*cards: tuple, data: bytes = b"") -> bytes:
    """A FITS file of these cards."""
    text = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in (("SIMPLE", "T"), *cards)) + "END".ljust(80)
    return text.encode().ljust(-(-len(text) // 2880) * 2880) + data


def tiff(**tags: int) -> bytes:
    """8 x 8 pixels; the named tags are changed to such (type 4, count 1) values, or as (type, count, value)."""
    known = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 8, 279: 64} | {
        int(k[1:]): v for k, v in tags.items()
    }
    entries = [(tag, *(value if isinstance(value, tuple) else (4, 1, value))) for tag, value in sorted(known.items())]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + bytes(64)


FEW = (("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 10), ("NAXIS2", 10))
IMAGES = {  # name -> bytes, and what is said
    "wide.png": (png(100_000, 1), "larger than the limit"),
    "tall.png": (png(1, 100_000), "larger than the limit"),
    "huge.png": (png(2**31 - 1, 2**31 - 1), "larger than the limit"),
    "empty.png": (png(MAX_SIDE, MAX_SIDE), "damaged"),
    "text.png": (png(8, 8)[:-12] + struct.pack(">I", 2**31 - 1) + b"zTXt", "damaged"),
    "axes.fits": (header(("BITPIX", 8), ("NAXIS", 10**9)), "more than 999"),
    "many.fits": (header(("BITPIX", 8), ("NAXIS", "+00001000")), "more than 999"),
    "huge.fits": (header(("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", 10**9), ("NAXIS2", 10**9)), "larger than the limit"),
    "negative.fits": (header(("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", -5), ("NAXIS2", 10)), "damaged"),
    "absent.fits": (header(("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", MAX_SIDE), ("NAXIS2", MAX_SIDE)), "damaged"),
    "extra.fits": (header(*FEW, ("PCOUNT", 10**15), ("GCOUNT", 10**9), data=bytes(2880)), "damaged"),
    "columns.fits": (
        header(("BITPIX", 8), ("NAXIS", 0))
        + header(*FEW, ("TFIELDS", 10**9)).replace(
            b"SIMPLE  =                    T", b"XTENSION= 'BINTABLE'          "
        ),
        "more than 999",
    ),
    "long.fits": (header(*((f"KEY{n}", n) for n in range(20_000))), "has no image"),
    "bomb.fits.gz": (gzip.compress(bytes(BOMB)), "larger than the limit of 64 MiB"),
    "bomb.fits.bz2": (bz2.compress(bytes(BOMB)), "larger than the limit of 64 MiB"),
    "wide.tiff": (tiff(t256=2**31), "larger than the limit|damaged"),
    "huge.tiff": (tiff(t256=2**32 - 1, t257=2**32 - 1), "larger than the limit|damaged|not an image"),
    # Pillow refused a tag that is longer than its file; from 13.0 on it leaves the tag out
    "count.tiff": (tiff(t258=(3, 2**32 - 1, 0)), "" if PIL.__version__ >= "13" else "damaged|not an image"),
    "samples.tiff": (tiff(t277=2**31), "damaged|not an image"),
    "strips.tiff": (tiff(t273=(4, 2**30, 200)), "damaged|not an image"),
    "icc.tiff": (tiff(t34675=(7, 2**32 - 1, 8)), ""),
    "exif.tiff": (tiff(t34665=8), ""),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    data, sentence = IMAGES[name]
    with soon(256):
        if not sentence:
            assert read_rgb(data).size == (8, 8)
            return
        with pytest.raises(ValueError, match=sentence) as error:
            read_rgb(data)
        assert len(str(error.value)) < 500


def test_the_largest_deep_image_is_read_in_less_memory_than_the_limit():
    file = io.BytesIO()
    Image.new("I;16", (MAX_SIDE, MAX_SIDE)).save(file, "PNG")  # 33 kB
    with soon(MEBIBYTES // 2):
        assert read_rgb(file.getvalue()).size == (MAX_SIDE, MAX_SIDE)


def test_a_large_file_is_not_read(tmp_path):
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(10**12)
    with soon(64), pytest.raises(ValueError, match="larger than the limit"):
        read_file(tmp_path / "sparse.jpg")


def bomb_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", bytes(BOMB))
    return path


def bomb_tar(path):
    with open(path, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("1.jpg")
        member.size = BOMB
        file.write(member.tobuf())
        archive.offset = file.seek(512 + BOMB)
    return path


def test_archives(tmp_path):
    known = bomb_zip(tmp_path / "images.zip")
    with soon(128), pytest.raises(ValueError, match="larger than the limit of 64 MiB"):
        ImageSource(known).read("1")
    run_builder("class_folders", tmp_path, images=known)
    for path in (known, bomb_tar(tmp_path / "images.tar")):
        with soon(128):
            write_index(str(path), tmp_path / "index", 2, Columns())
            row = next(open_catalogue(str(path), tmp_path / "index", 2, Columns()).rows(0))
            with pytest.raises(ValueError, match="larger than the limit of 64 MiB"):
                row.load()


def test_a_table_of_one_long_line(tmp_path):
    """200 MB for 1 GB: what is read of it does not depend on its length."""
    path = tmp_path / "long.csv"
    with open(path, "wb") as file:
        for _ in range(200):
            file.write(b"a" * 2**20)
    with soon(128), pytest.raises(ValueError, match="long.csv"):
        write_index(str(path), tmp_path / "index", 2, Columns())
    with soon(1024), pytest.raises(ValueError, match="long.csv"):
        read_header(str(path), ["GalaxyID"], "the right one")
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(b"GalaxyID\n" + b"1" * 200 * 2**20))
    with soon(1024), pytest.raises(ValueError, match="long.csv"):
        list(read_chunks(str(path.with_suffix(".csv.gz")), ["GalaxyID"], [], []))


def test_a_table_with_an_endless_number(tmp_path):
    table = challenge_table().replace(b"0.25", b"0." + b"2" * 10**6, 1)
    run_builder(
        "galaxy_zoo_challenge",
        tmp_path,
        images=write(tmp_path, "i.zip", zipped(["100008.jpg"])),
        labels=write(tmp_path, "labels.csv", table),
    )


def test_a_long_caption():
    with soon(256):
        parse_claims("a spiral galaxy with " + "two arms and " * 10_000)


def test_arguments_that_are_nested_or_endless(tmp_path, capsys):
    from galaxy_vision.runtime.arguments import parse_arguments
    from galaxy_vision.training.arguments import TrainingRun

    for text in (
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"epochs": ' + "9" * 10**6 + "}",
        json.dumps({"dataset": "x" * 10**7}),
    ):
        (tmp_path / "run.json").write_text(text)
        with soon(256):
            if '"dataset"' in text[:12]:
                parse_arguments(TrainingRun, "", [str(tmp_path / "run.json")])
                continue
            with pytest.raises(SystemExit, match="2"):
                parse_arguments(TrainingRun, "", [str(tmp_path / "run.json")])


def test_a_cube_of_the_largest_size_in_a_small_gzip_file():
    cards = (("BITPIX", 8), ("NAXIS", 3), ("NAXIS1", 1024), ("NAXIS2", 1024), ("NAXIS3", 3))
    with soon(MEBIBYTES // 8):
        assert read_rgb(gzip.compress(header(*cards, data=bytes(3 << 20)))).size == (1024, 1024)
