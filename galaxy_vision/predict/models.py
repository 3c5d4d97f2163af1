"""The models of a prediction: rows of a catalogue in, a table out."""

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
from torch.fx.experimental.optimization import fuse

from ..images.decode import read_rgb
from ..images.limits import FITS_STARTS
from ..inference.loading import load_captioner, load_classifier
from ..inference.openvino import OpenVINOClassifier, import_openvino
from ..inference.rotations import classify
from ..models.decision_tree import ANSWERS, QUESTION_SLICES
from ..runtime.accelerator import bf16_gain
from ..runtime.hardware import available_cores, decoding_threads
from ..runtime.shipped import model_source
from .arguments import Arguments
from .column_names import probability_columns
from .rows import Catalogue, Row

GIVEN = ("id", "source", "status", "error")
"""Columns that every row has, whatever became of its image."""
MODEL_FILES = ("*.safetensors", "config.json", "generation_config.json", "*processor_config.json", "tokenizer*.json")


class Models:
    """Classifier and, if wanted, captioner on the device; rows in, table out."""

    def __init__(self, args: Arguments, accelerator):
        self.args, self.accelerator = args, accelerator
        self.reading = args.reading()
        # Other files have neither extensions nor bands, and may lie beside FITS files.
        self.reading_others = {name: self.reading[name] for name in ("stretch", "survey") if name in self.reading}
        # On a CPU a thread takes a batch from the files to the table, with one core: threads that share a product wait
        # for each other, and for those that decode. Elsewhere threads decode while the device computes.
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
                self.folders = {name: local_folder(where) for name, where in self.folders.items()}
            self.classifier, processor = load_classifier(self.folders["model"])
            self.processors = [processor]
            if args.captioner:
                captioner, self.writing = load_captioner(self.folders["captioner"])
                self.captioner = captioner.to(accelerator.device, memory_format=torch.channels_last)
                self.processors.append(self.writing.image_processor)
        except (OSError, ValueError) as error:
            raise ValueError(f"model={args.model} captioner={args.captioner}: {str(error).splitlines()[0]}") from error
        self.classifier.backbone = fuse(self.classifier.backbone)  # batch normalisation goes into the convolutions
        self.classifier = self.classifier.to(accelerator.device, memory_format=torch.channels_last)
        self.features = threading.local()
        if args.backend == "torch":
            self.classifier.backbone.register_forward_hook(lambda module, inputs, output: self._keep_features(output))
        self.compute = None  # of compute_in, once the precision is settled
        config = self.classifier.config
        self.class_names = [config.id2label[place] for place in range(config.num_labels)]
        self.has_votes = config.predict_votes

    def _keep_features(self, features: torch.Tensor) -> None:
        self.features.last = features

    def compute_in(self, precision: str) -> Callable:
        """The classifier in this precision; under autocast, where it is torch's."""
        if self.args.backend == "torch":
            return self.classifier
        size = self.processors[0].size["height"]
        return OpenVINOClassifier(self.classifier, size, self.workers, precision == "bf16", self._keep_features)

    def bf16_gain(self, catalogue: Catalogue) -> float:
        """How many times faster bf16 is on the first batch of a catalogue, in a thread as they describe it."""
        rows = list(islice(catalogue.rows(0), self.batch_size))
        squares = [self.decode(row)[0] for row in rows]
        pixels = [self._to_device(place, squares) for place in range(len(self.processors))]
        forms = {bf16: self.compute_in("bf16" if bf16 else "no") for bf16 in (False, True)}

        def compute(count: int, bf16: bool) -> None:
            with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=bf16):
                self._outputs(forms[bf16], [each[:count] for each in pixels])

        if not self.whole_batches:
            return bf16_gain(compute, self.batch_size)
        with decoding_threads(1) as pool:
            return pool.submit(bf16_gain, compute, self.batch_size).result()

    def identity(self) -> dict[str, str | None]:
        """Fingerprints of all files of the models that matter."""
        return {f"{name}_fingerprint": folder_fingerprint(self.folders.get(name)) for name in ("model", "captioner")}

    def schema(self) -> pa.Schema:
        """Columns of the output: plain numbers and strings, named as in the published table of Galaxy Zoo 2."""
        names = [(name, pa.string()) for name in (*GIVEN, "class")]
        names += [(column, pa.float32()) for column in probability_columns(self.class_names)]
        if self.has_votes:
            names += [
                (f"{answer}_{kind}", pa.float32()) for answer in ANSWERS for kind in ("fraction", "lower", "upper")
            ]
            names += [(f"{question}_reach", pa.float32()) for question in QUESTION_SLICES]
        if self.args.captioner:
            names.append(("caption", pa.string()))
        if self.args.embedding:
            names.append(("embedding", pa.list_(pa.float32(), self.classifier.classifier.in_features)))
        return pa.schema(names)

    def begin(self, pool: ThreadPoolExecutor, rows: list[Row]) -> Callable[[], pa.Table]:
        """Start on a batch in the threads of ``pool``; what is returned waits for what is said of it."""
        if self.whole_batches:
            return pool.submit(lambda: self.describe(rows, [self.decode(row) for row in rows])).result
        decoding = [pool.submit(self.decode, row) for row in rows]
        return lambda: self.describe(rows, [each.result() for each in decoding])

    def decode(self, row: Row) -> tuple[list[torch.Tensor] | None, str, str | None]:
        """One row -> its (3, size, size) uint8 for each model, or None; status; error."""
        try:
            data = row.load()
        except FileNotFoundError as error:
            return None, "missing", str(error)
        except (
            Exception
        ) as error:  # storage and archives raise whatever they like, and one image must not end a run of days
            return None, "unreadable", f"{type(error).__name__}: {error}"
        try:
            rgb = read_rgb(data, **(self.reading if data.startswith(FITS_STARTS) else self.reading_others))
        except ValueError as error:
            return None, "damaged", str(error)
        pixels = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)
        return [processor.crop_and_resize(pixels) for processor in self.processors], "ok", None

    @torch.inference_mode()
    def _outputs(self, compute: Callable, pixels: list[torch.Tensor]) -> tuple:
        """What the classifier says of a batch, and the ids of the captions, if there is a captioner."""
        outputs = classify(compute, pixels[0], self.args.rotations)
        return outputs, self.captioner.generate(pixel_values=pixels[1]) if self.args.captioner else None

    @torch.inference_mode()
    def describe(self, rows: list[Row], decoded: list[tuple]) -> pa.Table:
        """What is said of a batch.

        Unreadable rows are computed as black images and blanked, and the last batch of a part is filled up with black
            ones: every batch has the same shape, so that the bits of a row depend neither on its neighbours nor on the
            number of threads.
        """
        squares, statuses, errors = zip(*decoded, strict=True)
        failed = np.array([square is None for square in squares])
        pixels = [self._to_device(place, squares) for place in range(len(self.processors))]
        with self.accelerator.autocast():
            outputs, written = self._outputs(self.compute, pixels)
        count = len(rows)
        probabilities = outputs.logits.float().softmax(-1).cpu().numpy()[:count]
        names = np.array(self.class_names, dtype=object)
        values = [[row.id for row in rows], [row.source for row in rows], statuses, errors]
        values += [names[probabilities.argmax(1)], *probabilities.T]
        if self.has_votes:
            votes = self.classifier.predict_fractions(outputs)
            kinds = [each.cpu().numpy()[:count] for each in (votes.conditional, votes.lower, votes.upper)]
            values += [kind[:, answer] for answer in range(len(ANSWERS)) for kind in kinds]
            reach = votes.reach.cpu().numpy()[:count]
            values += [reach[:, answers.start] for answers in QUESTION_SLICES.values()]
        if self.args.captioner:
            values.append(np.array(self.writing.batch_decode(written)[:count], dtype=object))
        if self.args.embedding:
            features = self.features.last.float().unflatten(0, (self.args.rotations, -1)).mean(0)
            values.append(list(features.cpu().numpy()[:count]))
        schema = self.schema()
        arrays = []
        for place, (value, column) in enumerate(zip(values, schema, strict=True)):
            array = pa.array(value, column.type, mask=failed if place >= len(GIVEN) else None)
            # Absent numbers are null; absent strings are empty, because astropy cannot read null ones.
            arrays.append(array.fill_null("") if column.type == pa.string() else array)
        return pa.Table.from_arrays(arrays, schema=schema)

    def _to_device(self, place: int, squares) -> torch.Tensor:
        """(batch_size, 3, size, size) normalised, of the processor at this place."""
        processor = self.processors[place]
        pixels = torch.zeros(self.batch_size, 3, processor.size["height"], processor.size["width"], dtype=torch.uint8)
        for row, square in enumerate(squares):
            if square is not None:
                pixels[row] = square[place]
        pixels = processor.normalize_pixels(pixels.to(self.accelerator.device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)


def local_folder(model: str) -> Path:
    """The folder itself, or where the files of this Hub id are cached."""
    folder = Path(model_source(model))
    return folder if folder.is_dir() else Path(snapshot_download(model, allow_patterns=[*MODEL_FILES, "*.py"]))


def folder_fingerprint(folder: Path | None) -> str | None:
    """Of the files of a saved model that change what it says."""
    if folder is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
