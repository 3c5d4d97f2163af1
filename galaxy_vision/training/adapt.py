"""Add a campaign to a trained classifier by a few rows with its votes: ``galaxy-vision adapt``.

    galaxy-vision adapt --model galaxy-resnet --dataset galaxy_zoo_2 --like gz_challenge --output_dir runs/adapted

The weights of the backbone, the class head and the other heads for votes stay as they are. The new head is fitted to
the features of the rows, beginning at and held to the head of the campaign that it is --like, which has the same
questions and answers. The new campaign comes first in the adapted model: where nobody names another, its votes are
shown, and classes that follow from votes follow from these.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from datasets import Dataset, concatenate_datasets
from tqdm.auto import tqdm

from ..data.augmentation import Augmentation, augment
from ..data.batches import cache_pixels, make_loader
from ..data.campaigns import wanted_trees
from ..data.checks import fingerprint_of
from ..data.labels import class_names_of, scheme_of
from ..data.load import Galaxies, load_galaxies
from ..data.twins import without_twins
from ..data.votes import votes_of
from ..evaluation.report import describe_run, write_report
from ..evaluation.saved import evaluate_saved
from ..evaluation.tables import summary_table
from ..inference.classes import OWN_CLASSES, label_scheme_of
from ..inference.loading import load_classifier, take_for
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..models.tree import DecisionTree
from ..models.trees import Trees
from ..runtime.accelerator import make_accelerator
from ..runtime.arguments import arg, parse_arguments
from ..runtime.files import sole_run, write_json
from ..runtime.orderly_end import refusals_in_one_line
from ..runtime.shipped import CLASSIFIER
from .head_fit import Head, choose_strength, fit_head

FEW_ROWS = 300
"""Validation rows below which strengths are compared by folds. Ours: losses of strengths differ by a hundredth, and
those of 60 galaxies are uncertain by several."""


@dataclass
class Arguments:
    """Arguments of ``galaxy-vision adapt``; also the keys of a JSON arguments file."""

    command: ClassVar[str] = "galaxy-vision adapt"

    model: str = arg(CLASSIFIER, "trained classifier: folder or Hub id")
    dataset: str | None = arg(None, "data set with votes of the new campaign, as for training")
    output_dir: str = arg("runs/adapted", "folder for the adapted model, metrics.json, figures and card")
    campaign: str | None = arg(None, "the new campaign (default: that of the data set)")
    tree: str | None = arg(None, "JSON file of a decision tree of your own, whose votes are learned")
    like: str | None = arg(
        None,
        "campaign of the model that the new one is like (default: the first); where the model does not say whose votes "
        "it predicts, this says it",
    )
    without_twins_of: str | None = arg(
        None, "data sets, with commas, from which the model has learned; galaxies that are also in one are left out"
    )
    views: int = arg(8, "views of each galaxy, the first as it is and the others turned, mirrored, zoomed and shifted")
    label_scheme: str | None = arg(None, "hubble, summary, threshold or answers: how votes become classes")
    num_simulated: int = arg(2400, "galaxies of the simulated data set")
    batch_size: int = arg(32, "images at once")
    seed: int = arg(0, "of the views and folds")

    def __post_init__(self):
        self.resolved: set[str] = set()
        if not self.dataset:
            raise ValueError("dataset is missing; give --dataset, with votes of the new campaign")
        for name, least in {"views": 1, "batch_size": 1, "num_simulated": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} is below {least}; give {least} or more")
        if self.trees is not None and len(self.trees) > 1:
            raise ValueError(f"campaign and tree name {', '.join(self.trees)}; add one at a time")

    @property
    def trees(self) -> Trees | None:
        """The tree of the new campaign; None for that of the data set."""
        return wanted_trees(self.campaign, self.tree)

    @property
    def further_datasets(self) -> list[str]:
        """None: the rows are of one data set."""
        return []


@torch.inference_mode()
def view_features(
    model: GalaxyResNetForImageClassification, rows: Dataset, processor: GalaxyImageProcessor, views: int, seed: int = 0
) -> torch.Tensor:
    """Return the features (N, views, D) of rows, the first view of the image as it is, the others drawn at random.

    Args:
        model: in evaluation mode.
        rows: with a column ``image``.
        processor: of the model.
        views: 1 or more.
        seed: of the views.
    """
    generator, features = torch.Generator().manual_seed(seed), []
    loader = make_loader(cache_pixels(rows, processor), processor.size["height"], 32, shuffle=False)
    for batch in tqdm(loader, desc="features", leave=False):
        pixels = processor.normalize_pixels(batch["pixels"])
        shown = [pixels, *(augment(pixels, generator, Augmentation()) for _ in range(views - 1))]
        outputs = [model.backbone(view.contiguous(memory_format=torch.channels_last)) for view in shown]
        features.append(torch.stack(outputs, 1))
    return torch.cat(features).clone()


def known_votes(rows: Dataset, trees: Trees) -> torch.Tensor:
    """Return the votes (N, answers) of rows, float64, NaN where unknown and for a row without votes."""
    return torch.from_numpy(votes_of(rows.select_columns(["votes"]).with_format("arrow")[:], trees))


def head_of(model: GalaxyResNetForImageClassification, campaign: str) -> Head:
    """Return the rows of ``vote_head`` that are of a campaign."""
    part = model.trees.slices[campaign]
    return Head(model.vote_head.weight.detach()[part].double(), model.vote_head.bias.detach()[part].double())


def scheme_with(model: GalaxyResNetForImageClassification, trees: Trees) -> str | None:
    """Return ``config.label_scheme`` of a model that gets other trees and keeps its classes.

    Returns:
        The scheme by which classes follow from votes, named also where the model leaves it to the names of its classes;
        None for classes of its own, or ``"own"`` where the new trees would make them those of a scheme, or no longer
        have the classes of the scheme.
    """
    names = [model.config.id2label[label] for label in range(model.config.num_labels)]
    scheme = label_scheme_of(model.config)
    if scheme is not None:
        return scheme if names in class_names_of(scheme, trees) else OWN_CLASSES
    return model.config.label_scheme if scheme_of(names, trees) is None else OWN_CLASSES


def with_campaign(
    model: GalaxyResNetForImageClassification, tree: DecisionTree, head: Head
) -> GalaxyResNetForImageClassification:
    """Return a classifier with another campaign before those of ``model``, whose other weights are the same.

    Classes that follow from votes follow from those of the new campaign where nobody names another.
    """
    config = copy.deepcopy(model.config)
    trees = Trees([tree, *model.trees.values()])
    config.trees, config.label_scheme = trees.to_list(), scheme_with(model, trees)
    config.validate_format()
    weights = dict(model.state_dict())
    for name, new in head._asdict().items():
        key = f"vote_head.{name}"
        weights[key] = torch.cat([new.to(weights[key]), weights[key]])
    adapted = GalaxyResNetForImageClassification(config)
    adapted.load_state_dict(weights)
    return adapted.eval()


def like_which(model: GalaxyResNetForImageClassification, name: str, like: str | None, tree: DecisionTree) -> str:
    """Return the campaign of the model whose head the new one begins at; a model that has no name for it gets it.

    Raises:
        ValueError: the model has no votes, not this campaign, the new one already, or other questions and answers.
    """
    if model.vote_head is None:
        raise ValueError(f"model={name!r} was trained without votes; give one that predicts them")
    if model.config.trees is None and like is not None:
        own = wanted_trees(like)
        if own.first.answers == model.trees.first.answers:
            take_for(model, own)
    if tree.name in model.trees:
        remedy = (
            "" if model.config.trees is not None else ", as it does not say whose it has; say by --like whose they are"
        )
        raise ValueError(
            f"model={name!r} is taken to predict votes of {tree.name!r} already{remedy or '; give another'}"
        )
    like = model.trees.named(like).name
    if model.trees[like].answers != tree.answers:
        raise ValueError(
            f"campaign {tree.name!r} has other questions or answers than {like!r}, whose head it would begin at; train "
            "its head by train_classifier.py"
        )
    return like


def load_rows(args: Arguments) -> Galaxies:
    """Load the rows, without those that the model has learned from if these are named."""
    data = load_galaxies(args.dataset, args.label_scheme, args.num_simulated, trees=args.trees)
    if data.trees is None or len(data.trees) > 1:
        found = f"votes of {', '.join(data.trees)}" if data.trees else "no votes"
        raise ValueError(f"dataset={args.dataset!r} has {found}; name one campaign that it has by --campaign")
    for note in data.notes:
        print(note)
    for learned in twins_of(args):
        others = concatenate_datasets(list(load_galaxies(learned).values()))  # as evaluate does, for the same cache
        for split, rows in data.items():
            data[split] = without_twins(rows, others)
            if left := len(rows) - len(data[split]):
                print(f"{split}: {left} of {len(rows)} galaxies are in {learned} too and were left out")
    return data


def twins_of(args: Arguments) -> list[str]:
    """Return the data sets whose galaxies are left out."""
    return [name.strip() for name in (args.without_twins_of or "").split(",") if name.strip()]


def fitted_head(
    model: GalaxyResNetForImageClassification,
    data: Galaxies,
    processor: GalaxyImageProcessor,
    like: str,
    views: int,
    seed: int,
) -> tuple[Head, dict]:
    """Return the new head, and what is recorded of the fit: rows, strength, the losses of all strengths."""
    tree = data.trees.first
    features = {split: view_features(model, data[split], processor, views, seed) for split in ("train", "validation")}
    votes = {split: known_votes(data[split], data.trees) for split in features}
    prior, held_out = head_of(model, like), None
    chosen_by = "the loss of the validation rows"
    if len(votes["validation"]) < FEW_ROWS:  # too few to choose by: they are learned from, too
        chosen_by = "the loss of held-out folds of the training and validation rows"
        features, votes = torch.cat(list(features.values())), torch.cat(list(votes.values()))
    else:
        held_out = features["validation"][:, 0], votes["validation"]
        features, votes = features["train"], votes["train"]
    strength, losses = choose_strength(features, votes, prior, tree, held_out, seed=seed)
    record = {"campaign": tree.name, "like": like, "rows": len(votes), "chosen_by": chosen_by}
    record |= {"strength": _named(strength), "losses": {_named(some): loss for some, loss in losses.items()}}
    return fit_head(features, votes, prior, tree, strength), record


def _named(strength: float) -> str:
    return "infinite: scale and offset of each answer" if math.isinf(strength) else f"{strength:g}"


def adapt(args: Arguments) -> dict:
    """Add the campaign, save the adapted model with scores and card, and return the content of metrics.json."""
    started, folder = time.perf_counter(), Path(args.output_dir)
    with sole_run(folder), refusals_in_one_line():
        try:
            model, processor = load_classifier(args.model)
        except OSError as error:
            raise ValueError(f"model={args.model!r} cannot be loaded: {str(error).splitlines()[0]}") from error
        data = load_rows(args)
        tree = data.trees.first
        like = like_which(model, args.model, args.like, tree)
        check_classes(model, data, args.dataset)
        head, record = fitted_head(model, data, processor, like, args.views, args.seed)
        print(f"votes of {tree.name}, like those of {like}; {record['rows']} galaxies; strength {record['strength']}")
        adapted = with_campaign(model, tree, head)
        adapted.save_pretrained(folder)
        processor.save_pretrained(folder)
        chosen = {"campaign": args.campaign or (None if args.tree else tree.name), "tree": args.tree}
        results = evaluate_saved(
            str(folder),
            args.dataset,
            batch_size=args.batch_size,
            mixed_precision="no",
            label_scheme=args.label_scheme,
            num_simulated=args.num_simulated,
            without_twins_of=twins_of(args),
            **chosen,
        )
        results = {name: results[name] for name in ("classes", "votes", "examples", "loss", "rows") if name in results}
        results |= {
            "adapted": record,
            "arguments": asdict(args),
            "split_fingerprint": {split: fingerprint_of(rows) for split, rows in data.items()},
            "split_rows": {split: len(rows) for split, rows in data.items()},
            "num_processes": 1,
            "seconds": round(time.perf_counter() - started, 1),
        }
        write_json(folder / "metrics.json", results)
        write_json(folder / "run.json", describe_run(args, make_accelerator("no", 1, None, folder), data, results))
        write_report(folder, data["test"], data.trees)
    print(f"\nTest split, {results['rows']} galaxies")
    print(summary_table(results))
    print(f"\nmodel, card, metrics.json and figures: {folder.resolve()}")
    return results


def check_classes(model: GalaxyResNetForImageClassification, data: Galaxies, dataset: str) -> None:
    """Check that the classes of the rows are those of the model, whose scores are reported; raise ValueError if not."""
    known = list(model.config.id2label.values())
    if unknown := [name for name in data["test"].features["label"].names if name not in known]:
        raise ValueError(
            f"dataset={dataset!r} has classes that the model does not know ({', '.join(unknown)}); the model's are "
            f"{', '.join(known)}; give the --label_scheme that it learned"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    adapt(parse_arguments(Arguments, __doc__, argv, prog="galaxy-vision adapt"))
    return 0
