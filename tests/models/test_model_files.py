"""A model file is taken whole, or refused in one sentence; none of them runs code."""

import json
import os
import re
import shutil

import pytest
import torch
from conftest import FEW, REPOSITORY, train
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageClassification, AutoModelForImageTextToText, pipeline

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.cli import main as cli
from galaxy_vision.inference.loading import load_captioner, load_classifier

KINDS = {
    "classifier": (GalaxyResNetForImageClassification, GalaxyResNetConfig, AutoModelForImageClassification),
    "captioner": (GalaxyCaptionerForConditionalGeneration, GalaxyCaptionerConfig, AutoModelForImageTextToText),
}
HEADS = {"classifier": "classifier.weight", "captioner": "decoder.output.weight"}


@pytest.fixture(scope="module", params=KINDS)
def kept(request, tmp_path_factory):
    """Kind and folder of a saved model that was never trained: leave it as it is."""
    folder = tmp_path_factory.mktemp(request.param)
    model, config, _ = KINDS[request.param]
    model(config(backbone="test_resnet")).save_pretrained(folder)
    GalaxyImageProcessor().save_pretrained(folder)
    return request.param, folder


@pytest.fixture
def saved(kept, tmp_path):
    shutil.copytree(kept[1], tmp_path / "model")
    return kept[0], tmp_path / "model"


def refused(kind: str, folder, sentence: str) -> None:
    """By our class and by the Auto class, with that sentence in the first line."""
    for loader in (KINDS[kind][0], KINDS[kind][2]):
        with pytest.raises((OSError, ValueError)) as error:
            loader.from_pretrained(folder, trust_remote_code=False)
        assert re.search(sentence, str(error.value).splitlines()[0]), error.value


def change_weights(folder, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **values) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_missing_extra_and_misshapen_weights_are_refused(saved):
    kind, folder = saved
    head = HEADS[kind]
    whole = (folder / "model.safetensors").read_bytes()
    for change, sentence in (
        (lambda weights: weights.pop(head), f"1 missing .such as {head}.*download or save it again"),
        (lambda weights: weights.update(extra=torch.zeros(2)), "1 not of this model .such as extra"),
        (
            lambda weights: weights.update({head: torch.zeros(3, 5)}),
            f"1 of another shape .such as {head} is .3, 5. and not",
        ),
        (lambda weights: weights.clear(), r"\d+ missing"),
    ):
        (folder / "model.safetensors").write_bytes(whole)
        change_weights(folder, change)
        refused(kind, folder, sentence)


def test_a_pickle_is_never_opened(saved, tmp_path):
    kind, folder = saved

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({HEADS[kind]: Bomb()}, folder / "pytorch_model.bin")
    KINDS[kind][0].from_pretrained(folder)  # safetensors lie beside it
    (folder / "model.safetensors").unlink()
    refused(kind, folder, "model.safetensors")
    with pytest.raises(ValueError, match="pickled weights can run code and are never loaded"):
        KINDS[kind][0].from_pretrained(folder, use_safetensors=False)
    assert not (tmp_path / "exploded").exists()


def test_damaged_weights_and_settings_are_refused(saved):
    kind, folder = saved
    weights, config = (folder / "model.safetensors").read_bytes(), (folder / "config.json").read_bytes()
    for name, data, sentence in (
        ("model.safetensors", weights[: len(weights) // 2], "are damaged"),
        ("model.safetensors", b"", "are damaged"),
        ("model.safetensors", (2**62).to_bytes(8, "little") + weights[8:], "are damaged"),
        ("config.json", config[: len(config) // 2], "not a valid JSON"),
    ):
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_bytes(config)
        (folder / name).write_bytes(data)
        refused(kind, folder, sentence)


def test_a_model_of_a_newer_version_is_refused(saved):
    kind, folder = saved
    assert json.loads((folder / "config.json").read_text())["format_version"] == 1
    change_config(folder, format_version=9)
    refused(
        kind,
        folder,
        "config.json of galaxy_.* cannot be used: format_version=9 is newer than [123]; upgrade galaxy_vision",
    )


@pytest.mark.parametrize(
    "values", [{"image_size": 8}, {"image_size": "large"}, {"backbone": 5}, {"drop_rate": 3.0}, {"id2label": [1]}]
)
def test_settings_of_a_wrong_type_or_value_are_refused(saved, values):
    kind, folder = saved
    change_config(folder, **values)
    refused(kind, folder, "config.json of galaxy_.* cannot be used: ")


def test_another_number_of_classes_can_be_asked_for_when_fine_tuning(kept):
    kind, folder = kept
    if kind == "classifier":
        model, info = GalaxyResNetForImageClassification.from_pretrained(
            folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )
        assert model.classifier.out_features == 5
        assert {key for key, *_ in info["mismatched_keys"]} == {"classifier.weight", "classifier.bias"}


FAULTS = [  # what is raised, what is said of it, whether the files are to blame
    (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "there is not enough memory for it",
        False,
    ),
    (MemoryError(), "there is not enough memory for it", False),
    (
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        "not enough memory",
        False,
    ),
    (OSError(12, "Cannot allocate memory"), "there is not enough memory for it", False),
    (RuntimeError("CUDA error: device-side assert triggered"), "the device failed", False),
    (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "the device failed", False),
    (ModuleNotFoundError("No module named 'scipy'"), "a library is missing", False),
    (type("ReadTimeout", (Exception,), {"__module__": "httpx"})("timed out"), "the Hub does not answer", False),
    (Exception("unknown token type"), "from its JSON files; download or save it again", True),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "from its JSON files; download or save it again", True),
]


@pytest.mark.parametrize(("error", "sentence", "by_files"), FAULTS)
def test_what_the_machine_lacks_is_not_put_down_to_the_files(saved, monkeypatch, error, sentence, by_files):
    kind, folder = saved

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(KINDS[kind][0], "from_pretrained", fail)
    load = {"classifier": load_classifier, "captioner": load_captioner}[kind]
    with pytest.raises(ValueError, match=sentence) as raised:
        load(folder)
    assert len(str(raised.value).splitlines()) == 1 and raised.value.__cause__ is error
    assert by_files == ("JSON" in str(raised.value)) == ("download" in str(raised.value))


def test_an_interrupt_is_let_through(saved, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    kind, folder = saved
    monkeypatch.setattr(KINDS[kind][0], "from_pretrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        {"classifier": load_classifier, "captioner": load_captioner}[kind](folder)


def test_the_console_script_the_scripts_and_the_pipeline_refuse_it_too(saved, tmp_path, capsys):
    kind, folder = saved
    change_weights(folder, lambda weights: weights.pop(HEADS[kind]))
    assert cli(["evaluate", "--model", str(folder), "--dataset", "simulated", "--num_simulated", "200"]) == 2
    printed = capsys.readouterr().err
    if kind == "classifier":
        assert "1 missing" in printed
        assert cli(["describe", "x.jpg", "--model", str(folder), "--captioner", str(folder)]) == 2
        assert "1 missing" in capsys.readouterr().err
        with pytest.raises(ValueError, match="1 missing"):
            pipeline("image-classification", str(folder), trust_remote_code=False)
        with pytest.raises(SystemExit, match="init_from=.* cannot be loaded: .*1 missing"):
            train("train_classifier", *FEW, "--init_from", str(folder), "--output_dir", str(tmp_path / "run"))


def test_code_that_a_model_carries_is_never_trusted_on_the_users_behalf():
    sources = [
        path
        for part in ("galaxy_vision", "space", "benchmarks", "datasets_scripts")
        for path in (REPOSITORY / part).glob("*.py")
    ]
    for path in [*sources, *REPOSITORY.glob("train_*.py")]:
        text = path.read_text()
        assert "trust_remote_code=True" not in text.replace("`trust_remote_code=True`", ""), path
        calls = re.findall(r"Auto\w+\.from_pretrained\((?:[^()]|\([^()]*\))*\)", text)
        assert all("trust_remote_code=False" in call for call in calls), (path, calls)
        assert not re.search(r"pickle\.load|np\.load\([^)]*allow_pickle=True|weights_only=False", text), path
