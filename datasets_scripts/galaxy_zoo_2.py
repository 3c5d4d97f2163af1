"""Galaxy Zoo 2 files (Hart et al. 2016 table, filename mapping, image zip) -> HF data set.

    python datasets_scripts/galaxy_zoo_2.py --images images_gz2.zip --labels gz2_hart16.csv.gz \\
        --mapping gz2_filename_mapping.csv --output_dir galaxy_zoo_2
"""

import argparse
from collections.abc import Iterator

import numpy as np
from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, check_fractions, run_builder
from galaxy_vision.data.csv_tables import read_chunks, read_header
from galaxy_vision.data.labels import assign_labels
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.schemes import SCHEMES, get_scheme
from galaxy_vision.images.archives import ImageSource
from galaxy_vision.models.decision_tree import ANSWERS, conditional_fractions, votes_from_conditional
from galaxy_vision.models.trees import Trees


def read_mapping(path: str) -> tuple[dict[str, str], dict[str, str]]:
    """Map objid to asset_id; and objid to why it has none, where the table contradicts itself.

    Raises:
        ValueError: a column is missing, or an id is not an integer.
    """
    columns = ["objid", "asset_id"]
    read_header(path, columns, "gz2_filename_mapping.csv")
    mapping, doubtful, owners = {}, {}, {}
    for chunk in read_chunks(path, columns, [], []):
        for objid, asset in zip(chunk["objid"], chunk["asset_id"], strict=True):
            known, owner = mapping.setdefault(objid, asset), owners.setdefault(asset, objid)
            if known != asset:
                doubtful[objid] = "several images in the mapping"
            if owner != objid:
                doubtful |= dict.fromkeys((objid, owner), "image of several galaxies in the mapping")
    return {objid: asset for objid, asset in mapping.items() if objid not in doubtful}, doubtful


def vote_kind(header: list[str], path: str) -> str:
    """The best kind of vote column that the table has for every answer.

    Raises:
        ValueError: it has none.
    """
    for kind in ("count", "weighted_fraction", "fraction"):
        missing = [f"{answer}_{kind}" for answer in ANSWERS if f"{answer}_{kind}" not in header]
        if not missing:
            return kind
        if kind == "weighted_fraction":
            first = missing[0]
    raise ValueError(
        f"{path} has no complete set of count, weighted_fraction or fraction columns (for example {first} is missing)"
    )


def read_rows(
    images: ImageSource,
    labels: str,
    header: list[str],
    mapping: dict[str, str],
    doubtful: dict[str, str],
    label_scheme: str,
) -> Iterator[dict | Dropped]:
    """Yield a row for each row of the table; see :func:`read_mapping` for ``mapping`` and ``doubtful``."""
    kind = vote_kind(header, labels)
    value_columns = [f"{answer}_{kind}" for answer in ANSWERS]
    debiased_columns = [f"{answer}_debiased" for answer in ANSWERS]
    has_debiased = all(column in header for column in debiased_columns)
    texts = [column for column in ("sample", "gz2_class") if column in header]
    numbers = ["total_classifications", *value_columns, *(debiased_columns if has_debiased else [])]
    for chunk in read_chunks(labels, ["dr7objid"], texts, numbers):
        values = chunk[value_columns].to_numpy(np.float64)
        totals = chunk["total_classifications"].to_numpy(np.float64)
        votes = values if kind == "count" else votes_from_conditional(conditional_fractions(values), totals)
        debiased = chunk[debiased_columns].to_numpy(np.float64) if has_debiased else None
        if debiased is not None:
            debiased = np.where(
                np.isnan(debiased), conditional_fractions(votes), debiased
            )  # NaN sits on the dominant answer
        classes = assign_labels(votes, label_scheme, debiased)
        for index, objid in enumerate(chunk["dr7objid"]):
            asset = mapping.get(objid)
            reason = "vote fraction missing" if np.isnan(values[index]).any() else None
            if kind != "count":
                reason = reason or check_fractions(objid, values[index])
            elif (values[index] < 0).any():
                reason = reason or f"vote count below 0: {values[index].min():g}"
            if not totals[index] > 0:
                reason = reason or "no classifications"
            if asset is None:
                reason = reason or doubtful.get(objid, "not in the mapping")
            elif asset not in images.members:
                reason = reason or "no image"
            if reason is None:
                try:
                    data = images.read(asset)
                except ValueError as error:
                    reason = str(error)
            if reason is not None:
                yield Dropped(objid, reason)
                continue
            row = {
                "image": data,
                "id": objid,
                "votes": votes[index],
                "num_classifications": totals[index],
                "label": classes[index],
            }
            yield row | {"asset_id": asset} | {column: chunk[column].iloc[index] for column in texts}


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    images, (mapping, doubtful) = ImageSource(args.images), read_mapping(args.mapping)
    header = read_header(
        args.labels, ("dr7objid", "total_classifications"), "gz2_hart16.csv or an export with that column"
    )
    found = {
        column: "string" for column in ("asset_id", "sample", "gz2_class") if column == "asset_id" or column in header
    }
    card = Card(
        "Galaxy Zoo 2",
        "SDSS gri images (424 px of 0.02 petroR90_r) and the votes of Galaxy Zoo 2 volunteers. `votes` are counts "
        "where the table "
        "has them, otherwise reach x fraction x number of classifications, kept fractional. `id` is dr7objid.",
        "cc-by-4.0",
        "Images: Zenodo record 3565489, CC BY 4.0. Cite Willett et al. 2013 (MNRAS 435, 2835), Hart et al. 2016 "
        "(MNRAS 461, 3663) "
        "and SDSS (York et al. 2000, AJ 120, 1579).",
        args.label_scheme,
    )
    found_rows = read_rows(images, args.labels, header, mapping, doubtful, args.label_scheme)
    rows = tqdm(found_rows, desc="galaxies", unit=" rows")
    return rows, galaxy_features(get_scheme(args.label_scheme).class_names, trees=Trees(), **found), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, help="images_gz2.zip, or the unpacked folder")
    parser.add_argument("--labels", required=True, help="gz2_hart16.csv, also compressed, also a partial export")
    parser.add_argument("--mapping", required=True, help="gz2_filename_mapping.csv")
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
