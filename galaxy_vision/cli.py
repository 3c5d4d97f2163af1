"""The console script ``galaxy-vision``."""

import argparse
import json
import os
import sys
from pathlib import Path

from . import __version__
from .images.limits import FRAME_HELP, STRETCHES, SURVEY_NAMES
from .runtime.files import CANNOT_WRITE, cannot_write, write_json, written_whole
from .runtime.hardware import PRECISIONS
from .runtime.shipped import CAPTIONER, CLASSIFIER

NO_IMAGE = "give image files, or --rgb RED GREEN BLUE; files stand before --bands, which takes all words behind it"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands but ``predict``, which has its own."""
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
        help="hubble, summary or threshold: how votes become classes (default: the data set's own classes)",
    )
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
    commands.add_parser("predict", help="describe every galaxy of a catalogue in Parquet files, resumably")
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
    parser.add_argument("--survey", choices=SURVEY_NAMES, help="whose bands, stretch and pixel scale FITS files have")
    parser.add_argument("--frame", type=_frame, default="auto", metavar="FRAME", help=f"{FRAME_HELP} (%(default)s)")


def _add_rotations(parser: argparse.ArgumentParser) -> None:
    help_text = "average the classifier over this many rotated and mirrored copies of each image (%(default)s)"
    parser.add_argument("--rotations", type=int, choices=(1, 4, 8), default=1, help=help_text)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _frame(text: str):
    """Return the frame that an argument names."""
    from .images.framing import parse_frame  # here, since SciPy takes a while to import

    try:
        return parse_frame(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _reading(args: argparse.Namespace) -> dict:
    """The options of read_rgb."""
    return {"hdu": args.hdu, "bands": args.bands, "stretch": args.stretch, "survey": args.survey}


def run_describe(args: argparse.Namespace) -> int:
    """Print the description of each image; return 1 if any image could not be read."""
    if not (args.images or args.rgb):
        return _refuse(NO_IMAGE)
    # Here, since torch takes seconds to import.
    from .inference.describe import NO_CAPTION
    from .inference.named_images import describe_named, named_images

    if (describer := _load_describer(args)) is None:
        return 2
    failed = 0
    results = (
        result
        for image in named_images(args.images, args.rgb)
        for result in describe_named(describer, image, args.frame, args.all, **_reading(args))
    )
    for result in results:
        path = result["image"]
        failed += "error" in result
        if args.json:
            print(json.dumps(result))
        elif "error" in result:
            print(f"{path}\n  error: {result['error']}")
        else:
            caption = result["caption"].strip() or NO_CAPTION
            print(f"{path}\n  {result['class']} ({result['probability']:.0%})\n  {caption}")
            for doubt in result["doubts"]:
                print(f"  doubt: {doubt}")
            if result["reading"]:
                print(f"  read as: {result['reading']}")
            for answer in result["answers"]:
                name = answer["answer"].split("_", 1)[1].replace("_", " ")
                limits = f"[{answer['lower']:.2f}, {answer['upper']:.2f}]"
                print(f"    {answer['fraction']:.2f} {limits}  {name:18} {answer['question']}")
    return 1 if failed else 0


def run_explain(args: argparse.Namespace) -> int:
    """Draw a figure of each image; return 1 if any image could not be read."""
    if not (args.images or args.rgb):
        return _refuse(NO_IMAGE)
    from .inference.explain import DEFAULT_METHOD, METHODS
    from .inference.explain_figure import MARK, explanation_figure, figure_files
    from .inference.named_images import file_names, named_images, observe_named

    method = args.method or DEFAULT_METHOD
    if method not in METHODS:
        return _refuse(f"--method {method} is not one of {', '.join(METHODS)}")
    if (describer := _load_describer(args)) is None:
        return 2
    folder, failed = Path(args.output_dir), 0
    folder.mkdir(parents=True, exist_ok=True)
    images = named_images(args.images, args.rgb)
    figures = figure_files([file_names(image)[0] for image in images], folder)
    for named, figure in zip(images, figures, strict=True):
        path = " ".join(file_names(named))
        try:
            (observation,) = observe_named(named, args.frame, **_reading(args))
        except ValueError as error:
            failed += 1
            print(f"{path}\n  error: {error}")
            continue
        with written_whole(figure) as partial:
            explanation_figure(describer, observation.image, method).savefig(
                partial, dpi=120, format="png", metadata=MARK
            )
        print(f"{path}\n  {figure}")
    return 1 if failed else 0


def _load_describer(args: argparse.Namespace):
    """Load both models; print an error and return None if one cannot be loaded."""
    from .inference.describe import Describer

    try:
        return Describer(args.model, args.captioner, getattr(args, "rotations", 1))
    except (OSError, ValueError) as error:
        _refuse(f"--model {args.model} --captioner {args.captioner}: {str(error).splitlines()[0]}")
        print(
            "train them with train_classifier.py and train_captioner.py, or give other folders or Hub ids",
            file=sys.stderr,
        )
        return None


def run_evaluate(args: argparse.Namespace) -> int:
    """Print the table of scores, and write all of them to ``--output``, on the main process only."""
    from .evaluation.caption_metrics import caption_table
    from .evaluation.saved import evaluate_saved
    from .evaluation.tables import summary_table

    settings = {name: value for name, value in vars(args).items() if name not in ("command", "run", "output")}
    if args.output and not Path(args.output).resolve().parent.is_dir():
        return _refuse(f"--output {args.output}: the folder does not exist; make it first")
    try:
        results = evaluate_saved(**settings)
    except (OSError, ValueError) as error:
        return _refuse(f"--model {args.model} --dataset {args.dataset}: {str(error).splitlines()[0]}")
    if results is None:
        return 0
    print(f"{args.model} on the {args.split} split of {args.dataset}: {results['rows']} galaxies")
    if args.without_twins_of:
        print(f"{results['twins_left_out']} more are in {', '.join(args.without_twins_of)} too and were left out")
    if "note" in results:
        print(f"note: {results['note']}")
    print(caption_table(results["captions"]) if "captions" in results else summary_table(results))
    if args.output:
        write_json(Path(args.output), results)
    return 0


def run_report(args: argparse.Namespace) -> int:
    """Make the figures and the card of a finished run again, and print which ones were kept."""
    from .evaluation.report import SHEETS, rebuild_report

    try:
        written, reason = rebuild_report(Path(args.folder))
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in CANNOT_WRITE:
            raise
        return _refuse(str(error).splitlines()[0])
    for path in written:
        print(path)
    if reason:
        kept = [name for name in SHEETS if (Path(args.folder) / name).exists()]
        print(f"left as they are: {', '.join(kept) or 'no sheets of galaxies'}, because {reason}")
    return 0


def run_push(args: argparse.Namespace) -> int:
    """Upload a folder and print its address; the card of a run then names the repository instead of the folder."""
    from .runtime.hub import push_folder

    folder = Path(args.folder)
    try:
        if args.repo_type == "model" and all(
            (folder / name).is_file() for name in ("metrics.json", "run.json", "config.json")
        ):
            from .evaluation.publish import push_run

            print(push_run(folder, args.repo_id, args.private))
        else:
            print(push_folder(folder, args.repo_id, args.repo_type, args.private))
    except ValueError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print(
            "stopped before the push was complete: none of it is visible on the Hub; run the same command again",
            file=sys.stderr,
        )
        return 130
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the graph and print its path."""
    from .inference.openvino import export

    try:
        print(export(args.model, args.output_dir))
    except ValueError as error:
        return _refuse(str(error).splitlines()[0])
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            raise
        return _refuse(f"--model {args.model}: {str(error).splitlines()[0]}")
    return 0


def _refuse(message: str) -> int:
    """Print an error on the first of several processes, and return exit status 2."""
    if os.environ.get("RANK", "0") == "0":
        print(f"error: {message}", file=sys.stderr)
    return 2


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 if an image could not be read, 2 after an error."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["predict"]:  # imported only here, since torch and transformers take seconds to import
        from .predict.run import main as predict

        return predict(argv[1:])
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        return _refuse(cannot_write(error, Path(getattr(args, "output_dir", None) or getattr(args, "folder", "."))))


if __name__ == "__main__":
    sys.exit(main())
