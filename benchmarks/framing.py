"""Measure what framing is worth: RMSE-37 of wrongly framed galaxies before and after, and how fast it is.

    python benchmarks/framing.py --dataset galaxy_zoo_challenge
    python benchmarks/framing.py --dataset galaxy_zoo_challenge --fit      # weights of images/radii.py
    python benchmarks/framing.py --dataset galaxy_zoo_challenge --limits   # limits of images/framing.py

Galaxy Zoo images are 8.48 petroR90 wide, so the true radius is known. A field is made wider by padding with drawn sky
(real wide fields have more neighbours), narrower by cropping. Weights are fitted on the training split, limits chosen
on the first 176 galaxies of the validation split, and the table is of the other 500; the test split is not read.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.evaluation.metrics import GalaxyMetric
from galaxy_vision.images import framing, radii, sources
from galaxy_vision.images.framing import AUTO, frame_image, misfit
from galaxy_vision.images.observation import observe
from galaxy_vision.images.padding import cut_square
from galaxy_vision.images.radii import log_radii
from galaxy_vision.images.sources import FIELD
from galaxy_vision.inference.loading import load_classifier, take_for
from galaxy_vision.models.trees import Trees

BATCH = 64
NUM_FINAL = 500
SPEED_SIDE = 424
SCATTER = 0.3
"""Of the logarithm of the scale, by which the images of the fit are off."""


BRIGHTNESS = (0.55, 1.8)
"""Factors on the levels, of which the fit makes the radii independent."""


class Case(NamedTuple):
    """A wrong frame: how many times wider than Galaxy Zoo's, and how far off centre in units of the field."""

    name: str
    width: float = 1.0
    shift: float = 0.0
    change: Callable[[Image.Image], Image.Image] | None = None


def brightened(image: Image.Image, factor: float) -> Image.Image:
    return image.point(lambda level: min(int(level * factor), 255))


CASES = (
    Case("as Galaxy Zoo"),
    *(Case(f"field {width:g} times as wide", width) for width in (2.5, 2, 1.4, 0.7, 0.5, 0.4, 0.33)),
    *(Case(f"off centre by {shift:.0%} of the field", shift=shift) for shift in (0.05, 0.1, 0.2)),
    Case("2 times as wide, off centre by 20%", 2, 0.2),
    Case("1.4 times as wide, off centre by 10%", 1.4, 0.1),
    Case(".7 times as wide, off centre by 10%", 0.7, 0.1),
    Case("blurred by 2 px", change=lambda image: image.filter(ImageFilter.GaussianBlur(2))),
    Case("1.5 times as bright", change=lambda image: brightened(image, 1.5)),
    Case(".7 times as bright", change=lambda image: brightened(image, 0.7)),
    Case("photographic negative", change=lambda image: image.point(lambda value: 255 - value)),
)


def misframe(image: Image.Image, width: float, shift_x: float, shift_y: float) -> tuple[Image.Image, float, float]:
    """Frame an image wrongly; the galaxy in its middle is then off by these shares of the new side.

    Returns:
        The image, and x and y of the galaxy in it.
    """
    side = round(width * image.width)
    left = round((image.width - side) / 2 - shift_x * side)
    top = round((image.height - side) / 2 - shift_y * side)
    return cut_square(image, left, top, side), (image.width - 1) / 2 - left, (image.height - 1) / 2 - top


def shifted(case: Case, rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return case.shift * np.cos(angle), case.shift * np.sin(angle)


class Scorer:
    """RMSE-37 of images by a classifier, and its predictions."""

    def __init__(self, model: str, trees: Trees):
        self.classifier, self.processor = load_classifier(model)
        take_for(self.classifier, trees)
        self.campaign = trees.first.name

    @torch.inference_mode()
    def concentration(self, images: list[Image.Image]) -> np.ndarray:
        found = []
        for start in range(0, len(images), BATCH):
            pixels = self.processor(images[start : start + BATCH], return_tensors="pt")["pixel_values"]
            concentration = self.classifier(pixel_values=pixels).vote_concentration
            found.append(self.classifier.trees.part(concentration, self.campaign).numpy())
        return np.concatenate(found)

    def rmse(self, concentration: np.ndarray, votes: np.ndarray) -> float:
        metric = GalaxyMetric("votes")
        metric.add_batch(predictions=concentration, references=votes)
        return metric.compute()["rmse_37"]

    def __call__(self, images: list[Image.Image], votes: np.ndarray) -> float:
        return self.rmse(self.concentration(images), votes)


def print_table(rows, score: Scorer) -> None:
    """Print the table before and after framing, of the same galaxies."""
    images, votes = [row["image"].convert("RGB") for row in rows], np.array(rows["votes"], np.float32)
    print("| 500 galaxies | RMSE-37 as is | auto | left as it is | galaxy missed |\n|---|---|---|---|---|")
    for case in CASES:
        rng = np.random.default_rng(0)
        wrong, auto, untouched, missed = [], [], 0, 0
        for image in images:
            framed_wrongly, x, y = misframe(image, case.width, *shifted(case, rng))
            if case == CASES[0]:
                framed_wrongly = image
            if case.change:
                framed_wrongly = case.change(framed_wrongly)
            observation = observe(framed_wrongly)
            framed = observation.framed
            untouched += np.array_equal(observation.image, framed_wrongly)
            galaxy, radius = framed.galaxy, image.width / FIELD
            missed += galaxy is None or np.hypot(galaxy.x - x, galaxy.y - y) > radius / 2
            wrong.append(framed_wrongly)
            auto.append(observation.image)
        shares = f"{untouched / len(images):.1%} | {missed / len(images):.1%}"
        print(f"| {case.name} | {score(wrong, votes):.4f} | {score(auto, votes):.4f} | {shares} |", flush=True)


def print_speed(rows) -> None:
    """Print how many images of SPEED_SIDE px are framed in a second of one core's time."""
    images = [row["image"].convert("RGB").resize((SPEED_SIDE, SPEED_SIDE)) for row in rows.select(range(200))]
    start = time.process_time()
    for image in images:
        frame_image(image, AUTO)
    print(f"{len(images) / (time.process_time() - start):.0f} images/s a core at {SPEED_SIDE} px")


def print_limits(rows, score: Scorer) -> None:
    """Print what other limits of the right frame would do: RMSE-37 of five widths, and the share left as it is."""
    images, votes = [row["image"].convert("RGB") for row in rows], np.array(rows["votes"], np.float32)
    kept, framing.RIGHT_CENTRE = framing.RIGHT_CENTRE, -1  # frames everything
    measured = []  # of each width: by how much the frame is wrong, and the concentrations as it is and framed
    for width in (1, 1.25, 1.4, 1.6, 0.7):
        wrong = [image if width == 1 else misframe(image, width, 0, 0)[0] for image in images]
        framed = [frame_image(image, AUTO) for image in wrong]
        misfits = [
            misfit(image, one.galaxy) if one.galaxy else (1, 0) for image, one in zip(wrong, framed, strict=True)
        ]
        measured.append((np.array(misfits), score.concentration(wrong), score.concentration([f.image for f in framed])))
    framing.RIGHT_CENTRE = kept
    print("| scale | centre | left as it is | RMSE-37 | 1.25 times as wide | 1.4 | 1.6 | .7 |\n|---" + "|---" * 7 + "|")
    for scale, centre in itertools.product((1.2, 1.3, 1.4, 1.5, 1.6), (0.02, 0.03, 0.04)):
        scores = []
        for misfits, before, after in measured:
            is_right = (np.abs(np.log(misfits[:, 0])) <= np.log(scale)) & (misfits[:, 1] <= centre)
            scores.append(score.rmse(np.where(is_right[:, None], before, after), votes))
            if len(scores) == 1:
                share = is_right.mean()
        print(f"| {scale} | {centre} | {share:.1%} |", *(f"{one:.4f} |" for one in scores), flush=True)


def radii_of(
    rows, seed: int, widths: tuple[float, float] = (0.4, 2.5), factors: tuple[float, float] = BRIGHTNESS
) -> Iterable[tuple[np.ndarray, float]]:
    """Logarithms of the radii that radii.py measures, and of the true petroR90.

    Half of the images keep their frame; the others are as wide as ``widths`` say and up to 10 % off. Half keep their
    brightness, the others are brighter by ``factors``. Each is measured at a scale that is off by :data:`SCATTER`.
    """
    rng = np.random.default_rng(seed)
    for row in rows:
        image = row["image"].convert("RGB")
        radius, x, y = image.width / FIELD, (image.width - 1) / 2, (image.height - 1) / 2
        if rng.random() < 0.5:
            width = np.exp(rng.uniform(*np.log(widths)))
            image, x, y = misframe(image, width, *rng.uniform(-0.1, 0.1, 2))
        if rng.random() < 0.5:
            image = brightened(image, np.exp(rng.uniform(*np.log(factors))))
        sky = sources.find_sources(image).sky
        galaxy = sources.Galaxy(x, y, radius * np.exp(rng.normal(0, SCATTER)))
        closer, pixel, _ = sources.close_up(image, sky, galaxy)
        yield log_radii(closer.levels, closer.ring), np.log(radius / pixel)


def print_fit(rows) -> None:
    """Fit CONSTANT and WEIGHTS of radii.py to the true radii, by least squares that outliers do not pull (Huber)."""
    measured, truth = map(np.array, zip(*radii_of(rows, seed=0), strict=True))
    middle = np.median(measured, 1)
    columns = np.c_[np.ones(len(measured)), middle, measured - middle[:, None]]
    ridge = np.diag([0.0, 0.0] + [1.0] * measured.shape[1])
    weights = np.ones(len(measured))
    for _ in range(10):
        weighted = columns.T * weights
        fit = np.linalg.solve(weighted @ columns + ridge, weighted @ (truth - middle))
        errors = np.abs(truth - middle - columns @ fit)
        weights = 1 / np.maximum(1, errors / (1.5 * 1.4826 * np.median(errors)))
    slope = np.polyfit(truth, middle + columns @ fit, 1)[0]
    print(f"CONSTANT, EXPONENT = {fit[0]:.3f}, {1 + fit[1]:.3f}\nWEIGHTS = {tuple(fit[2:].round(3).tolist())}")
    print(f"DRAWN = {slope:.2f}")


def print_scatter(rows) -> None:
    """Print the scatter of log(petroR90) on galaxies that the fit has not seen."""
    for name, *options in (
        ("as Galaxy Zoo, or up to 2.5 times as wide", (1, 2.5), (1, 1)),
        ("or narrower", (0.4, 0.7), (1, 1)),
        ("as Galaxy Zoo, or 1.5 times as bright", (1, 1), (1.5, 1.5)),
        ("as Galaxy Zoo, or .7 times as bright", (1, 1), (0.7, 0.7)),
    ):
        measured, truth = map(np.array, zip(*radii_of(rows, 1, *options), strict=True))
        middle = np.median(measured, 1)
        estimates = radii.CONSTANT + radii.EXPONENT * middle + (measured - middle[:, None]) @ np.array(radii.WEIGHTS)
        errors = estimates - truth
        print(f"{name}: {len(errors)} galaxies, bias {np.median(errors):+.3f}, standard deviation {errors.std():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="folder of the challenge, from datasets_scripts")
    parser.add_argument("--model", default="checkpoints/galaxy-resnet", help="folder of a classifier with votes")
    parser.add_argument("--fit", action="store_true", help="fit the weights of sources.py on the training split")
    parser.add_argument("--limits", action="store_true", help="try limits of framing.py on the validation split")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_galaxies(args.dataset)
    validation = data["validation"]
    first = len(validation) - NUM_FINAL
    if args.fit:
        print_fit(data["train"].select(range(2500)))
        print_scatter(validation.select(range(first)))
    elif args.limits:
        print_limits(validation.select(range(first)), Scorer(args.model, data.trees))
    else:
        final = validation.select(range(first, len(validation)))
        print_speed(final)
        print_table(final, Scorer(args.model, data.trees))


if __name__ == "__main__":
    main()
