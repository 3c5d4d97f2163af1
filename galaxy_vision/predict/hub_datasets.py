"""Stream a data set of the Hub in numbered parts, its files, without storing anything."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from ..images.limits import MAX_BYTES
from .rows import Catalogue, Columns, Row, check_types, choose_columns, read_path, row_of

_ON_THE_HUB = re.compile(r"(zip://[^:]*::)?hf://")


def open_streamed(repo_id: str, columns: Columns) -> Catalogue:
    """Open a Hub data set in any format that ``datasets`` streams: Parquet, WebDataset, ImageFolder, CSV ...

    Raises:
        ValueError: the data set, configuration or split does not exist, ``columns`` leaves a choice open, or columns
            cannot be used.
    """
    from datasets import Image  # takes a second to import

    revision, data = _streams(repo_id, columns.config)
    if columns.split and columns.split not in data:
        raise ValueError(f"split={columns.split!r} is not in catalogue={repo_id!r}; it has {', '.join(data)}")
    parts = []
    for split in [columns.split] if columns.split else list(data):
        where, stream = f"catalogue={repo_id}, split {split}", data[split]
        features = stream.features or {name: None for row in stream.take(1) for name in row}
        id_column, image_column = choose_columns(features, columns, where)
        if isinstance(features[image_column], Image):
            stream = stream.cast_column(image_column, Image(decode=False))
        if stream.features:
            check_types(stream.features.arrow_schema, id_column, image_column, where)
        stream = stream.select_columns([image_column, *([id_column] if id_column else [])])
        parts += [(split, stream, number, id_column, image_column) for number in range(stream.num_shards)]

    def rows(part: int) -> Iterator[Row]:
        split, stream, shard, id_column, image_column = parts[part]
        root = Path(columns.image_root or ".")
        for number, row in enumerate(stream.shard(num_shards=stream.num_shards, index=shard)):
            galaxy_id = row[id_column] if id_column else None
            yield row_of(galaxy_id, row[image_column], f"{split}/{shard}:{number}", root, _read)

    chosen = [(split, id_column, image_column) for split, _, _, id_column, image_column in parts]
    fingerprint = hashlib.blake2b(f"{repo_id} {revision} {chosen}".encode(), digest_size=16).hexdigest
    return Catalogue([None] * len(parts), rows, fingerprint)


def _streams(repo_id: str, config: str | None):
    """Return the commit of a data set and its splits as streams of undecoded images."""
    from datasets import get_dataset_config_names, get_dataset_default_config_name, load_dataset_builder
    from huggingface_hub import HfApi

    with _asking_the_hub(repo_id):
        revision = HfApi().dataset_info(repo_id).sha
        configs = get_dataset_config_names(repo_id, revision=revision)
        default = get_dataset_default_config_name(repo_id, revision=revision)
    if config is None and default is None and len(configs) > 1:
        raise ValueError(
            f"catalogue={repo_id!r} has the configurations {', '.join(configs)}; name one of them by --config"
        )
    if config is not None and config not in configs:
        raise ValueError(f"config={config!r} is not in catalogue={repo_id!r}; it has {', '.join(configs)}")
    with _asking_the_hub(repo_id):
        builder = load_dataset_builder(repo_id, config, revision=revision)
        if getattr(builder.config, "decode_num_threads", None):
            builder.config.decode_num_threads = 0  # otherwise images of folders arrive decoded, without our checks
        return revision, builder.as_streaming_dataset()


@contextmanager
def _asking_the_hub(repo_id: str) -> Iterator[None]:
    from huggingface_hub.utils import httpx

    try:
        yield
    except (OSError, ValueError, httpx.TransportError) as error:  # those of huggingface_hub and datasets
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"catalogue={repo_id!r} is neither a local file nor a data set on the Hub ({reason})"
        ) from error


def _read(root: Path, path: str) -> bytes:
    """Return the bytes of a file on the Hub (``hf://...``, also inside a zip) or on this machine."""
    if not _ON_THE_HUB.match(path):
        return read_path(root, path)
    with fsspec.open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is larger than the limit of {MAX_BYTES >> 20} MiB; crop the image first")
    return data
