"""Which split a row belongs to: what a name says, or a hash of the row's id."""

import hashlib
import re

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Splits, and the share that the hash gives to each."""

SYNONYMS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Words that name a split, in lower case; those of ``datasets`` and ``holdout``."""


def split_name(name: str) -> str | None:
    """Return the split that a word of the name of a split, folder or file says, in any case.

    ``Train``, ``test_images``, ``galaxies-valid-00001`` and ``hold-out`` do; None where no word names a split, or two
    name different ones.
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    found = {SYNONYMS.get(word.casefold()) for word in (*words, "".join(words))} - {None}
    return found.pop() if len(found) == 1 else None


def split_of(galaxy_id: str) -> str:
    """Return train, validation or test, from a hash of the id alone: adding rows moves no galaxy.

    Of ``folder/stem`` only the stem counts: a galaxy in two class folders is in one split, and stays there when the
    second is added.
    """
    stem = galaxy_id.rpartition("/")[2]
    share = int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "big") / 2**64
    for split, size in SPLITS.items():
        if share < size:
            return split
        share -= size
    return "test"


def split_with(galaxy_id: str, missing: set[str]) -> str:
    """As :func:`split_of`, but of a training row of a source that lacks only these splits: ``train`` or one of them."""
    split = split_of(galaxy_id)
    return split if split in missing else "train"
