"""What holding predicted votes to the cuts of class folders is worth, on galaxies of these folders with known votes.

    python benchmarks/held_votes.py --model checkpoints/galaxy-resnet --classes galaxy_zoo_classes \\
        --votes galaxy_zoo_challenge_more --bounds bounds.json

The known votes must not be of galaxies that the model was trained on.
"""

import argparse

import numpy as np
import torch
from datasets import concatenate_datasets

from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.bounds import hold, read_bounds
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.evaluation.metrics import published_values
from galaxy_vision.inference.loading import load_classifier, take_for
from galaxy_vision.inference.rotations import ROTATIONS, classify
from galaxy_vision.models.decision_tree import kaggle_from_conditional, question_totals
from galaxy_vision.training.checks import labels_of

CERTAIN = 1e7
"""Certainty of a prediction that is clipped to its bound, and not replaced by the mean above it."""


@torch.inference_mode()
def predict(model, processor, campaign: str, rows, rotations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return conditional fractions and certainties, both (N, 37)."""
    fractions, certainties = [], []
    for batch in make_loader(cache_pixels(rows, processor), processor.size["height"], 32, shuffle=False):
        outputs = classify(model, processor.normalize_pixels(batch["pixels"]), rotations)
        fractions.append(model.predict_fractions(outputs, campaign).conditional)
        certainties.append(question_totals(model.trees.part(outputs.vote_concentration, campaign)))
    return torch.cat(fractions).double().numpy(), np.concatenate(certainties)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="trained classifier that predicts votes: folder or Hub id")
    parser.add_argument("--classes", required=True, help="data set of class folders")
    parser.add_argument("--votes", required=True, help="data set with votes on some of its galaxies, by the same ids")
    parser.add_argument("--bounds", required=True, help="JSON file, as for datasets_scripts/predicted_votes.py")
    parser.add_argument("--rotations", type=int, default=1, choices=ROTATIONS, help="views to average over")
    args = parser.parse_args(argv)
    voted, data = {}, load_galaxies(args.votes)
    for part in data.values():
        voted |= dict(zip(part["id"], part["votes"], strict=True))
    rows = concatenate_datasets(list(load_galaxies(args.classes).values()))
    rows = rows.select([row for row, key in enumerate(rows["id"]) if key in voted])
    true, known = published_values([voted[key] for key in rows["id"]])
    names, labels = rows.features["label"].names, labels_of(rows)
    bounds = read_bounds(args.bounds, names)
    model, processor = load_classifier(args.model)
    take_for(model, data.trees)
    free, certainty = predict(model, processor, data.trees.first.name, rows, args.rotations)
    predictions = {"free": free, "clipped": free.copy(), "held": free.copy()}
    for label, least in bounds.items():
        of_class = labels == label
        predictions["clipped"][of_class] = hold(free[of_class], np.full_like(certainty[of_class], CERTAIN), least)
        predictions["held"][of_class] = hold(free[of_class], certainty[of_class], least)
    squares = {name: (kaggle_from_conditional(fractions) - true) ** 2 for name, fractions in predictions.items()}
    print(f"| RMSE of known cumulative fractions | galaxies | {' | '.join(squares)} |\n|---{'|---' * 4}|")
    groups = {"all": labels >= 0} | {name: labels == label for label, name in enumerate(names)}
    for name, kept in groups.items():
        scores = [np.sqrt(errors[kept][known[kept]].mean()) for errors in squares.values()]
        print(f"| {name} | {kept.sum()} | {' | '.join(f'{score:.4f}' for score in scores)} |")


if __name__ == "__main__":
    main()
