"""One pass over a split: a model's outputs into metrics, or its captions into a list."""

from collections.abc import Callable, Iterator

import torch
from accelerate.utils import broadcast
from torch import nn
from tqdm.auto import tqdm

from ..captions.claims import claims_from_votes
from ..captions.writing import write_captions
from ..inference.rotations import classify
from .objectives import class_nll, mean_loss, vote_nll


class Examples:
    """Rows of an evaluation to look at: the most confident mistakes, and the first right answers of each class.

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
        """Return ``mistakes``, the surest first, and ``correct``, by class.

        Each has ``row``, ``true``, ``predicted`` and ``probability``.
        """

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
    """Give all processes the batch statistics of the main process, which are the ones that are saved."""
    if accelerator.num_processes > 1:
        for statistic in model.buffers():
            broadcast(statistic)


@torch.inference_mode()
def over_split(accelerator, model: nn.Module, loader, processor, desc: str, compute: Callable) -> Iterator[dict]:
    """Stream a split through a model; every row comes once, whatever the number of processes.

    Args:
        processor: a :class:`~galaxy_vision.GalaxyImageProcessor`, which normalises the pixels.
        desc: stands before the progress bar.
        compute: ``compute(pixels, batch)`` gives named tensors with the rows of the batch on their first axis.

    Yields:
        On the main process alone, batch by batch: what ``compute`` gave, and ``row`` (B,), on the CPU.
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
    probabilities: Callable = class_probabilities,
) -> dict | None:
    """Score a classifier on a split.

    Args:
        metrics: any of ``"classes"`` and ``"votes"`` (:class:`~galaxy_vision.evaluation.metrics.GalaxyMetric`) and
            ``"examples"`` (:class:`Examples`); what is not there is not evaluated.
        rotations: as in :func:`~galaxy_vision.inference.rotations.classify`.
        probabilities: output of the model -> (B, C) class probabilities.

    Returns:
        Their results and the loss (None where no row has a label or votes) on the main process; None on the others.
    """

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        output = classify(model, pixels, rotations)
        computed = {"probabilities": probabilities(output), "labels": batch["labels"]}
        if "votes" in metrics:
            computed |= {"concentration": output.vote_concentration, "votes": batch["votes"]}
        return computed

    sums, rows = torch.zeros(2, 2, dtype=torch.float64), 0  # classes and votes, each sum and count
    for found in over_split(accelerator, model, loader, processor, desc, compute):
        rows += len(found["row"])
        sums[0] += class_nll(found["probabilities"], found["labels"])
        if "classes" in metrics:
            metrics["classes"].add_batch(predictions=found["probabilities"].numpy(), references=found["labels"].numpy())
        if "examples" in metrics:
            metrics["examples"].add_batch(found["row"], found["probabilities"], found["labels"])
        if "votes" in metrics:
            sums[1] += vote_nll(found["concentration"], found["votes"])
            metrics["votes"].add_batch(predictions=found["concentration"].numpy(), references=found["votes"].numpy())
    if not accelerator.is_main_process:
        return None
    results = {name: metric.compute() for name, metric in metrics.items()}
    loss = mean_loss(*sums.T).item() if sums[:, 1].any() else None
    return results | {"loss": loss, "rows": rows}


def evaluate_captions(accelerator, model, loader, processor, desc: str, **generate_kwargs) -> list[str] | None:
    """Write the caption of every row of a split, in the order of rows, on the main process; None on the others."""

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        sequences = model.generate(pixel_values=pixels, **generate_kwargs)
        padding = {"dim": 1, "pad_index": model.config.pad_token_id}
        return {"sequences": accelerator.pad_across_processes(sequences, **padding)}

    written: dict[int, str] = {}
    for found in over_split(accelerator, model, loader, processor.image_processor, desc, compute):
        written |= zip(found["row"].tolist(), processor.batch_decode(found["sequences"]), strict=True)
    return [written[row] for row in sorted(written)] if accelerator.is_main_process else None


def template_captions(accelerator, classifier, loader, processor) -> list[str] | None:
    """Write the sentences of the captioner's rival, by rule from the votes that a classifier predicts, row by row.

    Returns:
        Captions on the main process; None on the others.
    """

    def compute(pixels: torch.Tensor, batch: dict) -> dict:
        return {"concentration": classifier(pixel_values=pixels).vote_concentration.float()}

    written: dict[int, str] = {}
    for found in over_split(accelerator, classifier, loader, processor, "predicted votes", compute):
        for row, predicted in zip(found["row"].tolist(), found["concentration"].numpy(), strict=True):
            written[row] = write_captions(claims_from_votes(predicted), 1, seed=row)[0]
    return [written[row] for row in sorted(written)] if accelerator.is_main_process else None
