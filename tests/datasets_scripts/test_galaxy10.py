"""Galaxy10 DECaLS from its file, and labelled sets of the Hub, in their published layouts with simulated pixels."""

import io

import h5py
import numpy as np
import pytest
from conftest import build, builder
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PillowImage

from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.splits import split_of, split_of_position

NUM = 120
NAMES = list(load_campaign("galaxy10_decals").tree.questions[0].answers)


@pytest.fixture(scope="module")
def columns(galaxies):
    rng = np.random.default_rng(0)
    pixels = np.stack([np.asarray(PillowImage.open(io.BytesIO(jpeg)).resize((64, 64))) for jpeg, _, _ in galaxies] * 2)
    redshift = rng.uniform(0, 0.2, NUM)
    redshift[::7] = np.nan
    return {
        "images": pixels,
        "ans": (np.arange(NUM) % 10).astype(np.uint8),
        "ra": rng.uniform(0, 360, NUM),
        "dec": rng.uniform(-30, 80, NUM),
        "redshift": redshift,
        "pxscale": np.full(NUM, 0.262),
    }


def file_of(folder, columns: dict, **settings) -> str:
    with h5py.File(folder / "Galaxy10_DECals.h5", "w") as file:
        for key, values in columns.items():
            file.create_dataset(key, data=values, **(settings if key == "images" else {}))
    return str(folder / "Galaxy10_DECals.h5")


def rows_of(data) -> dict:
    return {row["id"]: row | {"split": split} for split, rows in data.items() for row in rows}


@pytest.mark.parametrize("settings", [{}, {"compression": "gzip", "chunks": (50, 8, 8, 1)}])
def test_every_pixel_label_and_position_arrives_in_chunks_and_compressed(tmp_path, columns, settings):
    data = build("galaxy10_decals", tmp_path / "out", images=file_of(tmp_path, columns, **settings))
    assert data["train"].features["label"].names == NAMES
    rows = rows_of(data)
    assert len(rows) == NUM > 100  # more than are read at once
    for index in range(NUM):
        row = rows[f"galaxy10-{index:05d}"]
        assert np.array_equal(np.asarray(row["image"]), columns["images"][index])
        assert row["label"] == columns["ans"][index]
        assert (row["ra"], row["dec"]) == (columns["ra"][index], columns["dec"][index])
        assert np.allclose(row["redshift"], columns["redshift"][index], equal_nan=True)
        assert row["pxscale"] == np.float32(0.262)
        assert row["split"] == split_of_position(row["ra"], row["dec"])


def test_jpeg_is_near_the_pixels_and_splits_may_follow_the_id(tmp_path, columns):
    arguments = {"images": file_of(tmp_path, columns), "format": "jpeg", "split_by": "id"}
    rows = rows_of(build("galaxy10_decals", tmp_path / "out", **arguments))
    for index, (galaxy_id, row) in enumerate(sorted(rows.items())):
        assert row["image"].format == "JPEG" and row["split"] == split_of(galaxy_id)
        assert np.abs(np.asarray(row["image"], dtype=int) - columns["images"][index]).mean() < 5


def test_the_built_folder_trains_with_its_ten_classes(tmp_path, columns):
    build("galaxy10_decals", tmp_path / "out", images=file_of(tmp_path, columns))
    data = load_galaxies(str(tmp_path / "out"))
    assert data["train"].features["label"].names == NAMES
    assert sum(map(len, data.values())) == NUM


def test_rows_without_class_or_position_are_dropped_and_listed(tmp_path, columns):
    labels, ra = columns["ans"].copy(), columns["ra"].copy()
    labels[3], ra[5] = 10, np.nan
    data = build("galaxy10_decals", tmp_path / "out", images=file_of(tmp_path, columns | {"ans": labels, "ra": ra}))
    assert set(map("galaxy10-{:05d}".format, range(NUM))) - set(rows_of(data)) == {"galaxy10-00003", "galaxy10-00005"}
    dropped = (tmp_path / "out" / "dropped.tsv").read_text()
    assert "galaxy10-00003\tlabel outside 0..9: 10" in dropped
    assert "galaxy10-00005\tra=nan, dec=" in dropped


def spoiled(columns: dict) -> dict[str, dict]:
    return {
        "has no ra, dec, redshift, pxscale; give Galaxy10_DECals.h5": {key: columns[key] for key in ("images", "ans")},
        "they must be (N, H, W, 3) uint8": columns | {"images": columns["images"] / 255},
        "has 120 images, and {'dec': (7,)}": columns | {"dec": columns["dec"][:7]},
        "has no rows": {key: values[:0] for key, values in columns.items()},
    }


@pytest.mark.parametrize("number", range(4))
def test_files_of_another_form_are_refused_in_one_sentence(tmp_path, columns, number, capsys):
    message, changed = list(spoiled(columns).items())[number]
    assert message in refused(tmp_path, file_of(tmp_path, changed), capsys)


def refused(tmp_path, path: str, capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        builder("galaxy10_decals")(["--images", path, "--output_dir", str(tmp_path / "out")])
    assert stopped.value.code == 2 and not (tmp_path / "out").exists()
    return capsys.readouterr().err


def test_a_damaged_chunk_is_named_by_its_row(tmp_path, columns, capsys):
    path = file_of(tmp_path, columns, compression="gzip", chunks=(120, 64, 64, 3))
    data = bytearray(open(path, "rb").read())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    open(path, "wb").write(data)
    assert f"{path} is damaged from row 0 on (" in refused(tmp_path, path, capsys)


def test_missing_and_cut_off_files_are_refused(tmp_path, columns, capsys):
    assert "is not a file; give Galaxy10_DECals.h5" in refused(tmp_path, str(tmp_path / "none.h5"), capsys)
    path = file_of(tmp_path, columns)
    data = open(path, "rb").read()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    assert "is not a complete HDF5 file" in refused(tmp_path, str(tmp_path / "cut.h5"), capsys)


@pytest.mark.parametrize(
    ("label", "names"), [(ClassLabel(names=NAMES), NAMES), (Value("int64"), [str(number) for number in range(10)])]
)
def test_labelled_sets_of_the_hub_load_as_they_are(tmp_path, columns, label, names):
    """As matthieulel/galaxy10_decals and galaxy_mnist: train and test, an image and a label of integers or classes."""
    (tmp_path / "data").mkdir()
    features = Features({"image": Image(), "label": label, "id_str": Value("string")})
    for split, part in (("train", slice(0, 100)), ("test", slice(100, NUM))):
        rows = {
            "image": [PillowImage.fromarray(pixels) for pixels in columns["images"][part]],
            "label": columns["ans"][part].tolist(),
            "id_str": [f"{split}_galaxy_{number}" for number in range(len(columns["ans"][part]))],
        }
        Dataset.from_dict(rows, features).to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    data = load_galaxies(str(tmp_path))
    assert data["train"].features["label"].names == names
    assert data["test"]["label"] == columns["ans"][100:].tolist()
    assert set(data) == {"train", "validation", "test"}
