"""Both pipelines of the captioner.

Every image gets its own captions, from whatever an image is, with the settings that were asked for.
"""

import http.server
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from small_captioners import save_small
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from galaxy_vision.images.decode import read_rgb


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder, model, processor = save_small(tmp_path_factory.mktemp("captioner"), seed=6)
    Image.fromarray(np.random.default_rng(1).integers(0, 60, (100, 120, 3), dtype=np.uint8)).save(folder / "other.png")
    deep = np.random.default_rng(2).integers(900, 1100, (80, 80)).astype(np.uint16)
    deep[30:50, 30:50] += 30000
    Image.fromarray(deep).save(folder / "deep.png")
    return folder, model, processor


@pytest.fixture(scope="module")
def captions(saved):
    return pipeline("galaxy-captioning", str(saved[0]), trust_remote_code=False)


@pytest.fixture(scope="module")
def standard(saved):
    return pipeline("image-text-to-text", str(saved[0]), trust_remote_code=False)


@pytest.fixture(scope="module")
def images(saved):
    return [str(saved[0] / name) for name in ("galaxy.png", "other.png", "deep.png")]


@pytest.mark.parametrize(
    "asked",
    [
        {"num_beams": 3, "num_return_sequences": 2},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 2, "return_dict_in_generate": True, "output_scores": True},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_every_image_of_a_batch_gets_its_own_captions(saved, captions, images, asked, batch_size):
    _, model, processor = saved
    alone = [model.generate(**processor(read_rgb(image)), **asked) for image in images]
    alone = [output if isinstance(output, torch.Tensor) else output["sequences"] for output in alone]
    known = [[{"generated_text": text} for text in processor.batch_decode(output)] for output in alone]
    assert all(len(output) == asked.get("num_return_sequences", 1) for output in known)
    assert captions(images, batch_size=batch_size, **asked) == known
    assert captions(tuple(images), batch_size=batch_size, generate_kwargs=asked) == known
    assert [captions(image, **asked) for image in images] == known
    rows = KeyDataset([{"image": image} for image in images], "image")
    assert list(captions(rows, batch_size=batch_size, **asked)) == known
    assert list(captions((image for image in images), batch_size=batch_size, **asked)) == known
    assert captions([]) == []


def test_sampled_captions_of_a_batch_are_as_many_for_each_image(captions, images):
    written = captions(images, batch_size=2, do_sample=True, num_return_sequences=4)
    assert [len(texts) for texts in written] == [4, 4, 4]


def test_settings_are_obeyed_given_directly_in_generate_kwargs_and_when_it_is_made(saved, captions, images):
    short = captions(images[0], max_new_tokens=2)
    assert captions(images[0], generate_kwargs={"max_new_tokens": 2}) == short != captions(images[0])
    assert len(short[0]["generated_text"].split()) <= 2
    made = pipeline("galaxy-captioning", str(saved[0]), trust_remote_code=False, generate_kwargs={"max_new_tokens": 2})
    assert made(images[0]) == short
    assert made(images[0], max_new_tokens=3) == captions(images[0], max_new_tokens=3)
    with pytest.raises(ValueError, match="'num_beams' is given twice"):
        captions(images[0], num_beams=2, generate_kwargs={"num_beams": 3})
    with pytest.raises(ValueError, match="num_beam_s"):
        captions(images[0], num_beam_s=2)


def test_an_image_may_come_in_every_form(saved, captions, images):
    folder = saved[0]
    known = captions(images[0])
    with Image.open(images[0]) as image:
        for form in (image, np.asarray(image), torch.tensor(np.asarray(image)), folder / "galaxy.png"):
            assert captions(form) == known
            assert captions([form, images[1]], batch_size=2) == [known, captions(images[1])]
        assert captions((folder / "galaxy.png").read_bytes()) == known


def test_deep_images_are_stretched_and_not_cut(saved, captions, images):
    _, model, processor = saved
    right = processor.batch_decode(model.generate(**processor(read_rgb(images[2]))))
    flat = processor.batch_decode(model.generate(**processor(Image.new("RGB", (80, 80), (200, 200, 200)))))
    assert captions(images[2]) == [{"generated_text": right[0]}] and right != flat
    assert captions(Image.open(images[2])) == captions(np.asarray(Image.open(images[2]))) == captions(images[2])


def test_what_is_no_image_is_one_sentence(saved, captions):
    (saved[0] / "text.png").write_text("no image")
    for wrong in (str(saved[0] / "none.png"), str(saved[0] / "text.png"), np.zeros(5), 3, b"", {"image": 1}):
        with pytest.raises(ValueError) as error:
            captions(wrong)
        assert "\n" not in str(error.value)


def test_an_address_is_fetched_or_refused(saved, captions, images):
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(saved[0]))

        def log_message(self, *args): ...

    with http.server.HTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert captions(f"{address}/deep.png", timeout=20) == captions(images[2])
        for missing in ("none.png", "config.json"):
            with pytest.raises(ValueError):
                captions(f"{address}/{missing}", timeout=20)
        server.shutdown()
    with pytest.raises(ValueError, match="deep.png cannot be fetched"):
        captions(f"{address}/deep.png", timeout=5)


def test_the_standard_pipeline_says_what_ours_says(saved, captions, standard, images):
    picture = Image.open(images[0])
    known = captions(images[0], max_new_tokens=6)[0]["generated_text"]
    assert standard(picture, text="", max_new_tokens=6)[0]["generated_text"] == known
    several = standard(images=images[:2], text=["", ""], max_new_tokens=6, generate_kwargs={"num_beams": 3})
    beams = [caption[0]["generated_text"] for caption in captions(images[:2], max_new_tokens=6, num_beams=3)]
    assert [caption["generated_text"] for caption in several] == beams
    begun = standard(picture, text="a smooth", max_new_tokens=6)[0]["generated_text"]
    assert begun.startswith("a smooth")
    rows = [{"images": image, "text": text} for image, text in zip(images[:2], ("a smooth", ""), strict=True)]
    together = list(standard((row for row in rows), batch_size=2, max_new_tokens=6))
    assert together[0][0]["generated_text"] == begun and together == [standard(row, max_new_tokens=6) for row in rows]
    chat = [{"role": "user", "content": [{"type": "image", "image": picture}]}]
    assert standard(chat, max_new_tokens=6)[0]["generated_text"][-1] == {"role": "assistant", "content": known}
    chat[0]["content"].append({"type": "text", "text": "Describe this image."})
    assert standard(text=chat, max_new_tokens=6)[0]["generated_text"][-1] == {"role": "assistant", "content": known}


def test_the_standard_pipeline_refuses_questions_in_one_sentence(standard, images):
    picture = Image.open(images[0])
    question = [
        {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "What is it?"}]}
    ]
    for asked, reason in (
        ({"images": picture, "text": "What is it?"}, "takes no question"),
        ({"text": question}, "takes no question"),
        ({"images": images[0]}, "takes no question: give an image with text=''"),  # the path is taken for a text
        ({"images": picture}, "must provide text"),
    ):
        with pytest.raises(ValueError, match=reason):
            standard(**asked)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_both_pipelines_run_in_every_type_of_numbers(saved, images, dtype):
    where = {"model": str(saved[0]), "trust_remote_code": False, "dtype": dtype}
    ours = pipeline("galaxy-captioning", **where)
    assert ours.model.dtype is dtype and len(ours(images, batch_size=2, num_beams=2, max_new_tokens=4)) == 3
    assert pipeline("image-text-to-text", **where)(Image.open(images[0]), text="", max_new_tokens=4)
    features = pipeline("image-feature-extraction", **where)(Image.open(images[0]), pool=True)
    assert len(features[0]) == 32
