"""What both training scripts share: begin, prepare, learn and choose, test once, report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate.utils import set_seed
from timm.utils import ModelEmaV3
from torch import nn
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from ..data.splits import SPLITS
from ..evaluation.objectives import Objective
from ..evaluation.publish import push_at_the_end
from ..evaluation.report import finish_run
from ..evaluation.sums import few_tested
from ..evaluation.tables import summary_table
from ..runtime.accelerator import make_accelerator, settle_precision, training_gain
from ..runtime.files import sole_run
from ..runtime.orderly_end import orderly_end, refusals_in_one_line
from .arguments import TrainingRun
from .checkpoints import Checkpoints, Progress, checkpoint_precision, checkpoint_steps, save_best
from .loop import Run, RunState, train_one_epoch
from .rows import Rows


@contextmanager
def training_run(args: TrainingRun, some_frozen: bool = False) -> Iterator[Run]:
    """Begin a run: alone in its folder, with its seed, deterministic; and end it with one line, whatever ends it.

    Args:
        some_frozen: weights are frozen for a part of the run.

    Raises:
        SystemExit: the folder holds an unfinished run, or the device does not compute in this precision.
    """
    started, output_dir = time.perf_counter(), Path(args.output_dir)
    with sole_run(output_dir), orderly_end(output_dir) as termination:
        if not args.resume and any(checkpoint_steps(output_dir)):  # step 0 is no loss
            raise SystemExit(
                f"error: output_dir={output_dir} holds an unfinished run; go on with --resume, or give another folder"
            )
        with refusals_in_one_line():
            settings = (args.mixed_precision, args.accumulation_steps, args.tracker, output_dir, some_frozen)
            accelerator = make_accelerator(*settings)
        set_seed(args.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield Run(args, accelerator, termination, Progress(), started)


def parameter_groups(
    model: nn.Module, args: TrainingRun, backbone: nn.Module | None = None, backbone_rate: float = 1.0
) -> list[dict]:
    """Weights for the optimiser: decay for matrices and kernels, none for biases and normalisations.

    Args:
        backbone: the part of the model that learns at its own rate.
        backbone_rate: that rate, as a share of ``args.learning_rate``.
    """
    inside = set() if backbone is None else set(backbone.parameters())
    groups = {}
    for weight in model.parameters():
        decay, rate = args.weight_decay if weight.ndim > 1 else 0.0, backbone_rate if weight in inside else 1.0
        groups.setdefault((decay, rate), []).append(weight)
    return [
        {"params": weights, "weight_decay": decay, "lr": args.learning_rate * rate}
        for (decay, rate), weights in groups.items()
    ]


def prepare(
    run: Run,
    rows: Rows,
    model: nn.Module,
    groups: list[dict],
    objective: Objective,
    targets: Callable,
    keeps_statistics: bool = False,
) -> RunState:
    """Make a model ready to learn: precision, averaged weights, optimiser, schedule, checkpoints; resume if asked to.

    Args:
        groups: its weights for the optimiser, as of :func:`parameter_groups`.
        objective: the loss.
        targets: as of :class:`~galaxy_vision.training.loop.RunState`; so is ``keeps_statistics``.
    """
    args, accelerator = run.args, run.accelerator
    model = model.to(accelerator.device, memory_format=torch.channels_last)
    ema = ModelEmaV3(model, decay=args.ema_decay, use_warmup=True) if args.ema_decay else None

    def gain() -> float:
        batch = next(iter(rows.loaders["validation"]))
        pixels = rows.processor.normalize_pixels(batch["pixels"])
        return training_gain(model, {"pixel_values": pixels} | rows.validation_targets(batch))

    recorded = checkpoint_precision(Path(args.output_dir)) if args.resume else None
    settle_precision(accelerator, args.mixed_precision, gain, recorded)
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
    *loaders, model, optimizer = accelerator.prepare(*(rows.loaders[split] for split in SPLITS), model, optimizer)
    loaders = dict(zip(SPLITS, loaders, strict=True))
    steps = args.epochs * -(-len(loaders["train"]) // args.accumulation_steps)
    # Not prepared: it then advances once a step, whatever the number of processes.
    scheduler = get_cosine_schedule_with_warmup(optimizer, int(args.warmup_fraction * steps), steps)

    states = {"progress": run.progress, "scheduler": scheduler} | ({"ema": ema} if ema is not None else {})
    checkpoints = Checkpoints(accelerator, args, model, states, run.termination, rows.contents)
    if args.resume:
        checkpoints.resume()
    else:
        checkpoints.save(0)
    if args.tracker:
        accelerator.init_trackers("galaxy_vision", {k: v for k, v in asdict(args).items() if v is not None})
    words = f", {len(rows.tokenizer)} words" if rows.tokenizer else ""
    accelerator.print(
        f"{args.dataset}: {', '.join(f'{count} {split}' for split, count in rows.counts.items())} galaxies{words}; "
        f"{args.backbone} at {args.image_size} px; {accelerator.num_processes} process(es), "
        f"{accelerator.mixed_precision} precision"
    )
    done = run.progress.epoch * len(loaders["train"]) + run.progress.step_in_epoch
    total, hidden = args.epochs * len(loaders["train"]), not accelerator.is_main_process
    bar = tqdm(total=total, initial=done, desc="training", disable=hidden)
    return RunState(
        **vars(run),
        model=model,
        ema=ema,
        optimizer=optimizer,
        scheduler=scheduler,
        loaders=loaders,
        processor=rows.processor,
        objective=objective,
        targets=targets,
        checkpoints=checkpoints,
        bar=bar,
        keeps_statistics=keeps_statistics,
    )


def fit(run: RunState, validate: Callable, begin_epoch: Callable[[int], None] | None = None) -> None:
    """Train epoch by epoch, and keep the weights of the one with the best validation score.

    Args:
        validate: ``validate(model)`` gives on the main process the score, of which less is better, and the columns that
            the history shows of the epoch; None on the others.
        begin_epoch: called with the number of each epoch, from 0, before it.
    """
    args, accelerator, progress, checkpoints = run.args, run.accelerator, run.progress, run.checkpoints
    run.termination.wait(True)  # for the end of the batch or evaluation at hand
    with run.bar:
        while progress.epoch < args.epochs and not (
            args.patience and progress.epoch - progress.best_epoch > args.patience
        ):
            if begin_epoch:
                begin_epoch(progress.epoch)
            row = {"epoch": progress.epoch + 1, "train_loss": train_one_epoch(run)}
            checkpoints.check_weights((progress.epoch + 1) * len(run.loaders["train"]))
            score, columns = validate(run.evaluated) or (0.0, {})
            score = torch.tensor(score, device=accelerator.device)
            score = accelerator.reduce(score, "sum").item()  # the main process has it
            if score < progress.best_score:
                progress.best_score, progress.best_epoch = score, progress.epoch
                if accelerator.is_main_process:
                    save_best(run.evaluated, checkpoints.best)
            row |= columns
            known = {name: value for name, value in row.items() if value is not None}
            if accelerator.is_main_process:
                tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in known.items()))
            progress.history.append(row)
            accelerator.log(known, step=progress.epoch)
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
            if progress.epoch % run.checkpoint_epochs == 0 or progress.epoch == args.epochs:
                checkpoints.save(progress.epoch * len(run.loaders["train"]))
            checkpoints.end_if_terminating()


def finish(
    run: RunState, rows: Rows, kind: type, processor, test: Callable, more: Callable | None = None
) -> dict | None:
    """Test the weights of the best epoch, once; save and report; push if asked to.

    Args:
        kind: class of the model.
        processor: is saved beside it.
        test: model -> scores on the test split, on the main process; None on the others.
        more: content of metrics.json -> what it holds beside.

    Returns:
        The content of metrics.json on the main process; None on the others.

    Raises:
        FloatingPointError: no epoch had a finite validation score.
    """
    args, accelerator, progress, output_dir = run.args, run.accelerator, run.progress, Path(run.args.output_dir)
    # Nothing is to be saved any more, but several processes must end together.
    run.termination.wait(accelerator.num_processes > 1)
    accelerator.wait_for_everyone()
    if progress.best_epoch < 0:
        raise FloatingPointError("no epoch had a finite validation score; start again with a lower --learning_rate")
    best = kind.from_pretrained(run.checkpoints.best).to(accelerator.device, memory_format=torch.channels_last)
    results = test(best)
    run.checkpoints.end_if_terminating()
    run.termination.wait(False)
    if accelerator.is_main_process:
        best.save_pretrained(output_dir)
        processor.save_pretrained(output_dir)
        results |= {
            "arguments": asdict(args),
            "split_fingerprint": rows.fingerprints,
            "split_rows": rows.counts,
            "best_epoch": progress.best_epoch + 1,
            "history": progress.history,
            "num_processes": accelerator.num_processes,
            "seconds": round(time.perf_counter() - run.started, 1),
        }
        results |= more(results) if more else {}
        finish_run(args, accelerator, rows.data, rows.trees, results)
        if "task" not in results:
            chosen = (
                f"Test split, {results['rows']} galaxies, best of {progress.epoch} epochs: {progress.best_epoch + 1}"
            )
        elif args.folds:
            chosen = f"All {results['rows']} rows, each by a model of {args.folds} that has not learned from it"
        else:
            chosen = f"Test split, {results['rows']} rows"
        print(f"\n{chosen}")
        print(summary_table(results))
        if "task" in results and (doubt := few_tested(results["rows"], args.folds)):
            print(f"\n{doubt}")
        print(f"\nmodel, card, metrics.json and figures: {output_dir.resolve()}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if results:  # the main process; the run is whole whatever comes of it
        push_at_the_end(args)
    return results
