"""Image processor and word-level tokenizer of the captioner, as one processor."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin

SPECIAL_TOKENS = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
"""In the order of their ids; the pad is not 0, which generate() would replace by eos in finished beams."""


def build_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """Make a word-level tokenizer of the words in captions; it splits off punctuation and adds eos."""
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
"""What a caller may say about text; each is obeyed."""

CHAT_TEMPLATE = """{% for message in messages if message.role == 'assistant' -%}
{% if message.content is string %}{{ message.content }}
{%- else %}{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"""
"""Of a chat, only the beginning of the assistant's answer is text for the captioner."""


class GalaxyCaptionerProcessor(ProcessorMixin):
    """Images, beginnings of captions and captions to what the model reads; generated ids to text."""

    def __init__(self, image_processor, tokenizer, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(self, images=None, text=None, **kwargs) -> BatchFeature:
        """Prepare what is given.

        Args:
            images: one galaxy image or a list of them.
            text: the beginning of a caption that ``generate()`` goes on from, or a list of one for each image; the
                empty text is the beginning of every caption. It becomes ``decoder_input_ids`` and
                ``decoder_attention_mask``, padded on the left.
            text_target: one caption or a list of them, as what should be written. It becomes ``labels``, eos last and
                -100 for padding.
            kwargs: settings of the image processor, and of text: ``padding`` (default True), ``truncation``,
                ``max_length``, ``pad_to_multiple_of``, ``add_special_tokens``; also as ``images_kwargs``,
                ``text_kwargs`` and ``common_kwargs``. ``return_tensors`` is "pt", "np", or None for lists.

        Raises:
            TypeError: another keyword.
            ValueError: nothing was given, not as many texts as images, or a text that no caption of this vocabulary
                begins with.
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
            ready["labels"] = [[word if read else -100 for word, read in zip(*row, strict=True)] for row in rows]
        counts = {name: len(values) for name, values in ready.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"there are {counts}, and not as many texts as images; give one for each")
        return BatchFeature(ready, tensor_type=tensors)

    def _begin(self, texts: list[str], settings: dict) -> Mapping:
        """Tokens of the beginnings of captions, the start token first."""
        specials = set(self.tokenizer.all_special_ids)
        for text in texts:
            found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            if unknown := [
                text[slice(*place)]
                for word, place in zip(found["input_ids"], found["offset_mapping"], strict=True)
                if word in specials
            ]:
                raise ValueError(
                    f"text={text[:80]!r} is not the beginning of a caption, which has no "
                    f"{', '.join(map(repr, unknown[:5]))}; "
                    "this captioner takes no question: give an image with text='', or the first words of its caption"
                )
        start = f"{self.tokenizer.bos_token} " if settings.get("add_special_tokens", True) else ""
        settings = settings | {"add_special_tokens": False, "padding_side": "left"}
        return self.tokenizer([start + text for text in texts], **settings)

    def _refuse_unknown(self, kwargs: dict) -> None:
        """Raises TypeError for a keyword that would be dropped."""
        of_images = set(self.image_processor.valid_kwargs.__annotations__)
        groups = {"images_kwargs": of_images, "text_kwargs": TEXT_SETTINGS, "common_kwargs": of_images | TEXT_SETTINGS}
        asked = [(name, value, of_images | TEXT_SETTINGS | set(groups)) for name, value in kwargs.items()]
        asked += [(name, value, groups[group]) for group in groups for name, value in (kwargs.get(group) or {}).items()]
        for name, value, known in asked:
            if name not in known and not (
                name in ("videos", "audio") and value is None
            ):  # which transformers hands to every processor
                near = get_close_matches(name, known, 1)
                raise TypeError(f"the processor of captions takes no {name!r}{f'; is it {near[0]!r}?' if near else ''}")

    @property
    def model_input_names(self) -> list[str]:
        """What images with text become."""
        return ["pixel_values", "decoder_input_ids", "decoder_attention_mask"]

    def apply_chat_template(self, conversation, chat_template: str | None = None, **kwargs):
        """As in transformers, for chats of one image; text of the assistant begins the caption.

        Raises:
            ValueError: the chat asks a question, or has not one image.
        """
        one = isinstance(conversation[0], Mapping)
        for chat in [conversation] if one else conversation:
            _check_chat(chat)
        ready = super().apply_chat_template(
            conversation, chat_template or CHAT_TEMPLATE, **(kwargs | {"return_dict": True})
        )
        return ready if kwargs.get("return_dict") or not kwargs.get("tokenize") else ready["decoder_input_ids"]

    def batch_decode(self, sequences, **kwargs) -> list[str]:
        """Generated ids -> captions, without special tokens."""
        return self.tokenizer.batch_decode(sequences, **({"skip_special_tokens": True} | kwargs))

    def decode(self, ids, **kwargs) -> str:
        return self.tokenizer.decode(ids, **({"skip_special_tokens": True} | kwargs))


def _texts(name: str, given) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(each, str) for each in texts):
        raise ValueError(f"{name}={given!r} is not a string or a list of strings")
    return texts


def _check_chat(chat: list[Mapping]) -> None:
    images = 0
    for message in chat:
        content = message.get("content") or []
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        images += sum(part["type"] == "image" for part in parts)
        asked = " ".join(part["text"] for part in parts if part["type"] == "text").strip()
        if asked and message["role"] != "assistant":
            raise ValueError(
                f"the chat asks {asked[:80]!r}, and this captioner takes no question; give a chat with an image and "
                "without text"
            )
    if images != 1:
        raise ValueError(f"the chat has {images} images; give one, which is then described")


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyCaptionerProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["GalaxyCaptionerProcessor"]
