"""The processor of the captioner.

Text begins a caption, text_target is what should be written, and every keyword is obeyed or refused.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from small_captioners import CAPTIONS, save_small
from transformers import AutoModelForImageTextToText, AutoProcessor

from galaxy_vision import GalaxyCaptionerProcessor


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("captioner"), seed=6)


@pytest.fixture(scope="module")
def image(saved):
    return Image.open(saved[0] / "galaxy.png")


def chat(*content, role: str = "user") -> dict:
    return {"role": role, "content": list(content)}


def test_text_is_the_beginning_that_generate_goes_on_from(saved, image):
    _, model, processor = saved
    for text in ("a smooth", "A barred spiral", "an edge-on disc galaxy"):
        caption = processor.batch_decode(model.generate(**processor(image, text=text), max_new_tokens=5))[0]
        assert caption.startswith(text.lower()), caption
    whole = model.generate(**processor(image), max_new_tokens=9)
    assert torch.equal(model.generate(**processor(image, text=""), max_new_tokens=9), whole)
    again = model.generate(**processor(image), decoder_input_ids=whole[:, :4], max_length=10)
    assert torch.equal(again, whole)  # its own beginning goes on as before


@pytest.mark.parametrize("num_beams", [1, 3])
def test_beginnings_of_several_lengths_go_on_as_each_alone(saved, image, num_beams):
    _, model, processor = saved
    images, texts = [image, image.rotate(90), image.crop((0, 0, 80, 80))], ["a", "a barred spiral galaxy with", ""]
    asked = {"num_beams": num_beams, "max_new_tokens": 5}
    together = processor.batch_decode(model.generate(**processor(images, text=texts), **asked))
    for index, caption in enumerate(together):
        alone = model.generate(**processor(images[index], text=texts[index]), **asked)
        assert caption == processor.batch_decode(alone)[0]


def test_a_question_is_refused_in_one_sentence(saved, image):
    for text in ("What is this?", "a purple", "a smooth<eos>"):
        with pytest.raises(ValueError, match="is not the beginning of a caption.*takes no question"):
            saved[2](image, text=text)


def test_labels_are_the_captions_with_their_end(saved, image):
    _, model, processor = saved
    ready = processor([image, image], text_target=CAPTIONS[:2])
    assert set(ready) == {"pixel_values", "labels"} and model(**ready).loss.isfinite()
    for row, caption in zip(ready["labels"], CAPTIONS, strict=False):
        words = row[row != -100]
        assert words[-1] == processor.tokenizer.eos_token_id and processor.decode(words) == caption
    processor.tokenizer.padding_side = "left"  # labels stay where their words are read
    try:
        assert torch.equal(processor(text_target=CAPTIONS[:2])["labels"], ready["labels"])
    finally:
        processor.tokenizer.padding_side = "right"


def test_settings_of_images_are_obeyed(saved, image):
    processor = saved[2]
    plain = processor.image_processor(image, return_tensors="pt")["pixel_values"]
    for settings in ({"do_rescale": False}, {"do_normalize": False}, {"crop_fraction": 1.0}, {"image_mean": [1.0] * 3}):
        known = processor.image_processor(image, return_tensors="pt", **settings)["pixel_values"]
        assert not torch.equal(known, plain)
        for given in (settings, {"images_kwargs": settings}):
            assert torch.equal(processor(image, **given)["pixel_values"], known)
    assert torch.equal(processor(image)["pixel_values"], plain)


@pytest.mark.parametrize("name, key", [("text", "decoder_input_ids"), ("text_target", "labels")])
def test_settings_of_text_are_obeyed(saved, name, key):
    processor = saved[2]

    def prepared(**settings):
        return processor(**{name: CAPTIONS[:2]}, **settings)[key]

    assert prepared(truncation=True, max_length=4).shape == (2, 4)
    assert prepared(truncation=True, text_kwargs={"max_length": 4}).shape == (2, 4)
    assert prepared(padding="max_length", max_length=20).shape == (2, 20)
    assert prepared(pad_to_multiple_of=8).shape[1] % 8 == 0
    assert prepared(add_special_tokens=False).shape[1] == prepared().shape[1] - 1
    rows = prepared(padding=False, return_tensors=None)
    assert isinstance(rows, list) and len(rows[0]) != len(rows[1])
    with pytest.raises(ValueError, match="padding"):
        prepared(padding=False)


@pytest.mark.parametrize("kind, type_", [("np", np.ndarray), ("pt", torch.Tensor), (None, list)])
def test_everything_is_returned_in_the_kind_that_was_asked_for(saved, image, kind, type_):
    ready = saved[2](image, text="a smooth", text_target=CAPTIONS[0], return_tensors=kind)
    assert {name: type(value) for name, value in ready.items()} == dict.fromkeys(
        ("pixel_values", "decoder_input_ids", "decoder_attention_mask", "labels"), type_
    )
    again = saved[2](image, text="a smooth", common_kwargs={"return_tensors": kind})
    assert all(isinstance(value, type_) for value in again.values())


def test_other_keywords_are_refused_by_name(saved, image):
    processor = saved[2]
    for wrong in (
        {"paddin": True},
        {"do_rescal": False},
        {"return_overflowing_tokens": True},
        {"padding_side": "right"},
        {"videos": [1]},
        {"text_kwargs": {"max_len": 3}},
        {"images_kwargs": {"max_length": 3}},
        {"common_kwargs": {"return_tensor": "np"}},
    ):
        name = next(iter(wrong))
        name = next(iter(wrong[name])) if name.endswith("_kwargs") else name
        with pytest.raises(TypeError, match=f"takes no '{name}'"):
            processor(image, text="a smooth", **wrong)
    with pytest.raises(TypeError, match="did you mean 'padding'"):
        processor(image, paddin=True)


def test_texts_and_images_must_be_as_many(saved, image):
    for texts in (["a"], ["a", "a", "a"]):
        for name in ("text", "text_target"):
            with pytest.raises(ValueError, match="not as many texts as images"):
                saved[2]([image, image], **{name: texts})
    with pytest.raises(ValueError, match="is not a string or a list of strings"):
        saved[2](image, text=[3])


def test_the_names_of_inputs_are_those_that_are_returned(saved, image):
    processor = saved[2]
    assert processor.model_input_names == list(processor(image, text="a smooth"))


def test_settings_of_the_saved_tokenizer_hold_where_nothing_else_is_said(saved, image, tmp_path):
    _, _, processor = saved
    processor.save_pretrained(tmp_path)
    loaded = GalaxyCaptionerProcessor.from_pretrained(tmp_path, padding="max_length", max_length=15)
    assert loaded(image, text="a smooth")["decoder_input_ids"].shape == (1, 15)


def test_a_chat_of_one_image_is_described_and_a_question_in_it_is_refused(saved, image):
    _, model, processor = saved
    picture = {"type": "image", "image": image}
    asked = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    ready = processor.apply_chat_template([chat(picture)], add_generation_prompt=True, **asked)
    assert torch.equal(ready["pixel_values"], processor(image)["pixel_values"])
    begun = [chat(picture), chat({"type": "text", "text": "a smooth"}, role="assistant")]
    ready = processor.apply_chat_template(begun, continue_final_message=True, **asked)
    assert processor.batch_decode(ready["decoder_input_ids"]) == ["a smooth"]
    assert processor.apply_chat_template(begun, tokenize=True, return_tensors="pt").shape == (1, 3)
    both = processor.apply_chat_template([[chat(picture)], begun], **asked)
    assert len(both["pixel_values"]) == 2 and len(model.generate(**both, max_new_tokens=2)) == 2
    for wrong, reason in (
        ([chat(picture, {"type": "text", "text": "What is it?"})], "takes no question"),
        ([{"role": "system", "content": "Be brief."}, chat(picture)], "takes no question"),
        ([chat()], "has 0 images"),
        ([chat(picture, picture)], "has 2 images"),
    ):
        with pytest.raises(ValueError, match=reason):
            processor.apply_chat_template(wrong, **asked)


def test_the_snippet_of_the_hub_runs_with_a_request_to_describe(saved, image):
    """As the Hub prints it for every model of image-text-to-text, but for its question about an animal."""
    folder, _, ours = saved
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    picture = {"type": "image", "url": str(folder / "galaxy.png")}
    for request in ("Describe this image in one sentence.", "describe it", "Caption this galaxy."):
        messages = [chat(picture, {"type": "text", "text": request})]
        inputs = processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).to(model.device)
        outputs = model.generate(**inputs, max_new_tokens=40)
        written = processor.decode(outputs[0][inputs["input_ids"].shape[-1] :])
        assert written == ours.batch_decode(model.generate(**ours(image), max_new_tokens=40))[0]
