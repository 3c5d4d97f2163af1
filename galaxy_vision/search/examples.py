"""Similar galaxies: the embeddings of a catalogue as one matrix of unit vectors, and those of images.

The matrix is a float16 file beside the parts (:data:`CACHE`), made once by reading the column ``embedding`` and mapped
into memory: 1 GB for a million rows of 512. Comparing with all of them takes a second for some ten million rows, and
finds what is nearest, which an index does not always. Embeddings are compared as they are: whitened ones find galaxies
of less similar votes (docs/search.md).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm

from ..images.decode import read_rgb
from ..images.framing import parse_frame
from ..images.observation import observe
from ..inference.loading import load_classifier
from ..predict.models import folder_fingerprint, local_folder
from ..runtime.files import CANNOT_WRITE, written_whole
from .catalogue import EMBEDDING, PredictedCatalogue

CACHE = "_embeddings.npy"
"""Matrix of a catalogue, beside its parts; readers of Parquet skip names that start with an underscore."""
NEAREST = 8
"""Rows, as multiples of those wanted, that are compared once more in float32: float16 makes ties."""
_ROWS_AT_ONCE = 16_384


class Embeddings:
    """The embeddings of a catalogue.

    Args:
        catalogue: with embeddings.

    Attributes:
        matrix: (rows of all parts, features) float16 unit vectors; NaN where an image could not be read.
        starts: (parts + 1,) row of the matrix at which each part begins.

    Raises:
        ValueError: the catalogue has no embeddings.
    """

    def __init__(self, catalogue: PredictedCatalogue):
        catalogue.check_embedding()
        counts = [pq.read_metadata(file).num_rows for file in catalogue.files]
        self.starts = np.cumsum([0, *counts])
        is_folder = catalogue.path.is_dir()
        cache = catalogue.path / CACHE if is_folder else catalogue.path.with_name(f"_{catalogue.path.stem}{CACHE}")
        state = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in catalogue.files]
        self.matrix = _cached(cache, state)
        if self.matrix is None:
            self.matrix = _read_all(catalogue, self.starts)
            _keep(cache, state, self.matrix)

    def similarity(self, vector: np.ndarray) -> np.ndarray:
        """Return the cosine (rows,) float32 of every embedding with a vector (features,)."""
        self._check(vector)
        vector = torch.from_numpy(np.asarray(vector / np.linalg.norm(vector), np.float16))
        return torch.mv(torch.from_numpy(self.matrix), vector).float().numpy()

    def exact(self, rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """Return the cosine (len(rows),) of some rows in float32."""
        part = self.matrix[rows].astype(np.float32)
        return part @ np.asarray(vector / np.linalg.norm(vector), np.float32) / np.linalg.norm(part, axis=-1)

    def nearest(self, vector: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return row numbers and cosines of the ``limit`` rows that are most similar to a vector, best first."""
        similarity = np.nan_to_num(self.similarity(vector), nan=-np.inf)
        count = min(NEAREST * limit, len(similarity))
        rows = np.argpartition(-similarity, count - 1)[:count] if count else np.empty(0, np.int64)
        rows = np.sort(rows[np.isfinite(similarity[rows])])
        cosines = self.exact(rows, vector)
        order = np.argsort(-cosines, kind="stable")[:limit]
        return rows[order], cosines[order]

    def files_and_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return (N, 2): the part of each row of the matrix, and its number in this part."""
        files = np.searchsorted(self.starts, rows, side="right") - 1
        return np.stack([files, rows - self.starts[files]], axis=-1)

    def _check(self, vector: np.ndarray) -> None:
        if vector.shape != self.matrix.shape[1:]:
            raise ValueError(
                f"an example has {len(vector)} features, and the catalogue {self.matrix.shape[1]}; give the model of "
                "the catalogue by --model"
            )
        if not np.linalg.norm(vector) > 0:
            raise ValueError("the examples cancel each other out; give --like and --unlike different galaxies")


def _cached(cache: Path, state: list) -> np.ndarray | None:
    """Return the matrix of a cache that was made of these files; None without one."""
    about = cache.with_suffix(".json")
    if not cache.is_file() or not about.is_file() or json.loads(about.read_text()) != state:
        return None
    return np.load(cache, mmap_mode="c")  # copy-on-write: torch takes no arrays that cannot be written


def _keep(cache: Path, state: list, matrix: np.ndarray) -> None:
    """Write the cache; a folder that cannot be written costs the next search as much time as this one."""
    about = cache.with_suffix(".json")
    try:
        about.unlink(missing_ok=True)
        with written_whole(cache) as partial, open(partial, "wb") as file:
            np.save(file, matrix)
        with written_whole(about) as partial:
            partial.write_text(json.dumps(state))
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise


def _read_all(catalogue: PredictedCatalogue, starts: np.ndarray) -> np.ndarray:
    matrix = None
    with tqdm(total=int(starts[-1]), desc="embeddings", unit=" rows", delay=2) as bar:
        for file, start in zip(catalogue.files, starts, strict=False):
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=[EMBEDDING]):
                    vectors = _vectors(batch.column(0))
                    if matrix is None:
                        matrix = np.full((int(starts[-1]), vectors.shape[1]), np.nan, np.float16)
                    matrix[start : start + len(vectors)] = vectors
                    start += len(vectors)
                    bar.update(len(vectors))
    return np.empty((0, 0), np.float16) if matrix is None else matrix


def _vectors(column) -> np.ndarray:
    """Return (rows, features) float32 unit vectors of a column of lists; NaN where it is null."""
    known = column.is_valid().to_numpy(zero_copy_only=False)
    present = column.filter(column.is_valid())
    size = getattr(column.type, "list_size", None) or (len(present.flatten()) // max(len(present), 1))
    vectors = np.full((len(column), size), np.nan, np.float32)
    vectors[known] = present.flatten().to_numpy(zero_copy_only=False).reshape(len(present), size)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class ImageEmbedder:
    """The classifier that made a catalogue, which embeds images as its rows were embedded.

    Args:
        catalogue: with embeddings.
        model: folder or Hub id; None for that which ``predict`` was given.

    Raises:
        ValueError: it is not the model of the catalogue, or cannot be loaded.
    """

    def __init__(self, catalogue: PredictedCatalogue, model: str | None = None):
        catalogue.check_embedding()
        source, self.identity = model or catalogue.metadata.get("model"), catalogue.identity
        if source is None:
            raise ValueError(f"predictions={catalogue.path} does not say which model made them; give it by --model")
        try:
            folder = local_folder(source)
            self.model, self.processor = load_classifier(folder)
        except (OSError, ValueError) as error:
            raise ValueError(f"model={source} cannot be loaded: {str(error).splitlines()[0]}") from error
        known = self.identity.get("model_fingerprint")
        if known is not None and folder_fingerprint(folder) != known:
            raise ValueError(
                f"model={source} is not the model that made the catalogue (fingerprint {known}); give that one by "
                "--model, or predict the catalogue again"
            )

    @torch.inference_mode()
    def __call__(self, source) -> np.ndarray:
        """Return the embedding (features,) of an image: the mean over eight turned and mirrored copies.

        So that it does not depend on how the galaxy lies, though the rows of the catalogue were seen as they are.

        Raises:
            ValueError: the image cannot be read.
        """
        reading = self.identity.get("reading") or {}
        if self.identity.get("doubts", True):
            image = observe(source, parse_frame(self.identity.get("frame", "auto")), **reading).image
        else:
            image = read_rgb(source, **reading)
        pixels = self.processor(image, return_tensors="pt")["pixel_values"]
        views = [torch.rot90(view, turns, (-2, -1)) for view in (pixels, pixels.flip(-1)) for turns in range(4)]
        return self.model.backbone(torch.cat(views)).float().mean(0).numpy()


def direction(like: Sequence[np.ndarray], unlike: Sequence[np.ndarray]) -> np.ndarray:
    """Return the vector with which rows are compared: the mean of examples less that of counter-examples."""

    def mean(vectors: Sequence[np.ndarray]) -> np.ndarray | float:
        return np.mean([vector / np.linalg.norm(vector) for vector in vectors], axis=0) if vectors else 0.0

    return np.asarray(mean(like) - mean(unlike), np.float32)
