"""Describe every galaxy of a catalogue of any size, on any number of processes, into Parquet for pandas and astropy.

galaxy-vision predict --model runs/classifier --catalogue images.zip --output_dir predictions
accelerate launch --num_processes 4 -m galaxy_vision.predict --model DIR --catalogue PATH --output_dir DIR

The catalogue is divided into parts. Each part is computed by one process, written under a temporary name and renamed
when it is complete, so that a killed run resumes with the missing parts, and the rows do not depend on the number of
processes.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from .. import __version__
from ..runtime.accelerator import make_accelerator, settle_precision
from ..runtime.arguments import parse_arguments
from ..runtime.files import sole_run
from ..runtime.hardware import decoding_threads
from ..sky.write_tables import FORMATS
from .arguments import Arguments
from .catalogue import needs_index, open_catalogue, write_index
from .columns import schema
from .convert import convert
from .given import columns_back
from .models import Models
from .parts import MANIFEST, PartWriter, count_rows, first_error, missing_parts, recorded_identity, write_manifest
from .rows import Catalogue, Columns, Row

INDEX = "_index.arrow"
"""List of the images of the catalogue, in ``output_dir``."""

WHOLE = "_predictions"
"""Name of the file of all rows, in ``output_dir``, where another format than Parquet is asked for.

Readers of a folder of Parquet files skip names that start with an underscore.
"""

BATCHES_AHEAD = 3
"""Batches that are read and decoded while one is computed. Ours: a few even out images that are slow to read."""


def main(argv: list[str] | None = None) -> int:
    """Run ``galaxy-vision predict``, and return its exit status: 0, 1 if no image could be read, 2 after an error."""
    args = parse_arguments(Arguments, __doc__, argv, prog="galaxy-vision predict")
    try:
        # Processes wait for each other only at the start and at the end, where one may finish days after another.
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
    """Write the parts that are missing, and the manifest when all parts exist.

    Returns:
        Whether any image could be read; if none could, the main process prints an error.

    Raises:
        ValueError: the model or catalogue cannot be used, or ``output_dir`` holds another run.
    """
    output_dir = Path(args.output_dir)
    positions = (args.survey, args.ra_column, args.dec_column, args.radius_column)
    columns = Columns(args.id_column, args.image_column, args.image_root, args.split, args.config, *positions)
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
    models.given, notes = columns_back(catalogue.given, [column.name for column in models.columns], catalogue.id_column)
    for note in notes if accelerator.is_main_process else ():
        print(f"note: {note}", file=sys.stderr)
    metadata = {
        "identity": identity,
        "model": args.model,
        "catalogue": args.catalogue,
        "class_names": models.class_names,
        "class_columns": models.answer_columns,
        "trees": models.trees.to_list() if models.trees else None,
    }
    columns_out = pa.schema([*models.given.schema, *schema(models.columns)])
    writer = PartWriter(output_dir, columns_out, metadata, args.rows_per_part)
    row_counts = [catalogue.part_rows[part] for part in mine]
    bar = tqdm(
        total=None if None in row_counts else sum(row_counts),
        desc=f"{len(missing)} of {identity['parts']} parts"
        + f", {accelerator.num_processes} processes, this one" * (accelerator.num_processes > 1),
        unit=" images",
        disable=not accelerator.is_main_process,
    )
    with bar, closing(catalogue):
        describe_parts(catalogue, mine, models, writer, models.workers, bar)
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return True
    counts = count_rows(output_dir, catalogue.part_rows)
    statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{sum(counts.values())} rows ({statuses}) in {identity['parts']} parts: {output_dir.resolve()}")
    if "ok" not in counts:
        print(
            f"error: no image could be read; {first_error(output_dir)}. Correct this and remove {output_dir}",
            file=sys.stderr,
        )
        return False
    write_manifest(output_dir, metadata | {"num_processes": accelerator.num_processes}, counts)
    if args.format != "parquet":
        whole = output_dir / f"{WHOLE}{FORMATS[args.format]}"
        convert(output_dir, whole)
        print(f"all rows as {args.format}: {whole.resolve()}")
    return True


def together(accelerator, action: Callable):
    """Call ``action`` on the main process, and return its result on all of them; if it raises, end all of them.

    Raises:
        ValueError: that of ``action``, on the main process.
        SystemExit: on the others, which print nothing.
    """
    outcome = [None, None]  # result, message of the error
    if accelerator.is_main_process:
        try:
            outcome[0] = action()
        except ValueError as error:
            outcome[1] = str(error)
    result, message = broadcast_object_list(outcome)
    if message is None:
        return result
    if accelerator.is_main_process:
        raise ValueError(message)
    raise SystemExit(2)  # the main process prints the message


def _new(index: Path) -> Path:
    """Return the path of an index that has not been compared with that of the run in its folder yet."""
    return index.with_name(f"_new{index.name}")


def list_catalogue(args: Arguments, columns: Columns) -> None:
    """Write the index of a catalogue that needs one under the name of :func:`_new`, on one process.

    Raises:
        ValueError: the catalogue cannot be used.
    """
    output_dir = Path(args.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    if needs_index(args.catalogue):
        for note in write_index(args.catalogue, _new(output_dir / INDEX), args.rows_per_part, columns):
            print(f"note: {note}", file=sys.stderr)


def make_plan(args: Arguments, columns: Columns, models: "Models") -> tuple[dict, list[int]]:
    """Return the identity of the run and the numbers of the missing parts, on one process.

    The identity holds all that changes rows, their order, columns or values. The index of ``output_dir`` is replaced
    only by one of the same run.

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
        "positions": None if catalogue.has_images else list(columns[5:]),
        "reading": args.reading() or None,
        "rows_per_part": args.rows_per_part,
        "parts": len(catalogue.part_rows),
        "batch_size": models.batch_size,
        "embedding": args.embedding,
        "frame": args.frame,
        "doubts": args.doubts,
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


def describe_parts(
    catalogue: Catalogue, parts: Iterable[int], models: "Models", writer: PartWriter, workers: int, bar
) -> None:
    """Describe the images of some parts with ``workers`` threads, and write these parts behind the given columns."""
    with decoding_threads(workers) as pool:
        ahead = BATCHES_AHEAD + workers if models.whole_batches else BATCHES_AHEAD
        for part, rows, table in batches_ahead(catalogue, parts, models.batch_size, partial(models.begin, pool), ahead):
            if rows is None:
                writer.finish(part)
                continue
            writer.add(part, models.given.beside(rows, table()))
            bar.update(len(rows))


def batches_ahead(
    catalogue: Catalogue, parts: Iterable[int], batch_size: int, begin: Callable, ahead: int
) -> Iterator[tuple[int, list[Row] | None, Callable | None]]:
    """Yield (part, rows, result of ``begin(rows)``) for each batch, while the next ``ahead`` batches have begun too.

    (part, None, None) follows the last batch of a part. A batch never holds rows of two parts, so that a part does not
    depend on the parts that were computed before it.
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
