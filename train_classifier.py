"""Train a galaxy classifier: morphological class, and the votes of Galaxy Zoo volunteers on the whole decision tree.

accelerate launch train_classifier.py                                # simulated galaxies, a few minutes on 2 cores
accelerate launch train_classifier.py --dataset galaxy_zoo_challenge # a folder that datasets_scripts wrote
accelerate launch train_classifier.py run.json                       # arguments from a file
"""

from dataclasses import dataclass

import torch

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.labels import scheme_of
from galaxy_vision.evaluation.evaluate import Examples, evaluate
from galaxy_vision.evaluation.metrics import GalaxyMetric
from galaxy_vision.evaluation.objectives import CLASSIFIER
from galaxy_vision.evaluation.votes import VoteMetrics
from galaxy_vision.models.trees import Trees
from galaxy_vision.runtime.arguments import arg, parse_arguments
from galaxy_vision.training.arguments import TrainingRun
from galaxy_vision.training.checks import check_classifier_rows
from galaxy_vision.training.limits import check_choice, check_pretrained_backbone
from galaxy_vision.training.loop import Run
from galaxy_vision.training.rows import load_rows
from galaxy_vision.training.run import finish, fit, parameter_groups, prepare, training_run
from galaxy_vision.training.starting_point import (
    load_pretrained_backbone,
    load_start,
    settled_image_processor,
    take_weights,
)

SCORES = ("loss", "rmse_37", "rmse_known")
"""Validation scores that can select the epoch."""

CLASS_WEIGHTINGS = {"none": 0.0, "sqrt": -0.5, "balanced": -1.0}
"""Powers of the number of rows of a class, by which it weighs in the loss."""


@dataclass
class Arguments(TrainingRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/classifier", "folder for the model, metrics.json, figures and checkpoints")
    pretrained_backbone: str | None = arg(
        None, "start from these timm weights, such as resnet18.a1_in1k (downloads from the Hub)"
    )
    init_from: str | None = arg(
        None, "start from the weights of this trained classifier (folder or Hub id), as far as they mean the same here"
    )
    predict_votes: bool = arg(True, "learn the votes too, where the data set has them")
    class_weighting: str = arg(
        "sqrt", "none, sqrt or balanced: loss weight of a class, 1, n^-1/2 or n^-1 of its rows, mean 1"
    )
    select_by: str = arg(
        "loss",
        "validation score of the epoch that is kept: loss, which asks for the right certainty too, rmse_37 (of Kaggle, "
        "over rows with all 37 answers), or rmse_known (over the answers that are known)",
    )

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "select_by", SCORES)
        check_choice(self, "class_weighting", tuple(CLASS_WEIGHTINGS))
        check_pretrained_backbone(self)


def main(argv: list[str] | None = None) -> dict | None:
    args = parse_arguments(Arguments, __doc__, argv)
    with training_run(args) as run:
        return train(run)


def train(run: Run) -> dict | None:
    args, accelerator = run.args, run.accelerator

    # --------------------------------------------------------------------------------------------------- starting point
    start = load_start(run, GalaxyResNetForImageClassification, ("backbone",))
    backbone = load_pretrained_backbone(run)
    processor = settled_image_processor(run)

    # ------------------------------------------------------------------------------------------------------------- data
    rows = load_rows(run, processor, check_classifier_rows)
    has_votes = rows.has_votes

    # ------------------------------------------------------------------------------------------------------------ model
    config = GalaxyResNetConfig(
        backbone=args.backbone,
        image_size=args.image_size,
        predict_votes=has_votes,
        trees=rows.trees.to_list() if has_votes and rows.trees != Trees() else None,
        label_scheme=scheme_of(rows.class_names, rows.trees) if has_votes else None,
        drop_rate=args.drop_rate,
        id2label=dict(enumerate(rows.class_names)),
        label2id={name: index for index, name in enumerate(rows.class_names)},
    )
    model = GalaxyResNetForImageClassification(config)
    if start:
        accelerator.print(take_weights(model, start, f"init_from={args.init_from!r}"))
    elif backbone:
        model.backbone.load_state_dict(backbone.state_dict())

    # ------------------------------------------------------------------------------------------------ what is optimised
    counts = torch.tensor(rows.class_counts, dtype=torch.float32).clamp_min(1)
    weights = counts ** CLASS_WEIGHTINGS[args.class_weighting]
    class_weights = (weights / weights.mean()).to(accelerator.device)

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        votes = batch["votes"] if has_votes else None
        return {"labels": batch["labels"], "votes": votes, "trees": rows.trees, "class_weights": class_weights}

    run = prepare(run, rows, model, parameter_groups(model, args), CLASSIFIER, targets)

    # -------------------------------------------------------------------------------------------------- what is chosen
    def metrics() -> dict:
        counts = rows.class_counts.tolist()
        metrics = {"classes": GalaxyMetric("classes", label_names=rows.class_names, train_class_counts=counts)}
        return metrics | ({"votes": VoteMetrics(rows.trees, rows.train_votes)} if has_votes else {})

    def validate(model: GalaxyResNetForImageClassification) -> tuple[float, dict] | None:
        loader = run.loaders["validation"]
        results = evaluate(accelerator, model, loader, processor, metrics(), "validation", trees=rows.trees)
        if results is None:
            return None
        scores = {"loss": results["loss"], "macro_f1": results["classes"]["macro_f1"]}
        scores |= {name: results["votes"].get(name) if has_votes else None for name in ("rmse_37", "rmse_known")}
        return scores[args.select_by], {f"validation_{name}": score for name, score in scores.items()}

    fit(run, validate)

    # ------------------------------------------------------------------------------------------------ what is reported
    def test(model: GalaxyResNetForImageClassification) -> dict | None:
        examples = {"examples": Examples(rows.class_names)}
        scored = metrics() | examples
        return evaluate(accelerator, model, run.loaders["test"], processor, scored, "test", trees=rows.trees)

    return finish(run, rows, GalaxyResNetForImageClassification, processor, test)


if __name__ == "__main__":
    main()
