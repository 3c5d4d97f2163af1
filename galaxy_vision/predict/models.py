"""Run the models of a prediction, from the rows of a catalogue to a table."""

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from huggingface_hub import snapshot_download
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from ..images.decode import read_rgb
from ..images.framing import AS_IS, parse_frame
from ..images.limits import FITS_STARTS
from ..images.observation import observe
from ..inference.captioning import votes_to_say
from ..inference.classes import class_campaign, class_probabilities, label_scheme_of
from ..inference.loading import load_captioner, load_classifier
from ..inference.openvino import OpenVINOClassifier, import_openvino
from ..inference.own_answers import problem_of_model
from ..inference.rotations import classify
from ..models.losses import MULTI_LABEL, REGRESSION
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..models.trees import Trees
from ..models.vote_fractions import totals_of
from ..runtime.accelerator import bf16_gain
from ..runtime.hardware import available_cores, decoding_threads
from ..runtime.shipped import model_source
from ..sky.fetching import NotFetched, Unreachable
from .arguments import Arguments
from .columns import Decoded, Described, answer_columns, as_table, output_columns
from .rows import Catalogue, Row

MODEL_FILES = ("*.safetensors", "config.json", "generation_config.json", "*processor_config.json", "tokenizer*.json")
"""Patterns of the files of a saved model that change its output."""


def fused(backbone: nn.Module) -> nn.Module:
    """Return a backbone with its batch normalisation merged into the convolutions; unchanged where fx cannot trace it.

    Such are networks whose padding depends on the size of the image.
    """
    try:
        return fuse(backbone)
    except TraceError:
        return backbone


class Models:
    """Classifier and optional captioner on the device, which turn rows into a table."""

    def __init__(self, args: Arguments, accelerator):
        self.args, self.accelerator = args, accelerator
        self.frame, self.doubts, self.reading = parse_frame(args.frame), args.doubts, args.reading()
        # Other files have neither extensions nor bands, and may lie beside FITS files.
        self.reading_others = {name: self.reading[name] for name in ("stretch", "survey") if name in self.reading}
        # On a CPU every thread does all the work for a batch on one core: threads that share a matrix product wait
        # for each other and for those that decode. On a GPU, threads decode while the device computes.
        self.whole_batches = accelerator.device.type == "cpu"
        self.batch_size = args.batch_size or (32 if accelerator.device.type == "cpu" else 256)
        self.workers = args.num_workers or max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        if args.backend == "openvino":
            import_openvino()
            if not self.whole_batches:
                raise ValueError(
                    f"backend=openvino computes on a CPU, and this run has {accelerator.device}; use backend=torch"
                )
        self.folders = {"model": args.model} | ({"captioner": args.captioner} if args.captioner else {})
        try:
            with accelerator.local_main_process_first():
                self.folders = {name: local_folder(source) for name, source in self.folders.items()}
            self.classifier, processor = load_classifier(self.folders["model"], any_task=True)
            self.processors = [processor]
            if args.captioner:
                captioner, self.writing = load_captioner(self.folders["captioner"])
                self.captioner = captioner.to(accelerator.device, memory_format=torch.channels_last)
                self.processors.append(self.writing.image_processor)
        except (OSError, ValueError) as error:
            raise ValueError(f"model={args.model} captioner={args.captioner}: {str(error).splitlines()[0]}") from error
        self.classifier.backbone = fused(self.classifier.backbone)
        self.classifier = self.classifier.to(accelerator.device, memory_format=torch.channels_last)
        self.features = threading.local()
        if args.backend == "torch":
            self.classifier.backbone.register_forward_hook(lambda module, inputs, output: self._keep_features(output))
        self.given = None  # set to the columns of the user's table that come back
        self.compute = None  # set to compute_in(...) when the precision is known
        config = self.classifier.config
        self.class_names = [config.id2label[label] for label in range(config.num_labels)]
        self.trees = chosen_trees(self.classifier, args.campaign)
        num_features = self.classifier.classifier.in_features if args.embedding else None
        deciding = class_campaign(self.classifier, self.trees)
        # One that decides nothing where none does: then the class head decides, and not another campaign.
        self.class_campaign = deciding or next(iter(self.trees or ()), None)
        has_captions, has_uncertain = bool(args.captioner), deciding is not None
        named = self.class_names, self.trees, has_captions, num_features, has_uncertain
        self.columns = output_columns(*named, problem_of_model(self.classifier))
        self.answer_columns = answer_columns(self.class_names, problem_of_model(self.classifier))

    def _keep_features(self, features: torch.Tensor) -> None:
        self.features.last = features

    def compute_in(self, precision: str) -> Callable:
        """Return the classifier in a precision; with torch this is set by autocast instead."""
        if self.args.backend == "torch":
            return self.classifier
        size = self.processors[0].size["height"]
        return OpenVINOClassifier(self.classifier, size, self.workers, precision == "bf16", self._keep_features)

    def bf16_gain(self, catalogue: Catalogue) -> float:
        """Return how many times faster bf16 is on the first batch of a catalogue, measured in a worker thread."""
        rows = list(islice(catalogue.rows(0), self.batch_size))
        squares = [self.decode(row).squares for row in rows]
        pixels = [self._to_device(index, squares) for index in range(len(self.processors))]
        classifiers = {bf16: self.compute_in("bf16" if bf16 else "no") for bf16 in (False, True)}

        def compute(count: int, bf16: bool) -> None:
            with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=bf16):
                self._outputs(classifiers[bf16], [batch[:count] for batch in pixels])

        if not self.whole_batches:
            return bf16_gain(compute, self.batch_size)
        with decoding_threads(1) as pool:
            return pool.submit(bf16_gain, compute, self.batch_size).result()

    def identity(self) -> dict:
        """Return the fingerprints of the models, the campaigns whose votes are predicted, and what decides classes."""
        prints = {f"{name}_fingerprint": folder_fingerprint(self.folders.get(name)) for name in ("model", "captioner")}
        deciding = {"label_scheme": label_scheme_of(self.classifier.config), "class_campaign": self.class_campaign}
        return prints | {"campaigns": list(self.trees or ())} | deciding

    def begin(self, pool: ThreadPoolExecutor, rows: list[Row]) -> Callable[[], pa.Table]:
        """Start on a batch in the threads of ``pool``, and return a function that waits for its table."""
        if self.whole_batches:
            return pool.submit(lambda: self.describe(rows, [self.decode(row) for row in rows])).result
        decoding = [pool.submit(self.decode, row) for row in rows]
        return lambda: self.describe(rows, [decoded.result() for decoded in decoding])

    def decode(self, row: Row) -> Decoded:
        """Load the image of a row, frame it, and cut and resize it for each model."""
        try:
            data = row.load()
        except Unreachable:  # which ends the run, since its rows can be had another time
            raise
        except NotFetched as error:
            return Decoded(None, error.status, str(error))
        except FileNotFoundError as error:
            return Decoded(None, "missing", str(error))
        except Exception as error:  # storage and archives raise whatever they like, and one image must not end a run
            return Decoded(None, "unreadable", f"{type(error).__name__}: {error}")
        try:
            reading = self.reading if data.startswith(FITS_STARTS) else self.reading_others
            reading = {} if row.is_cutout else reading
            if self.doubts:
                observation = observe(data, AS_IS if row.is_framed else self.frame, **reading)
                image, reading = observation.image, observation.reading
                doubts = "; ".join(map(str, observation.doubts))
            else:
                image = read_rgb(data, **reading)
                reading, doubts = image.info["reading"], ""
        except ValueError as error:
            return Decoded(None, "damaged", str(error))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        squares = [processor.crop_and_resize(pixels) for processor in self.processors]
        return Decoded(squares, "ok", None, reading, doubts)

    @torch.inference_mode()
    def _outputs(self, compute: Callable, pixels: list[torch.Tensor]) -> tuple:
        """Return the classifier's output for a batch, and the tokens of its captions (None without a captioner)."""
        outputs = classify(compute, pixels[0], self.args.rotations)
        if not self.args.captioner:
            return outputs, None
        told = votes_to_say(self.captioner, self.classifier, outputs, next(iter(self.trees or ()), None))
        return outputs, self.captioner.generate(pixel_values=pixels[1], **told)

    @torch.inference_mode()
    def describe(self, rows: list[Row], decoded: list[Decoded]) -> pa.Table:
        """Return the table of a batch.

        Unreadable rows are computed as black images and then blanked, and the last batch of a part is filled up with
        black images: all batches have the same shape, so that the bits of a row depend neither on the other rows nor on
        the number of threads.
        """
        squares = [image.squares for image in decoded]
        pixels = [self._to_device(index, squares) for index in range(len(self.processors))]
        with self.accelerator.autocast():
            outputs, tokens = self._outputs(self.compute, pixels)
        count = len(rows)
        captions = features = None
        votes, certainty = {}, {}
        for campaign, tree in (self.trees or {}).items():
            concentration = self.classifier.trees.part(outputs.vote_concentration, campaign).float()
            certainty[campaign] = totals_of(concentration, tree).cpu().numpy()[:count]
            fractions = self.classifier.predict_fractions(outputs, campaign)
            votes[campaign] = type(fractions)(*(values.cpu().numpy()[:count] for values in fractions))
        if self.args.captioner:
            captions = self.writing.batch_decode(tokens)[:count]
        if self.args.embedding:
            features = self.features.last.float().unflatten(0, (self.args.rotations, -1)).mean(0).cpu().numpy()[:count]
        problem, errors = problem_of_model(self.classifier), outputs.label_errors
        if problem in (MULTI_LABEL, REGRESSION):
            logits = outputs.logits.float()
            classes = [logits.sigmoid() if problem == MULTI_LABEL else logits, None]
        else:
            classes = class_probabilities(self.classifier, outputs, self.class_campaign)
        numbers = [None if values is None else values.float().cpu().numpy()[:count] for values in (*classes, errors)]
        beside = (votes, certainty, captions, features, numbers[2])
        return as_table(self.columns, Described(rows, decoded, *numbers[:2], *beside))

    def _to_device(self, index: int, squares) -> torch.Tensor:
        """Return the normalised pixels (batch_size, 3, size, size) of one of the processors on the device."""
        processor = self.processors[index]
        pixels = torch.zeros(self.batch_size, 3, processor.size["height"], processor.size["width"], dtype=torch.uint8)
        for row, square in enumerate(squares):
            if square is not None:
                pixels[row] = square[index]
        pixels = processor.normalize_pixels(pixels.to(self.accelerator.device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)


def chosen_trees(classifier: GalaxyResNetForImageClassification, campaigns: str | None) -> Trees | None:
    """Return those trees of a classifier that are named, in the order of the classifier, or all.

    Args:
        classifier: with or without votes.
        campaigns: names separated by commas; None for all.

    Returns:
        The trees; None if the classifier was trained without votes.

    Raises:
        ValueError: the classifier does not have one of them.
    """
    if not classifier.config.predict_votes:
        if campaigns is not None:
            raise ValueError(f"campaign={campaigns!r} has no meaning for a model without votes; leave it out")
        return None
    if campaigns is None:
        return classifier.trees
    wanted = {classifier.trees.named(name.strip()).name for name in campaigns.split(",")}
    return Trees(tree for tree in classifier.trees.values() if tree.name in wanted)


def local_folder(model: str) -> Path:
    """Return the folder of a model: a local one, that of a shipped model, or the cache of a Hub id."""
    folder = Path(model_source(model))
    return folder if folder.is_dir() else Path(snapshot_download(model, allow_patterns=[*MODEL_FILES, "*.py"]))


def folder_fingerprint(folder: Path | None) -> str | None:
    """Return a digest of :data:`MODEL_FILES` in a folder."""
    if folder is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
