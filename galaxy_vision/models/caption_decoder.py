"""The decoder of the captioner: an LSTM that looks anew at the image for every word, and its state."""

from dataclasses import dataclass, field

import torch
from torch import nn

from .configuration_galaxy_captioner import GalaxyCaptionerConfig


@dataclass(eq=False)
class DecoderState:
    """What the decoder remembers between words, in the role that keys and values have in a transformer.

    Attributes:
        hidden, cell: (rows, D) of the LSTM.
        keys: (rows, P, A), or None without attention.
        places: (rows, P, D). Keys and places belong to the image and never change, so that beams, which are reordered
            within one image only, share them.
        length: words read so far, a tensor, so that an exported step fits every word.
    """

    hidden: torch.Tensor
    cell: torch.Tensor
    keys: torch.Tensor | None
    places: torch.Tensor
    length: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))

    # What generate() asks of a cache.
    is_compileable = False
    is_croppable = False
    is_linear = (True,)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return int(self.length)

    def reorder_cache(self, beam_idx: torch.Tensor) -> "DecoderState":
        self.hidden, self.cell = self.hidden.index_select(0, beam_idx), self.cell.index_select(0, beam_idx)
        return self


# torch.export and torch.compile then see the tensors in it.
torch.export.register_dataclass(DecoderState, serialized_type_name=f"{__name__}.DecoderState")


class GalaxyDecoder(nn.Module):
    """One word at a time: attend, gate, LSTM."""

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__()
        size = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.start_hidden, self.start_cell = nn.Linear(size, size), nn.Linear(size, size)
        self.use_attention = config.use_attention
        if config.use_attention:
            self.key, self.query = (
                nn.Linear(size, config.attention_size),
                nn.Linear(size, config.attention_size, bias=False),
            )
            self.energy = nn.Linear(config.attention_size, 1, bias=False)
        self.gate = nn.Linear(size, size)
        self.cell = nn.LSTMCell(config.embedding_size + size, size)
        self.output = nn.Linear(2 * size + config.embedding_size, config.embedding_size)
        self.dropout = nn.Dropout(config.drop_rate)

    def start(self, encoded: torch.Tensor) -> DecoderState:
        """The state before the first word, from the output of the encoder (B, 1 + P, D)."""
        whole, places = encoded[:, 0], encoded[:, 1:]
        keys = self.key(places) if self.use_attention else None
        kind = self.cell.weight_hh.dtype  # autocast must not shorten what is carried from word to word
        return DecoderState(
            self.start_hidden(whole).tanh().to(kind), self.start_cell(whole).tanh().to(kind), keys, places
        )

    def forward(
        self, input_ids: torch.Tensor, state: DecoderState, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Read words; the state moves on.

        Args:
            input_ids: (B, T).
            state: after the words before.
            attention_mask: (B, T), 0 for padding, which leaves the state as it is.

        Returns:
            Features of the next words (B, T, embedding_size), where each looked (B, T, P), and what went in and out of
            the LSTM: (B, T, embedding_size) and (B, T, D).
        """
        words = self.embedding(input_ids)  # (B, T, E)
        hiddens, contexts, looked = [], [], []
        for place, word in enumerate(words.unbind(1)):
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
                read = attention_mask[:, place, None].bool()
                hidden, cell = torch.where(read, hidden, state.hidden), torch.where(read, cell, state.cell)
            state.hidden, state.cell = hidden, cell
            hiddens.append(hidden)
            contexts.append(context)
            looked.append(attention)
        state.length = state.length + input_ids.shape[1]
        hidden = torch.stack(hiddens, 1)
        deep = torch.cat([hidden, torch.stack(contexts, 1).to(words.dtype), words], -1)
        return self.dropout(self.output(deep).tanh()), torch.stack(looked, 1), (words, hidden)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """For sums over many values: half precision becomes float32, and float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


__all__ = ["DecoderState", "GalaxyDecoder", "at_least_float32"]
