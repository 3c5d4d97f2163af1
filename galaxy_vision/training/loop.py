"""One epoch of training, on a run's state."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from timm.utils import ModelEmaV3
from torch import nn
from tqdm.auto import tqdm

from ..data.augmentation import augment
from ..evaluation.objectives import Objective, mean_loss
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..runtime.accelerator import on_any_process
from ..runtime.files import write_json
from ..runtime.orderly_end import Terminated, Termination
from .arguments import TrainingRun
from .checkpoints import Checkpoints, Progress


@dataclass
class Run:
    """A run from its beginning.

    Attributes:
        args: what it was told.
        accelerator: that of all its processes.
        termination: whether SIGTERM has come.
        progress: steps and epochs done.
        started: when, by ``time.perf_counter()``.
    """

    args: TrainingRun
    accelerator: Accelerator
    termination: Termination
    progress: Progress
    started: float


@dataclass
class RunState(Run):
    """A run that learns: all that an epoch of training needs, and changes.

    Attributes:
        model: learns; prepared by the accelerator, as are optimiser and loaders.
        ema: its averaged weights, which are evaluated and saved; None where nothing is averaged.
        optimizer: of the weights that learn.
        scheduler: of its learning rate; advances once an optimiser step.
        loaders: split -> batches.
        processor: normalises the pixels of a batch.
        objective: the loss.
        targets: ``targets(batch, pixels, generator)`` gives what the objective needs beside ``pixel_values``.
        checkpoints: where the run is saved.
        bar: shows progress.
        keeps_statistics: batch normalisation keeps the means and variances that it has, as few images say little of
            them.
        checkpoint_epochs: epochs between checkpoints; a few seconds of learning need not be saved every time.
    """

    model: nn.Module
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    loaders: dict
    processor: GalaxyImageProcessor
    objective: Objective
    targets: Callable
    checkpoints: Checkpoints
    bar: tqdm
    keeps_statistics: bool = False
    checkpoint_epochs: int = 1

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated and saved: the averaged one, where there is one."""
        return self.ema.module if self.ema is not None else self.accelerator.unwrap_model(self.model)


class _Ready(NamedTuple):
    """A batch, what the model's forward takes of it, the seed of its dropout, and the weight of each of its rows."""

    batch: dict
    inputs: dict
    seed: int
    weight: float


def _make_ready(run: RunState, batch: dict, step: int) -> _Ready:
    # Augmentation and dropout depend on the place in the run only, so that a resumed run repeats them exactly.
    step_of_run = (run.args.seed * 1_000_003 + run.progress.epoch) * 1_000_003 + step
    seed = (step_of_run * 1_009 + run.accelerator.process_index) % 2**63
    generator = torch.Generator().manual_seed(seed)
    weight = 0.0 if "spare" in batch else 1.0  # spare: of a process whose stream is through while others go on
    if len(batch["pixels"]) == 1:  # batch normalisation needs more than one: two views of that galaxy
        batch, weight = {key: value.repeat_interleave(2, dim=0) for key, value in batch.items()}, weight / 2
    pixels = run.processor.normalize_pixels(batch["pixels"])
    if run.args.augmentation:
        processor = run.processor
        light = {"mean": processor.image_mean, "std": processor.image_std}
        pixels = augment(pixels, generator, run.args.views, run.args.image_size, **light)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return _Ready(batch, {"pixel_values": pixels} | run.targets(batch, pixels, generator), seed, weight)


def train_one_epoch(run: RunState) -> float | None:
    """Train from ``run.progress.step_in_epoch`` to the end of the epoch.

    The order of the rows is a permutation by the seed and the epoch alone; batch k of process p of n is number k n + p
    of it. The loss of an optimiser step is the mean over all its rows, of whatever batch and process.

    Returns:
        The mean loss of the steps done here; None if there was none.

    Raises:
        FloatingPointError: a loss is NaN or infinite; nothing is learned from its batch, whose rows are in
            ``bad_batch.json``.
        Terminated: SIGTERM has come.
    """
    args, accelerator, model, progress, objective = run.args, run.accelerator, run.model, run.progress, run.objective
    loader = run.loaders["train"]
    loader.set_epoch(progress.epoch)
    batches = loader
    if progress.step_in_epoch and not args.streaming:  # a stream begins where progress is
        batches = accelerator.skip_first_batches(loader, progress.step_in_epoch)
    model.train()
    if run.keeps_statistics:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    batches, sums, counts, images, started = iter(batches), 0.0, 0.0, 0, time.perf_counter()
    # backward() divides by the batches of a step, and several processes by their number.
    undivided = accelerator.gradient_accumulation_steps * accelerator.num_processes
    due = False
    while group := list(islice(batches, args.accumulation_steps)):
        group = [_make_ready(run, batch, progress.step_in_epoch + index) for index, batch in enumerate(group)]
        group_counts = [ready.weight * objective.counts(ready.inputs) for ready in group]
        step_counts = accelerator.reduce(torch.stack(group_counts).sum(0), "sum")
        for index, (ready, batch_counts) in enumerate(zip(group, group_counts, strict=True)):
            last = index == len(group) - 1
            torch.manual_seed(ready.seed)
            with nullcontext() if last else accelerator.no_sync(model):
                batch_sums = ready.weight * objective.sums(model, ready.inputs)
                loss = undivided * mean_loss(batch_sums, step_counts)
                # The one place where a classifier's step waits for the device. Nothing may be learned from a bad batch,
                # so it stands before the optimiser; and before the backward pass, so that a GPU is busy with both while
                # the next batch is made.
                bad, terminating = on_any_process(accelerator, not math.isfinite(loss.item()), run.termination.noted)
                if bad:
                    _refuse_batch(run, ready.batch["row"], mean_loss(batch_sums, batch_counts).item())
                accelerator.backward(loss)
            sums, counts = sums + batch_sums.detach(), counts + batch_counts
            images += len(ready.batch["row"]) * accelerator.num_processes * (ready.weight > 0)
            progress.step_in_epoch += 1
            batches_done = progress.epoch * len(loader) + progress.step_in_epoch
            due = due or terminating or (args.checkpoint_every > 0 and batches_done % args.checkpoint_every == 0)
            run.bar.update(1)
            if progress.step_in_epoch % 20 == 0:
                speed = images / (time.perf_counter() - started)
                run.bar.set_postfix(loss=f"{mean_loss(sums, counts).item():.3f}", images_per_s=f"{speed:.0f}")
        _clip_gradients(accelerator, model, args.max_grad_norm)
        run.optimizer.step()
        run.optimizer.zero_grad()
        run.scheduler.step()
        if run.ema is not None:
            # The step starts the average quickly; without it the first epochs would weigh on it for long.
            run.ema.update(accelerator.unwrap_model(model), step=run.scheduler.last_epoch)
        if due:  # gradients that are still summed up are not part of a checkpoint
            run.checkpoints.save(batches_done)
            due = False
            if terminating:
                raise Terminated
        if args.stop_after and batches_done >= args.stop_after:
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


def _refuse_batch(run: RunState, rows: torch.Tensor, loss: float) -> None:
    found = gather_object([{"loss": str(loss), "rows": rows.tolist()}])
    found = [batch for batch in found if not math.isfinite(float(batch["loss"]))]
    epoch, step = run.progress.epoch + 1, run.progress.step_in_epoch
    path = Path(run.args.output_dir) / "bad_batch.json"
    if run.accelerator.is_main_process:
        write_json(path, {"epoch": epoch, "step_in_epoch": step, "batches": found})
    raise FloatingPointError(
        f"the loss is {found[0]['loss']} in epoch {epoch}, batch {step + 1}, of the training rows "
        f"{', '.join(map(str, found[0]['rows'][:8]))} ... ({path} lists them); look at them, or start again with "
        f"a lower --learning_rate than {run.args.learning_rate:g}"
    )
