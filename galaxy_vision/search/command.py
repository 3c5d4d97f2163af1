"""Find galaxies of a predicted catalogue by a sentence, by an example, or by both.

galaxy-vision search predictions "a barred spiral with two loosely wound arms, no ring" --where "z < 0.1" --with z.csv
galaxy-vision search predictions --like galaxy.jpg --gallery similar.html
"""

import argparse
import sys
from pathlib import Path

from ..runtime.files import CANNOT_WRITE, cannot_write

MOST_TILES = 300
"""Rows of a gallery. Ours: 4 MB of thumbnails."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``galaxy-vision search``."""
    parser = argparse.ArgumentParser(
        prog="galaxy-vision search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", help="output_dir of galaxy-vision predict, or Parquet of it"
    )
    parser.add_argument(
        "sentence", nargs="?", metavar="SENTENCE", help='such as "a ring or a lens, definitely a bar, no spiral arms"'
    )
    parser.add_argument(
        "--like",
        nargs="+",
        default=(),
        metavar="IMAGE|ID",
        help="most similar to these; with a sentence, of what it admits",
    )
    parser.add_argument("--unlike", nargs="+", default=(), metavar="IMAGE|ID", help="least similar to these")
    parser.add_argument("--where", metavar="SQL", help="condition on columns, such as \"z < 0.1 and class = 'spiral'\"")
    parser.add_argument(
        "--with",
        dest="tables",
        action="append",
        default=[],
        metavar="TABLE",
        help="table of yours with a column id, for --where and the output: Parquet, CSV, FITS, VOTable (repeatable)",
    )
    parser.add_argument("--campaign", metavar="NAME", help="whose votes count (default: the first of the catalogue)")
    parser.add_argument("--model", help="embeds images of --like (default: that which made the catalogue)")
    parser.add_argument("--limit", type=_positive, default=20, help="rows (%(default)s)")
    parser.add_argument("--output", metavar="FILE", help="write all columns of the rows: .csv, .parquet, .fits or .vot")
    parser.add_argument(
        "--gallery", metavar="FILE", help="write a contact sheet: .html, a page without other files, or .png"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def main(argv: list[str] | None = None) -> int:
    """Run ``galaxy-vision search``, and return its exit status: 0, 1 if nothing was found, 2 after an error."""
    args = build_parser().parse_args(argv)
    try:
        return search(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        print(f"error: {cannot_write(error, Path(args.output or args.gallery or '.').parent)}", file=sys.stderr)
        return 2


def search(args: argparse.Namespace) -> int:
    """Search, print and write what was found.

    Raises:
        ValueError: an argument or the catalogue cannot be used.
    """
    from .find import Finder  # here, since SciPy and DuckDB take a while to import
    from .images import check_gallery, images_of
    from .output import check_output, terminal_table, understood, write_rows

    for check, path in ((check_output, args.output), (check_gallery, args.gallery)):
        if path:
            check(path)
    finder = Finder(args.predictions, args.campaign, args.where, args.tables, args.model)
    if args.sentence:
        for line in understood(finder.read(args.sentence)):
            print(line)
    found = finder.find(args.sentence, args.like, args.unlike, args.limit)
    words = f"{len(found.rows)} of {found.searched} galaxies"
    if found.rows.empty:
        print(f"{words}: nothing was found")
        return 1
    print(f"{words}\n{terminal_table(found)}")
    title = args.sentence or "galaxies like " + ", ".join(map(str, args.like or args.unlike))
    if args.output:
        write_rows(found.rows, Path(args.output), {"QUERY": title, "CATALOG": args.predictions})
        print(args.output)
    if args.gallery:
        from .gallery import write_gallery

        shown = found._replace(rows=found.rows.head(MOST_TILES))
        images, missing = images_of(finder.catalogue, list(shown.rows["source"]), list(found.parts[:MOST_TILES]))
        lines = [words, *(understood(found.query) if found.query else [])]
        write_gallery(shown, found.query, images, Path(args.gallery), title, lines)
        print(args.gallery + (f" ({missing})" if missing else ""))
    return 0
