"""Train a galaxy classifier: morphological class, and the votes of Galaxy Zoo volunteers on the whole decision tree.

accelerate launch train_classifier.py                                # simulated galaxies, a few minutes on 2 cores
accelerate launch train_classifier.py --dataset galaxy_zoo_challenge # a folder that datasets_scripts wrote
accelerate launch train_classifier.py --dataset mine.csv --init_from galaxy-resnet   # labels of your own
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
from galaxy_vision.runtime.arguments import parse_arguments
from galaxy_vision.training.checks import check_classifier_rows
from galaxy_vision.training.classifier_arguments import CLASS_WEIGHTINGS, ClassifierRun
from galaxy_vision.training.loop import Run
from galaxy_vision.training.own_labels import learn_own_labels
from galaxy_vision.training.rounds import in_rounds
from galaxy_vision.training.rows import load_rows
from galaxy_vision.training.run import finish, fit, parameter_groups, prepare
from galaxy_vision.training.starting_point import (
    load_pretrained_backbone,
    load_start,
    settled_image_processor,
    take_weights,
)


@dataclass
class Arguments(ClassifierRun):
    """Arguments of the training run; also the keys of a JSON arguments file."""


def main(argv: list[str] | None = None) -> dict | None:
    return in_rounds(parse_arguments(Arguments, __doc__, argv), train)


def train(run: Run) -> dict | None:
    args, accelerator = run.args, run.accelerator

    # --------------------------------------------------------------------------------------------------- starting point
    start = load_start(run, GalaxyResNetForImageClassification, ("backbone",))
    backbone = load_pretrained_backbone(run)
    processor = settled_image_processor(run)

    # ------------------------------------------------------------------------------------------------------------- data
    rows = load_rows(run, processor, check_classifier_rows)
    if rows.own:
        return learn_own_labels(run, rows, start, processor)
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
