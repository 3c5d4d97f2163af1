"""Train a galaxy captioner: an LSTM that looks at a ResNet's feature map and writes what volunteers would have said.

accelerate launch train_captioner.py                                 # simulated galaxies, a few minutes on 2 cores
accelerate launch train_captioner.py --dataset galaxy_zoo_challenge --encoder runs/challenge
accelerate launch train_captioner.py run.json                        # arguments from a file
"""

from dataclasses import dataclass

import torch

from galaxy_vision import GalaxyCaptionerConfig, GalaxyCaptionerForConditionalGeneration, GalaxyCaptionerProcessor
from galaxy_vision.evaluation.caption_metrics import CaptionMetric, score_beside_rivals
from galaxy_vision.evaluation.evaluate import evaluate_captions, template_captions
from galaxy_vision.evaluation.objectives import CAPTIONER
from galaxy_vision.inference.captioning import campaign_to_say
from galaxy_vision.inference.loading import take_for
from galaxy_vision.models.modeling_galaxy_captioner import MAX_NEW_TOKENS
from galaxy_vision.runtime.arguments import arg, parse_arguments
from galaxy_vision.training.arguments import TrainingRun
from galaxy_vision.training.checks import check_captioner_rows, check_captioner_start
from galaxy_vision.training.distillation import drawn_campaign, drawn_references, taught_references, words_to_learn
from galaxy_vision.training.limits import check_captioner, check_choice
from galaxy_vision.training.loop import Run
from galaxy_vision.training.rows import load_rows
from galaxy_vision.training.run import finish, fit, parameter_groups, prepare, training_run
from galaxy_vision.training.starting_point import (
    load_encoder,
    load_start,
    settled_image_processor,
    take_vote_head,
    trees_to_say,
)

SCORES = ("claim_f1", "bleu_4")
"""Validation scores that can select the epoch."""

ARCHITECTURE = ("backbone", "attention_stage", "hidden_size", "use_attention", "tie_word_embeddings")
"""Arguments that are those of the captioner that a run starts from."""


@dataclass
class Arguments(TrainingRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/captioner", "folder for the model, metrics.json, figures and checkpoints")
    epochs: int = arg(7, "passes over the training rows")
    encoder: str | None = arg(
        None, "start from backbone, size and crop of this trained classifier (folder or Hub id), which teaches too"
    )
    init_from: str | None = arg(None, "start from this trained captioner (folder or Hub id), which has the same words")
    frozen_epochs: int = arg(0, "epochs in which the backbone does not learn; it reads votes if that is all")
    backbone_rate: float = arg(1.0, "learning rate of the backbone, as a share of that of the rest")
    hidden_size: int | None = arg(None, "of the LSTM (default: that of --init_from, else 256)")
    attention_stage: int | None = arg(
        None, "stage of the backbone attended to: 2, 3, 4 (stride 8, 16, 32; default: that of --init_from, else 3)"
    )
    use_attention: bool = arg(True, "weigh the places anew for every word; without it every word sees their mean")
    tie_word_embeddings: bool = arg(False, "score words with their embeddings")
    drop_rate: float = arg(0.1, "dropout of what the encoder says, and before the words are scored")
    teacher_share: float = arg(1.0, "with --encoder: share of the references written from the votes it predicts")
    num_references: int = arg(3, "references of a galaxy to draw from; the first three say all that the votes say")
    select_by: str = arg("claim_f1", "validation score of the kept epoch: claim_f1, of what is said, or bleu_4, of how")
    num_beams: int = arg(4, "beams of the second column of the test table; validation and the first are greedy")
    max_new_tokens: int = arg(MAX_NEW_TOKENS, "longest caption in words")

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "select_by", SCORES)
        check_captioner(self)


def main(argv: list[str] | None = None) -> dict | None:
    args = parse_arguments(Arguments, __doc__, argv)
    with training_run(args, some_frozen=args.frozen_epochs > 0) as run:
        return train(run)


def train(run: Run) -> dict | None:
    args, accelerator = run.args, run.accelerator

    # --------------------------------------------------------------------------------------------------- starting point
    start = load_start(run, GalaxyCaptionerForConditionalGeneration, ARCHITECTURE)
    start_processor = load_start(run, GalaxyCaptionerProcessor)
    classifier = load_encoder(run)
    image_processor = settled_image_processor(run, hidden_size=256, attention_stage=3)

    # ------------------------------------------------------------------------------------------------------------- data
    rows = load_rows(run, image_processor, check_captioner_rows, with_captions=True)
    tokenizer, tree = rows.tokenizer, rows.trees.first
    if classifier and (whose := take_for(classifier, rows.trees)):
        accelerator.print(f"encoder={args.encoder!r}: {whose}")
    check_captioner_start(args, tree, tokenizer, start, start_processor, classifier)
    processor = GalaxyCaptionerProcessor(image_processor, tokenizer)
    references = {split: rows.references(split) for split in ("validation", "test")}

    # ------------------------------------------------------------------------------------------------------------ model
    stays = args.frozen_epochs >= args.epochs  # else its features would no longer be those of the vote head
    config = GalaxyCaptionerConfig(
        **{name: getattr(args, name) for name in ARCHITECTURE},
        **({name: getattr(start.config, name) for name in ("embedding_size", "attention_size")} if start else {}),
        image_size=args.image_size,
        trees=start.config.trees if start else trees_to_say(classifier, tree) if stays else None,
        vocab_size=len(tokenizer),
        drop_rate=args.drop_rate,
    )
    model = GalaxyCaptionerForConditionalGeneration(config)
    model.generation_config.max_new_tokens = args.max_new_tokens  # saved with the model
    backbone = model.encoder.backbone
    if start:
        model.load_state_dict(start.state_dict())
    elif classifier:
        backbone.load_state_dict(classifier.backbone.state_dict())
        take_vote_head(model.encoder, classifier)

    # ------------------------------------------------------------------------------------------------ what is optimised
    teaches = classifier is not None and classifier.config.predict_votes

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        """Draw a reference of each galaxy anew in each epoch; with a teacher, what it would write of this very view."""
        ids = drawn_references(batch["input_ids"], args.num_references, generator)
        campaign = drawn_campaign(config.decision_trees, tree, args.teacher_share if teaches else 0.0, generator)
        if teaches:
            taught = classifier.trees[campaign or tree.name]
            with accelerator.autocast():
                ids = taught_references(classifier, taught, tokenizer, pixels, ids, args.teacher_share, generator)
        return {"labels": words_to_learn(ids, config.pad_token_id), "campaign": campaign}

    groups = parameter_groups(model, args, backbone, args.backbone_rate)
    run = prepare(run, rows, model, groups, CAPTIONER, targets)

    # -------------------------------------------------------------------------------------------------- what is chosen
    def validate(model: GalaxyCaptionerForConditionalGeneration) -> tuple[float, dict] | None:
        wanted = campaign_to_say(model, tree)
        captions = evaluate_captions(accelerator, model, run.loaders["validation"], processor, "validation", **wanted)
        if captions is None:
            return None
        results = CaptionMetric(tree).compute(predictions=captions, references=references["validation"])
        shown = ("claim_f1", "bleu_4", "contradicted", "ungrounded", "distinct")
        return -results[args.select_by], {f"validation_{name}": results[name] for name in shown}

    fit(run, validate, begin_epoch=lambda epoch: backbone.requires_grad_(epoch >= args.frozen_epochs))

    # ------------------------------------------------------------------------------------------------ what is reported
    def test(model: GalaxyCaptionerForConditionalGeneration) -> dict | None:
        loader, captions, wanted = run.loaders["test"], {}, campaign_to_say(model, tree)
        for name, how in (("captioner", {}), (f"beam {args.num_beams}", {"num_beams": args.num_beams})):
            captions[name] = evaluate_captions(accelerator, model, loader, processor, f"test, {name}", **how, **wanted)
        if teaches:
            by_template = template_captions(accelerator, classifier, loader, image_processor, tree)
            captions["template, predicted votes"] = by_template
        if not accelerator.is_main_process:
            return None
        return score_beside_rivals(captions, references["test"], references["validation"], tree)

    return finish(run, rows, GalaxyCaptionerForConditionalGeneration, processor, test)


if __name__ == "__main__":
    main()
