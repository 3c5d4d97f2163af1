"""Predict a large catalogue once without a kill and once killed three times, and compare rows, memory and time.

    python benchmarks/predict_restart.py --model runs/classifier --images galaxy_zoo_challenge --rows 100000 \\
        --work /tmp/predict_restart

A kill is SIGKILL to all processes. The images of the Parquet folder ``--images`` are repeated under new ids until there
are ``--rows`` of them. Prints wall times, images/s with and without start-up, the largest resident memory of a process
in the first and in the last tenth of the clean run, and whether the two outputs are equal row by row. ``--kills 0``
stops after the clean run.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from galaxy_vision.predict.catalogue import open_catalogue
from galaxy_vision.predict.rows import Columns


def make_catalogue(images: Path, folder: Path, rows: int) -> None:
    """Write a Parquet catalogue of ``rows`` images, which repeats those of the folder ``images``."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    with pq.ParquetWriter(folder / "catalogue.parquet", pa.schema({"id": pa.string(), "image": pa.binary()})) as writer:
        while True:
            for file in sorted(images.rglob("*.parquet")):
                for batch in pq.ParquetFile(file).iter_batches(256, columns=["image"]):
                    data = [image["bytes"] for image in batch.column(0).to_pylist()]
                    data = data[: rows - number]
                    ids = [f"galaxy-{number + index}" for index in range(len(data))]
                    writer.write_batch(pa.record_batch([ids, data], schema=writer.schema))
                    number += len(data)
                    if number == rows:
                        return


def start(args, output: Path) -> subprocess.Popen:
    """Start a prediction of the catalogue with ``args.num_processes`` processes."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--dynamo_backend", "no"]
    command += ["--mixed_precision", "no", "--main_process_port", "0", "--num_processes", str(args.num_processes)]
    command += ["--multi_gpu"] if args.num_processes > 1 else []
    command += ["-m", "galaxy_vision.predict", "--model", args.model, "--catalogue", str(args.work / "catalogue")]
    command += ["--output_dir", str(output), "--rows_per_part", str(args.rows_per_part), "--frame", args.frame]
    command += ["--no_doubts"] if args.frame == "as_is" else []
    environment = os.environ | {"ACCELERATE_USE_CPU": "true" if args.cpu else "false"}
    return subprocess.Popen(command, env=environment)


def process_tree(running: subprocess.Popen) -> list[psutil.Process]:
    """Return the launcher and its processes, which are in process groups of their own."""
    try:
        launcher = psutil.Process(running.pid)
        return [launcher, *launcher.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resident_mib(running: subprocess.Popen) -> float:
    """Return the largest resident memory of a process in MiB."""
    largest = 0
    for process in process_tree(running):
        with contextlib.suppress(psutil.NoSuchProcess):  # the process ended meanwhile
            largest = max(largest, process.memory_info().rss)
    return largest / 2**20


def kill_all(running: subprocess.Popen) -> None:
    processes = process_tree(running)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes)
    running.wait()


def clean_run(args, parts: int) -> None:
    """Predict the catalogue without a kill, and print time, rate and memory."""
    output, began, largest = args.work / "clean", time.perf_counter(), {"first": 0.0, "last": 0.0}
    running = start(args, output)
    while running.poll() is None:
        done = len(list(output.glob("part-*"))) / parts
        if done <= 0.1 or done >= 0.9:
            tenth = "first" if done <= 0.1 else "last"
            largest[tenth] = max(largest[tenth], resident_mib(running))
        time.sleep(0.5)
    if running.returncode:
        raise SystemExit(f"the clean run ended with {running.returncode}")
    seconds = time.perf_counter() - began
    print(
        f"{args.rows} rows, {args.num_processes} processes, {seconds:.0f} s with start-up: "
        f"{args.rows / seconds:.0f} images/s"
    )
    written = sorted(path.stat().st_mtime for path in output.glob("part-*"))
    counted = parts - args.num_processes  # the time of a process's first part includes start-up
    if counted > 0:
        rate = counted * args.rows_per_part / (written[-1] - written[args.num_processes - 1])
        print(f"without start-up: {rate:.0f} images/s, {1e6 / rate / 3600:.2f} hours a million galaxies")
    print(
        f"largest resident memory of a process: {largest['first']:.0f} MiB first tenth, "
        f"{largest['last']:.0f} MiB last tenth"
    )


def killed_run(args, parts: int) -> None:
    """Predict the catalogue with ``args.kills`` kills at random moments, and print the time."""
    output, rng, began, kills = args.work / "killed", random.Random(args.seed), time.perf_counter(), 0
    moments = sorted(rng.uniform(0.1, 0.9) for _ in range(args.kills))
    for moment in moments:
        running = start(args, output)
        while running.poll() is None and len(list(output.glob("part-*"))) < moment * parts:
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 2))
        if running.poll() is None:
            kill_all(running)
            kills += 1
            print(f"killed with {len(list(output.glob('part-*')))} of {parts} parts done")
    if start(args, output).wait():
        raise SystemExit("the last restart failed")
    print(f"killed {kills} times and restarted: {time.perf_counter() - began:.0f} s altogether")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of Parquet files with a column image")
    parser.add_argument("--work", type=Path, required=True, help="folder to create")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rows_per_part", type=int, default=1024)
    parser.add_argument("--num_processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3, help="how often the second run is killed (0: no second run)")
    parser.add_argument("--frame", default="as_is", help="as of galaxy-vision predict (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="use the CPU even if there is a GPU")
    args = parser.parse_args()
    args.work.mkdir(parents=True)
    make_catalogue(args.images, args.work / "catalogue", args.rows)
    parts = len(open_catalogue(str(args.work / "catalogue"), Path(), args.rows_per_part, Columns()).part_rows)
    clean_run(args, parts)
    if not args.kills:
        return
    killed_run(args, parts)
    names = sorted(path.name for path in (args.work / "clean").glob("part-*"))
    if names != sorted(path.name for path in (args.work / "killed").glob("part-*")):
        raise SystemExit("the two runs have parts of different names")
    rows = 0
    for name in names:
        clean, killed = (pq.read_table(args.work / run / name) for run in ("clean", "killed"))
        if not clean.equals(killed):
            raise SystemExit(f"{name} differs")
        rows += len(clean)
    if rows != args.rows:
        raise SystemExit(f"{rows} rows out, {args.rows} in")
    print(f"{rows} rows are equal, bit for bit, in {len(names)} parts")


if __name__ == "__main__":
    main()
