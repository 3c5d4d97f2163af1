"""Train a galaxy captioner: an LSTM that looks at a ResNet's feature map and writes what volunteers would have said.

accelerate launch train_captioner.py                                 # simulated galaxies, a few minutes on 2 cores
accelerate launch train_captioner.py --dataset galaxy_zoo_challenge --encoder runs/challenge
accelerate launch train_captioner.py run.json                        # arguments from a file
"""

from dataclasses import dataclass

import torch

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.evaluation.caption_metrics import CaptionMetric, caption_table, score_beside_rivals
from galaxy_vision.evaluation.evaluate import evaluate_captions, template_captions
from galaxy_vision.evaluation.objectives import CAPTIONER
from galaxy_vision.inference.loading import take_for
from galaxy_vision.models.configuration_galaxy_captioner import LIMITS
from galaxy_vision.models.modeling_galaxy_captioner import MAX_NEW_TOKENS
from galaxy_vision.models.strict_loading import GENERATION, check_ranges, check_resnet
from galaxy_vision.runtime.arguments import arg, parse_arguments
from galaxy_vision.training.arguments import DEFAULT_BACKBONE, TrainingRun, check_choice, check_least
from galaxy_vision.training.checks import check_captioner_rows
from galaxy_vision.training.distillation import drawn_references, taught_references, words_to_learn
from galaxy_vision.training.loop import Run
from galaxy_vision.training.rows import load_rows
from galaxy_vision.training.run import finish, fit, parameter_groups, prepare, training_run
from galaxy_vision.training.starting_point import image_processor, load_trained, other_view, set_defaults, take_over

SCORES = ("claim_f1", "bleu_4")
"""Validation scores that can select the epoch."""


@dataclass
class Arguments(TrainingRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/captioner", "folder for the model, metrics.json, figures and checkpoints")
    epochs: int = arg(7, "passes over the training rows")
    encoder: str | None = arg(
        None,
        "start from the backbone, image size and crop of this trained classifier (folder or Hub id), which teaches too",
    )
    init_from: str | None = arg(
        None, "start from the weights of this trained captioner (folder or Hub id), which has the same words"
    )
    frozen_epochs: int = arg(0, "epochs in which the encoder's backbone is not trained")
    backbone_rate: float = arg(1.0, "learning rate of the backbone, as a share of that of the rest")
    hidden_size: int | None = arg(None, "of the LSTM (default: that of --init_from, else 256)")
    attention_stage: int | None = arg(
        None,
        "stage of the backbone that is attended to: 2, 3, 4 (stride 8, 16, 32; default: that of --init_from, else 3)",
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
    select_by: str = arg(
        "claim_f1", "validation score of the epoch that is kept: claim_f1, of what is said, or bleu_4, of how"
    )
    num_beams: int = arg(4, "beams of the second column of the test table; validation and the first are greedy")
    max_new_tokens: int = arg(MAX_NEW_TOKENS, "longest caption in words")

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "select_by", SCORES)
        if self.backbone is not None:
            check_resnet(self.backbone)
        check_least(
            self, {"num_beams": 1, "num_references": 1, "max_new_tokens": 1, "frozen_epochs": 0, "backbone_rate": 0}
        )
        check_ranges(self, {"attention_stage": (2, 4), "hidden_size": LIMITS["hidden_size"]})
        check_ranges(self, {name: GENERATION[name] for name in ("num_beams", "max_new_tokens")})
        if not 0.0 <= self.teacher_share <= 1.0:
            raise ValueError(f"teacher_share={self.teacher_share} is outside 0 <= teacher_share <= 1")


ARCHITECTURE = ("backbone", "attention_stage", "hidden_size", "use_attention", "tie_word_embeddings")
"""Arguments that are those of the captioner that a run starts from."""


def main(argv: list[str] | None = None) -> dict | None:
    args = parse_arguments(Arguments, __doc__, argv)
    with training_run(args, some_frozen=args.frozen_epochs > 0) as run:
        return train(run)


def train(run: Run) -> dict | None:
    args, accelerator = run.args, run.accelerator

    # --------------------------------------------------------------------------------------------------- starting point
    start = classifier = None
    if args.init_from:
        start = load_trained(GalaxyCaptionerForConditionalGeneration, "init_from", args.init_from)
        words = load_trained(GalaxyCaptionerProcessor, "init_from", args.init_from).tokenizer.get_vocab()
        settings = {name: getattr(start.config, name) for name in ARCHITECTURE}
        accelerator.print(take_over(args, settings, f"init_from={args.init_from!r}"))
    if args.encoder:
        classifier = load_trained(GalaxyResNetForImageClassification, "encoder", args.encoder).eval()
        classifier = classifier.to(accelerator.device, memory_format=torch.channels_last)
        its_processor = load_trained(GalaxyImageProcessor, "encoder", args.encoder)
        settings = {"image_size": its_processor.size["height"], "crop_fraction": its_processor.crop_fraction}
        settings |= {} if start else {"backbone": classifier.config.backbone}
        accelerator.print(take_over(args, settings, f"encoder={args.encoder!r}"))
    set_defaults(args, backbone=DEFAULT_BACKBONE, hidden_size=256, attention_stage=3)
    if start and (differing := other_view(args, args.init_from, f"init_from={args.init_from!r}")):
        accelerator.print(differing)

    # ------------------------------------------------------------------------------------------------------------- data
    rows = load_rows(run, image_processor(args), check_captioner_rows, with_captions=True)
    tokenizer = rows.tokenizer
    if start and words != tokenizer.get_vocab():
        raise SystemExit(
            f"error: init_from={args.init_from!r} has other words than dataset={args.dataset!r}; leave it out"
        )
    tree = rows.trees.first
    if classifier and (whose := take_for(classifier, rows.trees)):
        accelerator.print(f"encoder={args.encoder!r}: {whose}")
    if classifier and classifier.config.predict_votes and tree not in classifier.trees.values():
        raise SystemExit(
            f"error: encoder={args.encoder!r} predicts votes of {', '.join(classifier.trees)}, and "
            f"dataset={args.dataset!r} has those of {tree.name}; give another model"
        )
    processor = GalaxyCaptionerProcessor(rows.processor, tokenizer)
    references = {split: rows.references(split) for split in ("validation", "test")}

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

    # ------------------------------------------------------------------------------------------------ what is optimised
    teaches = classifier is not None and classifier.config.predict_votes

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        """Draw a reference of each galaxy anew in each epoch; with a teacher, what it would write of this very view."""
        ids = drawn_references(batch["input_ids"], args.num_references, generator)
        if teaches:
            with accelerator.autocast():
                ids = taught_references(classifier, tree, tokenizer, pixels, ids, args.teacher_share, generator)
        return {"labels": words_to_learn(ids, config.pad_token_id)}

    def trial(batch: dict) -> dict:
        captions = [references["validation"][row]["captions"][0] for row in batch["row"].tolist()]
        return {"labels": tokenizer(captions, padding=True, return_tensors="pt")["input_ids"]}

    backbone = model.encoder.backbone
    groups = parameter_groups(model, args, backbone, args.backbone_rate)
    run = prepare(run, rows, model, groups, CAPTIONER, targets, trial)

    # -------------------------------------------------------------------------------------------------- what is chosen
    def validate(model: GalaxyCaptionerForConditionalGeneration) -> tuple[float, dict] | None:
        captions = evaluate_captions(accelerator, model, run.loaders["validation"], processor, "validation")
        if captions is None:
            return None
        results = CaptionMetric(tree).compute(predictions=captions, references=references["validation"])
        shown = ("claim_f1", "bleu_4", "contradicted", "ungrounded", "distinct")
        return -results[args.select_by], {f"validation_{name}": results[name] for name in shown}

    fit(run, validate, begin_epoch=lambda epoch: backbone.requires_grad_(epoch >= args.frozen_epochs))

    # ------------------------------------------------------------------------------------------------ what is reported
    def test(model: GalaxyCaptionerForConditionalGeneration) -> dict | None:
        loader, captions = run.loaders["test"], {}
        for name, how in (("captioner", {}), (f"beam {args.num_beams}", {"num_beams": args.num_beams})):
            captions[name] = evaluate_captions(accelerator, model, loader, processor, f"test, {name}", **how)
        if teaches:
            captions["template, predicted votes"] = template_captions(
                accelerator, classifier, loader, rows.processor, tree
            )
        if not accelerator.is_main_process:
            return None
        scores, constants = score_beside_rivals(captions, references["test"], references["validation"], tree)
        examples = captions["captioner"]
        return {"captions": scores, "constants": constants, "examples": examples, "rows": len(examples)}

    def table(results: dict) -> str:
        return caption_table(results["captions"])

    return finish(run, rows, GalaxyCaptionerForConditionalGeneration, processor, test, table)


if __name__ == "__main__":
    main()
