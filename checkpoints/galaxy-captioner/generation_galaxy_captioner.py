"""Greedy and beam search of the captioner: the words and scores of GenerationMixin in less time.

:class:`Decoder` computes what ``GalaxyDecoder`` computes in fewer and larger matrix products: whatever depends on a
word alone is a table, the beams of an image share its features, and finished images are left out. The searches make the
decisions of ``_sample`` and ``_beam_search`` of transformers 5.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationConfig

NEVER = -1.0e9
"""Score of a caption that does not exist yet; the value that ``_beam_search`` of transformers uses."""


def end_tokens(settings: GenerationConfig) -> torch.Tensor | None:
    """Return the tokens that end a caption, (E,) on the CPU; None if only its length ends it."""
    ends = settings.eos_token_id
    return None if ends is None else torch.as_tensor(ends, dtype=torch.long, device="cpu").reshape(-1)


def candidates_of(settings: GenerationConfig) -> int:
    """Return how many continuations of an image are compared: enough to continue all beams even if many others end."""
    ends = end_tokens(settings)
    return max(2, 1 + (0 if ends is None else len(ends))) * settings.num_beams


class Decoder:
    """A ``GalaxyDecoder`` that scores the next word of ``rows`` captions, equally many for each image.

    Args:
        decoder: the ``GalaxyDecoder`` whose weights are used.
        words: layer that scores the vocabulary.
        encoded: (images, 1 + P, D) from the encoder.
    """

    def __init__(self, decoder: nn.Module, words: nn.Linear, encoded: torch.Tensor):
        state, cell = decoder.start(encoded), decoder.cell
        device, size, embedded = encoded.device.type, cell.hidden_size, decoder.embedding.embedding_dim
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        self.hidden, self.cell = state.hidden, state.cell  # (rows, D) each
        self.places = state.places.to(dtype)  # (images, P, D)
        gates_of_word, gates_of_context = cell.weight_ih.split([embedded, size], 1)
        deep_of_hidden, deep_of_context, deep_of_word = decoder.output.weight.split([size, size, embedded], 1)
        with torch.autocast(device, enabled=False):
            table = decoder.embedding.weight
            self.gates_of_word = F.linear(table, gates_of_word, cell.bias_ih + cell.bias_hh)  # (V, 4 D)
            self.deep_of_word = F.linear(table, deep_of_word, decoder.output.bias)  # (V, E)
        gate_and_query, self.gate_bias = decoder.gate.weight, decoder.gate.bias
        self.keys = None
        if decoder.use_attention:
            # tanh(x) = 2 sigmoid(2 x) - 1; softmax ignores the constant, which is the same for all places.
            self.keys, self.energy = 2 * state.keys.to(dtype), 2 * decoder.energy.weight.T.to(dtype)
            gate_and_query = torch.cat([gate_and_query, 2 * decoder.query.weight])
        weights = (gate_and_query, cell.weight_hh, gates_of_context, deep_of_hidden, deep_of_context, words.weight)
        self.gate_and_query, *self.gates, self.deep_of_hidden, self.deep_of_context, self.words = (
            weight.T.to(dtype) for weight in weights
        )

    def take(self, rows: torch.Tensor) -> None:
        """Continue with these captions, in this order."""
        self.hidden, self.cell = self.hidden.index_select(0, rows), self.cell.index_select(0, rows)

    def keep(self, images: torch.Tensor) -> None:
        """Continue with these images."""
        beams = len(self.hidden) // len(self.places)
        self.take((images[:, None] * beams + torch.arange(beams, device=images.device)).flatten())
        self.places = self.places.index_select(0, images)
        self.keys = self.keys if self.keys is None else self.keys.index_select(0, images)

    def __call__(self, newest: torch.Tensor) -> torch.Tensor:
        """Read one word of each caption, (rows,), and return scores of the next one, (rows, V) float32."""
        with torch.autocast(newest.device.type, enabled=False):
            size = self.hidden.shape[1]
            gate, query = _product(self.hidden, self.gate_and_query).tensor_split([size], 1)
            context = (gate + self.gate_bias).sigmoid_() * self._attend(query)
            gates = _add(self.gates_of_word.index_select(0, newest), self.hidden, self.gates[0])
            into, forget, new, out = _add(gates, context, self.gates[1]).chunk(4, 1)
            self.cell = torch.addcmul(forget.sigmoid() * self.cell, into.sigmoid(), _tanh(new))
            self.hidden = out.sigmoid() * _tanh(self.cell)
            deep = _add(self.deep_of_word.index_select(0, newest), self.hidden, self.deep_of_hidden)
            deep = _tanh(_add(deep, context, self.deep_of_context))
            return _product(deep, self.words)

    def _attend(self, query: torch.Tensor) -> torch.Tensor:
        """Return for each query, (rows, A), the weighted mean of the features of its image, (rows, D)."""
        images, beams = len(self.places), len(query) // len(self.places)
        if self.keys is None:
            return self.places.float().mean(1).repeat_interleave(beams, 0)
        compared = self.keys[:, None] + query.to(self.keys.dtype).view(images, beams, 1, -1)  # (images, beams, P, A)
        attention = (compared.sigmoid_() @ self.energy)[..., 0].float().softmax(-1)
        return (attention.to(self.places.dtype) @ self.places).float().flatten(0, 1)


def _product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return ``rows @ weight``, computed in the dtype of the weight, as float32."""
    return (rows.to(weight.dtype) @ weight).float()


def _add(base: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Add :func:`_product` to ``base`` in place."""
    return base.addmm_(rows, weight) if weight.dtype is torch.float32 else base.add_(_product(rows, weight))


def _tanh(values: torch.Tensor) -> torch.Tensor:
    """Return tanh(x) as 2 sigmoid(2 x) - 1, which takes a third of the time of torch.tanh on a CPU; equal to 1e-7."""
    return (2 * values).sigmoid_().mul_(2).sub_(1)


def greedy_search(decoder: Decoder, start: torch.Tensor, settings: GenerationConfig) -> torch.Tensor:
    """Write captions by the most probable word at each step.

    Args:
        decoder: of B images.
        start: (B, 1) first words.
        settings: as for ``_sample``.

    Returns:
        (B, 1 + T) words, padded after eos.
    """
    ends = _ends_on(start.device, settings)
    written = start.new_full((len(start), settings.max_length), -1)
    written[:, :1] = start
    images, newest = torch.arange(len(start), device=start.device), start[:, 0]
    for length in range(1, settings.max_length):
        newest = _without_early_end(decoder(newest), ends, length < settings.min_length).argmax(-1)
        written[images, length] = newest
        if ends is not None and (ended := torch.isin(newest, ends)).any():
            going = (~ended).nonzero()[:, 0]
            if not len(going):
                break
            images, newest = images[going], newest[going]
            decoder.keep(going)
    if ends is None:
        return written
    return _padded(written, ends[0] if settings.pad_token_id is None else settings.pad_token_id)


def beam_search(decoder: Decoder, start: torch.Tensor, settings: GenerationConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Write captions by the ``num_beams`` best beginnings of each image, until no better ending is possible.

    Args:
        decoder: of B images.
        start: (B, 1) first words.
        settings: as for ``_beam_search``.

    Returns:
        (B * num_return_sequences, 1 + T) words, padded after eos, the best of an image first; and their scores: the sum
        of log-probabilities over length ** length_penalty.
    """
    beams, longest, penalty = settings.num_beams, settings.max_length, settings.length_penalty
    ends = _ends_on(start.device, settings)
    written = start.new_full((len(start), beams, longest), -1)
    scores = torch.full((len(start), beams), NEVER, device=start.device)
    ended_words, ended_scores, ended = written.clone(), scores.clone(), torch.zeros_like(scores, dtype=torch.bool)
    images, running = torch.arange(len(start), device=start.device), start[:, None]
    sums = torch.zeros_like(scores[:, :1])
    num_candidates, one_is_full = candidates_of(settings), False
    for length in range(1, longest):
        following = decoder(running[..., -1].flatten()).log_softmax(-1)
        following = _without_early_end(following, ends, length < settings.min_length)
        following = following.unflatten(0, running.shape[:2]) + sums[..., None]  # (images, beams, V); one beam at first
        sums, candidate = following.flatten(1).topk(num_candidates)
        parent, word = candidate // following.shape[2], candidate % following.shape[2]
        last = length + 1 == longest
        ending = torch.full_like(word, last, dtype=torch.bool)
        if ends is not None and not last:
            ending = torch.isin(word, ends)
        if ending.any():
            # Only the best `beams` candidates may end, and equally many of the others continue.
            new = torch.cat([_of(running, parent[:, :beams]), word[:, :beams, None]], 2)
            new_scores = sums[:, :beams] / length**penalty + ~ending[:, :beams] * NEVER
            ended_scores, order = torch.cat([ended_scores, new_scores], 1).topk(beams)
            ended_words = _of(torch.cat([ended_words, F.pad(new, (0, longest - length - 1), value=-1)], 1), order)
            ended = torch.cat([ended, ending[:, :beams]], 1).gather(1, order)
            one_is_full = bool(ended.all(1).any())
            sums, order = (sums + ending * NEVER).topk(beams)
            parent, word = parent.gather(1, order), word.gather(1, order)
        sums, parent, word = sums[:, :beams], parent[:, :beams], word[:, :beams]
        running = torch.cat([_of(running, parent), word[..., None]], 2)
        decoder.take((parent + torch.arange(len(parent), device=parent.device)[:, None] * following.shape[1]).flatten())
        if not one_is_full and not last:
            continue
        attainable = sums[:, 0] / (longest - 1 if settings.early_stopping == "never" else length) ** penalty
        done = ended.all(1) & (~(attainable > ended_scores[:, -1]) | (settings.early_stopping is True) | last)
        if done.any():
            written[images[done]], scores[images[done]] = ended_words[done], ended_scores[done]
            going = (~done).nonzero()[:, 0]
            if not len(going):
                break
            decoder.keep(going)
            images, running, sums = images[going], running[going], sums[going]
            ended_words, ended_scores, ended = ended_words[going], ended_scores[going], ended[going]
            one_is_full = bool(ended.all(1).any())
    returned = settings.num_return_sequences
    written, scores = written[:, :returned].flatten(0, 1), scores[:, :returned].flatten()
    if ends is not None:  # transformers reads a pad token of 0 as none, and pads by eos
        written = _padded(written, settings.pad_token_id or ends[0])
    return written, scores


def _ends_on(device: torch.device, settings: GenerationConfig) -> torch.Tensor | None:
    ends = end_tokens(settings)
    return None if ends is None else ends.to(device)


def _without_early_end(scores: torch.Tensor, ends: torch.Tensor | None, too_short: bool) -> torch.Tensor:
    """Give the end tokens a score of minus infinity while captions are too short."""
    return scores.index_fill(1, ends, -torch.inf) if too_short and ends is not None else scores


def _of(beams: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Return (images, beams, ...) in another order of the beams of each image."""
    return beams.gather(1, order[..., None].expand(-1, -1, beams.shape[2]))


def _padded(written: torch.Tensor, pad: torch.Tensor | int) -> torch.Tensor:
    """Cut words (rows, T) to the longest caption, and fill the rest of shorter ones with the pad token."""
    written = written[:, : (written >= 0).sum(1).max()]
    return torch.where(written >= 0, written, pad)


__all__ = ["Decoder", "beam_search", "candidates_of", "end_tokens", "greedy_search"]
