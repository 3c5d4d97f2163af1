"""Command line of the builders in ``datasets_scripts``."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from datasets import Features

from ..runtime.files import CANNOT_WRITE, cannot_write
from ..runtime.hub import push_folder
from .schema import Card, Dropped
from .writer import write_dataset


def builder_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all builders have; ``doc`` is its description."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--output_dir", required=True, help="folder to create")
    parser.add_argument(
        "--push_to_hub", metavar="REPO_ID", help="upload the finished folder to this data set of the Hub"
    )
    return parser


def run_builder(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    make: Callable[[argparse.Namespace], tuple[Iterable[dict | Dropped], Features, Card]],
) -> None:
    """Build a data set, print its folder, and upload it if asked to; exit with status 2 and one line if that fails.

    Args:
        parser: from :func:`builder_parser`.
        argv: arguments; None for those of the process.
        make: returns rows, features and card of the data set for parsed arguments.
    """
    args = parser.parse_args(argv)
    try:
        rows, features, card = make(args)
        command = shlex.join(
            ["python", f"datasets_scripts/{Path(parser.prog).name}", *(sys.argv[1:] if argv is None else argv)]
        )
        folder = write_dataset(rows, args.output_dir, features, card._replace(command=command))
    except (ValueError, OSError) as error:
        folder = Path(args.output_dir)
        is_written = str(getattr(error, "filename", None) or folder).startswith(str(folder))  # and not a file of input
        is_unwritable = is_written and getattr(error, "errno", None) in CANNOT_WRITE
        parser.exit(2, f"error: {cannot_write(error, folder) if is_unwritable else error}\n")
    if (dropped := folder / "dropped.tsv").exists():
        print(f"{len(dropped.read_text(encoding='utf-8').splitlines()) - 1} rows were dropped; {dropped} says why")
    if args.push_to_hub:
        try:
            print(f"pushed to {push_folder(folder, args.push_to_hub, 'dataset')}")
        except ValueError as error:
            remedy = f"push it by: galaxy-vision push {folder} REPO_ID --repo_type dataset"
            parser.exit(2, f"error: {error}\nwrote {folder}; {remedy}\n")
    print(f"wrote {folder}; load it with datasets.load_dataset({str(folder)!r})")


def check_fractions(galaxy_id: str, values: np.ndarray) -> str | None:
    """Return the reason to drop a row whose vote fractions are outside 0..1, or None.

    Values may be outside by .001, since sources round their fractions.
    """
    wrong = values[(values < -1e-3) | (values > 1 + 1e-3)]
    return f"vote fraction outside 0..1: {wrong[0]:g}" if len(wrong) else None
