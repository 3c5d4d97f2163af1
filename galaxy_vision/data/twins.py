"""The same galaxy under other ids: pairs of data sets whose images show the same field of the sky.

Kaggle's challenge and Galaxy Zoo 2 are cut from the same survey, so one must not test what the other trained.
"""

import numpy as np
from datasets import Dataset

from ..models.image_processing_galaxy import GalaxyImageProcessor
from .batches import cache_pixels

SIDE = 32
"""Pixels of the whole field that are compared."""

SIMILARITY = 0.99
"""Correlation from which two images show the same field.

Among 600 of Galaxy Zoo 2 and 22,609 of the challenge, 106 pairs are above .995, none is between .985 and .995, and
different galaxies reach .985.
"""


def signatures(rows: Dataset) -> np.ndarray:
    """(N, 3 * SIDE * SIDE) float32: every image of a column ``image``, made small, without its mean, of length 1.

    Raises:
        ValueError: an image cannot be read.
    """
    small = cache_pixels(rows, GalaxyImageProcessor(size={"height": SIDE, "width": SIDE}, crop_fraction=1.0))
    found = np.stack([np.frombuffer(pixels, dtype=np.uint8) for pixels in small["pixels"]]).astype(np.float32)
    found -= found.mean(1, keepdims=True)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def without_twins(rows: Dataset, others: Dataset) -> Dataset:
    """The rows whose image does not show the same field as any of ``others``; turned or shifted copies are not found.

    Raises:
        ValueError: no row is left, or an image cannot be read.
    """
    ours, theirs = signatures(rows), signatures(others)
    alone = [place for place, one in enumerate(ours) if (theirs @ one).max(initial=-1.0) < SIMILARITY]
    if not alone:
        raise ValueError(f"all {len(rows)} images are in the other data set too, so nothing is left to compare")
    return rows.select(alone)
