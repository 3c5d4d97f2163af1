"""Galaxy Zoo DECaLS tables (Zenodo record 4573248, CSV or Parquet) and images -> HF data set.

    python datasets_scripts/galaxy_zoo_decals.py --images FOLDER_OR_ZIP --labels gz_decals_volunteers_5.parquet \\
        --output_dir galaxy_zoo_decals
"""

import argparse
from collections.abc import Iterator

import numpy as np
from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.campaigns import load_campaign, tree_of
from galaxy_vision.data.labels import assign_labels, class_names_for
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.scheme_texts import undecidable
from galaxy_vision.data.schemes import SCHEMES
from galaxy_vision.data.vote_tables import (
    SPLIT_BY_POSITION,
    campaign_notes,
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
from galaxy_vision.images.limits import image_id
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.models.trees import Trees

CAMPAIGNS = {"gz_decals_dr12": "bar_yes", "gz_decals_dr5": "bar_strong"}
"""Campaign -> a column that only its table has: GZD-1 and 2 asked for a bar, GZD-5 for a strong or weak one."""
IMAGE_COLUMNS = ("png_loc", "jpeg_loc")
"""Path of the image: of the second release of the tables, and of the first (record 4196267)."""
WRONG_SIZE = "wrong_size_warning"
TEXTS = ("iauname", WRONG_SIZE, *IMAGE_COLUMNS)
NUMBERS = ("ra", "dec", "redshift")


def campaign_of(columns: list[str], given: str | None, path: str) -> str:
    """Return the campaign of a table, by its columns.

    Raises:
        ValueError: no campaign or several fit, it is not the one that was given, or the table has no votes on the first
            question.
    """
    fitting = [name for name, column in CAMPAIGNS.items() if column in columns]
    if len(fitting) != 1 or given not in (None, fitting[0]):
        seen = ", ".join(f"{column} of {name}" for name, column in CAMPAIGNS.items() if column in columns) or "neither"
        raise ValueError(
            f"{path} is not a table of {given or 'one of ' + ', '.join(CAMPAIGNS)}: of the columns "
            f"{' and '.join(CAMPAIGNS.values())} it has {seen}; give gz_decals_volunteers_1_and_2 or "
            "gz_decals_volunteers_5 of Zenodo record 4573248"
        )
    tree = tree_of(fitting[0])
    first = plain_names(tree)[tree.slices[tree.first_question.name]]
    if missing := [name for name in first if name not in columns]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; give a table with all answers of this question")
    return fitting[0]


def read_rows(
    labels: str, columns: list[str], tree: DecisionTree, args: argparse.Namespace
) -> Iterator[dict | Dropped]:
    """Yield each row of the table: its votes, label, and ``names`` that its image may have; or why it is dropped."""
    trees, names = Trees([tree]), [name if name in columns else None for name in plain_names(tree)]
    debiased_names = [f"{name}_debiased" for name in plain_names(tree)]
    has_debiased = set(debiased_names) <= set(columns)
    texts, numbers = ([name for name in kind if name in columns] for kind in (TEXTS, NUMBERS))
    wanted = [*numbers, *filter(None, names), *(debiased_names if has_debiased else [])]
    for chunk in read_table(labels, texts, wanted):
        votes = values_by_name(chunk, names, tree)
        debiased = values_by_name(chunk, debiased_names, tree) if has_debiased else None
        if debiased is not None:
            debiased = np.where(np.isnan(debiased), tree.conditional(votes), debiased)
        classes = assign_labels(votes, args.label_scheme, debiased, trees=trees)
        totals, reasons = first_totals(votes, tree), vote_problems(votes)
        for index, row in enumerate(chunk[[*texts, *numbers]].to_dict("records")):
            reason = reasons[index]
            if not totals[index] > 0:
                reason = reason or "no votes"
            if not args.keep_wrong_sizes and row.get(WRONG_SIZE, "").lower() in ("true", "1", "1.0"):
                reason = reason or "wrong size warning"
            if reason is not None:
                yield Dropped(row["iauname"], reason)
                continue
            yield {
                "id": row["iauname"],
                "names": [row["iauname"], *(image_id(row[column]) for column in IMAGE_COLUMNS if row.get(column))],
                "votes": votes[index],
                "num_classifications": totals[index],
                "label": classes[index],
                **{column: row[column] for column in numbers},
                **({"split": split_at(row["iauname"], row["ra"], row["dec"])} if args.split_by == "position" else {}),
            }


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    columns = read_columns(args.labels, ["iauname"], "a table of volunteers of Zenodo record 4573248")
    campaign = campaign_of(columns, args.campaign, args.labels)
    tree = tree_of(campaign)
    trees, facts = Trees([tree]), load_campaign(campaign)
    class_names = class_names_for(args.label_scheme, trees)
    print(f"{args.labels} has the votes of {campaign}")
    notes = []
    if unknown := unknown_questions([name if name in columns else None for name in plain_names(tree)], tree):
        notes.append(f"The table lacks answers of {', '.join(unknown)}: these questions are unknown.")
    for note in [*undecidable(args.label_scheme, trees), *notes]:
        print(note)
    if args.split_by == "position" and not {"ra", "dec"} <= set(columns):
        raise ValueError(f"{args.labels} has no columns ra and dec; give --split_by id")
    card = Card(
        f"Galaxy Zoo DECaLS, campaign {campaign}",
        "DECam grz images and the votes of volunteers, counts in columns named as on the Hub, `{question}-{campaign}_"
        "{answer}`. `id` is iauname. " + " ".join(notes) + f"\n\n{campaign_notes(trees)}",
        "cc-by-4.0",
        f"Zenodo record 4573248, CC BY 4.0. Cite {'; '.join(facts.citation)}; and the Legacy Surveys (Dey et al. 2019, "
        "AJ 157, 168).",
        args.label_scheme,
        trees=trees,
    )
    if args.split_by == "position":
        card = card._replace(splits=SPLIT_BY_POSITION)
    rows = with_images([ImageSource(path) for path in args.images], read_rows(args.labels, columns, tree, args))
    found = dict.fromkeys((column for column in NUMBERS if column in columns), "float64")
    return tqdm(rows, desc="galaxies", unit=" rows"), galaxy_features(class_names, trees=trees, **found), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, nargs="+", help="folders or zips of images named by iauname")
    parser.add_argument("--labels", required=True, help="gz_decals_volunteers_5 or _1_and_2, .parquet or .csv")
    parser.add_argument("--campaign", choices=list(CAMPAIGNS), help="check that the table is of this campaign")
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    parser.add_argument(
        "--split_by",
        default="id",
        choices=["id", "position"],
        help="position, where other data sets have the same galaxies under other ids",
    )
    parser.add_argument(
        "--keep_wrong_sizes", action="store_true", help="keep galaxies whose image was cut out at a wrong size"
    )
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
