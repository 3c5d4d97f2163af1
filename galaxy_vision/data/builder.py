"""The command line that all builders of ``datasets_scripts`` share."""

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
    """The arguments that all builders have."""
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
    """Parse, build, and say where it is; bad input ends with status 2 and one line."""
    args = parser.parse_args(argv)
    try:
        rows, features, card = make(args)
        command = shlex.join(
            ["python", f"datasets_scripts/{Path(parser.prog).name}", *(sys.argv[1:] if argv is None else argv)]
        )
        folder = write_dataset(rows, args.output_dir, features, card._replace(command=command))
    except (ValueError, OSError) as error:
        folder = Path(args.output_dir)
        ours = str(getattr(error, "filename", None) or folder).startswith(str(folder))  # and no file that is read
        unwritable = ours and getattr(error, "errno", None) in CANNOT_WRITE
        parser.exit(2, f"error: {cannot_write(error, folder) if unwritable else error}\n")
    if (listed := folder / "dropped.tsv").exists():
        print(f"{len(listed.read_text(encoding='utf-8').splitlines()) - 1} rows were dropped; {listed} says why")
    if args.push_to_hub:
        try:
            print(f"pushed to {push_folder(folder, args.push_to_hub, 'dataset')}")
        except ValueError as error:
            parser.exit(
                2,
                f"error: {error}\nwrote {folder}; push it by: galaxy-vision push {folder} REPO_ID --repo_type "
                "dataset\n",
            )
    print(f"wrote {folder}; load it with datasets.load_dataset({str(folder)!r})")


def check_fractions(galaxy_id: str, values: np.ndarray) -> str | None:
    """Say why a row is dropped whose fractions are not fractions; rounding as published (.001) is allowed."""
    wrong = values[(values < -1e-3) | (values > 1 + 1e-3)]
    return f"vote fraction outside 0..1: {wrong[0]:g}" if len(wrong) else None
