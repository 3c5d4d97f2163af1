"""A saved model and a data set -> scores, by the functions that end a training run."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from datasets import Dataset, Value, concatenate_datasets
from torch.nn import functional as F
from transformers import AutoConfig
from transformers.utils import cached_file

from ..data.batches import cache_pixels, make_loader
from ..data.checks import fingerprint_of
from ..data.labels import SCHEMES, assign_labels
from ..data.load import class_counts, load_galaxies
from ..data.twins import without_twins
from ..inference.loading import load_captioner, load_classifier, refusing
from ..inference.rotations import check_rotations
from ..models.decision_tree import conditional_fractions
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput
from ..runtime.accelerator import chosen_precision, make_accelerator
from ..runtime.shipped import model_source
from .caption_metrics import score_beside_rivals
from .evaluate import Examples, class_probabilities, evaluate, evaluate_captions
from .metrics import GalaxyMetric, training_constants


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
) -> dict | None:
    """Score a classifier or a captioner, whichever the configuration says, on one split.

    Constant answers, which stand beside the scores, are those of the training rows (classifier) or the validation rows
    (captioner) of this data set. Classes are compared by name; if the data set has one that the model does not know,
    votes alone are, and classes too where its scheme gives every galaxy one (``threshold``): those of the predicted
    votes.

    Args:
        model: folder or Hub id.
        dataset: as in :func:`~galaxy_vision.data.load.load_galaxies`.
        split: of these, or ``"all"``: the whole data set, where none of it was used for training.
        mixed_precision: ``"auto"`` takes the launch flag, else the precision of the run that trained the model, so that
            the scores are those of its end, else fp32; any other value is taken as it is. With the run's batch size on
            its machine the scores are the same to the rounding of fp32: on some CPUs the last digits depend on threads.
        rotations: as in :func:`~galaxy_vision.inference.rotations.classify`; of a classifier.
        without_twins_of: data sets that the model has learned from; galaxies which are in them too, under whatever id,
            are left out.

    Returns:
        As in metrics.json, and what was evaluated; ``note`` says what could not be compared. None on all processes but
        the main one.

    Raises:
        OSError: there is no such model.
        ValueError: there is no such data set, the model is none of ours, or nothing can be compared.
    """
    check_rotations(rotations)
    model = model_source(model)
    with refusing(model):  # our own classes are registered, so the code that a folder carries is never run
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        precision = chosen_precision(mixed_precision) or _precision_of_run(model)
    accelerator = make_accelerator(precision, 1, None, Path("."))
    kinds = {"galaxy_resnet": _evaluate_classifier, "galaxy_captioner": _evaluate_captioner}
    if config.model_type not in kinds:
        raise ValueError(f"model={model!r} is of type {config.model_type}; it must be one of {', '.join(kinds)}")
    with accelerator.main_process_first():  # the others then read the cache
        data = load_galaxies(dataset, label_scheme, num_simulated, seed=0)
        if split == "all":
            data["all"] = concatenate_datasets(list(data.values()))
        before = len(data[split])
        for other in without_twins_of:
            data[split] = without_twins(data[split], concatenate_datasets(list(load_galaxies(other).values())))
    with _determinism():
        results = kinds[config.model_type](accelerator, model, data, split, batch_size, rotations)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if results is None:
        return None
    about = {"model": model, "dataset": dataset, "split": split, "split_fingerprint": fingerprint_of(data[split])}
    about |= {"rotations": rotations, "twins_left_out": before - len(data[split])}
    return (
        about | {"num_processes": accelerator.num_processes, "mixed_precision": accelerator.mixed_precision} | results
    )


@contextmanager
def _determinism() -> Iterator[None]:
    """As training has it, which may choose other algorithms on a GPU; afterwards as the caller had it."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _precision_of_run(model: str) -> str:
    """Return the precision in run.json of a saved model; fp32 where there is none, or fp16 and no GPU."""
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
    model, processor = load_classifier(name)
    model = model.to(accelerator.device, memory_format=torch.channels_last)  # as at the end of training
    ours, theirs = (
        [model.config.id2label[place] for place in range(model.config.num_labels)],
        data[split].features["label"].names,
    )
    unknown = [label for label in theirs if label not in ours]
    note = f"the data set has classes that the model does not know ({', '.join(unknown)}); "
    note += f"the model's are {', '.join(ours)}"
    votes = "votes" in data[split].column_names and model.config.predict_votes
    if unknown and not votes:
        raise ValueError(f"{note}; and votes are not in both, so nothing can be compared")
    rule = _deciding_scheme(theirs) if unknown and votes else None
    names = theirs if rule else ours
    metrics = {}
    if rule or not unknown:
        counts = dict(zip(theirs, class_counts(data["train"], len(theirs)).tolist(), strict=True))
        counts = [counts.get(label, 0) for label in names]
        metrics = {
            "classes": GalaxyMetric("classes", label_names=names, train_class_counts=counts),
            "examples": Examples(names),
        }
    if votes:
        constants = training_constants(data["train"].with_format("numpy")["votes"][:])
        metrics["votes"] = GalaxyMetric("votes", **constants)
    rows = _pixels(accelerator, data, split, processor)
    if theirs != names:
        places = [-1 if unknown else ours.index(label) for label in theirs]
        rows = _with_labels(rows, [-1 if label is None or label < 0 else places[label] for label in rows["label"]])
    loader = accelerator.prepare(make_loader(rows, processor.size["height"], batch_size, shuffle=False))
    probabilities = class_probabilities if rule is None else partial(_probabilities_by_rule, scheme=rule)
    results = evaluate(accelerator, model, loader, processor, metrics, split, rotations, probabilities)
    if results is None:
        return None
    if rule:
        return results | {"note": f"{note}; so classes are those of the predicted votes by the scheme {rule}"}
    return results | ({"note": f"classes were not compared: {note}"} if unknown else {})


def _deciding_scheme(class_names: list[str]) -> str | None:
    """The scheme with these classes, if it leaves no galaxy uncertain."""
    for name, scheme in SCHEMES.items():
        if scheme.class_names == class_names and not scheme.classes[0].conditions:
            return name
    return None


def _probabilities_by_rule(output: GalaxyClassifierOutput, scheme: str) -> torch.Tensor:
    """(B, C) one for the class of the predicted votes, as if very many had voted."""
    votes = 1000 * conditional_fractions(output.vote_concentration.float().cpu().numpy())
    labels = torch.from_numpy(assign_labels(votes, scheme)).to(output.vote_concentration.device)
    return F.one_hot(labels, len(SCHEMES[scheme].classes)).float()


def _evaluate_captioner(accelerator, name: str, data, split: str, batch_size: int, rotations: int) -> dict | None:
    if rotations > 1:
        raise ValueError(f"rotations={rotations} is for a classifier, and this is a captioner; leave it out")
    if "captions" not in data[split].column_names:
        raise ValueError(
            "the data set has no captions, so nothing can be compared; build one with votes by datasets_scripts"
        )
    model, processor = load_captioner(name)
    model = model.to(accelerator.device, memory_format=torch.channels_last)  # as at the end of training
    rows = _pixels(accelerator, data, split, processor.image_processor)
    size = processor.image_processor.size["height"]
    loader = accelerator.prepare(make_loader(rows, size, batch_size, shuffle=False))
    captions = evaluate_captions(accelerator, model, loader, processor, split)
    if captions is None:
        return None
    references = {each: data[each].select_columns(["captions", "votes"]).to_list() for each in {split, "validation"}}
    scores, constants = score_beside_rivals({"captioner": captions}, references[split], references["validation"])
    return {"captions": scores, "constants": constants, "examples": captions, "rows": len(captions)}


def _pixels(accelerator, data, split: str, processor: GalaxyImageProcessor) -> Dataset:
    with accelerator.main_process_first():
        return cache_pixels(data[split], processor)


def _with_labels(rows: Dataset, labels: list[int]) -> Dataset:
    return rows.remove_columns("label").add_column("label", labels, feature=Value("int64"))
