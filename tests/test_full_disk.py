"""A small file system that runs full, and one that is read-only.

One clear error, nothing that was there is damaged, and the run goes on.

Each is mounted in a mount namespace of its own, which needs root (or user namespaces) and Linux.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FEW, REPOSITORY
from safetensors.numpy import load_file

from galaxy_vision.data.load import load_galaxies

NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    made = subprocess.run([*NAMESPACE, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], capture_output=True)
    return made.returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")

DRIVER = """
import hashlib, json, os, shutil, subprocess, sys
from pathlib import Path

disk, work, repository = (Path(each) for each in sys.argv[1:4])
steps = json.loads(sys.argv[4])
sys.path[:0] = [str(repository), str(repository / "tests")]

def mount(*how):
    subprocess.run(["mount", *how], check=True)

def files():
    whole = sorted(path for path in disk.rglob("*") if path.is_file() and path.name not in ("filler", ".lock"))
    return {str(path.relative_to(disk)): hashlib.md5(path.read_bytes()).hexdigest() for path in whole}

def fill(leave):
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    free = shutil.disk_usage(disk).free - leave
    with open(filler, "wb") as file:
        while free > 0:
            free -= file.write(bytes(min(free, 1 << 20)))

def run(argv):
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.dup2(writing, 2), os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 70
        try:
            if argv[0] == "cli":
                from galaxy_vision.cli import main
                status = main(argv[1:])
            elif argv[0].startswith("train_"):
                from conftest import train
                train(argv[0], *argv[1:])
                status = 0
            else:
                from conftest import builder
                builder(argv[0])(argv[1:])
                status = 0
        except SystemExit as stop:
            if not isinstance(stop.code, int):
                print(stop, file=sys.stderr)
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with open(reading, errors="replace") as said:
        text = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text

import galaxy_vision.data.load, galaxy_vision.predict, galaxy_vision.evaluation.report  # once for all that are forked
mount("-t", "tmpfs", "-o", "size=600m", "none", str(disk))
if sys.argv[5]:
    shutil.copytree(sys.argv[5], disk / "run")
found = []
for step in steps:
    if step["room"] == "none":
        mount("-o", "remount,ro", str(disk))
    elif step["room"] is not None:
        fill(step["room"])
    before = files()
    status, text = run(step["argv"])
    after = files()
    damaged = [name for name in before if after.get(name) != before[name]]
    found.append({"status": status, "text": text, "damaged": damaged, "new": sorted(set(after) - set(before))})
    if step["room"] == "none":
        mount("-o", "remount,rw", str(disk))
    (disk / "filler").unlink(missing_ok=True)
for path in disk.glob("run/model.safetensors"):
    shutil.copy(path, work / "model.safetensors")
print(json.dumps(found))
"""


def on_small_disk(tmp_path: Path, steps: list[tuple[int | str | None, list[str]]], run="") -> list[dict]:
    """Run commands one after the other on a tmpfs of 600 MiB at ``tmp_path/disk``.

    Each has so many bytes free ("none": read-only).

    Args:
        run: folder that is copied there as ``run`` before.

    Returns:
        status, text on stderr, files that were damaged or lost, and new files, of each.
    """
    disk, work = tmp_path / "disk", tmp_path / "work"
    disk.mkdir(), work.mkdir()
    (work / "driver.py").write_text(DRIVER)
    plan = json.dumps([{"room": room, "argv": argv} for room, argv in steps])
    command = [
        *NAMESPACE,
        sys.executable,
        str(work / "driver.py"),
        str(disk),
        str(work),
        str(REPOSITORY),
        plan,
        str(run),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def refused(step: dict, *sentences: str) -> None:
    assert "Traceback" not in step["text"], step["text"][-2000:]
    errors = re.findall(r"error: .*", step["text"])  # behind a bar, on its line
    assert len(errors) == 1 and any(sentence in errors[0] for sentence in sentences), (
        step["status"],
        step["text"][-2000:],
    )
    assert step["status"] in (1, 2) and not step["damaged"]


NO_ROOM = ("No space left", "make room", "os error 28", "Read-only file system")


def test_training_ends_with_one_line_and_goes_on_to_the_same_weights(classifier_run, tmp_path):
    argv = ["train_classifier", *FEW, "--checkpoint_every", "2", "--output_dir", str(tmp_path / "disk" / "run")]
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
    undisturbed, ours = (
        load_file(path) for path in (classifier_run[0] / "model.safetensors", tmp_path / "work" / "model.safetensors")
    )
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
    commands = [("none", build), (2000, build), (None, build), ("none", predict), (90_000, predict), (None, predict)]
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
    assert not any(step["new"] for place, step in enumerate(steps) if place not in (2, 4, 5))
