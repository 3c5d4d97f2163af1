"""Speed of training, prediction and captions against the limits of this device and against what users would otherwise run.

    python benchmarks/run.py                        # 2 cores: about 10 minutes; on a GPU the same command, with larger
    numbers python benchmarks/run.py --quick --only training python benchmarks/run.py --zoobot zoobot/bin/python   # an
    environment in which `pip install 'zoobot[pytorch]'` was done

Every round does every form once, in turn; shares and multiples are those of one round, with median and quartiles over
the rounds. Images are simulated galaxies as JPEGs of 424 px, the size of Galaxy Zoo 2. Writes a Markdown table and a
JSON file.
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
"""Pixels of a cut-out of Galaxy Zoo 2."""
DRAWN = 96
"""Different galaxies; they are repeated, which no decoder notices."""
KINDS = ("training", "prediction", "captions")
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
    """JPEGs of simulated galaxies in class folders; labels and votes."""
    jpegs, votes = [], []
    for place in tqdm(range(min(DRAWN, count)), desc="drawing", leave=False):
        galaxy = simulate_galaxy(0, place)
        file = io.BytesIO()
        galaxy.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
        jpegs.append(file.getvalue())
        votes.append(galaxy.votes)
    labels = [place % len(CLASSES) for place in range(count)]
    for place, label in enumerate(labels):
        file = folder / CLASSES[label] / f"{place:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpegs[place % len(jpegs)])
    places = [place % len(jpegs) for place in range(count)]
    return [jpegs[place] for place in places], labels, np.array(votes, dtype=np.float32)[places]


class Rival:
    """A form of ``rivals.py`` in a process of its own."""

    def __init__(self, name: str, args, images: Path, model: Path, work: Path):
        python = args.zoobot if name.startswith("zoobot") else sys.executable
        command = [
            python,
            str(Path(__file__).with_name("rivals.py")),
            name,
            "--images",
            str(images),
            "--model",
            str(model),
        ]
        command += ["--work", str(work / name)] + ["--bf16"] * args.bf16
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
    """Images a second of every form and round; a first round warms up and is thrown away."""
    rates = {name: [] for name in forms}
    for number in tqdm(range(rounds + 1), desc=f"{kind}, rounds"):
        for name, form in forms.items():
            images, seconds = form()
            if number:
                rates[name].append(images / seconds)
    return {name: np.array(values) for name, values in rates.items()}


def spread(ratio: np.ndarray) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [round(float(value), 3) for value in np.quantile(ratio, [0.25, 0.5, 0.75])]


def fastest(rates: dict[str, np.ndarray], start: str) -> np.ndarray:
    return max((values for name, values in rates.items() if name.startswith(start)), key=np.median)


def ratios_of(kind: str, rates: dict[str, np.ndarray]) -> tuple[np.ndarray, str, dict[str, np.ndarray]]:
    """What 1.00 is, the form of ours that is compared, and the promises of this kind as ratios."""
    if kind == "training":
        limit, decoding = fastest(rates, "limit"), rates["decoding alone"]
        warm, cold, cache = (rates[f"ours, {name}"] for name in ("warm epoch", "cold epoch", "pixel cache alone"))
        return (
            limit,
            "ours, warm epoch",
            {
                "warm epoch / limit (goal .95)": warm / limit,
                "pixel cache / decoding alone: time (goal 1.3 at most)": decoding / cache,
                "cold epoch / (decoding and limit one after the other): time": (1 / cold) / (1 / decoding + 1 / limit),
            },
        )
    if kind == "prediction":
        model, decoding, ours = fastest(rates, "model alone"), rates["decoding alone"], rates["ours"]
        return (
            np.minimum(model, decoding),
            "ours",
            {
                "ours / min(decoding, model) (goal .90 where they do not share cores)": ours
                / np.minimum(model, decoding),
                "ours / (decoding and model on the same cores)": ours * (1 / model + 1 / decoding),
            },
        )
    return (
        rates["beam 4, matrix products of ours"],
        "beam 4, ours",
        {
            f"{name}, {label}": rates[f"{name}, {over}"] / rates[f"{name}, {under}"]
            for name in ("greedy", "beam 4")
            for label, over, under in (
                ("ours / matrix products: time (goal of beam 4: 2 at most)", "matrix products of ours", "ours"),
                ("ours / VisionEncoderDecoder (goal 3)", "ours", "VisionEncoderDecoder"),
            )
        },
    )


def report(kind: str, rates: dict[str, np.ndarray]) -> dict:
    """Print the table of a kind, and give it as data."""
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
    parser.add_argument(
        "--rivals", action=argparse.BooleanOptionalAction, default=True, help="measure what others run too"
    )
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
            wanted = RIVALS.get(kind, {}) if args.rivals else {}
            if not args.zoobot:
                wanted = {name: form for name, form in wanted.items() if not form.startswith("zoobot")}
            rivals = {name: Rival(form, args, images, model, work) for name, form in wanted.items()}
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
