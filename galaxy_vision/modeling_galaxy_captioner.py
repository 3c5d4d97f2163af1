"""A timm ResNet that is looked at through soft attention by an LSTM, which writes the caption word by word.

After Xu et al. 2015 (Show, Attend and Tell, ICML; soft attention, gated context, deep output) with a backbone that may come from a
trained galaxy classifier.
"""

import timm
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from .caption_search import Decoder, beam_search, covers, greedy_search
from .configuration_galaxy_captioner import GalaxyCaptionerConfig
from .strict_loading import StrictLoading, check_backbone

MAX_NEW_TOKENS = 48
"""Longest caption in words where nobody says otherwise; ours: no sentence of captions.py has as many."""

STATE = "cache" if "cache" in Seq2SeqLMOutput.__dataclass_fields__ else "past_key_values"
"""The name under which ``generate()`` carries the state from word to word: transformers 5.24 renamed it."""


class DecoderState:
    """What the decoder remembers between words, in the role that keys and values have in a transformer.

    ``keys`` and ``places`` belong to the image and never change, so that beams, which are reordered within one image only, share them.
    """

    is_compileable = False
    is_croppable = False

    def __init__(
        self, hidden: torch.Tensor, cell: torch.Tensor, keys: torch.Tensor | None, places: torch.Tensor, length: int = 0
    ):
        self.hidden, self.cell, self.keys, self.places, self.length = hidden, cell, keys, places, length

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def reorder_cache(self, beam_idx: torch.Tensor) -> "DecoderState":
        self.hidden, self.cell = self.hidden.index_select(0, beam_idx), self.cell.index_select(0, beam_idx)
        return self


class GalaxyEncoder(nn.Module):
    """Pixels -> (B, 1 + places, hidden_size): the whole image first, then the places of the grid, row by row."""

    main_input_name = "pixel_values"

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__()
        self.stage = config.attention_stage
        self.backbone = timm.create_model(config.backbone, pretrained=False, num_classes=0, in_chans=config.num_channels)
        for tensor in (*self.backbone.parameters(), *self.backbone.buffers()):
            if not tensor.is_meta:
                tensor._is_hf_initialized = True  # keep timm's own initialisation
        last = self.backbone.num_features
        fine = self.backbone.feature_info[self.stage]["num_chs"]
        self.project_places = nn.Linear(last if self.stage == 4 else fine + last, config.hidden_size)
        self.project_whole = nn.Linear(last, config.hidden_size)
        self.norm, self.dropout = nn.LayerNorm(config.hidden_size), nn.Dropout(config.drop_rate)

    def train(self, mode: bool = True) -> "GalaxyEncoder":
        """A frozen backbone stays in evaluation mode, so that its batch statistics do not drift."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def forward(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutput:
        maps = self.backbone.forward_intermediates(pixel_values, indices=sorted({self.stage, 4}), intermediates_only=True)
        whole, places = maps[-1].mean((2, 3)), maps[0]
        if self.stage < 4:  # fine places see the coarse ones that they lie in
            coarse = F.interpolate(maps[-1], size=places.shape[-2:], mode="bilinear", align_corners=False)
            places = torch.cat([places, coarse], 1)
        places = self.project_places(places.flatten(2).transpose(1, 2))  # (B, P, D)
        encoded = self.norm(torch.cat([self.project_whole(whole)[:, None], places], 1))
        return BaseModelOutput(last_hidden_state=self.dropout(encoded))


class GalaxyDecoder(nn.Module):
    """One word at a time: attend, gate, LSTM."""

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__()
        size = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.start_hidden, self.start_cell = nn.Linear(size, size), nn.Linear(size, size)
        self.use_attention = config.use_attention
        if config.use_attention:
            self.key, self.query = nn.Linear(size, config.attention_size), nn.Linear(size, config.attention_size, bias=False)
            self.energy = nn.Linear(config.attention_size, 1, bias=False)
        self.gate = nn.Linear(size, size)
        self.cell = nn.LSTMCell(config.embedding_size + size, size)
        self.output = nn.Linear(2 * size + config.embedding_size, config.embedding_size)
        self.dropout = nn.Dropout(config.drop_rate)

    def start(self, encoded: torch.Tensor) -> DecoderState:
        """The state before the first word, from the output of the encoder (B, 1 + P, D)."""
        whole, places = encoded[:, 0], encoded[:, 1:]
        keys = self.key(places) if self.use_attention else None
        return DecoderState(self.start_hidden(whole).tanh().float(), self.start_cell(whole).tanh().float(), keys, places)

    def forward(self, input_ids: torch.Tensor, state: DecoderState) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the next words (B, T, embedding_size) and where each looked (B, T, P); the state moves on."""
        words = self.embedding(input_ids)  # (B, T, E)
        hiddens, contexts, looked = [], [], []
        for word in words.unbind(1):
            if self.use_attention:
                energy = self.energy((state.keys + self.query(state.hidden)[:, None]).tanh())[..., 0]  # (B, P)
                attention = energy.float().softmax(-1)
            else:
                attention = state.hidden.new_full((len(word), state.places.shape[1]), 1 / state.places.shape[1])
            context = (attention[:, None].to(state.places.dtype) @ state.places)[:, 0]  # (B, D)
            context = self.gate(state.hidden).sigmoid() * context
            state.hidden, state.cell = self.cell(torch.cat([word, context.to(word.dtype)], -1), (state.hidden, state.cell))
            hiddens.append(state.hidden)
            contexts.append(context)
            looked.append(attention)
        state.length += input_ids.shape[1]
        deep = torch.cat([torch.stack(hiddens, 1), torch.stack(contexts, 1).to(words.dtype), words], -1)
        return self.dropout(self.output(deep).tanh()), torch.stack(looked, 1)


class GalaxyCaptionerForConditionalGeneration(StrictLoading, PreTrainedModel, GenerationMixin):
    """Caption of a galaxy image; ``generate(pixel_values=...)`` writes it, by greedy search, beams or sampling."""

    config_class = GalaxyCaptionerConfig
    base_model_prefix = "captioner"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _is_stateful = True
    _no_split_modules: tuple = ()
    _tied_weights_keys = {"words.weight": "decoder.embedding.weight"}

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__(config)
        check_backbone(config.backbone)
        self.encoder = GalaxyEncoder(config)
        self.decoder = GalaxyDecoder(config)
        self.words = nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        self.generation_config.max_new_tokens = MAX_NEW_TOKENS  # saved with the model, or read from its folder
        self.post_init()

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
            for name, weight in module.named_parameters():
                (init.orthogonal_ if name == "weight_hh" else init.xavier_uniform_ if weight.ndim > 1 else init.zeros_)(weight)
        else:
            super()._init_weights(module)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the state is a DecoderState, which generate() must not replace by keys and values

    def get_encoder(self, *args, **kwargs) -> nn.Module:
        return self.encoder

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.embedding

    def get_output_embeddings(self) -> nn.Module:
        return self.words

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, encoder_outputs=None, **kwargs) -> dict:
        """Only the newest word is read: the state holds the others."""
        state = kwargs.get(STATE)
        newest = input_ids if state is None else input_ids[:, -1:]
        return {"decoder_input_ids": newest, STATE: state, "encoder_outputs": encoder_outputs}

    def _sample(self, input_ids: torch.Tensor, **asked):
        """Where ``generate()`` ends for greedy search and sampling."""
        if not covers(self, input_ids, **asked):
            return super()._sample(input_ids, **asked)
        return greedy_search(*self._search_of(input_ids, **asked))

    def _beam_search(self, input_ids: torch.Tensor, **asked):
        """Where ``generate()`` ends for beams."""
        if not covers(self, input_ids, **asked):
            return super()._beam_search(input_ids, **asked)
        return beam_search(*self._search_of(input_ids, **asked))[0]

    def _search_of(self, input_ids, generation_config, encoder_outputs, **others) -> tuple:
        """The arguments of our own searches; ``generate()`` repeats each image for its beams, and they do not."""
        images = slice(None, None, generation_config.num_beams)
        decoder = Decoder(self.decoder, self.words, encoder_outputs.last_hidden_state[images])
        return decoder, input_ids[images], generation_config

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        cache: DecoderState | None = None,
        past_key_values: DecoderState | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> Seq2SeqLMOutput:
        """Score every next word.

        Args:
            pixel_values: (B, C, H, W) from the image processor; not needed with ``encoder_outputs``.
            decoder_input_ids: (B, T) words so far, the start token first; made from ``labels`` where absent.
            labels: (B, T) the words to be written, eos last, -100 for padding.
            encoder_outputs: what the encoder said, so that it need not run again.
            cache: the state after earlier words; ``past_key_values`` before transformers 5.24.

        Returns:
            ``logits`` (B, T, vocab_size), ``loss`` with labels, the state under the name of the argument, and where each word looked as
            ``cross_attentions``: one tensor (B, T, places), rows sum to 1.
        """
        if encoder_outputs is None:
            if pixel_values is None:
                raise ValueError("neither pixel_values nor encoder_outputs were given; give one of them")
            encoder_outputs = self.encoder(pixel_values)
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("neither decoder_input_ids nor labels were given; give one of them, or call generate()")
            start = labels.new_full((len(labels), 1), self.config.decoder_start_token_id)
            decoder_input_ids = torch.cat(
                [start, labels[:, :-1].masked_fill(labels[:, :-1] == -100, self.config.pad_token_id)], 1
            )
        encoded = encoder_outputs.last_hidden_state
        state = cache if cache is not None else past_key_values
        if state is None:
            state = self.decoder.start(encoded)
        features, attention = self.decoder(decoder_input_ids, state)
        logits = self.words(features)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)
        output = Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            cross_attentions=(attention,),
            encoder_last_hidden_state=encoded,
            **{STATE: state},
        )
        return output.to_tuple() if return_dict is False else output


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyCaptionerForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")

__all__ = ["GalaxyCaptionerForConditionalGeneration"]
