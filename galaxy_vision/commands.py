"""What the commands of ``galaxy-vision`` do; each returns the exit status.

Heavy imports are in the functions, since torch and transformers take seconds to import.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from .runtime.files import CANNOT_WRITE, write_json

NO_IMAGE = "give image files, or --rgb RED GREEN BLUE; files stand before --bands, which takes all words behind it"


def _reading(args: argparse.Namespace) -> dict:
    """The options of read_rgb."""
    return {"hdu": args.hdu, "bands": args.bands, "stretch": args.stretch, "survey": args.survey}


def run_describe(args: argparse.Namespace) -> int:
    """Print the description of each image; return 1 if any image could not be read."""
    at_position = any((args.ra, args.dec, args.name))
    if not (args.images or args.rgb or at_position):
        return refuse(NO_IMAGE)
    if at_position and (args.images or args.rgb or args.all):
        return refuse("--ra, --dec and --name are of one galaxy on the sky; give them without images and --all")
    if args.name and (args.ra or args.dec):
        return refuse("--name is instead of --ra and --dec; give the one or the others")
    # Here, since torch takes seconds to import.
    from .inference.answer_names import answer_words
    from .inference.at_positions import describe_at
    from .inference.classes import probability_words
    from .inference.describe import NO_CAPTION
    from .inference.named_images import describe_named, named_images
    from .inference.own_answers import answer_line, problem_of_model

    if (describer := _load_describer(args)) is None:
        return 2
    failed = 0
    if at_position:
        try:
            results = [describe_at(describer, args.ra, args.dec, args.name, args.survey, args.frame)]
        except ValueError as error:
            return refuse(str(error))
    else:
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
            line = answer_line(result, problem_of_model(describer.classifier))
            line = line or f"{result['class']} ({probability_words(result)})"
            print(f"{path}\n  {line}\n  {caption}")
            for doubt in result["doubts"]:
                print(f"  doubt: {doubt}")
            if result["reading"]:
                print(f"  read as: {result['reading']}")
            if result["answers"] and len(describer.classifier.trees) > 1:
                follows = result["caption_campaign"] is not None
                print("  the caption follows the same votes" if follows else "  the caption is of the image alone")
                print(f"  as volunteers of {result['campaign']} would answer:")
            for answer in result["answers"]:
                name = answer_words(describer.tree)[answer["answer"]]
                limits = f"[{answer['lower']:.2f}, {answer['upper']:.2f}]"
                print(f"    {answer['fraction']:.2f} {limits}  {name:18} {answer['question']}")
    return 1 if failed else 0


def run_explain(args: argparse.Namespace) -> int:
    """Draw a figure of each image; return 1 if any image could not be read."""
    if not (args.images or args.rgb):
        return refuse(NO_IMAGE)
    from .inference.explain import DEFAULT_METHOD, METHODS
    from .inference.explain_figure import MARK, check_targets, explanation_figure, figure_files
    from .inference.named_images import file_names, named_images, observe_named
    from .inference.own_answers import predicts_numbers
    from .runtime.paper import PDF, PNG, save_figure

    method = args.method or DEFAULT_METHOD
    if method not in METHODS:
        return refuse(f"--method {method} is not one of {', '.join(METHODS)}")
    if (describer := _load_describer(args)) is None:
        return 2
    if predicts_numbers(describer.classifier):
        return refuse(f"--model {args.model} predicts numbers, and heat maps are of classes and answers; give another")
    try:
        if args.target:
            check_targets(describer.classifier.config, args.target)
    except ValueError as error:
        return refuse(f"--target: {error}")
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
        drawn = explanation_figure(describer, observation.image, method, args.target)
        files = save_figure(drawn, figure, (PNG, PDF) if args.pdf else (PNG,), MARK)
        print(f"{path}\n  {' '.join(map(str, files))}")
    return 1 if failed else 0


def _load_describer(args: argparse.Namespace):
    """Load both models; print an error and return None if one cannot be loaded, or does not have the campaign."""
    from .inference.describe import Describer

    try:
        describer = Describer(args.model, args.captioner, getattr(args, "rotations", 1))
    except (OSError, ValueError) as error:
        refuse(f"--model {args.model} --captioner {args.captioner}: {str(error).splitlines()[0]}")
        print(
            "train them with train_classifier.py and train_captioner.py, or give other folders or Hub ids",
            file=sys.stderr,
        )
        return None
    try:
        describer.choose(args.campaign)
    except ValueError as error:
        refuse(str(error))
        return None
    return describer


def run_evaluate(args: argparse.Namespace) -> int:
    """Print the table of scores, and write all of them to ``--output``, on the main process only."""
    from .data.own_tasks import OwnLabels
    from .evaluation.saved import evaluate_saved
    from .evaluation.tables import summary_table

    settings = {name: value for name, value in vars(args).items() if name not in ("command", "run", "output")}
    columns, root = settings.pop("label_columns"), settings.pop("image_root")
    settings["own"] = OwnLabels(None, tuple(filter(None, (columns or "").split(","))), root)
    if args.output and not Path(args.output).resolve().parent.is_dir():
        return refuse(f"--output {args.output}: the folder does not exist; make it first")
    try:
        results = evaluate_saved(**settings)
    except (OSError, ValueError) as error:
        return refuse(f"--model {args.model} --dataset {args.dataset}: {str(error).splitlines()[0]}")
    if results is None:
        return 0
    print(f"{args.model} on the {args.split} split of {args.dataset}: {results['rows']} galaxies")
    if args.without_twins_of:
        print(f"{results['twins_left_out']} more are in {', '.join(args.without_twins_of)} too and were left out")
    for note in [*results.get("whose_votes", []), *([results["note"]] if "note" in results else [])]:
        print(f"note: {note}")
    print(summary_table(results))
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
        return refuse(str(error).splitlines()[0])
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
        return refuse(str(error))
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
        return refuse(str(error).splitlines()[0])
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            raise
        return refuse(f"--model {args.model}: {str(error).splitlines()[0]}")
    return 0


def run_trees(args: argparse.Namespace) -> int:
    """List the campaigns with their sizes, or draw one tree."""
    from .data.campaigns import campaign_names, drawn, load_campaign

    if args.tree is None:
        campaigns = {name: load_campaign(name) for name in campaign_names()}
        if args.json:
            print(json.dumps({name: campaign.tree.to_dict() for name, campaign in campaigns.items()}, indent=1))
            return 0
        for name, (tree, released, dataset, citation, *_) in campaigns.items():
            votes = f"{len(released.questions):2} with {len(released.answers):2} in tables"
            plural = "s" if len(tree.questions) > 1 else " "
            sizes = f"{len(tree.questions):2} question{plural}, {len(tree.answers):2} answers; {votes}"
            print(f"{name:16} {sizes}; {dataset or 'not on the Hub'}; {citation[0] if citation else ''}")
        return 0
    try:
        campaign = load_campaign(args.tree)
    except ValueError as error:
        return refuse(str(error))
    if args.json:
        print(json.dumps(campaign.tree.to_dict(), indent=1))
        return 0
    count = len(campaign.tree.questions)
    answers = len(campaign.tree.answers)
    print(f"{campaign.tree.name}: {count} question{'s' * (count > 1)}, {answers} answers\n")
    print(drawn(campaign.tree))
    for note in campaign.notes:
        print(f"\nnote: {note}", end="")
    print("\n" * bool(campaign.notes) + "\n".join(f"cite: {paper}" for paper in campaign.citation))
    return 0


def refuse(message: str) -> int:
    """Print an error on the first of several processes, and return exit status 2."""
    if os.environ.get("RANK", "0") == "0":
        print(f"error: {message}", file=sys.stderr)
    return 2
