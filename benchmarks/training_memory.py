"""Measure the memory of a training run for data sets of several sizes; it should not grow with the rows.

    python benchmarks/training_memory.py --rows 5000 50000 --work /tmp/training_memory

The simulated galaxies are repeated until there are that many rows; ``train_classifier.py`` decodes all of them and
makes ``--steps`` steps. Anonymous memory (``RssAnon``, Linux) is measured, since the system can reclaim the pages of
the memory-mapped pixel cache.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from datasets import concatenate_datasets

from galaxy_vision.data.load import load_galaxies


def write_rows(folder: Path, rows: int) -> None:
    """Write a data set with ``rows`` training rows, which repeats the simulated galaxies."""
    data = load_galaxies("simulated")
    times = -(-rows // len(data["train"]))
    data["train"] = concatenate_datasets([data["train"]] * times).select(range(rows))
    for split, galaxies in data.items():
        galaxies.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")


def largest_mib(command: list[str]) -> float:
    """Run a command and return its largest anonymous resident memory in MiB."""
    running, largest = subprocess.Popen(command), 0.0
    while running.poll() is None:
        lines = Path(f"/proc/{running.pid}/status").read_text().splitlines()
        size = dict(line.split(":", 1) for line in lines).get("RssAnon", "0 kB")  # absent just before the end
        largest = max(largest, int(size.split()[0]) / 1024)
        time.sleep(0.2)
    if running.returncode not in (0, 130):
        raise SystemExit(f"the run ended with status {running.returncode}")
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--steps", type=int, default=100, help="training steps after the decoding")
    parser.add_argument("--work", type=Path, required=True, help="folder to create")
    args = parser.parse_args()
    script = Path(__file__).parent.parent / "train_classifier.py"
    memory = {}
    for rows in args.rows:
        folder, run = args.work / f"rows-{rows}", args.work / f"run-{rows}"
        write_rows(folder, rows)
        command = [sys.executable, str(script), "--dataset", str(folder), "--output_dir", str(run)]
        memory[rows] = largest_mib([*command, "--stop_after", str(args.steps)])
    for rows, mib in memory.items():
        print(f"{rows} training rows: at most {mib:.0f} MiB")


if __name__ == "__main__":
    main()
