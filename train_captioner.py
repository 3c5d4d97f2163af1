"""Train a galaxy captioner: an LSTM that looks at a ResNet's feature map and writes what volunteers would have said.

accelerate launch train_captioner.py                                 # simulated galaxies, a few minutes on 2 cores
accelerate launch train_captioner.py --dataset galaxy_zoo_challenge --encoder runs/challenge
accelerate launch train_captioner.py run.json                        # arguments from a file
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, set_seed
from timm.utils import ModelEmaV3
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.data.batches import cache_pixels, encode_captions, make_loader
from galaxy_vision.data.checks import check_number_of_captions, split_contents
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.splits import SPLITS
from galaxy_vision.data.streaming import TrainingStream
from galaxy_vision.evaluation.caption_metrics import CaptionMetric, caption_table, score_beside_rivals
from galaxy_vision.evaluation.evaluate import evaluate_captions, template_captions
from galaxy_vision.evaluation.objectives import CAPTIONER
from galaxy_vision.evaluation.publish import push_at_the_end
from galaxy_vision.evaluation.report import finish_run
from galaxy_vision.models.configuration_galaxy_captioner import LIMITS
from galaxy_vision.models.modeling_galaxy_captioner import MAX_NEW_TOKENS
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer
from galaxy_vision.models.strict_loading import GENERATION, check_ranges
from galaxy_vision.runtime.accelerator import make_accelerator, settle_precision, training_gain
from galaxy_vision.runtime.arguments import arg, parse_arguments
from galaxy_vision.runtime.files import sole_run
from galaxy_vision.runtime.orderly_end import Termination, orderly_end
from galaxy_vision.training.arguments import DEFAULT_BACKBONE, TrainingRun
from galaxy_vision.training.checkpoints import Checkpoints, Progress, checkpoint_precision, checkpoint_steps, save_best
from galaxy_vision.training.checks import check_captioner_rows
from galaxy_vision.training.distillation import taught_targets
from galaxy_vision.training.loop import parameter_groups, train_one_epoch
from galaxy_vision.training.starting_point import load_trained, other_view, set_defaults, take_over

# ------------------------------------------------------------------------------------------------------------ arguments


@dataclass
class Arguments(TrainingRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/captioner", "folder for the model, metrics.json, figures and checkpoints")
    epochs: int = arg(7, "passes over the training rows")
    encoder: str | None = arg(
        None, "start from the backbone, image size and crop of this trained classifier (folder or Hub id)"
    )
    init_from: str | None = arg(None, "start from this trained captioner (folder or Hub id) with the same words")
    frozen_epochs: int = arg(0, "epochs in which the encoder's backbone is not trained")
    backbone_rate: float = arg(1.0, "learning rate of the backbone, as a share of that of the rest")
    hidden_size: int | None = arg(None, "of the LSTM (default: that of --init_from, else 256)")
    attention_stage: int | None = arg(
        None,
        "stage of the backbone that is attended to: 2, 3 or 4 (stride 8, 16 or 32; default: that of --init_from, else 3)",
    )
    use_attention: bool = arg(True, "weigh the places anew for every word; without it every word sees their mean")
    tie_word_embeddings: bool = arg(False, "score words with their embeddings")
    drop_rate: float = arg(0.1, "dropout of what the encoder says, and before the words are scored")
    teacher_share: float = arg(
        1.0, "with --encoder: share of the references that are written from the votes it predicts"
    )
    num_references: int = arg(
        3, "references of a galaxy that are drawn from; the first three say all that the votes say"
    )
    num_beams: int = arg(4, "beams of the second column of the test table; validation and the first are greedy")
    max_new_tokens: int = arg(MAX_NEW_TOKENS, "longest caption in words")

    def __post_init__(self):
        super().__post_init__()
        for name in ("num_beams", "num_references", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is below 1")
        for name in ("frozen_epochs", "backbone_rate"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is below 0")
        check_ranges(self, {"attention_stage": (2, 4), "hidden_size": LIMITS["hidden_size"]})
        check_ranges(self, {name: GENERATION[name] for name in ("num_beams", "max_new_tokens")})
        if not 0.0 <= self.teacher_share <= 1.0:
            raise ValueError(f"teacher_share={self.teacher_share} is outside 0 <= teacher_share <= 1")


ARCHITECTURE = ("backbone", "attention_stage", "hidden_size", "use_attention", "tie_word_embeddings")
"""Arguments that are those of the captioner that a run starts from."""


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
        accelerator = make_accelerator(
            args.mixed_precision, args.accumulation_steps, args.tracker, output_dir, some_frozen=args.frozen_epochs > 0
        )
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    set_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)

    # --------------------------------------------------------------------------------------------------- starting point
    start, classifier = None, None
    if args.init_from:
        start = load_trained(GalaxyCaptionerForConditionalGeneration, "init_from", args.init_from)
        vocabulary = load_trained(GalaxyCaptionerProcessor, "init_from", args.init_from).tokenizer.get_vocab()
        accelerator.print(
            take_over(
                args, {name: getattr(start.config, name) for name in ARCHITECTURE}, f"init_from={args.init_from!r}"
            )
        )
    if args.encoder:
        classifier = load_trained(GalaxyResNetForImageClassification, "encoder", args.encoder).eval()
        classifier = classifier.to(accelerator.device, memory_format=torch.channels_last)
        image_processor = load_trained(GalaxyImageProcessor, "encoder", args.encoder)
        settings = {"image_size": image_processor.size["height"], "crop_fraction": image_processor.crop_fraction}
        settings |= {} if start else {"backbone": classifier.config.backbone}
        accelerator.print(take_over(args, settings, f"encoder={args.encoder!r}"))
    else:
        image_processor = GalaxyImageProcessor(
            size={"height": args.image_size, "width": args.image_size}, crop_fraction=args.crop_fraction
        )
    if start and (differing := other_view(args, args.init_from, f"init_from={args.init_from!r}")):
        accelerator.print(differing)
    set_defaults(args, backbone=DEFAULT_BACKBONE, hidden_size=256, attention_stage=3)

    # ------------------------------------------------------------------------------------------------------------- data
    progress = Progress()
    with accelerator.main_process_first():  # the others then read the cache
        try:
            data = load_galaxies(args.dataset, args.label_scheme, args.num_simulated, seed=0, streaming=args.streaming)
            if args.max_rows:
                data = {split: rows.select(range(min(args.max_rows, len(rows)))) for split, rows in data.items()}
            check_captioner_rows(args.dataset, data, args.num_references)
            cached = {split: cache_pixels(data[split], image_processor) for split in SPLITS if split in data}
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
        fingerprint = {split: rows._fingerprint for split, rows in data.items()}
        if not args.streaming:
            tokenizer = build_tokenizer(caption for captions in data["train"]["captions"] for caption in captions)
            cached["train"] = encode_captions(cached["train"], tokenizer)
    contents = broadcast_object_list([split_contents(data) if accelerator.is_main_process else None])[0]
    if args.streaming:
        names = data["test"].features["label"].names
        try:
            cached["train"] = TrainingStream(args, names, image_processor, progress, accelerator, with_captions=True)
            check_number_of_captions(args.dataset, "train", *cached["train"].captions_per_row, args.num_references)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
        fingerprint["train"], contents["train"] = cached["train"].fingerprint, cached["train"].content
        tokenizer = cached["train"].tokenizer
    if start and vocabulary != tokenizer.get_vocab():
        raise SystemExit(
            f"error: init_from={args.init_from!r} has other words than dataset={args.dataset!r}; leave it out"
        )
    processor = GalaxyCaptionerProcessor(image_processor, tokenizer)
    references = {
        split: cached[split].select_columns(["captions", "votes"]).to_list() for split in ("validation", "test")
    }
    loaders = {
        split: make_loader(rows, args.image_size, args.batch_size, shuffle=split == "train")
        for split, rows in cached.items()
    }

    # ------------------------------------------------------------------------------------------------------------ model
    config = GalaxyCaptionerConfig(
        **{name: getattr(args, name) for name in ARCHITECTURE},
        **({name: getattr(start.config, name) for name in ("embedding_size", "attention_size")} if start else {}),
        image_size=args.image_size,
        vocab_size=len(tokenizer),
        drop_rate=args.drop_rate,
    )
    model = GalaxyCaptionerForConditionalGeneration(config)
    model.generation_config.max_new_tokens = args.max_new_tokens  # saved with the model
    if start:
        model.load_state_dict(start.state_dict())
    elif classifier:
        model.encoder.backbone.load_state_dict(classifier.backbone.state_dict())
    model = model.to(accelerator.device, memory_format=torch.channels_last)
    ema = ModelEmaV3(model, decay=args.ema_decay, use_warmup=True) if args.ema_decay else None

    def gain() -> float:
        batch = next(iter(loaders["validation"]))
        captions = [references["validation"][row]["captions"][0] for row in batch["row"].tolist()]
        labels = tokenizer(captions, padding=True, return_tensors="pt")["input_ids"]
        inputs = {"pixel_values": image_processor.normalize_pixels(batch["pixels"]), "labels": labels}
        return training_gain(model, inputs)

    recorded = checkpoint_precision(output_dir) if args.resume else None
    settle_precision(accelerator, args.mixed_precision, gain, recorded)

    # -------------------------------------------------------------------------------------------------------- optimiser
    backbone = set(model.encoder.backbone.parameters())
    groups = parameter_groups(model, args.weight_decay)
    groups = [
        group | {"params": [w for w in group["params"] if (w in backbone) == inside], "lr": args.learning_rate * rate}
        for group in groups
        for inside, rate in ((False, 1.0), (True, args.backbone_rate))
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
    loaders["train"], loaders["validation"], loaders["test"], model, optimizer = accelerator.prepare(
        loaders["train"], loaders["validation"], loaders["test"], model, optimizer
    )
    steps = args.epochs * -(-len(loaders["train"]) // args.accumulation_steps)
    # Not prepared: it then advances once a step, whatever the number of processes.
    scheduler = get_cosine_schedule_with_warmup(optimizer, int(args.warmup_fraction * steps), steps)

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
        f"{args.dataset}: {', '.join(f'{rows.num_rows} {split}' for split, rows in cached.items())} galaxies, {len(tokenizer)} words; "
        f"{args.backbone} at {args.image_size} px; {accelerator.num_processes} process(es), {accelerator.mixed_precision} precision"
    )

    teacher_share = args.teacher_share if classifier and classifier.config.predict_votes else 0.0

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        """One reference of each galaxy, drawn anew in each epoch; with a teacher, what it would write of this very view."""
        choice = torch.randint(0, args.num_references, (len(batch["input_ids"]),), generator=generator)
        labels = batch["input_ids"][torch.arange(len(choice)), choice.to(batch["input_ids"].device)]
        taught = torch.rand(len(choice), generator=generator) < teacher_share
        if taught.any():
            with accelerator.autocast():
                labels = taught_targets(classifier, tokenizer, pixels, labels, taught.to(labels.device), generator)
        labels = labels.masked_fill(labels == config.pad_token_id, -100)
        longest = (labels != -100).sum(1).max()
        return {"labels": labels[:, :longest]}

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
            for weight in backbone:
                weight.requires_grad_(progress.epoch >= args.frozen_epochs)
            train_loss = train_one_epoch(
                accelerator,
                model,
                ema,
                loaders["train"],
                optimizer,
                scheduler,
                image_processor,
                progress,
                args,
                targets,
                checkpoints,
                bar,
                CAPTIONER,
            )
            checkpoints.check_weights((progress.epoch + 1) * len(loaders["train"]))
            evaluated = ema.module if ema is not None else accelerator.unwrap_model(model)
            captions = evaluate_captions(accelerator, evaluated, loaders["validation"], processor, "validation")
            results = (
                CaptionMetric().compute(predictions=captions, references=references["validation"]) if captions else None
            )
            score = torch.tensor(-results["claim_f1"] if results else 0.0, device=accelerator.device)
            score = accelerator.reduce(score, "sum").item()  # the main process has it
            if score < progress.best_score:
                progress.best_score, progress.best_epoch = score, progress.epoch
                if accelerator.is_main_process:
                    save_best(evaluated, checkpoints.best)
            row = {"epoch": progress.epoch + 1, "train_loss": train_loss, "validation_claim_f1": -score}
            if results:
                row |= {
                    f"validation_{key}": results[key] for key in ("bleu_4", "contradicted", "ungrounded", "distinct")
                }
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
    best = GalaxyCaptionerForConditionalGeneration.from_pretrained(checkpoints.best).to(
        accelerator.device, memory_format=torch.channels_last
    )
    written = {"captioner": {}, f"beam {args.num_beams}": {"num_beams": args.num_beams}}
    captions = {
        name: evaluate_captions(accelerator, best, loaders["test"], processor, f"test, {name}", **how)
        for name, how in written.items()
    }
    if classifier and classifier.config.predict_votes:
        captions["template, predicted votes"] = template_captions(
            accelerator, classifier, loaders["test"], image_processor
        )
    checkpoints.end_if_terminating()
    termination.wait(False)

    # ----------------------------------------------------------------------------------------------------------- report
    results = None
    if accelerator.is_main_process:
        best.save_pretrained(output_dir)
        processor.save_pretrained(output_dir)
        scores, constants = score_beside_rivals(captions, references["test"], references["validation"])
        rows = len(references["test"])
        results = {
            "captions": scores,
            "constants": constants,
            "examples": captions["captioner"],
            "rows": rows,
            "arguments": asdict(args),
            "split_fingerprint": fingerprint,
            "split_rows": {split: rows.num_rows for split, rows in cached.items()},
            "best_epoch": progress.best_epoch + 1,
            "history": progress.history,
            "num_processes": accelerator.num_processes,
            "seconds": round(time.perf_counter() - started, 1),
        }
        finish_run(args, accelerator, data, results)
        print(f"\nTest split, {rows} galaxies, best of {progress.epoch} epochs: {progress.best_epoch + 1}")
        print(caption_table(scores))
        print(f"\nmodel, card, metrics.json and figures: {output_dir.resolve()}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if results:  # the main process; the run is whole whatever comes of it
        push_at_the_end(args)
    return results


if __name__ == "__main__":
    main()
