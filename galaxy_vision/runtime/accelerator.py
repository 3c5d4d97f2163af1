"""Make the Accelerator of a run, and choose its precision by measurement where neither argument nor launcher does."""

import copy
import math
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState, is_initialized
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
)
from torch import nn

from .hardware import available_cores, has_native_bf16, keep_freed_memory

SECONDS = 1.0
"""Seconds that measuring bf16 may take. Ours: long enough for several passes, short beside any training run."""

WORTHWHILE = 1.1
"""Speed of bf16 relative to fp32 from which its rounding error is accepted. Ours: a smaller gain may be noise."""


def make_accelerator(
    mixed_precision: str,
    accumulation_steps: int,
    tracker: str | None,
    output_dir: Path,
    some_frozen: bool = False,
    timeout: timedelta | None = None,
) -> Accelerator:
    """Return an Accelerator that follows the flags of ``accelerate launch``.

    Args:
        mixed_precision: ``"auto"`` takes the launch flag, and fp32 where that is "no", until
            :func:`settle_precision` has chosen; any other value is taken as it is.
        accumulation_steps: batches for each optimiser step.
        tracker: ``"tensorboard"``, ``"trackio"``, ``"wandb"`` or None.
        output_dir: folder that trackers write to.
        some_frozen: some weights are frozen for a part of the run, so that DistributedDataParallel must look for
            parameters without gradients.
        timeout: how long processes wait for each other; None for the default of torch.

    Raises:
        ValueError: the device does not compute in this precision, or a distributed run has ended in this process.
    """
    keep_freed_memory()
    is_single_process = os.environ.get("WORLD_SIZE", "1") == "1"
    if is_single_process and not torch.cuda.is_available() and os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(available_cores())  # `accelerate launch` without options sets one thread
    forget_earlier_run()
    precision = chosen_precision(mixed_precision) or "no"
    accelerator = Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=accumulation_steps,
        # Batches are copied to a GPU while it computes; a blocking copy would wait until it has finished.
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, non_blocking=True),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=some_frozen)]
        + ([InitProcessGroupKwargs(timeout=timeout)] if timeout else []),
        log_with=tracker,
        project_dir=output_dir,
        step_scheduler_with_optimizer=False,
    )
    if precision == "fp16" and accelerator.device.type == "cpu":  # Accelerate would silently use fp32
        raise ValueError("mixed_precision=fp16 needs a GPU, and this run computes on a CPU; use auto, no or bf16")
    return accelerator


def forget_earlier_run() -> None:
    """Reset the state of Accelerate, so that a second run in one process, as in a notebook, may change the precision.

    Accelerate keeps one state for each process and has no public way to reset it. The process group of a distributed
    run belongs to PartialState, which is kept.

    Raises:
        ValueError: the earlier run was distributed and has ended; its process group is gone and cannot be made again.
    """
    if is_initialized() and PartialState().use_distributed and not torch.distributed.is_initialized():
        raise ValueError(
            "a run of several processes has ended in this process; start the next run by `accelerate launch`"
        )
    AcceleratorState._reset_state()


def chosen_precision(mixed_precision: str) -> str | None:
    """Return the precision of the argument, else of ``accelerate launch``; None where neither chooses one.

    The launcher's "no" is its default and does not count as a choice.
    """
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if mixed_precision != "auto":
        return mixed_precision
    return None if launched == "no" else launched


def settle_precision(
    accelerator: Accelerator, mixed_precision: str, measure: Callable[[], float], recorded: str | None = None
) -> None:
    """Choose fp32 or bf16 where neither the argument nor the launcher does, and print the choice in one line.

    Weights, random numbers and batch statistics are not changed by the measurement. All processes call this function
    and follow the main one.

    Args:
        accelerator: from :func:`make_accelerator`, before anything is prepared.
        mixed_precision: as for :func:`make_accelerator`.
        measure: returns the speed of bf16 relative to fp32; called only where the device has instructions for bf16.
        recorded: precision of the run that this one continues.
    """
    if chosen_precision(mixed_precision) is not None:
        return
    choice = ["no"]
    if accelerator.is_main_process:
        if recorded in ("no", "bf16"):
            choice, why = [recorded], "as the run began"  # the other one would not continue it exactly
        elif not has_native_bf16(accelerator.device.type):
            why = "without instructions for bf16"
        else:
            gpu = [accelerator.device] if accelerator.device.type == "cuda" else []
            with torch.random.fork_rng(gpu):
                gain = measure()
            choice = ["bf16" if gain >= WORTHWHILE else "no"]
            why = f"{gain:.1f} times fp32 on this machine"
            if gain < WORTHWHILE:
                why = f"bf16 is {gain:.1f} times as fast here"
        accelerator.print(f"precision: {'fp32' if choice == ['no'] else choice[0]} ({why})")
    if broadcast_object_list(choice) == ["bf16"]:
        _switch_to_bf16(accelerator)


def _switch_to_bf16(accelerator: Accelerator) -> None:
    """Set what ``Accelerator(mixed_precision="bf16")`` sets.

    There is no public way, and a new Accelerator would lose the hooks that are registered with this one.
    """
    accelerator.state._mixed_precision, accelerator.native_amp = "bf16", True


def training_gain(model: nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    """Return the speed of bf16 relative to fp32 in training: forward and backward passes of a copy of the model.

    Args:
        model: on its device.
        inputs: keyword arguments of ``forward`` with which it computes a loss; the first axis of each is the batch.
    """
    trial = copy.deepcopy(model).train()  # the batch statistics of the model must not change
    repeats = 2 if len(inputs["pixel_values"]) == 1 else 1  # batch normalisation needs two images
    inputs = {name: value.repeat_interleave(repeats, dim=0).to(model.device) for name, value in inputs.items()}
    inputs["pixel_values"] = inputs["pixel_values"].contiguous(memory_format=torch.channels_last)

    def compute(count: int, bf16: bool) -> None:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            loss = trial(**{name: value[:count] for name, value in inputs.items()}).loss
        loss.backward()
        trial.zero_grad()

    return bf16_gain(compute, len(inputs["pixel_values"]))


def bf16_gain(compute: Callable[[int, bool], None], images: int) -> float:
    """Return the speed of ``compute`` in bf16 relative to fp32, by the fastest of interleaved passes.

    Args:
        compute: called as ``compute(count, bf16)``; works on the first ``count`` images of a batch.
        images: size of the batch. Fewer are measured where passes over all of them would take longer than
            :data:`SECONDS`.
    """

    def timed(count: int, bf16: bool) -> float:
        started = time.perf_counter()
        compute(count, bf16)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter() - started

    started = time.perf_counter()
    count = min(2, images)  # the fewest that batch normalisation can train on
    for bf16 in (False, True):
        timed(count, bf16)  # the first pass of a shape also prepares its kernels
    fastest = {bf16: timed(count, bf16) for bf16 in (False, True)}
    fitting = int(count * SECONDS / (8 * max(fastest.values())))  # time for 8 passes: 2 that prepare, 3 pairs
    if fitting > count:
        count = min(images, fitting)
        for bf16 in (False, True):
            timed(count, bf16)
        fastest = {False: math.inf, True: math.inf}
    while True:
        for bf16 in fastest:
            fastest[bf16] = min(fastest[bf16], timed(count, bf16))
        if time.perf_counter() - started > SECONDS:
            return fastest[False] / fastest[True]


def on_any_process(accelerator, *flags: bool) -> tuple[bool, ...]:
    """Return for each flag whether it is true on any process, so that all processes branch alike."""
    if accelerator.num_processes == 1:
        return flags
    counts = accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=accelerator.device), "sum")
    return tuple(count > 0 for count in counts.tolist())
