"""``pipeline("galaxy-captioning", model=folder)(path)``: captions. transformers 5 has given up its task ``image-to-text``."""

import torch
from transformers import Pipeline
from transformers.image_utils import load_image

TASK = "galaxy-captioning"


class GalaxyCaptionPipeline(Pipeline):
    """Images (paths, URLs or PIL) -> ``[{"generated_text": caption}, ...]``; keywords go to ``generate``."""

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False

    def _sanitize_parameters(self, **generate_kwargs):
        return {}, generate_kwargs, {}

    def preprocess(self, image):
        return self.processor(load_image(image))

    @torch.inference_mode()
    def _forward(self, inputs, **generate_kwargs):
        return {"sequences": self.model.generate(**inputs, **generate_kwargs)}

    def postprocess(self, outputs):
        return [{"generated_text": caption} for caption in self.processor.batch_decode(outputs["sequences"])]
