"""Nothing that was learned is lost.

Damaged checkpoints, SIGTERM, losses that are no numbers, full disks, two runs in one folder.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from conftest import FEW, in_two_processes, terminate_this_process, train
from filelock import FileLock
from safetensors.torch import load_file

from galaxy_vision import GalaxyResNetForImageClassification
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.runtime.accelerator import make_accelerator
from galaxy_vision.runtime.files import remove_checkpoints, sole_run
from galaxy_vision.runtime.orderly_end import TERMINATED
from galaxy_vision.training import loop as training_module
from galaxy_vision.training.arguments import TrainingRun
from galaxy_vision.training.checkpoints import Checkpoints, Progress, checkpoint_damage, checkpoint_steps, save_best


def small_run(output_dir, **arguments):
    """(checkpoints, model, progress) of a run of one small matrix."""
    accelerator = make_accelerator("no", 1, None, output_dir)
    model = torch.nn.Linear(40, 40)
    model.save_pretrained = lambda folder: (folder.mkdir(), (folder / "weights").write_text(str(progress.epoch)))
    progress, optimizer = Progress(), torch.optim.AdamW(model.parameters())
    model, optimizer = accelerator.prepare(model, optimizer)
    args = TrainingRun(output_dir=str(output_dir), **arguments)
    return Checkpoints(accelerator, args, model, {"progress": progress}), model, progress


@pytest.fixture
def saved(tmp_path):
    """The folder of a small run with checkpoints after 0, 10 and 20 batches, of which two are kept.

    With it come its weights at 10 and 20.
    """
    checkpoints, model, progress = small_run(tmp_path)
    weights = {}
    for step in (0, 10, 20):
        progress.epoch = step
        model.weight.data.fill_(step)
        save_best(model, checkpoints.best)
        checkpoints.save(step)
        weights[step] = {name: value.clone() for name, value in model.state_dict().items()}
    return tmp_path, weights


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_two_newest_checkpoints_are_kept_and_the_newest_is_loaded(saved):
    folder, weights = saved
    assert checkpoint_steps(folder) == [20, 10]
    shutil.rmtree(folder / "best")
    checkpoints, model, progress = small_run(folder)
    checkpoints.resume()
    assert progress.epoch == 20 and torch.equal(model.weight, weights[20]["weight"])
    assert (folder / "best" / "weights").read_text() == "20"  # a torn one is mended from the checkpoint


DAMAGES = {
    "a bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "half a file": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no file": lambda path: path.unlink(),
    "an empty file": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.bin", "run.pt", "random_states_0.pkl", "manifest.json"]
)
def test_a_torn_checkpoint_falls_back_to_the_one_before(saved, capsys, damage, name):
    folder, weights = saved
    if (damage, name) == ("a bit", "manifest.json"):
        DAMAGES["half a file"](folder / "checkpoints" / "step-20" / name)  # its last byte is a line's end
    else:
        DAMAGES[damage](folder / "checkpoints" / "step-20" / name)
    checkpoints, model, progress = small_run(folder)
    checkpoints.resume()
    assert f"step-20 is damaged: {name}" in capsys.readouterr().out
    assert progress.epoch == 10 and torch.equal(model.weight, weights[10]["weight"])
    assert (folder / "best" / "weights").read_text() == "10"
    checkpoints.save(15)  # the damaged one is not taken for the newest
    assert checkpoint_steps(folder) == [15, 10]


def test_when_no_checkpoint_is_whole_all_of_them_are_named(saved):
    folder, _ = saved
    (folder / "checkpoints" / "step-20" / "optimizer.bin").unlink()
    shutil.rmtree(folder / "checkpoints" / "step-10")
    (folder / "checkpoints" / "step-10").mkdir()
    with pytest.raises(
        SystemExit, match="step-20 is damaged: optimizer.bin is missing; step-10 is damaged: manifest.json"
    ):
        small_run(folder)[0].resume()


def test_a_checkpoint_cannot_run_code(saved, tmp_path):
    """Its checksums are right; its pickle would make a file."""
    folder, _ = saved
    path = folder / "checkpoints" / "step-20" / "run.pt"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"progress": Bomb()}, path)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    from galaxy_vision.training.checkpoints import _checksum

    manifest["files"]["run.pt"] = _checksum(path)
    (path.parent / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint_damage(path.parent) is None
    with pytest.raises(Exception, match="Weights only load failed"):
        small_run(folder)[0].resume()
    assert not (tmp_path / "exploded").exists()


def test_a_run_with_other_arguments_is_not_gone_on_with(saved):
    folder, _ = saved
    with pytest.raises(SystemExit, match=r"other arguments \(learning_rate=0.5, then 0.001\)"):
        small_run(folder, learning_rate=0.5)[0].resume()
    small_run(folder, epochs=50, tracker=None)[0].resume()  # these make it no other run


def test_weights_that_are_no_numbers_are_not_saved(saved):
    folder, _ = saved
    before = files(folder)
    checkpoints, model, _ = small_run(folder)
    model.weight.data[3, 3] = float("nan")
    with pytest.raises(FloatingPointError, match="NaN or infinite after batch 30"):
        checkpoints.save(30)
    assert files(folder) == before


@contextmanager
def no_room(limit: int):
    """Files cannot grow beyond that many bytes, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 1000, 6000])  # the manifest, run.pt, or the weights of 6,560 bytes do not fit
def test_a_full_disk_ends_with_one_line_and_damages_nothing(saved, limit):
    folder, weights = saved
    checkpoints, model, progress = small_run(folder)
    before = files(folder)
    with no_room(limit), pytest.raises(SystemExit, match="checkpoint step-30 in .* cannot be written: .* make room"):
        checkpoints.save(30)
    assert files(folder) == before
    checkpoints.resume()
    assert progress.epoch == 20 and torch.equal(model.weight, weights[20]["weight"])


def test_an_output_dir_that_cannot_be_written_is_named_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SystemExit, match="cannot write .*file/run: Not a directory; give another folder$"):
        train("train_classifier", *FEW, "--output_dir", str(tmp_path / "file" / "run"))
    with (
        pytest.raises(SystemExit, match="cannot write .*run or the cache of data sets: File too large"),
        sole_run(tmp_path / "run"),
        no_room(10),
    ):
        (tmp_path / "run" / "table").write_bytes(bytes(100))


@pytest.mark.parametrize("script", ["train_classifier", "train_captioner"])
def test_two_runs_in_one_folder_refuse_each_other(tmp_path, script):
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(SystemExit, match="is in use by another run; wait for it, or give another"),
    ):
        train(script, "--output_dir", str(tmp_path))


@pytest.mark.parametrize("script", ["train_classifier", "train_captioner"])
def test_a_file_or_broken_link_in_the_place_of_the_output_is_one_sentence_and_stays(script, tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    for taken in ("file", "link"):
        with pytest.raises(SystemExit, match=f"error: cannot write .*{taken}: File exists; give another folder$"):
            train(script, "--output_dir", str(tmp_path / taken))
    assert (tmp_path / "file").read_text() == "kept" and (tmp_path / "link").is_symlink()


def test_a_killed_run_leaves_no_lock_behind(tmp_path):
    code = f"import time, filelock\nwith filelock.FileLock({str(tmp_path / '.lock')!r}):\n"
    code += "    print('held', flush=True)\n    time.sleep(600)\n"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SystemExit, match="in use by another run"), sole_run(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with sole_run(tmp_path):
        pass


def test_the_checkpoints_of_a_finished_run_go_at_once(saved):
    folder, _ = saved
    remove_checkpoints(folder)
    assert files(folder) == {}
    (folder / "finished.tmp").mkdir()  # as a kill leaves it
    with sole_run(folder):
        assert not (folder / "finished.tmp").exists()


def test_a_run_that_meets_nan_and_sigterm_and_a_torn_checkpoint_ends_with_the_weights_of_an_undisturbed_one(
    classifier_run, tmp_path, monkeypatch, capsys
):
    calls, disturb, plain = [0], {}, training_module.augment

    def augment(pixels, generator, *how, **light):
        calls[0] += 1
        return disturb.get(calls[0], lambda batch: batch)(plain(pixels, generator))

    def terminate(pixels):
        terminate_this_process()
        return pixels

    monkeypatch.setattr(training_module, "augment", augment)
    argv = [*FEW, "--output_dir", str(tmp_path), "--checkpoint_every", "2"]
    disturb[4] = lambda pixels: pixels * float("nan")
    with pytest.raises(
        SystemExit, match="the loss is nan in epoch 1, batch 4, of the training rows .*the newest state before it is"
    ):
        train("train_classifier", *argv)
    bad = json.loads((tmp_path / "bad_batch.json").read_text())
    assert (bad["epoch"], bad["step_in_epoch"], bad["batches"][0]["loss"], len(bad["batches"][0]["rows"])) == (
        1,
        3,
        "nan",
        40,
    )
    assert checkpoint_steps(tmp_path) == [2, 0]
    calls[0], disturb = 0, {1: terminate}
    with pytest.raises(SystemExit, match="143"):
        train("train_classifier", *argv, "--resume")
    assert "SIGTERM: saved; go on with --resume" in capsys.readouterr().out
    assert checkpoint_steps(tmp_path) == [3, 2]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    DAMAGES["half a file"](tmp_path / "checkpoints" / "step-3" / "model.safetensors")
    train("train_classifier", *argv, "--resume")
    assert (
        "step-3 is damaged: model.safetensors differs from its checksum; going on from step-2"
        in capsys.readouterr().out
    )
    undisturbed, resumed = (
        GalaxyResNetForImageClassification.from_pretrained(folder).state_dict()
        for folder in (classifier_run[0], tmp_path)
    )
    assert all(torch.equal(value, resumed[name]) for name, value in undisturbed.items())
    assert not (tmp_path / "checkpoints").exists() and not (tmp_path / "best").exists()


def train_until_terminated(rank: int, batch: int, *argv: str) -> None:
    """The classifier's training in one of several processes.

    Process ``rank`` sends itself SIGTERM in that batch.
    """
    batches, plain = [0], training_module.augment

    def augment(pixels, generator, *how, **light):
        batches[0] += 1
        if os.environ["RANK"] == str(rank) and batches[0] == batch:
            terminate_this_process()
        return plain(pixels, generator)

    training_module.augment = augment  # of a process that ends with this run
    train("train_classifier", *argv)


def test_sigterm_to_one_of_two_processes_ends_both_and_they_go_on_to_the_same_weights(tmp_path, capsys):
    load_galaxies("simulated", num_simulated=200)  # once for all
    argv = [*FEW, "--max_rows", "40", "--batch_size", "5", "--epochs", "1"]
    interrupted, undisturbed = (
        [*argv, "--output_dir", str(tmp_path / name)] for name in ("interrupted", "undisturbed")
    )
    assert in_two_processes(train_until_terminated, 1, 2, *interrupted) == [TERMINATED, TERMINATED]
    assert capsys.readouterr().out.count("SIGTERM: saved; go on with --resume") == 1
    assert checkpoint_steps(tmp_path / "interrupted") == [2, 0]
    assert in_two_processes(train, "train_classifier", *interrupted, "--resume") == [0, 0]
    assert in_two_processes(train, "train_classifier", *undisturbed) == [0, 0]
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("interrupted", "undisturbed"))
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
