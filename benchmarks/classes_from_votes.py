"""Compare the classes of the class head with those of the predicted votes: scores, agreement, precision and time.

    python benchmarks/classes_from_votes.py --dataset galaxy_zoo_challenge

The validation split is read. Calibration error: 15 bins of the largest probability. The truth of a share of draws is
that of 10,000 random ones, for every 13th galaxy.
"""

import argparse
import time

import numpy as np
import torch
from accelerate import Accelerator

from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.labels import class_names_for, labels_of_fractions
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.evaluation.evaluate import over_split
from galaxy_vision.evaluation.metrics import GalaxyMetric
from galaxy_vision.inference.classes import class_campaign, class_probabilities, class_shares, label_scheme_of
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.inference.rotations import classify
from galaxy_vision.models.modeling_galaxy_resnet import GalaxyClassifierOutput
from galaxy_vision.models.trees import Trees

RANDOM_DRAWS = 10_000
EVERY = 13


def outputs_of(model, processor, rows, rotations: int) -> tuple[GalaxyClassifierOutput, torch.Tensor]:
    """Return the outputs of a model for all rows, and their labels."""
    loader = make_loader(cache_pixels(rows, processor), processor.size["height"], 32, shuffle=False)

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        output = classify(model, pixels, rotations)
        return {"logits": output.logits, "votes": output.vote_concentration, "labels": batch["labels"]}

    batches = list(over_split(Accelerator(cpu=True), model, loader, processor, "galaxies", compute))
    logits, votes, labels = (torch.cat([batch[name] for batch in batches]) for name in ("logits", "votes", "labels"))
    return GalaxyClassifierOutput(logits=logits, vote_concentration=votes), labels


def random_shares(concentration: np.ndarray, scheme: str, tree, rng: np.random.Generator) -> np.ndarray:
    """Return (classes,) shares of random draws from the fractions of one galaxy."""
    draws = rng.standard_gamma(np.broadcast_to(concentration.astype(float), (RANDOM_DRAWS, len(concentration))))
    labels = labels_of_fractions(tree.conditional(draws), scheme, tree)
    return np.array([(labels == label).mean() for label in range(len(class_names_for(scheme, Trees((tree,)))))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="galaxy-resnet")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--rotations", type=int, default=1)
    args = parser.parse_args()
    model, processor = load_classifier(args.model)
    scheme, tree = label_scheme_of(model.config), model.trees[class_campaign(model)]
    output, labels = outputs_of(model, processor, load_galaxies(args.dataset, scheme)["validation"], args.rotations)
    head, (votes, uncertain) = output.logits.float().softmax(-1), class_probabilities(model, output)
    names = [model.config.id2label[label] for label in range(model.config.num_labels)]
    for name, probabilities in (("class head", head), ("votes", votes)):
        scores = GalaxyMetric("classes", label_names=names).compute(
            predictions=probabilities.numpy(), references=labels.numpy()
        )
        decided = labels >= 0
        nll = -probabilities[decided, labels[decided]].log().mean()
        print(f"{name}: {int(decided.sum())} galaxies, accuracy {scores['accuracy']:.4f}, ", end="")
        print(f"macro F1 {scores['macro_f1']:.4f}, NLL {nll:.4f}, calibration error {scores['ece']:.4f}")
    same = head.argmax(-1) == votes.argmax(-1)
    print(f"same class: {same.float().mean():.4f} of all {len(same)}, {same[decided].float().mean():.4f} of these")
    for name, rows in (("with a class", decided), ("without", ~decided)):
        print(f"no class, of galaxies {name}: median {uncertain[rows].median():.3f}, ", end="")
        print(", ".join(f"{(uncertain[rows] >= limit).float().mean():.3f} have {limit}" for limit in (0.2, 0.3, 0.5)))

    concentration = model.trees.part(output.vote_concentration, tree.name).numpy()
    rng, some = np.random.default_rng(0), concentration[::EVERY]
    truth = np.stack([random_shares(row, scheme, tree, rng) for row in some])
    for draws in (128, 256, 512, 1024):
        class_shares(some[:1], scheme, tree, draws)  # makes its tables
        start = time.process_time()
        for first in range(0, len(concentration), 32):
            class_shares(concentration[first : first + 32], scheme, tree, draws)
        taken = (time.process_time() - start) / len(concentration)
        errors = class_shares(some, scheme, tree, draws) - truth
        print(f"{draws} draws: error {np.sqrt((errors**2).mean()):.4f}, at most {np.abs(errors).max():.3f}; ", end="")
        print(f"{1000 * taken:.2f} ms of one core and image")


if __name__ == "__main__":
    main()
