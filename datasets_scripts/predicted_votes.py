"""Build a Hugging Face data set of galaxies with volunteers' votes and galaxies with predicted votes.

    python datasets_scripts/predicted_votes.py --model runs/votes --dataset galaxy_zoo_challenge \\
        --unlabelled galaxy_zoo_classes --output_dir galaxy_zoo_student

For self-training (Xie et al. 2020, arXiv:1911.04252). Only training rows of ``--unlabelled`` are taken, and validation
and test are those of ``--dataset`` alone, so that a student is scored on the same galaxies as its teacher, against
volunteers' votes. Where class folders are cuts on vote fractions, ``--bounds`` names the cuts, and no predicted vote
contradicts the folder of its galaxy.
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
from galaxy_vision.data.labels import assign_labels
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.schema import Card, galaxy_features
from galaxy_vision.data.schemes import SCHEMES, get_scheme
from galaxy_vision.data.splits import split_of
from galaxy_vision.images.limits import read_file
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.inference.rotations import ROTATIONS, classify
from galaxy_vision.models.decision_tree import NOMINAL_CLASSIFICATIONS, question_totals, votes_from_conditional
from galaxy_vision.training.checks import labels_of


@torch.inference_mode()
def predict_votes(
    models: list[tuple[GalaxyResNetForImageClassification, GalaxyImageProcessor]],
    rows: Dataset,
    rotations: int,
    bounds: dict[int, np.ndarray],
) -> np.ndarray:
    """Return the (N, 37) votes that :data:`NOMINAL_CLASSIFICATIONS` volunteers are expected to give these galaxies.

    Args:
        models: teachers with their processors. As over rotations, fractions are arithmetic means and certainties
            geometric ones.
        rows: with images, and with labels if there are bounds.
        rotations: number of views to average over.
        bounds: those of labels, from :func:`~galaxy_vision.data.bounds.read_bounds`; may be empty.
    """
    fractions, log_certainty = 0.0, 0.0
    for model, processor in models:
        own_fractions, own_certainties = [], []
        batches = make_loader(cache_pixels(rows, processor), processor.size["height"], 32, shuffle=False)
        for batch in tqdm(batches, desc="predicted votes"):
            pixels = processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
            outputs = classify(model, pixels, rotations)
            own_fractions.append(model.predict_fractions(outputs).conditional)
            own_certainties.append(question_totals(outputs.vote_concentration))
        fractions = fractions + torch.cat(own_fractions).double().numpy() / len(models)
        log_certainty = log_certainty + np.log(np.concatenate(own_certainties)) / len(models)
    labels, certainty = labels_of(rows) if bounds else None, np.exp(log_certainty)
    for label, least in bounds.items():
        fractions[labels == label] = hold(fractions[labels == label], certainty[labels == label], least)
    return votes_from_conditional(fractions, NOMINAL_CLASSIFICATIONS)


def read_rows(labelled: list[Dataset], unlabelled: Dataset, votes: np.ndarray, label_scheme: str) -> Iterator[dict]:
    """Yield the rows that have votes, then those whose (N, 37) ``votes`` were predicted."""
    for rows in labelled:
        rows = rows.cast_column("image", Image(decode=False))
        for row, label in zip(rows, assign_labels(np.array(rows["votes"]), label_scheme), strict=True):
            yield _row(row, row["id"], row["votes"], label)
    unlabelled = unlabelled.cast_column("image", Image(decode=False))
    for row, row_votes, label in zip(unlabelled, votes, assign_labels(votes, label_scheme), strict=True):
        yield _row(row, f"predicted/{row['id']}", row_votes, label)


def _row(row: dict, galaxy_id: str, votes, label: int) -> dict:
    data = row["image"]["bytes"] if row["image"]["bytes"] is not None else read_file(row["image"]["path"])
    return {"image": data, "id": str(galaxy_id), "votes": votes, "num_classifications": np.nan, "label": label}


def check_rows(name: str, split: str, rows: Dataset, needed: set[str]) -> None:
    """Check that no column is missing and that all rows keep their split; raise ValueError otherwise."""
    remedy = "build it with a script of this folder"
    if missing := sorted(needed - set(rows.column_names)):
        raise ValueError(f"dataset={name!r} has no column {' and '.join(missing)}; {remedy}")
    if moved := [key for key in map(str, rows["id"]) if split_of(key) != split]:
        raise ValueError(
            f"{split} of dataset={name!r} has rows that our hash puts into another split, such as id {moved[0]}; "
            f"{remedy}"
        )


def without_galaxies_of(names: list[str], rows: Dataset) -> Dataset:
    """Return the rows whose id is not in any split of these data sets; raise ValueError where one has no ids."""
    known = set()
    for name in names:
        for part in load_galaxies(name).values():
            if "id" not in part.column_names:
                raise ValueError(f"leave_out={name!r} has no column id; build it with a script of this folder")
            known |= set(map(str, part["id"]))
    return rows.select([row for row, key in enumerate(rows["id"]) if str(key) not in known])


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
    labelled, unlabelled = load_galaxies(args.dataset), load_galaxies(args.unlabelled)["train"]
    for split, rows in labelled.items():
        check_rows(args.dataset, split, rows, {"id", "votes"})
    check_rows(args.unlabelled, "train", unlabelled, {"id"})
    if args.leave_out:
        unlabelled = without_galaxies_of(args.leave_out, unlabelled)
        if not len(unlabelled):
            raise ValueError(f"leave_out leaves no row of unlabelled={args.unlabelled!r}; leave out fewer data sets")
    bounds = read_bounds(args.bounds, unlabelled.features["label"].names) if args.bounds else {}
    votes = predict_votes(models, unlabelled, args.rotations, bounds)
    names = ", ".join(f"`{name}`" for name in args.model)
    teachers = names if len(models) == 1 else f"the mean of {names}"
    card = Card(
        "Galaxies with given and with predicted votes",
        f"The rows of `{args.dataset}`, and the training rows of `{args.unlabelled}` (ids that begin with "
        f"`predicted/`) with the votes that {teachers} expects of {NOMINAL_CLASSIFICATIONS} volunteers"
        f"{', given the bounds on votes that follow from their classes' if bounds else ''}. Predicted votes are not "
        "measurements: use them for training only.",
        "other",
        "Licences and citations of the two data sets.",
        args.label_scheme,
    )
    rows = tqdm(
        read_rows(list(labelled.values()), unlabelled, votes, args.label_scheme),
        desc="galaxies",
        total=sum(map(len, labelled.values())) + len(unlabelled),
        unit=" rows",
    )
    return rows, galaxy_features(get_scheme(args.label_scheme).class_names), card


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
        "--leave_out", nargs="+", metavar="DATASET", help="data sets whose ids are left out of the unlabelled rows"
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
