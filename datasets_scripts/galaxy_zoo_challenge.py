"""Build a Hugging Face data set from the files of the Kaggle Galaxy Challenge.

    python datasets_scripts/galaxy_zoo_challenge.py --images images_training_rev1.zip \\
        --labels training_solutions_rev1.csv --output_dir galaxy_zoo_challenge

A table may have the columns of some questions only; the others are then unknown, which is not the same as no votes.
Several tables may describe one set of images; a galaxy that several of them have is described by the first.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, check_fractions, run_builder
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.data.csv_tables import read_chunks, read_header
from galaxy_vision.data.labels import assign_labels
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.schemes import SCHEMES, get_scheme
from galaxy_vision.data.splits import SPLITS
from galaxy_vision.images.archives import ImageSource
from galaxy_vision.models.decision_tree import (
    KAGGLE_COLUMNS,
    NOMINAL_CLASSIFICATIONS,
    NUM_ANSWERS,
    QUESTION_SLICES,
    conditional_from_kaggle,
    votes_from_conditional,
)
from galaxy_vision.models.trees import Trees

TREES = Trees([tree_of("gz_challenge")])
"""Whose votes these are."""


def known_columns(table: str) -> list[str]:
    """Return the columns of the questions that a table knows, in the order of :data:`KAGGLE_COLUMNS`.

    Raises:
        ValueError: it knows no question, or has some columns of a question and not the others.
    """
    header = read_header(table, ("GalaxyID",), "training_solutions_rev1.csv")
    present = np.isin(KAGGLE_COLUMNS, header)
    for answers in QUESTION_SLICES.values():
        if present[answers].any() and not present[answers].all():
            columns = KAGGLE_COLUMNS[answers]
            raise ValueError(
                f"{table} has no column {', '.join(column for column in columns if column not in header)} beside "
                f"{', '.join(column for column in columns if column in header)}; give all answers of a question, or "
                "none of them where it is unknown"
            )
    if not present.any():
        raise ValueError(
            f"{table} has no column {', '.join(KAGGLE_COLUMNS[:3])} or of another question; give "
            "training_solutions_rev1.csv, or a part of its columns"
        )
    return [column for column in KAGGLE_COLUMNS if column in header]


def votes_from_kaggle(kaggle: np.ndarray) -> np.ndarray:
    """Return the expected votes of :data:`NOMINAL_CLASSIFICATIONS` volunteers for cumulative values, (N, 37) both.

    Where a question is unknown (NaN), the reach of those below it cannot be computed. Their values sum to it, but for
    the error of the release in Q6 and Q8 (:mod:`galaxy_vision.models.decision_tree`): these must be multiplied by the
    share of volunteers who saw a galaxy in the image, if it is known.
    """
    votes = kaggle * NOMINAL_CLASSIFICATIONS
    saw_galaxy = np.nan_to_num(kaggle[:, :2].sum(1, keepdims=True), nan=1.0)
    for question in ("t06_odd", "t08_odd_feature"):
        votes[:, QUESTION_SLICES[question]] *= saw_galaxy
    in_tree = votes_from_conditional(conditional_from_kaggle(kaggle), NOMINAL_CLASSIFICATIONS)
    return np.where(np.isnan(kaggle).any(1, keepdims=True), votes, in_tree)


def read_rows(
    images: ImageSource, tables: dict[str, list[str]], label_scheme: str, split: str | None
) -> Iterator[dict | Dropped]:
    """Yield one row for each row of the tables, in their order.

    Args:
        images: the images, by GalaxyID.
        tables: table -> its columns that are read, from :func:`known_columns`.
        label_scheme: how votes become a class.
        split: of all rows; None for that of the hash of their id.
    """
    used = set()
    for table, columns in tables.items():
        known = np.isin(KAGGLE_COLUMNS, columns)
        for chunk in read_chunks(table, ["GalaxyID"], [], columns):
            kaggle = np.full((len(chunk), NUM_ANSWERS), np.nan)
            kaggle[:, known] = chunk[columns].to_numpy(np.float64)
            votes = votes_from_kaggle(kaggle)
            classes = assign_labels(votes, label_scheme)
            for galaxy_id, values, row_votes, label in zip(chunk["GalaxyID"], kaggle, votes, classes, strict=True):
                used.add(galaxy_id)
                values = values[known]
                reason = "vote fraction missing" if np.isnan(values).any() else check_fractions(galaxy_id, values)
                if reason is None and galaxy_id not in images.members:
                    reason = "no image"
                if reason is None:
                    try:
                        data = images.read(galaxy_id)
                    except ValueError as error:
                        reason = str(error)
                if reason is not None:
                    yield Dropped(galaxy_id, reason)
                    continue
                row = {"image": data, "id": galaxy_id, "votes": row_votes, "num_classifications": np.nan}
                yield row | {"label": label, "split": split}
    yield from (Dropped(stem, "image without a row in the table") for stem in images.members if stem not in used)


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    images, tables = ImageSource(args.images), {table: known_columns(table) for table in args.labels}
    card = Card(
        "Galaxy Zoo: the Galaxy Challenge",
        "SDSS gri images and the vote fractions of Galaxy Zoo 2 volunteers, corrected for redshift, so that they are "
        "not what the volunteers clicked: `vote_campaign` is gz_challenge, and not gz2. `votes` are the expected votes "
        f"of {NOMINAL_CLASSIFICATIONS} volunteers (the number is not published, hence `num_classifications` is NaN); "
        "dividing by the sum of each question gives back the published conditional fractions exactly. NaN is unknown.",
        "other",
        "Terms of the Kaggle competition galaxy-zoo-the-galaxy-challenge. Cite Willett et al. 2013 (MNRAS 435, 2835), "
        "Dieleman et al. 2015 (MNRAS 450, 1441) and SDSS (York et al. 2000, AJ 120, 1579).",
        args.label_scheme,
        trees=TREES,
    )
    if args.split:
        card = card._replace(splits=f"All rows are of the split {args.split}.")
    rows = read_rows(images, tables, args.label_scheme, args.split)
    rows = tqdm(rows, desc="galaxies", total=len(images.members), unit=" rows")
    return rows, galaxy_features(get_scheme(args.label_scheme).class_names, trees=TREES), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, help="images_training_rev1.zip, or the unpacked folder")
    parser.add_argument(
        "--labels", required=True, nargs="+", help="training_solutions_rev1.csv, or tables of some of its columns"
    )
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    parser.add_argument("--split", choices=list(SPLITS), help="split of all rows (default: by a hash of their id)")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
