"""What each part is worth: every part left out in turn, with several seeds, as one table.

    python benchmarks/ablations.py --dataset galaxy_zoo_challenge --simulation runs/classifier --output_dir
    runs/ablations python benchmarks/ablations.py ... --backbone resnet50 --image_size 224 --rows 0 --epochs 40      #
    larger, with a GPU

Trains with the scripts themselves. The scores are those of the validation split at the epoch that the script would
choose; the test split is not read. A difference is paired by seed; its interval is Student's t at 95 %. Runs that are
complete are not repeated, so a killed benchmark goes on where it was. --simulation is a classifier that
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
    """One row of the table: a script, the flags that differ from the first arm of that script."""

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
    """Train one arm with one seed, unless that is done; the history row of the chosen epoch."""
    if not (folder / "metrics.json").exists():
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", arm.script]
        command += [
            "--dataset",
            args.dataset,
            "--output_dir",
            str(folder),
            "--seed",
            str(seed),
            "--max_rows",
            str(args.rows),
        ]
        command += ["--epochs", str(args.epochs)]
        if arm.script == CLASSIFIER:
            command += ["--backbone", args.backbone, "--image_size", str(args.image_size), "--crop_fraction", "0.55"]
        else:
            command += ["--encoder", str(encoder), "--frozen_epochs", str(args.epochs), "--num_beams", "1"]
            command += [
                "--teacher_share",
                "0",
            ]  # captions of the references themselves, not of what the classifier predicts
        if (folder / "checkpoints").exists():
            command.append("--resume")
        done = subprocess.run([*command, *arm.flags], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"error: {' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    results = json.loads((folder / "metrics.json").read_text())
    return results["history"][results["best_epoch"] - 1]


def with_interval(values: np.ndarray) -> str:
    """Mean and half of its 95 % interval."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.4f} ± {half:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="with votes and captions")
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
    found: dict[str, list[dict]] = {}
    for arm, seed in tqdm(jobs, desc="runs"):
        first = folder / f"{arms(args.simulation)[0].name.replace(' ', '_')}-{seed}"
        place = folder / f"{arm.name.replace(' ', '_')}-{seed}"
        found.setdefault(arm.name, []).append(run(arm, seed, place, first, args))
    print(
        f"\n{args.rows or 'all'} training rows, {args.epochs} epochs, {args.seeds} seeds; validation split; differences to the first row\n"
    )
    for script, scores in SCORES.items():
        rows = [arm for arm in arms(args.simulation) if arm.script == script]
        print(f"| {script} | {' | '.join(scores)} |\n|{'---|' * (1 + len(scores))}")
        for arm in rows:
            cells = []
            for key in scores.values():
                values = np.array([row.get(key) if row.get(key) is not None else np.nan for row in found[arm.name]])
                base = np.array([row[key] for row in found[rows[0].name]])
                if np.isnan(values).any():
                    cells.append("")
                else:
                    cells.append(f"{values.mean():.4f}" if arm is rows[0] else with_interval(values - base))
            print(f"| {arm.name} | {' | '.join(cells)} |")
        print()


if __name__ == "__main__":
    main()
