"""Galaxy Zoo data sets of the Hub (``mwalmsley/gz_evo``, ``gz_desi``, ``gz_hubble`` ...) -> HF data set with captions.

python datasets_scripts/galaxy_zoo_hub.py --repo mwalmsley/gz_evo --config tiny --output_dir galaxy_zoo_evo_tiny
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, get_dataset_config_names, get_dataset_default_config_name, load_dataset_builder
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.utils import httpx
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.data.labels import assign_labels, class_names_for, labels_of_summary
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.scheme_texts import undecidable
from galaxy_vision.data.schemes import SCHEMES
from galaxy_vision.data.splits import SPLITS, split_name, split_with
from galaxy_vision.data.vote_tables import (
    SPLIT_BY_POSITION,
    campaign_notes,
    counted_votes,
    first_totals,
    number_column,
    split_at,
    text_column,
    vote_problems,
)
from galaxy_vision.data.votes import trees_in, vote_columns
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.images.limits import image_id
from galaxy_vision.models.trees import Trees

ROWS_AT_ONCE = 100
"""Rows in memory with their images. Ours: 4 MB for images of 40 kB."""
TEXTS, NUMBERS = ("dataset_name", "summary"), ("ra", "dec")
"""Columns that are kept where the source has them."""


class Source(NamedTuple):
    """A configuration of a data set.

    Attributes:
        repo: id on the Hub, or local folder.
        revision: its commit; None for a folder.
        files: split -> paths in the repository, or local paths.
        trees: the campaigns whose votes it has.
        columns: all its columns.
    """

    repo: str
    revision: str | None
    files: dict[str, list[str]]
    trees: Trees
    columns: list[str]

    def local(self, name: str) -> str:
        """Return the local path of a file, which is downloaded into the cache of the Hub if it is not there."""
        if self.revision is None:
            return name
        with reading(self.repo):
            return hf_hub_download(self.repo, name, repo_type="dataset", revision=self.revision)


@contextmanager
def reading(repo: str) -> Iterator[None]:
    """Raise ValueError, in one line, where the Hub does not answer or a file is damaged."""
    try:
        yield
    except (DatasetNotFoundError, OSError, httpx.HTTPError, pa.ArrowException) as error:
        raise ValueError(f"repo={repo!r} cannot be read: {str(error).strip().splitlines()[0]}") from error


def open_source(repo: str, config: str | None, revision: str | None) -> Source:
    """Find the files, splits and campaigns of a data set.

    Raises:
        ValueError: the data set or configuration does not exist, does not consist of Parquet files, has no training
            rows, or has no votes of a campaign.
    """
    is_local = Path(repo).is_dir()
    with reading(repo):
        commit = None if is_local else HfApi().dataset_info(repo, revision=revision).sha
        configs = get_dataset_config_names(repo, revision=commit)
        if config is None:
            config = get_dataset_default_config_name(repo, revision=commit)
        if config not in configs:
            wanted = "no default configuration" if config is None else f"no configuration {config!r}"
            raise ValueError(f"repo={repo!r} has {wanted}; give --config with one of {', '.join(configs)}")
        builder = load_dataset_builder(repo, config, revision=commit)
    if builder.name != "parquet":
        raise ValueError(
            f"repo={repo!r} is a data set of {builder.name}; this script reads Parquet with columns of votes"
        )
    files: dict[str, list[str]] = {}
    for split, paths in ((str(split), paths) for split, paths in builder.config.data_files.items()):
        names = [path if is_local else path.split("@", 1)[1].split("/", 1)[1] for path in map(str, paths)]
        files.setdefault(split_name(split) or split, []).extend(names)
    if "train" not in files or not set(files) <= set(SPLITS):
        raise ValueError(
            f"repo={repo!r} has the splits {', '.join(files)}; it needs train, and may have {' and '.join(SPLITS)}"
        )
    source = Source(repo, commit, files, Trees(), [])
    with reading(repo):
        columns = pq.read_schema(source.local(files["train"][0])).names
    trees = trees_in(columns)
    if trees is None or "votes" in columns:
        raise ValueError(
            f"repo={repo!r} has no columns of a campaign, such as smooth-or-featured-gz2_smooth; its columns are "
            f"{', '.join(columns[:8])}"
        )
    if missing := [name for name in ("id_str", "image") if name not in columns]:
        raise ValueError(f"repo={repo!r} has no column {' and '.join(missing)}")
    return source._replace(trees=trees, columns=columns)


def read_rows(source: Source, args: argparse.Namespace) -> Iterator[dict | Dropped]:
    """Yield the rows of all splits in the order of their files."""
    cut = {split for split in SPLITS if split not in source.files}
    known = set(vote_columns(source.columns, source.trees))
    others = ("image", "id_str", *TEXTS, *NUMBERS)
    wanted = [name for name in source.columns if name in others or _is_of_votes(name, known)]
    for split, paths in source.files.items():
        for path in paths:
            with reading(source.repo):
                file = pq.ParquetFile(source.local(path))
                if missing := [name for name in wanted if name not in file.schema_arrow.names]:
                    raise ValueError(f"{path} of repo={source.repo!r} has no column {missing[0]}, which others have")
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                    yield from read_batch(pa.Table.from_batches([batch]), path, split, cut, source.trees, args)


def read_batch(
    table: pa.Table, path: str, split: str, cut: set[str], trees: Trees, args: argparse.Namespace
) -> Iterator[dict | Dropped]:
    """Yield some rows of a file of a split; those of ``cut`` are cut from the training rows."""
    names = text_column(table["id_str"], "id_str", path)
    kept = {name: text_column(table[name], name, path) for name in TEXTS if name in table.column_names}
    kept |= {name: number_column(table[name], name, path) for name in NUMBERS if name in table.column_names}
    votes = counted_votes(table, trees)
    if args.label_scheme == "summary" and "summary" in kept:
        labels = labels_of_summary(kept["summary"])
    else:
        labels = assign_labels(votes, args.label_scheme, trees=trees)
    reasons = vote_problems(votes)
    totals = np.nansum([first_totals(trees.part(votes, name), tree) for name, tree in trees.items()], axis=0)
    for index, galaxy_id in enumerate(map(image_id, names)):
        image = table["image"][index].as_py()
        data = image.get("bytes") if isinstance(image, dict) else image
        reason = reasons[index] or (None if galaxy_id else "no id") or (None if data else "no image")
        try:
            if reason is None:
                read_rgb(data)
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            yield Dropped(galaxy_id, reason)
            continue
        row = {column: values[index] for column, values in kept.items()}
        if args.split_by == "position":
            own_split = split_at(galaxy_id, row.get("ra"), row.get("dec"))
        else:
            own_split = split_with(galaxy_id, cut) if split == "train" else split
        yield row | {
            "image": data,
            "id": galaxy_id,
            "votes": votes[index],
            "num_classifications": totals[index],
            "label": labels[index],
            "split": own_split,
        }


def _is_of_votes(name: str, known: set[str]) -> bool:
    """Return whether a column has the count of an answer of ``known`` columns, its fraction, or a total."""
    return name in known or name.removesuffix("_fraction") in known or name.endswith("_total-votes")


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    source = open_source(args.repo, args.config, args.revision)
    trees = source.trees
    print(f"{args.repo} has the votes of {', '.join(trees)}")
    if args.label_scheme == "summary" and "summary" in source.columns:
        class_names, note = SCHEMES["summary"].class_names, " Labels are the column `summary` of the source."
    else:
        class_names, note = class_names_for(args.label_scheme, trees), ""
        print("".join(f"{sentence}\n" for sentence in undecidable(args.label_scheme, trees)), end="")
    if args.split_by == "position" and not set(NUMBERS) <= set(source.columns):
        raise ValueError(f"repo={args.repo!r} has no columns ra and dec; give --split_by source")
    facts = [load_campaign(campaign) for campaign in trees]
    papers = list(dict.fromkeys(paper for campaign in facts for paper in campaign.citation))
    licences = list(dict.fromkeys(campaign.licence["hub"] for campaign in facts if "hub" in campaign.licence))
    is_shared_alike = any(licence.startswith("CC BY-NC-SA 4.0") for licence in licences)
    cut = [split for split in SPLITS if split not in source.files]
    splits = "Splits are those of the source"
    splits += (
        f"; {' and '.join(cut)} {'is' if len(cut) == 1 else 'are'} cut from train by a hash of the id" if cut else ""
    )
    card = Card(
        f"Galaxy Zoo: {', '.join(trees)}",
        f"Images and votes of volunteers of {len(trees)} campaign{'s' if len(trees) > 1 else ''}, from `{args.repo}`, "
        f"configuration `{args.config or 'default'}`, revision `{source.revision or 'local files'}`. "
        "Votes are unknown (null) where another campaign showed the galaxy. Rounded counts, which do not sum to their "
        f"total, are replaced by fraction x total. `id` is id_str without `.jpg`.{note}\n\n"
        f"{campaign_notes(trees)}",
        "cc-by-nc-sa-4.0" if is_shared_alike else "unknown",
        f"{'; '.join(licences) or 'Licence: see the source'}. Cite {'; '.join(papers)}; and the surveys of the images.",
        args.label_scheme,
        splits=SPLIT_BY_POSITION if args.split_by == "position" else f"{splits}.",
        trees=trees,
    )
    found = {column: "string" for column in TEXTS if column in source.columns}
    found |= {column: "float64" for column in NUMBERS if column in source.columns}
    rows = tqdm(read_rows(source, args), desc="galaxies", unit=" rows")
    return rows, galaxy_features(class_names, trees=trees, **found), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--repo", required=True, help="data set of the Hub, such as mwalmsley/gz_evo, or a local copy")
    parser.add_argument("--config", help="configuration, such as tiny or default")
    parser.add_argument("--revision", help="commit of the data set: columns have changed over the years")
    parser.add_argument("--label_scheme", default="hubble", choices=list(SCHEMES), help="how votes become a class")
    parser.add_argument(
        "--split_by",
        default="source",
        choices=["source", "position"],
        help="position, where galaxies stand in several data sets: splits of the source are of each of them",
    )
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
