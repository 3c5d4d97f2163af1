"""Learn labels of one's own from a trained model: its head first, in closed form, then all weights at a small rate.

The head is a probe (:mod:`.probe`), so that the backbone is not spoilt by the gradients of a random one (Kumar et al.
2022, arXiv:2202.10054). Then all weights learn, layers near the image the least, with the statistics of batch
normalisation left as they are. The head for votes of the model that the run starts from is kept: on the views that are
learned from, its concentrations are held to those of that model (learning without forgetting, Li & Hoiem 2016,
arXiv:1606.09282), so that votes and captions stay.
"""

import copy
import math

import numpy as np
import torch
from timm.optim import param_groups_layer_decay
from torch import nn
from tqdm.auto import tqdm

from ..data.augmentation import augment
from ..data.batches import label_array
from ..evaluation.own_objective import own_objective
from ..evaluation.own_scores import Predictions, predict_split, scores_of
from ..inference.classes import OWN_CLASSES
from ..models.configuration_galaxy_resnet import GalaxyResNetConfig
from ..models.losses import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..models.trees import Trees
from ..runtime.orderly_end import refusals_in_one_line
from .checkpoints import save_best
from .classifier_arguments import CLASS_WEIGHTINGS
from .head_fit import Head, choose_strength, fit_head
from .loop import Run
from .own_rows import SCHEDULE
from .probe import Probe, fit_probe
from .rounds import curve_of, fold_folder
from .rows import Rows
from .run import finish, fit, prepare

PROBLEMS = {"single_label": SINGLE_LABEL, "multi_label": MULTI_LABEL, "regression": REGRESSION, "counts": SINGLE_LABEL}
LAYER_DECAY = 0.7
"""Rate of a layer, as a share of that of the next one nearer to the head."""
VIEWS = 4
"""Views of each training image that the first head is fitted to: the image, and others turned, zoomed and shifted."""
CHECKPOINTS = 4
"""Of a run on few rows, whose epochs take a second and less than a checkpoint. Ours."""
KEPT_WEIGHT = 1.0
"""Weight of the loss by which votes are kept: the mean squared change of the logarithms of their concentrations."""


def learn_own_labels(run: Run, rows: Rows, start: GalaxyResNetForImageClassification | None, processor) -> dict | None:
    """Learn the labels of ``rows``, test once, save and report.

    Args:
        run: begun.
        rows: with labels of their own.
        start: the trained model; None to learn from scratch.
        processor: cuts and resizes.

    Returns:
        The content of metrics.json on the main process; None on the others.
    """
    args, accelerator = run.args, run.accelerator
    problem = problem_of_rows(rows)
    if args.probe and start is None:
        raise SystemExit("error: probe=True reads features of a trained model; give --init_from galaxy-resnet")

    # ------------------------------------------------------------------------------------------------------------ model
    model, kept = new_classifier(args, rows, start, problem)
    what = rows.task or f"task single_label: one class of many, {len(rows.class_names)} classes"
    rows.other_answers = kept.num_answers if kept else 0
    schedule = ", ".join(f"{name}={getattr(args, name)}" for name in (*SCHEDULE, "epochs"))
    accelerator.print(f"{what}; {'the head alone' if args.probe else schedule}")
    accelerator.print(kept_line(kept, start, args))
    if start is not None:
        with refusals_in_one_line():
            take_first_heads(run, model, rows, problem, start)

    # ------------------------------------------------------------------------------------------------ what is optimised
    teacher = copy.deepcopy(start).eval().requires_grad_(False).to(accelerator.device) if kept else None
    weights = class_weights(args, rows, problem).to(accelerator.device)

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        inputs = {"labels": batch["labels"], "votes": batch.get("votes") if rows.has_votes else None}
        if teacher is not None:
            with torch.no_grad():
                inputs["kept"] = kept_part(teacher(pixel_values=pixels).vote_concentration, teacher.trees, kept)
        return inputs | {"class_weights": weights}

    objective = own_objective(problem, rows.trees if rows.has_votes else None, kept, KEPT_WEIGHT)
    run = prepare(run, rows, model, layered_groups(model, args), objective, targets, keeps_statistics=start is not None)
    run.checkpoint_epochs = max(args.epochs // CHECKPOINTS, 1) if rows.few else 1

    # -------------------------------------------------------------------------------------------------- what is chosen
    def scored(model: GalaxyResNetForImageClassification, split: str) -> tuple[dict, object] | None:
        trees = rows.trees if rows.has_votes else None
        predictions = predict_split(accelerator, model, run.loaders[split], processor, split, trees)
        if predictions is None:
            return None
        train = rows.cached["train"]
        return scores_of(predictions, problem, rows.class_names, rows.trees, train), predictions

    def validate(model: GalaxyResNetForImageClassification) -> tuple[float, dict] | None:
        if rows.few:  # they are learned from too: the last epoch is kept, at whose end the rate is 0
            is_last = run.progress.epoch + 1 == args.epochs or args.patience
            return (-float(run.progress.epoch) if is_last else math.inf), {}
        found = scored(model, "validation")
        return None if found is None else (found[0]["loss"], {"validation_loss": found[0]["loss"]})

    if args.probe:
        run.progress.best_epoch = run.progress.epoch = 0
        if accelerator.is_main_process:
            save_best(accelerator.unwrap_model(run.model), run.checkpoints.best)
    else:
        fit(run, validate)

    # ------------------------------------------------------------------------------------------------ what is reported
    def test(model: GalaxyResNetForImageClassification) -> dict | None:
        found = pooled(args, problem, rows) if args.folds else scored(model, "test")
        moved = votes_moved(accelerator, teacher, model, run.loaders["test"], processor, kept) if kept else None
        if found is None:
            return None
        results, predictions = found
        if not args.folds:
            predictions.write(args.output_dir, rows)
        task = rows.task.kind if rows.task else "single_label"
        return results | {"task": task, "few": rows.few, "kept_votes": moved, "probe": args.probe}

    def curve(results: dict) -> dict:
        return {"learning_curve": curve_of(args, results)}

    return finish(run, rows, GalaxyResNetForImageClassification, processor, test, curve)


def pooled(args, problem: str, rows: Rows) -> tuple[dict, Predictions]:
    """Return the scores of all rows by the models of the folds, each tested on those that it did not learn from."""
    predictions = Predictions.read([fold_folder(args, fold) for fold in range(1, args.folds + 1)])
    return scores_of(predictions, problem, rows.class_names, rows.trees, rows.cached["train"]), predictions


def problem_of_rows(rows: Rows) -> str:
    """Return ``config.problem_type`` of labels."""
    return PROBLEMS[rows.task.kind] if rows.task else SINGLE_LABEL


def new_classifier(
    args, rows: Rows, start: GalaxyResNetForImageClassification | None, problem: str
) -> tuple[GalaxyResNetForImageClassification, Trees | None]:
    """Return a classifier of the labels with the backbone of ``start``, and the trees whose votes are kept of it.

    Votes of the rows come first, as where nobody names a campaign they are meant.
    """
    learned = dict(rows.trees) if rows.has_votes else {}
    keeps = start is not None and start.vote_head is not None and not args.drop_votes
    kept = {campaign: tree for campaign, tree in (start.trees if keeps else {}).items() if campaign not in learned}
    trees = Trees((learned | kept).values()) if learned or kept else None
    names = rows.class_names
    config = GalaxyResNetConfig(
        backbone=args.backbone,
        image_size=args.image_size,
        predict_votes=trees is not None,
        trees=trees.to_list() if trees is not None and trees != Trees() else None,
        label_scheme=OWN_CLASSES if trees else None,
        drop_rate=args.drop_rate,
        problem_type=problem,
        predict_errors=problem == REGRESSION,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    model = GalaxyResNetForImageClassification(config)
    if start is not None:
        model.backbone.load_state_dict(start.backbone.state_dict())
    if keeps and trees:
        for campaign in [name for name, tree in trees.items() if start.trees.get(name) == tree]:
            own, theirs = trees.slices[campaign], start.trees.slices[campaign]
            with torch.no_grad():
                model.vote_head.weight[own] = start.vote_head.weight[theirs]
                model.vote_head.bias[own] = start.vote_head.bias[theirs]
    if problem == REGRESSION:
        labels = known_labels(rows)
        scale = np.nanstd(labels, axis=0)
        model.label_mean.copy_(torch.from_numpy(np.nanmean(labels, axis=0)))
        model.label_scale.copy_(torch.from_numpy(np.where(scale > 0, scale, 1.0)))
    return model, Trees(kept.values()) if kept else None


def kept_line(kept: Trees | None, start, args) -> str:
    """Return the line that says what of the model that the run starts from is kept."""
    if start is None:
        return "learned from scratch; a trained model to start from (--init_from galaxy-resnet) needs fewer labels"
    if kept:
        return f"kept of init_from={args.init_from!r}: backbone to start from, and the votes of {', '.join(kept)}"
    return f"kept of init_from={args.init_from!r}: backbone to start from; no votes"


def known_labels(rows: Rows) -> np.ndarray:
    """Return the labels of the training rows, (N,) int64 or (N, C) float32."""
    return label_array(rows.cached["train"].with_format("arrow")[:]["label"])


def take_first_heads(run: Run, model: GalaxyResNetForImageClassification, rows: Rows, problem: str, start) -> None:
    """Fit the heads to features of the training rows, averaged over views: of labels, and of votes that are new.

    The class head of counts, whose classes are their most frequent answers, is left to chance where one never is.

    Raises:
        ValueError: there is nothing to learn, such as a label that all rows have.
    """
    features, labels = view_features(run, model, rows), known_labels(rows)
    known = labels >= 0 if labels.ndim == 1 else np.ones(len(labels), bool)
    if not rows.has_votes or set(labels) - {-1} == set(range(len(rows.class_names))):
        probe = fit_probe(features.numpy()[known], labels[known], problem, rows.class_names, run.args.seed)
        take_first_head(model, probe)
    for campaign, tree in (rows.trees if rows.has_votes else {}).items():
        if start.vote_head is None or start.trees.get(campaign) != tree:
            votes = torch.from_numpy(rows.trees.part(rows.train_votes, campaign)).double()
            blank = Head(
                features.new_zeros(len(tree.answers), features.shape[1]), features.new_zeros(len(tree.answers))
            )
            strength, _ = choose_strength(features[:, None], votes, blank, tree, seed=run.args.seed)
            head, own = fit_head(features[:, None], votes, blank, tree, strength), model.trees.slices[campaign]
            with torch.no_grad():
                model.vote_head.weight[own], model.vote_head.bias[own] = head.weight.float(), head.bias.float()


@torch.inference_mode()
def view_features(run: Run, model: GalaxyResNetForImageClassification, rows: Rows) -> torch.Tensor:
    """Return the features (N, D) of the training rows, the mean of :data:`VIEWS` views of each."""
    generator, features = torch.Generator().manual_seed(run.args.seed), []
    model.backbone.eval().to(run.accelerator.device)
    batches, size = rows.loaders["train"].dataset, run.args.image_size
    hidden = not run.accelerator.is_main_process
    for first in tqdm(range(0, len(batches), 32), desc="first head", leave=False, disable=hidden):
        indices = list(range(first, min(first + 32, len(batches))))
        pixels = rows.processor.normalize_pixels(batches.__getitems__(indices)["pixels"].to(run.accelerator.device))
        shown = [pixels if pixels.shape[-1] == size else augment(pixels, generator, run.args.views, size)]
        shown += [augment(pixels, generator, run.args.views, size) for _ in range(VIEWS - 1)]
        outputs = [model.backbone(view.contiguous(memory_format=torch.channels_last)) for view in shown]
        features.append(torch.stack(outputs).mean(0).cpu())
    return torch.cat(features).clone()


@torch.no_grad()
def take_first_head(model: GalaxyResNetForImageClassification, probe: Probe) -> None:
    """Set the class head to that of a probe; that of numbers in the units of the model, with the probe's error."""
    weight, bias = torch.from_numpy(probe.weight), torch.from_numpy(probe.bias)
    if model.error_head is not None:
        mean, scale = model.label_mean.double(), model.label_scale.double()
        weight, bias = weight / scale[:, None], (bias - mean) / scale
        error = torch.tensor(probe.loss, dtype=torch.float64) / scale
        model.error_head.weight.zero_()
        model.error_head.bias.copy_(error.nan_to_num(1.0).clamp_min(1e-2).log())
    model.classifier.weight.copy_(weight)
    model.classifier.bias.copy_(bias)


def class_weights(args, rows: Rows, problem: str) -> torch.Tensor:
    """Return (C,) weights of the classes in the loss; ones for several labels and numbers."""
    if problem != SINGLE_LABEL:
        return torch.ones(len(rows.class_names))
    counts = torch.tensor(rows.class_counts, dtype=torch.float32).clamp_min(1)
    weights = counts ** CLASS_WEIGHTINGS[args.class_weighting]
    return weights / weights.mean()


def layered_groups(model: GalaxyResNetForImageClassification, args) -> list[dict]:
    """Weights for the optimiser: heads at the full rate, and the less, the nearer a layer is to the image."""
    layers = param_groups_layer_decay(model.backbone, weight_decay=args.weight_decay, layer_decay=LAYER_DECAY)
    groups = [
        {"params": layer["params"], "weight_decay": layer["weight_decay"], "lr": LAYER_DECAY * layer["lr_scale"]}
        for layer in layers
    ]
    for name, module in model.named_children():
        if name != "backbone":
            for weight in module.parameters():
                decay = args.weight_decay if weight.ndim > 1 else 0.0
                groups.append({"params": [weight], "weight_decay": decay, "lr": 1.0})
    return [group | {"lr": args.learning_rate * group["lr"]} for group in groups]


def kept_part(concentration: torch.Tensor, of: Trees, kept: Trees) -> torch.Tensor:
    """Return the concentrations (B, answers of ``kept``) among those of the trees of a model."""
    return torch.cat([concentration[..., of.slices[campaign]] for campaign in kept], -1).float()


@torch.inference_mode()
def votes_moved(accelerator, teacher, model: nn.Module, loader, processor, kept: Trees) -> dict | None:
    """Return by how much votes have changed on a split: the mean absolute change of fractions, of what campaigns."""
    total, count = 0.0, 0
    model.eval()
    for batch in loader:
        pixels = processor.normalize_pixels(batch["pixels"]).contiguous(memory_format=torch.channels_last)
        both = [kept_part(one(pixel_values=pixels).vote_concentration, one.trees, kept) for one in (teacher, model)]
        for campaign, tree in kept.items():
            before, after = (tree.conditional(kept.part(part, campaign).double().cpu().numpy()) for part in both)
            total, count = total + np.abs(after - before).sum(), count + before.size
    return {"campaigns": list(kept), "mean_change": float(total / max(count, 1))}
