"""Processor of the captioner: its image processor and its word-level tokenizer."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin

SPECIAL_TOKENS = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
"""Special tokens in the order of their ids. The pad is not 0: beam search of transformers would pad by eos instead."""


def build_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """Make a word-level tokenizer of the words in captions, which splits off punctuation and appends eos."""
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("[,.;:!?]"), "isolated")]
    )
    words = sorted({word for caption in captions for word, _ in split.pre_tokenize_str(caption.lower())})
    vocabulary = {word: index for index, word in enumerate([*SPECIAL_TOKENS.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    eos = SPECIAL_TOKENS["eos_token"]
    tokenizer.post_processor = TemplateProcessing(single=f"$A {eos}", special_tokens=[(eos, vocabulary[eos])])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True, **SPECIAL_TOKENS)


TEXT_SETTINGS = {
    "text_target",
    "padding",
    "truncation",
    "max_length",
    "pad_to_multiple_of",
    "add_special_tokens",
    "return_tensors",
}
"""Settings of text that a call may have."""

CHAT_TEMPLATE = """{% for message in messages if message.role == 'assistant' -%}
{% if message.content is string %}{{ message.content }}
{%- else %}{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"""
"""Chat template by which only the beginning of the assistant's answer is text for the captioner."""


class GalaxyCaptionerProcessor(ProcessorMixin):
    """Convert images and captions to inputs of the model, and generated ids to text."""

    def __init__(self, image_processor, tokenizer, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(self, images=None, text=None, **kwargs) -> BatchFeature:
        """Prepare images, beginnings of captions and target captions.

        Args:
            images: one galaxy image or a list of them.
            text: the beginning of a caption, which ``generate()`` continues, or a list of one for each image; an empty
                text begins every caption. Becomes ``decoder_input_ids`` and ``decoder_attention_mask``, padded on the
                left.
            text_target: the caption that is to be written, or a list of one for each image. Becomes ``labels``, eos
                last and -100 for padding.
            kwargs: settings of the image processor, and of text: ``padding`` (default True), ``truncation``,
                ``max_length``, ``pad_to_multiple_of``, ``add_special_tokens``; also as ``images_kwargs``,
                ``text_kwargs`` and ``common_kwargs``. ``return_tensors`` is "pt", "np", or None for lists.

        Raises:
            TypeError: an unknown keyword.
            ValueError: neither images nor text are given, their numbers differ, or a text contains words that are not
                in the vocabulary.
        """
        self._refuse_unknown(kwargs)
        settings = self._merge_kwargs(ProcessingKwargs, tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)
        for_images, for_text = settings["images_kwargs"], settings["text_kwargs"]
        for_text = {name: value for name, value in for_text.items() if name in TEXT_SETTINGS}
        tensors, target = for_text.pop("return_tensors", "pt"), for_text.pop("text_target", None)
        if images is None and text is None and target is None:
            raise ValueError("neither images nor text were given; give one of them")
        ready = {}
        if images is not None:
            ready |= self.image_processor(
                images, **(for_images | {"return_tensors": for_images.get("return_tensors", "pt")})
            )
        if text is not None:
            tokens = self._begin(_texts("text", text), {"padding": True} | for_text)
            ready |= {f"decoder_{name}": tokens[name] for name in ("input_ids", "attention_mask")}
        if target is not None:
            tokens = self.tokenizer(
                _texts("text_target", target), padding_side="right", **({"padding": True} | for_text)
            )
            rows = zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
            ready["labels"] = [[word if mask else -100 for word, mask in zip(*row, strict=True)] for row in rows]
        counts = {name: len(values) for name, values in ready.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"there are {counts}, and not as many texts as images; give one text for each image")
        return BatchFeature(ready, tensor_type=tensors)

    def _begin(self, texts: list[str], settings: dict) -> Mapping:
        """Return the tokens of beginnings of captions, the start token first."""
        specials = set(self.tokenizer.all_special_ids)
        for text in texts:
            tokens = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            spans = zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
            if unknown := [text[start:end] for word, (start, end) in spans if word in specials]:
                raise ValueError(
                    f"text={text[:80]!r} is not the beginning of a caption, which cannot contain "
                    f"{', '.join(map(repr, unknown[:5]))}; this captioner takes no question: give an image with "
                    "text='', or the first words of its caption"
                )
        start = f"{self.tokenizer.bos_token} " if settings.get("add_special_tokens", True) else ""
        settings = settings | {"add_special_tokens": False, "padding_side": "left"}
        return self.tokenizer([start + text for text in texts], **settings)

    def _refuse_unknown(self, kwargs: dict) -> None:
        """Check keywords, of which transformers drops unknown ones; raise TypeError for an unknown one."""
        of_images = set(self.image_processor.valid_kwargs.__annotations__)
        groups = {"images_kwargs": of_images, "text_kwargs": TEXT_SETTINGS, "common_kwargs": of_images | TEXT_SETTINGS}
        keywords = [(name, value, of_images | TEXT_SETTINGS | set(groups)) for name, value in kwargs.items()]
        for group, allowed in groups.items():
            keywords += [(name, value, allowed) for name, value in (kwargs.get(group) or {}).items()]
        for name, value, allowed in keywords:
            is_unused = name in ("videos", "audio") and value is None  # transformers gives them to every processor
            if name not in allowed and not is_unused:
                similar = get_close_matches(name, allowed, 1)
                hint = f"; did you mean {similar[0]!r}?" if similar else ""
                raise TypeError(f"the processor of captions takes no {name!r}{hint}")

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs that images with text become."""
        return ["pixel_values", "decoder_input_ids", "decoder_attention_mask"]

    def apply_chat_template(self, conversation, chat_template: str | None = None, **kwargs):
        """Apply the chat template as in transformers, to chats of one image; text of the assistant begins the caption.

        Raises:
            ValueError: a chat asks a question, or does not have exactly one image.
        """
        is_single = isinstance(conversation[0], Mapping)
        for chat in [conversation] if is_single else conversation:
            _check_chat(chat)
        ready = super().apply_chat_template(
            conversation, chat_template or CHAT_TEMPLATE, **(kwargs | {"return_dict": True})
        )
        return ready if kwargs.get("return_dict") or not kwargs.get("tokenize") else ready["decoder_input_ids"]

    def batch_decode(self, sequences, **kwargs) -> list[str]:
        """Return the captions of generated ids, without special tokens."""
        return self.tokenizer.batch_decode(sequences, **({"skip_special_tokens": True} | kwargs))

    def decode(self, ids, **kwargs) -> str:
        """Return the caption of one sequence of generated ids, without special tokens."""
        return self.tokenizer.decode(ids, **({"skip_special_tokens": True} | kwargs))


def _texts(name: str, value) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name}={value!r} is not a string or a list of strings")
    return texts


def _check_chat(chat: list[Mapping]) -> None:
    images = 0
    for message in chat:
        content = message.get("content") or []
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        images += sum(part["type"] == "image" for part in parts)
        text = " ".join(part["text"] for part in parts if part["type"] == "text").strip()
        if text and message["role"] != "assistant":
            raise ValueError(
                f"the chat asks {text[:80]!r}, and this captioner takes no question; give a chat with an image and "
                "without text"
            )
    if images != 1:
        raise ValueError(f"the chat has {images} images; give exactly one")


# Saved folders then contain the code, and load where this package is not installed.
GalaxyCaptionerProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["GalaxyCaptionerProcessor"]
