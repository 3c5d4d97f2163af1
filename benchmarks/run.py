"""Measure the speed of training, prediction and captions, relative to the limits of this device and to rivals.

    python benchmarks/run.py                                  # about 10 minutes on 2 cores; the same command on a GPU
    python benchmarks/run.py --quick --only training
    python benchmarks/run.py --zoobot zoobot/bin/python       # of an environment with zoobot[pytorch]

Rivals (``rivals.py``) are what users would otherwise run. Every round runs every form once, in turn; ratios are those
of one round, with median and quartiles over the rounds. Images are simulated galaxies as JPEGs of 424 px, the size of
Galaxy Zoo 2. Prints Markdown tables and writes a JSON file.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from rivals import WARM_STEPS
from speed_forms import CLASSES, DEVICE, Form, bf16_pays, caption_forms, classifier, prediction_forms, training_forms
from tqdm.auto import tqdm

from galaxy_vision import GalaxyImageProcessor
from galaxy_vision.runtime.files import write_json
from galaxy_vision.runtime.hardware import available_cores, cpu_model, has_native_bf16
from galaxy_vision.simulation.render import simulate_galaxy

SIDE = 424
"""Side in pixels of a cut-out of Galaxy Zoo 2 (Willett et al. 2013, section 2)."""
DRAWN = 96
"""Number of different galaxies. Ours: they are repeated, which does not change the time to decode them."""
KINDS = ("training", "prediction", "captions")
CAPTION_FORMS = ("ours", "matrix products of ours", "VisionEncoderDecoder")
RIVALS = {
    "training": {
        "transformers Trainer": "trainer",
        "transformers Trainer, tuned": "trainer_tuned",
        "timm + DataLoader": "plain_loop",
        "timm + DataLoader, tuned": "plain_loop_tuned",
        "Zoobot fine-tuning": "zoobot",
    },
    "prediction": {
        "pipeline": "pipeline",
        "pipeline, tuned": "pipeline_tuned",
        "timm + PIL loop": "plain_predict",
        "Zoobot catalogue prediction": "zoobot_predict",
    },
}


def draw_images(folder: Path, count: int) -> tuple[list[bytes], list[int], np.ndarray]:
    """Write ``count`` JPEGs of simulated galaxies into class folders; return bytes, labels and (count, 37) votes."""
    jpegs, votes = [], []
    for index in tqdm(range(min(DRAWN, count)), desc="drawing", leave=False):
        galaxy = simulate_galaxy(0, index)
        file = io.BytesIO()
        galaxy.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
        jpegs.append(file.getvalue())
        votes.append(galaxy.votes)
    labels = [index % len(CLASSES) for index in range(count)]
    for index, label in enumerate(labels):
        path = folder / CLASSES[label] / f"{index:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpegs[index % len(jpegs)])
    drawn = [index % len(jpegs) for index in range(count)]
    return [jpegs[index] for index in drawn], labels, np.array(votes, dtype=np.float32)[drawn]


class Rival:
    """A form of ``rivals.py`` in a process of its own."""

    def __init__(self, name: str, args, images: Path, model: Path, work: Path):
        python = args.zoobot if name.startswith("zoobot") else sys.executable
        command = [python, str(Path(__file__).with_name("rivals.py")), name]
        command += ["--images", str(images), "--model", str(model), "--work", str(work / name)]
        command += ["--bf16"] * args.bf16
        for option in ("backbone", "image_size", "batch_size", "steps", "predicted"):
            command += [f"--{option}", str(getattr(args, option))]
        self.name, self.log = name, open(work / f"{name}.log", "w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=os.environ
        )
        self._answer("READY")

    def __call__(self) -> tuple[int, float]:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        images, seconds = self._answer("RATE")
        return int(images), float(seconds)

    def _answer(self, expected: str) -> list[str]:
        words = self.process.stdout.readline().split()
        if not words or words[0] != expected:
            self.process.wait()
            self.log.seek(0)
            raise RuntimeError(f"rival {self.name} ended: {self.log.read()[-2000:]}")
        return words[1:]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def measure(forms: dict[str, Form], rounds: int, kind: str) -> dict[str, np.ndarray]:
    """Return the images per second of every form and round; a first round warms up and does not count."""
    rates = {name: [] for name in forms}
    for number in tqdm(range(rounds + 1), desc=f"{kind}, rounds"):
        for name, form in forms.items():
            images, seconds = form()
            if number:
                rates[name].append(images / seconds)
    return {name: np.array(values) for name, values in rates.items()}


def spread(ratio: np.ndarray) -> list[float]:
    """Return lower quartile, median and upper quartile."""
    return [round(float(value), 3) for value in np.quantile(ratio, [0.25, 0.5, 0.75])]


def fastest(rates: dict[str, np.ndarray], start: str) -> np.ndarray:
    """Return the rates of the form with the largest median, of those whose name begins with ``start``."""
    return max((values for name, values in rates.items() if name.startswith(start)), key=np.median)


def ratios_of(kind: str, rates: dict[str, np.ndarray]) -> tuple[np.ndarray, str, dict[str, np.ndarray]]:
    """Return the rates that count as 1.00, the name of our form, and the promises of this kind as ratios."""
    if kind == "training":
        limit, decoding = fastest(rates, "limit"), rates["decoding alone"]
        warm, cold, cache = (rates[f"ours, {name}"] for name in ("warm epoch", "cold epoch", "pixel cache alone"))
        promises = {
            "warm epoch / limit (goal .95)": warm / limit,
            "pixel cache / decoding alone: time (goal 1.3 at most)": decoding / cache,
            "cold epoch / (decoding and limit one after the other): time": (1 / cold) / (1 / decoding + 1 / limit),
        }
        return limit, "ours, warm epoch", promises
    if kind == "prediction":
        model, decoding, ours = fastest(rates, "model alone"), rates["decoding alone"], rates["ours"]
        limit = np.minimum(model, decoding)
        promises = {
            "ours / min(decoding, model) (goal .90 where they do not share cores)": ours / limit,
            "ours / (decoding and model on the same cores)": ours * (1 / model + 1 / decoding),
        }
        return limit, "ours", promises
    promises = {}
    for name in ("greedy", "beam 4"):
        ours, products, rival = (rates[f"{name}, {form}"] for form in CAPTION_FORMS)
        promises[f"{name}, ours / matrix products: time (goal of beam 4: 2 at most)"] = products / ours
        promises[f"{name}, ours / VisionEncoderDecoder (goal 3)"] = ours / rival
    return rates["beam 4, matrix products of ours"], "beam 4, ours", promises


def report(kind: str, rates: dict[str, np.ndarray]) -> dict:
    """Print the table of a kind, and return it as data."""
    base, own, promises = ratios_of(kind, rates)
    head = {"training": "limit", "prediction": "min(decoding, model)", "captions": "matrix products, beam 4"}[kind]
    print(f"\n| {kind} | images/s | of the {head} | {own} / this |\n|---|---|---|---|")
    rows = {}
    for name, values in rates.items():
        row = {
            "images_per_s": round(float(np.median(values)), 1),
            "of_limit": spread(values / base),
            "ours": spread(rates[own] / values),
        }
        rows[name] = row
        cells = (f"{middle:.2f} ({low:.2f} to {high:.2f})" for low, middle, high in (row["of_limit"], row["ours"]))
        print(f"| {name} | {row['images_per_s']:.0f} | {' | '.join(cells)} |")
    print()
    for name, values in promises.items():
        low, middle, high = spread(values)
        print(f"* {name}: {middle:.2f} ({low:.2f} to {high:.2f})")
    return {"rows": rows, "promises": {name: spread(values) for name, values in promises.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--backbone", default="resnet10t", help="(%(default)s, as the training scripts)")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="training steps of a form and round")
    parser.add_argument("--predicted", type=int, default=512, help="predicted images of a form and round")
    parser.add_argument("--words", type=int, default=24, help="words of a caption")
    parser.add_argument("--rivals", action=argparse.BooleanOptionalAction, default=True, help="measure rivals too")
    parser.add_argument("--zoobot", metavar="PYTHON", help="interpreter of an environment with zoobot[pytorch]")
    parser.add_argument("--quick", action="store_true", help="3 rounds of small work, to see that everything runs")
    parser.add_argument("--output", type=Path, default=Path("runs/speed.json"), help="(%(default)s)")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.steps, args.predicted, args.words = 3, 4, 256, 12
    torch.set_num_threads(available_cores())
    datasets.disable_progress_bars()
    machine = {
        "cpu": cpu_model(),
        "cores": available_cores(),
        "gpu": torch.cuda.get_device_name() if DEVICE == "cuda" else None,
    }
    machine |= {"torch": torch.__version__, "native_bf16": has_native_bf16()}
    args.bf16 = bf16_pays(args)
    settings = {name: value for name, value in vars(args).items() if name not in ("output", "zoobot")}
    print(json.dumps(machine | settings, default=str))
    results = {"machine": machine, "settings": settings}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        images, model = work / "images", work / "model"
        jpegs, labels, votes = draw_images(images, max(args.predicted, (WARM_STEPS + args.steps) * args.batch_size))
        classifier(args).save_pretrained(model)
        size = {"height": args.image_size, "width": args.image_size}
        GalaxyImageProcessor(size=size).save_pretrained(model)
        for kind in args.only:
            if kind == "training":
                forms = training_forms(args, jpegs, labels, votes, work)
            elif kind == "prediction":
                forms = prediction_forms(args, images, model, work)
            else:
                forms = caption_forms(args)
            rival_forms = RIVALS.get(kind, {}) if args.rivals else {}
            if not args.zoobot:
                rival_forms = {name: form for name, form in rival_forms.items() if not form.startswith("zoobot")}
            rivals = {name: Rival(form, args, images, model, work) for name, form in rival_forms.items()}
            try:
                results[kind] = report(kind, measure(forms | rivals, args.rounds, kind))
            finally:
                for rival in rivals.values():
                    rival.close()
    if args.rivals and not args.zoobot:
        print("\nZoobot is left out: --zoobot names the interpreter of an environment that has zoobot[pytorch]")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.output, json.loads(json.dumps(results, default=str)))
    print(f"\n{args.output}")


if __name__ == "__main__":
    main()
