"""Evaluate a model in one pass over a split: score a classifier, or collect the captions of a captioner."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import nn
from tqdm.auto import tqdm

from ..captions.claims import claims_from_votes
from ..captions.writing import write_captions
from ..inference.classes import class_campaign, class_probabilities
from ..inference.rotations import classify
from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from ..models.trees import Trees
from .objectives import class_nll, mean_loss, vote_nll


class Examples:
    """Examples of an evaluation: the most confident mistakes, and the first correct predictions of each class.

    Args:
        label_names: class names in label order.
        num_mistakes: number of mistakes that are kept.
        num_correct: number of correct predictions that are kept for each class: the first of the split, so that they
            are not a selection.
    """

    def __init__(self, label_names: list[str], num_mistakes: int = 24, num_correct: int = 3):
        self.label_names, self.num_mistakes, self.num_correct = label_names, num_mistakes, num_correct
        self.mistakes: list[tuple] = []
        self.correct: dict[int, list[tuple]] = {}

    def add_batch(self, rows: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor) -> None:
        """Add rows (B,), probabilities (B, C) and labels (B,); rows with a negative (uncertain) label are left out."""
        confidences, predictions = probabilities.max(-1)
        columns = (rows.tolist(), labels.tolist(), predictions.tolist(), confidences.tolist())
        for row, label, prediction, confidence in zip(*columns, strict=True):
            if label >= 0 and label == prediction:
                self.correct.setdefault(label, []).append((row, label, prediction, confidence))
            elif label >= 0:
                self.mistakes.append((row, label, prediction, confidence))
        self.mistakes = sorted(self.mistakes, key=lambda mistake: (-mistake[3], mistake[0]))[: self.num_mistakes]
        self.correct = {label: sorted(examples)[: self.num_correct] for label, examples in self.correct.items()}

    def compute(self) -> dict[str, list[dict]]:
        """Return ``mistakes``, the most confident first, and ``correct``, in the order of the classes.

        Every example has ``row``, ``true``, ``predicted`` and ``probability``.
        """

        def named(row: int, label: int, prediction: int, confidence: float) -> dict:
            return {
                "row": row,
                "true": self.label_names[label],
                "predicted": self.label_names[prediction],
                "probability": confidence,
            }

        correct = [named(*example) for label in sorted(self.correct) for example in self.correct[label]]
        return {"mistakes": [named(*example) for example in self.mistakes], "correct": correct}


def _share_statistics(accelerator, model: nn.Module) -> None:
    """Copy the batch statistics of the main process, which are saved, to all processes."""
    if accelerator.num_processes > 1:
        for statistic in model.buffers():
            broadcast(statistic)


def _probabilities_of_rows(model, output, votes, trees: Trees | None, scheme: str | None) -> torch.Tensor:
    """Return the class probabilities (B, C) of each row by the campaign that labels it, as ``assign_labels`` does.

    Args:
        votes: (B, answers of ``trees``) of the rows.
        trees: whose votes these are; None without votes.
    """
    campaigns = [campaign for campaign in trees or () if campaign in model.trees]
    if scheme is None:
        campaigns = [campaign for campaign in campaigns if class_campaign(model, [campaign])]
    first = campaigns[0] if campaigns else None
    probabilities = class_probabilities(model, output, first, scheme).probabilities
    is_open = torch.ones(len(probabilities), dtype=torch.bool, device=probabilities.device)
    for campaign in campaigns if len(campaigns) > 1 and scheme is None else ():
        tree, part = trees[campaign], trees.part(votes, campaign)
        shown = is_open & (part[:, tree.slices[tree.first_question.name]].sum(1) > 0)
        probabilities[shown] = class_probabilities(model, output, campaign).probabilities[shown]
        is_open &= ~shown
    return probabilities


@torch.inference_mode()
def over_split(accelerator, model: nn.Module, loader, processor, desc: str, compute: Callable) -> Iterator[dict]:
    """Yield the outputs of a model for a split, with every row once for any number of processes.

    Args:
        processor: a :class:`~galaxy_vision.GalaxyImageProcessor`, which normalises the pixels.
        desc: label of the progress bar.
        compute: ``compute(pixels, batch)`` returns named tensors with the rows of the batch on their first axis.

    Yields:
        On the main process only, for each batch: the tensors of ``compute`` and ``row`` (B,), on the CPU.
    """
    _share_statistics(accelerator, model.eval())
    for batch in tqdm(loader, desc=desc, leave=False, disable=not accelerator.is_main_process):
        with accelerator.autocast():
            pixels = processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
            computed = compute(pixels, batch)
        computed = accelerator.gather_for_metrics(computed | {"row": batch["row"]})
        if accelerator.is_main_process:
            yield {name: tensor.cpu() for name, tensor in computed.items()}


def evaluate(
    accelerator,
    model: nn.Module,
    loader,
    processor,
    metrics: dict,
    desc: str,
    rotations: int = 1,
    trees: Trees | None = None,
    scheme: str | None = None,
    compared: np.ndarray | None = None,
) -> dict | None:
    """Score a classifier on a split.

    Args:
        metrics: any of ``"classes"`` (:class:`~galaxy_vision.evaluation.metrics.GalaxyMetric`), ``"votes"``
            (:class:`~galaxy_vision.evaluation.votes.VoteMetrics`) and ``"examples"`` (:class:`Examples`); only these
            are evaluated.
        rotations: as in :func:`~galaxy_vision.inference.rotations.classify`.
        trees: whose votes the rows have; None without votes. The class of a row is that by the campaign that labels
            it: the first one that decides classes and showed the galaxy.
        scheme: as in :func:`~galaxy_vision.inference.classes.class_probabilities`.
        compared: indices of the model's answers whose votes the rows have; None for all.

    Returns:
        The results of the metrics and the loss (None if no row has a label or votes) on the main process; None on the
        others. The loss is that of training: of classes, that of the class head.
    """

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        output = classify(model, pixels, rotations)
        classes = _probabilities_of_rows(model, output, batch.get("votes"), trees, scheme)
        computed = {"probabilities": classes, "labels": batch["labels"]}
        computed["head"] = output.logits.float().softmax(-1) if scheme is None else classes
        if "votes" in metrics:
            concentration = output.vote_concentration
            concentration = concentration if compared is None else concentration[:, compared]
            computed |= {"concentration": concentration, "votes": batch["votes"]}
        return computed

    sums, rows = torch.zeros(2, 2, dtype=torch.float64), 0  # sum and count, of classes and of votes
    for outputs in over_split(accelerator, model, loader, processor, desc, compute):
        rows += len(outputs["row"])
        sums[0] += class_nll(outputs["head"], outputs["labels"])
        if "classes" in metrics:
            metrics["classes"].add_batch(
                predictions=outputs["probabilities"].numpy(), references=outputs["labels"].numpy()
            )
        if "examples" in metrics:
            metrics["examples"].add_batch(outputs["row"], outputs["probabilities"], outputs["labels"])
        if "votes" in metrics:
            sums[1] += vote_nll(outputs["concentration"], outputs["votes"], metrics["votes"].trees)
            metrics["votes"].add_batch(
                predictions=outputs["concentration"].numpy(), references=outputs["votes"].numpy()
            )
    if not accelerator.is_main_process:
        return None
    results = {name: metric.compute() for name, metric in metrics.items()}
    loss = mean_loss(*sums.T).item() if sums[:, 1].any() else None
    return results | {"loss": loss, "rows": rows}


def evaluate_captions(accelerator, model, loader, processor, desc: str, **generate_kwargs) -> list[str] | None:
    """Generate the captions of a split in the order of its rows; return them on the main process, None on others."""

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        sequences = model.generate(pixel_values=pixels, **generate_kwargs)
        padding = {"dim": 1, "pad_index": model.config.pad_token_id}
        return {"sequences": accelerator.pad_across_processes(sequences, **padding)}

    captions: dict[int, str] = {}
    for outputs in over_split(accelerator, model, loader, processor.image_processor, desc, compute):
        captions |= zip(outputs["row"].tolist(), processor.batch_decode(outputs["sequences"]), strict=True)
    return [captions[row] for row in sorted(captions)] if accelerator.is_main_process else None


def template_captions(
    accelerator, classifier, loader, processor, tree: DecisionTree = GALAXY_ZOO_2
) -> list[str] | None:
    """Write a caption for each row from the votes that a classifier of ``tree`` predicts: the captioner's baseline.

    Returns:
        Captions on the main process; None on the others.
    """

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        concentration = classifier(pixel_values=pixels).vote_concentration
        return {"concentration": classifier.trees.part(concentration, tree.name).float()}

    captions: dict[int, str] = {}
    for outputs in over_split(accelerator, classifier, loader, processor, "predicted votes", compute):
        for row, concentration in zip(outputs["row"].tolist(), outputs["concentration"].numpy(), strict=True):
            captions[row] = write_captions(claims_from_votes(concentration, tree), 1, row, tree)[0]
    return [captions[row] for row in sorted(captions)] if accelerator.is_main_process else None
