"""Does speed cost accuracy? The classifier trained as it is, and by the plain path, with the same seeds on the same rows.

    python benchmarks/plain_path.py --seeds 0 1 2 --work /tmp/plain_path -- --max_rows 1000 --epochs 5

The plain path has torch's own layout instead of channels last, the optimiser that is not fused, fp32, and each image
turned by torchvision on its own; everything else, rows and their order too, is the same. What follows ``--`` goes to
``train_classifier.py``.
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
from train_classifier import main as train

SHOWN = ("loss", "macro F1", "RMSE-37")


def augment_one_by_one(
    pixels: torch.Tensor, generator: torch.Generator, max_zoom: float = 1.15, max_shift: float = 0.04
):
    """As :func:`galaxy_vision.data.batches.augment`, with as many resamplings as there are images."""
    turned = []
    for image in pixels:
        angle, zoom, dx, dy, mirror = torch.rand(5, generator=generator).tolist()
        shift = [2 * max_shift * (2 * part - 1) * image.shape[-1] / 2 for part in (dx, dy)]
        scale = max_zoom ** (2 * zoom - 1)
        image = F.hflip(image) if mirror < 0.5 else image
        turned.append(F.affine(image, 360 * angle, shift, scale, [0.0], interpolation=InterpolationMode.BILINEAR))
    return torch.stack(turned)


def unfused(*args, fused: bool, adamw=torch.optim.AdamW, **kwargs) -> torch.optim.Optimizer:
    return adamw(*args, **kwargs)


def scores(argv: list[str], plain: bool) -> list[float]:
    with ExitStack() as replaced:
        if plain:
            replaced.enter_context(mock.patch("galaxy_vision.data.batches.augment", augment_one_by_one))
            replaced.enter_context(mock.patch("torch.channels_last", torch.contiguous_format))
            replaced.enter_context(mock.patch("torch.optim.AdamW", unfused))
            argv = [*argv, "--mixed_precision", "no"]
        results = train(argv)
    return [results["loss"], results["classes"]["macro_f1"], results["votes"]["rmse_37"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    args, training = parser.parse_known_args()
    training = [each for each in training if each != "--"]
    print(f"| seed | path | {' | '.join(SHOWN)} |\n|{'---|' * (2 + len(SHOWN))}", flush=True)
    found = {"as it is": [], "plain": []}
    for seed in args.seeds:
        for path, rows in found.items():
            folder = args.work / f"{path.replace(' ', '-')}-{seed}"
            rows.append(scores([*training, "--seed", str(seed), "--output_dir", str(folder)], plain=path == "plain"))
            print(f"| {seed} | {path} | {' | '.join(f'{value:.3f}' for value in rows[-1])} |", flush=True)
    for path, rows in found.items():
        cells = (
            f"{middle:.3f} ± {scatter:.3f}"
            for middle, scatter in zip(np.mean(rows, 0), np.std(rows, 0, ddof=1), strict=True)
        )
        print(f"| mean | {path} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
