"""What a run leaves beside its model: run.json, figures and model card; and how they are made again from the folder."""

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
from huggingface_hub import DatasetCard

from .. import __version__
from ..data.checks import fingerprint_of
from ..data.load import load_galaxies, locate_dataset
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..runtime.files import remove_checkpoints, write_json
from ..runtime.hardware import available_cores, cpu_model
from . import figures
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
"""Their versions go into run.json: what computes, loads or scores."""

SHEETS = ("mistakes.png", "heat_maps.png", "captions.png")
"""Figures that show images of the test split."""


def finish_run(args, accelerator, data: dict, results: dict) -> None:
    """Write metrics.json, run.json, figures and card of a run that is complete.

    Args:
        args: a :class:`~galaxy_vision.training.arguments.TrainingRun`; its ``output_dir`` holds the model already.
        data: the data set that was loaded, by split.
        results: the content of metrics.json.
    """
    folder = Path(args.output_dir)
    write_json(folder / "metrics.json", results)
    write_json(folder / "run.json", describe_run(args, accelerator, data, results))
    write_report(folder, data["test"])
    remove_checkpoints(folder)


def describe_run(args, accelerator, data: dict, results: dict) -> dict:
    """The content of run.json: everything that a repetition of this run needs to know.

    Args:
        args: a :class:`~galaxy_vision.training.arguments.TrainingRun`.
        data: the data set that was loaded, by split.
        results: the content of metrics.json, for the splits and the wall time (with ``--resume``, since the run went
            on).
    """
    script = Path(inspect.getsourcefile(type(args))).name
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    versions = {"python": platform.python_version(), "galaxy_vision": __version__}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": results["seconds"],
        "script": script,
        "arguments": asdict(args),
        "changed_arguments": _changed(args),
        "seed": args.seed,
        "pushed": None,  # or the id on the Hub, once it is there
        "versions": versions | {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": _git_state(Path(__file__).parent),
        "base_models": _base_models(args),
        "dataset": describe_dataset(args) | {"classes": data["test"].features["label"].names},
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
    """Hub ids of the models that this run started from; folders, which only this machine has, are left out."""
    timm = getattr(args, "pretrained_backbone", None)
    ours = [getattr(args, name, None) for name in ("init_from", "encoder")]
    return [*([f"timm/{timm}"] if timm else []), *(place for place in ours if place and not Path(place).is_dir())]


def _changed(args) -> dict:
    """Return arguments that differ from their defaults, without those that say how a run went on and where it is."""
    left_out = args.resolved | {
        "resume",
        "stop_after",
        "output_dir",
        "push_to_hub",
        "hub_model_id",
        "hub_private",
        "tracker",
    }
    defaults = {each.name: each.default for each in fields(args) if each.default is not MISSING}
    return {key: value for key, value in asdict(args).items() if key not in left_out and value != defaults.get(key)}


def _git_state(folder: Path) -> dict | None:
    """Return the commit of the checkout of ``folder``, and whether tracked files differ; None outside of one."""
    if shutil.which("git") is None:
        return None

    def git(*argv: str):
        return subprocess.run(["git", "-C", str(folder), *argv], capture_output=True, text=True)

    # A package that was installed into a virtual environment inside some other repository is none of that repository's
    # files.
    if git("ls-files", "--error-unmatch", "__init__.py").returncode:
        return None
    changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    return {"commit": git("rev-parse", "HEAD").stdout.strip(), "dirty": bool(changed)}


def describe_dataset(args) -> dict:
    """Return name, title, licence and citation of the data set, from its own card; None where that does not say."""
    place = Path(locate_dataset(args.dataset, args.num_simulated))
    known = {"name": args.dataset, "hub_id": None, "title": Path(args.dataset).name, "license": None, "citation": None}
    if not place.is_dir():
        known["hub_id"] = args.dataset
    elif not (place / "README.md").is_file():
        return known
    try:
        card = DatasetCard.load(args.dataset if known["hub_id"] else place / "README.md")
    except (OSError, ValueError):  # no card, one that cannot be read, or the Hub cannot be reached
        return known
    if title := re.search(r"^# (.+)$", card.text, re.MULTILINE):
        known["title"] = title[1].strip()
    sections = re.split(r"^#{1,3} (.+)$", card.text, flags=re.MULTILINE)
    wanted = (
        text.strip()
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
        if re.search("licen[sc]e|citation", name, re.I)
    )
    content = re.search(r"content ([0-9a-f]{32})", json.dumps(card.data.to_dict()))
    known |= {"license": card.data.get("license"), "citation": "\n\n".join(wanted) or None}
    return known | {"content": content[1] if content else None}


def write_report(folder: Path, rows=None) -> list[Path]:
    """Draw the figures and write README.md of the finished run in ``folder``, from its metrics.json and run.json.

    Args:
        rows: the test split; without it the sheets of galaxies stay as they are.

    Returns:
        What was written.
    """
    results, run = json.loads((folder / "metrics.json").read_text()), json.loads((folder / "run.json").read_text())
    written = [figures.draw_curves(results, folder / "training_curves.png")]
    if "captions" in results:
        if rows is not None:
            written.append(figures.draw_captions(results["examples"], rows, folder / "captions.png"))
    else:
        if results["classes"]["rows"]:
            written.append(figures.draw_confusion(results["classes"], folder / "confusion_matrix.png"))
        written.append(figures.draw_reliability(results, folder / "reliability.png"))
        if rows is not None:
            written += _draw_sheets(results, rows, folder)
    return [*written, write_card(folder, results, run)]


def _draw_sheets(results: dict, rows, folder: Path) -> list[Path]:
    """Mistakes, and heat maps of right answers, as far as there are any."""
    written, processor = [], GalaxyImageProcessor.from_pretrained(folder)
    if results["examples"]["mistakes"]:
        written.append(figures.draw_mistakes(results, rows, processor.crop_fraction, folder / "mistakes.png"))
    if results["examples"]["correct"]:
        model = GalaxyResNetForImageClassification.from_pretrained(folder).eval()
        written.append(figures.draw_heat_maps(results, rows, model, processor, folder / "heat_maps.png"))
    return written


def rebuild_report(folder: Path) -> tuple[list[Path], str | None]:
    """Make figures and card of a finished run again.

    Curves, confusion matrix, reliability and card need only the folder. The sheets show galaxies: they are drawn again
    if the data set that run.json names loads and its test split has the fingerprint that run.json names.

    Returns:
        What was written, and why the sheets were left as they are (None if they were drawn).

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
    args, rows, reason = run["arguments"], None, None
    try:
        how = {"seed": 0, "streaming": args.get("streaming", False)}
        rows = load_galaxies(args["dataset"], args["label_scheme"], args["num_simulated"], **how)["test"]
    except ValueError as error:
        reason = str(error)
    if rows is not None:
        rows = rows.select(range(min(args["max_rows"], len(rows)))) if args["max_rows"] else rows
        if fingerprint_of(rows) != run["split_fingerprint"]["test"]:
            known, now = run["split_fingerprint"]["test"], fingerprint_of(rows)
            rows, reason = (
                None,
                f"the test split of dataset={args['dataset']!r} is another one now ({now}, was {known})",
            )
    return write_report(folder, rows), reason
