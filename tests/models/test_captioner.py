"""The captioner behind generate(): searched sequences against brute force, state, save and load, pipeline."""

import itertools
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image
from small_captioners import CAPTIONS, make_model, pixels, save_small
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer, pipeline
from transformers.modeling_outputs import BaseModelOutput

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
)
from galaxy_vision.inference.explain import write_caption
from galaxy_vision.models.generation_galaxy_captioner import Decoder
from galaxy_vision.models.modeling_galaxy_captioner import MAX_NEW_TOKENS
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer


def next_words(model, pixel_values, sequences) -> torch.Tensor:
    """(N, L + 1, vocabulary) log-probabilities at every place of N sequences of L words, without any cache."""
    ids = torch.tensor([[model.config.decoder_start_token_id, *words] for words in sequences])
    with torch.no_grad():
        features = model.get_encoder()(pixel_values).last_hidden_state.expand(len(ids), -1, -1)
        return model(encoder_outputs=BaseModelOutput(features), decoder_input_ids=ids).logits.log_softmax(-1)


def log_probabilities(model, pixel_values, sequences) -> list[float]:
    """Of sequences of one length: the whole of each is run again."""
    scores = next_words(model, pixel_values, sequences)[:, :-1]
    return scores.gather(-1, torch.tensor(sequences)[..., None]).double().sum((1, 2)).tolist()


def cut(ids, config) -> tuple[int, ...]:
    """Without the start token, up to and with the first eos."""
    words = [int(word) for word in ids][1:]
    return tuple(words[: words.index(config.eos_token_id) + 1] if config.eos_token_id in words else words)


def stateless_beam_search(model, pixel_values, beams: int, longest: int) -> tuple[int, ...]:
    """An independent beam search without state, scored by the mean log-probability of a word as generate() does."""
    alive, done = [((), 0.0)], []
    for _ in range(longest):
        scores = next_words(model, pixel_values, [words for words, _ in alive])[:, -1].tolist()
        grown = [
            ((*words, word), before + score)
            for (words, before), row in zip(alive, scores, strict=True)
            for word, score in enumerate(row)
        ]
        grown = sorted(grown, key=lambda beam: -beam[1])[: 2 * beams]
        # As generate() does: only the best `beams` of the candidates may finish.
        done += [beam for beam in grown[:beams] if beam[0][-1] == model.config.eos_token_id]
        alive = [beam for beam in grown if beam[0][-1] != model.config.eos_token_id][:beams]
    return max(done + alive, key=lambda beam: beam[1] / len(beam[0]))[0]


@pytest.mark.parametrize("seed", range(6))
def test_beam_search_with_enough_beams_finds_the_best_of_all_sequences(seed):
    model, image, longest = make_model(seed, vocab_size=6), pixels(1, seed), 4
    eos = model.config.eos_token_id
    words = [word for word in range(6) if word != eos]
    every = [[(*start, eos) for start in itertools.product(words, repeat=size)] for size in range(longest)]
    every.append(list(itertools.product(words, repeat=longest)))
    scores = [zip(log_probabilities(model, image, some), some, strict=True) for some in every]
    _, best = max((score / len(sequence), sequence) for some in scores for score, sequence in some)
    found = model.generate(pixel_values=image, num_beams=150, max_new_tokens=longest)
    assert cut(found[0], model.config) == best


@pytest.mark.parametrize("seed", range(8))
def test_beam_search_carries_the_state_of_each_beam(seed):
    model, image = make_model(seed, vocab_size=9), pixels(3, seed)
    found = model.generate(pixel_values=image, num_beams=3, max_new_tokens=7)
    for row in range(3):
        assert cut(found[row], model.config) == stateless_beam_search(model, image[row : row + 1], 3, 7)


def test_a_beam_search_that_does_not_reorder_its_state_goes_wrong():
    """The test above has teeth.

    With the reordering switched off, some result differs; in our own search and in GenerationMixin's.
    """
    take = Decoder.take

    def keep_order(self, rows):
        return None if len(rows) == len(self.hidden) else take(self, rows)

    for method, without, asked in (
        ("models.generation_galaxy_captioner.Decoder.take", keep_order, {}),
        (
            "models.modeling_galaxy_captioner.DecoderState.reorder_cache",
            lambda self, beam_idx: self,
            {"return_dict_in_generate": True},
        ),
    ):
        differing = 0
        for seed in range(8):
            model, image = make_model(seed, vocab_size=9), pixels(3, seed)
            known = model.generate(pixel_values=image, num_beams=3, max_new_tokens=7)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(f"galaxy_vision.{method}", without)
                wrong = model.generate(pixel_values=image, num_beams=3, max_new_tokens=7, **asked)
            wrong = wrong["sequences"] if asked else wrong
            differing += known.shape != wrong.shape or not torch.equal(known, wrong)
        assert differing > 0, method


def test_greedy_search_takes_the_best_word_and_reads_each_word_and_image_once():
    model, image = make_model(vocab_size=20), pixels(2)
    ids = torch.full((2, 1), model.config.decoder_start_token_id)
    for _ in range(10):
        with torch.no_grad():
            ids = torch.cat([ids, model(pixel_values=image, decoder_input_ids=ids).logits[:, -1:].argmax(-1)], 1)
    read, looked = [], []
    model.decoder.register_forward_hook(lambda module, inputs, output: read.append(inputs[0].shape[1]))
    model.encoder.register_forward_hook(lambda *call: looked.append(1))
    found = model.generate(pixel_values=image, max_new_tokens=10)
    for row in range(2):
        assert cut(found[row], model.config) == cut(ids[row], model.config)
    assert set(read) == {1} and looked == [1]


def test_sampling_gives_several_captions_and_repeats_with_its_seed():
    model, image = make_model(vocab_size=30, sharpness=1.0), pixels(2)
    torch.manual_seed(5)
    first = model.generate(pixel_values=image, do_sample=True, num_return_sequences=3, max_new_tokens=8)
    torch.manual_seed(5)
    again = model.generate(pixel_values=image, do_sample=True, num_return_sequences=3, max_new_tokens=8)
    assert first.shape[0] == 6 and torch.equal(first, again)
    assert len({tuple(row.tolist()) for row in first[:3]}) > 1


@pytest.mark.parametrize("num_beams", [1, 4])
def test_a_batch_says_what_each_image_says_alone(num_beams):
    model, image = make_model(vocab_size=20), pixels(5)
    together = model.generate(pixel_values=image, num_beams=num_beams, max_new_tokens=12)
    for row in range(5):
        alone = model.generate(pixel_values=image[row : row + 1], num_beams=num_beams, max_new_tokens=12)
        assert cut(together[row], model.config) == cut(alone[0], model.config)


@pytest.mark.parametrize("stage, places", [(2, 64), (3, 16), (4, 4)])
def test_attention_of_every_word_is_a_distribution_over_the_grid(stage, places):
    model, image = make_model(vocab_size=20, attention_stage=stage), pixels(2)
    assert model.config.grid_size**2 == places
    found = model.generate(
        pixel_values=image, max_new_tokens=6, min_new_tokens=6, return_dict_in_generate=True, output_attentions=True
    )
    steps = torch.cat([step[0] for step in found.cross_attentions], 1)
    assert steps.shape == (2, 6, places)
    assert torch.allclose(steps.sum(-1), torch.ones(2, 6), atol=1e-5)
    with torch.no_grad():
        again = model(pixel_values=image, decoder_input_ids=found.sequences[:, :-1]).cross_attentions[0]
    assert torch.allclose(steps, again, atol=1e-5)


def test_the_loss_ignores_padding_and_learns():
    torch.manual_seed(0)
    model = GalaxyCaptionerForConditionalGeneration(
        GalaxyCaptionerConfig(backbone="test_resnet", vocab_size=10, drop_rate=0.0)
    ).train()
    labels = torch.tensor([[4, 5, 3, -100], [6, 7, 8, 3]])
    image = pixels(2)
    loss = model.eval()(pixel_values=image, labels=labels).loss
    padded = torch.cat([labels, torch.full((2, 3), -100)], 1)
    assert torch.allclose(model(pixel_values=image, labels=padded).loss, loss)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(pixel_values=image, labels=labels).loss.backward()
        optimizer.step()
    found = model.eval().generate(pixel_values=image, max_new_tokens=6)
    assert [cut(row, model.config) for row in found] == [(4, 5, 3), (6, 7, 8, 3)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("captioner"))


def test_auto_classes_and_the_pipeline_load_what_was_saved(saved):
    folder, model, processor = saved
    loaded = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert isinstance(AutoProcessor.from_pretrained(folder, trust_remote_code=False), GalaxyCaptionerProcessor)
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == processor.tokenizer.get_vocab()
    captions = pipeline("galaxy-captioning", model=str(folder), trust_remote_code=False)(
        str(folder / "galaxy.png"), max_new_tokens=9
    )
    ready = processor(Image.open(folder / "galaxy.png"))
    known = processor.batch_decode(model.generate(**ready, max_new_tokens=9))
    assert captions == [{"generated_text": known[0]}]


def test_the_longest_caption_is_that_of_the_model_wherever_it_writes(saved, tmp_path):
    folder, model, processor = saved
    endless = GalaxyCaptionerForConditionalGeneration.from_pretrained(folder).eval()
    endless.generation_config.suppress_tokens = [0, 1, 2, 3]  # it never ends by itself
    image = Image.open(folder / "galaxy.png")
    assert endless.generate(**processor(image)).shape[1] == 1 + MAX_NEW_TOKENS
    endless.generation_config.max_new_tokens = 5
    endless.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path, trust_remote_code=False)
    assert len(write_caption(again, processor, image, None)[-1]) == 5
    assert len(write_caption(again, processor, image, 3)[-1]) == 3
    captions = pipeline("galaxy-captioning", model=str(tmp_path), trust_remote_code=False)(str(folder / "galaxy.png"))
    assert captions == [{"generated_text": processor.batch_decode(again.generate(**processor(image)))[0]}]
    assert again.generate(**processor(image)).shape[1] == 1 + 5


def test_a_saved_folder_writes_captions_where_the_package_is_not_installed(saved, tmp_path):
    folder, model, processor = saved
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'galaxy_vision': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor\n"
        "from PIL import Image\n"
        f"m = AutoModelForImageTextToText.from_pretrained({str(folder)!r}, trust_remote_code=True).eval()\n"
        f"p = AutoProcessor.from_pretrained({str(folder)!r}, trust_remote_code=True)\n"
        f"ready = p(Image.open({str(folder / 'galaxy.png')!r}))\n"
        f"e = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True).eval()\n"
        "assert (e(**ready).last_hidden_state == m.encoder(**ready).last_hidden_state).all()\n"
        "print(p.batch_decode(m.generate(**ready, max_new_tokens=9, num_beams=2))[0])\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ready = processor(Image.open(folder / "galaxy.png"))
    assert (
        done.stdout.rstrip("\n").splitlines()[-1]
        == processor.batch_decode(model.generate(**ready, max_new_tokens=9, num_beams=2))[0]
    )


def test_captions_survive_the_tokenizer_and_unknown_words_are_marked():
    tokenizer = build_tokenizer(CAPTIONS)
    for caption in CAPTIONS:
        ids = tokenizer(caption)["input_ids"]
        assert ids[-1] == tokenizer.eos_token_id and tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == caption
    assert tokenizer.unk_token_id in tokenizer("a purple galaxy")["input_ids"]
    assert tokenizer("A Smooth, Round GALAXY")["input_ids"] == tokenizer(CAPTIONS[0])["input_ids"]


def test_the_processor_prepares_labels_and_refuses_nothing_at_all(saved):
    processor = saved[2]
    labels = processor(text_target=CAPTIONS)["labels"]
    assert (labels[0] == -100).sum() > 0 and (labels[1] != -100).all()
    with pytest.raises(ValueError, match="neither images nor text"):
        processor()


def test_tied_embeddings_are_one_tensor_after_loading_too(tmp_path):
    model = make_model(vocab_size=12, tie_word_embeddings=True)
    assert model.words.weight is model.decoder.embedding.weight
    model.save_pretrained(tmp_path)
    loaded = GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.words.weight is loaded.decoder.embedding.weight
    assert torch.equal(loaded.words.weight, model.words.weight)


def test_bad_configurations_and_calls_are_refused():
    with pytest.raises(Exception, match="attention_stage=5 is not one of"):
        GalaxyCaptionerConfig(attention_stage=5)
    with pytest.raises(ValueError, match="is not a timm ResNet"):
        make_model(backbone="vit_base_patch16_224")
    with pytest.raises(ValueError, match="neither pixel_values nor encoder_outputs"):
        make_model(vocab_size=9)()


def test_without_attention_every_word_sees_the_mean_of_the_places_and_beams_still_work(tmp_path):
    model, image = make_model(vocab_size=9, use_attention=False), pixels(2)
    with torch.no_grad():
        looked = model(pixel_values=image, decoder_input_ids=torch.tensor([[2, 4, 5], [2, 6, 7]])).cross_attentions[0]
    assert torch.allclose(looked, torch.full_like(looked, 1 / 16))
    found = model.generate(pixel_values=image, num_beams=3, max_new_tokens=7)
    assert cut(found[1], model.config) == stateless_beam_search(model, image[1:], 3, 7)
    model.save_pretrained(tmp_path)
    loaded = GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(loaded.generate(pixel_values=image, num_beams=3, max_new_tokens=7), found)
