"""Every reader, on files that were spoiled at random.

Our own error in one line or a counted drop, in little time and memory.

More examples: ``GALAXY_VISION_FUZZ=5000 pytest tests/test_fuzz.py``.
"""

import contextlib
import gzip
import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from conftest import jpeg
from hypothesis import given
from hypothesis import strategies as st
from limits import soon
from spoiled_files import JSON, PICTURE, challenge_table, fuzz, run_builder, spoiled, write, zipped

from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.data.csv_tables import read_chunks
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.images.limits import MAX_BYTES
from galaxy_vision.models.decision_tree import ANSWERS
from galaxy_vision.predict.catalogue import open_catalogue, write_index
from galaxy_vision.predict.rows import Columns
from galaxy_vision.runtime.arguments import parse_arguments
from galaxy_vision.training.arguments import TrainingRun


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind)
    return file.getvalue()


def fits_bytes() -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.asarray(PICTURE).transpose(2, 0, 1).astype(np.float32)).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "FITS"])
def test_images(kind):
    whole = fits_bytes() if kind == "FITS" else encoded(kind)

    @fuzz
    @given(spoiled([whole]))
    def check(data):
        with soon():
            try:
                assert read_rgb(data).mode == "RGB"
            except ValueError as error:
                assert len(str(error)) < 500

    check()


def tarred(names: list[str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(jpeg(PICTURE))
            archive.addfile(member, io.BytesIO(jpeg(PICTURE)))
    return file.getvalue()


def gz2_table() -> bytes:
    rows = pd.DataFrame(5, index=range(3), columns=[f"{answer}_count" for answer in ANSWERS])
    rows.insert(0, "dr7objid", [587722981736120320 + row for row in range(3)])
    rows.insert(1, "total_classifications", 40)
    return rows.to_csv(index=False).encode()


MAPPING = "objid,sample,asset_id\n" + "".join(
    f"{587722981736120320 + index},original,{index + 1}\n" for index in range(3)
)


def test_the_table_of_the_challenge(tmp_path):
    images = write(tmp_path, "images.zip", zipped(["100008.jpg", "100023.jpg", "100053.jpg"]))

    @fuzz
    @given(spoiled([challenge_table()]))
    def check(data):
        run_builder("galaxy_zoo_challenge", tmp_path, images=images, labels=write(tmp_path, "labels.csv", data))

    check()


def test_the_table_and_the_mapping_of_galaxy_zoo_2(tmp_path):
    images = write(tmp_path, "images.zip", zipped(["1.jpg", "2.jpg", "3.jpg"]))

    @fuzz
    @given(spoiled([gz2_table()]), spoiled([MAPPING.encode()]), st.booleans())
    def check(table, mapping, which):
        labels = write(tmp_path, "labels.csv", table if which else gz2_table())
        known = write(tmp_path, "mapping.csv", MAPPING.encode() if which else mapping)
        run_builder("galaxy_zoo_2", tmp_path, images=images, labels=labels, mapping=known)

    check()


def test_zips_of_class_folders(tmp_path):
    @fuzz
    @given(spoiled([zipped(["a/1.jpg", "a/2.jpg", "b/3.jpg"])]))
    def check(data):
        run_builder("class_folders", tmp_path, images=write(tmp_path, "images.zip", data))

    check()


@pytest.mark.parametrize("kind", ["zip", "tar", "csv"])
def test_catalogues(tmp_path, kind):
    names = ["a/1.jpg", "a/2.jpg", "b/3.jpg"]
    whole = {"zip": zipped(names), "tar": tarred(names), "csv": b"id,path\n1,a.jpg\n2,b.jpg\n3,\n"}[kind]

    @fuzz
    @given(spoiled([whole]))
    def check(data):
        path, index = write(tmp_path, f"catalogue.{kind}", data), tmp_path / "index"
        with soon():
            try:
                write_index(str(path), index, 2, Columns())
                catalogue = open_catalogue(str(path), index, 2, Columns())
            except ValueError as error:
                assert "catalogue" in str(error)
                return
            for part in range(len(catalogue.part_rows)):
                for row in catalogue.rows(part):
                    with contextlib.suppress(Exception):  # `predict` writes whatever it is into the row
                        assert len(row.load()) <= MAX_BYTES

    check()


NAMES = sorted(TrainingRun.__dataclass_fields__)


def read_arguments(path) -> None:
    printed = io.StringIO()
    with soon(), contextlib.redirect_stderr(printed):
        try:
            args = parse_arguments(TrainingRun, "", [str(path)])
        except SystemExit as stop:
            assert stop.code == 2 and "error: " in printed.getvalue().splitlines()[-1]
            return
    for name, field in TrainingRun.__dataclass_fields__.items():
        default, value = field.default, getattr(args, name)
        assert default is None or type(value) in (type(default), *[int] * isinstance(default, float)), (name, value)
        assert not isinstance(value, float) or np.isfinite(value), (name, value)


def test_argument_files(tmp_path):
    whole = json.dumps({"epochs": 3, "learning_rate": 0.01, "augmentation": False, "dataset": "simulated"}).encode()

    @fuzz
    @given(spoiled([whole]))
    def check_bytes(data):
        read_arguments(write(tmp_path, "run.json", data))

    @fuzz
    @given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=2) | JSON)
    def check_values(content):
        read_arguments(write(tmp_path, "run.json", json.dumps(content).encode()))

    check_bytes()
    check_values()


HOSTILE_ARGUMENTS = [
    "",
    "[]",
    "3",
    "null",
    '"epochs"',
    "{",
    '{"epochs": [1]}',
    '{"epochs": null}',
    '{"epochs": 2.5}',
    '{"epochs": true}',
]
HOSTILE_ARGUMENTS += [
    '{"learning_rate": NaN}',
    '{"learning_rate": Infinity}',
    "[" * 100_000,
    '{"epochs": 1e400}',
    "\ufeff{}",
    "\x00",
]


@pytest.mark.parametrize("text", HOSTILE_ARGUMENTS)
def test_argument_files_by_hand(tmp_path, text, capsys):
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(TrainingRun, "", [str(tmp_path / "run.json")])
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_captions():
    @fuzz
    @given(
        st.text(max_size=200) | spoiled([b"a barred spiral galaxy with two loosely wound arms, no bulge, not a merger"])
    )
    def check(text):
        with soon():
            claims = parse_claims(text if isinstance(text, str) else text.decode("latin-1"))
        write_captions(claims, 2)

    check()


@pytest.mark.parametrize("word", ["not ", "no bar, ", "two ", "spiral arms ", "\u0130 ", "a", ",", "possibly barred "])
def test_long_captions_are_read_in_time(word):
    with soon():
        parse_claims(word * (4_000 // len(word)))


def huge_member() -> bytes:
    """A tar that says that its image has 2**60 bytes."""
    member = tarfile.TarInfo("a.jpg")
    member.size = 2**60
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def link() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return file.getvalue()


def lying_zip() -> bytes:
    """Its directory says that the image unpacks to 3 GB."""
    data = bytearray(zipped(["a.jpg"]))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (3 * 10**9).to_bytes(4, "little")
    return bytes(data)


CATALOGUES = {  # name -> bytes, and what is said; None: the row is refused when it is read
    "huge.tar": (huge_member(), "not a complete, uncompressed tar"),
    "links.tar": (link(), None),
    "empty.tar": (bytes(10240), "holds no row, or no image"),
    "text.tar": (b"I am a tar", "not a complete, uncompressed tar"),
    "lying.zip": (lying_zip(), None),
    "text.zip": (b"I am a zip", "not a complete zip file"),
    "empty.csv": (b"", "is empty; download it again"),
    "long.csv": (b"id,path\n1," + b"a" * 3_000_000 + b"\n", "a line of more than 1 MiB"),
    "wide.csv": (b"id,path\n1,a.jpg,b.jpg\n", "line 2: 3 cells where the header has 2"),
    "latin.csv": (b"id,path\n1,gal\xe1xia.jpg\n", "is not a CSV table in UTF-8"),
    "columns.csv": (b"x,y\n1,2\n", "none of the columns"),
    "truncated.csv.gz": (gzip.compress(b"id,path\n" + b"1,a.jpg\n" * 1000)[:-20], "is damaged"),
    "null.csv": (b"id,path\n1,a\0.jpg\n", None),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_hostile_catalogues(tmp_path, name):
    data, sentence = CATALOGUES[name]
    path, index = write(tmp_path, name, data), tmp_path / "index"
    with soon():
        if sentence:
            with pytest.raises(ValueError, match=sentence):
                write_index(str(path), index, 2, Columns())
            return
        write_index(str(path), index, 2, Columns())
        for row in open_catalogue(str(path), index, 2, Columns()).rows(0):
            with pytest.raises((ValueError, OSError)):
                row.load()


def test_a_row_with_cells_beyond_the_header_is_refused_since_any_of_them_may_be_too_many(tmp_path):
    labels = write(tmp_path, "labels.csv", b"x,GalaxyID,y,z\n1,2,3,4\n7,8,9,10,11,12\n")
    with pytest.raises(ValueError, match="labels.csv, line 3: 6 cells where the header has 4, separated by commas"):
        list(read_chunks(str(labels), ["GalaxyID"], [], ["z"]))
