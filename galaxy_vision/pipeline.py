"""``pipeline("galaxy-captioning", model=folder)(path)``: captions. transformers 5 has given up its task ``image-to-text``."""

import torch
from transformers import Pipeline
from transformers.image_utils import load_image

TASK = "galaxy-captioning"


class GalaxyCaptionPipeline(Pipeline):
    """Images -> ``[{"generated_text": caption}, ...]``, as many for each image as ``num_return_sequences`` says.

    Keywords go to ``generate``, also as ``generate_kwargs={...}``.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False

    def _sanitize_parameters(self, timeout: float | None = None, generate_kwargs: dict | None = None, **others):
        if twice := sorted(others.keys() & (generate_kwargs or {}).keys()):
            raise ValueError(f"{twice[0]!r} is given twice, by itself and in generate_kwargs; give it once")
        return {} if timeout is None else {"timeout": timeout}, (generate_kwargs or {}) | others, {}

    def preprocess(self, image, timeout: float | None = None):
        return self.processor(load_image(image, timeout=timeout))

    @torch.inference_mode()
    def _forward(self, inputs, **generate_kwargs):
        written = self.model.generate(**inputs, **generate_kwargs)
        sequences = written if isinstance(written, torch.Tensor) else written["sequences"]
        return {"sequences": sequences.unflatten(0, (len(inputs["pixel_values"]), -1))}  # (images, captions of each, words)

    def postprocess(self, outputs):
        return [{"generated_text": caption} for caption in self.processor.batch_decode(outputs["sequences"].flatten(0, 1))]
