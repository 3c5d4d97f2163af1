"""Find the split of a row by the name of a folder or file, by a hash of its id, or by its position on the sky."""

import hashlib
import math
import re

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Split -> its share of the galaxies, which :func:`split_of` assigns."""

CELL = 0.1
"""Side of the cells of :func:`split_of_position`, degrees. Ours: 120 times the 3 arcsec within which two catalogues may
place one galaxy; the 2 square degrees of COSMOS still have 200 cells, so that a small field has all three splits."""

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


def split_of_position(ra: float, dec: float) -> str:
    """Return train, validation or test by the position of a galaxy, the same in every data set, whatever its id is.

    The sky is cut into cells of equal area, bands of declination cut in right ascension, and the number of a cell is
    hashed. Of pairs of positions 3 arcsec apart, .36 % have different splits, as a border is between them, and .06 % of
    those .5 arcsec apart (measured on 10^6 pairs all over the sky).

    Args:
        ra: right ascension, degrees; any number of turns.
        dec: declination, degrees.

    Raises:
        ValueError: a coordinate is not a number, or the declination is outside -90..90.
    """
    if not (math.isfinite(ra) and -90 <= dec <= 90):  # also false for a declination that is NaN
        raise ValueError(f"ra={ra}, dec={dec} is not a position on the sky in degrees; mend it, or split by id")
    num_bands = round(180 / CELL)
    band = min(int((dec + 90) / CELL), num_bands - 1)
    num_cells = max(1, round(360 / CELL * math.cos(math.radians((band + 0.5) * CELL - 90))))
    cell = min(int(ra % 360 / 360 * num_cells), num_cells - 1)
    return split_of(f"cell {band} {cell}")


def split_with(galaxy_id: str, missing: set[str]) -> str:
    """Return the split of a training row of a source without the ``missing`` splits: one of them, or ``train``."""
    split = split_of(galaxy_id)
    return split if split in missing else "train"
