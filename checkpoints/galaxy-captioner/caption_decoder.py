"""The decoder of the captioner: an LSTM that attends to the image anew for every word, and its state."""

from dataclasses import dataclass, field

import torch
from torch import nn

from .configuration_galaxy_captioner import GalaxyCaptionerConfig


@dataclass(eq=False)
class DecoderState:
    """State of the decoder between words, which ``generate()`` carries as it carries keys and values of a transformer.

    Attributes:
        hidden, cell: (rows, D) of the LSTM.
        keys: (rows, P, A) attention keys, or None without attention.
        places: (rows, P, D) features of the places of the image. Keys and places do not change from word to word, and
            beams are reordered within one image only, so that they stay valid.
        length: number of words read so far; a tensor, so that an exported step is valid for every word.
    """

    hidden: torch.Tensor
    cell: torch.Tensor
    keys: torch.Tensor | None
    places: torch.Tensor
    length: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))

    # Attributes that generate() reads from a cache.
    is_compileable = False
    is_croppable = False
    is_linear = (True,)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return int(self.length)

    def reorder_cache(self, beam_idx: torch.Tensor) -> "DecoderState":
        self.hidden, self.cell = self.hidden.index_select(0, beam_idx), self.cell.index_select(0, beam_idx)
        return self


# torch.export and torch.compile need to see the tensors in it.
torch.export.register_dataclass(DecoderState, serialized_type_name=f"{__name__}.DecoderState")


class GalaxyDecoder(nn.Module):
    """Read one word at a time: attend to the image, gate what was seen, update the LSTM."""

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__()
        size = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.start_hidden, self.start_cell = nn.Linear(size, size), nn.Linear(size, size)
        self.use_attention = config.use_attention
        if config.use_attention:
            self.key = nn.Linear(size, config.attention_size)
            self.query = nn.Linear(size, config.attention_size, bias=False)
            self.energy = nn.Linear(config.attention_size, 1, bias=False)
        self.gate = nn.Linear(size, size)
        self.cell = nn.LSTMCell(config.embedding_size + size, size)
        self.output = nn.Linear(2 * size + config.embedding_size, config.embedding_size)
        self.dropout = nn.Dropout(config.drop_rate)

    def start(self, encoded: torch.Tensor) -> DecoderState:
        """Return the state before the first word, from the output of the encoder (B, 1 + P, D)."""
        whole, places = encoded[:, 0], encoded[:, 1:]
        keys = self.key(places) if self.use_attention else None
        dtype = self.cell.weight_hh.dtype  # the state keeps full precision under autocast
        hidden, cell = self.start_hidden(whole).tanh().to(dtype), self.start_cell(whole).tanh().to(dtype)
        return DecoderState(hidden, cell, keys, places)

    def forward(
        self, input_ids: torch.Tensor, state: DecoderState, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Read words and update ``state`` in place.

        Args:
            input_ids: (B, T) words.
            state: the state after the words before them.
            attention_mask: (B, T), 0 for padding, which does not change the state.

        Returns:
            Features of the next words (B, T, embedding_size), the attention of each word (B, T, P), and input and
            output of the LSTM: (B, T, embedding_size) and (B, T, D).
        """
        words = self.embedding(input_ids)  # (B, T, E)
        hiddens, contexts, attentions = [], [], []
        for step, word in enumerate(words.unbind(1)):
            if self.use_attention:
                energy = self.energy((state.keys + self.query(state.hidden)[:, None]).tanh())[..., 0]  # (B, P)
                attention = at_least_float32(energy).softmax(-1)
            else:
                attention = at_least_float32(state.hidden[:, :1]).new_ones((len(word), state.places.shape[1]))
                attention = attention / state.places.shape[1]
            context = (attention[:, None].to(state.places.dtype) @ state.places)[:, 0]  # (B, D)
            context = self.gate(state.hidden).sigmoid() * context
            hidden, cell = self.cell(torch.cat([word, context.to(word.dtype)], -1), (state.hidden, state.cell))
            if attention_mask is not None:
                read = attention_mask[:, step, None].bool()
                hidden, cell = torch.where(read, hidden, state.hidden), torch.where(read, cell, state.cell)
            state.hidden, state.cell = hidden, cell
            hiddens.append(hidden)
            contexts.append(context)
            attentions.append(attention)
        state.length = state.length + input_ids.shape[1]
        hidden = torch.stack(hiddens, 1)
        deep = torch.cat([hidden, torch.stack(contexts, 1).to(words.dtype), words], -1)
        return self.dropout(self.output(deep).tanh()), torch.stack(attentions, 1), (words, hidden)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Convert half precision to float32, for sums over many values; float64 stays as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


__all__ = ["DecoderState", "GalaxyDecoder", "at_least_float32"]
