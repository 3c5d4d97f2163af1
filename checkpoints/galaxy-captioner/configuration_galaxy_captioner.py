"""Configuration of the galaxy captioner."""

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

from .strict_loading import StrictSettings, check_ranges
from .trees import Trees

FORMAT_VERSION = 2
"""Version of the fields. Increased with each field without which older code would read a saved model wrongly; a model
has the least that it needs, 2 where it reads votes."""

LIMITS = {
    "image_size": (32, 4096),
    "num_channels": (1, 16),
    "vocab_size": (4, 65_536),
    "hidden_size": (1, 4096),
    "embedding_size": (1, 4096),
    "attention_size": (1, 4096),
}
"""Smallest and largest values of sizes. Ours: far beyond any use, and a wrong file cannot exhaust the memory."""


@strict
class GalaxyCaptionerConfig(StrictSettings, PretrainedConfig):
    """Configuration of a :class:`GalaxyCaptionerForConditionalGeneration`, without settings of its training.

    Attributes:
        backbone: name of a timm ResNet, such as ``"resnet18"``; no other network, since its stages are attended to.
        image_size: side of the square input in pixels, as the image processor makes it.
        num_channels: colour channels.
        attention_stage: stage of the backbone whose places the decoder attends to: 4 (stride 32), 3 (stride 16) or 2
            (stride 8). The last stage is always read too.
        use_attention: weight the places anew for every word; if False, every word gets their mean.
        vocab_size: number of words of the tokenizer.
        hidden_size: size of the LSTM and of the features of a place.
        embedding_size: size of the embedding of a word.
        attention_size: size in which the state of the LSTM and a place are compared.
        trees: whose votes are predicted and read before a caption is written, as :meth:`Trees.to_list` writes them,
            with the same answers in all campaigns; None for a captioner that sees the image alone.
        drop_rate: dropout of the encoder's output, and of the features that score words.
        tie_word_embeddings: score words with the embedding matrix.
        use_cache: return the state after the last word, so that the next call reads only the words that follow.
        eos_token_id: word that ends a caption, or several; None for captions that end by their length only.
        format_version: version of the fields; models of a newer version are refused.
    """

    model_type = "galaxy_captioner"
    keys_to_ignore_at_inference = ["cache", "past_key_values", "cross_attentions", "encoder_last_hidden_state"]
    """Outputs that ``Trainer`` does not pass to ``compute_metrics``, which gets the logits only."""

    backbone: str = "resnet18"
    image_size: int = 64
    num_channels: int = 3
    attention_stage: int = 3
    use_attention: bool = True
    vocab_size: int = 128
    hidden_size: int = 256
    embedding_size: int = 128
    attention_size: int = 128
    trees: list | None = None
    drop_rate: float = 0.1
    tie_word_embeddings: bool = False
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3
    decoder_start_token_id: int | None = 2
    format_version: int = 1

    def validate_format(self):
        """Check the version of the fields; raise ValueError for a model that was saved by a newer galaxy_vision."""
        if self.trees is not None:
            self.format_version = max(self.format_version, 2)
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"format_version={self.format_version} is newer than {FORMAT_VERSION}; upgrade galaxy_vision"
            )

    def validate_trees(self):
        """Check the trees; raise ValueError for what is not one, and for campaigns with other answers."""
        if self.trees is None:
            return
        trees = Trees.from_list(self.trees)
        if others := [campaign for campaign, tree in trees.items() if tree.answers != trees.first.answers]:
            raise ValueError(
                f"trees of {others[0]!r} and {trees.first.name!r} have different answers; a captioner reads one kind"
            )

    @property
    def decision_trees(self) -> Trees | None:
        """The trees whose votes are read; None for a captioner that sees the image alone."""
        return None if self.trees is None else Trees.from_list(self.trees)

    def validate_sizes(self):
        """Check sizes and the dropout rate; raise ValueError for values that a captioner cannot have."""
        if self.image_size < 32:
            raise ValueError(
                f"image_size={self.image_size} is smaller than the backbone's stride of 32; use 32 or more"
            )
        if self.attention_stage not in (2, 3, 4):
            raise ValueError(f"attention_stage={self.attention_stage} is not one of 2, 3, 4")
        check_ranges(self, LIMITS)
        if not 0.0 <= self.drop_rate < 1.0:
            raise ValueError(f"drop_rate={self.drop_rate} is outside 0 <= drop_rate < 1")

    def validate_words(self):
        """Check the special tokens; raise ValueError for one that is not a word of the vocabulary."""
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            value = getattr(self, name)
            for word in value if isinstance(value, list) else [value]:
                if word is not None and (type(word) is not int or not 0 <= word < self.vocab_size):
                    raise ValueError(
                        f"{name}={value!r} is not an integer from 0 to {self.vocab_size - 1} (vocab_size - 1)"
                    )
        if self.eos_token_id == []:
            raise ValueError("eos_token_id=[] is empty; use None for captions that end by their length only")

    @property
    def closing_words(self) -> list[int]:
        """The words that end a caption or follow its end."""
        ends = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        return [word for word in (*ends, self.pad_token_id) if word is not None]

    @property
    def grid_size(self) -> int:
        """Number of places along a side of the attention grid."""
        return -(-self.image_size // 2 ** (self.attention_stage + 1))


# Saved folders then contain the code, and load where this package is not installed.
GalaxyCaptionerConfig.register_for_auto_class()

__all__ = ["GalaxyCaptionerConfig"]
