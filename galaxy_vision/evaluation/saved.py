"""Score a saved model on a data set with the functions that end a training run."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from datasets import Dataset, Value, concatenate_datasets
from transformers import AutoConfig
from transformers.utils import cached_file

from ..data.batches import cache_pixels, make_loader
from ..data.campaigns import wanted_trees
from ..data.checks import fingerprint_of
from ..data.labels import class_names_for, scheme_of
from ..data.load import Galaxies, class_counts, load_galaxies
from ..data.own_labels import label_names_of
from ..data.own_tasks import AS_SHOWN, OwnLabels
from ..data.twins import without_twins
from ..inference.captioning import campaign_to_say
from ..inference.loading import load_captioner, load_classifier, refusing, take_for
from ..inference.rotations import check_rotations
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.losses import MULTI_LABEL, REGRESSION
from ..models.trees import Trees
from ..runtime.accelerator import chosen_precision, make_accelerator
from ..runtime.shipped import model_source
from .caption_metrics import score_beside_rivals
from .evaluate import Examples, evaluate, evaluate_captions
from .metrics import GalaxyMetric
from .own_scores import predict_split, scores_of
from .votes import VoteMetrics, answers_of


def evaluate_saved(
    model: str,
    dataset: str,
    split: str = "test",
    batch_size: int = 32,
    mixed_precision: str = "auto",
    label_scheme: str | None = None,
    num_simulated: int = 2400,
    rotations: int = 1,
    without_twins_of: Sequence[str] = (),
    campaign: str | None = None,
    tree: str | None = None,
    own: OwnLabels = AS_SHOWN,
) -> dict | None:
    """Score a saved classifier or captioner on one split of a data set.

    The constant answers beside the scores are those of the training rows (classifier) or the validation rows
    (captioner) of this data set. Classes are those that :func:`~galaxy_vision.inference.classes.class_probabilities`
    gives, and are compared by name. If the data set has a class that the model does not have, but those of a scheme
    that the votes of the model decide, they are taken from these votes; otherwise only votes are compared.

    Args:
        model: folder or Hub id.
        dataset: as in :func:`~galaxy_vision.data.load.load_galaxies`.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"`` for a data set that was not used in training.
        mixed_precision: ``"auto"`` takes the launch flag, else the precision of the run that trained the model, whose
            final scores are then reproduced, else fp32; other values are taken as they are. With the batch size of the
            run and on its machine, scores are equal up to rounding in fp32, which depends on threads on some CPUs.
        rotations: as in :func:`~galaxy_vision.inference.rotations.classify`; for classifiers only.
        campaign: campaigns whose votes are compared; None for those of the model, where the data set has them.
        tree: JSON file of a tree of one's own, whose votes are compared.
        own: how labels of one's own are read.
        without_twins_of: data sets that the model has learned from; galaxies that are also in one of them, under any
            id, are left out.

    Returns:
        The scores as in metrics.json and what was evaluated; ``note`` names what could not be compared. None on all
        processes but the main one.

    Raises:
        OSError: the model does not exist.
        ValueError: the data set does not exist, the model is neither a galaxy_resnet nor a galaxy_captioner, or nothing
            can be compared.
    """
    check_rotations(rotations)
    model = model_source(model)
    with refusing(model):  # classes of this package are registered, so code in the model's folder never runs
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        precision = chosen_precision(mixed_precision) or _precision_of_run(model)
    accelerator = make_accelerator(precision, 1, None, Path("."))
    kinds = {"galaxy_resnet": _evaluate_classifier, "galaxy_captioner": _evaluate_captioner}
    if config.model_type not in kinds:
        raise ValueError(f"model={model!r} is of type {config.model_type}; it must be one of {', '.join(kinds)}")
    with accelerator.main_process_first():  # then the others read its cache
        data = _load(dataset, label_scheme, num_simulated, wanted_trees(campaign, tree), config, own)
        if split == "all":
            data["all"] = concatenate_datasets(list(data.values()))
        before = len(data[split])
        for learned in without_twins_of:
            data[split] = without_twins(data[split], concatenate_datasets(list(load_galaxies(learned).values())))
    with _determinism():
        results = kinds[config.model_type](accelerator, model, data, split, batch_size, rotations)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if results is None:
        return None
    settings = {"model": model, "dataset": dataset, "split": split, "split_fingerprint": fingerprint_of(data[split])}
    settings |= {"rotations": rotations, "twins_left_out": before - len(data[split])}
    settings |= {"num_processes": accelerator.num_processes, "mixed_precision": accelerator.mixed_precision}
    return settings | results


def _load(
    dataset: str, label_scheme: str | None, num_simulated: int, wanted: Trees | None, config, own: OwnLabels
) -> Galaxies:
    """Load a data set with the votes that are wanted, or those of the model's trees as far as it has them."""
    if wanted is not None or not getattr(config, "predict_votes", False):
        return load_galaxies(dataset, label_scheme, num_simulated, trees=wanted, own=own)
    trees = config.decision_trees
    try:
        return load_galaxies(dataset, label_scheme, num_simulated, trees=trees, own=own)
    except ValueError:  # it has no votes, or others
        data = load_galaxies(dataset, label_scheme, num_simulated, own=own)
    common = [tree for campaign, tree in trees.items() if (data.trees or {}).get(campaign) == tree]
    if not common or len(common) == len(data.trees):
        return data  # without votes that both have, classes are compared
    return load_galaxies(dataset, label_scheme, num_simulated, trees=Trees(common), own=own)


@contextmanager
def _determinism() -> Iterator[None]:
    """Use deterministic algorithms, as training does, which on a GPU may give other rounding; restore the setting."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _precision_of_run(model: str) -> str:
    """Return the precision in run.json of a saved model; fp32 without run.json, or for fp16 without a GPU."""
    path = cached_file(
        model, "run.json", _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    if path is None:
        return "no"
    try:
        precision = json.loads(Path(path).read_text(encoding="utf-8"))["hardware"]["mixed_precision"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged, so the precision of the run is not known; give --mixed_precision"
        ) from error
    return "no" if precision == "fp16" and not torch.cuda.is_available() else precision


def _evaluate_classifier(accelerator, name: str, data, split: str, batch_size: int, rotations: int) -> dict | None:
    model, processor = load_classifier(name, any_task=True)
    model = model.to(accelerator.device, memory_format=torch.channels_last)  # as at the end of training
    model_names = [model.config.id2label[label] for label in range(model.config.num_labels)]
    data_names = label_names_of(data[split])
    if isinstance(data[split].features["label"], dict) or model.config.problem_type in (MULTI_LABEL, REGRESSION):
        return _evaluate_own(accelerator, model, processor, data, split, batch_size, rotations)
    unknown = [name for name in data_names if name not in model_names]
    note = f"the data set has classes that the model does not know ({', '.join(unknown)}); "
    note += f"the model's are {', '.join(model_names)}"
    votes = data.trees is not None and model.config.predict_votes
    taken = take_for(model, data.trees) if votes else None
    others = ""
    if votes and any(model.trees.get(campaign) != tree for campaign, tree in data.trees.items()):
        votes = False
        others = f"the data set has votes of {', '.join(data.trees)}, and the model predicts {', '.join(model.trees)}"
        note += f"; {others}"
    if unknown and not votes:
        raise ValueError(f"{note}; votes are not in both either, so nothing can be compared")
    scheme = scheme_of(data_names, model.trees) if unknown and votes else None
    names = class_names_for(scheme, model.trees) if scheme else model_names
    metrics = {}
    if scheme or not unknown:
        counts = dict(zip(data_names, class_counts(data["train"], len(data_names)).tolist(), strict=True))
        counts = [counts.get(name, 0) for name in names]
        metrics = {
            "classes": GalaxyMetric("classes", label_names=names, train_class_counts=counts),
            "examples": Examples(names),
        }
    if votes:
        metrics["votes"] = VoteMetrics(data.trees, data["train"].with_format("numpy")["votes"][:])
    rows = _pixels(accelerator, data, split, processor)
    if data_names != names:
        labels = [names.index(name) if "classes" in metrics and name in names else -1 for name in data_names]
        rows = _with_labels(rows, [-1 if label is None or label < 0 else labels[label] for label in rows["label"]])
    loader = accelerator.prepare(make_loader(rows, processor.size["height"], batch_size, shuffle=False))
    compared = answers_of(data.trees, model.trees) if votes else None
    results = evaluate(accelerator, model, loader, processor, metrics, split, rotations, data.trees, scheme, compared)
    if results is None:
        return None
    whose = [*data.notes, *([taken] if taken else [])]
    results |= {"whose_votes": whose} if whose else {}
    if scheme:
        return results | {"note": f"{note}; so classes are those of the predicted votes by the scheme {scheme}"}
    if unknown:
        return results | {"note": f"classes were not compared: {note}"}
    return results | ({"note": f"votes were not compared: {others}"} if others else {})


def _evaluate_own(accelerator, model, processor, data, split: str, batch_size: int, rotations: int) -> dict | None:
    """Score a model of several labels at once, or of numbers, on rows that have the same."""
    problem, names = model.config.problem_type, label_names_of(data[split])
    model_names = [model.config.id2label[label] for label in range(model.config.num_labels)]
    several = isinstance(data[split].features["label"], dict)
    if not several or set(names) != set(model_names) or problem not in (MULTI_LABEL, REGRESSION):
        kind = {MULTI_LABEL: "the labels", REGRESSION: "the numbers"}.get(problem, "one class of")
        raise ValueError(
            f"the model predicts {kind} {', '.join(model_names)}, and the data set has {', '.join(names)}"
            f"{'' if several else ' as classes'}; name columns that are the same by --label_columns"
        )
    rows = _pixels(accelerator, data, split, processor)
    loader = accelerator.prepare(make_loader(rows, processor.size["height"], batch_size, shuffle=False))
    predictions = predict_split(accelerator, model, loader, processor, split, rotations=rotations)
    if predictions is None:
        return None
    order = [model_names.index(name) for name in names]
    predictions.outputs = predictions.outputs[:, order]
    predictions.errors = None if predictions.errors is None else predictions.errors[:, order]
    return scores_of(predictions, problem, names, None, data["train"])


def _evaluate_captioner(accelerator, name: str, data, split: str, batch_size: int, rotations: int) -> dict | None:
    if rotations > 1:
        raise ValueError(f"rotations={rotations} is for a classifier, and the model is a captioner; leave it out")
    if "captions" not in data[split].column_names:
        raise ValueError("the data set has no captions, so nothing can be compared; build one by datasets_scripts")
    if data.trees is None:
        raise ValueError("the data set has no votes, which judge the captions; build one by datasets_scripts")
    if len(data.trees) > 1:
        raise ValueError(f"the data set has votes of {', '.join(data.trees)}; name one by --campaign")
    tree = data.trees.first
    model, processor = load_captioner(name)
    model = model.to(accelerator.device, memory_format=torch.channels_last)  # as at the end of training
    rows = _pixels(accelerator, data, split, processor.image_processor)
    size = processor.image_processor.size["height"]
    loader = accelerator.prepare(make_loader(rows, size, batch_size, shuffle=False))
    wanted, notes = campaign_to_say(model, tree), list(data.notes)
    if model.config.trees and not wanted:
        notes.append(f"the captioner says votes of {model.config.decision_trees.first.name}, and not of {tree.name}")
    captions = evaluate_captions(accelerator, model, loader, processor, split, **wanted)
    if captions is None:
        return None
    columns = ["captions", "votes"]
    references = {name: data[name].select_columns(columns).to_list() for name in {split, "validation"}}
    results = score_beside_rivals({"captioner": captions}, references[split], references["validation"], tree)
    return results | ({"whose_votes": notes} if notes else {})


def _pixels(accelerator, data, split: str, processor: GalaxyImageProcessor) -> Dataset:
    with accelerator.main_process_first():
        return cache_pixels(data[split], processor)


def _with_labels(rows: Dataset, labels: list[int]) -> Dataset:
    return rows.remove_columns("label").add_column("label", labels, feature=Value("int64"))
