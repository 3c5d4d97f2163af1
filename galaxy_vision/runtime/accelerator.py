"""The Accelerator of every run, made in one place, and its precision, measured where nobody chose it."""

import copy
import math
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
)
from torch import nn

from .hardware import available_cores, has_native_bf16, keep_freed_memory

SECONDS = 1.0
"""Time for measuring bf16; a model that takes a tenth of it for two images is measured by a few passes of two."""

WORTHWHILE = 1.1
"""Times that bf16 must be faster than fp32 to be worth its rounding; a smaller gain may be noise."""


def make_accelerator(
    mixed_precision: str,
    accumulation_steps: int,
    tracker: str | None,
    output_dir: Path,
    some_frozen: bool = False,
    timeout: timedelta | None = None,
) -> Accelerator:
    """An Accelerator that reads the flags of ``accelerate launch``.

    Args:
        mixed_precision: ``"auto"`` takes the launch flag, and fp32 where that says no, until :func:`settle_precision`
            has chosen; any other value is taken as it is.
        accumulation_steps: batches for each optimiser step.
        tracker: ``"tensorboard"``, ``"trackio"``, ``"wandb"`` or None.
        output_dir: where trackers write.
        some_frozen: weights are frozen for a part of the run, which several processes must know of.
        timeout: how long processes wait for each other (default: that of torch).

    Raises:
        ValueError: the device does not compute in this precision, or an earlier run of several processes has ended
            here.
    """
    keep_freed_memory()
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if alone and not torch.cuda.is_available() and os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(available_cores())  # a bare `accelerate launch` sets one thread, which nobody chose
    forget_earlier_run()
    precision = chosen_precision(mixed_precision) or "no"
    accelerator = Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=accumulation_steps,
        # Batches are copied to a GPU while it still computes; a copy that blocks would first wait for all that it was
        # given.
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, non_blocking=True),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=some_frozen)]
        + ([InitProcessGroupKwargs(timeout=timeout)] if timeout else []),
        log_with=tracker,
        project_dir=output_dir,
        step_scheduler_with_optimizer=False,
    )
    if precision == "fp16" and accelerator.device.type == "cpu":  # where Accelerate computes fp32 and says nothing
        raise ValueError("mixed_precision=fp16 needs a GPU, and this run computes on a CPU; use auto, no or bf16")
    return accelerator


def forget_earlier_run() -> None:
    """Let a run in this process have another precision than the one before it, as in a notebook.

    Accelerate keeps one state for the whole process and refuses to change its precision. The process group of a
    distributed run is kept elsewhere, in PartialState, and stays.

    Raises:
        ValueError: it was a distributed run, whose end has destroyed that group; a new one might meet what is left of
            it.
    """
    if PartialState._shared_state and PartialState().use_distributed and not torch.distributed.is_initialized():
        raise ValueError("a run of several processes has ended in this one; start the next by a launch of its own")
    AcceleratorState._reset_state()


def chosen_precision(mixed_precision: str) -> str | None:
    """What the argument or else ``accelerate launch`` asks for, or None: its "no" is a default that nobody chose."""
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    return mixed_precision if mixed_precision != "auto" else None if launched == "no" else launched


def settle_precision(
    accelerator: Accelerator, mixed_precision: str, measure: Callable[[], float], recorded: str | None = None
) -> None:
    """Choose fp32 or bf16 where neither the argument nor the launcher did, and say so in one line.

    Weights, random numbers and batch statistics are afterwards what they would be had the choice been an argument. All
    processes call it and take the choice of the main one.

    Args:
        accelerator: of :func:`make_accelerator`, with nothing prepared yet.
        mixed_precision: as of :func:`make_accelerator`.
        measure: how many times faster bf16 is than fp32; asked only where the device has instructions for bf16.
        recorded: precision of the run that this one continues.
    """
    if chosen_precision(mixed_precision) is not None:
        return
    choice = ["no"]
    if accelerator.is_main_process:
        if recorded in ("no", "bf16"):
            choice, why = [recorded], "as the run began"
        elif not has_native_bf16(accelerator.device.type):
            why = "without instructions for bf16"
        else:
            gpu = [accelerator.device] if accelerator.device.type == "cuda" else []
            with torch.random.fork_rng(gpu):
                gain = measure()
            choice = ["bf16" if gain >= WORTHWHILE else "no"]
            why = (
                f"{gain:.1f} times fp32 on this machine"
                if gain >= WORTHWHILE
                else f"bf16 is {gain:.1f} times as fast here"
            )
        accelerator.print(f"precision: {'fp32' if choice == ['no'] else choice[0]} ({why})")
    if broadcast_object_list(choice) == ["bf16"]:
        # As Accelerator(mixed_precision="bf16") does; a new one would lose what was registered with this one.
        accelerator.state._mixed_precision, accelerator.native_amp = "bf16", True


def training_gain(model: nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    """How many times faster bf16 is in training: forward and backward of a copy of the model.

    Args:
        model: on its device.
        inputs: one batch of what ``forward`` takes, for a loss; each with the images on the first axis.
    """
    trial = copy.deepcopy(model).train()  # which has batch statistics of its own
    repeats = (
        2 if len(inputs["pixel_values"]) == 1 else 1
    )  # batch normalisation needs two images, as in train_one_epoch
    inputs = {name: value.repeat_interleave(repeats, dim=0).to(model.device) for name, value in inputs.items()}
    inputs["pixel_values"] = inputs["pixel_values"].contiguous(memory_format=torch.channels_last)

    def compute(count: int, bf16: bool) -> None:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            loss = trial(**{name: value[:count] for name, value in inputs.items()}).loss
        loss.backward()
        trial.zero_grad()

    return bf16_gain(compute, len(inputs["pixel_values"]))


def bf16_gain(compute: Callable[[int, bool], None], images: int) -> float:
    """How many times faster than in fp32 ``compute(count, bf16)`` is in bf16, by the fastest of interleaved passes.

    Args:
        compute: works on the first ``count`` images of a batch.
        images: of the whole batch, which is cut where passes over it would take too long.
    """

    def timed(count: int, bf16: bool) -> float:
        started = time.perf_counter()
        compute(count, bf16)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter() - started

    started = time.perf_counter()
    count = min(2, images)  # of which batch normalisation needs two
    for bf16 in (False, True):
        timed(count, bf16)  # the first pass of a shape also builds what computes it
    fastest = {bf16: timed(count, bf16) for bf16 in (False, True)}
    fitting = int(count * SECONDS / (8 * max(fastest.values())))  # two passes that build, and three rounds of two
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
    """Whether each holds on any process, so that all of them do the same."""
    if accelerator.num_processes == 1:
        return flags
    counts = accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=accelerator.device), "sum")
    return tuple(count > 0 for count in counts.tolist())
