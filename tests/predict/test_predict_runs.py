"""The identity of a prediction, its exit status, and the names of its columns."""

import itertools
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.predict.column_names import probability_columns
from galaxy_vision.predict.parts import count_rows
from galaxy_vision.predict.run import main


def small_model(folder, names=("smooth", "spiral")) -> str:
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: label for label, name in enumerate(names)}}
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, **labels)
    GalaxyResNetForImageClassification(config).save_pretrained(folder)
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def table(tmp_path, galaxies):
    """Eight galaxies in row groups of one, with two columns of ids and of images, and two folders of the images."""
    rows = {"id": [str(number) for number in range(8)], "image": [data for data, *_ in galaxies[:8]]}
    rows |= {"objid": [f"J{number}" for number in range(8)], "other": rows["image"][::-1]}
    rows["path"] = [f"{number}.jpg" for number in range(8)]
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "table" / "train.parquet", row_group_size=1)
    for root in ("north", "south"):
        (tmp_path / root).mkdir()
        for number, data in enumerate(rows["image" if root == "north" else "other"]):
            (tmp_path / root / f"{number}.jpg").write_bytes(data)
    return tmp_path / "table"


def run(model, catalogue, output_dir, *more, rows_per_part=4, code=0):
    argv = ["--model", model, "--catalogue", str(catalogue), "--output_dir", str(output_dir), "--batch_size", "4"]
    assert main([*argv, "--mixed_precision", "no", "--rows_per_part", str(rows_per_part), *more]) == code
    return pd.read_parquet(output_dir) if code == 0 else None


def kill_after_first_part(output_dir) -> None:
    for part in sorted(output_dir.glob("part-*"))[1:]:
        part.unlink()
    (output_dir / "_SUCCESS.json").unlink()


@pytest.mark.parametrize("kind", ["parquet", "csv", "folder"])
def test_another_cut_into_parts_is_another_run_and_loses_no_row(kind, model, table, tmp_path, capsys):
    """Eight rows are two parts for parts of 4 and of 5 rows, so that parts of both were once mixed, and a row lost."""
    if kind == "csv":
        table = tmp_path / "table.csv"
        table.write_text("id,path\n" + "".join(f"{number},north/{number}.jpg\n" for number in range(8)))
    if kind == "folder":
        table = tmp_path / "north"
    run(model, table, tmp_path / "out", rows_per_part=4)
    kill_after_first_part(tmp_path / "out")
    index = tmp_path / "out" / "_index.arrow"
    before = index.read_bytes() if index.exists() else None
    capsys.readouterr()
    run(model, table, tmp_path / "out", rows_per_part=5, code=2)
    error = capsys.readouterr().err
    assert "is of another run (rows_per_part 4, now 5); give another output_dir, or remove it" in error
    assert (index.read_bytes() if index.exists() else None) == before  # the index of the existing parts
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == sorted(
        ["part-00000-of-00002.parquet", *(["_index.arrow"] if before else [])]
    )
    assert run(model, table, tmp_path / "out", rows_per_part=4)["id"].tolist() == [str(number) for number in range(8)]


PATHS = ("--image_column", "path", "--image_root")


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ((), ("--id_column", "objid"), "id_column None, now 'objid'"),
        ((), ("--image_column", "other"), "image_column None, now 'other'"),
        ((), ("--embedding",), "embedding False, now True"),
        ((), ("--rotations", "4"), "rotations 1, now 4"),
        ((), ("--batch_size", "2"), "batch_size 4, now 2"),
        ((), ("--split", "train"), "split None, now 'train'"),
        ((*PATHS, "north"), (*PATHS, "south"), "image_root "),
        ((), ("--backend", "openvino"), "backend 'torch', now 'openvino'"),
        ((), ("--hdu", "SCI"), "reading None, now {'hdu': 'SCI'}"),
        (("--bands", "2", "1", "0"), ("--bands", "i", "r", "g"), "reading {'bands': [2, 1, 0]}, now {'bands': ['i', "),
        ((), ("--stretch", "linear"), "reading None, now {'stretch': 'linear'}"),
        (("--survey", "sdss"), ("--survey", "legacy"), "reading {'survey': 'sdss'}, now {'survey': 'legacy'}"),
    ],
)
def test_whatever_changes_rows_columns_or_values_is_another_run(
    first, second, named, model, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("galaxy_vision.predict.run.describe_parts", describe_nothing)
    try:
        main(arguments(model, table, *first))
    except FileNotFoundError:
        pass
    (part,) = (tmp_path / "out").glob("part-*")
    assert main(arguments(model, table, *second)) == 2
    assert named in capsys.readouterr().err
    assert part.exists()


def arguments(model, table, *more) -> list[str]:
    argv = ["--model", model, "--catalogue", str(table), "--output_dir", "out", "--batch_size", "4"]
    return [*argv, "--rows_per_part", "4", "--mixed_precision", "no", *more]


def describe_nothing(catalogue, parts, models, writer, workers, bar) -> None:
    """Write only the first part, without rows, and end as if killed."""
    writer._open(0)
    writer.finish(0)
    raise FileNotFoundError("killed")


def test_the_folder_of_paths_may_be_named_in_another_way(model, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run(model, table, tmp_path / "out", *PATHS, "north")
    kill_after_first_part(tmp_path / "out")
    again = run(model, table, tmp_path / "out", *PATHS, str(tmp_path / "south" / ".." / "north"), "--num_workers", "2")
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_while_parts_are_missing_there_is_no_sign_of_success(model, table, tmp_path, monkeypatch):
    run(model, table, tmp_path / "out")
    next((tmp_path / "out").glob("part-*")).unlink()
    monkeypatch.setattr("galaxy_vision.predict.run.describe_parts", describe_nothing)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="killed"):
        main(arguments(model, table))
    assert not (tmp_path / "out" / "_SUCCESS.json").exists()


def test_a_part_that_is_damaged_or_short_is_named(model, table, tmp_path, capsys):
    run(model, table, tmp_path / "out")
    part = tmp_path / "out" / "part-00001-of-00002.parquet"
    whole = pq.read_table(part)
    pq.write_table(whole.slice(0, 3), part)
    run(model, table, tmp_path / "out", code=2)
    assert (
        "part-00001-of-00002.parquet has 3 rows, and its part of the catalogue 4; remove it" in capsys.readouterr().err
    )
    part.write_bytes(part.read_bytes()[:-10])
    run(model, table, tmp_path / "out", code=2)
    assert "part-00001-of-00002.parquet is damaged" in capsys.readouterr().err
    with pytest.raises(ValueError, match="has 4 rows, and its part of the catalogue 9"):
        count_rows(tmp_path / "out", [9, None])


@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_a_run_in_which_no_image_could_be_read_does_not_end_well(kind, model, tmp_path, capsys):
    (tmp_path / "0.jpg").write_bytes(b"not an image")
    folder = "" if kind == "damaged" else "elsewhere/"
    (tmp_path / "table.csv").write_text("id,path\n" + f"1,{folder}0.jpg\n" * 5)
    run(model, tmp_path / "table.csv", tmp_path / "out", code=1)
    captured = capsys.readouterr()
    assert f"5 rows (5 {kind})" in captured.out
    assert f"error: no image could be read; table.csv:0 is {kind}: " in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "out" / "_SUCCESS.json").exists()
    run(model, tmp_path / "table.csv", tmp_path / "out", code=1)  # again, without computing anything


def test_one_image_that_could_be_read_is_enough(model, table, tmp_path):
    (tmp_path / "table.csv").write_text("id,path\n" + "1,elsewhere.jpg\n" * 5 + "2,north/0.jpg\n")
    assert run(model, tmp_path / "table.csv", tmp_path / "out")["status"].tolist() == [*["missing"] * 5, "ok"]


def test_of_several_processes_one_says_what_is_wrong(model, table, tmp_path, capsys, monkeypatch):
    """The other processes end with the same status, instead of waiting for a plan."""
    monkeypatch.setattr("accelerate.Accelerator.is_main_process", False)
    monkeypatch.setattr("galaxy_vision.predict.run.broadcast_object_list", lambda made: [None, "is of another run"])
    with pytest.raises(SystemExit) as ended:
        run(model, table, tmp_path / "out")
    assert ended.value.code == 2
    assert "is of another run" not in capsys.readouterr().err


AWKWARD = ["S b", "S-b", "S_b", "s B", "E/S0", "Sérsic", "S,b;", "", "螺旋"]


def test_columns_of_classes_with_awkward_names_are_opened_by_pandas_astropy_and_fits(table, tmp_path):
    model = small_model(tmp_path / "awkward", AWKWARD)
    frame = run(model, table, tmp_path / "out")
    columns = [name for name in frame.columns if name.startswith("probability_")]
    assert columns == probability_columns(AWKWARD) and len(columns) == len(AWKWARD)
    assert columns[:6] == [
        "probability_S_b_0",
        "probability_S_b_1",
        "probability_S_b_2",
        "probability_s_B_3",
        "probability_E_S0",
        "probability_Sersic",
    ]
    assert frame[columns].sum(axis=1).round(4).eq(1).all()
    best = frame[columns].idxmax(axis=1).map(dict(zip(columns, AWKWARD, strict=True)))
    assert (best == frame["class"]).all()
    read = Table.read(tmp_path / "out" / "part-00000-of-00002.parquet")
    read["class"] = [name.encode("ascii", "replace").decode() for name in read["class"]]
    read.write(tmp_path / "table.fits")
    assert Table.read(tmp_path / "table.fits").colnames == list(frame.columns)
    manifest = json.loads((tmp_path / "out" / "_SUCCESS.json").read_text())
    assert manifest["class_names"] == AWKWARD and manifest["class_columns"] == columns


@given(
    st.lists(
        st.one_of(st.text(max_size=6), st.sampled_from(["S b", "S-b", "s_b", "S_b_0", "S_b_1", "s b 1"])), max_size=12
    )
)
def test_columns_of_classes_never_share_a_name(names):
    columns = probability_columns(names)
    assert len({column.lower() for column in columns}) == len(columns) == len(names)
    assert all(column.isascii() and column.replace("_", "").isalnum() for column in columns)


def test_usual_names_of_classes_are_as_ever():
    columns = {"elliptical": "elliptical", "barred spiral": "barred_spiral", "edge-on disc": "edge_on_disc", "S0": "S0"}
    for names in itertools.permutations(columns):
        assert probability_columns(names) == [f"probability_{columns[name]}" for name in names]
