"""Check that the optimisations for speed cost no accuracy: train the classifier with them, and by the plain path.

    python benchmarks/plain_path.py --seeds 0 1 2 --work /tmp/plain_path -- --max_rows 1000 --epochs 5

The plain path has torch's contiguous layout instead of channels last, an optimiser that is not fused, fp32, and
torchvision's augmentation of one image at a time. Everything else is the same: seeds, rows and their order. Arguments
after ``--`` are passed on to ``train_classifier.py``.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent))
from galaxy_vision.data.augmentation import Augmentation
from train_classifier import main as train

SHOWN = ("loss", "macro F1", "RMSE-37")


def augment_one_by_one(pixels: torch.Tensor, generator: torch.Generator, how: Augmentation, size: int, mean, std):
    """Turn, zoom and shift as :func:`galaxy_vision.data.augmentation.augment`, with one resampling for each image."""
    augmented = []
    for image in pixels:
        angle, zoom, dx, dy, mirror = torch.rand(5, generator=generator).tolist()
        shift = [2 * how.max_shift * (2 * offset - 1) * image.shape[-1] / 2 for offset in (dx, dy)]
        scale = how.max_zoom ** (2 * zoom - 1)
        image = F.hflip(image) if mirror < 0.5 else image
        augmented.append(F.affine(image, 360 * angle, shift, scale, [0.0], interpolation=InterpolationMode.BILINEAR))
    return torch.stack(augmented)


def unfused(*args, fused: bool, adamw=torch.optim.AdamW, **kwargs) -> torch.optim.Optimizer:
    return adamw(*args, **kwargs)


def scores(argv: list[str], plain: bool) -> list[float]:
    """Train with these arguments and return the test scores of :data:`SHOWN`."""
    with ExitStack() as patches:
        if plain:
            patches.enter_context(mock.patch("galaxy_vision.training.loop.augment", augment_one_by_one))
            patches.enter_context(mock.patch("torch.channels_last", torch.contiguous_format))
            patches.enter_context(mock.patch("torch.optim.AdamW", unfused))
            argv = [*argv, "--mixed_precision", "no"]
        results = train(argv)
    return [results["loss"], results["classes"]["macro_f1"], results["votes"]["rmse_37"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    args, training = parser.parse_known_args()
    training = [argument for argument in training if argument != "--"]
    print(f"| seed | path | {' | '.join(SHOWN)} |\n|{'---|' * (2 + len(SHOWN))}", flush=True)
    results = {"as it is": [], "plain": []}
    for seed in args.seeds:
        for path, rows in results.items():
            folder = args.work / f"{path.replace(' ', '-')}-{seed}"
            rows.append(scores([*training, "--seed", str(seed), "--output_dir", str(folder)], plain=path == "plain"))
            print(f"| {seed} | {path} | {' | '.join(f'{value:.3f}' for value in rows[-1])} |", flush=True)
    for path, rows in results.items():
        means, scatters = np.mean(rows, 0), np.std(rows, 0, ddof=1)
        cells = (f"{mean:.3f} ± {scatter:.3f}" for mean, scatter in zip(means, scatters, strict=True))
        print(f"| mean | {path} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
