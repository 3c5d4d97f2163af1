"""Train a galaxy classifier: morphological class, and the votes of Galaxy Zoo volunteers on the whole decision tree.

accelerate launch train_classifier.py                                # simulated galaxies, a few minutes on 2 cores
accelerate launch train_classifier.py --dataset galaxy_zoo_challenge # a folder that datasets_scripts wrote
accelerate launch train_classifier.py run.json                       # arguments from a file
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, set_seed
from timm.utils import ModelEmaV3
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.checks import split_contents
from galaxy_vision.data.load import class_counts, load_galaxies
from galaxy_vision.data.splits import SPLITS
from galaxy_vision.data.streaming import TrainingStream
from galaxy_vision.evaluation.evaluate import Examples, evaluate
from galaxy_vision.evaluation.metrics import GalaxyMetric, summary_table, training_constants
from galaxy_vision.evaluation.publish import push_at_the_end
from galaxy_vision.evaluation.report import finish_run
from galaxy_vision.models.strict_loading import check_backbone
from galaxy_vision.runtime.accelerator import make_accelerator, settle_precision, training_gain
from galaxy_vision.runtime.arguments import arg, parse_arguments
from galaxy_vision.runtime.files import sole_run
from galaxy_vision.runtime.orderly_end import Termination, orderly_end
from galaxy_vision.training.arguments import DEFAULT_BACKBONE, TrainingRun
from galaxy_vision.training.checkpoints import Checkpoints, Progress, checkpoint_precision, checkpoint_steps, save_best
from galaxy_vision.training.checks import check_classifier_rows
from galaxy_vision.training.loop import parameter_groups, train_one_epoch
from galaxy_vision.training.starting_point import (
    architecture,
    load_timm_backbone,
    load_trained,
    other_view,
    set_defaults,
    take_over,
)

# ------------------------------------------------------------------------------------------------------------ arguments


SCORES = ("loss", "rmse_37", "rmse_known")
"""Validation scores that can select the epoch."""


@dataclass
class Arguments(TrainingRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/classifier", "folder for the model, metrics.json, figures and checkpoints")
    pretrained_backbone: str | None = arg(
        None, "start from these timm weights, such as resnet18.a1_in1k (downloads from the Hub)"
    )
    init_from: str | None = arg(None, "start from the backbone of a trained model (folder or Hub id)")
    predict_votes: bool = arg(True, "learn the votes too, where the data set has them")
    class_weighting: str = arg(
        "sqrt", "none, sqrt or balanced: loss weight of a class, 1, n^-1/2 or n^-1 of its rows, mean 1"
    )
    select_by: str = arg(
        "loss",
        "validation score of the epoch that is kept: loss, which asks for the right certainty too, rmse_37 (of Kaggle, over rows with all "
        "37 answers), or rmse_known (over the answers that are known)",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.select_by not in SCORES:
            raise ValueError(f"select_by={self.select_by!r} is not one of {', '.join(SCORES)}")
        if self.class_weighting not in ("none", "sqrt", "balanced"):
            raise ValueError(f"class_weighting={self.class_weighting!r} is not one of none, sqrt, balanced")
        if self.pretrained_backbone:
            if self.init_from:
                raise ValueError("init_from and pretrained_backbone are two models to start from; give one of them")
            try:
                check_backbone(self.pretrained_backbone)
            except ValueError as error:
                raise ValueError(f"pretrained_{error}") from error  # which begins with "backbone="


def main(argv: list[str] | None = None) -> dict | None:
    args = parse_arguments(Arguments, __doc__, argv)
    output_dir = Path(args.output_dir)
    with sole_run(output_dir), orderly_end(output_dir) as termination:
        return train(args, termination)


def train(args: Arguments, termination: Termination) -> dict | None:
    output_dir = Path(args.output_dir)
    started = time.perf_counter()
    if not args.resume and any(checkpoint_steps(output_dir)):  # step 0 is no loss
        raise SystemExit(
            f"error: output_dir={output_dir} holds an unfinished run; go on with --resume, or give another folder"
        )

    # ------------------------------------------------------------------------------------------------------------- seed
    try:
        accelerator = make_accelerator(args.mixed_precision, args.accumulation_steps, args.tracker, output_dir)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    set_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)

    # --------------------------------------------------------------------------------------------------- starting point
    trained_backbone = None
    if args.init_from:
        start = load_trained(GalaxyResNetForImageClassification, "init_from", args.init_from)
        source, trained_backbone = f"init_from={args.init_from!r}", start.backbone
        accelerator.print(take_over(args, {"backbone": start.config.backbone}, source))
        if differing := other_view(args, args.init_from, source):
            accelerator.print(differing)
    elif args.pretrained_backbone:
        source = f"pretrained_backbone={args.pretrained_backbone!r}"
        accelerator.print(take_over(args, {"backbone": architecture(args.pretrained_backbone)}, source))
        trained_backbone = load_timm_backbone(args.pretrained_backbone)
    set_defaults(args, backbone=DEFAULT_BACKBONE)

    # ------------------------------------------------------------------------------------------------------------- data
    processor = GalaxyImageProcessor(
        size={"height": args.image_size, "width": args.image_size}, crop_fraction=args.crop_fraction
    )
    progress = Progress()
    with accelerator.main_process_first():  # the others then read the cache
        try:
            data = load_galaxies(args.dataset, args.label_scheme, args.num_simulated, seed=0, streaming=args.streaming)
            if args.max_rows:
                data = {split: rows.select(range(min(args.max_rows, len(rows)))) for split, rows in data.items()}
            class_names = data["test"].features["label"].names
            checked = (args.dataset, data, class_names, args.predict_votes, args.select_by)
            if not args.streaming:
                has_votes, doubts = check_classifier_rows(*checked)
            cached = {split: cache_pixels(data[split], processor) for split in SPLITS if split in data}
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
        fingerprint = {split: rows._fingerprint for split, rows in data.items()}
    contents = broadcast_object_list([split_contents(data) if accelerator.is_main_process else None])[0]
    if args.streaming:
        try:
            cached["train"] = TrainingStream(args, class_names, processor, progress, accelerator)
            has_votes, doubts = check_classifier_rows(*checked, cached["train"])
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
        fingerprint["train"], contents["train"] = cached["train"].fingerprint, cached["train"].content
    for doubt in doubts:
        accelerator.print(doubt)
    counts = cached["train"].class_counts if args.streaming else class_counts(cached["train"], len(class_names))
    loaders = {
        split: make_loader(rows, args.image_size, args.batch_size, shuffle=split == "train")
        for split, rows in cached.items()
    }

    # ------------------------------------------------------------------------------------------------------------ model
    config = GalaxyResNetConfig(
        backbone=args.backbone,
        image_size=args.image_size,
        predict_votes=has_votes,
        drop_rate=args.drop_rate,
        id2label=dict(enumerate(class_names)),
        label2id={name: index for index, name in enumerate(class_names)},
    )
    model = GalaxyResNetForImageClassification(config)
    if trained_backbone is not None:
        model.backbone.load_state_dict(trained_backbone.state_dict())
    model = model.to(accelerator.device, memory_format=torch.channels_last)
    ema = ModelEmaV3(model, decay=args.ema_decay, use_warmup=True) if args.ema_decay else None

    def gain() -> float:
        batch = next(iter(loaders["validation"]))
        inputs = {"pixel_values": processor.normalize_pixels(batch["pixels"]), "labels": batch["labels"]}
        return training_gain(model, inputs | ({"votes": batch["votes"]} if has_votes else {}))

    recorded = checkpoint_precision(output_dir) if args.resume else None
    settle_precision(accelerator, args.mixed_precision, gain, recorded)

    # -------------------------------------------------------------------------------------------------------- optimiser
    optimizer = torch.optim.AdamW(parameter_groups(model, args.weight_decay), lr=args.learning_rate, fused=True)
    loaders["train"], loaders["validation"], loaders["test"], model, optimizer = accelerator.prepare(
        loaders["train"], loaders["validation"], loaders["test"], model, optimizer
    )
    steps = args.epochs * -(-len(loaders["train"]) // args.accumulation_steps)
    # Not prepared: it then advances once a step, whatever the number of processes.
    scheduler = get_cosine_schedule_with_warmup(optimizer, int(args.warmup_fraction * steps), steps)
    power = {"none": 0.0, "sqrt": -0.5, "balanced": -1.0}[args.class_weighting]
    weights = torch.tensor(counts, dtype=torch.float32).clamp_min(1) ** power
    class_weights = (weights / weights.mean()).to(accelerator.device)

    # ------------------------------------------------------------------------------------------------------------- loop
    states = {"progress": progress, "scheduler": scheduler} | ({"ema": ema} if ema is not None else {})
    checkpoints = Checkpoints(accelerator, args, model, states, termination, contents)
    if args.resume:
        checkpoints.resume()
    else:
        checkpoints.save(0)
    if args.tracker:
        accelerator.init_trackers("galaxy_vision", {k: v for k, v in asdict(args).items() if v is not None})
    accelerator.print(
        f"{args.dataset}: {', '.join(f'{rows.num_rows} {split}' for split, rows in cached.items())} galaxies; "
        f"{args.backbone} at {args.image_size} px; {accelerator.num_processes} process(es), {accelerator.mixed_precision} precision"
    )
    constants = None
    if has_votes:
        train_rows = cached["train"]
        constants = training_constants(
            train_rows.votes if args.streaming else train_rows.with_format("numpy")["votes"][:]
        )

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        return {
            "labels": batch["labels"],
            "votes": batch["votes"] if has_votes else None,
            "class_weights": class_weights,
        }

    def new_metrics() -> dict:
        metrics = {"classes": GalaxyMetric("classes", label_names=class_names, train_class_counts=counts.tolist())}
        if has_votes:
            metrics["votes"] = GalaxyMetric("votes", **constants)
        return metrics

    done = progress.epoch * len(loaders["train"]) + progress.step_in_epoch
    bar = tqdm(
        total=args.epochs * len(loaders["train"]),
        initial=done,
        desc="training",
        disable=not accelerator.is_main_process,
    )
    termination.wait(True)  # for the end of the batch or evaluation at hand
    with bar:
        while progress.epoch < args.epochs and not (
            args.patience and progress.epoch - progress.best_epoch > args.patience
        ):
            train_loss = train_one_epoch(
                accelerator,
                model,
                ema,
                loaders["train"],
                optimizer,
                scheduler,
                processor,
                progress,
                args,
                targets,
                checkpoints,
                bar,
            )
            checkpoints.check_weights((progress.epoch + 1) * len(loaders["train"]))
            evaluated = ema.module if ema is not None else accelerator.unwrap_model(model)
            results = evaluate(accelerator, evaluated, loaders["validation"], processor, new_metrics(), "validation")
            found = {"loss": results["loss"]} | results.get("votes", {}) if results else {args.select_by: 0.0}
            score = torch.tensor(found[args.select_by], device=accelerator.device)
            score = accelerator.reduce(score, "sum").item()  # the main process has it
            if score < progress.best_score:
                progress.best_score, progress.best_epoch = score, progress.epoch
                if accelerator.is_main_process:
                    save_best(evaluated, checkpoints.best)
            row = {"epoch": progress.epoch + 1, "train_loss": train_loss}
            if results:
                row["validation_loss"] = results["loss"]
                row["validation_macro_f1"] = results["classes"]["macro_f1"]
                for name in ("rmse_37", "rmse_known"):
                    row[f"validation_{name}"] = results["votes"][name] if has_votes else None
                known = ((key, value) for key, value in row.items() if value is not None)
                tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in known))
            progress.history.append(row)
            accelerator.log({key: value for key, value in row.items() if value is not None}, step=progress.epoch)
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
            checkpoints.save(progress.epoch * len(loaders["train"]))
            checkpoints.end_if_terminating()

    # -------------------------------------------------------------------------------------------------------- test once
    termination.wait(accelerator.num_processes > 1)  # nothing is to be saved any more, but several must end together
    accelerator.wait_for_everyone()
    if progress.best_epoch < 0:
        raise FloatingPointError("no epoch had a finite validation score; start again with a lower --learning_rate")
    best = GalaxyResNetForImageClassification.from_pretrained(checkpoints.best).to(
        accelerator.device, memory_format=torch.channels_last
    )
    metrics = new_metrics() | {"examples": Examples(class_names)}
    results = evaluate(accelerator, best, loaders["test"], processor, metrics, "test")
    checkpoints.end_if_terminating()
    termination.wait(False)

    # ----------------------------------------------------------------------------------------------------------- report
    if accelerator.is_main_process:
        best.save_pretrained(output_dir)
        processor.save_pretrained(output_dir)
        results |= {
            "arguments": asdict(args),
            "split_fingerprint": fingerprint,
            "split_rows": {split: rows.num_rows for split, rows in cached.items()},
            "best_epoch": progress.best_epoch + 1,
            "history": progress.history,
            "num_processes": accelerator.num_processes,
            "seconds": round(time.perf_counter() - started, 1),
        }
        finish_run(args, accelerator, data, results)
        print(f"\nTest split, {results['rows']} galaxies, best of {progress.epoch} epochs: {progress.best_epoch + 1}")
        print(summary_table(results))
        print(f"\nmodel, card, metrics.json and figures: {output_dir.resolve()}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if results:  # the main process; the run is whole whatever comes of it
        push_at_the_end(args)
    return results


if __name__ == "__main__":
    main()
