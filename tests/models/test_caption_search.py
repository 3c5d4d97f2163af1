"""Our own searches against those of GenerationMixin.

The same words, the same scores; and what they do not know is left to it.
"""

import functools

import pytest
import torch
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from small_captioners import make_model, pixels
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LogitsProcessorList,
    MaxTimeCriteria,
    StoppingCriteriaList,
)
from transformers.generation.logits_process import LogitsProcessor, MinLengthLogitsProcessor
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutput

from galaxy_vision.models import modeling_galaxy_captioner as modeling
from galaxy_vision.models.generation_galaxy_captioner import Decoder
from galaxy_vision.simulation.render import simulate_galaxy


@functools.cache
def model_of(seed: int, vocab_size: int, use_attention: bool):
    """Its scores of words 3 and 4, which may end a caption, are high in one of three models: captions end early."""
    model = make_model(seed, vocab_size=vocab_size, use_attention=use_attention)
    with torch.no_grad():
        model.decoder.output.bias[0] = 100  # the first feature is 1, whatever is seen
        model.words.weight[:, 0] = 0
        model.words.weight[3:5, 0] = (0, 3, 8)[seed % 3]
    return model


def own(model, encoded, **asked) -> list[tuple]:
    """What our searches return while ``generate()`` runs; the last is what it returned."""
    sequences = []

    def spied(search):
        def spy(*arguments):
            sequences.append(search(*arguments))
            return sequences[-1]

        return spy

    with pytest.MonkeyPatch.context() as patch:
        for name in ("greedy_search", "beam_search"):
            patch.setattr(modeling, name, spied(getattr(modeling, name)))
        sequences.append(model.generate(encoder_outputs=BaseModelOutput(last_hidden_state=encoded), **asked))
    return sequences


def of_mixin(model, encoded, **asked):
    """With scores, which our searches leave to GenerationMixin."""
    outputs = BaseModelOutput(last_hidden_state=encoded)
    return model.generate(encoder_outputs=outputs, return_dict_in_generate=True, output_scores=True, **asked)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 11),
    vocab_size=st.sampled_from([16, 40]),
    use_attention=st.booleans(),
    images=st.integers(1, 9),
    num_beams=st.sampled_from([1, 2, 4, 5]),
    returned=st.integers(1, 5),
    eos_token_id=st.sampled_from([3, [3, 4], None]),
    pad_token_id=st.sampled_from([1, 0]),
    early_stopping=st.sampled_from([False, True, "never"]),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    max_new_tokens=st.integers(1, 12),
    min_new_tokens=st.sampled_from([None, 0, 1, 5]),
)
def test_words_and_scores_are_those_of_generation_mixin(
    seed, vocab_size, use_attention, images, num_beams, returned, **asked
):
    model = model_of(seed, vocab_size, use_attention)
    encoded = torch.randn(images, 17, 32, generator=torch.Generator().manual_seed(seed + images))
    asked["min_new_tokens"] = min(asked["min_new_tokens"] or 0, asked["max_new_tokens"])
    asked = {
        name: value
        for name, value in asked.items()
        if num_beams > 1 or name not in ("early_stopping", "length_penalty")
    }
    asked |= {"num_beams": num_beams, "num_return_sequences": min(returned, num_beams)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.generation_config, "eos_token_id", asked.pop("eos_token_id"))
        (found, *_, sequences), known = own(model, encoded, **asked), of_mixin(model, encoded, **asked)
    assert torch.equal(sequences, known.sequences)
    if num_beams > 1:
        assert sequences is found[0]
        torch.testing.assert_close(found[1], known.sequences_scores, atol=1e-5, rtol=1e-5)
    else:
        assert sequences is found


@pytest.mark.parametrize("num_beams", [1, 2, 4])
def test_captions_of_the_published_weights_are_those_of_generation_mixin(num_beams):
    folder = REPOSITORY / "checkpoints" / "galaxy-captioner"
    model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False).eval()
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    with torch.no_grad():
        encoded = model.encoder(processor([simulate_galaxy(3, index).image for index in range(12)])["pixel_values"])[0]
    written, known = own(model, encoded, num_beams=num_beams), of_mixin(model, encoded, num_beams=num_beams)
    assert len(written) == 2 and torch.equal(written[-1], known.sequences)


@pytest.mark.parametrize("use_attention", [True, False])
@pytest.mark.parametrize("bf16", [False, True])
def test_every_word_is_scored_as_by_the_model_with_autocast_too(use_attention, bf16):
    model, image = make_model(vocab_size=40, sharpness=1.0, use_attention=use_attention), pixels(6)
    ids = torch.randint(0, 40, (6, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        encoded = model.encoder(image).last_hidden_state
        known = model(encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=ids).logits.float()
        decoder = Decoder(model.decoder, model.words, encoded)
        scores = torch.stack([decoder(ids[:, step]) for step in range(9)], 1)
        written = model.generate(pixel_values=image, num_beams=3, max_new_tokens=6)
    assert scores.dtype is torch.float32 and written.shape[0] == 6
    assert (scores - known).abs().max() < (0.05 * known.std() if bf16 else 1e-4)


def test_a_finished_image_is_not_read_on_and_the_first_word_is_scored_once_for_all_beams():
    model, rows = model_of(1, 40, True), []
    encoded = torch.randn(9, 17, 32, generator=torch.Generator().manual_seed(0))
    read = Decoder.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "__call__", lambda self, newest: rows.append(len(newest)) or read(self, newest))
        own(model, encoded, num_beams=4, max_new_tokens=30)
    assert rows[:2] == [9, 36] and rows[-1] < 36 and rows[1:] == sorted(rows[1:], reverse=True)


class Listener(BaseStreamer):
    def put(self, value): ...

    def end(self): ...


class Same(LogitsProcessor):
    def __call__(self, input_ids, scores):
        return scores


@pytest.mark.parametrize(
    "asked",
    [
        {"do_sample": True},
        {"do_sample": True, "num_beams": 3},
        {"return_dict_in_generate": True},
        {"output_attentions": True},
        {"output_logits": True},
        {"repetition_penalty": 1.2},
        {"temperature": 0.5},
        {"no_repeat_ngram_size": 2},
        {"suppress_tokens": [5, 6]},
        {"bad_words_ids": [[5]]},
        {"forced_eos_token_id": 3},
        {"sequence_bias": [[[5], 2.0]]},
        {"exponential_decay_length_penalty": (2, 1.1)},
        {"renormalize_logits": True},
        {"max_time": 60.0},
        {"num_beams": 20},  # more than the words allow
        {"num_beams": 2, "length_penalty": -1.0},
        {"num_beams": 2, "logits_processor": [MinLengthLogitsProcessor(3, 3)]},  # not the one of the settings
        {"streamer": Listener()},
        {"decoder_input_ids": torch.full((2, 2), 2)},
        {"logits_processor": LogitsProcessorList([Same()])},
        {"stopping_criteria": StoppingCriteriaList([MaxTimeCriteria(60.0)])},
        {"prefix_allowed_tokens_fn": lambda image, ids: list(range(20))},
    ],
    ids=lambda asked: ",".join(asked),
)
def test_whatever_else_is_asked_is_left_to_generation_mixin(asked):
    model, encoded = make_model(vocab_size=20), torch.randn(2, 17, 32)
    assert len(own(model, encoded, max_new_tokens=4)) == 2
    assert len(own(model, encoded, max_new_tokens=4, **asked)) == 1


def test_a_setting_that_nobody_has_heard_of_is_left_to_generation_mixin():
    model = make_model(vocab_size=20)
    model.generation_config.unheard_of = 1
    assert len(own(model, torch.randn(2, 17, 32), max_new_tokens=4)) == 1


def test_a_decoder_that_is_not_the_plain_one_is_left_to_generation_mixin():
    encoded = torch.randn(2, 17, 32)

    class Adapted(torch.nn.Linear):
        pass

    def adapt(model):
        model.decoder.query = Adapted(32, 16, bias=False)

    for change in (
        lambda model: model.train(),
        lambda model: model.decoder.gate.register_forward_hook(lambda *call: None),
        lambda model: model.register_forward_pre_hook(lambda *call: None),
        lambda model: setattr(model.decoder, "forward", model.decoder.forward),
        adapt,
    ):
        model = make_model(vocab_size=20)
        assert len(own(model, encoded, max_new_tokens=4, num_beams=2)) == 2
        change(model)
        assert len(own(model, encoded, max_new_tokens=4, num_beams=2)) == 1
