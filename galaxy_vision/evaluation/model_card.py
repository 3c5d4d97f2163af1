"""Write README.md, a model card of the Hub, from metrics.json and run.json."""

import json
import shlex
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..runtime.files import written_whole
from .sums import CLASS_SCORES, few_tested
from .tables import caption_table
from .votes import by_campaign, error_of_all

TEMPLATE = Path(__file__).with_name("model_card_template.md")
PICTURES = {
    "Learning curve": "learning_curve.png",
    "Training curves": "training_curves.png",
    "Confusion matrix": "confusion_matrix.png",
    "Reliability": "reliability.png",
    "Most confident mistakes": "mistakes.png",
    "Where the model looked": "heat_maps.png",
    "Captions of test galaxies": "captions.png",
}
"""Headings and files of the figures that a card shows, as far as they exist."""

EXAMPLES_AT = "https://raw.githubusercontent.com/galaxy-vision/galaxy_vision/main/docs/images/galaxies"
EXAMPLES = {"A barred spiral": "148333.jpg", "A disc from the side": "150528.jpg", "Smooth and round": "103169.jpg"}
"""Images of Galaxy Zoo 2 (docs/images/ATTRIBUTION.md) on which a card's widget on the Hub may be tried."""


def write_card(folder: Path, results: dict, run: dict) -> Path:
    """Write README.md, whose bytes depend only on metrics.json, run.json, config.json and the set of figures."""
    with written_whole(folder / "README.md") as partial:
        partial.write_bytes(card_text(folder, results, run).encode())
    return folder / "README.md"


def card_text(folder: Path, results: dict, run: dict, name: str | None = None, pushed: bool = False) -> str:
    """Return the content of README.md.

    Args:
        folder: output_dir of the finished run, with config.json and the figures.
        results: content of metrics.json.
        run: content of run.json, see :func:`~galaxy_vision.evaluation.report.describe_run`.
        name: name of the model; None takes the run's id on the Hub if it was pushed, else the name of the folder.
        pushed: whether ``name`` is an id of the Hub.
    """
    config = json.loads((folder / "config.json").read_text())
    captioner, dataset, arguments = "captions" in results, run["dataset"], run["arguments"]
    if name is None:  # runs of older versions record whether a push was requested, but not whether it succeeded
        repo_id = run["pushed"] if "pushed" in run else arguments["push_to_hub"] and arguments["hub_model_id"]
        name, pushed = repo_id or folder.resolve().name, bool(repo_id)
    card = ModelCard.from_template(
        card_data(name, results, run, config),
        template_path=str(TEMPLATE),
        name=name,
        pushed=pushed,
        captioner=captioner,
        config={"predict_votes": False} | config,
        classes=_listed(list(config["id2label"].values())) if not captioner else "",
        crop_fraction=_crop_fraction(folder),
        simulated=dataset["name"] == "simulated",
        also_fitted=_also_fitted(results, run),
        doubt=few_tested(results["rows"], arguments.get("folds", 0)) if "task" in results else None,
        base=run.get("base"),
        dataset=dataset,
        further=run.get("further_datasets", []),
        license_known=_licence(run) not in (None, "other", "unknown"),
        run=run,
        results=results,
        scores=results["captions"]["captioner"] if captioner else {},
        command=shown_command(run),
        hardware=_hardware(run["hardware"]),
        table=caption_table(results["captions"]) if captioner else classifier_tables(results),
        pictures=[(title, file) for title, file in PICTURES.items() if (folder / file).is_file()],
    )
    return str(card)


def _also_fitted(results: dict, run: dict) -> bool:
    """Return whether the validation rows were learned from too."""
    adapted = results.get("adapted")
    return bool(results.get("few")) or (adapted is not None and adapted["rows"] > run["split_rows"]["train"])


def card_data(name: str, results: dict, run: dict, config: dict) -> ModelCardData:
    """Return the metadata that the Hub reads from a card, with the model-index of metrics.json.

    The licence is that of the data set, from which the weights are made, or ``other`` if it has none that the Hub
    knows. Data sets and base models are named if they are on the Hub.
    """
    captioner, dataset = "captions" in results, run["dataset"]
    licence = _licence(run) or "other"
    return ModelCardData(
        license=licence,
        license_name="terms-of-the-training-data" if licence == "other" else None,
        library_name="transformers",
        pipeline_tag=_task(captioner),
        language="en" if captioner else None,
        tags=["astronomy", "galaxies", "galaxy-zoo", "morphology", "timm", config["model_type"].replace("_", "-")],
        datasets=[other["hub_id"] for other in (dataset, *run.get("further_datasets", [])) if other["hub_id"]] or None,
        base_model=run.get("base_models") or None,
        widget=[_example(title, f"{EXAMPLES_AT}/{file}", captioner) for title, file in EXAMPLES.items()],
        metrics=["bleu", "chrf", "f1"] if captioner else ["accuracy", "f1"],
        model_name=name,
        eval_results=[_eval_result(*score, captioner, dataset) for score in _scores(results)],
    )


def _task(captioner: bool) -> str:
    """Return the task by which the Hub finds a model and writes its snippet."""
    return "image-text-to-text" if captioner else "image-classification"


def _example(title: str, address: str, captioner: bool) -> dict:
    """Return an example of the widget in the form of the task."""
    if not captioner:
        return {"src": address, "example_title": title}
    request = [{"type": "image", "url": address}, {"type": "text", "text": "Describe this image."}]
    return {"example_title": title, "messages": [{"role": "user", "content": request}]}


def _scores(results: dict) -> list[tuple[str, str, float, list[float] | None]]:
    """Return metric id, name, value and 95 % interval of each score of the model-index, without undefined scores."""
    if "captions" in results:
        scores = results["captions"]["captioner"]
        names = {"claim_f1": ("f1", "claim F1"), "bleu_4": ("bleu", "BLEU-4"), "chrf": ("chrf", "chrF")}
        names["cider_d"] = ("cider", "CIDEr-D")
    elif "labels" in results:
        scores = results["labels"]
        names = {"macro_f1": ("f1", "macro F1"), "accuracy": ("accuracy", "mean accuracy of a label")}
    elif "numbers" in results:
        scores = {row["number"]: row["rmse"] for row in results["numbers"]["per_number"]}
        names = {number: ("rmse", f"RMSE of {number}") for number in scores}
    else:
        scores = results["classes"]
        metrics = {"macro_f1": "f1", "weighted_f1": "f1"}  # other scores are metrics of the Hub by their own name
        names = {key: (metrics.get(key, key), name) for key, name in CLASS_SCORES.items()}
    intervals = scores.get("interval_95", {})
    rows = [(*metric, scores[key], intervals.get(key)) for key, metric in names.items()]
    campaigns = by_campaign(results.get("votes"))
    for campaign, votes in campaigns.items():
        key, count = error_of_all(votes)
        of_campaign = f" of {campaign}" if len(campaigns) > 1 else ""
        interval = votes["interval_95"].get(key)
        rows.append(("rmse", f"RMSE over {count} vote fractions{of_campaign}", votes[key], interval))
    return [row for row in rows if row[2] is not None]


def _licence(run: dict) -> str | None:
    """Return the licence of the data; ``other`` where several data sets have different ones, None where none is known.

    Labels of one's own without a licence have that of the model that they are learned from. Runs of older versions had
    one data set only.
    """
    licences = {dataset["license"] for dataset in (run["dataset"], *run.get("further_datasets", []))}
    if base := run.get("base"):
        licences = {licence for licence in licences | {base["license"]} if licence} or {None}
    return licences.pop() if len(licences) == 1 else "other"


def _eval_result(
    metric: str, name: str, value: float, interval: list[float] | None, captioner: bool, dataset: dict
) -> EvalResult:
    return EvalResult(
        task_type=_task(captioner),
        dataset_type=dataset["hub_id"] or dataset["title"].lower().replace(" ", "-").replace(":", ""),
        dataset_name=dataset["title"],
        dataset_split="test",
        metric_type=metric,
        metric_name=name,
        metric_value=round(value, 4),
        metric_args={"interval_95": [round(limit, 4) for limit in interval]} if interval else None,
    )


def classifier_tables(results: dict) -> str:
    """Return the Markdown tables of a classifier: scores beside a constant answer, classes and questions."""
    classes, campaigns = results.get("classes", {}), by_campaign(results.get("votes"))
    lines = ["| | score | 95 % interval | constant |", "|---|---|---|---|"]
    if labels := results.get("labels"):
        lines.append(_line("macro F1 of the labels", labels["macro_f1"], labels["interval_95"].get("macro_f1")))
        lines.append(_line("mean average precision", labels["mean_average_precision"]))
        for row in labels["per_label"]:
            name = f"accuracy of {row['label']} ({row['support']} of {row['rows']} have it)"
            lines.append(_line(name, row["accuracy"], row.get("interval_95"), row["baseline_accuracy"]))
    for row in results.get("numbers", {}).get("per_number", ()):
        name = f"RMSE of {row['number']} ({row['rows']} with a number)"
        lines.append(_line(name, row["rmse"], row["interval_95"], row["baseline_rmse"]))
        lines.append(_line(f"{row['number']} within its predicted error (1 sigma)", row["coverage_68"]))
    for key, name in CLASS_SCORES.items() if classes else ():
        interval, constant = classes.get("interval_95", {}).get(key), classes.get("baseline", {}).get(key)
        lines.append(_line(f"{name} ({classes['rows']} with a class)", classes[key], interval, constant))
    for campaign, votes in campaigns.items():
        of_campaign = f", {campaign}" if len(campaigns) > 1 else ""
        key, count = error_of_all(votes)
        name = f"RMSE over {count} vote fractions{' (Kaggle)' * (campaign in ('gz2', 'gz_challenge'))}{of_campaign}"
        lines.append(_line(name, votes[key], votes["interval_95"].get(key), votes["baseline"][key]))
        name = f"calibration error of the votes{of_campaign}"
        lines.append(_line(name, votes["ece"], None, votes["baseline"].get("ece")))
        for key, name in (("coverage_90", "90 % intervals cover"), ("width_90", "90 % intervals, mean width")):
            if key in votes:  # runs of older versions have no width
                constant = votes["baseline"].get(key)
                lines.append(_line(f"{name}{of_campaign}", votes[key]["predictive"], None, constant))
    if "per_class" in classes:
        lines += ["", "| class | test galaxies | precision | recall | F1 |", "|---|---|---|---|---|"]
        for row in classes["per_class"]:
            cells = " | ".join(_number(row[key]) for key in ("precision", "recall", "f1"))
            lines.append(f"| {row['label']} | {row['support']:.0f} | {cells} |")
    for votes in campaigns.values():
        header = "| question, where at least 20 were asked | test galaxies | accuracy | macro F1 | constant accuracy |"
        lines += ["", header, "|---|---|---|---|---|"]
        for row in votes["questions"]:
            cells = " | ".join(_number(row[key]) for key in ("accuracy", "macro_f1", "baseline_accuracy"))
            lines.append(f"| {row['question']} | {row['galaxies']} | {cells} |")
    return "\n".join(lines)


def _line(name: str, value, interval=None, constant=None) -> str:
    between = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
    return f"| {name} | {_number(value, 4)} | {between} | {_number(constant, 4)} |"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def shown_command(run: dict) -> str:
    """Return the command of the run with the arguments that differ from the defaults; absolute paths become names."""
    hardware, words = run["hardware"], ["accelerate", "launch"]
    is_script = run["script"].endswith(".py")  # else a command of the package, in one process
    words = [*words, run["script"]] if is_script else run["script"].split()
    if hardware["num_processes"] > 1:
        words[2:2] = ["--multi_gpu", "--num_processes", str(hardware["num_processes"])]
        if hardware["device"] == "cpu":
            words.insert(0, "ACCELERATE_USE_CPU=true")
    for key, value in run["changed_arguments"].items():
        parts = value.split(",") if isinstance(value, str) else [str(value)]  # of several data sets
        words += [f"--{key}", ",".join(Path(part).name if Path(part).is_absolute() else part for part in parts)]
    return shlex.join(words)


def _hardware(hardware: dict) -> str:
    """Return a line with the devices, the number of processes and the precision."""
    gpus = hardware["gpus"] if hardware["device"] == "cuda" else []
    device = " + ".join(f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus))
    device = device or f"{hardware['cores']} cores of {hardware['cpu']}"
    processes, precision = hardware["num_processes"], hardware["mixed_precision"]
    precision = "fp32" if precision == "no" else precision
    return f"{device}, {processes} process{'es' if processes > 1 else ''}, {precision}"


def _crop_fraction(folder: Path) -> float:
    """Return the crop fraction of the saved image processor, whose file depends on the kind of model."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            saved = json.loads((folder / name).read_text())
            return saved.get("image_processor", saved)["crop_fraction"]
    raise ValueError(f"{folder} has no preprocessor_config.json; give the folder of a finished run")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else names[0]
