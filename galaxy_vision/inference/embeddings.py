"""Embeddings of galaxies: the features of a classifier's backbone, averaged over turned and mirrored images.

An embedding is computed once and kept in the cache of data sets, by the content of the file and of the backbone: a
second run, or one with some rows more, computes what is new only.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import datasets
import numpy as np
import torch
from datasets import Dataset, Image
from tqdm.auto import tqdm

from .. import __version__
from ..images.decode import read_rgb
from ..images.framing import AUTO, Frame
from ..images.limits import read_file
from ..images.observation import observe
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..runtime.hardware import available_cores, decoding_threads
from .rotations import check_rotations, turned

ROTATIONS = 8
"""Views of an image. Ours: without them the orientation of a galaxy, which means nothing, is in its embedding."""

BATCH = 32
"""Images at once, each in all views."""

KEYS_AT_ONCE = 500
"""Keys of one query; SQLite takes 999 at least."""


class Embedder:
    """Computes the embeddings of image files, or finds them in the cache.

    Attributes:
        size: D, the features of an embedding.
        cache: file of the embeddings of this backbone, processor, frame and number of views.
    """

    def __init__(
        self,
        model: GalaxyResNetForImageClassification,
        processor: GalaxyImageProcessor,
        rotations: int = ROTATIONS,
        frame: Frame | None = AUTO,
    ):
        """Keep a classifier, in evaluation mode.

        Args:
            model: its backbone computes.
            processor: of the model.
            rotations: views of each image, one of :data:`~galaxy_vision.inference.rotations.ROTATIONS`.
            frame: how images are framed, as by ``predict``; None for images as they are, as in training.

        Raises:
            ValueError: ``rotations`` is not such a number.
        """
        check_rotations(rotations)
        self.backbone, self.processor, self.rotations, self.frame = model.backbone.eval(), processor, rotations, frame
        self.size = model.backbone.num_features
        settings = [__version__, model.config.backbone, processor.to_dict(), rotations, frame]
        digest = hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=16)
        for name, tensor in model.backbone.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        folder = Path(datasets.config.HF_CACHE_HOME) / "galaxy_vision" / "embeddings"
        self.cache = folder / f"{digest.hexdigest()}.sqlite"

    def __call__(self, files: Sequence[bytes], show: Callable = iter) -> list[np.ndarray | ValueError]:
        """Return the embedding (D,) float32 of each image file, or why it cannot be read.

        Args:
            files: the bytes of image files.
            show: wraps the batches that are computed, such as by a progress bar.

        Raises:
            OSError: the cache cannot be read or written.
        """
        keys = [hashlib.blake2b(data, digest_size=16).digest() for data in files]
        with self._opened() as cache:
            found: dict[bytes, np.ndarray | ValueError] = dict(self._known(cache, keys))
            missing = list({key: data for key, data in zip(keys, files, strict=True) if key not in found}.items())
            for start in show(range(0, len(missing), BATCH)):
                batch = missing[start : start + BATCH]
                computed = dict(zip([key for key, _ in batch], self.compute([data for _, data in batch]), strict=True))
                found |= computed
                rows = [(key, value.tobytes()) for key, value in computed.items() if isinstance(value, np.ndarray)]
                with cache:  # one transaction: all of the batch or nothing
                    cache.executemany("INSERT OR IGNORE INTO embeddings VALUES (?, ?)", rows)
        return [found[key] for key in keys]

    def compute(self, files: Sequence[bytes]) -> list[np.ndarray | ValueError]:
        """Compute the embeddings of image files at once, without the cache."""
        with decoding_threads(available_cores()) as pool:
            squares = list(pool.map(self._square, files))
        readable = [square for square in squares if isinstance(square, torch.Tensor)]
        vectors = iter(self.of_pixels(torch.stack(readable)) if readable else ())
        return [next(vectors) if isinstance(square, torch.Tensor) else square for square in squares]

    @torch.inference_mode()
    def of_pixels(self, pixels: torch.Tensor) -> np.ndarray:
        """Return the embeddings (B, D) float32 of pixels (B, 3, size, size) uint8."""
        views = turned(self.processor.normalize_pixels(pixels), self.rotations)
        return self.backbone(views).float().unflatten(0, (self.rotations, -1)).mean(0).numpy()

    def _square(self, data: bytes) -> torch.Tensor | ValueError:
        try:
            image = read_rgb(data) if self.frame is None else observe(data, self.frame).image
        except ValueError as error:
            return error
        return self.processor.crop_and_resize(torch.from_numpy(np.array(image)).permute(2, 0, 1))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the cache, which several processes may read and write.

        Raises:
            OSError: it is damaged, or cannot be written.
        """
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.cache, timeout=60)) as cache:
                cache.execute("CREATE TABLE IF NOT EXISTS embeddings (file BLOB PRIMARY KEY, vector BLOB NOT NULL)")
                yield cache
        except sqlite3.Error as error:
            raise OSError(f"the cache {self.cache} cannot be used ({error}); make room, or remove it") from error

    def _known(self, cache: sqlite3.Connection, keys: list[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            for key, vector in cache.execute(f"SELECT file, vector FROM embeddings WHERE file IN ({marks})", some):
                yield key, np.frombuffer(vector, np.float32)


def embed_rows(
    model: GalaxyResNetForImageClassification,
    rows: Dataset,
    processor: GalaxyImageProcessor,
    rotations: int = ROTATIONS,
    description: str = "embeddings",
) -> np.ndarray:
    """Return the embeddings (N, D) float32 of the images of a data set, read as in training, from the cache if known.

    Args:
        model: a classifier.
        rows: with a column ``image``.
        processor: of the model.
        rotations: views of each image.
        description: of the progress bar.

    Raises:
        ValueError: an image cannot be read.
        OSError: the cache cannot be read or written.
    """
    embedder, found = Embedder(model, processor, rotations, frame=None), []
    images = rows.select_columns(["image"]).cast_column("image", Image(decode=False))
    with tqdm(total=len(rows), desc=description, unit=" images", leave=False) as bar:
        for start in range(0, len(rows), 4 * KEYS_AT_ONCE):  # not the bytes of all images at once
            batch = images[start : start + 4 * KEYS_AT_ONCE]["image"]
            files = [read_file(image["path"]) if image["bytes"] is None else image["bytes"] for image in batch]

            def shown(starts: range, first: int = start) -> Iterator[int]:
                for done in starts:
                    yield done
                    bar.update(min(BATCH, first + len(batch) - bar.n))  # noqa: B023

            vectors = embedder(files, shown)
            bar.update(start + len(batch) - bar.n)
            for number, vector in enumerate(vectors, start):
                if isinstance(vector, ValueError):
                    raise ValueError(f"row {number}: {vector}; remove the row") from vector
            found += vectors
    return np.stack(found) if found else np.empty((0, embedder.size), np.float32)
