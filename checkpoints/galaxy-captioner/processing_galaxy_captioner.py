"""Image processor and word-level tokenizer of the captioner, as one processor."""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

SPECIAL_TOKENS = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
"""In the order of their ids; the pad is not 0, which generate() would replace by eos in finished beams."""


def build_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the words in these captions; every other word is ``<unk>``. Adds eos, splits off punctuation."""
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("[,.;:!?]"), "isolated")])
    words = sorted({word for caption in captions for word, _ in split.pre_tokenize_str(caption.lower())})
    vocabulary = {word: index for index, word in enumerate([*SPECIAL_TOKENS.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    eos = SPECIAL_TOKENS["eos_token"]
    tokenizer.post_processor = TemplateProcessing(single=f"$A {eos}", special_tokens=[(eos, vocabulary[eos])])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True, **SPECIAL_TOKENS)


class GalaxyCaptionerProcessor(ProcessorMixin):
    """Images -> ``pixel_values``, captions -> ``labels``, generated ids -> text."""

    def __init__(self, image_processor, tokenizer, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(self, images=None, text=None, return_tensors="pt", **kwargs) -> BatchFeature:
        """Prepare what is given.

        Args:
            images: one galaxy image or a list of them.
            text: one caption or a list of them, as what should be written. Empty text, with which the pipeline ``image-text-to-text``
                asks for a caption, becomes ``decoder_input_ids`` of the start token.

        Raises:
            ValueError: neither images nor text were given.
        """
        if images is None and not text:
            raise ValueError("neither images nor text were given; give one of them")
        ready = {}
        if images is not None:
            ready |= self.image_processor(images, return_tensors=return_tensors)
        texts = [text] if isinstance(text, str) else text
        if texts and not any(texts):
            ready["decoder_input_ids"] = torch.full((len(texts), 1), self.tokenizer.bos_token_id)
        elif texts:
            tokens = self.tokenizer(texts, padding=True, return_tensors="pt")
            ready["labels"] = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
        return BatchFeature(ready)

    def batch_decode(self, sequences, **kwargs) -> list[str]:
        """Generated ids -> captions, without special tokens."""
        return self.tokenizer.batch_decode(sequences, **({"skip_special_tokens": True} | kwargs))

    def decode(self, ids, **kwargs) -> str:
        return self.tokenizer.decode(ids, **({"skip_special_tokens": True} | kwargs))


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyCaptionerProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["GalaxyCaptionerProcessor"]
