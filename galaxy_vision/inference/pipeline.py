"""``pipeline("galaxy-captioning", model=folder)(path)`` writes captions; transformers 5 has no ``image-to-text``."""

from urllib.request import Request, urlopen

import torch
from transformers import Pipeline

from ..images.decode import read_rgb
from ..images.limits import MAX_BYTES

TASK = "galaxy-captioning"


class GalaxyCaptionPipeline(Pipeline):
    """Images -> ``[{"generated_text": caption}, ...]``, with ``num_return_sequences`` captions for each image.

    An image is whatever :func:`~galaxy_vision.read_rgb` takes (path, bytes, PIL image, array) or a web address.
    Keywords go to ``generate``, also as ``generate_kwargs={...}``; ``timeout`` is that of web addresses in seconds.
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
        if repeated := sorted(others.keys() & (generate_kwargs or {}).keys()):
            raise ValueError(f"{repeated[0]!r} is given twice, by itself and in generate_kwargs; give it once")
        return {} if timeout is None else {"timeout": timeout}, (generate_kwargs or {}) | others, {}

    def preprocess(self, image, timeout: float | None = None):
        if isinstance(image, str) and image.startswith(("http://", "https://")):
            image = _fetch(image, timeout)
        return self.processor(read_rgb(image))

    @torch.inference_mode()
    def _forward(self, inputs, **generate_kwargs):
        written = self.model.generate(**inputs, **generate_kwargs)
        sequences = written if isinstance(written, torch.Tensor) else written["sequences"]
        sequences = sequences.unflatten(0, (len(inputs["pixel_values"]), -1))  # (images, captions of an image, words)
        return {"sequences": sequences}

    def postprocess(self, outputs):
        captions = self.processor.batch_decode(outputs["sequences"].flatten(0, 1))
        return [{"generated_text": caption} for caption in captions]


def _fetch(address: str, timeout: float | None) -> bytes:
    """Download a file, or as much of it as ``read_rgb`` refuses for its size; raise ValueError if that fails."""
    try:
        with urlopen(Request(address, headers={"User-Agent": "galaxy-vision"}), timeout=timeout) as answer:
            return answer.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{address[:200]} cannot be fetched: {error}") from error
