"""The JSON files of a model folder.

Damaged, of wrong types or asking for too much, they are refused in one sentence, in little memory.

More examples: ``GALAXY_VISION_FUZZ=5000 pytest tests/models/test_model_settings.py``.
"""

import json
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import soon
from space_server import save_tiny_models
from spoiled_files import EXAMPLES, JSON, fuzz, spoiled

from galaxy_vision.cli import main as cli
from galaxy_vision.inference.loading import load_captioner, load_classifier

few = settings(fuzz, max_examples=max(3, EXAMPLES // 5))  # a model is loaded for each
LOAD = {"classifier": load_classifier, "captioner": load_captioner}
FILES = {
    "classifier": ["config.json", "preprocessor_config.json"],
    "captioner": [
        "config.json",
        "generation_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
}
ALL = [(kind, name) for kind, names in FILES.items() for name in names]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_tiny_models(folder)
    return folder


@pytest.fixture
def folder(models, tmp_path):
    """Of both models, to be spoiled."""
    shutil.copytree(models, tmp_path / "models")
    return tmp_path / "models"


def refused(kind: str, folder) -> str | None:
    """The sentence; None if the model was taken."""
    with soon(512):
        try:
            LOAD[kind](folder / kind)
        except (OSError, ValueError) as error:
            assert str(error).strip()
            assert "alloc" not in str(error) and "Memory" not in str(error)  # it would have asked for too much
            return str(error)
    return None


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_files_that_are_no_settings(folder, kind, name, capsys):
    for data in (
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[]",
        b"3",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10**6,
    ):
        (folder / kind / name).write_bytes(data)
        assert refused(kind, folder), data[:20]
    os.truncate(folder / kind / name, 10**11)  # sparse
    assert "95367 MiB, more than 64" in refused(kind, folder)
    argv = [f"--{'model' if kind == 'classifier' else 'captioner'}", str(folder / kind)]
    argv += [] if kind == "classifier" else ["--model", str(folder / "classifier")]
    argv += ["--captioner", str(folder / "captioner")] if kind == "classifier" else []
    assert cli(["describe", "x.jpg", *argv]) == 2
    assert cli(["predict", *argv, "--catalogue", str(folder), "--output_dir", str(folder / "out")]) == 2
    assert cli(["evaluate", "--model", str(folder / kind), "--dataset", "simulated", "--num_simulated", "200"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3 and all("more than 64" in line for line in errors)


HUGE = 10**9
SETTINGS = [  # model, file, what is changed in it, what is said
    ("classifier", "config.json", {"image_size": HUGE}, "image_size=1000000000 is not an integer from 32 to 4096"),
    ("classifier", "config.json", {"image_size": -64}, "image_size=-64 is smaller"),
    ("classifier", "config.json", {"num_channels": HUGE}, "num_channels=1000000000 is not an integer from 1 to 16"),
    (
        "classifier",
        "config.json",
        {"num_labels": HUGE, "id2label": None, "label2id": None},
        "num_labels=1000000000 is not an integer from 0 to",
    ),
    ("classifier", "config.json", {"num_labels": "x"}, "num_labels=x is not"),
    ("classifier", "config.json", {"id2label": {"0": 5}}, "cannot be used"),
    (
        "classifier",
        "config.json",
        {"id2label": {"7": "spiral"}},
        "id2label does not have one name for each of the numbers",
    ),
    ("classifier", "config.json", {"backbone": "hf-hub:somebody/resnet"}, "is not a model of timm"),
    ("classifier", "config.json", {"backbone": "../resnet"}, "is not a model of timm"),
    ("classifier", "config.json", {"model_type": "vit", "hidden_size": HUGE}, "of type 'vit' and not galaxy_resnet"),
    (
        "classifier",
        "config.json",
        {"quantization_config": {"quant_method": "gptq"}},
        "quantization_config is not for this model",
    ),
    (
        "classifier",
        "config.json",
        {"attn_implementation": "somebody/kernel"},
        "attn_implementation is not for this model",
    ),
    ("classifier", "config.json", {"dtype": "int8"}, ""),
    ("classifier", "config.json", {"dtype": 5}, ""),
    ("classifier", "preprocessor_config.json", {"size": {"height": HUGE, "width": HUGE}}, "from 1 to 4096"),
    ("classifier", "preprocessor_config.json", {"size": {"height": -1, "width": -1}}, "from 1 to 4096"),
    ("classifier", "preprocessor_config.json", {"size": 64.5}, ""),
    ("classifier", "preprocessor_config.json", {"size": {"height": 32, "width": 64}}, "an equal width"),
    ("classifier", "preprocessor_config.json", {"crop_fraction": -1}, "outside 0 < crop_fraction <= 1"),
    ("classifier", "preprocessor_config.json", {"crop_fraction": "half"}, "outside 0 < crop_fraction <= 1"),
    ("classifier", "preprocessor_config.json", {"image_mean": [0.1]}, "not three finite numbers"),
    ("classifier", "preprocessor_config.json", {"image_std": [0.1, 0.0, 0.1]}, "not three finite numbers above 0"),
    ("classifier", "preprocessor_config.json", {"rescale_factor": float("nan")}, "not a finite number above 0"),
    ("classifier", "preprocessor_config.json", {"do_resize": "no"}, "neither true nor false"),
    ("classifier", "preprocessor_config.json", {"crop_and_resize": 5}, "is the name of a method"),
    ("captioner", "config.json", {"vocab_size": HUGE}, "vocab_size=1000000000 is not an integer from 4 to"),
    ("captioner", "config.json", {"hidden_size": -1}, "hidden_size=-1 is not an integer from 1 to"),
    ("captioner", "config.json", {"embedding_size": HUGE}, "embedding_size"),
    ("captioner", "config.json", {"eos_token_id": HUGE}, "eos_token_id"),
    ("captioner", "config.json", {"attention_stage": 7}, "attention_stage=7 is not one of"),
    (
        "captioner",
        "generation_config.json",
        {"max_new_tokens": HUGE},
        "max_new_tokens=1000000000 is not an integer from 1 to",
    ),
    ("captioner", "generation_config.json", {"num_beams": HUGE}, "num_beams"),
    ("captioner", "generation_config.json", {"num_beams": "4"}, ""),
    ("captioner", "generation_config.json", {"num_return_sequences": -1}, "num_return_sequences"),
    (
        "captioner",
        "processor_config.json",
        {"image_processor": {"size": {"height": HUGE, "width": HUGE}}},
        "from 1 to 4096",
    ),
    ("captioner", "processor_config.json", {"image_processor": 3}, ""),
    (
        "captioner",
        "tokenizer.json",
        {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}},
        "words, and config.json has",
    ),
    ("captioner", "tokenizer.json", {"model": {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}}, ""),
    ("captioner", "tokenizer.json", {"added_tokens": 5}, ""),
    ("captioner", "tokenizer_config.json", {"eos_token": ["<eos>"]}, ""),
]


@pytest.mark.parametrize(("kind", "name", "values", "sentence"), SETTINGS)
def test_settings_that_no_model_has(folder, kind, name, values, sentence):
    path = folder / kind / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    error = refused(kind, folder)
    assert error and sentence in error and len(error.splitlines()[0]) < 600


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_files_that_were_spoiled_at_random(folder, kind, name):
    path = folder / kind / name
    whole = json.loads(path.read_text())

    @few
    @given(spoiled([path.read_bytes()]))
    def check_bytes(data):
        path.write_bytes(data)
        refused(kind, folder)

    @few
    @given(st.dictionaries(st.sampled_from(sorted(whole)), JSON, min_size=1, max_size=2))
    def check_values(values):
        path.write_text(json.dumps(whole | values))
        refused(kind, folder)

    check_bytes()
    check_values()
