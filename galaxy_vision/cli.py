"""The console script ``galaxy-vision``."""

import argparse
import sys
from pathlib import Path

from . import __version__
from .commands import refuse, run_describe, run_evaluate, run_explain, run_export, run_push, run_report, run_trees
from .images.limits import FRAME_HELP, STRETCHES, SURVEY_NAMES
from .runtime.files import CANNOT_WRITE, cannot_write
from .runtime.hardware import PRECISIONS
from .runtime.shipped import CAPTIONER, CLASSIFIER


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands but those that have their own, such as ``predict`` and ``train``."""
    parser = argparse.ArgumentParser(
        prog="galaxy-vision",
        description="Describe galaxy images by class, votes and caption, and evaluate trained models.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    describe = commands.add_parser(
        "describe", help="print the class, the caption and the most certain answers of images", allow_abbrev=False
    )
    _add_images_and_models(describe)
    _add_rotations(describe)
    describe.add_argument("--ra", help="of a galaxy on the sky, ICRS: degrees, or hours such as 13:29:52.7")
    describe.add_argument("--dec", help="its declination: degrees, or such as --dec=-12:30:00")
    describe.add_argument("--name", help="of a galaxy on the sky that CDS knows, such as 'NGC 5457'")
    describe.add_argument("--all", action="store_true", help="describe every galaxy of an image, each in its own frame")
    describe.add_argument("--json", action="store_true", help="print one JSON object per image and line")
    describe.set_defaults(run=run_describe)
    explain = commands.add_parser(
        "explain", help="draw a figure of each image: where the models looked", allow_abbrev=False
    )
    _add_images_and_models(explain)
    explain.add_argument(
        "--output_dir", default="explained", help="folder for the figures, ID.png of each image (%(default)s)"
    )
    explain.add_argument(
        "--method", help="gradcam, gradcam++, hirescam, eigencam, ablationcam or scorecam (default: the best)"
    )
    explain.add_argument(
        "--target",
        nargs="+",
        metavar="NAME",
        help="up to three classes or answers, such as bar_strong, whose maps are drawn (default: the surest answers)",
    )
    explain.add_argument("--pdf", action="store_true", help="write each figure as ID.pdf too, for papers")
    explain.set_defaults(run=run_explain)
    evaluate = commands.add_parser("evaluate", help="score a trained model on a data set", allow_abbrev=False)
    evaluate.add_argument(
        "--model", default=CLASSIFIER, help="trained classifier or captioner: folder or Hub id (default: %(default)s)"
    )
    evaluate.add_argument("--dataset", required=True, help="'simulated', a folder, or a Hub id, as for training")
    evaluate.add_argument(
        "--split", default="test", choices=("train", "validation", "test", "all"), help="(%(default)s)"
    )
    evaluate.add_argument("--batch_size", type=_positive, default=32, help="images per process and step (%(default)s)")
    evaluate.add_argument("--output", metavar="FILE.json", help="write all scores to this file")
    evaluate.add_argument(
        "--label_scheme",
        help="hubble, summary, threshold or answers: how votes become classes (default: the data set's own classes)",
    )
    evaluate.add_argument("--campaign", help="campaigns whose votes are compared (default: those of the model)")
    evaluate.add_argument("--tree", help="JSON file of a decision tree of your own, whose votes are compared")
    evaluate.add_argument("--label_columns", help="columns of labels of your own, separated by commas")
    evaluate.add_argument("--image_root", help="where the paths of a table begin (default: its folder)")
    evaluate.add_argument(
        "--num_simulated", type=_positive, default=2400, help="galaxies of the simulated data set (%(default)s)"
    )
    evaluate.add_argument(
        "--mixed_precision",
        default="auto",
        choices=PRECISIONS,
        help="auto: that of accelerate launch, otherwise that of the training run (%(default)s)",
    )
    _add_rotations(evaluate)
    evaluate.add_argument(
        "--without_twins_of",
        nargs="+",
        default=(),
        metavar="DATASET",
        help="leave out galaxies whose image is also in these data sets, from which the model has learned",
    )
    evaluate.set_defaults(run=run_evaluate)
    report = commands.add_parser(
        "report", help="make the figures and the model card of a finished run again", allow_abbrev=False
    )
    report.add_argument("folder", metavar="DIR", help="output_dir of the run")
    report.set_defaults(run=run_report)
    push = commands.add_parser("push", help="upload a finished run, data set or Space to the Hub", allow_abbrev=False)
    push.add_argument("folder", metavar="DIR", help="folder to upload; checkpoints are left out")
    push.add_argument("repo_id", metavar="REPO_ID", help="such as someone/galaxies")
    push.add_argument("--repo_type", default="model", choices=("model", "dataset", "space"), help="(%(default)s)")
    push.add_argument("--private", action="store_true", help="make the repository private")
    push.set_defaults(run=run_push)
    export = commands.add_parser(
        "export", help="write a trained classifier as an OpenVINO graph, for programs without torch", allow_abbrev=False
    )
    export.add_argument("--model", default=CLASSIFIER, help="trained classifier: folder or Hub id (%(default)s)")
    export.add_argument(
        "--output_dir", required=True, help="folder for the graph, its config.json and preprocessor_config.json"
    )
    export.set_defaults(run=run_export)
    trees = commands.add_parser(
        "trees", help="the decision trees of Galaxy Zoo's campaigns, or one of your own", allow_abbrev=False
    )
    trees.add_argument("tree", nargs="?", metavar="CAMPAIGN|FILE.json", help="draw this one (default: list all)")
    trees.add_argument("--json", action="store_true", help="as JSON, to begin a tree of your own with")
    trees.set_defaults(run=run_trees)
    commands.add_parser("predict", help="describe every galaxy of a catalogue in Parquet files, resumably")
    commands.add_parser("convert", help="write a prediction as one VOTable, FITS, CSV, ECSV or Parquet file")
    commands.add_parser("train", help="learn labels of your own from a trained model: a table, class folders, a zip")
    commands.add_parser("adapt", help="add a campaign to a trained classifier by a few rows with its votes")
    commands.add_parser("label", help="label galaxies of a catalogue in the browser, those first that teach most")
    commands.add_parser("search", help="find galaxies of a predicted catalogue by a sentence or by an example")
    return parser


def _add_images_and_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image file: JPEG, PNG, TIFF, WebP, GIF or FITS")
    parser.add_argument(
        "--rgb", nargs=3, metavar="FITS", help="three FITS files of one band each, as red, green, blue of one image"
    )
    parser.add_argument(
        "--model",
        default=CLASSIFIER,
        help="trained classifier: folder or Hub id (default: %(default)s, which comes with the package)",
    )
    parser.add_argument(
        "--captioner",
        default=CAPTIONER,
        help="trained captioner: folder or Hub id (default: %(default)s, which comes with the package)",
    )
    parser.add_argument(
        "--campaign",
        metavar="NAME",
        help="whose answers are given by a classifier of several trees (default: the first)",
    )
    parser.add_argument("--hdu", help="FITS extension, by number or name (default: the first with an image)")
    parser.add_argument(
        "--bands",
        nargs="+",
        help="one, or red, green, blue: names of FITS extensions or filters, or planes of a cube from 0",
    )
    parser.add_argument(
        "--stretch",
        choices=STRETCHES,
        default="auto",
        help="brightness scale of FITS and other deep images (%(default)s)",
    )
    parser.add_argument(
        "--survey",
        type=_survey,
        metavar="SURVEY",
        help=f"whose bands, stretch and pixel scale FITS files have: {', '.join(SURVEY_NAMES)}; of a position, whose "
        "cut-out is fetched: sdss (default), legacy, panstarrs, or the id of a HiPS",
    )
    parser.add_argument("--frame", type=_frame, default="auto", metavar="FRAME", help=f"{FRAME_HELP} (%(default)s)")


def _add_rotations(parser: argparse.ArgumentParser) -> None:
    help_text = "average the classifier over this many rotated and mirrored copies of each image (%(default)s)"
    parser.add_argument("--rotations", type=int, choices=(1, 4, 8), default=1, help=help_text)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _survey(text: str) -> str:
    from .sky.services import check_survey

    try:
        check_survey(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _frame(text: str):
    """Return the frame that an argument names."""
    from .images.framing import parse_frame  # here, since SciPy takes a while to import

    try:
        return parse_frame(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 if an image could not be read, 2 after an error."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["predict"]:  # imported only here, since torch and transformers take seconds to import
        from .predict.run import main as predict

        return predict(argv[1:])
    if argv[:1] == ["convert"]:
        from .predict.convert import main as convert

        return convert(argv[1:])
    if argv[:1] == ["adapt"]:
        from .training.adapt import main as adapt

        return adapt(argv[1:])
    if argv[:1] == ["train"]:
        from .training.train_command import main as train

        return train(argv[1:])
    if argv[:1] == ["label"]:
        from .label.run import main as label

        return label(argv[1:])
    if argv[:1] == ["search"]:
        from .search.command import main as search

        return search(argv[1:])
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        return refuse(cannot_write(error, Path(getattr(args, "output_dir", None) or getattr(args, "folder", "."))))


if __name__ == "__main__":
    sys.exit(main())
