"""Train a galaxy classifier: morphological class, and the votes of Galaxy Zoo volunteers on the whole decision tree.

accelerate launch train_classifier.py                                # simulated galaxies, a few minutes on 2 cores
accelerate launch train_classifier.py --dataset galaxy_zoo_challenge # a folder that datasets_scripts wrote
accelerate launch train_classifier.py run.json                       # arguments from a file
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import timm
import torch
from accelerate.utils import set_seed
from timm.utils import ModelEmaV3
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.arguments import TrainingRun, arg, parse_arguments
from galaxy_vision.batches import cache_pixels, make_loader
from galaxy_vision.checkpoints import Checkpoints, checkpoint_steps, save_best, sole_run
from galaxy_vision.data import class_counts, load_galaxies
from galaxy_vision.dataset_writer import SPLITS
from galaxy_vision.metrics import GalaxyMetric, summary_table, training_constants
from galaxy_vision.publish import push_at_the_end
from galaxy_vision.report import finish_run
from galaxy_vision.streaming import TrainingStream
from galaxy_vision.training import (
    Examples,
    Progress,
    evaluate,
    load_trained,
    make_accelerator,
    parameter_groups,
    train_one_epoch,
)

# ---------------------------------------------------------------------------------------------------------------- arguments


@dataclass
class Arguments(TrainingRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/classifier", "folder for the model, metrics.json, figures and checkpoints")
    pretrained_backbone: str | None = arg(
        None, "start from these timm weights, such as resnet18.a1_in1k (downloads from the Hub)"
    )
    init_from: str | None = arg(None, "start from the backbone of a trained model (folder or Hub id)")
    predict_votes: bool = arg(True, "learn the votes too, where the data set has them")
    class_weighting: str = arg("sqrt", "none, sqrt or balanced: loss weight of a class, 1, n^-1/2 or n^-1 of its rows, mean 1")
    select_by: str = arg(
        "loss", "loss or rmse_37: validation score of the epoch that is kept; loss asks for the right certainty too"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.select_by not in ("loss", "rmse_37"):
            raise ValueError(f"select_by={self.select_by!r} is not one of loss, rmse_37")
        if self.class_weighting not in ("none", "sqrt", "balanced"):
            raise ValueError(f"class_weighting={self.class_weighting!r} is not one of none, sqrt, balanced")


def main(argv: list[str] | None = None) -> dict | None:
    args = parse_arguments(Arguments, __doc__, argv)
    with sole_run(Path(args.output_dir)):
        return train(args)


def train(args: Arguments) -> dict | None:
    output_dir = Path(args.output_dir)
    started = time.perf_counter()
    if not args.resume and any(checkpoint_steps(output_dir)):  # step 0 is no loss
        raise SystemExit(f"output_dir={output_dir} holds an unfinished run; go on with --resume, or give another folder")

    # ------------------------------------------------------------------------------------------------------------------ seed
    accelerator = make_accelerator(args.mixed_precision, args.accumulation_steps, args.tracker, output_dir)
    set_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)

    # ------------------------------------------------------------------------------------------------------------------ data
    processor = GalaxyImageProcessor(
        size={"height": args.image_size, "width": args.image_size}, crop_fraction=args.crop_fraction
    )
    progress = Progress()
    with accelerator.main_process_first():  # the others then read the cache
        try:
            data = load_galaxies(args.dataset, args.label_scheme, args.num_simulated, seed=0, streaming=args.streaming)
            if args.max_rows:
                data = {split: rows.select(range(min(args.max_rows, len(rows)))) for split, rows in data.items()}
            cached = {split: cache_pixels(data[split], processor) for split in SPLITS if split in data}
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
        class_names = data["test"].features["label"].names
        fingerprint = {split: rows._fingerprint for split, rows in data.items()}
    if args.streaming:
        cached["train"] = TrainingStream(args, class_names, processor, progress, accelerator)
        fingerprint["train"] = cached["train"].fingerprint
    has_votes = args.predict_votes and "votes" in cached["test"].column_names
    if args.select_by == "rmse_37" and not has_votes:
        raise SystemExit(f"error: select_by=rmse_37 needs votes, and dataset={args.dataset!r} has none; use loss")
    counts = cached["train"].class_counts if args.streaming else class_counts(cached["train"], len(class_names))
    loaders = {
        split: make_loader(rows, args.image_size, args.batch_size, shuffle=split == "train") for split, rows in cached.items()
    }

    # ----------------------------------------------------------------------------------------------------------------- model
    config = GalaxyResNetConfig(
        backbone=args.backbone,
        image_size=args.image_size,
        predict_votes=has_votes,
        drop_rate=args.drop_rate,
        id2label=dict(enumerate(class_names)),
        label2id={name: index for index, name in enumerate(class_names)},
    )
    model = GalaxyResNetForImageClassification(config)
    if args.pretrained_backbone:
        model.backbone = timm.create_model(args.pretrained_backbone, pretrained=True, num_classes=0)
    if args.init_from:
        model.backbone = load_trained(GalaxyResNetForImageClassification, "init_from", args.init_from).backbone
    model = model.to(accelerator.device, memory_format=torch.channels_last)
    ema = ModelEmaV3(model, decay=args.ema_decay, use_warmup=True) if args.ema_decay else None

    # ------------------------------------------------------------------------------------------------------------- optimiser
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

    # ------------------------------------------------------------------------------------------------------------------ loop
    states = {"progress": progress, "scheduler": scheduler} | ({"ema": ema} if ema is not None else {})
    checkpoints = Checkpoints(accelerator, args, model, states)
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
        constants = training_constants(train_rows.votes if args.streaming else train_rows.with_format("numpy")["votes"][:])

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        return {"labels": batch["labels"], "votes": batch["votes"] if has_votes else None, "class_weights": class_weights}

    def new_metrics() -> dict:
        metrics = {"classes": GalaxyMetric("classes", label_names=class_names, train_class_counts=counts.tolist())}
        if has_votes:
            metrics["votes"] = GalaxyMetric("votes", **constants)
        return metrics

    done = progress.epoch * len(loaders["train"]) + progress.step_in_epoch
    bar = tqdm(
        total=args.epochs * len(loaders["train"]), initial=done, desc="training", disable=not accelerator.is_main_process
    )
    with bar, checkpoints.orderly_end():
        while progress.epoch < args.epochs and not (args.patience and progress.epoch - progress.best_epoch > args.patience):
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
                row["validation_rmse_37"] = results["votes"]["rmse_37"] if has_votes else None
                known = ((key, value) for key, value in row.items() if value is not None)
                tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in known))
            progress.history.append(row)
            accelerator.log({key: value for key, value in row.items() if value is not None}, step=progress.epoch)
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
            checkpoints.save(progress.epoch * len(loaders["train"]))

    # ------------------------------------------------------------------------------------------------------------- test once
    accelerator.wait_for_everyone()
    best = GalaxyResNetForImageClassification.from_pretrained(checkpoints.best).to(
        accelerator.device, memory_format=torch.channels_last
    )
    metrics = new_metrics() | {"examples": Examples(class_names)}
    results = evaluate(accelerator, best, loaders["test"], processor, metrics, "test")

    # ---------------------------------------------------------------------------------------------------------------- report
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
