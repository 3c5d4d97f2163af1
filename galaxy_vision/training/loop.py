"""One epoch and evaluation: plain functions on an Accelerator."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate.utils import gather_object
from torch import nn

from ..data.batches import augment
from ..evaluation.objectives import CLASSIFIER, Objective, mean_loss
from ..runtime.accelerator import on_any_process
from ..runtime.files import write_json
from ..runtime.orderly_end import Terminated
from .checkpoints import Progress


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

    The order of the rows is a permutation by the seed and the epoch alone; batch k of process p of n is number k n + p
    of it. The loss of an optimiser step is the mean over all its rows, of whatever batch and process.

    Args:
        targets: ``targets(batch, pixels, generator)`` gives what the objective needs beside ``pixel_values``.
        checkpoints: a :class:`~galaxy_vision.training.checkpoints.Checkpoints`.
        objective: the loss.

    Raises:
        FloatingPointError: a loss is NaN or infinite; nothing is learned from its batch, whose rows are in
            ``bad_batch.json``.
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
                # The one place where a classifier's step waits for the device. Nothing may be learned from a bad batch,
                # so it stands before the optimiser; and before the backward pass, so that a GPU is busy with both while
                # the next batch is made.
                bad, terminating = on_any_process(accelerator, not math.isfinite(loss.item()), checkpoints.terminating)
                if bad:
                    _refuse_batch(
                        accelerator, ready.batch["row"], mean_loss(batch_sums, batch_counts).item(), progress, args
                    )
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
