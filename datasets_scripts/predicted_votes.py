"""Build a Hugging Face data set of galaxies with volunteers' votes and galaxies with predicted votes.

    python datasets_scripts/predicted_votes.py --model runs/votes --dataset galaxy_zoo_challenge \\
        --unlabelled galaxy_zoo_classes --output_dir galaxy_zoo_student

For self-training (Xie et al. 2020, arXiv:1911.04252), with the answers of Galaxy Zoo 2: the votes are those of the
campaign of ``--dataset``, the volunteers' or the challenge's, and the model must predict the same. A data set that does
not say whose its votes are, as those of older versions, has those of ``--campaign``. Only training rows of
``--unlabelled`` are taken, and validation and test are those of ``--dataset`` alone, so that a student is scored on the
same galaxies as its teacher, against given votes. ``--also`` adds the training rows of data sets with votes on some
questions only, and votes on the others are predicted too: how many volunteers are asked them follows from the known
answers. Where class folders are cuts on vote fractions, ``--bounds`` names the cuts, and no predicted vote contradicts
the folder of its galaxy.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from datasets import Dataset, Features, Image
from tqdm.auto import tqdm

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetForImageClassification
from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.bounds import hold, read_bounds
from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.campaigns import campaign_names, tree_of, wanted_trees
from galaxy_vision.data.labels import assign_labels
from galaxy_vision.data.load import load_galaxies, load_training_rows
from galaxy_vision.data.schema import Card, galaxy_features
from galaxy_vision.data.schemes import SCHEMES, get_scheme
from galaxy_vision.data.splits import split_of
from galaxy_vision.data.vote_marks import is_listed
from galaxy_vision.images.limits import read_file
from galaxy_vision.inference.loading import load_classifier, take_for
from galaxy_vision.inference.rotations import ROTATIONS, classify
from galaxy_vision.models.decision_tree import (
    NOMINAL_CLASSIFICATIONS,
    conditional_fractions,
    question_totals,
    votes_from_conditional,
)
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.checks import labels_of

REMEDY = "build it with a script of this folder"

Teachers = list[tuple[GalaxyResNetForImageClassification, GalaxyImageProcessor]]
"""Trained models with their processors."""


@torch.inference_mode()
def predict(models: Teachers, campaign: str, rows: Dataset, rotations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return conditional fractions and the certainty of the question of each answer, both (N, 37).

    As over rotations, fractions are arithmetic means over the models, and certainties geometric ones.
    """
    fractions, log_certainty = 0.0, 0.0
    for model, processor in models:
        own_fractions, own_certainties = [], []
        batches = make_loader(cache_pixels(rows, processor), processor.size["height"], 32, shuffle=False)
        for batch in tqdm(batches, desc="predicted votes"):
            pixels = processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
            outputs = classify(model, pixels, rotations)
            own_fractions.append(model.predict_fractions(outputs, campaign).conditional)
            own_certainties.append(question_totals(model.trees.part(outputs.vote_concentration, campaign)))
        fractions = fractions + torch.cat(own_fractions).double().numpy() / len(models)
        log_certainty = log_certainty + np.log(np.concatenate(own_certainties)) / len(models)
    return fractions, np.exp(log_certainty)


def predict_votes(
    models: Teachers, campaign: str, rows: Dataset, rotations: int, bounds: dict[int, np.ndarray]
) -> np.ndarray:
    """Return the (N, 37) votes that :data:`NOMINAL_CLASSIFICATIONS` volunteers are expected to give these galaxies.

    ``bounds`` are those of labels, from :func:`~galaxy_vision.data.bounds.read_bounds`; may be empty.
    """
    fractions, certainty = predict(models, campaign, rows, rotations)
    labels = labels_of(rows) if bounds else None
    for label, least in bounds.items():
        fractions[labels == label] = hold(fractions[labels == label], certainty[labels == label], least)
    return votes_from_conditional(fractions, NOMINAL_CLASSIFICATIONS)


def fill_votes(models: Teachers, campaign: str, rows: Dataset, rotations: int) -> np.ndarray:
    """Return the (N, 37) votes of rows, with predicted ones for unknown questions.

    How many volunteers are asked an unknown question follows from the known answers that lead to it.
    """
    votes = np.array(rows["votes"], dtype=np.float64)
    partial = np.flatnonzero(np.isnan(votes).any(1))
    if len(partial):
        given = votes[partial]
        predicted, _ = predict(models, campaign, rows.select(partial), rotations)
        fractions = conditional_fractions(given)
        fractions = np.where(np.isnan(fractions), predicted, fractions)
        votes[partial] = np.where(np.isnan(given), votes_from_conditional(fractions, NOMINAL_CLASSIFICATIONS), given)
    return votes


def read_rows(
    labelled: list[Dataset], filled: list[tuple[Dataset, np.ndarray]], predicted: Dataset, votes, label_scheme: str
) -> Iterator[dict]:
    """Yield the rows that have votes, those whose unknown votes were filled, and those whose votes were predicted.

    Args:
        labelled: splits of a data set with votes.
        filled: rows for training, with their (N, 37) votes.
        predicted: rows for training.
        votes: (N, 37) of ``predicted``.
        label_scheme: how votes become a class.
    """
    for rows in labelled:
        yield from _rows(rows, np.array(rows["votes"]), label_scheme)
    for rows, row_votes in filled:
        was_partial = np.isnan(np.array(rows["votes"], dtype=np.float64)).any(1)
        prefixes = ["filled/" if partial else "" for partial in was_partial]
        yield from _rows(rows, row_votes, label_scheme, prefixes, "train")
    yield from _rows(predicted, votes, label_scheme, ["predicted/"] * len(predicted))


def _rows(
    rows: Dataset, votes: np.ndarray, label_scheme: str, prefixes: list[str] | None = None, split: str | None = None
) -> Iterator[dict]:
    rows, labels = rows.cast_column("image", Image(decode=False)), assign_labels(votes, label_scheme)
    for row, row_votes, label, prefix in zip(rows, votes, labels, prefixes or [""] * len(votes), strict=True):
        yield _row(row, f"{prefix}{row['id']}", row_votes, label) | {"split": split}


def _row(row: dict, galaxy_id: str, votes, label: int) -> dict:
    data = row["image"]["bytes"] if row["image"]["bytes"] is not None else read_file(row["image"]["path"])
    return {"image": data, "id": str(galaxy_id), "votes": votes, "num_classifications": np.nan, "label": label}


def check_rows(name: str, split: str, rows: Dataset, needed: set[str]) -> None:
    """Check that no column is missing and that all rows keep their split; raise ValueError otherwise."""
    if missing := sorted(needed - set(rows.column_names)):
        raise ValueError(f"dataset={name!r} has no column {' and '.join(missing)}; {REMEDY}")
    if moved := [key for key in map(str, rows["id"]) if split_of(key) != split]:
        raise ValueError(
            f"{split} of dataset={name!r} has rows that our hash puts into another split, such as id {moved[0]}; "
            f"{REMEDY}"
        )


def without_galaxies_of(others: list[Dataset], rows: Dataset) -> Dataset:
    """Return the rows whose id is not that of a row of the others."""
    known = {str(key) for other in others for key in other["id"]}
    return rows.select([row for row, key in enumerate(rows["id"]) if str(key) not in known])


def training_rows(names: list[str], labelled: dict[str, Dataset], trees: Trees) -> list[Dataset]:
    """Return the training rows of further data sets; raise ValueError where they are no addition to the first."""
    known = {str(key) for rows in labelled.values() for key in rows["id"]}
    further = []
    for name in names:
        rows = load_training_rows(name, trees=trees)
        if missing := sorted({"id", "votes"} - set(rows.column_names)):
            raise ValueError(f"also={name!r} has no column {' and '.join(missing)}; {REMEDY}")
        if twice := [key for key in map(str, rows["id"]) if key in known]:
            raise ValueError(f"also={name!r} has {len(twice)} galaxies of earlier data sets, such as {twice[0]}")
        known |= set(map(str, rows["id"]))
        further.append(rows)
    return further


def make(args: argparse.Namespace) -> tuple[Iterator[dict], Features, Card]:
    models = []
    for name in args.model:
        try:
            model, processor = load_classifier(name)
        except OSError as error:
            raise ValueError(f"model={name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
        if not model.config.predict_votes:
            raise ValueError(f"model={name!r} was trained without votes; give one that predicts them")
        models.append((model.to(memory_format=torch.channels_last), processor))
    labelled = load_galaxies(args.dataset, trees=wanted_trees(args.campaign))
    unlabelled = load_galaxies(args.unlabelled)["train"]
    if labelled.trees is not None and not is_listed(labelled.trees):
        labelled = load_galaxies(args.dataset, trees=Trees())  # of several campaigns, or refused
    for note in labelled.notes:
        print(note)
    trees = labelled.trees or Trees()
    for name, (model, _) in zip(args.model, models, strict=True):
        if whose := take_for(model, trees):
            print(f"model={name!r}: {whose}")
        if trees.first not in model.trees.values():
            raise ValueError(
                f"model={name!r} predicts votes of {', '.join(model.trees)}, and dataset={args.dataset!r} has those of "
                f"{', '.join(trees)}; give another model"
            )
    for split, rows in labelled.items():
        check_rows(args.dataset, split, rows, {"id", "votes"})
    check_rows(args.unlabelled, "train", unlabelled, {"id"})
    further = training_rows(args.also, labelled, trees)
    for name in args.also if args.campaign is None else ():
        print(f"the votes of {name} are taken for those of {trees.first.name} where they do not say whose they are")
    if not len(unlabelled := without_galaxies_of(further, unlabelled)):
        raise ValueError(f"all galaxies of unlabelled={args.unlabelled!r} are in also={args.also}; give others")
    bounds = read_bounds(args.bounds, unlabelled.features["label"].names) if args.bounds else {}
    votes = predict_votes(models, trees.first.name, unlabelled, args.rotations, bounds)
    filled = [(rows, fill_votes(models, trees.first.name, rows, args.rotations)) for rows in further]
    names = ", ".join(f"`{name}`" for name in args.model)
    teachers = names if len(models) == 1 else f"the mean of {names}"
    card = Card(
        "Galaxies with given and with predicted votes",
        f"The rows of `{args.dataset}`, and the training rows of `{args.unlabelled}` (ids that begin with "
        f"`predicted/`) with the votes that {teachers} expects of {NOMINAL_CLASSIFICATIONS} volunteers"
        f"{', given the bounds on votes that follow from their classes' if bounds else ''}. Predicted votes are not "
        "measurements: use them for training only.",
        "other",
        "Licences and citations of the data sets.",
        args.label_scheme,
        trees=trees,
    )
    if further:
        added = f"Training rows of {', '.join(f'`{name}`' for name in args.also)} are training rows here too"
        filled_ids = "ids that begin with `filled/` have predicted votes where theirs are unknown"
        card = card._replace(splits=f"Galaxies are split by a hash of their id. {added}; {filled_ids}.")
    rows = tqdm(
        read_rows(list(labelled.values()), filled, unlabelled, votes, args.label_scheme),
        desc="galaxies",
        total=sum(map(len, [*labelled.values(), *further, unlabelled])),
        unit=" rows",
    )
    return rows, galaxy_features(get_scheme(args.label_scheme).class_names, trees=trees), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        help="trained classifier that predicts votes: folder or Hub id; the mean of several, if they are given",
    )
    parser.add_argument("--dataset", required=True, help="data set with votes")
    parser.add_argument("--unlabelled", required=True, help="data set whose training rows get predicted votes")
    parser.add_argument(
        "--bounds",
        help='JSON file of class -> least cumulative fractions, such as {"spiral": [["Class4.1", 0.619]]}; predicted '
        "votes are held to them",
    )
    parser.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="DATASET",
        help="further data sets with votes, whose training rows are added, with predicted votes for questions that are "
        "unknown; their ids are left out of the unlabelled rows",
    )
    parser.add_argument(
        "--campaign",
        choices=[name for name in campaign_names() if is_listed(Trees([tree_of(name)]))],
        help="whose votes --dataset and --also have where they do not say it (default: gz2, and for --also those of "
        "--dataset)",
    )
    parser.add_argument(
        "--rotations",
        type=int,
        default=8,
        choices=ROTATIONS,
        help="number of rotated and mirrored images to average over",
    )
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
