"""Tables with bytes instead of text, other types of columns or other separators, on disk and on the Hub."""

import gzip
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from catalogues import FIRST_ID, found, rows_of
from conftest import REPOSITORY
from hub_stand_in import TOKEN, Hub

from galaxy_vision.predict.rows import Columns

DATA = [b"\xff\xd8 one", b"\x89PNG two"]


def parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


@pytest.fixture
def files(tmp_path):
    """Two images beside the table, one with spaces in its name and folder."""
    (tmp_path / "my images").mkdir()
    (tmp_path / "a.jpg").write_bytes(DATA[0])
    (tmp_path / "my images" / "b 2.jpg").write_bytes(DATA[1])
    return ["a.jpg", "my images/b 2.jpg"]


@pytest.mark.parametrize("writer", ["astropy", "pandas"])
def test_a_fits_table_that_became_parquet_has_names_and_paths(writer, files, tmp_path):
    table = Table({"id": np.array(["J0001+01", "J2"], dtype="S12"), "path": np.array(files, dtype="S40")})
    table.write(tmp_path / "table.fits")
    table = Table.read(tmp_path / "table.fits")
    if writer == "astropy":
        table.write(tmp_path / "table.parquet")
    else:
        table.to_pandas().to_parquet(tmp_path / "table.parquet")
    assert found(tmp_path / "table.parquet") == [("J0001+01", DATA[0]), ("J2", DATA[1])]


@pytest.mark.parametrize("pad", [" ", "\0"])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.binary(40)])
def test_padding_is_no_part_of_a_name_or_path(pad, kind, files, tmp_path):
    def padded(texts):
        texts = [text.ljust(40, pad) for text in texts]
        return pa.array(texts if kind == pa.string() else [text.encode() for text in texts], kind)

    path = parquet(tmp_path, id=padded(["J1", "J2", "J3"]), image=padded([*files, ""]))
    rows = rows_of(path)
    assert [row.id for row in rows] == ["J1", "J2", "J3"]
    assert [row.load() for row in rows[:2]] == DATA
    with pytest.raises(FileNotFoundError, match="the row has no image"):
        rows[2].load()


KINDS = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.list_(pa.uint8()), pa.large_list(pa.uint8())]
KINDS += [pa.dictionary(pa.int32(), pa.binary()), pa.struct({"bytes": pa.large_binary(), "path": pa.string_view()})]
KINDS += [pa.struct({"path": pa.large_string(), "bytes": pa.list_(pa.uint8())}), pa.struct({"bytes": pa.binary()})]


def cell(data: bytes, kind: pa.DataType):
    if pa.types.is_struct(kind):
        return {"bytes": cell(data, kind.field("bytes").type)}
    return list(data) if pa.types.is_list(kind) or pa.types.is_large_list(kind) else data


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_bytes_of_a_file_may_be_of_any_type(kind, tmp_path):
    images = [cell(data, kind) for data in DATA]
    array = pa.array(DATA).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(images, kind)
    assert found(parquet(tmp_path, id=["1", "2"], image=array)) == [("1", DATA[0]), ("2", DATA[1])]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.int64(), pa.decimal128(18)], ids=str
)
def test_an_id_may_be_of_any_type_that_keeps_its_digits(kind, tmp_path):
    names = [str(FIRST_ID), str(FIRST_ID + 1)]
    ids = pa.array([name.encode() for name in names] if kind == pa.binary() else names).cast(kind)
    for column in (ids, ids.dictionary_encode() if not pa.types.is_string_view(kind) else ids):
        assert [row.id for row in rows_of(parquet(tmp_path, id=column, image=DATA))] == names


PIXELS = pa.list_(pa.list_(pa.list_(pa.uint8())))
BANDS = pa.struct({"band": pa.list_(pa.string()), "flux": pa.list_(pa.list_(pa.float32()))})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (PIXELS, [[[1, 2, 3]]]),
        (pa.list_(pa.uint8(), 4), [1, 2, 3, 4]),
        (pa.list_(pa.int64()), [1, 2]),
        (BANDS, {"band": ["g"], "flux": [[1.0]]}),
        (pa.list_(BANDS), [{"band": ["g"], "flux": [[1.0]]}]),
        (pa.struct({"bytes": PIXELS}), {"bytes": [[[1, 2, 3]]]}),
        (pa.float32(), 1.0),
        (pa.int64(), 1),
    ],
    ids=str,
)
def test_a_column_that_holds_no_files_is_refused_before_the_run(kind, value, tmp_path):
    path = parquet(tmp_path, id=["1"], image=pa.array([value], kind))
    with pytest.raises(ValueError, match=r"image column 'image' is .*; give the bytes of an image file .* or its path"):
        rows_of(path)


@pytest.mark.parametrize(
    "kind", [pa.float32(), pa.float64(), pa.dictionary(pa.int8(), pa.float64()), pa.list_(pa.int64())], ids=str
)
def test_an_id_that_has_lost_its_digits_or_is_none_is_refused(kind, tmp_path):
    value = [[1]] if pa.types.is_list(kind) else [1.0]
    ids = pa.array(value).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(value, kind)
    with pytest.raises(ValueError, match="id column 'id' is .*(cannot hold 18 digits|not a text or number)"):
        rows_of(parquet(tmp_path, id=ids, image=DATA[:1]))


def test_a_row_without_id_is_called_as_its_file_and_else_as_its_place(tmp_path):
    images = [{"bytes": DATA[0], "path": "x/J1.5.jpg"}, {"bytes": DATA[1], "path": None}]
    assert [row.id for row in rows_of(parquet(tmp_path, image=images))] == ["J1.5", "table.parquet:1"]


def test_columns_are_found_whatever_their_case_and_never_guessed_between_two(tmp_path):
    assert [row.id for row in rows_of(parquet(tmp_path, ID=["1", "2"], Image=DATA))] == ["1", "2"]
    (tmp_path / "b.jpg").write_bytes(DATA[1])
    (tmp_path / "table.csv").write_text("id, Path ,path\n1,a.jpg,b.jpg\n")
    assert found(tmp_path / "table.csv") == [("1", DATA[1])]
    (tmp_path / "table.csv").write_text("id,path,path\n1,a.jpg,b.jpg\n")
    with pytest.raises(ValueError, match="has the column 'path' 2 times; rename all but one"):
        rows_of(tmp_path / "table.csv")
    both = pa.Table.from_arrays([pa.array(DATA), pa.array(DATA)], names=["image", "image"])
    pq.write_table(both, tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="has the column 'image' 2 times"):
        rows_of(tmp_path / "table.parquet")


def test_a_split_of_parquet_files_is_that_split_alone(tmp_path):
    names = ["train-00000-of-00001", "train", "training", "train2-0", "test-0", "data/train/0", "data/test/0"]
    for name in names:
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [name], "image": DATA[:1]}), tmp_path / "folder" / f"{name}.parquet")
    expected = {"data/train/0", "train", "train-00000-of-00001"}
    assert {row.id for row in rows_of(tmp_path / "folder", Columns(split="train"))} == expected


WAYS = {
    "commas": ("id,path", '00005,a.jpg|NA,"my images/b 2.jpg"'),
    "semicolons": ("id;path", "00005;a.jpg|NA;my images/b 2.jpg"),
    "tabs": ("id\tpath", "00005\ta.jpg|NA\tmy images/b 2.jpg"),
    "spaces around": ("id , path", "00005 , a.jpg |NA, my images/b 2.jpg"),
    "quotes": ('"id";"path"', '"00005";"a.jpg"|"NA";"my images/b 2.jpg"'),
    "other columns": (
        "ra;dec;note;id;path",
        '1,5;2,5;"two\nlines; and ""more""";00005;a.jpg|1,5;2,5;;NA;my images/b 2.jpg',
    ),
    "backslashes": ("id,path", "00005,a.jpg|NA,my images\\b 2.jpg"),
    "empty lines": ("id,path", "00005,a.jpg||NA,my images/b 2.jpg||"),
}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize("way", WAYS)
def test_a_table_of_paths_is_read_however_it_is_written(way, mark, ends, files, tmp_path):
    header, lines = WAYS[way]
    text = mark + "\n".join([header, *lines.split("|"), ""])
    (tmp_path / "table.csv").write_bytes(text.replace("\n", ends).encode())
    (tmp_path / "TABLE.TSV.GZ").write_bytes(gzip.compress(text[:20].encode()) + gzip.compress(text[20:].encode()))
    for name in ("table.csv", "TABLE.TSV.GZ"):
        assert found(tmp_path / name) == [("00005", DATA[0]), ("NA", DATA[1])]


def test_cells_of_a_table_of_paths_stay_text(files, tmp_path):
    names = ["00005", "1e3", "NA", "null", "True", str(FIRST_ID), "5.0", "1_000", "J1"]
    (tmp_path / "table.csv").write_text("id,path\n" + "".join(f"{name},a.jpg\n" for name in names) + ",a.jpg\n,\n")
    assert [row.id for row in rows_of(tmp_path / "table.csv")] == [*names, "a", "table.csv:10"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("galaxy;where\n1;a.jpg\n", "none of the columns .*; name one of galaxy, where by --image_column"),
        ("a|b\n1|a.jpg\n", "name one of a, b by --image_column"),
        ('id,path\n1,"a.jpg\n2,b.jpg\n3,c.jpg\n', "line 2: unexpected end of data .is a quotation mark not closed"),
        (
            'id,path\n1,a.jpg\n2,"b.jpg\n3,c.jpg"\n',
            "line 3: the path goes over several lines .is a quotation mark not closed",
        ),
        ('id,path\n1,"a.jpg\n2,"b.jpg"\n', "line 2: ',' expected after '\"' .is a quotation mark not closed"),
        ("id,path\n1,a.jpg\n2,b,c.jpg\n", "line 3: 3 cells where the header has 2, separated by commas"),
        ("id,path,ra\n1,a.jpg,1\n2,b.jpg\n", "line 3: 2 cells where the header has 3, separated by commas"),
        ("", "is empty; download it again"),
    ],
)
def test_a_table_of_paths_that_would_lose_rows_is_refused(text, message, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        rows_of(tmp_path / "table.csv")


def test_a_table_in_utf_16_is_refused(tmp_path):
    (tmp_path / "table.csv").write_bytes("id,path\n1,a.jpg\n".encode("utf-16"))
    with pytest.raises(ValueError, match="is not a CSV table in UTF-8"):
        rows_of(tmp_path / "table.csv")


def zipped(files: dict[str, bytes]) -> bytes:
    with BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return file.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    with BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, BytesIO(data))
        return file.getvalue()


def written(**columns) -> bytes:
    with BytesIO() as file:
        pq.write_table(pa.table(columns), file)
        return file.getvalue()


READ_THE_HUB = """
import json, sys
from galaxy_vision.predict.catalogue import open_catalogue
from galaxy_vision.predict.rows import Columns
results = {}
for name, columns in json.loads(sys.argv[1]):
    try:
        opened = open_catalogue(name, None, 8, Columns(**columns))
        rows = [row for part in range(len(opened.part_rows)) for row in opened.rows(part)]
        results[json.dumps([name, columns])] = [[row.id, row.load().hex()] for row in rows]
    except ValueError as error:
        results[json.dumps([name, columns])] = str(error)
print(json.dumps(results))
"""


def test_data_sets_of_the_hub_in_other_formats_and_configurations(galaxies, tmp_path):
    """The bytes of the user's files arrive unchanged through ``datasets``."""
    images = [data for data, *_ in galaxies[:4]]
    folders = {f"train/{'ab'[number % 2]}/J1.{number}.jpg": data for number, data in enumerate(images)}
    configs = [f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("one", "two")]
    card = f"---\nconfigs:\n{''.join(configs)}---\n".encode()
    repos = {
        "a/folder": folders | {"train/.ipynb_checkpoints/x.jpg": b"other"},
        "a/zipped": {"train.zip": zipped({f"images/J1.{number}.jpg": data for number, data in enumerate(images)})},
        "a/tars": {"train-0.tar": tarred({f"{number}.jpg": data for number, data in enumerate(images)})},
        "a/configs": {
            "README.md": card,
            "one/0.parquet": written(id=[b"J1  ", b"J2  "], image=images[:2]),
            "two/0.parquet": written(id=["J3"], image=images[2:3]),
        },
        "a/bands": {"0.parquet": written(image=pa.array([{"band": ["g"], "flux": [1.0]}]))},
    }
    requests = [("a/folder", {}), ("a/zipped", {}), ("a/tars", {"image": "jpg", "id": "__key__"}), ("a/configs", {})]
    requests += [("a/configs", {"config": "one"}), ("a/configs", {"config": "two"}), ("a/configs", {"config": "three"})]
    requests += [("a/bands", {}), ("a/folder", {"split": "test"})]
    with Hub() as hub:
        for name, files in repos.items():
            hub.repos["dataset", name] = {"private": False, "commits": {}}
            hub.commit(hub.repos["dataset", name], files)
        environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
        environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
        command = [sys.executable, "-c", READ_THE_HUB, json.dumps(requests)]
        done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])

    def result_of(name, **columns):
        result = results[json.dumps([name, columns])]
        return result if isinstance(result, str) else sorted((galaxy, bytes.fromhex(data)) for galaxy, data in result)

    named = [(f"J1.{number}", data) for number, data in enumerate(images)]
    assert result_of("a/folder") == result_of("a/zipped") == named
    assert result_of("a/tars", image="jpg", id="__key__") == [(str(number), data) for number, data in enumerate(images)]
    assert result_of("a/configs", config="one") == [("J1", images[0]), ("J2", images[1])]
    assert result_of("a/configs", config="two") == [("J3", images[2])]
    assert "has the configurations one, two; name one of them by --config" in result_of("a/configs")
    assert "config='three' is not in catalogue='a/configs'; it has one, two" in result_of("a/configs", config="three")
    assert "image column 'image' is struct<" in result_of("a/bands")
    assert "split='test' is not in catalogue='a/folder'; it has train" in result_of("a/folder", split="test")
