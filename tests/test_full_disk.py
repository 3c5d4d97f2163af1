"""A small file system that runs full, and one that is read-only.

One clear error, nothing that was there is damaged, and the run goes on.

Each is mounted in a mount namespace of its own, which needs root (or user namespaces) and Linux.
"""

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from conftest import FEW, REPOSITORY, builder, new_process, train
from safetensors.numpy import load_file

from galaxy_vision.cli import main as cli
from galaxy_vision.data.load import load_galaxies

NAMESPACE = ["unshare", "--mount", "--propagation", "private"]
CLONE_NEWNS = 0x20000  # of unshare(2) in linux/sched.h; Python has os.unshare since 3.12


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    made = subprocess.run([*NAMESPACE, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], capture_output=True)
    return made.returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def checksums(disk: Path) -> dict[str, str]:
    """Digest of every file by its path below ``disk``."""
    paths = [path for path in disk.rglob("*") if path.is_file() and path.name not in ("filler", ".lock")]
    return {str(path.relative_to(disk)): hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(paths)}


def fill(disk: Path, room: int) -> None:
    """Write a file that leaves ``room`` bytes."""
    free = shutil.disk_usage(disk).free - room
    with open(disk / "filler", "wb") as file:
        while free > 0:
            free -= file.write(bytes(min(free, 1 << 20)))


def run_command(argv: list[str]) -> tuple[int, str]:
    """Exit status and stderr of a command of the package, a training script or a builder, in a forked process."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 70
        try:
            if argv[0] == "cli":
                status = cli(argv[1:])
            elif argv[0].startswith("train_"):
                train(argv[0], *argv[1:])
                status = 0
            else:
                builder(argv[0])(argv[1:])
                status = 0
        except SystemExit as stop:
            if not isinstance(stop.code, int):
                print(stop, file=sys.stderr)
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:  # whatever it is, this process must not go on as a second parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with open(reading, errors="replace") as stderr:
        text = stderr.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def run_steps(disk: Path, work: Path, steps: list[tuple[int | str | None, list[str]]], run: str | Path) -> None:
    """What :func:`on_small_disk` does, in a process of its own; the answer goes to ``work/answer.json``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no mount namespace of its own")
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "size=600m", "none", str(disk))
    if run:
        shutil.copytree(run, disk / "run")
    answer = []
    for room, argv in steps:
        if room == "none":
            mount("-o", "remount,ro", str(disk))
        elif room is not None:
            fill(disk, room)
        before = checksums(disk)
        status, text = run_command(argv)
        after = checksums(disk)
        damaged = [name for name in before if after.get(name) != before[name]]
        answer.append({"status": status, "text": text, "damaged": damaged, "new": sorted(set(after) - set(before))})
        if room == "none":
            mount("-o", "remount,rw", str(disk))
        (disk / "filler").unlink(missing_ok=True)
    for path in disk.glob("run/model.safetensors"):
        shutil.copy(path, work / "model.safetensors")
    (work / "answer.json").write_text(json.dumps(answer))


def on_small_disk(tmp_path: Path, steps: list[tuple[int | str | None, list[str]]], run="") -> list[dict]:
    """Run commands one after the other on a tmpfs of 600 MiB at ``tmp_path/disk``.

    Each has so many bytes free ("none": read-only). They are forked from one process that has imported everything.

    Args:
        run: folder that is copied there as ``run`` before.

    Returns:
        status, text on stderr, files that were damaged or lost, and new files, of each.
    """
    disk, work = tmp_path / "disk", tmp_path / "work"
    disk.mkdir(), work.mkdir()
    process = new_process(run_steps, disk, work, steps, run)
    process.start()
    process.join(300)
    process.kill()
    process.join()
    assert process.exitcode == 0
    return json.loads((work / "answer.json").read_text())


def refused(step: dict, *sentences: str) -> None:
    assert "Traceback" not in step["text"], step["text"][-2000:]
    errors = re.findall(r"error: .*", step["text"])  # behind a bar, on its line
    assert len(errors) == 1 and any(sentence in errors[0] for sentence in sentences), (
        step["status"],
        step["text"][-2000:],
    )
    assert step["status"] in (1, 2) and not step["damaged"]


NO_ROOM = ("No space left", "make room", "os error 28", "Read-only file system")


def test_training_ends_with_one_line_and_goes_on_to_the_same_weights(tmp_path):
    larger = [*FEW, "--backbone", "resnet10t"]  # a checkpoint of which takes more than the room below
    train("train_classifier", *larger, "--output_dir", str(tmp_path / "undisturbed"))
    argv = ["train_classifier", *larger, "--checkpoint_every", "2", "--output_dir", str(tmp_path / "disk" / "run")]
    load_galaxies("simulated", num_simulated=200)
    read_only, full, stopped, full_again, whole = on_small_disk(
        tmp_path,
        [
            ("none", argv),
            (5 << 20, argv),
            (None, [*argv, "--stop_after", "3"]),
            (30 << 20, [*argv, "--resume"]),
            (None, [*argv, "--resume"]),
        ],
    )
    for step in (read_only, full, full_again):
        refused(step, *NO_ROOM)
        assert not step["new"]
    assert stopped["status"] == 130 and whole["status"] == 0, whole["text"][-2000:]
    undisturbed, ours = (load_file(tmp_path / name / "model.safetensors") for name in ("undisturbed", "work"))
    assert all((value == ours[name]).all() for name, value in undisturbed.items())


def test_everything_else_that_writes_ends_with_one_line(classifier_run, captioner_run, tmp_path, challenge_files):
    disk, model = tmp_path / "disk", str(classifier_run[0])
    examples = REPOSITORY / "space" / "examples"
    inputs = [part for key, value in challenge_files.items() for part in (f"--{key}", str(value))]
    build = ["galaxy_zoo_challenge", *inputs, "--output_dir", str(disk / "built")]
    predict = [
        "cli",
        "predict",
        "--model",
        model,
        "--catalogue",
        str(examples),
        "--output_dir",
        str(disk / "predicted"),
    ]
    predict += ["--rows_per_part", "1", "--batch_size", "1"]
    explain = [
        "cli",
        "explain",
        str(next(examples.glob("*.jpg"))),
        "--model",
        model,
        "--captioner",
        str(captioner_run[0]),
    ]
    explain += ["--output_dir", str(disk / "figures")]
    report = ["cli", "report", str(disk / "run")]
    # Room for some parts of one row: what their columns mean takes most of a part.
    commands = [("none", build), (2000, build), (None, build), ("none", predict), (1_000_000, predict), (None, predict)]
    commands += [("none", explain), (2000, explain), ("none", report), (2000, report)]
    steps = on_small_disk(tmp_path, commands, classifier_run[0])
    for (room, command), step in zip(commands, steps, strict=True):
        if room is not None:
            refused(step, "make room, or give another folder")
        else:
            # What the run before could not finish is removed.
            gone = [name for name in step["damaged"] if not name.endswith(".tmp")]
            assert step["status"] == 0 and not gone, (command, step["text"][-2000:])
    parts = [[name for name in step["new"] if "/part-" in name] for step in steps[4:6]]
    assert parts[0] and parts[1] and len(parts[0] + parts[1]) == len(list(examples.glob("*.jpg")))  # it went on
    assert not any(step["new"] for index, step in enumerate(steps) if index not in (2, 4, 5))
