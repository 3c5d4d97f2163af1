"""Measure what every component is worth: leave out one at a time, with several seeds, and print one table.

    python benchmarks/ablations.py --dataset galaxy_zoo_challenge --simulation runs/classifier \\
        --output_dir runs/ablations
    python benchmarks/ablations.py ... --backbone resnet50 --image_size 224 --rows 0 --epochs 40    # with a GPU

The training scripts themselves are run. Scores are those of the validation split at the epoch that the script would
choose; the test split is not read. Differences are paired by seed, with 95 % intervals of Student's t. Complete runs
are not repeated, so a killed benchmark resumes where it was. --simulation is a classifier that
``train_classifier.py`` trained on simulated galaxies with the same backbone and image size.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student
from tqdm.auto import tqdm


class Arm(NamedTuple):
    """One row of the table: a script, and the flags that differ from the first arm of that script."""

    name: str
    script: str
    flags: tuple[str, ...]


CLASSIFIER, CAPTIONER = "train_classifier.py", "train_captioner.py"
SCORES = {
    CLASSIFIER: {"RMSE-37": "validation_rmse_37", "macro F1": "validation_macro_f1"},
    CAPTIONER: {"claim F1": "validation_claim_f1", "BLEU-4": "validation_bleu_4"},
}


def arms(simulation: str) -> list[Arm]:
    return [
        Arm("classifier, from scratch", CLASSIFIER, ()),
        Arm("backbone from simulation", CLASSIFIER, ("--init_from", simulation)),
        Arm("no votes head", CLASSIFIER, ("--no_predict_votes",)),
        Arm("no augmentation", CLASSIFIER, ("--no_augmentation",)),
        Arm("captioner, five references", CAPTIONER, ("--num_references", "5")),
        Arm("one reference", CAPTIONER, ("--num_references", "1")),
        Arm("no attention", CAPTIONER, ("--num_references", "5", "--no_use_attention")),
    ]


def run(arm: Arm, seed: int, folder: Path, encoder: Path, args: argparse.Namespace) -> dict:
    """Train one arm with one seed, unless that is done, and return the history row of the chosen epoch."""
    if not (folder / "metrics.json").exists():
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", arm.script]
        command += ["--dataset", args.dataset, "--output_dir", str(folder), "--seed", str(seed)]
        command += ["--max_rows", str(args.rows), "--epochs", str(args.epochs)]
        if arm.script == CLASSIFIER:
            command += ["--backbone", args.backbone, "--image_size", str(args.image_size), "--crop_fraction", "0.55"]
        else:
            command += ["--encoder", str(encoder), "--frozen_epochs", str(args.epochs), "--num_beams", "1"]
            command += ["--teacher_share", "0"]  # learn from the references and not from what the classifier predicts
        if (folder / "checkpoints").exists():
            command.append("--resume")
        command += arm.flags
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode:
            status, log = finished.returncode, finished.stderr[-2000:]
            raise SystemExit(f"error: {' '.join(command)} ended with status {status}:\n{log}")
    results = json.loads((folder / "metrics.json").read_text())
    return results["history"][results["best_epoch"] - 1]


def with_interval(values: np.ndarray) -> str:
    """Return the mean and half of its 95 % interval as text."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.4f} ± {half:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="data set with votes and captions")
    parser.add_argument("--simulation", required=True, help="classifier trained on simulated galaxies")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1500, help="training rows (0: all)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3, help="2 or more")
    args = parser.parse_args()
    if args.seeds < 2:
        raise SystemExit(f"error: --seeds {args.seeds} gives no interval; use 2 or more")
    folder = Path(args.output_dir)
    jobs = [(arm, seed) for arm in arms(args.simulation) for seed in range(args.seeds)]
    results: dict[str, list[dict]] = {}
    for arm, seed in tqdm(jobs, desc="runs"):
        encoder = folder / f"{arms(args.simulation)[0].name.replace(' ', '_')}-{seed}"
        arm_folder = folder / f"{arm.name.replace(' ', '_')}-{seed}"
        results.setdefault(arm.name, []).append(run(arm, seed, arm_folder, encoder, args))
    print(
        f"\n{args.rows or 'all'} training rows, {args.epochs} epochs, {args.seeds} seeds; validation split; "
        "differences to the first row\n"
    )
    for script, scores in SCORES.items():
        rows = [arm for arm in arms(args.simulation) if arm.script == script]
        print(f"| {script} | {' | '.join(scores)} |\n|{'---|' * (1 + len(scores))}")
        for arm in rows:
            cells = []
            for key in scores.values():
                values = np.array([np.nan if row.get(key) is None else row[key] for row in results[arm.name]])
                base = np.array([row[key] for row in results[rows[0].name]])
                if np.isnan(values).any():
                    cells.append("")
                else:
                    cells.append(f"{values.mean():.4f}" if arm is rows[0] else with_interval(values - base))
            print(f"| {arm.name} | {' | '.join(cells)} |")
        print()


if __name__ == "__main__":
    main()
