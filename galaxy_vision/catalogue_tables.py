"""Tables that hold images -> numbered parts: Parquet by row groups, data sets of the Hub by their files."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .catalogue_rows import Catalogue, Columns, Row, check_id_type, choose_columns
from .images import read_limited

ROWS_AT_ONCE = 64
"""Rows of a table that are read together: 1 MB of Galaxy Zoo images."""


def _loader(image, root: Path) -> Callable[[], bytes]:
    """Of a cell of an image column: bytes, {"bytes", "path"}, or a path."""

    def load() -> bytes:
        data, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
        if isinstance(data, str):
            data, path = None, data
        if data is not None:
            return data
        if not path:
            raise FileNotFoundError("the row has no image")
        return read_limited(root / path)

    return load


def open_parquet(path: Path, rows_per_part: int, columns: Columns) -> Catalogue:
    """A Parquet file or a folder of them: a part is as many row groups as reach ``rows_per_part``."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if columns.split:
        files = [file for file in files if file.name.startswith(columns.split)]
    parts, part_rows, digest = [], [], hashlib.blake2b(digest_size=16)
    for file in files:
        with _opened(file) as opened:
            chosen = choose_columns(opened.schema_arrow.names, columns, str(file))
            if chosen[0]:
                check_id_type(str(opened.schema_arrow.field(chosen[0]).type), chosen[0], str(file))
            sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        digest.update(f"{name} {file.stat().st_size} {chosen}".encode() + _footer(file))
        first, start = 0, 0
        for group in range(len(sizes)):
            count = sum(sizes[first : group + 1])
            if count and (count >= rows_per_part or group == len(sizes) - 1):
                parts.append((file, name, chosen, range(first, group + 1), start))
                part_rows.append(count)
                first, start = group + 1, start + count
    if not parts:
        raise ValueError(f"catalogue={path} has no row" + (f" in files named {columns.split}*" if columns.split else ""))

    def rows(part: int) -> Iterator[Row]:
        file, name, (id_column, image_column), groups, number = parts[part]
        root = Path(columns.image_root or file.parent)
        read = [image_column, *([id_column] if id_column else [])]
        with pq.ParquetFile(file, pre_buffer=False) as opened:
            for batch in opened.iter_batches(ROWS_AT_ONCE, row_groups=list(groups), columns=read):
                images = batch.column(image_column).to_pylist()
                ids = batch.column(id_column).to_pylist() if id_column else [None] * len(images)
                for galaxy_id, image in zip(ids, images, strict=True):
                    source = f"{name}:{number}"
                    yield Row(source if galaxy_id is None else str(galaxy_id), source, _loader(image, root))
                    number += 1

    return Catalogue(part_rows, rows, digest.hexdigest)


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"catalogue={file} cannot be read as Parquet: {error}; download or write it again") from error


def _footer(file: Path) -> bytes:
    """The footer of a Parquet file: schema, sizes and statistics of every column chunk."""
    with open(file, "rb") as opened:
        opened.seek(-8, os.SEEK_END)
        length = int.from_bytes(opened.read(4), "little")
        opened.seek(-8 - length, os.SEEK_END)
        return opened.read(length)


def open_streamed(repo_id: str, columns: Columns) -> Catalogue:
    """A data set of the Hub: nothing is stored here, and a part is one of its files."""
    from datasets import Image, load_dataset  # takes a second
    from huggingface_hub import HfApi
    from huggingface_hub.utils import httpx

    try:
        revision = HfApi().dataset_info(repo_id).sha
        data = load_dataset(repo_id, revision=revision, streaming=True)
    except (OSError, ValueError, httpx.TransportError) as error:  # of the Hub's client and of datasets
        raise ValueError(f"catalogue={repo_id!r} is neither a file here nor a data set on the Hub ({error})") from error
    if columns.split and columns.split not in data:
        raise ValueError(f"split={columns.split!r} is not in catalogue={repo_id!r}; it has {', '.join(data)}")
    parts = []
    for split in [columns.split] if columns.split else list(data):
        stream = data[split]
        features = stream.features or {name: None for row in stream.take(1) for name in row}
        id_column, image_column = choose_columns(features, columns, f"{repo_id}, split {split}")
        if id_column:
            check_id_type(str(getattr(features[id_column], "dtype", "")), id_column, repo_id)
        if isinstance(features[image_column], Image):
            stream = stream.cast_column(image_column, Image(decode=False))
        stream = stream.select_columns([image_column, *([id_column] if id_column else [])])
        parts += [(split, stream, number, id_column, image_column) for number in range(stream.num_shards)]

    def rows(part: int) -> Iterator[Row]:
        split, stream, shard, id_column, image_column = parts[part]
        for number, row in enumerate(stream.shard(num_shards=stream.num_shards, index=shard)):
            source = f"{split}/{shard}:{number}"
            galaxy_id = source if id_column is None or row[id_column] is None else str(row[id_column])
            yield Row(galaxy_id, source, _loader(row[image_column], Path(columns.image_root or ".")))

    chosen = [(split, id_column, image_column) for split, _, _, id_column, image_column in parts]
    fingerprint = hashlib.blake2b(f"{repo_id} {revision} {chosen}".encode(), digest_size=16).hexdigest
    return Catalogue([None] * len(parts), rows, fingerprint)
