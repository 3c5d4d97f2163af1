"""The console script ``galaxy-vision``."""

import argparse
import json
import sys

from . import __version__
from .images import STRETCHES


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="galaxy-vision", description="Describe galaxy images.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    describe = commands.add_parser("describe", help="class, caption and the surest answers of images", allow_abbrev=False)
    describe.add_argument("images", nargs="+", metavar="IMAGE", help="image file: JPEG, PNG, TIFF, WebP, GIF or FITS")
    describe.add_argument("--model", default="runs/classifier", help="trained classifier: folder or Hub id (%(default)s)")
    describe.add_argument("--captioner", default="runs/captioner", help="trained captioner: folder or Hub id (%(default)s)")
    describe.add_argument("--hdu", help="FITS extension, by number or name (default: the first with an image)")
    describe.add_argument("--bands", type=int, nargs="+", help="planes of a FITS cube from 0: one, or red, green, blue")
    describe.add_argument("--stretch", choices=STRETCHES, default="auto", help="of FITS and other deep images (%(default)s)")
    describe.add_argument("--json", action="store_true", help="one JSON object for each image, a line each")
    describe.set_defaults(run=run_describe)
    return parser


def run_describe(args: argparse.Namespace) -> int:
    """Print what is said of each image; 1 if any could not be read."""
    from .describe import Describer, describe_file  # torch and transformers take seconds to import

    try:
        describer = Describer(args.model, args.captioner)
    except (OSError, ValueError) as error:
        print(f"error: --model {args.model} --captioner {args.captioner}: {str(error).splitlines()[0]}", file=sys.stderr)
        print("train them with train_classifier.py and train_captioner.py, or give other folders or Hub ids", file=sys.stderr)
        return 2
    failed = 0
    for path in args.images:
        said = describe_file(describer, path, hdu=args.hdu, bands=args.bands, stretch=args.stretch)
        failed += "error" in said
        if args.json:
            print(json.dumps(said))
        elif "error" in said:
            print(f"{path}\n  error: {said['error']}")
        else:
            print(f"{path}\n  {said['class']} ({said['probability']:.0%})\n  {said['caption']}")
            for answer in said["answers"]:
                name = answer["answer"].split("_", 1)[1].replace("_", " ")
                limits = f"[{answer['lower']:.2f}, {answer['upper']:.2f}]"
                print(f"    {answer['fraction']:.2f} {limits}  {name:18} {answer['question']}")
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
