"""Measure the cost of caption generation relative to the encoder and to its matrix products alone.

    python benchmarks/caption_generation.py --captioner runs/captioner

Every round times each form once, in turn; the table has medians, and quartiles of the ratios to the encoder pass over
the same images. ``--dataset`` names the data set whose test images are described.
"""

import argparse
import time

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.modeling_outputs import BaseModelOutput

from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.load import load_galaxies


def matrix_floor(model, rows: int, steps: int, like: torch.Tensor) -> None:
    """Compute the matrix products of ``steps`` words for ``rows`` captions, and nothing else.

    Args:
        model: the captioner.
        rows: captions written together: images times beams.
        steps: words of a caption.
        like: tensor whose type and device are used.
    """
    config, decoder = model.config, model.decoder
    hidden = like.new_zeros(rows, config.hidden_size)
    places = like.new_zeros(rows, config.grid_size**2, config.hidden_size)  # of the encoder's grid
    attention = like.new_zeros(rows, 1, config.grid_size**2)
    compared = like.new_zeros(rows, config.grid_size**2, config.attention_size)
    inputs = like.new_zeros(rows, config.embedding_size + config.hidden_size)
    deep = like.new_zeros(rows, 2 * config.hidden_size + config.embedding_size)
    for _ in range(steps):
        decoder.query(hidden), decoder.energy(compared), attention @ places, decoder.gate(hidden)
        torch.nn.functional.linear(inputs, decoder.cell.weight_ih)
        torch.nn.functional.linear(hidden, decoder.cell.weight_hh)
        model.words(decoder.output(deep))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captioner", required=True, help="trained captioner: folder or Hub id")
    parser.add_argument("--dataset", default="simulated", help="whose test images are described")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    model = AutoModelForImageTextToText.from_pretrained(args.captioner, trust_remote_code=False).eval()
    processor = AutoProcessor.from_pretrained(args.captioner, trust_remote_code=False)
    rows = cache_pixels(load_galaxies(args.dataset)["test"], processor.image_processor)
    batch = next(iter(make_loader(rows, model.config.image_size, args.batch_size, shuffle=False)))
    pixels = processor.image_processor.normalize_pixels(batch["pixels"])
    steps = {}

    def write(beams: int, encoded) -> None:
        # A copy, since generate() expands its encoder outputs in place for the beams.
        copy = BaseModelOutput(last_hidden_state=encoded.last_hidden_state)
        tokens = model.generate(encoder_outputs=copy, num_beams=beams)
        steps[beams] = tokens.shape[1] - 1

    times: dict[str, list[float]] = {}
    with torch.inference_mode():
        encoded = model.encoder(pixels)
        write(1, encoded), write(4, encoded)
        forms = {
            "encoder": lambda: model.encoder(pixels),
            "greedy": lambda: write(1, encoded),
            "beam 4": lambda: write(4, encoded),
            "greedy, matrix products": lambda: matrix_floor(model, len(pixels), steps[1], pixels),
            "beam 4, matrix products": lambda: matrix_floor(model, 4 * len(pixels), steps[4], pixels),
        }
        for round_number in tqdm(range(args.rounds + 2), desc="rounds"):
            for name, form in forms.items():
                started = time.perf_counter()
                form()
                if round_number >= 2:  # the first two warm up
                    times.setdefault(name, []).append(time.perf_counter() - started)
    base = np.array(times["encoder"])
    print(f"{len(pixels)} images of {model.config.image_size} px, {steps[1]} words (greedy), {steps[4]} (beam 4), fp32")
    print(f"{'':26}{'ms a batch':>11}  {'of the encoder pass':>22}")
    for name, seconds in times.items():
        low, middle, high = np.quantile(np.array(seconds) / base, [0.25, 0.5, 0.75])
        print(f"{name:26}{1000 * np.median(seconds):>11.1f}  {middle:>8.2f} ({low:.2f} to {high:.2f})")
    ratio = np.array(times["beam 4"]) / np.array(times["beam 4, matrix products"])
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    print(f"beam 4 / its matrix products: {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
