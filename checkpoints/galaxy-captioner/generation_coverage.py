"""Which calls of ``generate()`` the searches of generation_galaxy_captioner.py can do, and which are left to others."""

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.generation.logits_process import MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor
from transformers.generation.stopping_criteria import EosTokenCriteria, MaxLengthCriteria

from .generation_galaxy_captioner import candidates_of, end_tokens

COVERED = {
    *("num_beams", "num_return_sequences", "early_stopping", "length_penalty"),
    *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
    *("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "transformers_version"),
}
"""Settings of a generation that our searches follow; all others must have their defaults."""

OF_THE_ENCODER = ("encoder_outputs", "use_cache", "votes", "campaign")


def covers(model: nn.Module, input_ids, logits_processor, stopping_criteria, generation_config, **others) -> bool:
    """Return whether our searches do all that is asked; if not, GenerationMixin searches.

    Args:
        model: the captioner. Its decoder must be a plain ``GalaxyDecoder`` in fp32, in evaluation mode, without hooks,
            adapters or quantised layers.
        input_ids: (rows, T) words so far; T must be 1.
        logits_processor: processors of scores; only those of a minimum length are covered.
        stopping_criteria: only eos and a maximum length are covered.
        generation_config: complete, as GenerationMixin gives it to its own searches.
        others: the other arguments of these searches; what the encoder took of them does not matter any more.
    """
    settings = generation_config
    if not _has_covered_settings(settings):
        return False
    asked = {name: value for name, value in others.items() if name not in OF_THE_ENCODER}
    if any(value is not None and value is not False for value in asked.values()):
        return False
    if not all(_is_minimum_length(processor, settings) for processor in logits_processor):
        return False
    if not _stops_are_covered(stopping_criteria, settings):
        return False
    # With this many continuations of the first word no beam is ever empty, so that all scores stay above NEVER.
    ends = end_tokens(settings)
    continuations = model.words.out_features - (0 if ends is None else len(ends))
    if settings.num_beams > 1 and continuations < candidates_of(settings):
        return False
    return settings.length_penalty >= 0 and input_ids.shape[1] == 1 and _is_plain(model, input_ids.device)


def _has_covered_settings(settings: GenerationConfig) -> bool:
    defaults = default_settings()
    for name, value in vars(settings).items():
        if name in COVERED or name.startswith("_") or value is None:
            continue
        if not isinstance(value, (bool, int, float, str)) or value != defaults.get(name, False):
            return False
    return True


def default_settings() -> dict:
    """Return what GenerationMixin takes for settings that are None; transformers has no public name for it."""
    return GenerationConfig._get_default_generation_params()


def _stops_are_covered(stopping_criteria, settings: GenerationConfig) -> bool:
    """Return whether a caption stops at ``settings.max_length`` and at the end tokens, if there are any."""
    stops = {type(criterion): criterion for criterion in stopping_criteria}
    ends = end_tokens(settings)
    expected = {MaxLengthCriteria} if ends is None else {MaxLengthCriteria, EosTokenCriteria}
    if len(stopping_criteria) != len(expected) or set(stops) != expected:
        return False
    if stops[MaxLengthCriteria].max_length != settings.max_length:
        return False
    return ends is None or torch.equal(stops[EosTokenCriteria].eos_token_id.cpu(), ends)


def _is_plain(model: nn.Module, device: torch.device) -> bool:
    """Return whether :class:`Decoder` computes what the decoder of the model would compute."""
    layers = [model.words, *model.decoder.children()]
    weights = [weight for layer in layers for weight in layer.parameters()]
    return (
        not model.training
        and all(type(layer) in (nn.Linear, nn.Embedding, nn.LSTMCell, nn.Dropout) for layer in layers)
        and model.words.bias is None
        and model.decoder.embedding.max_norm is None
        and not any(is_hooked(module) for module in (model, model.decoder, *layers))
        and all(type(weight) is nn.Parameter for weight in weights)
        and all(weight.dtype is torch.float32 and weight.device == device for weight in weights)
    )


def is_hooked(module: nn.Module) -> bool:
    """Return whether a call of the module runs more than its class; torch has no public way to ask for hooks."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _is_minimum_length(processor, settings: GenerationConfig) -> bool:
    """Return whether a processor forbids the end before ``settings.min_length``, and does nothing else."""
    if type(processor) is MinLengthLogitsProcessor:
        shortest = processor.min_length
    elif type(processor) is MinNewTokensLengthLogitsProcessor:
        shortest = processor.prompt_length_to_skip + processor.min_new_tokens
    else:
        return False
    ends = end_tokens(settings)
    return shortest == settings.min_length and ends is not None and torch.equal(processor.eos_token_id.cpu(), ends)


__all__ = ["covers"]
