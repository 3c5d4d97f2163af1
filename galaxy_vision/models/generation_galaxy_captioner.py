"""Greedy and beam search of the captioner in few, large products: words and scores of GenerationMixin in less time.

The decoder is meant here, not called: its products are merged, what depends on a word alone is looked up, beams of one
image share its places, and a finished image costs nothing more. The searches decide as ``_sample`` and ``_beam_search``
of transformers 5 do.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationConfig
from transformers.generation.logits_process import MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor
from transformers.generation.stopping_criteria import EosTokenCriteria, MaxLengthCriteria

NEVER = -1.0e9
"""Score of what is not there yet; that of transformers."""

COVERED = {
    *("num_beams", "num_return_sequences", "early_stopping", "length_penalty"),
    *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
    *("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "transformers_version"),
}
"""Settings of a generation that are followed here; every other one must be at its default."""


def covers(model: nn.Module, input_ids, logits_processor, stopping_criteria, generation_config, **others) -> bool:
    """Whether the searches below do all that is asked; what is not known here is left to GenerationMixin.

    Args:
        model: the captioner; its decoder must be the plain one in fp32, without dropout, hooks, adapters or quantised
            layers.
        input_ids: (rows, T) words so far.
        logits_processor: what changes the scores; only a shortest length is known here.
        stopping_criteria: only eos and a longest length are known here.
        generation_config: complete, as GenerationMixin hands it to its own searches.
        others: what else it hands to them.
    """
    settings, ends = generation_config, generation_config._eos_token_tensor
    usual = GenerationConfig._get_default_generation_params()
    for name, value in vars(settings).items():
        known = name in COVERED or name.startswith("_") or value is None
        if not known and not (isinstance(value, (bool, int, float, str)) and value == usual.get(name, False)):
            return False
    if any(
        value is not None and value is not False
        for name, value in others.items()
        if name not in ("encoder_outputs", "use_cache")
    ):
        return False
    if not all(_is_shortest_length(each, settings) for each in logits_processor):
        return False
    stops = {type(each): each for each in stopping_criteria}
    known = [MaxLengthCriteria] if ends is None else [MaxLengthCriteria, EosTokenCriteria]
    if len(stopping_criteria) != len(known) or set(stops) != set(known):
        return False
    if stops[MaxLengthCriteria].max_length != settings.max_length:
        return False
    if ends is not None and not torch.equal(stops[EosTokenCriteria].eos_token_id.to(ends.device), ends):
        return False
    # If the first word of an image has enough continuations, no beam is ever empty; and then scores stay above NEVER.
    if settings.num_beams > 1 and model.words.out_features - _count(ends) < candidates_of(settings):
        return False
    if settings.length_penalty < 0:
        return False
    parts = [model.words, *model.decoder.children()]
    weights = [weight for each in parts for weight in each.parameters()]
    return (
        input_ids.shape[1] == 1
        and not model.training
        and all(type(each) in (nn.Linear, nn.Embedding, nn.LSTMCell, nn.Dropout) for each in parts)
        and model.words.bias is None
        and model.decoder.embedding.max_norm is None
        and not any(
            each._forward_hooks or each._forward_pre_hooks or "forward" in vars(each)
            for each in (model, model.decoder, *parts)
        )
        and all(
            type(each) is nn.Parameter and each.dtype is torch.float32 and each.device == input_ids.device
            for each in weights
        )
    )


def _is_shortest_length(processor, settings: GenerationConfig) -> bool:
    """Whether it forbids the end before ``settings.min_length``, and does nothing else."""
    if type(processor) is MinLengthLogitsProcessor:
        shortest = processor.min_length
    elif type(processor) is MinNewTokensLengthLogitsProcessor:
        shortest = processor.prompt_length_to_skip + processor.min_new_tokens
    else:
        return False
    ends = settings._eos_token_tensor
    return (
        shortest == settings.min_length
        and ends is not None
        and torch.equal(processor.eos_token_id.to(ends.device), ends)
    )


def _count(ends: torch.Tensor | None) -> int:
    return 0 if ends is None else len(ends)


def candidates_of(settings: GenerationConfig) -> int:
    """Continuations of an image that are looked at: even if all others end, there is one for each beam."""
    return max(2, 1 + _count(settings._eos_token_tensor)) * settings.num_beams


class Decoder:
    """Writes word by word for ``rows`` captions, as many for every image; with the weights of a ``GalaxyDecoder``.

    Args:
        decoder: whose weights they are.
        words: scores the vocabulary.
        encoded: (images, 1 + P, D) from the encoder.
    """

    def __init__(self, decoder: nn.Module, words: nn.Linear, encoded: torch.Tensor):
        state, cell = decoder.start(encoded), decoder.cell
        device, size, embedded = encoded.device.type, cell.hidden_size, decoder.embedding.embedding_dim
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        self.hidden, self.cell, self.places = (
            state.hidden,
            state.cell,
            state.places.to(kind),
        )  # (rows, D) twice, (images, P, D)
        gates_of_word, gates_of_context = cell.weight_ih.split([embedded, size], 1)
        deep_of_hidden, deep_of_context, deep_of_word = decoder.output.weight.split([size, size, embedded], 1)
        with torch.autocast(device, enabled=False):
            table = decoder.embedding.weight
            self.gates_of_word = F.linear(table, gates_of_word, cell.bias_ih + cell.bias_hh)  # (V, 4 D)
            self.deep_of_word = F.linear(table, deep_of_word, decoder.output.bias)  # (V, E)
        first, self.gate_bias = decoder.gate.weight, decoder.gate.bias
        self.keys = None
        if (
            decoder.use_attention
        ):  # twice the keys and queries, see _tanh; what is then missing is the same for all places
            self.keys, self.energy = 2 * state.keys.to(kind), 2 * decoder.energy.weight.T.to(kind)
            first = torch.cat([first, 2 * decoder.query.weight])
        weights = (first, cell.weight_hh, gates_of_context, deep_of_hidden, deep_of_context, words.weight)
        self.first, *self.gates, self.deep_of_hidden, self.deep_of_context, self.words = (
            each.T.to(kind) for each in weights
        )

    def take(self, rows: torch.Tensor) -> None:
        """Go on with these captions, in this order."""
        self.hidden, self.cell = self.hidden.index_select(0, rows), self.cell.index_select(0, rows)

    def keep(self, images: torch.Tensor) -> None:
        """Go on with these images."""
        beams = len(self.hidden) // len(self.places)
        self.take((images[:, None] * beams + torch.arange(beams, device=images.device)).flatten())
        self.places = self.places.index_select(0, images)
        self.keys = self.keys if self.keys is None else self.keys.index_select(0, images)

    def __call__(self, newest: torch.Tensor) -> torch.Tensor:
        """(rows,) words -> (rows, V) scores of the next ones, float32; the state moves on."""
        with torch.autocast(newest.device.type, enabled=False):
            size = self.hidden.shape[1]
            gate, query = _product(self.hidden, self.first).split([size, self.first.shape[1] - size], 1)
            context = (gate + self.gate_bias).sigmoid_() * self._attend(query)
            gates = _add(self.gates_of_word.index_select(0, newest), self.hidden, self.gates[0])
            into, forget, new, out = _add(gates, context, self.gates[1]).chunk(4, 1)
            self.cell = torch.addcmul(forget.sigmoid() * self.cell, into.sigmoid(), _tanh(new))
            self.hidden = out.sigmoid() * _tanh(self.cell)
            deep = _add(self.deep_of_word.index_select(0, newest), self.hidden, self.deep_of_hidden)
            deep = _tanh(_add(deep, context, self.deep_of_context))
            return _product(deep, self.words)

    def _attend(self, query: torch.Tensor) -> torch.Tensor:
        """(rows, A) -> (rows, D): the mean of the places of its own image, weighted for each row."""
        images, beams = len(self.places), len(query) // len(self.places)
        if self.keys is None:
            return self.places.float().mean(1).repeat_interleave(beams, 0)
        compared = self.keys[:, None] + query.to(self.keys.dtype).view(images, beams, 1, -1)  # (images, beams, P, A)
        attention = (compared.sigmoid_() @ self.energy)[..., 0].float().softmax(-1)
        return (attention.to(self.places.dtype) @ self.places).float().flatten(0, 1)


def _product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Rows @ weight in the type of the weight, as float32."""
    return (rows.to(weight.dtype) @ weight).float()


def _add(base: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The same, added to ``base`` in place."""
    return base.addmm_(rows, weight) if weight.dtype is torch.float32 else base.add_(_product(rows, weight))


def _tanh(values: torch.Tensor) -> torch.Tensor:
    """2 sigmoid(2 x) - 1: a third of the time of torch's tanh on a CPU, and equal within 1e-7."""
    return (2 * values).sigmoid_().mul_(2).sub_(1)


def greedy_search(decoder: Decoder, start: torch.Tensor, settings: GenerationConfig) -> torch.Tensor:
    """The best word, again and again.

    Args:
        decoder: of B images.
        start: (B, 1) first words.
        settings: as for ``_sample``.

    Returns:
        (B, 1 + T) words, padded after eos.
    """
    written = start.new_full((len(start), settings.max_length), -1)
    written[:, :1] = start
    images, newest, ends = torch.arange(len(start), device=start.device), start[:, 0], settings._eos_token_tensor
    for length in range(1, settings.max_length):
        newest = _unended(decoder(newest), length, settings).argmax(-1)
        written[images, length] = newest
        if ends is not None and (ended := torch.isin(newest, ends)).any():
            going = (~ended).nonzero()[:, 0]
            if not len(going):
                break
            images, newest = images[going], newest[going]
            decoder.keep(going)
    return _padded(written, settings._pad_token_tensor) if ends is not None else written


def beam_search(decoder: Decoder, start: torch.Tensor, settings: GenerationConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``num_beams`` best beginnings of each image, word by word, until no better end is to be expected.

    Args:
        decoder: of B images.
        start: (B, 1) first words.
        settings: as for ``_beam_search``.

    Returns:
        (B * num_return_sequences, 1 + T) words, padded after eos, the best of an image first; and their scores: the sum
        of log-probabilities over length ** length_penalty.
    """
    beams, longest, ends, penalty = (
        settings.num_beams,
        settings.max_length,
        settings._eos_token_tensor,
        settings.length_penalty,
    )
    written, scores = (
        start.new_full((len(start), beams, longest), -1),
        torch.full((len(start), beams), NEVER, device=start.device),
    )
    ended_words, ended_scores, ended = written.clone(), scores.clone(), torch.zeros_like(scores, dtype=torch.bool)
    images, running, sums = (
        torch.arange(len(start), device=start.device),
        start[:, None],
        torch.zeros_like(scores[:, :1]),
    )
    one_is_full = False
    for length in range(1, longest):
        following = _unended(decoder(running[..., -1].flatten()).log_softmax(-1), length, settings)
        following = (
            following.unflatten(0, running.shape[:2]) + sums[..., None]
        )  # (images, beams, V); of one beam at first
        sums, place = following.flatten(1).topk(candidates_of(settings))
        parent, word = place // following.shape[2], place % following.shape[2]
        last = length + 1 == longest
        ending = (
            torch.isin(word, ends) if ends is not None and not last else torch.full_like(word, last, dtype=torch.bool)
        )
        if ending.any():
            # Only the best `beams` of the candidates may end, and as many of the others go on.
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
        hoped = sums[:, 0] / (longest - 1 if settings.early_stopping == "never" else length) ** penalty
        done = ended.all(1) & (~(hoped > ended_scores[:, -1]) | (settings.early_stopping is True) | last)
        if done.any():
            written[images[done]], scores[images[done]] = ended_words[done], ended_scores[done]
            going = (~done).nonzero()[:, 0]
            if not len(going):
                break
            decoder.keep(going)
            images, running, sums = images[going], running[going], sums[going]
            ended_words, ended_scores, ended = ended_words[going], ended_scores[going], ended[going]
            one_is_full = bool(ended.all(1).any())
    wanted = settings.num_return_sequences
    written, scores = written[:, :wanted].flatten(0, 1), scores[:, :wanted].flatten()
    # transformers takes a pad token of 0 for none, and pads by eos
    return (_padded(written, settings._pad_token_tensor or ends[0]) if ends is not None else written), scores


def _unended(scores: torch.Tensor, length: int, settings: GenerationConfig) -> torch.Tensor:
    """No caption ends before its shortest length."""
    ends = settings._eos_token_tensor
    return scores.index_fill(1, ends, -torch.inf) if ends is not None and length < settings.min_length else scores


def _of(beams: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """(images, beams, ...) in another order of the beams of each image."""
    return beams.gather(1, order[..., None].expand(-1, -1, beams.shape[2]))


def _padded(written: torch.Tensor, pad: torch.Tensor) -> torch.Tensor:
    """Without the columns that nobody wrote; what else was not written becomes the pad token."""
    written = written[:, : (written >= 0).sum(1).max()]
    return torch.where(written >= 0, written, pad)


__all__ = ["Decoder", "beam_search", "covers", "greedy_search"]
