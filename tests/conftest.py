# ruff: noqa: E402
"""Tiny files in the shape of the real ones, a cache of their own for every test run, and its workers."""

import importlib.util
import io
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

if (
    "GALAXY_VISION_TEST_CACHE" not in os.environ
):  # workers of pytest-xdist and scripts of a test share that of the first process
    _CACHE = tempfile.TemporaryDirectory(prefix="galaxy-vision-tests-")
    os.environ["GALAXY_VISION_TEST_CACHE"] = _CACHE.name
os.environ["HF_HOME"] = os.environ["GALAXY_VISION_TEST_CACHE"]  # before datasets is imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("OMP_NUM_THREADS", None)  # "1" would be taken for the choice of `accelerate launch` and be raised

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import load_dataset
from filelock import FileLock

from galaxy_vision.models.decision_tree import ANSWERS, KAGGLE_COLUMNS, conditional_fractions, kaggle_from_conditional
from galaxy_vision.runtime import accelerator
from galaxy_vision.runtime.hardware import available_cores
from galaxy_vision.simulation.render import simulate_galaxy

pytest_plugins = ["space_visitor"]  # the fixtures of a browser

REPOSITORY = Path(__file__).parent.parent
NUM_GALAXIES = 60
MAX_WORKERS = 4
"""Each takes 1.2 GB when it has imported everything, up to 3.5 GB later: training keeps the memory that it freed."""
LONGEST = (
    "test_orderly_end.py",
    "test_hub.py",
    "test_streaming.py",
    "test_full_disk.py",
    "test_training.py",
    "test_kill_training.py",
    "test_predict.py",
    "test_train_captioner.py",
    "test_checkpoints.py",
    "test_report.py",
    "test_model.py",
    "test_accelerator.py",
    "test_readme.py",
    "test_fuzz.py",
)
"""Files that take longest, in that order; the one that sends signals to its own process stands first."""

torch.set_num_threads(1)  # models this small wait more than they compute on several, and sums depend on the number

NATIVE_BF16 = bool(int(os.environ.get("GALAXY_VISION_NATIVE_BF16") or accelerator.has_native_bf16()))
"""Whether ``--mixed_precision auto`` comes to bf16: the variable, 0 or 1, says it, or else the processor does.

So for every process that imports this file; a fresh interpreter of a test asks the processor, and its clock.
"""

accelerator.has_native_bf16 = lambda device=None: NATIVE_BF16
accelerator.SECONDS = accelerator.WORTHWHILE = 0.0  # a few passes, then bf16, however fast: two runs choose the same


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run several files in as many processes as there are cores, where pytest-xdist is; with ``-n 0`` in this one."""
    if (
        not config.pluginmanager.hasplugin("xdist")
        or hasattr(config, "workerinput")
        or config.option.numprocesses is not None
    ):
        return
    single_file = len(config.args) == 1 and ".py" in config.args[0]
    if not single_file and not config.option.usepdb:
        config.option.numprocesses = min(available_cores(), MAX_WORKERS)
        config.option.dist, config.option.loadscopereorder = "loadfile", False  # in the order of the next function


def pytest_collection_modifyitems(items):
    """The longest files first, so that no process is left alone with one at the end."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(LONGEST)))


def pytest_terminal_summary(terminalreporter):
    """Say at the end that tests of the demo were left out, and by which command they are run."""
    skipped = {report.nodeid.split("::")[0] for report in terminalreporter.stats.get("skipped", ())}
    files = [REPOSITORY / name for name in sorted(skipped) if Path(name).name.startswith("test_space")]
    if not files:
        return
    count = sum(file.read_text().count("\ndef test_") for file in files)
    if importlib.util.find_spec("gradio") is None:
        missing, command = (
            "gradio is not installed",
            'pip install -e ".[test,space]" && pytest tests/space/test_space*.py',
        )
    else:
        missing, command = "GALAXY_VISION_BROWSER names no Chromium", 'pip install -e ".[test,browser]" && '
        command += "GALAXY_VISION_BROWSER=$(command -v chromium) pytest -n 0 tests/space/test_space*.py"
    terminalreporter.write_line(f"{count} tests of the demo were left out, since {missing}; they are run by: {command}")


def load_script(name: str):
    """A training script as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def train(name: str, *argv: str, report: bool = False) -> dict:
    """Call the real main([...]) of a training script; figures and card, half of its time, only with ``report``."""
    with pytest.MonkeyPatch.context() as patch:
        if not report:
            patch.setattr("galaxy_vision.evaluation.report.write_report", lambda *arguments: [])
        return load_script(name).main(list(argv))


def terminate_this_process() -> None:
    """Send SIGTERM to the own main thread, where it has been handled when this returns.

    Without a handler the process of the tests would end, and nothing would say why: then this fails instead.
    """
    handler = signal.getsignal(signal.SIGTERM)
    assert handler not in (signal.SIG_DFL, None), f"SIGTERM would end this process: its handler is {handler}"
    assert threading.current_thread() is threading.main_thread(), "Python handles signals in the main thread only"
    signal.raise_signal(signal.SIGTERM)  # os.kill may choose another thread, and come when the handler is gone


PRELOADED = [
    "galaxy_vision.cli",
    "galaxy_vision.data.streaming",
    "galaxy_vision.evaluation.figures",
    "galaxy_vision.evaluation.report",
    "galaxy_vision.inference.explain",
    "galaxy_vision.predict.run",
    "galaxy_vision.simulation.render",
    "galaxy_vision.training.run",
    "pandas",
    "pytest",
    "scipy.io",
    "transformers.optimization",
]
"""What a training script, a prediction and this module import, once for all processes of :func:`new_process`."""


def _call(target, args: tuple) -> None:
    """Call ``target`` on one thread, as everywhere here: to find this function, the process imports this module."""
    target(*args)


def new_process(target, *args):
    """A real process, to be started, that calls ``target(*args)``. Its imports are paid for once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context.Process(target=_call, args=(target, args))


def _member(rank: int, port: int, log: str, target, *args) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ.update(group, RANK=str(rank), LOCAL_RANK=str(rank), ACCELERATE_USE_CPU="true")
    target(*args)


def in_two_processes(target, *args) -> list[int]:
    """Exit codes of ``target(*args)`` in two processes that work together, as ``accelerate launch`` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("r") as log:
        members = [new_process(_member, rank, port, log.name, target, *args) for rank in (0, 1)]
        for member in members:
            member.start()
        for member in members:
            member.join(200)
            member.kill()
            member.join()
        print(log.read())  # pytest shows it where the test fails
    return [member.exitcode for member in members]


def builder(name: str):
    """The main([...]) of a script of ``datasets_scripts``."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "datasets_scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def refused(capsys, name: str, output_dir, **arguments) -> str:
    """The error line of a build that must fail and leave nothing that loads."""
    argv = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
    with pytest.raises(SystemExit) as stopped:
        builder(name)([*argv, "--output_dir", str(output_dir)])
    assert stopped.value.code == 2
    assert not list(output_dir.parent.glob(f"{output_dir.name}*"))
    return capsys.readouterr().err


def build(name: str, output_dir, **arguments):
    """The data set that a builder writes."""
    argv = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
    builder(name)([*argv, "--output_dir", str(output_dir)])
    return load_dataset(str(output_dir))


def jpeg(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="session")
def galaxies():
    """60 simulated galaxies with their JPEG bytes."""
    drawn = [simulate_galaxy(1, index) for index in range(NUM_GALAXIES)]
    return [(jpeg(galaxy.image), galaxy.votes, galaxy.num_classifications) for galaxy in drawn]


SMALLEST = "test_resnet"
"""A ResNet of timm's own for tests, of 0.4 million weights: a run takes a third of the time of one of resnet10t."""

FEW = ["--num_simulated", "200", "--image_size", "32", "--backbone", SMALLEST, "--epochs", "2", "--batch_size", "40"]
FEW += ["--drop_rate", "0.1"]
CAPTIONER = [*FEW[:2], "--backbone", SMALLEST, "--batch_size", "40", "--epochs", "2", "--hidden_size", "32"]
CAPTIONER += ["--frozen_epochs", "1", "--max_new_tokens", "12", "--teacher_share", "0.5"]


def trained_once(kind: str, *argv: str) -> tuple[Path, dict]:
    """Folder and results of a training run by whichever process comes first, for all of them."""
    folder = Path(os.environ["GALAXY_VISION_TEST_CACHE"], "runs", kind)
    folder.parent.mkdir(exist_ok=True)
    results = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not results.exists():
            results.write_text(json.dumps(train(f"train_{kind}", *argv, "--output_dir", str(folder), report=True)))
    return folder, json.loads(results.read_text())


@pytest.fixture(scope="session")
def classifier_run():
    """Folder and results of a short training of the classifier, shared by all tests: leave the folder as it is."""
    return trained_once("classifier", *FEW)


@pytest.fixture(scope="session")
def captioner_run(classifier_run):
    """Folder and results of a short training of the captioner on that classifier's backbone.

    Leave the folder as it is.
    """
    return trained_once("captioner", *CAPTIONER, "--encoder", str(classifier_run[0]))


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory):
    """Address and folder of the demo with tiny models, shared by all tests; when it is stopped no upload is left."""
    from space_server import save_tiny_models, start_server

    folder = tmp_path_factory.mktemp("space")
    process, address = start_server(folder, save_tiny_models(folder))
    yield address, folder
    process.terminate()
    process.wait(120)
    assert not [path for path in (folder / "cache").rglob("*") if path.is_file()]


@pytest.fixture
def challenge_files(tmp_path, galaxies):
    """Image zip and solutions table of the Galaxy Challenge."""
    ids = [str(100008 + 15 * index) for index in range(len(galaxies))]
    with zipfile.ZipFile(tmp_path / "images_training_rev1.zip", "w") as archive:
        for galaxy_id, (data, _, _) in zip(ids, galaxies, strict=True):
            archive.writestr(f"images_training_rev1/{galaxy_id}.jpg", data)
    votes = np.array([votes for _, votes, _ in galaxies])
    table = pd.DataFrame(kaggle_from_conditional(conditional_fractions(votes)), columns=list(KAGGLE_COLUMNS))
    table.insert(0, "GalaxyID", ids)
    table.to_csv(tmp_path / "training_solutions_rev1.csv", index=False)
    return {"images": tmp_path / "images_training_rev1.zip", "labels": tmp_path / "training_solutions_rev1.csv"}


@pytest.fixture
def gz2_files(tmp_path, galaxies):
    """Image zip, whole hart16-like table with counts, fractions and debiased, and a mapping with rows too many."""
    ids = [str(587722981736120320 + 7 * index) for index in range(len(galaxies))]
    with zipfile.ZipFile(tmp_path / "images_gz2.zip", "w") as archive:
        for index, (data, _, _) in enumerate(galaxies):
            archive.writestr(f"images/{index + 1}.jpg", data)
    votes = np.array([votes for _, votes, _ in galaxies])
    fractions = np.nan_to_num(conditional_fractions(votes))
    columns = {
        "dr7objid": ids,
        "sample": "original",
        "gz2_class": "Er",
        "total_classifications": [n for *_, n in galaxies],
    }
    for index, answer in enumerate(ANSWERS):
        columns[f"{answer}_count"] = votes[:, index].astype(int)
        columns[f"{answer}_weighted_fraction"] = fractions[:, index]
        columns[f"{answer}_debiased"] = fractions[:, index]
    pd.DataFrame(columns).to_csv(tmp_path / "gz2_hart16.csv.gz", index=False)
    extra = [str(588000000000000000 + index) for index in range(5)]
    mapping = pd.DataFrame({"objid": ids + extra, "sample": "original", "asset_id": range(1, len(ids) + 6)})
    mapping.to_csv(tmp_path / "gz2_filename_mapping.csv", index=False)
    names = {"images": "images_gz2.zip", "labels": "gz2_hart16.csv.gz", "mapping": "gz2_filename_mapping.csv"}
    return {key: tmp_path / name for key, name in names.items()}
