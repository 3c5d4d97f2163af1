"""Kill training again and again, and see that it ends with the weights of a run that nobody killed, bit for bit.

    python tests/chaos/kill_training.py --trials 2 --pairs 1                             # what the suite runs
    python tests/chaos/kill_training.py --trials 100 --pairs 20 --kills 3 --seed 1       # the long run
    python tests/chaos/kill_training.py --trials 50 --pairs 10 --kills 3 --script train_captioner

A trial trains with an empty cache of data sets, and SIGKILL comes at a random event: the n-th time that the run opens a
file for writing, makes, renames or removes one in its folder or in the cache (so inside a checkpoint and inside the
cache of pixels), or, in every second trial, after a random time. It is resumed, killed again, and at last left alone.
Trials are forked from one process that has imported everything; figures are left out. With ``--pairs`` two processes
train together and one of them is killed, then the other.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("OMP_NUM_THREADS", None)  # "1" would be taken for the choice of `accelerate launch` and be raised

import datasets  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from galaxy_vision.data.simulated import simulated_dataset  # noqa: E402
from galaxy_vision.evaluation import report  # noqa: E402
from galaxy_vision.training.checkpoints import checkpoint_steps  # noqa: E402

SMALL = ["--num_simulated", "200", "--max_rows", "24", "--batch_size", "4", "--epochs", "2", "--checkpoint_every", "2"]
SMALL += ["--mixed_precision", "no", "--seed", "3", "--backbone", "test_resnet"]
ARGUMENTS = {
    "train_classifier": [*SMALL, "--image_size", "32", "--drop_rate", "0.2"],
    "train_captioner": [
        *SMALL,
        "--image_size",
        "32",
        "--hidden_size",
        "16",
        "--max_new_tokens",
        "8",
        "--num_beams",
        "2",
    ],
}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.copytree"}


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def watch(roots: tuple[str, ...], kill_at: int | None, note: Path) -> None:
    """Count the changes below ``roots``; write the count and the last one to ``note``; and die at one of them."""
    count = 0
    handle = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event == "open":
            changes = isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR))
        else:
            changes = event in CHANGES
        inside = changes and (str(args[0]).startswith(roots) or (event == "os.remove" and args[1] != -1))
        if inside:
            count += 1
            os.pwrite(handle, f"{count} {event} {args[0]}".ljust(400).encode()[:400], 0)
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def fork(work: Path, script, argv: list[str], rank: int, size: int, port: int, kill_at: int | None) -> int:
    """A process that trains into ``work``; its output goes to ``work/log-RANK``."""
    if child := os.fork():
        return child
    status = 70
    try:
        log = os.open(work / f"log-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if size > 1:
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
            os.environ.update(
                where, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size)
            )
        datasets.config.HF_DATASETS_CACHE = work / "cache"
        report.write_report = lambda *arguments: []  # figures and card: `galaxy-vision report` makes them again
        watch((str(work / "run"), str(work / "cache")), kill_at, work / f"note-{rank}")
        script.main(argv)
        status = 0
    except SystemExit as stop:
        print(stop, file=sys.stderr)
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # whatever it is, this process must not go on as a second parent
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def attempt(work: Path, script, size: int, kill_at: dict[int, int], kill_after: float | None) -> tuple[bool, float]:
    """Start or resume; (whether it was killed, seconds).

    Raises:
        RuntimeError: it ended by itself, and not well.
    """
    argv = [*ARGUMENTS[script.__name__], "--output_dir", str(work / "run")]
    argv += ["--resume"] * bool(checkpoint_steps(work / "run"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started, killed = time.monotonic(), False
    living = {fork(work, script, argv, rank, size, port, kill_at.get(rank)) for rank in range(size)}
    while living:
        child, status = os.waitpid(-1, os.WNOHANG)
        late = kill_after is not None and time.monotonic() - started > kill_after
        if late or (child and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            killed = True
            living.discard(child)
            for other in living:  # which would wait for the first until its time is out
                os.kill(other, signal.SIGKILL)
            for other in living:
                os.waitpid(other, 0)
            break
        if child and status:
            for other in living - {child}:
                os.kill(other, signal.SIGKILL)
                os.waitpid(other, 0)
            logs = "\n".join((work / f"log-{rank}").read_text()[-3000:] for rank in range(size))
            raise RuntimeError(f"a resumed run ended with status {os.waitstatus_to_exitcode(status)}:\n{logs}")
        living.discard(child)
        time.sleep(0.01)
    return killed, time.monotonic() - started


def outcome(work: Path) -> dict:
    """What must be the same: weights, and the validation scores of every epoch."""
    weights = {name: value.tobytes() for name, value in load_file(work / "run" / "model.safetensors").items()}
    history = json.loads((work / "run" / "metrics.json").read_text())["history"]
    scores = [{key: value for key, value in row.items() if key != "train_loss"} for row in history]
    return {"weights": weights, "scores": scores, "left": sorted(path.name for path in (work / "run").glob("check*"))}


def place_of(note: Path) -> str:
    """Where the kill was, from the last change before it."""
    text = note.read_text().split(maxsplit=2)
    path = text[2] if len(text) > 2 else ""
    kinds = {"/cache/": "cache", "/checkpoints/": "checkpoint", "/best": "best weights"}
    return next((kind for part, kind in kinds.items() if part in path), "elsewhere")


def trial(
    root: Path, script, size: int, number: int, dice: random.Random, total: int, seconds: float, kills: int
) -> Counter:
    """Train with some kills; counts of what happened, and ``lost`` if the outcome is not that of the quiet run."""
    work = root / f"trial-{size}-{number}"
    work.mkdir()
    counts, shorter = Counter(), 1.0
    while not (work / "run" / "metrics.json").exists() or checkpoint_steps(work / "run"):
        kill_at, kill_after = {}, None
        if counts["kills"] < kills:
            if number % 2:
                kill_after = shorter * dice.uniform(0.02, 1.0) * seconds
            else:
                kill_at = {dice.randrange(size): max(1, int(shorter * dice.randint(1, total)))}
        killed, _ = attempt(work, script, size, kill_at, kill_after)
        if killed:
            counts["kills"] += 1
            counts[f"kills after a change of the {place_of(work / 'note-0')}"] += 1
            counts["restarts"] += 1
        elif not counts["kills"]:  # done before the kill could land: once more, with an earlier one
            shutil.rmtree(work)
            work.mkdir()
            shorter /= 2
            counts["done before the kill"] += 1
    counts["lost"] += outcome(work) != outcome(root / f"quiet-{size}")
    if not counts["lost"]:
        shutil.rmtree(work)
    return counts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", default="train_classifier", choices=list(ARGUMENTS))
    parser.add_argument("--trials", type=int, default=2, help="runs of one process")
    parser.add_argument("--pairs", type=int, default=1, help="runs of two processes")
    parser.add_argument("--kills", type=int, default=1, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    script, dice, counts = load_script(args.script), random.Random(args.seed), Counter()
    root = Path(tempfile.mkdtemp(prefix="galaxy-vision-chaos-"))
    if not (drawing := os.fork()):
        simulated_dataset(200, 0)
        os._exit(0)
    if os.waitpid(drawing, 0)[1]:
        raise RuntimeError("the simulated galaxies could not be drawn")
    for size, trials in ((1, args.trials), (2, args.pairs)):
        if not trials:
            continue
        quiet = root / f"quiet-{size}"
        quiet.mkdir()
        _, seconds = attempt(quiet, script, size, {}, None)
        total = int((quiet / "note-0").read_text().split()[0])
        for number in range(trials):
            counts += trial(root, script, size, number, dice, total, seconds, args.kills)
            counts[f"runs of {size} process(es)"] += 1
            print(dict(counts), file=sys.stderr, flush=True)
    print(json.dumps(counts | {"lost": counts["lost"]}))
    if counts["lost"]:
        print(f"kept for a look: {root}", file=sys.stderr)
        return 1
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
