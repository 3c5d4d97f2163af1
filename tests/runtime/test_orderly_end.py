"""However a run is ended, and whenever: its status, one line, and a checkpoint to go on from to the same weights."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
import torch
from conftest import CAPTIONER, FEW, load_script, new_process, terminate_this_process
from safetensors.torch import load_file

from galaxy_vision.runtime.files import remove_checkpoints
from galaxy_vision.runtime.orderly_end import orderly_end
from galaxy_vision.training.checkpoints import checkpoint_steps


def terminating(function, at: int = 1):
    """The function, which sends SIGTERM to its own process before its call number ``at``."""
    calls = [0]

    def wrapped(*args, **kw):
        calls[0] += 1
        if calls[0] == at:
            terminate_this_process()
        return function(*args, **kw)

    return wrapped


PHASES = {  # module, function and which of its calls
    "the last validation": ("galaxy_vision.evaluation.evaluate", "classify", 2),
    "the test": ("galaxy_vision.evaluation.evaluate", "classify", 3),
    "the report": ("galaxy_vision.evaluation.report", "write_report", 1),
}


def interrupted(log: str, name: str, argv: list[str], module: str | None, function: str, call: int) -> None:
    """A run in a process of its own, as runs have, to which SIGTERM comes at a call of a function.

    The function is of the script where ``module`` is None.
    """
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galaxy_vision.evaluation.report.write_report", lambda *arguments: [])
        script = load_script(name)
        owner = import_module(module) if module else script
        patch.setattr(owner, function, terminating(getattr(owner, function), call))
        script.main(argv)


def ended(log: Path, *run) -> int:
    """Status of :func:`interrupted`."""
    process = new_process(interrupted, str(log), *run)
    process.start()
    process.join(200)
    process.kill()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("phase", PHASES)
def test_sigterm_in_any_phase_ends_with_143_and_the_run_goes_on_to_the_same_weights(
    phase, classifier_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("galaxy_vision.evaluation.report.write_report", lambda *arguments: [])
    folder, log = tmp_path / "run", tmp_path / "log"
    argv = [*FEW, "--output_dir", str(folder)]
    assert ended(log, "train_classifier", argv, *PHASES[phase]) == 143
    assert "SIGTERM: saved; go on with --resume" in log.read_text()
    assert checkpoint_steps(folder)
    results = load_script("train_classifier").main([*argv, "--resume"])
    one, other = (load_file(path / "model.safetensors") for path in (classifier_run[0], folder))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert results["classes"] == classifier_run[1]["classes"]


def test_the_captioner_ends_with_143_while_it_is_tested_and_goes_on(
    captioner_run, classifier_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("galaxy_vision.evaluation.report.write_report", lambda *arguments: [])
    folder = tmp_path / "run"
    argv = [*CAPTIONER, "--encoder", str(classifier_run[0]), "--output_dir", str(folder)]
    assert ended(tmp_path / "log", "train_captioner", argv, None, "template_captions", 1) == 143
    load_script("train_captioner").main([*argv, "--resume"])
    one, other = (load_file(path / "model.safetensors") for path in (captioner_run[0], folder))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_sigterm_before_anything_was_learned_ends_with_143_and_says_so(tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"
    argv = [*FEW, "--output_dir", str(folder)]
    assert ended(log, "train_classifier", argv, "galaxy_vision.training.rows", "load_galaxies", 1) == 143
    assert log.read_text().endswith("SIGTERM: nothing was learned yet; start again\n")
    assert checkpoint_steps(folder) == []


def test_sigterm_is_noted_while_it_waits_and_ends_the_run_as_soon_as_it_does_not(tmp_path):
    with pytest.raises(SystemExit, match="143"), orderly_end(tmp_path) as termination:
        termination.wait(True)
        terminate_this_process()
        assert termination.noted
        termination.wait(False)
        pytest.fail("the run went on")


def test_sigterm_while_the_checkpoints_are_removed_comes_too_late(tmp_path, monkeypatch):
    for name in ("best", "checkpoints/step-3"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr("shutil.rmtree", terminating(shutil.rmtree, at=2))
    with orderly_end(tmp_path) as termination:
        remove_checkpoints(tmp_path)
        assert not termination.noted
    assert not any(tmp_path.iterdir())


def test_sigterm_when_the_run_is_through_does_not_promise_a_checkpoint(tmp_path, capsys):
    with pytest.raises(SystemExit, match="143"), orderly_end(tmp_path) as termination:
        termination.begun = True
        terminate_this_process()
    assert "the run was complete" in capsys.readouterr().out


def test_the_end_is_one_line_in_every_way(tmp_path, capsys):
    with pytest.raises(SystemExit, match="130"), orderly_end(tmp_path):
        raise KeyboardInterrupt
    assert capsys.readouterr().out == "stopped; nothing was learned yet; start again\n"
    with pytest.raises(SystemExit, match="^error: the loss is nan$"), orderly_end(tmp_path):
        raise FloatingPointError("the loss is nan")
    (tmp_path / "checkpoints" / "step-0").mkdir(parents=True)
    with (
        pytest.raises(SystemExit, match="the loss is nan; the newest state before it is .*step-0$"),
        orderly_end(tmp_path),
    ):
        raise FloatingPointError("the loss is nan")


def test_a_training_in_a_thread_leaves_the_handlers_alone(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: orderly_end(tmp_path).__enter__().waits).result() is False


@pytest.mark.parametrize("script", ["train_classifier", "train_captioner"])
def test_weights_that_overflow_in_the_last_step_of_an_epoch_end_with_one_line(script, tmp_path, monkeypatch):
    argv = [
        "--backbone",
        "test_resnet",
        "--num_simulated",
        "200",
        "--max_rows",
        "8",
        "--image_size",
        "32",
        "--mixed_precision",
        "no",
        "--ema_decay",
        "0",
    ]
    step = torch.optim.AdamW.step

    def overflow(self, *args, **kw):
        result = step(self, *args, **kw)
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(float("inf"))
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", overflow)
    with pytest.raises(
        SystemExit, match="^error: weights are NaN or infinite after batch 1; .* state before it is .*step-0$"
    ):
        load_script(script).main([*argv, "--output_dir", str(tmp_path)])
