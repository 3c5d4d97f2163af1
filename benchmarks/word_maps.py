"""Measure where the maps of words point: one table for simulated galaxies, one for boxes drawn by hand on real ones.

    python benchmarks/word_maps.py                                                  # simulated, the shipped models
    python benchmarks/word_maps.py --images images_gz2.zip                          # real galaxies of Galaxy Zoo 2

A row is a method: the attention of the captioner; maps of activation times gradient (HiRes-CAM) at stages of stride 4,
8 and 16, also as a mean over 8 noisy copies (SmoothGrad, Smilkov et al. 2017, arXiv:1706.03825) and over 8 turned,
mirrored and shifted ones; gradient times input; integrated gradients; occlusion. "shown" is what the package shows:
integrated gradients from the smoothed image. "votes" is evidence for the log-odds of the classifier's answer that a
claim states, "words" for the log probability of the captioner's own words. A column is a structure, with the share of
galaxies on which the hottest point is (pointing game, Zhang et al. 2018, IJCV).

Simulated galaxies are those in which at least half of the volunteers saw the structure; the words are those of a
caption that states what the volunteers saw. Controls without a model are the middle of the image, the light itself
(smoothed), and the area of the structure, which is what a random point gives; "random" is a network of random weights.

Boxes of real galaxies are in structure_boxes.csv. A bar or companion is its box. A ring is the ellipse in its box
without the concentric ellipse of half its axes.
"""

import argparse
import csv
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from evidence_methods import gradient_maps, occlusion_maps, sky_of, views_of
from PIL import Image
from scipy.ndimage import binary_dilation
from structure_masks import structure_masks
from torch.nn import functional as F
from tqdm.auto import tqdm

from galaxy_vision.captions.claims import Claim, claims_from_votes
from galaxy_vision.captions.reading import claims_of_words
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.inference.evidence import blurred, evidence, integrated_gradients
from galaxy_vision.inference.loading import load_captioner, load_classifier
from galaxy_vision.inference.word_maps import claimed_answers, vote_scores, word_scores
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.runtime.shipped import CAPTIONER, CLASSIFIER
from galaxy_vision.simulation.parameters import draw_parameters
from galaxy_vision.simulation.render import simulate_galaxy

# The numbers are ours.
SIMULATION_SEED = 7919  # a survey that no model was trained on
CONCEPTS = {"bar": "bar", "ring": "ring", "companion": "merger", "arms": "spiral"}  # structure -> concept of its word
SEEN_BY = 0.5  # smallest share of the volunteers asked who saw the structure
TOLERANCE = {"bar": 4, "ring": 4, "companion": 4, "arms": 2}  # stored pixels around it; arms are close to each other
STAGES = (1, 2, 3)
NOISE = 0.3  # standard deviation of SmoothGrad's noise, in units of normalised pixels


def simulated(count: int):
    """Yield structure, image, mask and caption of ``count`` galaxies for each structure."""
    missing, index = dict.fromkeys(CONCEPTS, count), 0
    with tqdm(total=count * len(CONCEPTS), desc="simulated galaxies", unit="") as bar:
        while any(missing.values()):
            masks = structure_masks(draw_parameters(np.random.default_rng([SIMULATION_SEED, index])))
            if wanted := [name for name in masks if missing[name]]:
                galaxy = simulate_galaxy(SIMULATION_SEED, index)
                fractions = GALAXY_ZOO_2.conditional(galaxy.votes)
                for name in wanted:
                    if GALAXY_ZOO_2.share(fractions, CONCEPTS[name]) >= SEEN_BY:
                        claims = claims_from_votes(galaxy.votes)
                        yield name, galaxy.image, binary_dilation(masks[name], iterations=TOLERANCE[name]), claims
                        missing[name] -= 1
                        bar.update()
            index += 1


def real(zip_file: str):
    """Yield structure, image, mask and caption of the galaxies in structure_boxes.csv."""
    lines = (Path(__file__).parent / "structure_boxes.csv").read_text().splitlines()
    boxes = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    with zipfile.ZipFile(zip_file) as images:
        for row in tqdm(boxes, desc="boxes", unit=""):
            with images.open(f"images/{row['asset_id']}.jpg") as file:
                image = Image.open(file).convert("RGB")
            x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
            y, x = np.mgrid[: image.height, : image.width] + 0.5
            if row["structure"] == "ring":
                radius = np.hypot((2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0))
                mask = (radius <= 1) & (radius >= 0.5)
            else:
                mask = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
            yield row["structure"], image, mask, ()


def caption_of(claims, concept: str) -> str:
    """Return a caption that states these claims, or the concept alone if it is not among them."""
    stated = claims if concept in {claim.concept for claim in claims} else [Claim(concept)]
    return write_captions(stated, 1)[0]


class Case:
    """One galaxy and structure, as the models and the score see it."""

    def __init__(self, structure: str, image, mask: np.ndarray, claims, processor):
        self.structure, self.concept = structure, CONCEPTS[structure]
        crop = processor.image_processor.crop_and_resize
        side = round(min(image.size) * processor.image_processor.crop_fraction)
        size = {"height": side, "width": side}
        self.mask = crop(torch.from_numpy(mask.astype(np.float32))[None], size=size)[0].numpy() > 0.5
        self.pixels = processor(image)["pixel_values"]
        self.sequence = _sequence(caption_of(claims, self.concept), processor)
        words = processor.tokenizer.convert_ids_to_tokens(self.sequence[0, 1:].tolist())
        stated = claims_of_words(words)
        self.positions = [index for index, claim in enumerate(stated) if claim and claim.concept == self.concept]

    def is_on(self, heat: torch.Tensor) -> bool:
        """Return whether the hottest point of a map (h, w) of the crop is on the structure; not if nothing is hot."""
        fine = F.interpolate(heat[None, None].float(), size=self.mask.shape, mode="bilinear", align_corners=False)[0, 0]
        return bool(self.mask.flat[int(fine.argmax())]) and bool(heat.max() > 0)


def _sequence(text: str, processor) -> torch.Tensor:
    ids = processor.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    start = processor.tokenizer.bos_token_id
    return torch.cat([ids.new_full((1, 1), start), ids], 1)


def maps_of(case: Case, source: str, scores, backbone, methods: str) -> dict[str, torch.Tensor]:
    """Return the maps of the ``"shown"``, the ``"fast"`` or ``"all"`` methods by their name."""
    maps, size = {f"{source}, shown": evidence(scores, case.pixels)[0]}, case.pixels.shape[-1]
    if methods == "shown":
        return maps
    copies = {"": (case.pixels, _mean)}
    if methods == "all":
        noise = torch.randn(8, *case.pixels.shape[1:], generator=torch.Generator().manual_seed(0))
        copies |= {", SmoothGrad": (case.pixels + NOISE * noise, _mean), ", 8 views": views_of(case.pixels, 8, 8)}
    for name, (batch, mean) in copies.items():
        fine = [mean(of_stage)[0] for of_stage in gradient_maps(scores, backbone, STAGES, batch)]
        for stage, heat in zip(STAGES, fine, strict=True):
            maps[f"{source}, HiRes-CAM, stride {2 ** (stage + 1)}{name}"] = heat
    maps[f"{source}, gradient x input"] = integrated_gradients(scores, case.pixels, sky_of(case.pixels), steps=1)[0]
    maps[f"{source}, integrated gradients from the sky"] = blurred(
        integrated_gradients(scores, case.pixels, sky_of(case.pixels))[None], size / 38
    )[0, 0]
    if methods == "all":
        for name, filling in (("sky", sky_of(case.pixels)), ("smoothed image", blurred(case.pixels, size / 12))):
            maps[f"{source}, occlusion by the {name}"] = occlusion_maps(scores, case.pixels, filling, side=14)[0]
    return maps


def _mean(maps: torch.Tensor) -> torch.Tensor:
    return maps.mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=CLASSIFIER, help="classifier with votes: folder or Hub id")
    parser.add_argument("--captioner", default=CAPTIONER, help="captioner: folder or Hub id")
    parser.add_argument("--images", default=None, help="images_gz2.zip: score on its galaxies, not on simulated ones")
    parser.add_argument("--galaxies", type=int, default=60, help="simulated galaxies of each structure")
    parser.add_argument(
        "--slow", type=int, default=0, help="galaxies of each structure for occlusion, SmoothGrad and turned copies too"
    )
    parser.add_argument("--output", default=None, help="write the numbers to this JSON file too")
    args = parser.parse_args()
    (classifier, _), (captioner, processor) = load_classifier(args.model), load_captioner(args.captioner)
    torch.manual_seed(0)
    networks = {
        "": (classifier, captioner),
        "random ": (type(classifier)(classifier.config), type(captioner)(captioner.config)),
    }
    for network in (model for pair in networks.values() for model in pair):
        network.eval().requires_grad_(False)

    hits: dict[str, dict[str, list[bool | float]]] = {}
    seen, start = dict.fromkeys(CONCEPTS, 0), time.perf_counter()
    for structure, image, mask, claims in real(args.images) if args.images else simulated(args.galaxies):
        case = Case(structure, image, mask, claims, processor)
        size = case.pixels.shape[-1]
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        light = blurred(case.pixels, 1.0)[0].sum(0)
        maps = {"middle": -torch.hypot(x - (size - 1) / 2, y - (size - 1) / 2) + size, "light": light - light.min()}
        with torch.no_grad():
            outputs = captioner(pixel_values=case.pixels, decoder_input_ids=case.sequence[:, :-1])
        attention = outputs.cross_attentions[0][0][case.positions].mean(0)
        maps["words, attention"] = attention.reshape(2 * (captioner.config.grid_size,))
        methods = "all" if seen[structure] < args.slow else "fast"
        for name, (model, writer) in networks.items():
            answers = claimed_answers([case.concept], model.trees)[case.concept]
            both = (
                ("votes", vote_scores(model, [answers]), model.backbone),
                ("words", word_scores(writer, case.sequence, [case.positions]), writer.encoder.backbone),
            )
            for source, scores, backbone in both:
                maps |= maps_of(case, name + source, scores, backbone, "shown" if name else methods)
        for name, heat in maps.items():
            hits.setdefault(name, {}).setdefault(structure, []).append(case.is_on(heat))
        hits.setdefault("area", {}).setdefault(structure, []).append(float(case.mask.mean()))
        seen[structure] += 1

    columns = [name for name in CONCEPTS if seen[name]]
    counts = ", ".join(f"{seen[name]} {name}" for name in columns)
    print(f"\n{counts}; {time.perf_counter() - start:.0f} s\n")
    print(f"| method | {' | '.join(columns)} | mean |\n|{'---|' * (2 + len(columns))}")
    for name, found in hits.items():
        means = [np.mean(found[column]) for column in columns]
        few = f" ({len(found[columns[0]])} each)" if len(found[columns[0]]) < seen[columns[0]] else ""
        print(f"| {name}{few} | {' | '.join(f'{mean:.2f}' for mean in means)} | {np.mean(means):.2f} |")
    if args.output:
        Path(args.output).write_text(json.dumps(hits) + "\n")


if __name__ == "__main__":
    main()
