"""The graph of OpenVINO says what the model says."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.cli import main as console
from galaxy_vision.inference.openvino import GRAPH, to_openvino

openvino = pytest.importorskip("openvino", reason="export needs the extra: pip install -e '.[export]'")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="test_resnet", image_size=32)).save_pretrained(
        folder
    )
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory, galaxies):
    folder = tmp_path_factory.mktemp("images")
    for index, (data, *_) in enumerate(galaxies[:20]):
        (folder / f"{index:02}.jpg").write_bytes(data if index != 7 else data[: len(data) // 2])
    return folder


def predict(model, images, output_dir, *more, code=0):
    argv = [
        "predict",
        "--model",
        model,
        "--catalogue",
        str(images),
        "--output_dir",
        str(output_dir),
        "--mixed_precision",
        "no",
    ]
    assert console([*argv, "--batch_size", "4", "--num_workers", "2", "--rows_per_part", "8", *more]) == code
    return pd.read_parquet(output_dir) if code == 0 else None


@pytest.fixture(scope="module")
def both(model, images, tmp_path_factory):
    """Folder and rows of the same run by each backend."""
    folders = [tmp_path_factory.mktemp(backend) for backend in ("torch", "openvino")]
    return [
        (folder, predict(model, images, folder, "--embedding", "--backend", name))
        for folder, name in zip(folders, ("torch", "openvino"), strict=True)
    ]


@pytest.mark.parametrize("votes", [True, False])
def test_a_written_graph_says_what_the_model_says_of_batches_of_any_length(votes, tmp_path, capsys):
    torch.manual_seed(1)
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, predict_votes=votes)
    classifier = GalaxyResNetForImageClassification(config).eval()
    classifier.save_pretrained(tmp_path / "model")
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "model")
    assert console(["export", "--model", str(tmp_path / "model"), "--output_dir", str(tmp_path / "graph")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "graph" / GRAPH)
    graph = openvino.Core().compile_model(tmp_path / "graph" / GRAPH, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for count in (1, 5):
        pixels = torch.randn(count, 3, 32, 32)
        with torch.inference_mode():
            known, features = classifier(pixel_values=pixels), classifier.backbone(pixels)
        computed = graph({"pixel_values": pixels.numpy()})
        assert [port.any_name for port in graph.outputs] == ["logits"] + ["vote_concentration"] * votes + ["features"]
        for name, value in (
            ("logits", known.logits),
            ("vote_concentration", known.vote_concentration),
            ("features", features),
        ):
            if value is not None:
                assert np.allclose(computed[name], value, rtol=1e-4, atol=1e-4), name
    assert json.loads((tmp_path / "graph" / "config.json").read_text())["predict_votes"] is votes
    assert GalaxyImageProcessor.from_pretrained(tmp_path / "graph").size["height"] == 32


def test_the_graph_takes_the_size_of_the_processor_only(model):
    graph = to_openvino(GalaxyResNetForImageClassification.from_pretrained(model).eval(), 48)
    assert graph.input("pixel_values").partial_shape.to_string() == "[?,3,48,48]"


def test_a_prediction_by_openvino_has_the_classes_and_numbers_of_torch(both):
    known, exported = (table for _, table in both)
    numbers = [name for name in known.columns if known[name].dtype.kind == "f"]
    assert len(numbers) > 100 and (known["status"] == "ok").sum() == 19
    assert np.allclose(known[numbers], exported[numbers], rtol=1e-4, atol=1e-5, equal_nan=True)
    others = [name for name in known.columns if name not in (*numbers, "embedding")]
    pd.testing.assert_frame_equal(known[others], exported[others])
    assert np.allclose(np.stack(known["embedding"].dropna()), np.stack(exported["embedding"].dropna()), atol=1e-4)


def test_turned_images_are_averaged_as_by_torch(model, images, tmp_path):
    tables = [
        predict(model, images, tmp_path / name, "--rotations", "8", "--backend", name) for name in ("torch", "openvino")
    ]
    numbers = [name for name in tables[0].columns if tables[0][name].dtype.kind == "f"]
    assert np.allclose(tables[0][numbers], tables[1][numbers], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_threads_change_no_bit_of_openvino(both, model, images, tmp_path):
    one = predict(model, images, tmp_path, "--embedding", "--backend", "openvino", "--num_workers", "1")
    pd.testing.assert_frame_equal(one, both[1][1], check_exact=True)


def test_a_run_does_not_go_on_with_another_backend(both, model, images, capsys):
    next(both[0][0].glob("part-*")).unlink()
    predict(model, images, both[0][0], "--embedding", "--backend", "openvino", code=2)
    assert "backend 'torch', now 'openvino'" in capsys.readouterr().err


def test_without_the_package_one_sentence_says_what_to_install(model, images, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    predict(model, images, tmp_path / "out", "--backend", "openvino", code=2)
    assert "pip install 'galaxy_vision[export]'" in capsys.readouterr().err
    assert console(["export", "--model", model, "--output_dir", str(tmp_path / "graph")]) == 2
    assert "pip install 'galaxy_vision[export]'" in capsys.readouterr().err
    assert not (tmp_path / "graph").exists()


def test_a_backend_or_a_model_that_is_not_there_is_named(model, images, tmp_path, capsys):
    with pytest.raises(SystemExit):
        predict(model, images, tmp_path / "out", "--backend", "tensorrt")
    assert "backend='tensorrt' is not one of torch, openvino" in capsys.readouterr().err
    assert console(["export", "--model", str(tmp_path / "none"), "--output_dir", str(tmp_path / "graph")]) == 2
    assert f"--model {tmp_path / 'none'}" in capsys.readouterr().err
