"""Describe every galaxy of a catalogue of any size, on any number of processes, into Parquet that opens with pandas or astropy.

galaxy-vision predict --model runs/classifier --catalogue images.zip --output_dir predictions
accelerate launch --num_processes 4 -m galaxy_vision.predict --model DIR --catalogue PATH --output_dir DIR

The catalogue is cut into parts. A part is computed by one process, written beside and renamed when complete, so that a killed run
goes on with the parts that are missing, and the rows do not depend on the number of processes.
"""

import hashlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from accelerate.utils import broadcast_object_list
from huggingface_hub import snapshot_download
from torch.fx.experimental.optimization import fuse
from tqdm.auto import tqdm

from . import __version__
from .accelerator import bf16_gain, make_accelerator, settle_precision
from .arguments import arg, parse_arguments
from .catalogue import Catalogue, Columns, Row, needs_index, open_catalogue, write_index
from .checkpoints import sole_run
from .column_names import probability_columns
from .decision_tree import ANSWERS, QUESTION_SLICES
from .export import OpenVINOClassifier, import_openvino
from .hardware import available_cores, decoding_threads
from .images import read_rgb
from .model_files import load_captioner, load_classifier
from .parts import MANIFEST, PartWriter, count_rows, first_error, missing_parts, recorded_identity, write_manifest
from .rotations import check_rotations, classify

INDEX = "_index.arrow"
GIVEN = ("id", "source", "status", "error")
"""Columns that every row has, whatever became of its image."""

BACKENDS = ("torch", "openvino")
BATCHES_AHEAD = 3
MODEL_FILES = ("*.safetensors", "config.json", "generation_config.json", "*processor_config.json", "tokenizer*.json")


@dataclass
class Arguments:
    """Arguments of a prediction; also the keys of a JSON arguments file."""

    model: str = field(metadata={"help": "trained classifier: folder or Hub id"})
    catalogue: str = field(
        metadata={
            "help": "folder of images, zip, tar (or folder of tars, as WebDataset), Parquet (file or folder), CSV of paths "
            "(cut by commas, semicolons or tabs), or the id of a data set of the Hub, which is streamed"
        }
    )
    output_dir: str = field(metadata={"help": "folder for the parts; if it holds some of this very run, it goes on"})
    id_column: str | None = arg(None, "of a table; default id or id_str, and the place of the row if there is none")
    image_column: str | None = arg(
        None,
        "of a table: bytes, image or path; default image, path, file_loc, file_name or filename. Of a tar: what the names of "
        "galaxies end with, such as jpg where a.mask.png lies beside a.jpg",
    )
    image_root: str | None = arg(None, "where relative paths of a table start (default: the folder of the table)")
    split: str | None = arg(
        None, "only this split, of a Hub data set or of Parquet files whose names, or folders, start with it"
    )
    config: str | None = arg(None, "configuration of a data set of the Hub that has several")
    captioner: str | None = arg(None, "also write captions by this trained captioner: folder or Hub id")
    embedding: bool = arg(False, "also write the features of the backbone")
    rotations: int = arg(1, "average over this many turned and mirrored images: 1, 4 or 8; the cost grows with it")
    batch_size: int = arg(0, "images at once (0: 256, on a CPU 32, which its caches hold)")
    rows_per_part: int = arg(
        4096, "rows of one output file, and what a kill can cost each process; a run that goes on keeps it"
    )
    num_workers: int = arg(
        0, "threads that read and decode images, and on a CPU describe them too (0: one for each core of the process)"
    )
    backend: str = arg("torch", "torch, or openvino on a CPU (pip install 'galaxy_vision[export]') for the classifier")
    mixed_precision: str = arg("auto", "auto (launch flag, else fp32 or bf16, whichever is faster here), no, bf16 or fp16")

    def __post_init__(self):
        for name, least in (("batch_size", 0), ("rows_per_part", 1), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} is below {least}")
        check_rotations(self.rotations)
        if self.backend not in BACKENDS:
            raise ValueError(f"backend={self.backend!r} is not one of {', '.join(BACKENDS)}")
        if self.mixed_precision not in ("auto", "no", "bf16", "fp16"):
            raise ValueError(f"mixed_precision={self.mixed_precision!r} is not one of auto, no, bf16, fp16")


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(Arguments, __doc__, argv, prog="galaxy-vision predict")
    try:
        # Processes wait for each other at the start and at the end only, and there for as long as it takes.
        accelerator = make_accelerator(args.mixed_precision, 1, None, Path(args.output_dir), timeout=timedelta(days=30))
        try:
            with sole_run(Path(args.output_dir)):
                return 0 if predict(args, accelerator) else 1
        finally:
            accelerator.end_training()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def predict(args: Arguments, accelerator) -> bool:
    """Write the parts that are missing, and the manifest when all are there.

    Returns:
        Whether any image could be read; the main process says so if none could.

    Raises:
        ValueError: the model or catalogue cannot be used, or ``output_dir`` holds another run.
    """
    output_dir = Path(args.output_dir)
    columns = Columns(args.id_column, args.image_column, args.image_root, args.split, args.config)
    models = Models(args, accelerator)
    index = output_dir / INDEX
    try:
        together(accelerator, partial(list_catalogue, args, columns))
        recorded = together(accelerator, partial(recorded_identity, output_dir))
        first_batch = partial(open_catalogue, args.catalogue, _new(index), args.rows_per_part, columns)
        settle_precision(
            accelerator,
            args.mixed_precision,
            lambda: models.bf16_gain(first_batch()),
            recorded.get("mixed_precision"),
        )
        models.compute = models.compute_in(accelerator.mixed_precision)
        identity, missing = together(accelerator, partial(make_plan, args, columns, models))
    finally:
        if accelerator.is_main_process:
            _new(index).unlink(missing_ok=True)
    catalogue = open_catalogue(args.catalogue, index, args.rows_per_part, columns)
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    described = {
        "identity": identity,
        "model": args.model,
        "catalogue": args.catalogue,
        "class_names": models.class_names,
        "class_columns": probability_columns(models.class_names),
    }
    writer = PartWriter(output_dir, models.schema(), described, args.rows_per_part)
    known = [catalogue.part_rows[part] for part in mine]
    bar = tqdm(
        total=None if None in known else sum(known),
        desc=f"{len(missing)} of {identity['parts']} parts"
        + f", {accelerator.num_processes} processes, this one" * (accelerator.num_processes > 1),
        unit=" images",
        disable=not accelerator.is_main_process,
    )
    with bar:
        describe_parts(catalogue, mine, models, writer, models.workers, bar)
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return True
    counts = count_rows(output_dir, catalogue.part_rows)
    statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{sum(counts.values())} rows ({statuses}) in {identity['parts']} parts: {output_dir.resolve()}")
    if "ok" not in counts:
        print(f"error: no image could be read; {first_error(output_dir)}. Mend that and remove {output_dir}", file=sys.stderr)
        return False
    write_manifest(output_dir, described | {"num_processes": accelerator.num_processes}, counts)
    return True


def together(accelerator, action: Callable):
    """What the main process makes of ``action``, on all processes; where it cannot, all of them end.

    Raises:
        ValueError: of ``action``, on the main process; the others end in silence.
    """
    made = [None, None]
    if accelerator.is_main_process:
        try:
            made[0] = action()
        except ValueError as error:
            made[1] = str(error)
    result, refused = broadcast_object_list(made)
    if refused is None:
        return result
    if accelerator.is_main_process:
        raise ValueError(refused)
    raise SystemExit(2)  # one process says why


def _new(index: Path) -> Path:
    """Where an index lies until it is known to be that of the run in its folder."""
    return index.with_name(f"_new{index.name}")


def list_catalogue(args: Arguments, columns: Columns) -> None:
    """Write the index of a catalogue that needs one, beside that of the run; by one process.

    Raises:
        ValueError: the catalogue cannot be used.
    """
    output_dir = Path(args.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    if needs_index(args.catalogue):
        for note in write_index(args.catalogue, _new(output_dir / INDEX), args.rows_per_part, columns):
            print(f"note: {note}", file=sys.stderr)


def make_plan(args: Arguments, columns: Columns, models: "Models") -> tuple[dict, list[int]]:
    """What makes this run another than any other, and the parts that are missing; by one process.

    Everything that changes rows, their order, columns or values is in the identity. The index of ``output_dir`` is only
    replaced by one of the same run.

    Raises:
        ValueError: the catalogue cannot be used, or ``output_dir`` holds another run.
    """
    output_dir = Path(args.output_dir)
    index = output_dir / INDEX
    catalogue = open_catalogue(args.catalogue, _new(index), args.rows_per_part, columns)
    identity = models.identity() | {
        "catalogue_fingerprint": catalogue.fingerprint(),
        "id_column": args.id_column,
        "image_column": args.image_column,
        "image_root": args.image_root and str(Path(args.image_root).resolve()),
        "split": args.split,
        "config": args.config,
        "rows_per_part": args.rows_per_part,
        "parts": len(catalogue.part_rows),
        "batch_size": models.batch_size,
        "embedding": args.embedding,
        "rotations": args.rotations,
        "backend": args.backend,
        "device": models.accelerator.device.type,
        "mixed_precision": models.accelerator.mixed_precision,
        "package_version": __version__,
    }
    missing = missing_parts(output_dir, identity)
    if _new(index).exists():
        _new(index).replace(index)
    if missing:
        (output_dir / MANIFEST).unlink(missing_ok=True)
    return identity, missing


def describe_parts(catalogue: Catalogue, parts: Iterable[int], models: "Models", writer: PartWriter, workers: int, bar) -> None:
    """Describe these parts with ``workers`` threads, and write each."""
    with decoding_threads(workers) as pool:
        ahead = BATCHES_AHEAD + workers if models.whole_batches else BATCHES_AHEAD
        for part, rows, table in batches_ahead(catalogue, parts, models.batch_size, partial(models.begin, pool), ahead):
            if rows is None:
                writer.finish(part)
                continue
            writer.add(part, table())
            bar.update(len(rows))


def batches_ahead(
    catalogue: Catalogue, parts: Iterable[int], batch_size: int, begin: Callable, ahead: int
) -> Iterator[tuple[int, list[Row] | None, Callable | None]]:
    """(part, rows, what ``begin`` gives for them), and (part, None, None) after its last; ``ahead`` more are begun by then.

    A batch never crosses parts, so that a part is the same whatever was computed before it.
    """
    waiting = deque()
    for part in parts:
        rows = catalogue.rows(part)
        while batch := list(islice(rows, batch_size)):
            waiting.append((part, batch, begin(batch)))
            if len(waiting) > ahead:
                yield waiting.popleft()
        waiting.append((part, None, None))
    yield from waiting


class Models:
    """Classifier and, if wanted, captioner on the device; rows in, table out."""

    def __init__(self, args: Arguments, accelerator):
        self.args, self.accelerator = args, accelerator
        # On a CPU a thread takes a batch from the files to the table, with one core: threads that share a product wait for each other,
        # and for those that decode. Elsewhere threads decode while the device computes.
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
            names += [(f"{answer}_{kind}", pa.float32()) for answer in ANSWERS for kind in ("fraction", "lower", "upper")]
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
        except Exception as error:  # storage and archives raise whatever they like, and one image must not end a run of days
            return None, "unreadable", f"{type(error).__name__}: {error}"
        try:
            rgb = read_rgb(data)
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

        Unreadable rows are computed as black images and blanked, and the last batch of a part is filled up with black ones: every
        batch has the same shape, so that the bits of a row depend neither on its neighbours nor on the number of threads.
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
    return Path(model) if Path(model).is_dir() else Path(snapshot_download(model, allow_patterns=[*MODEL_FILES, "*.py"]))


def folder_fingerprint(folder: Path | None) -> str | None:
    """Of the files of a saved model that change what it says."""
    if folder is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
