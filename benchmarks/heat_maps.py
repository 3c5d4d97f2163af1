"""Measure how meaningful the heat maps are: one table, a row for each method and stage of the backbone.

    python benchmarks/heat_maps.py --model runs/classifier                                    # simulated galaxies
    python benchmarks/heat_maps.py --model runs/challenge --dataset galaxy_zoo_challenge      # and real ones

On simulated galaxies, where the truth is known: whether the hottest pixel of the map of "bar", "ring" and "merger" is
on the bar, the ring or the companion (pointing game, Zhang et al. 2018, IJCV). On the data set's validation split, for
the predicted class:

* ROAD (Rong et al. 2022, ICML): how much less the class score drops when the coldest pixels are imputed than when the
  hottest are.
* random: rank correlation with the map of the same network with random weights (sanity check of Adebayo et al. 2018,
  NeurIPS). A map of what was learned has to change with the weights, so near 0 is good.
* turned: rank correlation of the map of the rotated image with the rotated map; 1 is good.
* inside, stars: share of the heat on the galaxy itself and on all other sources of the crop (segmentation by
  photutils).

The first rows are controls without a model, a Gaussian in the middle and uniform heat; a method should be better than
both.
"""

import argparse
import copy
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from photutils.segmentation import detect_sources
from PIL import Image
from pytorch_grad_cam.metrics.road import ROADLeastRelevantFirstAverage, ROADMostRelevantFirstAverage
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.stats import spearmanr
from structure_masks import structure_masks
from tqdm.auto import tqdm
from transformers import AutoModelForImageClassification

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.inference.explain import METHODS, _Scores, explain
from galaxy_vision.models.decision_tree import ANSWERS, GALAXY_ZOO_2
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.simulation.parameters import draw_parameters
from galaxy_vision.simulation.render import simulate_galaxy

# The numbers are ours.
SIMULATION_SEED = 7919  # a survey that no model was trained on
STRUCTURES = {"bar": "bar", "ring": "ring", "companion": "merger"}  # structure -> concept of an answer
SEEN_BY = 0.5  # smallest share of the volunteers asked who saw the structure
TOLERANCE = 4  # stored pixels around a structure that count as on it: half a cell of the grid of stage 2
PERCENTILES = [50, 70, 90]
ROAD_GALAXIES = 24  # few, since imputing pixels takes longer than everything else
CONTROLS = ("middle", "even")


def simulated_structures(count: int) -> dict[str, list[tuple[Image.Image, np.ndarray]]]:
    """Return, for each structure, ``count`` galaxies in which volunteers saw it, with the pixels that count as it."""
    galaxies, index = {name: [] for name in STRUCTURES}, 0
    with tqdm(total=count * len(galaxies), desc="simulating", unit=" galaxies") as bar:
        while bar.n < bar.total:
            masks = structure_masks(draw_parameters(np.random.default_rng([SIMULATION_SEED, index])))
            missing = [name for name in masks if name in galaxies and len(galaxies[name]) < count]
            if missing:
                galaxy = simulate_galaxy(SIMULATION_SEED, index)
                fractions = GALAXY_ZOO_2.conditional(galaxy.votes)
                for name in missing:
                    if GALAXY_ZOO_2.share(fractions, STRUCTURES[name]) >= SEEN_BY:
                        galaxies[name].append((galaxy.image, binary_dilation(masks[name], iterations=TOLERANCE)))
                        bar.update()
            index += 1
    return galaxies


def segments(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of the central galaxy and of all other sources, each (H, W) bool.

    A source is 3 sigma above the sky in the smoothed sum of the bands.
    """
    light = gaussian_filter(np.asarray(image).astype(np.float32).sum(2), 1.5)
    sky = np.median(light)
    sigma = 1.4826 * np.median(np.abs(light - sky)) + 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # photutils warns if there is no source
        detected = detect_sources(light, sky + 3 * sigma, n_pixels=10)
    labels = np.zeros(light.shape, int) if detected is None else detected.data
    middle = labels[tuple(side // 2 for side in labels.shape)]
    return (labels == middle) & (middle > 0), (labels > 0) & (labels != middle)


def maps_of(model, processor, images, targets, method: str, stage: int) -> list[np.ndarray]:
    """Return the maps of :func:`explain`, or of one of the two controls, which use no model."""
    if method not in CONTROLS:
        return explain(model, processor, images, targets, method, stage)
    maps = []
    for image in images:
        y, x = np.mgrid[: image.height, : image.width]
        side = min(image.size) * processor.crop_fraction
        y, x = (y - (image.height - 1) / 2) / side, (x - (image.width - 1) / 2) / side
        inside = np.maximum(np.abs(x), np.abs(y)) <= 0.5
        heat = np.exp(-(x**2 + y**2) / (2 * 0.15**2)) if method == "middle" else 1.0
        maps.append((inside * heat).astype(np.float32))
    return maps


def cropped(heat: np.ndarray, processor, size: int) -> np.ndarray:
    """Return a map of the image on the input of the model, where all maps have values: (size, size)."""
    return processor.crop_and_resize(torch.from_numpy(heat)[None], size={"height": size, "width": size})[0].numpy()


def road(model, processor, images, targets: list[int], maps) -> np.ndarray:
    """Return the ROAD score of every map."""
    scores = _Scores(model, as_probabilities=True)
    pixels = processor(images, return_tensors="pt").pixel_values
    # Ties (uniform heat, zeros) would remove all or nothing at a percentile; a tiny noise breaks them.
    small = np.stack([cropped(heat, processor, pixels.shape[-1]) for heat in maps])
    small = small + np.random.default_rng(0).uniform(0, 1e-4, small.shape).astype(np.float32)
    outputs = [ClassifierOutputTarget(target) for target in targets]
    least = ROADLeastRelevantFirstAverage(PERCENTILES)(pixels, small, outputs, scores)
    most = ROADMostRelevantFirstAverage(PERCENTILES)(pixels, small, outputs, scores)
    return (least - most) / 2


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of two maps; 0 if one of them is uniform."""
    return float(spearmanr(a.ravel(), b.ravel()).statistic) if a.std() and b.std() else 0.0


def mean_and_error(values) -> str:
    values = np.asarray(values, np.float64)
    return f"{values.mean():.2f} ± {values.std() / np.sqrt(len(values)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="trained classifier with votes: folder or Hub id")
    parser.add_argument("--dataset", default="simulated", help="data set whose validation split is explained")
    parser.add_argument(
        "--galaxies", type=int, default=60, help="galaxies of each structure and of the validation split"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--stages", nargs="+", type=int, default=[2, 3, 4], choices=[1, 2, 3, 4])
    parser.add_argument("--output", default=None, help="write the numbers to this JSON file too")
    args = parser.parse_args()
    model = AutoModelForImageClassification.from_pretrained(args.model, trust_remote_code=False).eval()
    processor = GalaxyImageProcessor.from_pretrained(args.model)
    torch.manual_seed(0)
    random_model = type(model)(copy.deepcopy(model.config)).eval()
    structures = simulated_structures(args.galaxies)
    rows = load_galaxies(args.dataset)["validation"].shuffle(seed=0)
    images = [row["image"].convert("RGB") for row in rows.select(range(min(args.galaxies, len(rows))))]
    turned = [image.transpose(Image.Transpose.ROTATE_90) for image in images]
    sources = [segments(image) for image in images]
    with torch.no_grad():
        targets = model(**processor(images, return_tensors="pt")).logits.argmax(1).tolist()

    table = []
    cases = [(name, 0) for name in CONTROLS] + [(name, stage) for name in args.methods for stage in args.stages]
    for method, stage in tqdm(cases, desc="methods"):
        row = {"method": method, "stage": stage}
        for name, galaxies in structures.items():
            shown = [image for image, _ in galaxies]
            for suffix, network in (("", model), (", random weights", random_model)):
                if suffix and (method in CONTROLS or name != "bar"):
                    continue
                heats = maps_of(
                    network,
                    processor,
                    shown,
                    [ANSWERS[GALAXY_ZOO_2.concepts[STRUCTURES[name]][0]]] * len(shown),
                    method,
                    stage,
                )
                row[name + suffix] = [
                    bool(mask[np.unravel_index(heat.argmax(), heat.shape)]) and bool(heat.max() > 0)
                    for heat, (_, mask) in zip(heats, galaxies, strict=True)
                ]
        maps = maps_of(model, processor, images, targets, method, stage)
        few = slice(ROAD_GALAXIES)
        row["ROAD"] = road(model, processor, images[few], targets[few], maps[few]).tolist()
        if method not in CONTROLS:
            size = processor.size["height"]
            small = [cropped(heat, processor, size) for heat in maps]
            for name, network, inputs, turns in (("random", random_model, images, 0), ("turned", model, turned, 1)):
                compared = maps_of(network, processor, inputs, targets, method, stage)
                row[name] = [
                    correlation(np.rot90(a, turns), cropped(b, processor, size))
                    for a, b in zip(small, compared, strict=True)
                ]
        for index, name in enumerate(("inside", "stars")):
            row[name] = [
                float(heat[masks[index]].sum() / max(heat.sum(), 1e-6))
                for heat, masks in zip(maps, sources, strict=True)
            ]
        table.append(row)

    columns = ["bar", "bar, random weights", "ring", "companion", "ROAD", "random", "turned", "inside", "stars"]
    print(
        f"\n{args.galaxies} galaxies of each structure; {len(images)} of {args.dataset}, validation; "
        "mean ± standard error\n"
    )
    print(f"| method | stage | {' | '.join(columns)} |\n|{'---|' * (2 + len(columns))}")
    for row in table:
        cells = [mean_and_error(row[name]) if name in row else "" for name in columns]
        print(f"| {row['method']} | {row['stage'] or ''} | {' | '.join(cells)} |")
    if args.output:
        Path(args.output).write_text(json.dumps(table) + "\n")


if __name__ == "__main__":
    main()
