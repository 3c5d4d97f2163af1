"""Measure claim F1 and milliseconds a caption for several sizes of the decoder and of the attention grid.

    python benchmarks/captioner_size.py --dataset galaxy_zoo_challenge --encoder runs/challenge --output_dir runs/sizes

Every size is trained for a few epochs on a frozen encoder; then greedy generation is timed on the same validation
images, all sizes in turn. The test split is not read.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor

from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.load import load_galaxies

SIZES = [(128, 3), (256, 3), (512, 3), (256, 2), (256, 4)]  # hidden size, stage of the backbone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--epochs", default="6")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    models, scores = {}, {}
    for hidden, stage in SIZES:
        folder = Path(args.output_dir) / f"hidden{hidden}-stage{stage}"
        if not (folder / "metrics.json").exists():
            command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "train_captioner.py"]
            command += ["--dataset", args.dataset, "--encoder", args.encoder, "--output_dir", str(folder)]
            command += ["--epochs", args.epochs, "--frozen_epochs", args.epochs]
            command += ["--num_references", "3", "--num_beams", "1"]
            command += ["--hidden_size", str(hidden), "--attention_stage", str(stage)]
            subprocess.run(command, check=True)
        history = json.loads((folder / "metrics.json").read_text())["history"]
        scores[hidden, stage] = max(row["validation_claim_f1"] for row in history)
        models[hidden, stage] = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False).eval()
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False).image_processor
    rows = cache_pixels(load_galaxies(args.dataset)["validation"], processor)
    batch = next(iter(make_loader(rows, processor.size["height"], 32, shuffle=False)))
    pixels = processor.normalize_pixels(batch["pixels"])
    times = {size: [] for size in SIZES}
    with torch.inference_mode():
        for _ in tqdm(range(args.rounds + 1), desc="rounds"):
            for size, model in models.items():
                started = time.perf_counter()
                model.generate(pixel_values=pixels)
                times[size].append(time.perf_counter() - started)
    print("| hidden size | stage | places | claim F1 (validation) | ms a caption |\n|---|---|---|---|---|")
    for (hidden, stage), seconds in times.items():
        places = models[hidden, stage].config.grid_size ** 2
        milliseconds = 1000 * np.median(seconds[1:]) / len(pixels)
        print(f"| {hidden} | {stage} | {places} | {scores[hidden, stage]:.3f} | {milliseconds:.2f} |")


if __name__ == "__main__":
    main()
