"""Train with wider views, one change at a time, and score wrongly framed and badly taken images as they are.

    python benchmarks/forgiving.py --dataset galaxy_zoo_challenge --work runs/forgiving --rows 2000 --epochs 3

Every run starts from the shipped classifier. Scores are RMSE-37 on galaxies of the validation split, without framing;
the test split is not scored. Complete runs are not repeated.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from framing import CASES, Case, Scorer, misframe, shifted

from galaxy_vision.data.load import load_galaxies

sys.path.insert(0, str(Path(__file__).parent.parent))
from train_classifier import main as train

WIDE = ("--margin", "1.66")
ARMS = {
    "views as they were": (),
    "margin": WIDE,
    "zoom 1.4, shift .1": (*WIDE, "--max_zoom", "1.4", "--max_shift", "0.1"),
    "the same without margin": ("--max_zoom", "1.4", "--max_shift", "0.1"),
    "blur": (*WIDE, "--max_blur", "1.2"),
    "brightness and colour": (*WIDE, "--max_brightness", "1.6", "--max_colour", "1.1"),
    "noise and grey": (*WIDE, "--max_noise", "0.04", "--grey_share", "0.1"),
    "all of these": (
        *(*WIDE, "--max_zoom", "1.4", "--max_shift", "0.1", "--max_blur", "1.2"),
        *("--max_brightness", "1.6", "--max_colour", "1.1", "--max_noise", "0.04", "--grey_share", "0.1"),
    ),
}
SHOWN = (
    "as Galaxy Zoo",
    "field 1.4 times as wide",
    "field 0.7 times as wide",
    "off centre by 5% of the field",
    "off centre by 10% of the field",
    "blurred by 2 px",
    "1.5 times as bright",
)


def changed(case: Case, image, rng: np.random.Generator):
    if case == CASES[0]:
        return image
    wrong, *_ = misframe(image, case.width, *shifted(case, rng))
    return case.change(wrong) if case.change else wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="data set with votes")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--rows", type=int, default=2000, help="training rows (%(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--count", type=int, default=400, help="galaxies that are scored (%(default)s)")
    args = parser.parse_args()
    data = load_galaxies(args.dataset)
    rows = data["validation"]
    rows = rows.select(range(min(args.count, len(rows))))
    pictures, votes = [row["image"].convert("RGB") for row in rows], np.array(rows["votes"], np.float32)
    cases = [case for case in CASES if case.name in SHOWN]
    images = {}
    for case in cases:
        rng = np.random.default_rng(0)
        images[case.name] = [changed(case, picture, rng) for picture in pictures]
    lines = [f"| RMSE-37 of {len(rows)} | {' | '.join(images)} |", "|---" * (1 + len(images)) + "|"]
    for name, flags in {"the model that all start from": None, **ARMS}.items():
        folder = args.work / name.replace(" ", "_").replace(",", "")
        if flags is not None and not (folder / "metrics.json").exists():
            argv = ["--dataset", args.dataset, "--init_from", "galaxy-resnet", "--output_dir", str(folder)]
            argv += ["--max_rows", str(args.rows), "--epochs", str(args.epochs), "--learning_rate", "3e-4"]
            train([*argv, "--crop_fraction", "0.55", "--drop_rate", "0.2", "--mixed_precision", "no", *flags])
        score = Scorer("galaxy-resnet" if flags is None else str(folder), data.trees)
        scores = [f"{score(changed_images, votes):.4f}" for changed_images in images.values()]
        lines.append(f"| {name} | {' | '.join(scores)} |")
        print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
