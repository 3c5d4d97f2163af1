"""Do the heat maps mean anything? One table, a row for each method and stage of the backbone.

    python benchmarks/heat_maps.py --model runs/classifier                                            # simulated
    galaxies python benchmarks/heat_maps.py --model runs/challenge --dataset galaxy_zoo_challenge              # and
    real ones

On simulated galaxies, where the truth is known: whether the hottest pixel of the map of "bar", "ring" and "merger" lies
on the bar, the ring or the companion (pointing game, Zhang et al. 2018, IJCV). On the data set's validation split, for
the predicted class:

* ROAD (Rong et al. 2022, ICML): what the class score loses less when the coldest pixels are imputed than when the
  hottest are.
* random: rank correlation with the map of the same network with random weights (sanity check of Adebayo et al. 2018,
  NeurIPS); an explanation of what was learned does not survive that, so near 0 is good.
* turned: rank correlation of the map of the turned image with the turned map; 1 is good.
* inside, stars: share of the heat on the galaxy itself and on all other sources of the crop (segmentation by
  photutils).

The first rows need no model: a Gaussian in the middle, and even heat. A method is worth nothing that does not beat
them.
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
from galaxy_vision.models.decision_tree import answer_index, conditional_fractions
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.simulation.parameters import draw_parameters
from galaxy_vision.simulation.render import simulate_galaxy

SIMULATION_SEED = 7919  # a survey that no model was trained on
STRUCTURES = {"bar": "a06_bar", "ring": "a19_ring", "companion": "a24_merger"}
SEEN_BY = 0.5  # share of the volunteers asked who must have seen the structure
TOLERANCE = 4  # stored pixels around a structure that count as on it: half a place of stage 2
PERCENTILES = [50, 70, 90]
ROAD_GALAXIES = 24  # imputing pixels takes longer than all the rest
CONTROLS = ("middle", "even")


def simulated_structures(count: int) -> dict[str, list[tuple[Image.Image, np.ndarray]]]:
    """For each structure ``count`` galaxies in which volunteers saw it, with the pixels that count as on it."""
    found, index = {name: [] for name in STRUCTURES}, 0
    with tqdm(total=count * len(found), desc="simulating", unit=" galaxies") as bar:
        while bar.n < bar.total:
            has = structure_masks(draw_parameters(np.random.default_rng([SIMULATION_SEED, index])))
            wanted = [name for name in has if len(found[name]) < count]
            if wanted:
                galaxy = simulate_galaxy(SIMULATION_SEED, index)
                seen = conditional_fractions(galaxy.votes)
                for name in wanted:
                    if seen[answer_index(STRUCTURES[name])] >= SEEN_BY:
                        found[name].append((galaxy.image, binary_dilation(has[name], iterations=TOLERANCE)))
                        bar.update()
            index += 1
    return found


def segments(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the central galaxy, and of all other sources: 3 sigma above the sky in the smoothed sum of the bands."""
    light = gaussian_filter(np.asarray(image).astype(np.float32).sum(2), 1.5)
    sky = np.median(light)
    sigma = 1.4826 * np.median(np.abs(light - sky)) + 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # photutils warns where nothing is found
        found = detect_sources(light, sky + 3 * sigma, n_pixels=10)
    labels = np.zeros(light.shape, int) if found is None else found.data
    middle = labels[tuple(side // 2 for side in labels.shape)]
    return (labels == middle) & (middle > 0), (labels > 0) & (labels != middle)


def maps_of(model, processor, images, targets, method: str, stage: int) -> list[np.ndarray]:
    """As :func:`explain`, and the two controls, which look at no model."""
    if method not in CONTROLS:
        return explain(model, processor, images, targets, method, stage)
    maps = []
    for image in images:
        y, x = np.mgrid[: image.height, : image.width]
        side = min(image.size) * processor.crop_fraction
        y, x = (y - (image.height - 1) / 2) / side, (x - (image.width - 1) / 2) / side
        inside = np.maximum(np.abs(x), np.abs(y)) <= 0.5
        maps.append(
            (inside * (np.exp(-(x**2 + y**2) / (2 * 0.15**2)) if method == "middle" else 1.0)).astype(np.float32)
        )
    return maps


def cropped(heat: np.ndarray, processor, size: int) -> np.ndarray:
    """A map of the image back on the model's input, where all maps have values."""
    return processor.crop_and_resize(torch.from_numpy(heat)[None], size={"height": size, "width": size})[0].numpy()


def road(model, processor, images, targets: list[int], maps) -> np.ndarray:
    scores = _Scores(model, as_probabilities=True)
    pixels = processor(images, return_tensors="pt").pixel_values
    # Ties (even heat, zeros) would remove all or nothing at a percentile: a tiny noise breaks them.
    small = np.stack([cropped(heat, processor, pixels.shape[-1]) for heat in maps])
    small = small + np.random.default_rng(0).uniform(0, 1e-4, small.shape).astype(np.float32)
    wanted = [ClassifierOutputTarget(target) for target in targets]
    least = ROADLeastRelevantFirstAverage(PERCENTILES)(pixels, small, wanted, scores)
    most = ROADMostRelevantFirstAverage(PERCENTILES)(pixels, small, wanted, scores)
    return (least - most) / 2


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's; 0 where a map is even."""
    return float(spearmanr(one.ravel(), other.ravel()).statistic) if one.std() and other.std() else 0.0


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
            for which, network in (("", model), (", random weights", random_model)):
                if which and (method in CONTROLS or name != "bar"):
                    continue
                heats = maps_of(network, processor, shown, [STRUCTURES[name]] * len(shown), method, stage)
                row[name + which] = [
                    bool(mask[np.unravel_index(heat.argmax(), heat.shape)]) and bool(heat.max() > 0)
                    for heat, (_, mask) in zip(heats, galaxies, strict=True)
                ]
        maps = maps_of(model, processor, images, targets, method, stage)
        few = slice(ROAD_GALAXIES)
        row["ROAD"] = road(model, processor, images[few], targets[few], maps[few]).tolist()
        if method not in CONTROLS:
            size = processor.size["height"]
            small = [cropped(heat, processor, size) for heat in maps]
            other = maps_of(random_model, processor, images, targets, method, stage)
            row["random"] = [correlation(a, cropped(b, processor, size)) for a, b in zip(small, other, strict=True)]
            again = maps_of(model, processor, turned, targets, method, stage)
            row["turned"] = [
                correlation(np.rot90(a), cropped(b, processor, size)) for a, b in zip(small, again, strict=True)
            ]
        for place, name in enumerate(("inside", "stars")):
            row[name] = [
                float(heat[found[place]].sum() / max(heat.sum(), 1e-6))
                for heat, found in zip(maps, sources, strict=True)
            ]
        table.append(row)

    columns = ["bar", "bar, random weights", "ring", "companion", "ROAD", "random", "turned", "inside", "stars"]
    print(
        f"\n{args.galaxies} galaxies of each structure; {len(images)} of {args.dataset}, validation; mean ± standard error\n"
    )
    print(f"| method | stage | {' | '.join(columns)} |\n|{'---|' * (2 + len(columns))}")
    for row in table:
        cells = [mean_and_error(row[name]) if name in row else "" for name in columns]
        print(f"| {row['method']} | {row['stage'] or ''} | {' | '.join(cells)} |")
    if args.output:
        Path(args.output).write_text(json.dumps(table) + "\n")


if __name__ == "__main__":
    main()
