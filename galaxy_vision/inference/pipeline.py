"""``pipeline("galaxy-captioning", model=folder)(path)``: captions, since transformers 5 gave up ``image-to-text``."""

from urllib.request import Request, urlopen

import torch
from transformers import Pipeline

from ..images.decode import read_rgb
from ..images.limits import MAX_BYTES

TASK = "galaxy-captioning"


class GalaxyCaptionPipeline(Pipeline):
    """Images -> ``[{"generated_text": caption}, ...]``, as many for each image as ``num_return_sequences`` says.

    An image is whatever :func:`~galaxy_vision.read_rgb` takes (path, bytes, PIL image, array) or an address of the web.
    Keywords go to ``generate``, also as ``generate_kwargs={...}``; ``timeout`` is that of an address in seconds.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False

    def __call__(self, inputs, *args, **kwargs):
        if isinstance(inputs, list | tuple):
            return super().__call__(list(inputs), *args, **kwargs) if len(inputs) else []
        return super().__call__(inputs, *args, **kwargs)

    def _sanitize_parameters(self, timeout: float | None = None, generate_kwargs: dict | None = None, **others):
        if twice := sorted(others.keys() & (generate_kwargs or {}).keys()):
            raise ValueError(f"{twice[0]!r} is given twice, by itself and in generate_kwargs; give it once")
        return {} if timeout is None else {"timeout": timeout}, (generate_kwargs or {}) | others, {}

    def preprocess(self, image, timeout: float | None = None):
        if isinstance(image, str) and image.startswith(("http://", "https://")):
            image = _fetched(image, timeout)
        return self.processor(read_rgb(image))

    @torch.inference_mode()
    def _forward(self, inputs, **generate_kwargs):
        written = self.model.generate(**inputs, **generate_kwargs)
        sequences = written if isinstance(written, torch.Tensor) else written["sequences"]
        return {
            "sequences": sequences.unflatten(0, (len(inputs["pixel_values"]), -1))
        }  # (images, captions of each, words)

    def postprocess(self, outputs):
        return [
            {"generated_text": caption} for caption in self.processor.batch_decode(outputs["sequences"].flatten(0, 1))
        ]


def _fetched(address: str, timeout: float | None) -> bytes:
    """What an address gives, and of too much only as much as ``read_rgb`` refuses."""
    try:
        with urlopen(Request(address, headers={"User-Agent": "galaxy-vision"}), timeout=timeout) as answer:
            return answer.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{address[:200]} cannot be fetched: {error}") from error
