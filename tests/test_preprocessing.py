"""One path of preprocessing.

Whatever a saved processor says, everything that shows the model an image makes the same tensor.
"""

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import encoded
from PIL import Image

from galaxy_vision.data.batches import PixelBatches, cache_pixels, read_pixels
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.images.framing import AS_IS
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.predict.models import Models
from galaxy_vision.predict.rows import Row

rng = np.random.default_rng(0)
RGB = rng.integers(0, 256, (50, 41, 3), dtype=np.uint8)
three = st.lists(st.floats(0.01, 200), min_size=3, max_size=3)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(1, 70).map(lambda side: {"height": side, "width": side}),
        "crop_fraction": st.floats(0.05, 1.0),
        "resample": st.sampled_from([0, 2, 3]),
        "do_rescale": st.booleans(),
        "rescale_factor": st.floats(1e-3, 2.0),
        "do_normalize": st.booleans(),
        "image_mean": three,
        "image_std": three,
    },
)
few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def saved_with(folder, **values) -> GalaxyImageProcessor:
    """A processor as it is loaded from a folder whose JSON file says so."""
    GalaxyImageProcessor().save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return GalaxyImageProcessor.from_pretrained(folder)


def by_predict(processor, data: bytes) -> torch.Tensor:
    models = Models.__new__(Models)
    models.processors, models.batch_size, models.features = [processor], 2, threading.local()
    models.reading = models.reading_others = {}
    models.accelerator = SimpleNamespace(device=torch.device("cpu"))
    models.frame, models.doubts, models.reading, models.reading_others = AS_IS, True, {}, {}
    squares, status, error, *_ = models.decode(Row("a", "a.png", lambda: data))
    assert status == "ok", error
    return models._to_device(0, [squares])[0]


@few
@given(values=SETTINGS)
def test_every_saved_setting_is_obeyed_by_every_path_alike(values, tmp_path):
    processor, data = saved_with(tmp_path, **values), encoded(Image.fromarray(RGB), "PNG")
    known = processor(read_rgb(data), return_tensors="pt").pixel_values[0]  # describe, explain, the demo
    side = values.get("size", {"height": 64})["height"]
    assert known.shape == (3, side, side) and known.dtype == torch.float32
    for name in ("do_rescale", "do_normalize"):
        if values.get(name) is False and (name, values.get("rescale_factor")) != ("do_rescale", 1.0):  # which is none
            other = GalaxyImageProcessor(**values | {name: True})(read_rgb(data), return_tensors="pt").pixel_values[0]
            assert not torch.equal(other, known)
    square = read_pixels({"bytes": data, "path": None}, "a", processor)  # training, evaluation, streaming
    assert torch.equal(processor.normalize_pixels(square[None])[0], known)
    assert torch.equal(by_predict(processor, data), known)
    batch = processor([Image.fromarray(RGB), RGB], return_tensors="pt").pixel_values  # the standard pipelines
    assert torch.equal(batch[0], known) and torch.equal(batch[1], known)
    again = GalaxyImageProcessor.from_dict(processor.to_dict())
    assert torch.equal(again(RGB, return_tensors="pt").pixel_values[0], known)
    call = GalaxyImageProcessor()(RGB, return_tensors="pt", **values).pixel_values[0]
    assert torch.equal(call, known)


def test_the_cache_of_training_obeys_the_saved_settings(tmp_path):
    values = {"do_normalize": False, "do_rescale": False, "resample": 3, "size": {"height": 16, "width": 16}}
    processor, data = saved_with(tmp_path, **values), encoded(Image.fromarray(RGB), "PNG")
    rows = Dataset.from_dict({"image": [{"bytes": data, "path": None}], "label": [0]})
    rows = rows.cast(Features({"image": ImageFeature(), "label": rows.features["label"]}))
    pixels = PixelBatches(cache_pixels(rows, processor), 16)[0]["pixels"]
    assert torch.equal(processor.normalize_pixels(pixels), processor(RGB, return_tensors="pt").pixel_values)


def test_known_values_of_each_setting():
    grey = np.full((8, 8, 3), 51, np.uint8)

    def value(**values) -> float:
        pixels = GalaxyImageProcessor(size={"height": 4, "width": 4}, **values)(grey, return_tensors="pt").pixel_values
        assert pixels.unique().numel() == 1
        return pixels[0, 0, 0, 0].item()

    assert value(do_normalize=False) == pytest.approx(0.2)
    assert value(do_normalize=False, do_rescale=False) == 51
    assert value(do_rescale=False, image_mean=[50, 50, 50], image_std=[2, 2, 2]) == 0.5
    assert value(image_mean=[0.1] * 3, image_std=[0.5] * 3) == pytest.approx(0.2)
    assert value(do_normalize=False, rescale_factor=0.5) == 25.5


UNKNOWN = {
    "do_resize": (False, "do_resize=False"),
    "do_center_crop": (True, "do_center_crop=True"),
    "crop_size": ({"height": 32, "width": 32}, "crop_size="),
    "do_pad": (True, "do_pad=True"),
    "pad_size": ({"height": 99, "width": 99}, "pad_size="),
    "do_convert_rgb": (False, "do_convert_rgb=False"),
    "data_format": ("channels_last", "data_format='channels_last'"),
    "resample": (5, "resample=5"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_saved_setting_that_cannot_be_obeyed_everywhere_is_refused_when_it_is_loaded(name, tmp_path):
    value, sentence = UNKNOWN[name]
    with pytest.raises(ValueError, match=f"image processor: {sentence}.*; ") as error:
        saved_with(tmp_path, **{name: value})
    assert "\n" not in str(error.value)
