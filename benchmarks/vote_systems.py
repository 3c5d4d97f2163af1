"""Score predicted votes of Galaxy Zoo 2 before and after a head is adapted to them, on galaxies held out in folds.

    python benchmarks/vote_systems.py --model galaxy-resnet --dataset galaxy_zoo_2 --like gz_challenge \\
        --without_twins_of galaxy_zoo_challenge,galaxy_zoo_classes --output vote_systems.json

All rows of the data set are used, each predicted by a head that was fitted to the other folds, since its test split is
small. Every strength is scored, and that of the least loss is named. Rows that the model has learned from are left out.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from datasets import concatenate_datasets

from galaxy_vision.data.campaigns import wanted_trees
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.twins import without_twins
from galaxy_vision.evaluation.sums import interval_95
from galaxy_vision.evaluation.tables import summary_table
from galaxy_vision.evaluation.votes import VoteMetrics
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.models.trees import Trees
from galaxy_vision.runtime.files import write_json
from galaxy_vision.training.adapt import head_of, known_votes, like_which, view_features
from galaxy_vision.training.head_fit import STRENGTHS, folds_of, loss_of, out_of_folds


def first_question(trees: Trees, concentration: np.ndarray, votes: np.ndarray) -> dict:
    """Return agreement on the first question, and error and mean of its first fraction, with 95 % intervals."""
    tree = trees.first
    answers = tree.slices[tree.first_question.name]
    predicted, true = tree.conditional(concentration)[:, answers], tree.conditional(votes)[:, answers]
    agrees = predicted.argmax(1) == true.argmax(1)
    draws = np.random.default_rng(0).integers(0, len(agrees), (1000, len(agrees)))
    drawn = np.array(
        [
            np.random.default_rng(index).multinomial(round(total), share) if total >= 1 else share
            for index, (total, share) in enumerate(zip(tree.totals(votes)[:, answers.start], true, strict=True))
        ]
    )
    return {
        "agreement": float(agrees.mean()),
        "agreement_95": interval_95(agrees[draws].mean(1)),
        "agreement_of_other_volunteers": float((drawn.argmax(1) == true.argmax(1)).mean()),
        "rmse": float(np.sqrt(((predicted - true)[:, 0] ** 2).mean())),
        "mean_predicted": float(predicted[:, 0].mean()),
        "mean": float(true[:, 0].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--like", default="gz_challenge")
    parser.add_argument("--campaign", help="whose votes the data set has (default: those that it says)")
    parser.add_argument("--without_twins_of", default="", help="data sets, with commas")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--features", help="file in which features are kept, to be read again")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    model, processor = load_classifier(args.model)
    data = load_galaxies(args.dataset, trees=wanted_trees(args.campaign))
    trees = data.trees
    like = like_which(model, args.model, args.like, trees.first)
    if args.features and Path(args.features).is_file():
        features, votes = torch.load(args.features)
        features = features[:, : args.views]
    else:
        rows = concatenate_datasets(list(data.values()))
        for name in filter(None, args.without_twins_of.split(",")):
            before, others = len(rows), load_galaxies(name)
            rows = without_twins(
                rows, concatenate_datasets([some.select_columns(["image"]) for some in others.values()])
            )
            print(f"{before - len(rows)} of {before} galaxies are in {name} too")
        features, votes = view_features(model, rows, processor, args.views), known_votes(rows, trees)
        if args.features:
            torch.save((features, votes), args.features)
    prior, tree = head_of(model, like), trees.first
    print(f"{len(votes)} galaxies, {features.shape[1]} views of {features.shape[2]} features")
    concentrations = {"before": prior.concentration(features[:, 0])}
    adapted = out_of_folds(features, votes, prior, tree, STRENGTHS, folds_of(len(votes), args.folds, seed=1))
    concentrations |= {f"strength {strength:g}": some for strength, some in zip(STRENGTHS, adapted, strict=True)}
    losses = {name: loss_of(some, votes, tree).item() for name, some in concentrations.items()}
    results = {"rows": len(votes), "losses": losses, "chosen": min(losses, key=losses.get)}
    print({name: round(loss, 4) for name, loss in losses.items()}, "chosen:", results["chosen"])
    for name, concentration in concentrations.items():
        metric = VoteMetrics(trees, votes.numpy())
        metric.add_batch(predictions=concentration.numpy().astype(np.float32), references=votes.numpy())
        scores = metric.compute()
        results[name] = {"votes": scores, "first_question": first_question(trees, concentration.numpy(), votes.numpy())}
        print(f"\n{name}: {results[name]['first_question']}")
        print(summary_table({"votes": scores}))
    write_json(Path(args.output), results)


if __name__ == "__main__":
    main()
