"""What a run needs to go on: checkpoints that are whole or not there, and one run at a time in a folder.

A checkpoint is a folder ``checkpoints/step-N`` (N batches are done). It is written under another name, with a manifest
of sizes and checksums as its last file, and renamed then. The two newest are kept. Nothing in it is unpickled but by
torch's restricted loader.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError
from torch import nn

from ..runtime.accelerator import on_any_process
from ..runtime.files import reason_and_room, write_json
from ..runtime.orderly_end import Terminated, Termination, checkpoints_of


class Progress:
    """Steps and epochs done, and the history of each epoch: what a checkpoint needs beside tensors."""

    def __init__(self):
        self.epoch, self.step_in_epoch, self.history = 0, 0, []
        self.best_score, self.best_epoch = float("inf"), -1

    def state_dict(self) -> dict:
        return dict(vars(self))

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)


MANIFEST = "manifest.json"
FREE_TO_CHANGE = ("output_dir", "epochs", "patience", "checkpoint_every", "resume", "stop_after", "tracker")
FREE_TO_CHANGE += ("push_to_hub", "hub_model_id", "hub_private")
"""Arguments that may differ between a run and its resumption; the others would make it another run."""


def checkpoint_steps(output_dir: Path) -> list[int]:
    """Batches that were done at each checkpoint of a run, the newest first, whole or not."""
    return [int(path.name.removeprefix("step-")) for path in checkpoints_of(output_dir)]


def checkpoint_precision(output_dir: Path) -> str | None:
    """Precision of the run that wrote the checkpoints, or None where no manifest tells it."""
    for step in checkpoint_steps(output_dir):
        try:
            manifest = json.loads((output_dir / "checkpoints" / f"step-{step}" / MANIFEST).read_text())
            return manifest["settings"]["mixed_precision"]
        except (OSError, ValueError, KeyError, TypeError):  # a damaged one, which the resumption will name
            continue
    return None


def save_best(model: nn.Module, folder: Path) -> None:
    """The weights of the best epoch so far, written beside and renamed.

    Raises:
        OSError: they cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.incomplete")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(partial)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(partial)) from error
    shutil.rmtree(folder, ignore_errors=True)  # a kill here is mended by the checkpoint, which has a copy
    partial.rename(folder)


def checkpoint_damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, by its manifest; None if it is whole."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text())["files"]
        for name, known in files.items():
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
            if _checksum(checkpoint / name) != known:
                return f"{name} differs from its checksum"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({type(error).__name__})"
    return None


def _checksum(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Onto the disk, so that a power cut leaves no renamed folder of half files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Checkpoints:
    """The checkpoints of one run; all methods are called by all processes.

    Args:
        accelerator: has model, optimiser and loaders prepared.
        args: a :class:`~galaxy_vision.training.arguments.TrainingRun`.
        model: whose weights must be finite to be saved.
        states: name -> whatever else has ``state_dict`` and ``load_state_dict``.
        termination: of this run, from :func:`~galaxy_vision.runtime.orderly_end.orderly_end`.
        contents: split -> digest of its rows, from :func:`~galaxy_vision.data.checks.split_contents`.
    """

    def __init__(
        self,
        accelerator,
        args,
        model: nn.Module,
        states: dict,
        termination: Termination | None = None,
        contents: dict[str, str] | None = None,
    ):
        self.contents = contents or {}
        self.accelerator, self.model, self.states = accelerator, model, states
        self.termination = termination or Termination()
        self.output_dir = Path(args.output_dir)
        self.folder, self.best = self.output_dir / "checkpoints", self.output_dir / "best"
        settings = {name: value for name, value in asdict(args).items() if name not in FREE_TO_CHANGE}
        # The precision is the one that computes, not "auto": whatever a resumed run is told must come to the same.
        self.settings = settings | {
            "num_processes": accelerator.num_processes,
            "mixed_precision": accelerator.mixed_precision,
        }

    def save(self, step: int) -> None:
        """Write ``step-{step}`` and keep it and the one before.

        Raises:
            FloatingPointError: a weight is NaN or infinite; nothing is written.
            SystemExit: it cannot be written; the checkpoints before stay as they are.
        """
        self.check_weights(step)
        partial, main = self.folder / "incomplete", self.accelerator.is_main_process
        self._together(step, lambda: self._begin(partial, step) if main else None)
        self._together(step, lambda: self.accelerator.save_state(str(partial)))
        self._together(step, lambda: self._finish(partial, step) if main else None)

    def check_weights(self, step: int) -> None:
        """Raises FloatingPointError if a weight is NaN or infinite after that batch."""
        floats = [each for each in self.model.state_dict().values() if each.is_floating_point()]
        if not torch.stack([each.isfinite().all() for each in floats]).all():
            raise FloatingPointError(
                f"weights are NaN or infinite after batch {step}; lower the learning rate and start again"
            )

    def _together(self, step: int, action: Callable[[], None]) -> None:
        """Do it on every process and wait for all; if one of them failed, all end."""
        problem = None
        try:
            action()
        except torch.OutOfMemoryError:  # a RuntimeError too, which has nothing to do with the disk
            raise
        except (OSError, RuntimeError, SafetensorError) as error:  # torch.save raises RuntimeError on a full disk
            problem = reason_and_room(error, self.folder)
        if problems := [each for each in gather_object([problem]) if each]:
            if self.accelerator.is_main_process:
                shutil.rmtree(self.folder / "incomplete", ignore_errors=True)
            raise SystemExit(f"error: checkpoint step-{step} in {self.folder} cannot be written: {problems[0]}")

    def _begin(self, partial: Path, step: int) -> None:
        if step == 0:
            shutil.rmtree(self.best, ignore_errors=True)  # of a run before, which was killed in its first epoch
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        torch.save({name: each.state_dict() for name, each in self.states.items()}, partial / "run.pt")
        if self.best.exists():
            shutil.copytree(self.best, partial / "best")

    def _finish(self, partial: Path, step: int) -> None:
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        for path in files:
            _sync(path)
        checksums = {str(path.relative_to(partial)): _checksum(path) for path in files}
        write_json(
            partial / MANIFEST, {"step": step, "settings": self.settings, "contents": self.contents, "files": checksums}
        )
        _sync(partial / MANIFEST)
        final = self.folder / f"step-{step}"
        shutil.rmtree(final, ignore_errors=True)  # one that was damaged, so that an older one was resumed
        partial.rename(final)
        _sync(self.folder)
        self.termination.begun = True
        before = [each for each in checkpoint_steps(self.output_dir) if each < step]
        for other in set(checkpoint_steps(self.output_dir)) - {step, *before[:1]}:
            shutil.rmtree(self.folder / f"step-{other}")

    def resume(self) -> None:
        """Load the newest whole checkpoint.

        Raises:
            SystemExit: there is none, or it is of a run with other arguments or other rows.
        """
        plan = [None, []]
        if self.accelerator.is_main_process:
            for step in checkpoint_steps(self.output_dir):
                damage = checkpoint_damage(self.folder / f"step-{step}")
                if damage is None:
                    plan[0] = str(self.folder / f"step-{step}")
                    break
                plan[1].append(f"step-{step} is damaged: {damage}")
        found, damaged = broadcast_object_list(plan)
        if found is None and not damaged and (self.output_dir / "metrics.json").exists():
            raise SystemExit(
                f"error: output_dir={self.output_dir} holds a run that is through; there is nothing to resume"
            )
        if found is None:
            why = f" ({'; '.join(damaged)})" if damaged else ""
            raise SystemExit(
                f"error: output_dir={self.output_dir} has no checkpoint to resume from{why}; leave --resume out"
                + (" and give another folder" if damaged else "")
            )
        for each in damaged:
            self.accelerator.print(f"{each}; going on from {Path(found).name}")
        manifest = json.loads((Path(found) / MANIFEST).read_text())
        theirs = manifest["settings"]
        changed = [
            f"{key}={value!r}, then {theirs.get(key)!r}"
            for key, value in self.settings.items()
            if theirs.get(key) != value
        ]
        if changed:
            raise SystemExit(
                f"error: {found} is of a run with other arguments ({'; '.join(changed)}); give the same, or another output_dir"
            )
        known = manifest.get("contents", {})
        if others := [split for split, content in self.contents.items() if known.get(split, content) != content]:
            raise SystemExit(
                f"error: {found} is of a run with other rows in the {' and '.join(others)} split; give the data set as it was, or "
                "start again in another output_dir"
            )
        self.termination.begun = True
        self.accelerator.load_state(found)
        states = torch.load(Path(found) / "run.pt", map_location="cpu", weights_only=True)
        for name, each in self.states.items():
            each.load_state_dict(states[name])
        if self.accelerator.is_main_process:
            shutil.rmtree(self.best, ignore_errors=True)
            if (Path(found) / "best").exists():
                shutil.copytree(Path(found) / "best", self.best)
        self.accelerator.wait_for_everyone()

    def end_if_terminating(self) -> None:
        """To be called by all processes when the newest checkpoint is all that there is to save.

        Raises:
            Terminated: SIGTERM has come to one of the processes.
        """
        if on_any_process(self.accelerator, self.termination.noted)[0]:
            raise Terminated
