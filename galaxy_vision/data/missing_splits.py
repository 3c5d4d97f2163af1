"""Cut the splits that a data set does not have from its training rows."""

import hashlib

from datasets import Dataset, DatasetDict, Image

from ..images.limits import image_id
from .references import ID_COLUMNS
from .splits import SPLITS, split_with


def with_all_splits(data: DatasetDict) -> DatasetDict:
    """Cut missing splits from the training rows, by a hash of the id, the file name or the image of a row.

    Raises:
        ValueError: a split would have no rows.
    """
    missing = [split for split in SPLITS if split not in data]
    if not missing:
        return data
    train, rows_of = data["train"], {split: [] for split in SPLITS}
    for row, row_name in enumerate(_names(train)):
        rows_of[split_with(row_name, missing)].append(row)
    empty = [split for split in (*missing, "train") if not rows_of[split]]
    if empty:
        raise ValueError(f"{len(train)} rows leave none for {' and '.join(empty)}; use a larger data set")
    return DatasetDict({**data, **{split: train.select(rows_of[split]) for split in [*missing, "train"]}})


def _names(rows: Dataset) -> list[str]:
    """Return a name for each row: its id, else the name of its file, else a hash of its image."""
    if ids := [column for column in ID_COLUMNS if column in rows.column_names]:
        return [str(key) for key in rows[ids[0]]]
    files = rows.select_columns(["image"]).cast_column("image", Image(decode=False))
    images = (row["image"] or {} for row in files)
    return [
        image_id(image["path"])
        if image.get("path")
        else hashlib.blake2b(image.get("bytes") or b"", digest_size=16).hexdigest()
        for image in images
    ]
