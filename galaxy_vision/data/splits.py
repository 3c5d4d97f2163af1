"""Find the split of a row by the name of a folder or file, or by a hash of its id."""

import hashlib
import re

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Split -> its share of the galaxies, which :func:`split_of` assigns."""

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
"""Word, in lower case -> the split that it names. The words are those of ``datasets``, and ``holdout``."""


def split_name(name: str) -> str | None:
    """Return the split that a word in the name of a split, folder or file means, regardless of case.

    Examples are ``Train``, ``test_images``, ``galaxies-valid-00001`` and ``hold-out``. None if no word names a split,
    or if words name different ones.
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    splits = {SYNONYMS.get(word.casefold()) for word in (*words, "".join(words))} - {None}
    return splits.pop() if len(splits) == 1 else None


def split_of(galaxy_id: str) -> str:
    """Return train, validation or test by a hash of the id only, so that adding rows does not move any galaxy.

    Of ``folder/stem`` only the stem is hashed, so that a galaxy that is in two class folders is in one split.
    """
    stem = galaxy_id.rpartition("/")[2]
    share = int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "big") / 2**64
    for split, size in SPLITS.items():
        if share < size:
            return split
        share -= size
    return "test"


def split_with(galaxy_id: str, missing: set[str]) -> str:
    """Return the split of a training row of a source without the ``missing`` splits: one of them, or ``train``."""
    split = split_of(galaxy_id)
    return split if split in missing else "train"
