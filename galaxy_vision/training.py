"""One epoch and evaluation: plain functions on an Accelerator."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate.utils import broadcast, gather_object
from torch import nn
from tqdm.auto import tqdm

from .batches import augment
from .captions import claims_from_votes, write_captions
from .objectives import CLASSIFIER, Objective, class_nll, mean_loss, vote_nll
from .orderly_end import Terminated
from .rotations import classify
from .whole_files import write_json


class Progress:
    """Steps and epochs done, and the history of each epoch: what a checkpoint needs beside tensors."""

    def __init__(self):
        self.epoch, self.step_in_epoch, self.history = 0, 0, []
        self.best_score, self.best_epoch = float("inf"), -1

    def state_dict(self) -> dict:
        return dict(vars(self))

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay for matrices and kernels; none for biases and normalisations."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    decayed, plain = [w for w in trained if w.ndim > 1], [w for w in trained if w.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


class _Ready(NamedTuple):
    """A batch, what the model's forward takes of it, the seed of its dropout, and the weight of each of its rows."""

    batch: dict
    inputs: dict
    seed: int
    weight: float


def _make_ready(accelerator, batch: dict, step: int, processor, progress, args, targets: Callable) -> _Ready:
    # Augmentation and dropout depend on the place in the run only, so that a resumed run repeats them exactly.
    place = (args.seed * 1_000_003 + progress.epoch) * 1_000_003 + step
    seed = (place * 1_009 + accelerator.process_index) % 2**63
    generator = torch.Generator().manual_seed(seed)
    weight = 0.0 if "spare" in batch else 1.0  # spare: of a process whose stream is through while others go on
    if len(batch["pixels"]) == 1:  # batch normalisation needs more than one: two views of that galaxy
        batch, weight = {key: value.repeat_interleave(2, dim=0) for key, value in batch.items()}, weight / 2
    pixels = processor.normalize_pixels(batch["pixels"])
    if args.augmentation:
        pixels = augment(pixels, generator)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return _Ready(batch, {"pixel_values": pixels} | targets(batch, pixels, generator), seed, weight)


def train_one_epoch(
    accelerator,
    model,
    ema,
    loader,
    optimizer,
    scheduler,
    processor,
    progress,
    args,
    targets: Callable,
    checkpoints,
    bar,
    objective: Objective = CLASSIFIER,
) -> float | None:
    """Train from ``progress.step_in_epoch`` to the end of the epoch; returns the mean loss of the steps done here, None if there was none.

    The order of the rows is a permutation by the seed and the epoch alone; batch k of process p of n is number k n + p of it.
    The loss of an optimiser step is the mean over all its rows, of whatever batch and process.

    Args:
        targets: ``targets(batch, pixels, generator)`` gives what the objective needs beside ``pixel_values``.
        checkpoints: a :class:`~galaxy_vision.checkpoints.Checkpoints`.
        objective: the loss.

    Raises:
        FloatingPointError: a loss is NaN or infinite; nothing is learned from its batch, whose rows are in ``bad_batch.json``.
        Terminated: SIGTERM has come.
    """
    loader.set_epoch(progress.epoch)
    batches = loader
    if progress.step_in_epoch and not args.streaming:  # a stream begins where progress is
        batches = accelerator.skip_first_batches(loader, progress.step_in_epoch)
    model.train()
    batches, sums, counts, images, started = iter(batches), 0.0, 0.0, 0, time.perf_counter()
    # backward() divides by the batches of a step, and several processes by their number.
    undivided = accelerator.gradient_accumulation_steps * accelerator.num_processes
    due = False
    while group := list(islice(batches, args.accumulation_steps)):
        group = [
            _make_ready(accelerator, batch, progress.step_in_epoch + place, processor, progress, args, targets)
            for place, batch in enumerate(group)
        ]
        group_counts = [ready.weight * objective.counts(ready.inputs) for ready in group]
        step_counts = accelerator.reduce(torch.stack(group_counts).sum(0), "sum")
        for place, (ready, batch_counts) in enumerate(zip(group, group_counts, strict=True)):
            last = place == len(group) - 1
            torch.manual_seed(ready.seed)
            with nullcontext() if last else accelerator.no_sync(model):
                batch_sums = ready.weight * objective.sums(model, ready.inputs)
                loss = undivided * mean_loss(batch_sums, step_counts)
                # The one place where a classifier's step waits for the device. Nothing may be learned from a bad batch, so it
                # stands before the optimiser; and before the backward pass, so that a GPU is busy with both while the next batch
                # is made.
                bad, terminating = on_any_process(accelerator, not math.isfinite(loss.item()), checkpoints.terminating)
                if bad:
                    _refuse_batch(accelerator, ready.batch["row"], mean_loss(batch_sums, batch_counts).item(), progress, args)
                accelerator.backward(loss)
            sums, counts = sums + batch_sums.detach(), counts + batch_counts
            images += len(ready.batch["row"]) * accelerator.num_processes * (ready.weight > 0)
            progress.step_in_epoch += 1
            at = progress.epoch * len(loader) + progress.step_in_epoch
            due = due or terminating or (args.checkpoint_every > 0 and at % args.checkpoint_every == 0)
            bar.update(1)
            if progress.step_in_epoch % 20 == 0:
                speed = images / (time.perf_counter() - started)
                bar.set_postfix(loss=f"{mean_loss(sums, counts).item():.3f}", images_per_s=f"{speed:.0f}")
        _clip_gradients(accelerator, model, args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        if ema is not None:
            # The step starts the average quickly; without it the first epochs would weigh on it for long.
            ema.update(accelerator.unwrap_model(model), step=scheduler.last_epoch)
        if due:  # gradients that are still summed up are not part of a checkpoint
            checkpoints.save(at)
            due = False
            if terminating:
                raise Terminated
        if args.stop_after and at >= args.stop_after:
            raise KeyboardInterrupt
    if not torch.is_tensor(sums):  # resumed after the last batch of the epoch
        return None
    return mean_loss(*accelerator.reduce((sums, counts), "sum")).item()


def _clip_gradients(accelerator, model: nn.Module, max_norm: float) -> None:
    """As ``accelerator.clip_grad_norm_``, which multiplies gradients that are short enough by one."""
    accelerator.unscale_gradients()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if norm.device.type != "cpu" or not norm <= max_norm:  # to know it, one would have to wait for a GPU
        nn.utils.clip_grads_with_norm_(model.parameters(), max_norm, norm)


def on_any_process(accelerator, *flags: bool) -> tuple[bool, ...]:
    """Whether each holds on any process, so that all of them do the same."""
    if accelerator.num_processes == 1:
        return flags
    counts = accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=accelerator.device), "sum")
    return tuple(count > 0 for count in counts.tolist())


def _refuse_batch(accelerator, rows: torch.Tensor, loss: float, progress: Progress, args) -> None:
    found = gather_object([{"loss": str(loss), "rows": rows.tolist()}])
    found = [each for each in found if not math.isfinite(float(each["loss"]))]
    path = Path(args.output_dir) / "bad_batch.json"
    if accelerator.is_main_process:
        write_json(path, {"epoch": progress.epoch + 1, "step_in_epoch": progress.step_in_epoch, "batches": found})
    raise FloatingPointError(
        f"the loss is {found[0]['loss']} in epoch {progress.epoch + 1}, batch {progress.step_in_epoch + 1}, of the training rows "
        f"{', '.join(map(str, found[0]['rows'][:8]))} ... ({path} lists them); look at them, or start again with a lower "
        f"--learning_rate than {args.learning_rate:g}"
    )


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
            return {"row": row, "true": self.label_names[label], "predicted": self.label_names[answer], "probability": sure}

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
            pixels = processor.image_processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
            sequences = model.generate(pixel_values=pixels, **generate_kwargs)
        sequences = accelerator.pad_across_processes(sequences, dim=1, pad_index=model.config.pad_token_id)
        rows, sequences = accelerator.gather_for_metrics((batch["row"], sequences))
        if accelerator.is_main_process:
            written |= zip(rows.tolist(), processor.batch_decode(sequences), strict=True)
    return [written[row] for row in sorted(written)] if accelerator.is_main_process else None


@torch.no_grad()
def taught_targets(
    classifier, tokenizer, pixels: torch.Tensor, labels: torch.Tensor, taught: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Replace the references (B, T) of the rows in ``taught`` (B,) by captions of the votes that the classifier predicts for these pixels.

    Distillation (Hinton et al. 2015, arXiv:1503.02531): the classifier knows when it cannot know, which the captions of one galaxy's true
    votes do not.
    """
    rows = taught.nonzero()[:, 0]
    predicted = classifier(pixels[rows]).vote_concentration.float().cpu().numpy()
    seeds = torch.randint(0, 2**31, (len(rows),), generator=generator).tolist()
    captions = [write_captions(claims_from_votes(row), 1, seed)[0] for row, seed in zip(predicted, seeds, strict=True)]
    written = tokenizer(captions, padding=True, return_tensors="pt")["input_ids"].to(labels.device)
    replaced = labels.new_full((len(labels), max(labels.shape[1], written.shape[1])), tokenizer.pad_token_id)
    replaced[:, : labels.shape[1]] = labels
    replaced[rows] = tokenizer.pad_token_id
    replaced[rows, : written.shape[1]] = written
    return replaced


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
