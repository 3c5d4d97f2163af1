"""Write run.json, figures and model card of a run, and make figures and card again from its folder."""

import importlib.metadata
import importlib.util
import inspect
import json
import platform
import re
import shutil
import subprocess
from dataclasses import MISSING, asdict, fields
from datetime import datetime, timezone
from pathlib import Path

import torch
from datasets import concatenate_datasets
from huggingface_hub import DatasetCard, ModelCard

from .. import __version__
from ..data.campaigns import wanted_trees
from ..data.checks import fingerprint_of
from ..data.load import load_galaxies, locate_dataset
from ..data.own_labels import label_names_of
from ..data.own_tasks import OwnLabels
from ..data.twins import without_twins
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..models.trees import Trees
from ..runtime.files import remove_checkpoints, write_json
from ..runtime.hardware import available_cores, cpu_model
from ..runtime.shipped import model_source
from .model_card import write_card

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "datasets",
    "accelerate",
    "timm",
    "evaluate",
    "safetensors",
    "numpy",
    "pillow",
)
"""Packages that compute, load or score; their versions are recorded in run.json."""
STARTS = ("init_from", "encoder", "model")
"""Arguments that name a model that a run starts from."""

SHEETS = ("mistakes.png", "heat_maps.png", "captions.png")
"""Figures that show images of the test split."""


def finish_run(args, accelerator, data: dict, trees: Trees | None, results: dict) -> None:
    """Write metrics.json, run.json, figures and card of a complete run.

    Args:
        args: a :class:`~galaxy_vision.training.arguments.TrainingRun`; its ``output_dir`` holds the model already.
        data: the data set by split.
        trees: whose votes its rows have.
        results: the content of metrics.json.
    """
    folder = Path(args.output_dir)
    write_json(folder / "metrics.json", results)
    write_json(folder / "run.json", describe_run(args, accelerator, data, results))
    if args.reports:
        write_report(folder, data["test"], trees)
    remove_checkpoints(folder)


def describe_run(args, accelerator, data: dict, results: dict) -> dict:
    """Return the content of run.json: all that is needed to repeat the run.

    Args:
        args: a :class:`~galaxy_vision.training.arguments.TrainingRun`.
        data: the data set by split.
        results: the content of metrics.json, for the splits and the wall time in seconds (since it was resumed, if
            it was).
    """
    script = getattr(args, "command", None) or Path(inspect.getsourcefile(type(args))).name
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    versions = {"python": platform.python_version(), "galaxy_vision": __version__}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": results["seconds"],
        "script": script,
        "arguments": asdict(args),
        "changed_arguments": _changed(args),
        "seed": args.seed,
        "pushed": None,  # push_run sets it to the id on the Hub
        "versions": versions | {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": _git_state(Path(__file__).parent),
        "base_models": _base_models(args),
        "base": describe_base(next(filter(None, (getattr(args, name, None) for name in STARTS)), None)),
        "dataset": describe_dataset(args.dataset, args.num_simulated, args.trees)
        | {"classes": label_names_of(data["test"])},
        "further_datasets": [describe_dataset(name) for name in args.further_datasets],
        "split_fingerprint": results["split_fingerprint"],
        "split_rows": results["split_rows"],
        "hardware": {
            "device": accelerator.device.type,
            "gpus": gpus,
            "cpu": cpu_model(),
            "cores": available_cores(),
            "num_processes": accelerator.num_processes,
            "mixed_precision": accelerator.mixed_precision,
        },
    }


def _base_models(args) -> list[str]:
    """Return the Hub ids of the models that the run started from, without folders, which only this machine has."""
    backbone = getattr(args, "pretrained_backbone", None)
    models = [getattr(args, name, None) for name in STARTS]
    models = [model for model in models if model and not Path(model).is_dir()]
    return [f"timm/{backbone}", *models] if backbone else models


def describe_base(name: str | None) -> dict | None:
    """Return name, licence, citation and training data of the model that a run started from; None without one."""
    if not name:
        return None
    folder = Path(model_source(name))
    facts = {"name": Path(name).name if folder.is_dir() else name, "license": None, "citation": None, "title": None}
    try:
        card = ModelCard.load(folder / "README.md" if folder.is_dir() else name)
        facts["license"] = card.data.get("license")
        if folder.is_dir():
            dataset = json.loads((folder / "run.json").read_text(encoding="utf-8"))["dataset"]
            facts |= {"citation": dataset.get("citation"), "title": dataset.get("title")}
    except (OSError, ValueError, KeyError, TypeError):  # it has no card, or one that cannot be read
        pass
    return facts


def _changed(args) -> dict:
    """Return the arguments that differ from their defaults, without those of resumption, folders and the Hub."""
    left_out = args.resolved | {
        "resume",
        "stop_after",
        "output_dir",
        "push_to_hub",
        "hub_model_id",
        "hub_private",
        "tracker",
    }
    defaults = {field.name: field.default for field in fields(args) if field.default is not MISSING}
    return {key: value for key, value in asdict(args).items() if key not in left_out and value != defaults.get(key)}


def _git_state(folder: Path) -> dict | None:
    """Return the commit of the checkout that ``folder`` is in, and whether tracked files differ; None without one."""
    if shutil.which("git") is None:
        return None

    def git(*argv: str):
        return subprocess.run(["git", "-C", str(folder), *argv], capture_output=True, text=True)

    # Not tracked: the package is installed in a virtual environment inside some other repository.
    if git("ls-files", "--error-unmatch", "__init__.py").returncode:
        return None
    changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    return {"commit": git("rev-parse", "HEAD").stdout.strip(), "dirty": bool(changed)}


def describe_dataset(name: str, num_simulated: int = 0, trees: Trees | None = None) -> dict:
    """Return name, title, licence and citation of a data set from its card, as far as it names them."""
    folder = Path(locate_dataset(name, num_simulated, trees=trees))
    facts = {"name": name, "hub_id": None, "title": Path(name).name, "license": None, "citation": None}
    if folder.is_file():
        return facts
    if not folder.is_dir():
        facts["hub_id"] = name
    elif not (folder / "README.md").is_file():
        return facts
    try:
        card = DatasetCard.load(name if facts["hub_id"] else folder / "README.md")
    except (OSError, ValueError):  # the card does not exist or cannot be read, or the Hub cannot be reached
        return facts
    if title := re.search(r"^# (.+)$", card.text, re.MULTILINE):
        facts["title"] = title[1].strip()
    sections = re.split(r"^#{1,3} (.+)$", card.text, flags=re.MULTILINE)
    citations = (
        text.strip()
        for heading, text in zip(sections[1::2], sections[2::2], strict=True)
        if re.search("licen[sc]e|citation", heading, re.I)
    )
    content = re.search(r"content ([0-9a-f]{32})", json.dumps(card.data.to_dict()))
    facts |= {"license": card.data.get("license"), "citation": "\n\n".join(citations) or None}
    return facts | {"content": content[1] if content else None}


def write_report(folder: Path, rows=None, trees: Trees | None = None) -> list[Path]:
    """Draw the figures and write README.md of the finished run in ``folder``, from its metrics.json and run.json.

    Args:
        rows: the test split; without it the sheets of galaxies are not drawn.
        trees: by the votes of the first of them captions are judged; None for Galaxy Zoo 2.

    Returns:
        Paths of the files that were written.
    """
    from . import figures  # here, since matplotlib takes two seconds to import, and only the end of a run draws

    tree = (trees or Trees()).first
    results, run = json.loads((folder / "metrics.json").read_text()), json.loads((folder / "run.json").read_text())
    written = figures.draw_curves(results, folder / "training_curves.png") if results.get("history") else []
    if "captions" in results:
        if rows is not None:
            written += figures.draw_captions(results["examples"], rows, folder / "captions.png", tree)
    else:
        if results.get("classes", {}).get("rows"):
            written += figures.draw_confusion(results["classes"], folder / "confusion_matrix.png")
        if "classes" in results or "votes" in results:
            written += figures.draw_reliability(results, folder / "reliability.png")
        if results.get("learning_curve"):
            written += figures.draw_learning_curve(results["learning_curve"], folder / "learning_curve.png")
        if rows is not None and "examples" in results and not run["arguments"].get("folds"):
            written += _draw_sheets(results, rows, folder)
    return [*written, write_card(folder, results, run)]


def _draw_sheets(results: dict, rows, folder: Path) -> list[Path]:
    """Draw mistakes and heat maps of correct predictions, as far as there are any."""
    from . import figures

    written, processor = [], GalaxyImageProcessor.from_pretrained(folder)
    if results["examples"]["mistakes"]:
        written += figures.draw_mistakes(results, rows, processor.crop_fraction, folder / "mistakes.png")
    if results["examples"]["correct"]:
        model = GalaxyResNetForImageClassification.from_pretrained(folder).eval()
        written += figures.draw_heat_maps(results, rows, model, processor, folder / "heat_maps.png")
    return written


def rebuild_report(folder: Path) -> tuple[list[Path], str | None]:
    """Make figures and card of a finished run again.

    Curves, confusion matrix, reliability and card need only the folder. The sheets show galaxies, and are drawn again
    only if the data set of run.json can be loaded and its test split has the fingerprint of run.json.

    Returns:
        Paths of the files that were written, and why the sheets were not drawn (None if they were).

    Raises:
        ValueError: the folder has no metrics.json or run.json.
    """
    for name in ("metrics.json", "run.json"):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} has no {name}; give the output_dir of a finished run of train_classifier.py or "
                "train_captioner.py"
            )
    run = json.loads((folder / "run.json").read_text())
    args, rows, trees, reason = run["arguments"], None, None, None
    try:
        trees = wanted_trees(args.get("campaign"), args.get("tree"))  # runs of older versions have neither
        columns = tuple(filter(None, (args.get("label_columns") or "").split(",")))
        own = OwnLabels(args.get("task"), columns, args.get("image_root"))
        settings = {"seed": 0, "streaming": args.get("streaming", False), "trees": trees, "own": own}
        data = load_galaxies(args["dataset"], args["label_scheme"], args["num_simulated"], **settings)
        rows, trees = data["test"], data.trees
        for learned in filter(None, map(str.strip, (args.get("without_twins_of") or "").split(","))):
            rows = without_twins(rows, concatenate_datasets(list(load_galaxies(learned).values())))
    except ValueError as error:
        rows, reason = None, str(error)
    if rows is not None:
        rows = rows.select(range(min(args["max_rows"], len(rows)))) if args.get("max_rows") else rows
        if fingerprint_of(rows) != run["split_fingerprint"]["test"]:
            old, new = run["split_fingerprint"]["test"], fingerprint_of(rows)
            rows, reason = None, f"the test split of dataset={args['dataset']!r} has changed ({new}, was {old})"
    return write_report(folder, rows, trees), reason
