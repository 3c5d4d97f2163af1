"""Galaxy Zoo DESI tables (Zenodo record 8360385) and images -> HF data set: volunteers' votes, or predicted ones.

    python datasets_scripts/galaxy_zoo_desi.py --images FOLDER_OR_ZIP \\
        --labels gz_desi_gzd8_volunteer_core_catalog.parquet --output_dir galaxy_zoo_desi_votes
    python datasets_scripts/galaxy_zoo_desi.py --images FOLDER_OR_ZIP \\
        --labels gz_desi_deep_learning_catalog_friendly.parquet --output_dir galaxy_zoo_desi_predictions
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, check_fractions, run_builder
from galaxy_vision.data.campaigns import load_campaign, tree_of
from galaxy_vision.data.labels import assign_labels, class_names_for
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.scheme_texts import undecidable
from galaxy_vision.data.schemes import SCHEMES
from galaxy_vision.data.vote_tables import (
    SPLIT_BY_POSITION,
    campaign_notes,
    expected_votes,
    first_totals,
    plain_names,
    read_columns,
    read_table,
    split_at,
    unknown_questions,
    values_by_name,
    vote_problems,
    with_images,
)
from galaxy_vision.images.archives import ImageSource
from galaxy_vision.models.decision_tree import NOMINAL_CLASSIFICATIONS
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.models.trees import Trees

VOTES, PREDICTIONS = "gz_decals_dr8", "gz_desi"
TEXTS = ("dr8_id", "brickid", "objid")
NUMBERS = ("ra", "dec")


class Table(NamedTuple):
    """A table of this record.

    Attributes:
        path: of the file.
        tree: of its campaign.
        names: the column of each answer; None for one that the table lacks.
        is_predicted: they are fractions that a model predicted, not counts of votes.
        ignored: questions whose answers are not in the tree.
        texts: columns of ids.
        numbers: other columns that are kept.
    """

    path: str
    tree: DecisionTree
    names: list[str | None]
    is_predicted: bool
    ignored: list[str]
    texts: list[str]
    numbers: list[str]


def open_table(path: str) -> Table:
    """Recognise a table of the record by its columns.

    Raises:
        ValueError: it has neither all counts of the first question nor all fractions, or no ids.
    """
    give = "a table of volunteers or of predictions of Zenodo record 8360385"
    columns = read_columns(path, [], give)
    if not ("dr8_id" in columns or {"brickid", "objid"} <= set(columns)):
        raise ValueError(f"{path} has no column dr8_id, nor brickid and objid; give {give}")
    for campaign, end in ((VOTES, ""), (PREDICTIONS, "_fraction")):
        tree = tree_of(campaign)
        names = tuple(f"{name}{end}" for name in plain_names(tree))
        if set(names[tree.slices[tree.first_question.name]]) <= set(columns):
            counted = [name for name in columns if f"{name}_fraction" in columns and name not in names]
            ignored = [] if end else list(dict.fromkeys(name.rpartition("_")[0] for name in counted))
            texts, numbers = ([name for name in kind if name in columns] for kind in (TEXTS, NUMBERS))
            present = [name if name in columns else None for name in names]
            return Table(path, tree, present, campaign == PREDICTIONS, ignored, texts, numbers)
    raise ValueError(f"{path} has no column {names[0].removesuffix('_fraction')}, nor {names[0]}; give {give}")


def read_rows(table: Table, sources: list[ImageSource], args: argparse.Namespace) -> Iterator[dict | Dropped]:
    """Yield each row that has an image, and each image that has no row; of the tables of votes, all other rows too."""
    tree, trees, used = table.tree, Trees([table.tree]), set()
    for chunk in read_table(table.path, table.texts, [*table.numbers, *filter(None, table.names)]):
        bricks = [""] * len(chunk)
        if {"brickid", "objid"} <= set(table.texts):
            bricks = [f"{brick}_{galaxy}" for brick, galaxy in zip(chunk["brickid"], chunk["objid"], strict=True)]
        names = list(zip(chunk["dr8_id"] if "dr8_id" in chunk else bricks, bricks, strict=True))
        has_image = np.array([any(name in source.members for name in stems for source in sources) for stems in names])
        used.update(name for stems, known in zip(names, has_image, strict=True) if known for name in stems)
        if table.is_predicted:  # millions of rows, most of which have no image here
            names = [stems for stems, kept in zip(names, has_image, strict=True) if kept]
            chunk = chunk[has_image]
        if not names:
            continue
        values = values_by_name(chunk, table.names, tree)
        reasons = vote_problems(values)
        if table.is_predicted:
            reasons = [
                check_fractions(stems[0], row) or why for why, stems, row in zip(reasons, names, values, strict=True)
            ]
            values = expected_votes(values, tree, NOMINAL_CLASSIFICATIONS)
        classes, totals = assign_labels(values, args.label_scheme, trees=trees), first_totals(values, tree)
        for index, row in enumerate(chunk[table.numbers].to_dict("records")):
            galaxy_id = names[index][0]
            if reason := reasons[index] or (None if totals[index] > 0 else "no votes"):
                yield Dropped(galaxy_id, reason)
                continue
            if args.split_by == "position":
                row["split"] = split_at(galaxy_id, row["ra"], row["dec"])
            yield row | {
                "id": galaxy_id,
                "names": names[index],
                "votes": values[index],
                "num_classifications": np.nan if table.is_predicted else totals[index],
                "label": classes[index],
            }
    for source in sources:
        yield from (Dropped(stem, "image without a row in the table") for stem in source.members if stem not in used)


def describe(table: Table) -> str:
    """Return what the votes of a table are, for its card."""
    if table.is_predicted:
        return (
            "They are predicted, not counted: a model was trained on volunteers' votes (Walmsley et al. 2023), and "
            f"`votes` are those that {NOMINAL_CLASSIFICATIONS} volunteers are expected to give, reach x fraction x "
            f"{NOMINAL_CLASSIFICATIONS}, hence `num_classifications` is NaN. Where the catalogue has no fractions, "
            "since fewer than half would be asked, votes are unknown (null). Do not test a model on them. Rows of the "
            "catalogue without an image are left out and not counted."
        )
    return "They are counts of votes of volunteers (GZD-8)."


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    table, sources = open_table(args.labels), [ImageSource(path) for path in args.images]
    trees, facts = Trees([table.tree]), load_campaign(table.tree.name)
    class_names = class_names_for(args.label_scheme, trees)
    print(f"{table.path} has the {'predicted ' if table.is_predicted else ''}votes of {table.tree.name}")
    notes = []
    if unknown := unknown_questions(table.names, table.tree):
        notes.append(f"The table lacks answers of {', '.join(unknown)}: these questions are unknown.")
    if table.ignored:
        notes.append(f"The table's {', '.join(table.ignored)} is not in the published tree and is left out.")
    for note in [*undecidable(args.label_scheme, trees), *notes]:
        print(note)
    if args.split_by == "position" and set(table.numbers) != {"ra", "dec"}:
        raise ValueError(f"{args.labels} has no columns ra and dec; give --split_by id")
    card = Card(
        f"Galaxy Zoo DESI, campaign {table.tree.name}",
        "Images of the Legacy Surveys and votes. "
        + describe(table)
        + " `id` is dr8_id, brickid_objid. "
        + " ".join(notes)
        + f"\n\n{campaign_notes(trees)}",
        "cc-by-4.0",
        f"Zenodo record 8360385, CC BY 4.0. Cite {'; '.join(facts.citation)}; and the Legacy Surveys (Dey et al. 2019, "
        "AJ 157, 168).",
        args.label_scheme,
        trees=trees,
    )
    if args.split_by == "position":
        card = card._replace(splits=SPLIT_BY_POSITION)
    rows = tqdm(with_images(sources, read_rows(table, sources, args)), desc="galaxies", unit=" rows")
    return rows, galaxy_features(class_names, trees=trees, **dict.fromkeys(table.numbers, "float64")), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, nargs="+", help="folders or zips of images named brickid_objid")
    parser.add_argument(
        "--labels", required=True, help="gz_desi_gzd8_volunteer_core_catalog, or gz_desi_deep_learning_catalog_friendly"
    )
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    parser.add_argument(
        "--split_by",
        default="id",
        choices=["id", "position"],
        help="position, where other data sets have the same galaxies under other ids",
    )
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
