"""What forward and generate() are asked for is done, or refused by name.

Types of numbers, lengths, states, outputs, vocabularies.
"""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image
from small_captioners import make_model, pixels, save_small
from torch.utils import _pytree as pytree
from transformers import AutoModel, AutoModelForImageTextToText, GenerationConfig, Trainer, TrainingArguments
from transformers.modeling_outputs import BaseModelOutput

from galaxy_vision import GalaxyCaptionerConfig, GalaxyCaptionerForConditionalGeneration
from galaxy_vision.inference.explain import write_caption
from galaxy_vision.models import modeling_galaxy_captioner as modeling
from galaxy_vision.models.modeling_galaxy_captioner import MAX_NEW_TOKENS, STATE

WORDS = torch.tensor([[2, 4, 5, 6], [2, 7, 8, 9]])
HALVES = (torch.bfloat16, torch.float16)


def of_mixin(model, **asked) -> torch.Tensor:
    """What GenerationMixin's own searches write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling, "covers", lambda *args, **kwargs: False)
        return model.generate(**asked)


# ----------------------------------------------------------------------------------------------------- types of numbers


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
@pytest.mark.parametrize("use_attention", [True, False])
def test_every_type_of_numbers_gives_the_scores_of_float32(dtype, use_attention):
    model = make_model(vocab_size=20, sharpness=1.0, use_attention=use_attention)
    labels = torch.tensor([[4, 5, 3, -100], [6, 7, 8, 3]])
    with torch.no_grad():
        known = model(pixel_values=pixels(2), labels=labels)
        found = model.to(dtype)(pixel_values=pixels(2), labels=labels)  # pixels come in float32, as from the processor
    assert found.logits.dtype is dtype
    # bfloat16 has eight bits, and the ResNet adds up in many layers
    tolerance = {torch.bfloat16: 0.2, torch.float16: 0.02, torch.float64: 1e-4}[dtype]
    assert (found.logits.float() - known.logits).abs().max() < tolerance * known.logits.std()
    assert found.loss.item() == pytest.approx(known.loss.item(), rel=tolerance)
    assert torch.allclose(found.cross_attentions[0].sum(-1).float(), torch.ones(2, 4), atol=1e-5)


def test_float64_is_not_shortened_on_the_way():
    model = make_model(vocab_size=20, sharpness=1.0).double()
    with torch.no_grad():
        encoded = model.encoder(pixels(2).double()).last_hidden_state
        nudged = model.encoder(pixels(2).double() + 1e-9).last_hidden_state  # nothing to float32
        scores, others = (
            model(encoder_outputs=BaseModelOutput(states), decoder_input_ids=WORDS).logits
            for states in (encoded, nudged)
        )
    assert 0 < (scores - others).abs().max() < 1e-5
    assert model(pixel_values=pixels(2), labels=WORDS).loss.dtype is torch.float64


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
@pytest.mark.parametrize(
    "asked", [{}, {"num_beams": 3}, {"do_sample": True}, {"num_beams": 2, "num_return_sequences": 2}]
)
def test_captions_are_written_in_every_type_of_numbers(dtype, asked):
    model = make_model(vocab_size=20).to(dtype)
    torch.manual_seed(0)
    found = model.generate(pixel_values=pixels(3), max_new_tokens=8, **asked)
    torch.manual_seed(0)
    assert torch.equal(found, of_mixin(model, pixel_values=pixels(3).to(dtype), max_new_tokens=8, **asked))
    assert len(found) == 3 * asked.get("num_return_sequences", 1)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("asked", [{}, {"num_beams": 3}, {"do_sample": True}])
def test_captions_are_written_under_autocast(dtype, asked):
    model = make_model(vocab_size=20)
    with torch.autocast("cpu", dtype):
        assert len(model.generate(pixel_values=pixels(3), max_new_tokens=8, **asked)) == 3
        assert model(pixel_values=pixels(2), labels=WORDS).loss.isfinite()


def test_training_in_bf16_learns():
    model = make_model(vocab_size=20, sharpness=1.0, drop_rate=0.0).bfloat16()
    model.encoder.backbone.requires_grad_(False)  # whose gradients take a second in bf16
    optimizer, losses = torch.optim.SGD(model.train().parameters(), lr=0.05), []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(pixel_values=pixels(2), labels=WORDS).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
def test_a_model_loads_in_the_type_it_was_saved_in(dtype, tmp_path):
    make_model(vocab_size=20).to(dtype).save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path, trust_remote_code=False)
    assert {weight.dtype for weight in loaded.parameters()} == {dtype}
    assert len(loaded.generate(pixel_values=pixels(1), max_new_tokens=3)) == 1


def test_pixels_that_are_not_such_pixels_are_refused_in_one_sentence():
    model = make_model(vocab_size=20)
    for wrong, reason in (
        (pixels(1)[0], r"shape \[3, 64, 64\] are not \(images, 3, height, width\)"),
        (pixels(1)[:, :1], r"shape \[1, 1, 64, 64\]"),
        (pixels(1).byte(), "uint8 are not normalised"),
    ):
        with pytest.raises(ValueError, match=reason):
            model(pixel_values=wrong, decoder_input_ids=WORDS[:1])
        with pytest.raises(ValueError, match=reason):
            model.generate(pixel_values=wrong)
    with pytest.raises(ValueError, match="words of 2 captions for 3 images"):
        model(pixel_values=pixels(3), decoder_input_ids=WORDS)


# ----------------------------------------------------------------------------------------------------- what is returned


def test_the_state_is_returned_where_it_is_wanted():
    model = make_model(vocab_size=20)
    asked = {"pixel_values": pixels(2), "decoder_input_ids": WORDS}
    assert STATE in model(**asked) and STATE not in model(**asked, use_cache=False)
    model.config.use_cache = False
    assert STATE not in model(**asked) and STATE in model(**asked, use_cache=True)
    model.config.use_cache = True
    read, known = [], model.generate(pixel_values=pixels(2), max_new_tokens=6)
    model.decoder.register_forward_hook(lambda module, inputs, output: read.append(inputs[0].shape[1]))
    assert torch.equal(model.generate(pixel_values=pixels(2), max_new_tokens=6, use_cache=False), known)
    assert read == list(range(1, known.shape[1]))  # all words again for each
    beams = model.generate(pixel_values=pixels(2), max_new_tokens=6, num_beams=3)
    assert torch.equal(model.generate(pixel_values=pixels(2), max_new_tokens=6, num_beams=3, use_cache=False), beams)


def test_a_tuple_is_returned_where_it_is_wanted_also_by_the_configuration():
    model = make_model(vocab_size=20)
    asked = {"pixel_values": pixels(2), "decoder_input_ids": WORDS, "use_cache": False}
    known = model(**asked)
    found = model(**asked, return_dict=False)
    assert isinstance(found, tuple) and torch.equal(found[0], known.logits)
    model.config.return_dict = False
    assert isinstance(model(**asked), tuple) and not isinstance(model(**asked, return_dict=True), tuple)


def test_hidden_states_are_those_of_the_resnet_and_of_the_lstm():
    model = make_model(vocab_size=20)
    asked = {"pixel_values": pixels(2), "decoder_input_ids": WORDS}
    plain, found = model(**asked), model(**asked, output_hidden_states=True)
    assert plain.encoder_hidden_states is None and plain.decoder_hidden_states is None
    assert torch.equal(plain.logits, found.logits)
    sizes = [states.shape[-1] for states in found.encoder_hidden_states[:-1]]
    assert sizes == [32, 16, 8, 4, 2]  # stem and four stages of 64 px
    assert torch.equal(found.encoder_hidden_states[-1], found.encoder_last_hidden_state)
    embedded, hidden = found.decoder_hidden_states
    assert torch.equal(embedded, model.decoder.embedding(WORDS)) and hidden.shape == (2, 4, 32)
    assert torch.equal(getattr(found, STATE).hidden, hidden[:, -1])
    written = model.generate(
        pixel_values=pixels(2),
        max_new_tokens=3,
        min_new_tokens=3,
        output_hidden_states=True,
        return_dict_in_generate=True,
    )
    assert len(written.decoder_hidden_states) == 3 and len(written.encoder_hidden_states) == 6
    assert model(**asked, output_attentions=False).cross_attentions is None
    model.config.output_hidden_states = True
    assert model(**asked).decoder_hidden_states is not None


def test_features_of_an_image_come_by_the_standard_way(tmp_path):
    model = make_model(vocab_size=20)
    model.save_pretrained(tmp_path)
    features = AutoModel.from_pretrained(tmp_path, trust_remote_code=False).eval()
    with torch.no_grad():
        found, known = features(pixel_values=pixels(2)), model.encoder(pixels(2)).last_hidden_state
    assert torch.equal(found.last_hidden_state, known) and torch.equal(found.pooler_output, known[:, 0])
    assert len(features(pixel_values=pixels(2), output_hidden_states=True).hidden_states) == 6


def test_unknown_keywords_are_refused_by_name():
    model = make_model(vocab_size=20)
    for wrong in ("label", "input_ids", "output_hiden_states"):
        with pytest.raises(TypeError, match=wrong):
            model(pixel_values=pixels(2), decoder_input_ids=WORDS, **{wrong: True})
        with pytest.raises((ValueError, TypeError), match=wrong if wrong != "input_ids" else "bool"):
            model.generate(pixel_values=pixels(2), **{wrong: True})


def test_generate_hands_the_keywords_of_forward_on():
    model, read = make_model(vocab_size=20), []
    forward = type(model).forward

    def spy(self, **kwargs):
        read.append(kwargs)
        return forward(self, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        spy.__signature__ = inspect.signature(forward)
        patch.setattr(type(model), "forward", spy)
        model.generate(
            pixel_values=pixels(2),
            max_new_tokens=2,
            output_hidden_states=True,
            use_cache=False,
            return_dict_in_generate=True,
        )
    assert all(keywords["output_hidden_states"] and keywords["use_cache"] is False for keywords in read)
    kept = model.prepare_inputs_for_generation(WORDS, output_attentions=True, labels=WORDS, pixel_values=None)
    assert set(kept) == {"output_attentions", "decoder_input_ids"}


# -------------------------------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_length_that_the_caller_gives_is_obeyed(num_beams):
    model = make_model(vocab_size=20)
    model.generation_config.suppress_tokens = [3]  # it never ends by itself
    for settings in ({"max_length": 4}, {"generation_config": GenerationConfig(max_length=4)}):
        assert model.generate(pixel_values=pixels(2), num_beams=num_beams, **settings).shape == (2, 4)
    both = model.generate(pixel_values=pixels(2), num_beams=num_beams, max_length=4, max_new_tokens=7)
    assert both.shape == (2, 8)  # as in transformers
    assert model.generate(pixel_values=pixels(2), num_beams=num_beams).shape == (2, 1 + MAX_NEW_TOKENS)
    model.generation_config.suppress_tokens = None
    model.generation_config.min_new_tokens = 9
    with torch.no_grad():
        model.words.weight[3] = 10 * model.words.weight.sum(0).sign()  # it would end
    assert model.generate(pixel_values=pixels(2), num_beams=num_beams, min_length=3).shape[1] < 10


@pytest.mark.parametrize(
    "asked",
    [
        {"max_length": 5},
        {"max_length": 7, "min_length": 6},
        {"generation_config": GenerationConfig(max_length=6, num_beams=2, min_length=4)},
        {"max_length": 5, "num_beams": 3, "use_cache": False},
        {"max_new_tokens": 5, "eos_token_id": None},
        {"max_new_tokens": 5, "eos_token_id": [3, 4, 5], "num_beams": 3},
        {"max_new_tokens": 5, "pad_token_id": None, "eos_token_id": 4},
        {"max_new_tokens": 5, "num_beams": 2, "output_hidden_states": True},
    ],
    ids=str,
)
def test_our_searches_obey_as_those_of_generation_mixin_do(asked):
    for seed in range(4):
        model = make_model(seed, vocab_size=12)
        found = model.generate(pixel_values=pixels(3), **asked)
        assert torch.equal(found, of_mixin(model, pixel_values=pixels(3), **asked)), seed


def test_generate_without_an_image_is_one_sentence():
    model = make_model(vocab_size=20)
    for asked in ({}, {"decoder_input_ids": WORDS}, {"labels": WORDS}, {"pixel_values": None}):
        with pytest.raises(ValueError, match="generate.. was given no image; give pixel_values"):
            model.generate(**asked)
    assert torch.equal(model.generate(pixels(2)), model.generate(pixel_values=pixels(2)))


# ----------------------------------------------------------------------------------------------------- end of a caption


def test_a_caption_may_end_with_several_words_or_with_none(tmp_path):
    several, none = make_model(vocab_size=12, eos_token_id=[3, 5]), make_model(vocab_size=12, eos_token_id=None)
    assert none.generate(pixel_values=pixels(2), max_new_tokens=9).shape == (2, 10)
    for num_beams in (1, 3):
        written = several.generate(pixel_values=pixels(6), max_new_tokens=30, num_beams=num_beams)
        for row in written.tolist():
            ends = [position for position, word in enumerate(row) if word in (3, 5)]
            assert not ends or set(row[ends[0] + 1 :]) <= {1}
    several.save_pretrained(tmp_path)
    loaded = GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.config.eos_token_id == loaded.generation_config.eos_token_id == [3, 5]
    assert torch.equal(loaded.generate(pixel_values=pixels(6), max_new_tokens=30, num_beams=3), written)


def test_the_words_that_are_explained_are_those_before_any_end(tmp_path):
    for ends in ([3, 4, 5], None):
        _, model, processor = save_small(tmp_path, seed=6, eos_token_id=ends)
        image = Image.open(tmp_path / "galaxy.png")
        written = model.generate(**processor(image), max_new_tokens=12)[0, 1:].tolist()
        ended = [position for position, word in enumerate(written) if word in (ends or []) or word == 1]
        _, sequence, _, words = write_caption(model, processor, image, 12)
        assert len(words) == sequence.shape[1] - 1 == (ended[0] if ended else 12)


def test_words_that_are_not_in_the_vocabulary_cannot_be_special_ones():
    for wrong in ({"eos_token_id": 128}, {"eos_token_id": [3, 128]}, {"eos_token_id": []}, {"pad_token_id": -1}):
        with pytest.raises(Exception, match=next(iter(wrong))):
            GalaxyCaptionerConfig(**wrong)
    model = make_model(vocab_size=12, pad_token_id=None, decoder_start_token_id=None)
    assert model(pixel_values=pixels(2), labels=torch.tensor([[4, 3, -100], [5, 6, 3]])).loss.isfinite()
    with pytest.raises(ValueError, match="decoder_start_token_id of the configuration is None"):
        make_model(vocab_size=12, bos_token_id=None, decoder_start_token_id=None)(pixel_values=pixels(2), labels=WORDS)


# ----------------------------------------------------------------------------------------------------------- vocabulary


@pytest.mark.parametrize("tied", [True, False])
def test_a_resized_vocabulary_writes_the_old_words_and_is_saved(tied, tmp_path):
    model = make_model(vocab_size=20, tie_word_embeddings=tied)
    known = model.generate(pixel_values=pixels(3), max_new_tokens=8)
    model.resize_token_embeddings(26)
    assert model.config.vocab_size == 26 and model.words.out_features == model.decoder.embedding.num_embeddings == 26
    assert (model.words.weight is model.decoder.embedding.weight) == tied
    assert model.generate(pixel_values=pixels(2), num_beams=3).max() < 26
    model.save_pretrained(tmp_path)
    loaded = GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(loaded.get_output_embeddings().weight, model.words.weight)
    loaded.resize_token_embeddings(20)
    assert torch.equal(loaded.generate(pixel_values=pixels(3), max_new_tokens=8), known)


def test_replaced_embeddings_are_used_by_our_searches_as_by_generation_mixin():
    for seed in range(4):
        model = make_model(seed, vocab_size=20)
        scores = torch.nn.Linear(16, 20)  # with a bias
        model.set_output_embeddings(scores)
        model.set_input_embeddings(torch.nn.Embedding(20, 16, max_norm=0.5))
        assert model.get_output_embeddings() is scores
        for num_beams in (1, 3):
            asked = {"pixel_values": pixels(3), "max_new_tokens": 8, "num_beams": num_beams}
            assert torch.equal(model.generate(**asked), of_mixin(model, **asked))


# --------------------------------------------------------------------------------------------------------------- states


def test_one_step_of_the_decoder_exports_and_fits_every_word():
    model = make_model(vocab_size=20)

    def one_word(word, state):
        output = model(decoder_input_ids=word, **{STATE: state})
        return output.logits, output[STATE]

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, word, state):
            return one_word(word, state)

    with torch.no_grad():
        known = model(pixel_values=pixels(2), decoder_input_ids=WORDS).logits
        state = model.decoder.start(model.encoder(pixels(2)).last_hidden_state)
        leaves, tree = pytree.tree_flatten(state)
        assert len(leaves) == 5 and type(pytree.tree_unflatten(leaves, tree)) is type(state)
        exported = torch.export.export(Step(), (WORDS[:, :1], state)).module()
        state = model.decoder.start(model.encoder(pixels(2)).last_hidden_state)
        for step in range(4):
            scores, state = exported(WORDS[:, step : step + 1], state)
            assert torch.allclose(scores[:, 0], known[:, step], atol=1e-5)
    assert state.get_seq_length() == 4


def test_padding_that_is_masked_is_not_read():
    model = make_model(vocab_size=20)
    padded, mask = torch.tensor([[1, 1, 2, 4, 5, 6], [2, 7, 8, 9, 10, 11]]), torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    with torch.no_grad():
        found = model(pixel_values=pixels(2), decoder_input_ids=padded, decoder_attention_mask=mask).logits
        known = model(pixel_values=pixels(2)[:1], decoder_input_ids=padded[:1, 2:]).logits
    assert torch.allclose(found[:1, 2:], known, atol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_beginnings_of_captions_are_gone_on_from_whichever_side_they_are_padded_on(num_beams):
    model, asked = make_model(vocab_size=20), {"max_new_tokens": 6, "num_beams": num_beams}
    beginnings = [[2, 4], [2, 5, 6, 7], [2]]
    alone = [
        model.generate(pixel_values=pixels(3)[row : row + 1], decoder_input_ids=torch.tensor([words]), **asked)[
            0
        ].tolist()
        for row, words in enumerate(beginnings)
    ]
    for words, caption in zip(beginnings, alone, strict=True):
        assert caption[: len(words)] == words
    right = torch.tensor([words + [1] * (5 - len(words)) for words in beginnings])  # wider than the longest
    left = torch.tensor([[1] * (4 - len(words)) + words for words in beginnings])
    for given in (
        {"decoder_input_ids": right},
        {"decoder_input_ids": left},
        {"decoder_input_ids": right.masked_fill(right == 1, 0), "decoder_attention_mask": right != 1},
        {"decoder_input_ids": right[:, 1:], "decoder_attention_mask": (right != 1)[:, 1:]},  # the start token is added
    ):
        found = model.generate(pixel_values=pixels(3), **given, **asked).tolist()
        for row, caption in enumerate(alone):
            assert [word for word in found[row] if word > 1] == [word for word in caption if word > 1]


# ------------------------------------------------------------------------------------------------------------- training


def test_the_loss_of_accumulated_batches_is_that_of_one_large_batch():
    model, image = make_model(vocab_size=20), pixels(3)
    labels = torch.tensor([[4, 3, -100, -100], [5, 6, 7, 3], [8, 3, -100, -100]])
    with torch.no_grad():
        known = model(pixel_values=image, labels=labels).loss
        parts = [
            model(pixel_values=image[rows], labels=labels[rows], num_items_in_batch=torch.tensor(8)).loss
            for rows in (slice(0, 2), slice(2, 3))
        ]
    assert sum(parts).item() == pytest.approx(known.item(), rel=1e-5)


def test_trainer_learns_the_same_from_batches_that_it_accumulates(tmp_path):
    labels = torch.tensor([[4, 3, -100, -100], [5, 6, 7, 3], [8, 3, -100, -100], [3, -100, -100, -100]])
    rows = [{"pixel_values": image, "labels": words} for image, words in zip(pixels(4), labels, strict=True)]
    learned = []
    for size in (1, 4):
        model = make_model(vocab_size=20, drop_rate=0.0)
        model.encoder.backbone.requires_grad_(False)  # its statistics are otherwise those of a batch
        settings = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 4 // size, "max_steps": 1}
        settings |= {"learning_rate": 1.0, "optim": "sgd", "max_grad_norm": 0.0, "report_to": [], "use_cpu": True}
        Trainer(model, TrainingArguments(str(tmp_path), **settings), train_dataset=rows).train()
        learned.append(model.words.weight)
    assert torch.allclose(*learned, atol=1e-5)
    assert not torch.allclose(learned[0], make_model(vocab_size=20).words.weight, atol=1e-2)


def test_trainer_trains_it_and_its_metrics_see_the_scores_of_words(tmp_path):
    model, seen = make_model(vocab_size=20), []
    rows = [{"pixel_values": pixels(4)[row], "labels": torch.tensor([4 + row, 5, 3])} for row in range(4)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=2,
        report_to=[],
        use_cpu=True,
    )

    def metrics(outcome):
        seen.append(np.asarray(outcome.predictions).shape)
        return {}

    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, compute_metrics=metrics)
    trainer.train()
    trainer.evaluate()
    assert seen == [(4, 3, 20)]
    assert GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path / "checkpoint-2").config.vocab_size == 20
