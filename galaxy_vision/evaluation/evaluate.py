"""One pass over a split: a model's outputs into metrics, or its captions into a list."""

from collections.abc import Callable

import torch
from accelerate.utils import broadcast
from torch import nn
from tqdm.auto import tqdm

from ..captions.claims import claims_from_votes
from ..captions.writing import write_captions
from ..inference.rotations import classify
from .objectives import class_nll, mean_loss, vote_nll


class Examples:
    """Rows to look at, out of a classifier's evaluation: its most confident mistakes, and its first right answers of each class.

    Args:
        label_names: class names in label order.
        num_mistakes: mistakes that are kept.
        num_correct: right answers of each class that are kept, the first of the split: nobody chose them.
    """

    def __init__(self, label_names: list[str], num_mistakes: int = 24, num_correct: int = 3):
        self.label_names, self.num_mistakes, self.num_correct = label_names, num_mistakes, num_correct
        self.mistakes: list[tuple] = []
        self.correct: dict[int, list[tuple]] = {}

    def add_batch(self, rows: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor) -> None:
        """Rows (B,), probabilities (B, C) and labels (B,), negative where uncertain (left out)."""
        top, said = probabilities.max(-1)
        for row, label, answer, sure in zip(rows.tolist(), labels.tolist(), said.tolist(), top.tolist(), strict=True):
            if label >= 0 and label == answer:
                self.correct.setdefault(label, []).append((row, label, answer, sure))
            elif label >= 0:
                self.mistakes.append((row, label, answer, sure))
        self.mistakes = sorted(self.mistakes, key=lambda each: (-each[3], each[0]))[: self.num_mistakes]
        self.correct = {label: sorted(found)[: self.num_correct] for label, found in self.correct.items()}

    def compute(self) -> dict[str, list[dict]]:
        """``mistakes``, the surest first, and ``correct``, by class: each with ``row``, ``true``, ``predicted`` and ``probability``."""

        def named(row: int, label: int, answer: int, sure: float) -> dict:
            return {
                "row": row,
                "true": self.label_names[label],
                "predicted": self.label_names[answer],
                "probability": sure,
            }

        correct = [named(*each) for label in sorted(self.correct) for each in self.correct[label]]
        return {"mistakes": [named(*each) for each in self.mistakes], "correct": correct}


def class_probabilities(output) -> torch.Tensor:
    """(B, C), of the model's class head."""
    return output.logits.float().softmax(-1)


def _share_statistics(accelerator, model: nn.Module) -> None:
    """Batch statistics are of each process; all evaluate with those of the main process, which are the ones that are saved."""
    if accelerator.num_processes > 1:
        for statistic in model.buffers():
            broadcast(statistic)


@torch.inference_mode()
def evaluate(
    accelerator,
    model: nn.Module,
    loader,
    processor,
    metrics: dict,
    desc: str,
    rotations: int = 1,
    probabilities: Callable = class_probabilities,
) -> dict | None:
    """Stream a split through the model into the metrics; every row counts once, whatever the number of processes.

    Args:
        metrics: any of ``"classes"`` and ``"votes"`` (:class:`~galaxy_vision.metrics.GalaxyMetric`) and ``"examples"``
            (:class:`Examples`); what is not there is not evaluated.
        rotations: as in :func:`~galaxy_vision.rotations.classify`.
        probabilities: output of the model -> (B, C) class probabilities.

    Returns:
        Their results and the loss (None where no row has a label or votes) on the main process; None on the others.
    """
    _share_statistics(accelerator, model.eval())
    sums, rows = torch.zeros(2, 2, dtype=torch.float64), 0  # classes and votes, each sum and count
    for batch in tqdm(loader, desc=desc, leave=False, disable=not accelerator.is_main_process):
        with accelerator.autocast():
            pixels = processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
            output = classify(model, pixels, rotations)
        ready = {"probabilities": probabilities(output), "labels": batch["labels"], "row": batch["row"]}
        if "votes" in metrics:
            ready |= {"concentration": output.vote_concentration, "votes": batch["votes"]}
        ready = accelerator.gather_for_metrics(ready)
        if not accelerator.is_main_process:
            continue
        ready = {key: value.cpu() for key, value in ready.items()}
        rows += len(ready["row"])
        if "classes" in metrics:
            metrics["classes"].add_batch(predictions=ready["probabilities"].numpy(), references=ready["labels"].numpy())
        if "examples" in metrics:
            metrics["examples"].add_batch(ready["row"], ready["probabilities"], ready["labels"])
        if "votes" in metrics:
            metrics["votes"].add_batch(predictions=ready["concentration"].numpy(), references=ready["votes"].numpy())
        sums[0] += class_nll(ready["probabilities"], ready["labels"])
        if "votes" in metrics:
            sums[1] += vote_nll(ready["concentration"], ready["votes"])
    if not accelerator.is_main_process:
        return None
    results = {name: metric.compute() for name, metric in metrics.items()}
    loss = mean_loss(*sums.T).item() if sums[:, 1].any() else None
    return results | {"loss": loss, "rows": rows}


@torch.inference_mode()
def evaluate_captions(accelerator, model, loader, processor, desc: str, **generate_kwargs) -> list[str] | None:
    """Write the caption of every row of a split, in the order of rows, on the main process; None on the others."""
    _share_statistics(accelerator, model.eval())
    written: dict[int, str] = {}
    for batch in tqdm(loader, desc=desc, leave=False, disable=not accelerator.is_main_process):
        with accelerator.autocast():
            pixels = processor.image_processor.normalize_pixels(batch["pixels"]).contiguous(
                memory_format=torch.channels_last
            )
            sequences = model.generate(pixel_values=pixels, **generate_kwargs)
        sequences = accelerator.pad_across_processes(sequences, dim=1, pad_index=model.config.pad_token_id)
        rows, sequences = accelerator.gather_for_metrics((batch["row"], sequences))
        if accelerator.is_main_process:
            written |= zip(rows.tolist(), processor.batch_decode(sequences), strict=True)
    return [written[row] for row in sorted(written)] if accelerator.is_main_process else None


@torch.inference_mode()
def template_captions(accelerator, classifier, loader, image_processor) -> list[str] | None:
    """The captioner's rival: sentences written by rule from the votes that a classifier predicts; in the order of rows."""
    classifier.eval()
    written: dict[int, str] = {}
    for batch in tqdm(loader, desc="predicted votes", leave=False, disable=not accelerator.is_main_process):
        with accelerator.autocast():
            pixels = image_processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
            concentration = classifier(pixel_values=pixels).vote_concentration
        rows, concentration = accelerator.gather_for_metrics((batch["row"], concentration))
        for row, predicted in zip(rows.tolist(), concentration.float().cpu().numpy(), strict=True):
            written[row] = write_captions(claims_from_votes(predicted), 1, seed=row)[0]
    return [written[row] for row in sorted(written)] if accelerator.is_main_process else None
