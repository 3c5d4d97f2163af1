"""A timm ResNet and an LSTM with soft attention to its features, which writes a caption word by word.

After Xu et al. 2015 (Show, Attend and Tell, ICML): soft attention, gated context and deep output. The weights of the
backbone may come from a trained galaxy classifier.
"""

from inspect import signature

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling, Seq2SeqLMOutput
from transformers.utils import can_return_tuple

from .caption_decoder import DecoderState, GalaxyDecoder, at_least_float32
from .caption_encoder import GalaxyEncoder
from .configuration_galaxy_captioner import GalaxyCaptionerConfig
from .generation_coverage import covers
from .generation_galaxy_captioner import Decoder, beam_search, greedy_search
from .strict_loading import StrictLoading, check_resnet
from .tree import DecisionTree

MAX_NEW_TOKENS = 48
"""Default maximum of words in a caption. Ours: no caption of ``galaxy_vision.captions`` is as long."""

STATE = "cache" if "cache" in Seq2SeqLMOutput.__dataclass_fields__ else "past_key_values"
"""Name under which ``generate()`` carries the state from word to word; transformers 5.24 renamed it."""


class GalaxyCaptionerPreTrainedModel(StrictLoading, PreTrainedModel):
    """Base class of the models of this file: the encoder, the initialisation of weights, loading and saving."""

    config_class = GalaxyCaptionerConfig
    base_model_prefix = "captioner"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules: tuple = ()
    _auto_classes = {
        "AutoModel": "GalaxyCaptionerModel",
        "AutoModelForImageTextToText": "GalaxyCaptionerForConditionalGeneration",
    }

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__(config)
        check_resnet(config.backbone)
        self.encoder = GalaxyEncoder(config)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=module.embedding_dim**-0.5)
        elif isinstance(module, nn.LSTMCell):
            init.xavier_uniform_(module.weight_ih)
            init.orthogonal_(module.weight_hh)
            init.zeros_(module.bias_ih)
            init.zeros_(module.bias_hh)
        else:
            super()._init_weights(module)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()


class GalaxyCaptionerModel(GalaxyCaptionerPreTrainedModel):
    """The encoder only: features of an image, for ``pipeline("image-feature-extraction")`` and similarity search."""

    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^words\."]  # so that it loads from a captioner

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, output_hidden_states: bool | None = None
    ) -> BaseModelOutputWithPooling:
        """Compute features of a batch.

        Args:
            pixel_values: (B, C, H, W) from the image processor.
            output_hidden_states: see :class:`GalaxyEncoder`.

        Returns:
            ``last_hidden_state`` (B, 1 + P, hidden_size): features of the whole image, which are also the
            ``pooler_output``, and of the P places of the grid.
        """
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        encoded = self.encoder(pixel_values, output_hidden_states=output_hidden_states)
        whole = encoded.last_hidden_state[:, 0]
        return BaseModelOutputWithPooling(encoded.last_hidden_state, whole, hidden_states=encoded.hidden_states)


class GalaxyCaptionerForConditionalGeneration(GalaxyCaptionerPreTrainedModel, GenerationMixin):
    """Caption of a galaxy image; ``generate(pixel_values=...)`` writes it, by greedy search, beams or sampling."""

    accepts_loss_kwargs = True  # Trainer then passes num_items_in_batch
    _is_stateful = True
    _tied_weights_keys = {"words.weight": "decoder.embedding.weight"}

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__(config)
        self.decoder = GalaxyDecoder(config)
        self.words = nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        self.generation_config.max_new_tokens = MAX_NEW_TOKENS  # a saved model replaces it by its own
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the state is a DecoderState; generate() must not make another cache

    def reads(self, tree: DecisionTree) -> bool:
        """Return whether captions can be written from votes of this tree."""
        trees = self.config.decision_trees
        return trees is not None and tree.answers == trees.first.answers

    def get_encoder(self, *args, **kwargs) -> nn.Module:
        return self.encoder

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.decoder.embedding = value

    def get_output_embeddings(self) -> nn.Module:
        return self.words

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.words = new_embeddings

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, next_sequence_length=None, **kwargs) -> dict:
        """Return the arguments of ``forward``: only the newest word where a state holds the earlier ones."""
        newest = input_ids if kwargs.get(STATE) is None else input_ids[:, -1:]
        return {name: value for name, value in kwargs.items() if name in FORWARDED} | {"decoder_input_ids": newest}

    def generate(self, inputs: torch.Tensor | None = None, *args, **kwargs):
        """Write captions, as in transformers: ``generate(pixel_values=...)``.

        A captioner that reads votes says those of the first of its campaigns, those of another one by
        ``campaign="gz_challenge"``, or what a classifier predicts by ``votes=predict_fractions(...).conditional``.

        Captions continue ``decoder_input_ids`` if given, padded on either side.

        Raises:
            ValueError: neither images nor encoder outputs are given.
        """
        if inputs is None and kwargs.get("pixel_values") is None and kwargs.get("encoder_outputs") is None:
            raise ValueError("generate() was given no image; give pixel_values from the processor, or encoder_outputs")
        beginnings, mask = kwargs.get("decoder_input_ids"), kwargs.pop("decoder_attention_mask", None)
        if beginnings is not None:
            pad = -1 if self.config.pad_token_id is None else self.config.pad_token_id
            mask = beginnings != pad if mask is None else mask.bool()
            if not mask.all():  # padding moves to the left, since captions are continued on the right
                order = mask.int().argsort(dim=1, stable=True)
                beginnings, mask = beginnings.gather(1, order), mask.gather(1, order)
                used = mask.any(0)
                kwargs |= {"decoder_input_ids": beginnings[:, used], "decoder_attention_mask": mask[:, used].long()}
        return super().generate(inputs, *args, **kwargs)

    def _prepare_generation_config(self, generation_config, *args, **kwargs) -> tuple:
        """Let ``max_length`` of a call take precedence over a saved ``max_new_tokens``; minima likewise."""
        settings, others = super()._prepare_generation_config(generation_config, *args, **kwargs)
        for total, new in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
            if _is_set(total, generation_config, kwargs) and not _is_set(new, generation_config, kwargs):
                setattr(settings, new, None)
        return settings, others

    def _sample(self, input_ids: torch.Tensor, **options):
        """Search greedily, or sample; called by ``generate()``."""
        if not covers(self, input_ids, **options):
            return super()._sample(input_ids, **options)
        return greedy_search(*self._search_arguments(input_ids, **options))

    def _beam_search(self, input_ids: torch.Tensor, **options):
        """Search with beams; called by ``generate()``."""
        if not covers(self, input_ids, **options):
            return super()._beam_search(input_ids, **options)
        return beam_search(*self._search_arguments(input_ids, **options))[0]

    def _search_arguments(self, input_ids, generation_config, encoder_outputs, **others) -> tuple:
        """Return the arguments of our searches: each image once, which ``generate()`` has repeated for its beams."""
        images = slice(None, None, generation_config.num_beams)
        decoder = Decoder(self.decoder, self.words, encoder_outputs.last_hidden_state[images])
        return decoder, input_ids[images], generation_config

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        votes: torch.Tensor | None = None,
        campaign: str | None = None,
        cache: DecoderState | None = None,
        past_key_values: DecoderState | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Seq2SeqLMOutput:
        """Score the word after each word of the captions.

        Args:
            pixel_values: (B, C, H, W) from the image processor; not needed with ``encoder_outputs`` or a state.
            decoder_input_ids: (B, T) words so far, the start token first; made from ``labels`` if not given.
            decoder_attention_mask: (B, T), 0 for padding, which is not read.
            labels: (B, T) the words to be written, eos last, -100 for padding.
            encoder_outputs: output of the encoder, which then does not run again.
            votes, campaign: see :class:`GalaxyEncoder`.
            cache: the state after earlier words, which is updated in place.
            past_key_values: the same, as it was named before transformers 5.24.
            use_cache: return the state.
            output_attentions: False leaves ``cross_attentions`` out.
            output_hidden_states: also return ``encoder_hidden_states`` (see :class:`GalaxyEncoder`) and
                ``decoder_hidden_states``: input (B, T, embedding_size) and output (B, T, hidden_size) of the LSTM.
            num_items_in_batch: number of words in all batches of one optimiser step, by which ``Trainer`` wants the
                summed loss divided. None for the mean over the words of this batch.

        Returns:
            ``logits`` (B, T, vocab_size), ``loss`` if there are labels, the state under the name of its argument, and
            ``cross_attentions``: one tensor (B, T, P) of the attention of each word, whose rows sum to 1.

        Raises:
            ValueError: images or words are missing, or their numbers differ.
        """
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        state = cache if cache is not None else past_key_values
        if encoder_outputs is None and pixel_values is not None:
            encoder_outputs = self.encoder(pixel_values, votes, campaign, output_hidden_states)
        if encoder_outputs is None and state is None:
            raise ValueError("neither pixel_values nor encoder_outputs were given; give one of them")
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "neither decoder_input_ids nor labels were given; give one of them, or call generate()"
                )
            decoder_input_ids = self._shifted(labels)
        encoded = None if encoder_outputs is None else encoder_outputs[0]
        if state is None:
            state = self.decoder.start(encoded)
        if len(decoder_input_ids) != len(state.hidden):
            raise ValueError(
                f"there are words of {len(decoder_input_ids)} captions for {len(state.hidden)} images; give one "
                "caption for each image"
            )
        if decoder_attention_mask is not None:
            decoder_attention_mask = decoder_attention_mask[:, -decoder_input_ids.shape[1] :]
        features, attention, hidden_states = self.decoder(decoder_input_ids, state, decoder_attention_mask)
        logits = self.words(features)
        loss = None
        if labels is not None:
            scores, targets = at_least_float32(logits).flatten(0, 1), labels.flatten()
            if num_items_in_batch is None:
                loss = F.cross_entropy(scores, targets, ignore_index=-100)
            else:
                loss = F.cross_entropy(scores, targets, ignore_index=-100, reduction="sum") / num_items_in_batch
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            cross_attentions=None if output_attentions is False else (attention,),
            decoder_hidden_states=hidden_states if output_hidden_states else None,
            encoder_last_hidden_state=encoded,
            encoder_hidden_states=encoder_outputs.hidden_states if output_hidden_states and encoder_outputs else None,
            **{STATE: state if use_cache else None},
        )

    def _shifted(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the words that are read while ``labels`` are written: the start token and all labels but the last."""
        settings = self.config
        start = settings.bos_token_id if settings.decoder_start_token_id is None else settings.decoder_start_token_id
        if start is None:
            raise ValueError("decoder_start_token_id of the configuration is None; set it, or give decoder_input_ids")
        shifted = labels.new_full(labels.shape, start)
        shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == -100, settings.pad_token_id or 0)
        return shifted


_ARGUMENTS = set(signature(GalaxyCaptionerForConditionalGeneration.forward).parameters)
FORWARDED = _ARGUMENTS - {"self", "labels", "pixel_values"}
"""Arguments of ``forward`` that ``generate()`` passes on for every word."""


def _is_set(name: str, generation_config: GenerationConfig | None, kwargs: dict) -> bool:
    """Return whether the caller of ``generate()`` sets a length."""
    return kwargs.get(name) is not None or getattr(generation_config, name, None) is not None


# Saved folders then contain the code, and load where this package is not installed.
GalaxyCaptionerModel.register_for_auto_class("AutoModel")
GalaxyCaptionerForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")

__all__ = ["GalaxyCaptionerForConditionalGeneration", "GalaxyCaptionerModel"]
