"""Embeddings are computed once: by the content of the file and of the backbone, also for several processes."""

import numpy as np
import pytest
import torch
from conftest import jpeg, new_process
from datasets import Dataset
from PIL import Image

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.inference.embeddings import Embedder, embed_rows

PROCESSOR = GalaxyImageProcessor(size={"height": 32, "width": 32})


def model(seed: int = 0) -> GalaxyResNetForImageClassification:
    torch.manual_seed(seed)
    return GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="test_resnet", image_size=32)).eval()


def files(count: int, seed: int) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [jpeg(Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8))) for _ in range(count)]


def test_a_second_time_only_what_is_new_is_computed(monkeypatch):
    embedder, images = Embedder(model(), PROCESSOR, 4, frame=None), files(5, seed=1)
    first = embedder(images[:3])
    computed = []
    compute = Embedder.compute
    monkeypatch.setattr(Embedder, "compute", lambda self, some: computed.extend(some) or compute(self, some))
    again = Embedder(model(), PROCESSOR, 4, frame=None)([images[2], images[4], images[0], images[4]])
    assert computed == [images[4]]
    assert np.array_equal(again[0], first[2]) and np.array_equal(again[2], first[0])
    assert np.array_equal(again[1], again[3]) and again[0].shape == (embedder.size,)


def test_other_weights_views_frames_or_crops_have_other_embeddings():
    some = [
        Embedder(model(), PROCESSOR, 8, None),
        Embedder(model(1), PROCESSOR, 8, None),
        Embedder(model(), PROCESSOR, 4, None),
        Embedder(model(), PROCESSOR, 8),
        Embedder(model(), GalaxyImageProcessor(size={"height": 64, "width": 64}), 8, None),
    ]
    assert len({embedder.cache for embedder in some}) == len(some)


def test_a_damaged_image_is_a_reason_and_the_others_have_their_embeddings():
    good = files(2, seed=2)
    first, broken, second = Embedder(model(), PROCESSOR)([good[0], good[0][:100], good[1]])
    assert isinstance(broken, ValueError) and "download" in str(broken)
    assert np.array_equal(first, Embedder(model(), PROCESSOR)([good[0]])[0]) and second.shape == first.shape


def test_rows_of_a_data_set_have_theirs_in_order_and_a_damaged_one_is_named(tmp_path):
    images = files(3, seed=3)
    (tmp_path / "last.jpg").write_bytes(images[2])
    cells = [{"bytes": data, "path": None} for data in images[:2]] + [
        {"bytes": None, "path": str(tmp_path / "last.jpg")}
    ]
    rows = Dataset.from_dict({"image": cells})
    found = embed_rows(model(), rows, PROCESSOR, 4)
    assert np.allclose(found, Embedder(model(), PROCESSOR, 4, None).compute(images), atol=1e-5)
    with pytest.raises(ValueError, match="row 1: .*remove the row"):
        embed_rows(model(), Dataset.from_dict({"image": [cells[0], {"bytes": b"GIF89a", "path": None}]}), PROCESSOR, 4)


def _embed(images: list[bytes]) -> None:
    vectors = Embedder(model(), PROCESSOR, 1, frame=None)(images)
    raise SystemExit(0 if all(isinstance(vector, np.ndarray) for vector in vectors) else 1)


def test_two_processes_fill_one_cache():
    images = files(40, seed=4)
    both = [new_process(_embed, images), new_process(_embed, images[::-1])]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]


def test_a_damaged_cache_is_one_sentence(monkeypatch):
    embedder = Embedder(model(7), PROCESSOR, 1, frame=None)
    embedder(files(1, seed=5))
    embedder.cache.write_bytes(b"not a data base" * 100)
    with pytest.raises(OSError, match="cannot be used .* remove it"):
        embedder(files(1, seed=5))


def test_no_files_have_no_embeddings():
    assert Embedder(model(), PROCESSOR)([]) == []
