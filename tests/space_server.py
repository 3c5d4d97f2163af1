"""The demo as a process of its own, with tiny untrained models."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from conftest import REPOSITORY

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.data.schemes import get_scheme
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer

EXAMPLES = sorted((REPOSITORY / "space" / "examples").glob("*.jpg"))
CAPTIONS = [
    "a barred spiral galaxy with two loosely wound arms .",
    "a smooth, round galaxy .",
    "an edge-on disc galaxy .",
]


def save_tiny_models(folder: Path, **settings) -> dict[str, str]:
    """Both models in ``folder``, the classifier with these settings; returns the environment variables of them."""
    torch.manual_seed(0)
    names = [each.name for each in get_scheme("hubble").classes]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: place for place, name in enumerate(names)}}
    config = GalaxyResNetConfig(backbone="resnet10t", **labels, **settings)
    GalaxyResNetForImageClassification(config).save_pretrained(folder / "classifier")
    GalaxyImageProcessor().save_pretrained(folder / "classifier")
    tokenizer = build_tokenizer(CAPTIONS)
    config = GalaxyCaptionerConfig(
        backbone="resnet10t", vocab_size=len(tokenizer), hidden_size=16, embedding_size=8, attention_size=8
    )
    captioner = GalaxyCaptionerForConditionalGeneration(config)
    captioner.generation_config.suppress_tokens = [0, 1, 2, 3]  # untrained, it might end at once, or say <unk>
    captioner.generation_config.max_new_tokens = 16  # and would not end; captions have 10 words in the mean
    captioner.save_pretrained(folder / "captioner")
    GalaxyCaptionerProcessor(GalaxyImageProcessor(), tokenizer).save_pretrained(folder / "captioner")
    return {f"GALAXY_VISION_{kind.upper()}": str(folder / kind) for kind in ("classifier", "captioner")}


def start_server(
    folder: Path, models: dict[str, str], *argv: str, app: Path = REPOSITORY / "space" / "app.py"
) -> tuple[subprocess.Popen, str]:
    """Start the real app on a free port; give its process and address.

    It works in ``folder``, with its uploads in ``cache`` and its ``log``.
    """
    environment = (
        os.environ
        | models
        | {"GRADIO_TEMP_DIR": str(folder / "cache"), "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    )
    environment.pop("GRADIO_SERVER_PORT", None)
    (folder / "cache").mkdir()
    log = folder / "log"
    with log.open("w") as file:
        command = [sys.executable, str(app), "--host", "127.0.0.1", *argv]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=folder)
    while process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return process, found[0]
        time.sleep(0.1)
    raise RuntimeError(log.read_text())
