"""Checkpoints, which are complete or absent: what a run needs to go on.

A checkpoint is a folder ``checkpoints/step-N``, written after N batches. It is written under another name, with a
manifest of checksums as its last file, and then renamed. The two newest are kept. Nothing in it is unpickled except by
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
"""Arguments that may differ between a run and its resumption; any other would make it another run."""


def checkpoint_steps(output_dir: Path) -> list[int]:
    """List the batches done at each checkpoint of a run, the newest first, whether complete or not."""
    return [int(path.name.removeprefix("step-")) for path in checkpoints_of(output_dir)]


def checkpoint_precision(output_dir: Path) -> str | None:
    """Return the precision of the run that wrote the checkpoints, or None where no manifest names it."""
    for step in checkpoint_steps(output_dir):
        try:
            manifest = json.loads((output_dir / "checkpoints" / f"step-{step}" / MANIFEST).read_text())
            return manifest["settings"]["mixed_precision"]
        except (OSError, ValueError, KeyError, TypeError):  # damaged: the resumption will name it
            continue
    return None


def save_best(model: nn.Module, folder: Path) -> None:
    """Write the weights of the best epoch so far, under another name, and rename them.

    Raises:
        OSError: they cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.incomplete")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(partial)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(partial)) from error
    shutil.rmtree(folder, ignore_errors=True)  # after a kill here, the checkpoint has a copy
    partial.rename(folder)


def checkpoint_damage(checkpoint: Path) -> str | None:
    """Say what is wrong with a checkpoint, by its manifest; None if it is complete."""
    try:
        checksums = json.loads((checkpoint / MANIFEST).read_text())["files"]
        for name, checksum in checksums.items():
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
            if _checksum(checkpoint / name) != checksum:
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
    """Flush a file to the disk, so that a power cut leaves no renamed folder of incomplete files."""
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
        # The precision that computes, not "auto": a resumed run must arrive at the same, whatever it was told.
        self.settings = settings | {
            "num_processes": accelerator.num_processes,
            "mixed_precision": accelerator.mixed_precision,
        }

    def save(self, step: int) -> None:
        """Write ``step-{step}``; keep it and the one before it.

        Raises:
            FloatingPointError: a weight is NaN or infinite; nothing is written.
            SystemExit: it cannot be written; earlier checkpoints stay as they are.
        """
        self.check_weights(step)
        partial, main = self.folder / "incomplete", self.accelerator.is_main_process
        self._together(step, lambda: self._begin(partial, step) if main else None)
        self._together(step, lambda: self.accelerator.save_state(str(partial)))
        self._together(step, lambda: self._finish(partial, step) if main else None)

    def check_weights(self, step: int) -> None:
        """Check that no weight is NaN or infinite after that batch; raise FloatingPointError otherwise."""
        weights = [tensor for tensor in self.model.state_dict().values() if tensor.is_floating_point()]
        if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
            raise FloatingPointError(
                f"weights are NaN or infinite after batch {step}; lower the learning rate and start again"
            )

    def _together(self, step: int, action: Callable[[], None]) -> None:
        """Do something on every process and wait for all; if it failed on one of them, all end."""
        problem = None
        try:
            action()
        except torch.OutOfMemoryError:  # a RuntimeError too, which has nothing to do with the disk
            raise
        except (OSError, RuntimeError, SafetensorError) as error:  # torch.save raises RuntimeError on a full disk
            problem = reason_and_room(error, self.folder)
        if problems := [problem for problem in gather_object([problem]) if problem]:
            if self.accelerator.is_main_process:
                shutil.rmtree(self.folder / "incomplete", ignore_errors=True)
            raise SystemExit(f"error: checkpoint step-{step} in {self.folder} cannot be written: {problems[0]}")

    def _begin(self, partial: Path, step: int) -> None:
        if step == 0:
            shutil.rmtree(self.best, ignore_errors=True)  # of an earlier run that was killed in its first epoch
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        torch.save({name: state.state_dict() for name, state in self.states.items()}, partial / "run.pt")
        if self.best.exists():
            shutil.copytree(self.best, partial / "best")

    def _finish(self, partial: Path, step: int) -> None:
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        for path in files:
            _sync(path)
        checksums = {str(path.relative_to(partial)): _checksum(path) for path in files}
        manifest = {"step": step, "settings": self.settings, "contents": self.contents, "files": checksums}
        write_json(partial / MANIFEST, manifest)
        _sync(partial / MANIFEST)
        final = self.folder / f"step-{step}"
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, instead of which an older one was resumed
        partial.rename(final)
        _sync(self.folder)
        self.termination.begun = True
        steps = checkpoint_steps(self.output_dir)
        newest_before = next((earlier for earlier in steps if earlier < step), None)
        for old in set(steps) - {step, newest_before}:
            shutil.rmtree(self.folder / f"step-{old}")

    def resume(self) -> None:
        """Load the newest whole checkpoint.

        Raises:
            SystemExit: there is none, or it is of a run with other arguments or other rows.
        """
        checkpoint = self._newest_complete()
        self._check_same_run(checkpoint)
        self.termination.begun = True
        self.accelerator.load_state(str(checkpoint))
        states = torch.load(checkpoint / "run.pt", map_location="cpu", weights_only=True)
        for name, state in self.states.items():
            state.load_state_dict(states[name])
        if self.accelerator.is_main_process:
            shutil.rmtree(self.best, ignore_errors=True)
            if (checkpoint / "best").exists():
                shutil.copytree(checkpoint / "best", self.best)
        self.accelerator.wait_for_everyone()

    def _newest_complete(self) -> Path:
        newest, damaged = None, []
        if self.accelerator.is_main_process:
            for step in checkpoint_steps(self.output_dir):
                damage = checkpoint_damage(self.folder / f"step-{step}")
                if damage is None:
                    newest = step
                    break
                damaged.append(f"step-{step} is damaged: {damage}")
        newest, damaged = broadcast_object_list([newest, damaged])
        if newest is None and not damaged and (self.output_dir / "metrics.json").exists():
            raise SystemExit(f"error: output_dir={self.output_dir} holds a finished run; there is nothing to resume")
        if newest is None:
            why = f" ({'; '.join(damaged)})" if damaged else ""
            remedy = " and give another folder" if damaged else ""
            raise SystemExit(
                f"error: output_dir={self.output_dir} has no checkpoint to resume from{why}; leave --resume out{remedy}"
            )
        for problem in damaged:
            self.accelerator.print(f"{problem}; going on from step-{newest}")
        return self.folder / f"step-{newest}"

    def _check_same_run(self, checkpoint: Path) -> None:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        then = manifest["settings"]
        changed = [
            f"{name}={now!r}, then {then.get(name)!r}" for name, now in self.settings.items() if then.get(name) != now
        ]
        if changed:
            raise SystemExit(
                f"error: {checkpoint} is of a run with other arguments ({'; '.join(changed)}); give the same, "
                "or another output_dir"
            )
        then = manifest.get("contents", {})
        if changed := [split for split, now in self.contents.items() if then.get(split, now) != now]:
            raise SystemExit(
                f"error: {checkpoint} is of a run with other rows in the {' and '.join(changed)} split; give the data "
                "set as it was, with its tree, or start again in another output_dir"
            )

    def end_if_terminating(self) -> None:
        """End the run if SIGTERM has come; call it where the newest checkpoint holds all that there is to save.

        Raises:
            Terminated: SIGTERM has come to one of the processes.
        """
        if on_any_process(self.accelerator, self.termination.noted)[0]:
            raise Terminated
