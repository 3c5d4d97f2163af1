"""Checks of the rows of a split, cached or streamed, and digests of their content."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Image

from ..models.trees import Trees
from .votes import votes_of


def check_labels(dataset: str, split: str, labels: np.ndarray, num_classes: int) -> None:
    """Check that labels (N,) are classes, or -1 for uncertain ones; raise ValueError otherwise."""
    if len(wrong := np.flatnonzero((labels < -1) | (labels >= num_classes))):
        raise ValueError(
            f"the {split} split of dataset={dataset!r} has the label {labels[wrong[0]]} in row {wrong[0]}, and its "
            f"classes are 0 to {num_classes - 1} (-1 or null where uncertain); name all classes in the features, or "
            "mend the rows"
        )


def check_references(dataset: str, split: str, captions, num_references: int) -> tuple[int, int]:
    """Return the smallest and largest number of captions of a row, for an Arrow column of lists.

    Raises:
        ValueError: a row has fewer captions than ``num_references``, training rows have different numbers of captions,
            or a caption is null.
    """
    lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy()
    if pc.any(pc.is_null(pc.list_flatten(captions))).as_py():
        raise ValueError(
            f"the {split} split of dataset={dataset!r} has a caption that is null; leave it out of its list"
        )
    check_number_of_captions(dataset, split, fewest := int(lengths.min()), most := int(lengths.max()), num_references)
    return fewest, most


def check_number_of_captions(dataset: str, split: str, fewest: int, most: int, num_references: int) -> None:
    """Check that each row of a split, with ``fewest`` to ``most`` captions, has enough; raise ValueError otherwise."""
    if fewest == 0:
        raise ValueError(f"the {split} split of dataset={dataset!r} has a row without captions; leave the row out")
    if fewest < num_references:
        raise ValueError(
            f"num_references={num_references} is more than the {fewest} captions of a row of dataset={dataset!r}; "
            f"give {fewest} or fewer"
        )
    if split == "train" and fewest != most:
        raise ValueError(
            f"training rows of dataset={dataset!r} have {fewest} to {most} captions; give all rows the same number"
        )


def fingerprint_of(rows: Dataset) -> str:
    """Return the fingerprint by which ``datasets`` keys its cache; ``datasets`` has no public name for it."""
    return rows._fingerprint


def set_fingerprint(rows: Dataset, fingerprint: str) -> None:
    """Give rows the fingerprint by which ``datasets`` keys its cache."""
    rows._fingerprint = fingerprint


def split_contents(data: dict, trees: Trees | None = None) -> dict[str, str]:
    """Return a digest of each split: of its images, labels, votes and captions, in the order of the rows.

    Images are hashed as they are stored; files count by name and size. The digest changes with what a run learns from
    or is scored on, and with nothing else. The fingerprints of ``datasets`` also change with the time at which a cache
    was written, and those of folders of images depend on names and times of files only.
    """
    return {split: _content(rows, trees) for split, rows in data.items()}


def update_trees(digest, trees: Trees | None) -> None:
    """Add the trees to a digest, since votes mean nothing without; those of Galaxy Zoo 2 alone never change."""
    if trees is not None and trees != Trees():
        digest.update(json.dumps(trees.to_list()).encode())


def _content(rows: Dataset, trees: Trees | None) -> str:
    digest = hashlib.blake2b(digest_size=16)
    update_trees(digest, trees)
    digest.update(json.dumps(getattr(rows.features.get("label"), "names", None)).encode())
    kept = [name for name in ("image", "label", "votes", "captions") if name in rows.column_names]
    rows = rows.select_columns(kept).cast_column("image", Image(decode=False)).with_format("arrow")
    for table in rows.iter(batch_size=1000):
        for image in table["image"].to_pylist():
            digest.update(_stored(image))
        update_content(digest, table, trees)
    return digest.hexdigest()


def update_content(digest, table, trees: Trees | None = None) -> None:
    """Add the labels, votes and captions of an Arrow table to a digest, as far as the table has them."""
    if "label" in table.column_names:
        digest.update(json.dumps(table["label"].to_pylist()).encode())
    if (votes := votes_of(table, trees)) is not None:
        digest.update(np.nan_to_num(votes, nan=-1.0).tobytes())
    if "captions" in table.column_names:
        digest.update(json.dumps(table["captions"].to_pylist()).encode())


def _stored(image: dict | None) -> bytes:
    """Return a digest of the bytes of an image, or name and size of its file."""
    if image is None:
        return b"none"
    if image["bytes"] is not None:
        return hashlib.blake2b(image["bytes"], digest_size=16).digest()
    path = Path(image["path"])
    return f"{path.name} {path.stat().st_size if path.is_file() else None}".encode()
