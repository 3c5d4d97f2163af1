"""Make batches of pixels from rows, with the keys that ``forward`` takes, and augment them."""

from functools import partial

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, Image
from torch.utils.data import DataLoader

from ..images.decode import read_rgb
from ..images.limits import read_file
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..runtime.hardware import available_cores, decoding_threads


def read_pixels(image: dict, name, processor: GalaxyImageProcessor) -> torch.Tensor:
    """Decode, crop and resize an image to (3, size, size) uint8.

    Args:
        image: dict with the ``bytes`` or the ``path`` of a file.
        name: name of the row, for errors.
        processor: crops and resizes.

    Raises:
        ValueError: the image cannot be read.
    """
    try:
        rgb = read_rgb(image["bytes"] if image["bytes"] is not None else read_file(image["path"]))
    except ValueError as error:
        raise ValueError(f"row {name}: {error}; remove the row, or build the data set with datasets_scripts") from error
    return processor.crop_and_resize(torch.from_numpy(np.array(rgb)).permute(2, 0, 1))


def _decode(batch: dict, rows: list[int], processor: GalaxyImageProcessor) -> dict:
    # Threads, since forking a process that has threads of torch is not safe.
    with decoding_threads(available_cores()) as pool:
        squares = pool.map(partial(read_pixels, processor=processor), batch["image"], rows)
        return {"pixels": [square.numpy().tobytes() for square in squares]}


def cache_pixels(rows: Dataset, processor: GalaxyImageProcessor) -> Dataset:
    """Decode, crop and resize every image once, into a memory-mapped column ``pixels`` of uint8 bytes (3, size, size).

    ``datasets`` keys its cache by the data and by the settings of the processor, so that a second run with the same
    settings reads it.
    """
    kept = {"image", "votes", "label", "captions"} & set(rows.column_names)
    rows = rows.select_columns(sorted(kept)).cast_column("image", Image(decode=False))
    return rows.map(
        _decode,
        with_indices=True,
        batched=True,
        batch_size=256,
        remove_columns=["image"],
        fn_kwargs={"processor": processor},
        desc="decoding",
    )


def _encode(batch: dict, tokenizer, max_length: int) -> dict:
    padding = {"padding": "max_length", "max_length": max_length, "truncation": True}
    return {"input_ids": [tokenizer(captions, **padding)["input_ids"] for captions in batch["captions"]]}


def encode_captions(rows: Dataset, tokenizer) -> Dataset:
    """Add ``input_ids``: the ids of every reference caption, padded to the longest one of the split."""
    longest = max(len(ids) for captions in rows["captions"] for ids in tokenizer(captions)["input_ids"])
    return rows.map(
        _encode, batched=True, fn_kwargs={"tokenizer": tokenizer, "max_length": longest}, desc="encoding captions"
    )


def label_array(column: pa.ChunkedArray) -> np.ndarray:
    """Return labels (N,) int64, -1 where there is none; of a struct (N, C) float32, NaN where unknown."""
    column = column.combine_chunks()
    if pa.types.is_struct(column.type):
        fields = [field.fill_null(np.nan).to_numpy(zero_copy_only=False) for field in column.flatten()]
        return np.stack(fields, axis=1).astype(np.float32)
    return column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


class PixelBatches(torch.utils.data.Dataset):
    """Batches from the pixel cache, read as a whole: 12 us for a row, and 34 us if rows are read one by one."""

    def __init__(self, cached: Dataset, image_size: int):
        self.cached, self.image_size = cached.with_format("arrow"), image_size  # the side of what is cached, in px

    def __len__(self) -> int:
        return len(self.cached)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Return a batch of the rows with these indices.

        Returns:
            ``pixels`` (B, 3, size, size) uint8, ``labels`` (B,), -1 where uncertain, or (B, C) float32 of several
            labels or numbers, NaN where unknown, and ``row`` (B,), the indices;
            ``votes`` (B, answers) and ``input_ids`` (B, references, T) where the cache has them.
        """
        table = self.cached[indices]
        raw = np.frombuffer(bytearray(b"".join(table["pixels"].to_pylist())), dtype=np.uint8)
        batch = {"pixels": torch.from_numpy(raw.reshape(len(indices), 3, self.image_size, self.image_size))}
        batch["labels"] = torch.from_numpy(label_array(table["label"]))
        if "votes" in table.column_names:
            votes = np.array(table["votes"].to_pylist(), dtype=np.float32).reshape(len(indices), -1)
            batch["votes"] = torch.from_numpy(votes)
        if "input_ids" in table.column_names:
            references = np.array(table["input_ids"].to_pylist(), dtype=np.int64)
            batch["input_ids"] = torch.from_numpy(references)
        batch["row"] = torch.tensor(indices)
        return batch


def make_loader(cached: Dataset, image_size: int, batch_size: int, shuffle: bool) -> DataLoader:
    """Make a loader of :class:`PixelBatches`, which are collated already; a training stream makes its own loader."""
    if not isinstance(cached, Dataset):
        return cached.loader()
    batches = PixelBatches(cached, image_size)
    pinned = torch.cuda.is_available()  # copies to a GPU do not block then
    return DataLoader(batches, batch_size, shuffle=shuffle, collate_fn=lambda batch: batch, pin_memory=pinned)
