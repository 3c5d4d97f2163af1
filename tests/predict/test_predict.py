"""Predictions write every row of a catalogue once, also after broken images, kills and with several processes."""

import json
import random
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from catalogues import FIRST_ID, images_in, make_tars, make_zip
from conftest import NATIVE_BF16, in_two_processes, new_process
from filelock import FileLock
from PIL import Image
from transformers import AutoModelForImageClassification

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.cli import main as console
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.models.decision_tree import ANSWERS, QUESTION_SLICES
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer
from galaxy_vision.predict.models import Models
from galaxy_vision.predict.run import main

NAMES = ["elliptical", "barred spiral", "edge-on disc"]


def small_model(folder, **settings):
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {name: label for label, name in enumerate(NAMES)}}
    config = GalaxyResNetConfig(**({"backbone": "test_resnet", "image_size": 32} | labels | settings))
    GalaxyResNetForImageClassification(config).save_pretrained(folder)
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def images(tmp_path_factory, galaxies):
    return images_in(tmp_path_factory.mktemp("images"), galaxies)


def run(model, catalogue, output_dir, *more, code=0):
    argv = ["--model", str(model), "--catalogue", str(catalogue), "--output_dir", str(output_dir)]
    assert main([*argv, "--batch_size", "8", "--rows_per_part", "8", *more]) == code
    return pd.read_parquet(output_dir) if code == 0 else None


@pytest.fixture(scope="module")
def clean(model, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return folder, run(model, images, folder, "--embedding")


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_network_whose_normalisation_cannot_be_merged_predicts_what_it_says(backend, images, tmp_path):
    folder = small_model(tmp_path / "lite", backbone="tf_efficientnet_lite0")
    rows = run(folder, images, tmp_path / "out", "--embedding", "--backend", backend, "--mixed_precision", "no")
    model = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=False).eval()
    processor, files = GalaxyImageProcessor.from_pretrained(folder), {path.stem: path for path in images.rglob("*.jpg")}
    described = rows[(rows["status"] == "ok") & rows["id"].isin(files)].head(5)
    assert len(described) == 5
    pixels = processor([read_rgb(files[key]) for key in described["id"]], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        known = model.backbone(pixels)
    assert np.allclose(np.stack(described["embedding"]), known, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"hdu": "BACK"},
        {"bands": ["i", "r", "g"]},
        {"survey": "legacy"},
        {"stretch": "linear"},
        {"bands": ["1"], "hdu": "CUBE", "stretch": "linear"},
    ],
)
@pytest.mark.parametrize("by_json", [False, True])
def test_options_of_reading_are_those_of_read_rgb_for_fits_files_and_other_files_are_read_as_ever(
    options, by_json, model, images, tmp_path
):
    rng, hdus = np.random.default_rng(0), fits.HDUList([fits.PrimaryHDU()])
    for name in ("g", "i", "back", "r", "z"):
        hdus.append(fits.ImageHDU(rng.gamma(1, 99, (32, 32)).astype(np.float32), name=name))
    hdus.append(fits.ImageHDU(rng.gamma(1, 99, (4, 32, 32)).astype(np.float32), name="cube"))
    (tmp_path / "images").mkdir()
    hdus.writeto(tmp_path / "images" / "a.fits.gz")
    shutil.copy(next(images.rglob("*.jpg")), tmp_path / "images" / "b.jpg")
    if by_json:
        (tmp_path / "run.json").write_text(json.dumps(options))
        argv = [str(tmp_path / "run.json")]
    else:
        argv = [word for name, value in options.items() for word in (f"--{name}", *np.atleast_1d(value))]
    argv += ["--model", str(model), "--catalogue", str(tmp_path / "images"), "--output_dir", str(tmp_path / "out")]
    assert main([*argv, "--mixed_precision", "no", "--embedding"]) == 0
    rows = pd.read_parquet(tmp_path / "out")
    assert rows["status"].tolist() == ["ok", "ok"]
    (tmp_path / "seen").mkdir()
    stretch = {name: value for name, value in options.items() if name in ("stretch", "survey")}
    read_rgb(tmp_path / "images" / "a.fits.gz", **options).save(tmp_path / "seen" / "a.png")
    read_rgb(tmp_path / "images" / "b.jpg", **stretch).save(tmp_path / "seen" / "b.png")
    argv = ["--model", str(model), "--catalogue", str(tmp_path / "seen"), "--output_dir", str(tmp_path / "known")]
    assert main([*argv, "--mixed_precision", "no", "--embedding"]) == 0
    known = pd.read_parquet(tmp_path / "known")
    assert (np.stack(rows["embedding"]) == np.stack(known["embedding"])).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--survey", "lsst"], "survey='lsst' is not one of sdss, legacy, panstarrs, hst, euclid"),
        (["--stretch", "log"], "stretch='log' is not one of auto, asinh, linear"),
        (["--bands", "i", "r"], "2 are not one (grey), nor three as red, green, blue"),
        (["--bands", "i", "1", "0"], "mixes names and numbers"),
    ],
)
def test_options_of_reading_that_cannot_be_are_refused_before_a_model_is_loaded(options, sentence, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "none", "--catalogue", "none", "--output_dir", str(tmp_path), *options])
    assert sentence in capsys.readouterr().err


def test_each_row_says_what_the_model_says_of_its_image(clean, model, images):
    table = clean[1].set_index("id")
    classifier = AutoModelForImageClassification.from_pretrained(model, trust_remote_code=False).eval()
    processor = GalaxyImageProcessor.from_pretrained(model)
    atol = 2e-2 if NATIVE_BF16 else 1e-5
    for number in (0, 26, 59):
        row = table.loc[str(FIRST_ID + number)]
        with torch.inference_mode():
            outputs = classifier(**processor(read_rgb((images / row["source"]).read_bytes()), return_tensors="pt"))
        expected = outputs.logits.softmax(-1)[0]
        assert row["class"] == NAMES[int(expected.argmax())]
        probabilities = [row[f"probability_{name}"] for name in ("elliptical", "barred_spiral", "edge_on_disc")]
        assert np.allclose(probabilities, expected, atol=atol)
        votes = classifier.predict_fractions(outputs)
        for kind, values in (("fraction", votes.conditional), ("lower", votes.lower), ("upper", votes.upper)):
            assert np.allclose([row[f"{answer}_{kind}"] for answer in ANSWERS], values[0], atol=atol)
        reach = [votes.reach[0, answers.start] for answers in QUESTION_SLICES.values()]
        assert np.allclose([row[f"{question}_reach"] for question in QUESTION_SLICES], reach, atol=atol)
        with torch.inference_mode():
            pixels = processor(read_rgb((images / row["source"]).read_bytes()), return_tensors="pt").pixel_values
            expected = classifier.backbone(pixels)
        assert np.allclose(row["embedding"], expected[0], atol=10 * atol)


def test_a_broken_image_is_a_row_that_says_why(clean):
    table = clean[1].set_index("id")
    assert len(table) == 60
    assert table["status"].value_counts().to_dict() == {"ok": 58, "damaged": 2}
    damaged = table.loc[[str(FIRST_ID + 7), str(FIRST_ID + 30)]]
    assert damaged["error"].str.contains("damaged|0 bytes").all()
    assert (damaged["class"] == "").all() and damaged["probability_elliptical"].isna().all()
    assert damaged["embedding"].isna().all()
    manifest = json.loads((clean[0] / "_SUCCESS.json").read_text())
    assert manifest["rows_by_status"] == {"damaged": 2, "ok": 58} and manifest["class_names"] == NAMES


def test_astropy_reads_a_part(model, images, tmp_path):
    table = run(model, images, tmp_path)
    first = Table.read(sorted(tmp_path.glob("part-*"))[0])
    assert list(first["id"]) == list(table["id"][:8])
    assert np.isnan(first["probability_elliptical"][7])


def test_rows_with_the_same_id_are_all_kept_and_told_apart_by_source(model, galaxies, tmp_path):
    for inside in ("a", "b"):
        (tmp_path / "images" / inside).mkdir(parents=True)
        (tmp_path / "images" / inside / "1.jpg").write_bytes(galaxies[inside == "b"][0])
    table = run(model, tmp_path / "images", tmp_path / "out")
    assert table["id"].tolist() == ["1", "1"] and table["source"].tolist() == ["a/1.jpg", "b/1.jpg"]


def test_a_table_names_its_columns_and_a_file_that_is_not_there(model, images, tmp_path):
    one = next(images.rglob("*.jpg"))
    text = f"galaxy,where\n{FIRST_ID},{one}\n{FIRST_ID + 1},nowhere.jpg\n{FIRST_ID + 2},\n"
    (tmp_path / "table.csv").write_text(text)
    names = ["--id_column", "galaxy", "--image_column", "where"]
    table = run(model, tmp_path / "table.csv", tmp_path / "out", *names)
    assert table["id"].tolist() == [str(FIRST_ID + number) for number in range(3)]
    assert table["status"].tolist() == ["ok", "missing", "missing"]


def test_what_cannot_be_used_is_named(model, images, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "none.csv").write_text("id,path\n")
    (tmp_path / "cut.zip").write_bytes(make_zip(images, tmp_path / "images.zip").read_bytes()[:5000])
    make_tars(images, tmp_path / "tars")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "tars" / "shard-0000.tar").read_bytes()[:9000])
    (tmp_path / "images.rar").write_bytes(b"")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"id": [5.877e17], "image": [b""]}), tmp_path / "float.parquet")
    pq.write_table(pa.table({"id": ["1"], "image": [b""]}).slice(0, 0), tmp_path / "none.parquet")
    for catalogue, message in (
        ("empty", "holds no row, or no image"),
        ("nowhere.zip", "does not exist"),
        ("table.csv", "name one of a, b by --image_column"),
        ("none.csv", "holds no row"),
        ("none.parquet", "has no row"),
        ("cut.zip", "not a complete zip"),
        ("cut.tar", "not a complete, uncompressed tar"),
        ("cut.parquet", "cut.parquet cannot be read as Parquet: Parquet file size is 4 bytes"),
        ("images.rar", "unpack other archives"),
        ("float.parquet", "cannot hold 18 digits"),
    ):
        run(model, tmp_path / catalogue, tmp_path / "out", code=2)
        assert message in capsys.readouterr().err, catalogue
    run(tmp_path / "empty", images, tmp_path / "out", code=2)
    assert "model=" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="cannot write .*none.csv: File exists; give another folder"):
        main(arguments(model, images, tmp_path / "none.csv"))


def test_the_output_of_another_run_is_not_mixed_in(clean, model, images, tmp_path, capsys):
    shutil.copytree(clean[0], tmp_path / "out")
    run(model, images, tmp_path / "out", code=2)
    assert "embedding True, now False" in capsys.readouterr().err
    run(small_model(tmp_path / "other", drop_rate=0.1), images, tmp_path / "out", "--embedding", code=2)
    assert "model_fingerprint" in capsys.readouterr().err
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "new.jpg").write_bytes(b"")
    run(model, tmp_path / "images", tmp_path / "out", "--embedding", code=2)
    assert "catalogue_fingerprint" in capsys.readouterr().err


def same_parts(one, other):
    names = sorted(path.name for path in one.glob("part-*"))
    assert names == sorted(path.name for path in other.glob("part-*"))
    return all(pq.read_table(one / name).equals(pq.read_table(other / name)) for name in names)


def arguments(model, images, output_dir) -> list[str]:
    argv = ["--model", model, "--catalogue", str(images), "--output_dir", str(output_dir), "--embedding"]
    return [*argv, "--batch_size", "8", "--rows_per_part", "8"]


def test_two_processes_write_the_rows_of_one(clean, model, images, tmp_path):
    assert in_two_processes(main, arguments(model, images, tmp_path)) == [0, 0]
    assert json.loads((tmp_path / "_SUCCESS.json").read_text())["num_processes"] == 2
    assert same_parts(clean[0], tmp_path)


def test_a_run_killed_at_random_moments_goes_on_to_the_same_rows(clean, model, images, tmp_path):
    generator, whole, longest = random.Random(0), [], 0.2
    while len(whole) < 3:
        running = new_process(main, arguments(model, images, tmp_path))
        running.start()
        while running.is_alive() and not list(tmp_path.glob("_part-*")):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, longest))
        running.kill()  # SIGKILL
        running.join()
        if running.exitcode == 0 and not whole:  # a fast machine finished before it could be killed
            longest /= 2
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
            continue
        whole.append(
            sum(len(pq.read_table(part)) for part in tmp_path.glob("part-*"))
        )  # parts under their final name are complete
        for path in tmp_path.glob("_part-*"):
            path.write_bytes(b"half a part")
        if running.exitcode == 0:
            break
        assert running.exitcode == -signal.SIGKILL
    assert whole == sorted(whole)
    assert len(run(model, images, tmp_path, "--embedding")) == 60
    assert same_parts(clean[0], tmp_path)
    assert not list(tmp_path.glob("_part-*"))


def test_a_finished_part_is_not_computed_again(clean, model, images, tmp_path):
    shutil.copytree(clean[0], tmp_path / "out")
    parts = sorted((tmp_path / "out").glob("part-*"))
    parts[1].unlink()
    times = {part: part.stat().st_mtime_ns for part in parts if part != parts[1]}
    run(model, images, tmp_path / "out", "--embedding")
    assert {part: part.stat().st_mtime_ns for part in times} == times
    assert same_parts(clean[0], tmp_path / "out")


def test_a_broken_neighbour_changes_no_bit_of_a_row(clean, model, images, tmp_path):
    shutil.copytree(images, tmp_path / "images")
    whole = sorted((tmp_path / "images").rglob("*.jpg"))
    whole[7].write_bytes(whole[6].read_bytes())
    table = run(model, tmp_path / "images", tmp_path / "out", "--embedding")
    keep = [number for number in range(60) if number != 7]
    pd.testing.assert_frame_equal(table.iloc[keep], clean[1].iloc[keep], check_exact=True)


def test_fields_are_framed_doubted_and_said_and_a_frame_is_part_of_the_run(model, images, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    galaxy = read_rgb(next(images.rglob("*.jpg")))
    galaxy.save(tmp_path / "images" / "a.png")
    wide = Image.new("RGB", (3 * galaxy.width, 3 * galaxy.height), galaxy.getpixel((0, 0)))
    wide.paste(galaxy, (galaxy.width // 2, galaxy.height))
    wide.save(tmp_path / "images" / "b.png")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "images" / "c.png")
    (tmp_path / "images" / "d.png").write_bytes(b"text")
    table = run(model, tmp_path / "images", tmp_path / "auto", "--embedding")
    reading, doubts = table["reading"].tolist(), table["doubts"].tolist()
    assert table["status"].tolist() == ["ok", "ok", "ok", "damaged"]
    assert "times closer" in reading[1] and reading[3] == doubts[3] == ""
    assert doubts[2].startswith("blank: ")
    as_is = run(model, tmp_path / "images", tmp_path / "as_is", "--embedding", "--frame", "as_is")
    assert as_is["reading"].tolist() == ["", "", "", ""] and as_is["doubts"][2].startswith("blank: ")
    distance = [
        np.linalg.norm(frames["embedding"][1] - as_is["embedding"][0]) for frames in (table, as_is)
    ]  # of the wide field from the galaxy itself, framed and not
    assert distance[0] < 0.5 * distance[1]
    plain = run(model, tmp_path / "images", tmp_path / "plain", "--embedding", "--frame", "as_is", "--no_doubts")
    assert plain["doubts"].tolist() == ["", "", "", ""] and plain["status"].tolist() == as_is["status"].tolist()
    assert all(np.array_equal(*pair) for pair in zip(plain["embedding"][:3], as_is["embedding"][:3], strict=True))
    with pytest.raises(SystemExit):
        run(model, tmp_path / "images", tmp_path / "other", "--no_doubts")
    assert "doubts=False does not go with frame='auto'" in capsys.readouterr().err
    run(model, tmp_path / "images", tmp_path / "auto", "--embedding", "--frame", "as_is", code=2)
    assert "frame 'auto', now 'as_is'" in capsys.readouterr().err


def test_a_model_without_votes_gives_classes_and_a_captioner_captions(images, tmp_path, capsys):
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a spiral galaxy with two arms.", "an elliptical galaxy."])
    config = GalaxyCaptionerConfig(backbone="test_resnet", image_size=64, vocab_size=len(tokenizer), hidden_size=16)
    GalaxyCaptionerForConditionalGeneration(config).save_pretrained(tmp_path / "captioner")
    GalaxyCaptionerProcessor(GalaxyImageProcessor(), tokenizer).save_pretrained(tmp_path / "captioner")
    plain = small_model(tmp_path / "plain", predict_votes=False)
    argv = ["predict", "--model", plain, "--catalogue", str(images / "north"), "--output_dir", str(tmp_path / "out")]
    assert console([*argv, "--captioner", str(tmp_path / "captioner"), "--batch_size", "25"]) == 0
    assert "25 rows (1 damaged, 24 ok)" in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "out")
    given = ["id", "source", "status", "error", "reading", "doubts", "class"]
    assert list(table.columns)[:7] == given and table.columns[-1] == "caption"
    assert len(table.columns) == 11
    assert (table["caption"][table["status"] == "ok"].str.len() > 0).all()
    assert (table["caption"][table["status"] != "ok"] == "").all()


def test_threads_change_no_bit_and_mix_no_rows(images, model, tmp_path, monkeypatch):
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a spiral galaxy with two arms.", "an elliptical galaxy."])
    config = GalaxyCaptionerConfig(backbone="test_resnet", image_size=64, vocab_size=len(tokenizer), hidden_size=16)
    GalaxyCaptionerForConditionalGeneration(config).save_pretrained(tmp_path / "captioner")
    GalaxyCaptionerProcessor(GalaxyImageProcessor(), tokenizer).save_pretrained(tmp_path / "captioner")
    more = ["--embedding", "--captioner", str(tmp_path / "captioner"), "--rotations", "4"]
    one, many = (run(model, images, tmp_path / name, *more, "--num_workers", name) for name in ("1", "6"))
    pd.testing.assert_frame_equal(one, many, check_exact=True)
    assert same_parts(tmp_path / "1", tmp_path / "6")
    assert one["embedding"].dropna().map(tuple).nunique() == 58

    class AsOnADevice(Models):
        whole_batches = property(lambda self: False, lambda self, value: None)

    monkeypatch.setattr("galaxy_vision.predict.models.Models", AsOnADevice)
    device = run(model, images, tmp_path / "device", *more)
    numbers = [name for name in one.columns if one[name].dtype.kind == "f"]
    assert np.allclose(one[numbers], device[numbers], atol=1e-5, equal_nan=True)
    pd.testing.assert_frame_equal(
        one.drop(columns=[*numbers, "embedding"]), device.drop(columns=[*numbers, "embedding"])
    )


def test_two_runs_in_one_folder_refuse_each_other(model, images, tmp_path, capsys):
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(SystemExit, match="in use by another run; wait for it, or give another folder"),
    ):
        main(arguments(model, images, tmp_path))
    assert not list(tmp_path.glob("part-*"))
