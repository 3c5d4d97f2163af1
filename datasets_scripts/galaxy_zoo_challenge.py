"""Build a Hugging Face data set from the files of the Kaggle Galaxy Challenge.

    python datasets_scripts/galaxy_zoo_challenge.py --images images_training_rev1.zip \\
        --labels training_solutions_rev1.csv --output_dir galaxy_zoo_challenge
"""

import argparse
from collections.abc import Iterator

import numpy as np
from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, check_fractions, run_builder
from galaxy_vision.data.csv_tables import read_chunks, read_header
from galaxy_vision.data.labels import SCHEMES, assign_labels, get_scheme
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.images.archives import ImageSource
from galaxy_vision.models.decision_tree import (
    KAGGLE_COLUMNS,
    NOMINAL_CLASSIFICATIONS,
    conditional_from_kaggle,
    votes_from_conditional,
)


def read_rows(images: ImageSource, labels: str, label_scheme: str) -> Iterator[dict | Dropped]:
    """Yield one row for each row of the solutions table, in its order."""
    read_header(labels, ("GalaxyID", *KAGGLE_COLUMNS), "training_solutions_rev1.csv")
    used = set()
    for chunk in read_chunks(labels, ["GalaxyID"], [], KAGGLE_COLUMNS):
        kaggle = chunk[list(KAGGLE_COLUMNS)].to_numpy(np.float64)
        votes = votes_from_conditional(conditional_from_kaggle(kaggle), NOMINAL_CLASSIFICATIONS)
        classes = assign_labels(votes, label_scheme)
        for galaxy_id, values, row_votes, label in zip(chunk["GalaxyID"], kaggle, votes, classes, strict=True):
            used.add(galaxy_id)
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
            yield {"image": data, "id": galaxy_id, "votes": row_votes, "num_classifications": np.nan, "label": label}
    yield from (Dropped(stem, "image without a row in the table") for stem in images.members if stem not in used)


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    images = ImageSource(args.images)
    card = Card(
        "Galaxy Zoo: the Galaxy Challenge",
        "SDSS gri images and the vote fractions of Galaxy Zoo 2 volunteers. `votes` are the expected votes of "
        f"{NOMINAL_CLASSIFICATIONS} volunteers (the number is not published, hence `num_classifications` is NaN); "
        "dividing by the sum of each question gives back the published conditional fractions exactly.",
        "other",
        "Terms of the Kaggle competition galaxy-zoo-the-galaxy-challenge. Cite Willett et al. 2013 (MNRAS 435, 2835), "
        "Dieleman et al. 2015 (MNRAS 450, 1441) and SDSS (York et al. 2000, AJ 120, 1579).",
        args.label_scheme,
    )
    rows = tqdm(
        read_rows(images, args.labels, args.label_scheme), desc="galaxies", total=len(images.members), unit=" rows"
    )
    return rows, galaxy_features(get_scheme(args.label_scheme).class_names), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, help="images_training_rev1.zip, or the unpacked folder")
    parser.add_argument("--labels", required=True, help="training_solutions_rev1.csv")
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
