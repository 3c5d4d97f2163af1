"""The rows of a run: loaded, checked, decoded, and dealt in batches."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from ..data.batches import cache_pixels, encode_captions, make_loader
from ..data.checks import fingerprint_of, split_contents
from ..data.load import class_counts, load_galaxies
from ..data.own_labels import label_names_of
from ..data.own_tasks import Task
from ..data.splits import SPLITS
from ..data.streaming import TrainingStream
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.processing_galaxy_captioner import build_tokenizer
from ..models.trees import Trees
from ..runtime.orderly_end import refusals_in_one_line
from .loop import Run
from .own_rows import arrange, learns_own_labels


@dataclass
class Rows:
    """The rows of a run.

    Attributes:
        data: split -> rows as they were loaded, without ``train`` where it is streamed.
        cached: split -> rows with decoded pixels; ``train`` may be a stream.
        loaders: split -> batches.
        processor: has cut and resized the images.
        trees: whose votes the rows have; None without votes.
        tokenizer: of the words of the training captions, where captions were asked for.
        contents: split -> digest, by which a resumed run knows its rows.
        fingerprints: split -> that of ``datasets``.
        has_votes: whether votes are learned.
        task: what labels of one's own are; None for classes and votes as our builders write them.
        own: whether they are labels of one's own, see :func:`~galaxy_vision.training.own_rows.learns_own_labels`.
        few: whether the rows of validation are among those for training.
        other_answers: those of the model, behind those of ``trees``, that no row has votes for.
    """

    data: dict
    cached: dict
    loaders: dict
    processor: GalaxyImageProcessor
    trees: Trees | None
    tokenizer: PreTrainedTokenizerBase | None
    contents: dict[str, str]
    fingerprints: dict[str, str]
    has_votes: bool
    task: Task | None = None
    own: bool = False
    few: bool = False
    other_answers: int = 0

    @property
    def class_names(self) -> list[str]:
        """In label order; of several labels and of numbers their names."""
        return label_names_of(self.data["test"])

    @property
    def counts(self) -> dict[str, int]:
        """Split -> number of its rows."""
        return {split: rows.num_rows for split, rows in self.cached.items()}

    @cached_property
    def class_counts(self) -> np.ndarray:
        """(classes,) labelled training rows of each class."""
        train = self.cached["train"]
        return train.class_counts if "train" not in self.data else class_counts(train, len(self.class_names))

    @cached_property
    def train_votes(self) -> np.ndarray:
        """(N, answers) votes of the training rows; of a stream a sample."""
        train = self.cached["train"]
        return train.votes if "train" not in self.data else train.with_format("numpy")["votes"][:]

    def references(self, split: str) -> list[dict]:
        """``captions`` and ``votes`` of each row of a split."""
        return self.cached[split].select_columns(["captions", "votes"]).to_list()

    def validation_targets(self, batch: dict) -> dict:
        """Return what ``forward`` takes for a loss beside ``pixel_values``, of a batch of the validation split."""
        if self.tokenizer is None:
            if not self.has_votes:
                return {"labels": batch["labels"]}
            return {"labels": batch["labels"], "votes": F.pad(batch["votes"], (0, self.other_answers), value=torch.nan)}
        rows = self.cached["validation"].select_columns(["captions"])[batch["row"].tolist()]
        captions = [references[0] for references in rows["captions"]]
        return {"labels": self.tokenizer(captions, padding=True, return_tensors="pt")["input_ids"]}


def with_margin(processor: GalaxyImageProcessor, margin: float) -> GalaxyImageProcessor:
    """Return a processor that shows ``margin`` times as much of an image, at the same scale."""
    size = round(processor.size["height"] * margin)
    if size == processor.size["height"]:
        return processor
    wider = copy.deepcopy(processor)
    wider.crop_fraction = min(processor.crop_fraction * size / processor.size["height"], 1.0)
    wider.size = {"height": size, "width": size}
    return wider


def load_rows(run: Run, processor: GalaxyImageProcessor, check: Callable, with_captions: bool = False) -> Rows:
    """Load, check and decode the rows of a run; those with labels of their own by :mod:`.own_rows`.

    Args:
        processor: cuts and resizes.
        check: ``check(args, data, trees, open_stream)`` refuses rows of which nothing can be learned, by a ValueError,
            and returns whether votes are learned, and lines of doubt, which are printed. ``open_stream`` opens the
            stream of training rows, after whatever can be checked without it; None unless they are streamed.
        with_captions: training batches have ``input_ids`` (B, references, T).

    Raises:
        SystemExit: there is no such data set, or its rows are refused.
    """
    args, accelerator = run.args, run.accelerator
    with refusals_in_one_line(), accelerator.main_process_first():  # the others then read the cache
        settings = {"seed": 0, "streaming": args.streaming, "trees": args.trees, "also": args.further_datasets}
        if own := getattr(args, "own", None):
            settings["own"] = own
        data = load_galaxies(args.dataset, args.label_scheme, args.num_simulated, **settings)
        trees, notes, task = data.trees, data.notes, data.task
        own_labels = learns_own_labels(args, data)
        data = arrange(args, data)
        few = data.few
    for note in notes:
        accelerator.print(note)
    if trees is not None and trees != Trees():
        accelerator.print(f"votes of {', '.join(f'{name} ({len(tree.answers)})' for name, tree in trees.items())}")
    if args.max_rows:
        data = {split: rows.select(range(min(args.max_rows, len(rows)))) for split, rows in data.items()}

    wider = with_margin(processor, args.margin)

    @cache
    def open_stream() -> TrainingStream:
        return TrainingStream(run, label_names_of(data["test"]), trees, wider, with_captions)

    with refusals_in_one_line():
        has_votes, doubts = check(args, data, trees, open_stream if args.streaming else None)
        stream = open_stream() if args.streaming else None
        with accelerator.main_process_first():
            cutters = {split: processor for split in SPLITS} | {"train": wider}
            cached = {split: cache_pixels(data[split], cutters[split]) for split in SPLITS if split in data}
            tokenizer = stream.tokenizer if stream is not None else None
            if with_captions and stream is None:
                tokenizer = build_tokenizer(text for captions in data["train"]["captions"] for text in captions)
                cached["train"] = encode_captions(cached["train"], tokenizer)
    fingerprints = {split: fingerprint_of(rows) for split, rows in data.items()}
    contents = broadcast_object_list([split_contents(data, trees) if accelerator.is_main_process else None])[0]
    if stream is not None:
        cached = {"train": stream} | cached
        fingerprints["train"], contents["train"] = stream.fingerprint, stream.content
    loaders = {
        split: make_loader(
            rows, (wider if split == "train" else processor).size["height"], args.batch_size, shuffle=split == "train"
        )
        for split, rows in cached.items()
    }
    for doubt in doubts:
        accelerator.print(doubt)
    return Rows(
        data, cached, loaders, processor, trees, tokenizer, contents, fingerprints, has_votes, task, own_labels, few
    )
