"""Write the rows of a prediction as one file of another format: VOTable, FITS, CSV, ECSV or Parquet.

galaxy-vision convert predictions --output galaxies.vot

The rows are read and written a batch at a time, so that memory does not grow with the catalogue.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from ..sky.about import about_of, abouts_in, with_about
from ..sky.write_tables import WRITERS, check_format, write_table
from .parts import MANIFEST

ROWS_AT_ONCE = 4096
"""Rows of a batch: 2 MB of a prediction with captions."""


def main(argv: list[str] | None = None) -> int:
    """Run ``galaxy-vision convert``, and return its exit status: 0, or 2 after an error."""
    parser = argparse.ArgumentParser(
        prog="galaxy-vision convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("predictions", metavar="DIR", help="output_dir of galaxy-vision predict, or a Parquet file")
    parser.add_argument("--output", required=True, metavar="FILE", help=f"ends with one of {', '.join(WRITERS)}")
    args = parser.parse_args(argv)
    try:
        rows = convert(Path(args.predictions), Path(args.output))
    except (OSError, ValueError) as error:
        print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    print(f"{rows} rows: {Path(args.output).resolve()}")
    return 0


def convert(predictions: Path, output: Path) -> int:
    """Write the rows of a finished prediction to one file, whole or not at all.

    Args:
        predictions: folder of its parts, or a Parquet file.
        output: ends with one of :data:`~galaxy_vision.sky.write_tables.WRITERS`.

    Returns:
        The number of rows.

    Raises:
        ValueError: the prediction is not finished, a file is damaged, or the format is not known.
        OSError: the file cannot be written.
    """
    check_format(output)
    if not output.absolute().parent.is_dir():
        raise ValueError(f"output={output}: the folder does not exist; make it first")
    files = _files(predictions)
    try:
        schema, rows = _schema(files[0]), sum(pq.read_metadata(file).num_rows for file in files)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"predictions={predictions} cannot be read as Parquet: {error}") from error

    def batches() -> Iterator[pa.RecordBatch]:
        with tqdm(total=rows, desc=output.name, unit=" rows", leave=False) as bar:
            for file in files:
                with pq.ParquetFile(file) as opened:
                    for batch in opened.iter_batches(ROWS_AT_ONCE):
                        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
                        bar.update(batch.num_rows)

    write_table(output, schema, batches)
    return rows


def _files(predictions: Path) -> list[Path]:
    if predictions.is_file():
        return [predictions]
    if not predictions.is_dir():
        raise ValueError(f"predictions={predictions} does not exist; give the output_dir of galaxy-vision predict")
    if not (predictions / MANIFEST).exists():
        raise ValueError(f"predictions={predictions} is not finished; run galaxy-vision predict again to complete it")
    return sorted(predictions.glob("part-*.parquet"))


def _schema(file: Path) -> pa.Schema:
    """Return the schema of a file, whose fields say what they mean if anything in the file does."""
    with pq.ParquetFile(file) as opened:
        schema, abouts = opened.schema_arrow, abouts_in(opened.metadata.metadata)
    fields = [
        with_about(field, abouts[field.name]) if field.name in abouts and not any(about_of(field)) else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata)
