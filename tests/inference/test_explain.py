"""Heat maps: in their place on the image, of what was asked for, and without a trace on the model."""

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.inference.describe import NO_CAPTION, Describer
from galaxy_vision.inference.explain import METHODS, explain, overlay
from galaxy_vision.inference.explain_figure import MARK, explanation_figure, figure_files
from galaxy_vision.inference.explain_targets import target_index, target_name
from galaxy_vision.inference.word_maps import word_maps
from galaxy_vision.models.decision_tree import NUM_ANSWERS, QUESTION_SLICES, answer_index
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer

CLASSES = ["elliptical", "spiral", "merger"]
SIZES = [(212, 212), (300, 180), (90, 131)]


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    return GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="resnet10t", **labels)).eval()


@pytest.fixture(scope="module")
def captioner():
    torch.manual_seed(1)
    tokenizer = build_tokenizer(["a smooth, round galaxy", "a barred spiral galaxy"])
    config = GalaxyCaptionerConfig(backbone="resnet10t", vocab_size=len(tokenizer), hidden_size=32)
    return GalaxyCaptionerForConditionalGeneration(config).eval(), GalaxyCaptionerProcessor(
        GalaxyImageProcessor(), tokenizer
    )


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def seeing_model(classifier):
    """The same model, but its class 1 is the light in a place.

    The first channel of stage 3 is brightness and alone counts.
    """
    model = copy.deepcopy(classifier)

    class Light(torch.nn.Module):
        def forward(self, pixels):
            maps = torch.nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), 8).clamp_min(0)
            return torch.cat([maps, maps.new_zeros(len(maps), 511, *maps.shape[2:])], 1)

    for name in ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer4"):
        setattr(model.backbone, name, torch.nn.Identity())
    model.backbone.layer3 = Light()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.fill_(1.0)
        model.classifier.weight[1, 0] = 1.0
        model.vote_head.weight.zero_()
        model.vote_head.weight[answer_index("a06"), 0] = 1.0
    return model


@pytest.mark.parametrize("method", [name for name in METHODS if name != "scorecam"])
@pytest.mark.parametrize("target", ["spiral", "bar"])
@pytest.mark.parametrize("size", SIZES)
def test_the_map_peaks_on_the_light_that_the_model_sees_wherever_it_is_on_the_image(classifier, method, target, size):
    """Known answer: a model that sees the light in one place, and one bright spot off the centre of any image."""
    width, height = size
    x, y = width // 2 + min(size) // 6, height // 2 - min(size) // 8
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y - 3 : y + 4, x - 3 : x + 4] = 255
    heat = explain(seeing_model(classifier), GalaxyImageProcessor(), Image.fromarray(pixels), target, method, stage=3)
    assert heat.shape == (height, width) and heat.dtype == np.float32
    found = np.unravel_index(heat.argmax(), heat.shape)
    assert np.hypot(found[0] - y, found[1] - x) <= min(size) * 0.6 / 8  # the places are an eighth of the crop wide
    assert 0.5 < heat.max() <= 1 and heat.min() == 0


@pytest.mark.parametrize("method", METHODS)
def test_no_trace_of_an_explanation_is_left_on_the_model(classifier, method):
    model = copy.deepcopy(classifier).train()
    model.classifier.weight.grad = torch.full_like(model.classifier.weight, 3.0)
    before = copy.deepcopy(model.state_dict())
    layers = list(model.modules())
    explain(model, GalaxyImageProcessor(), noise((100, 100)), "spiral", method, stage=1)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert list(model.modules()) == layers and all(module.training for module in layers)
    assert all(weight.requires_grad for weight in model.parameters())
    assert (model.classifier.weight.grad == 3).all() and model.backbone.conv1[0].weight.grad is None
    assert not any(module._forward_hooks or module._backward_hooks or module._forward_pre_hooks for module in layers)


def test_a_failing_explanation_leaves_no_trace_either(classifier, monkeypatch):
    model = copy.deepcopy(classifier)

    def fail(*args, **kwargs):
        raise RuntimeError("in the middle")

    monkeypatch.setattr("pytorch_grad_cam.AblationCAM.assemble_ablation_scores", fail)
    layers = list(model.modules())
    with pytest.raises(RuntimeError, match="in the middle"):
        explain(model, GalaxyImageProcessor(), noise((100, 100)), "spiral", "ablationcam", stage=1)
    assert list(model.modules()) == layers and not any(module._forward_hooks for module in layers)


def test_a_batch_gives_what_each_image_gives_alone(classifier):
    images, targets = [noise(size, seed) for seed, size in enumerate(SIZES)], ["spiral", "a08_spiral", 2]
    together = explain(classifier, GalaxyImageProcessor(), images, targets)
    for image, target, heat in zip(images, targets, together, strict=True):
        alone = explain(classifier, GalaxyImageProcessor(), image, target)
        assert heat.shape == alone.shape and np.allclose(heat, alone, atol=1e-4)
    assert not np.allclose(
        *(explain(classifier, GalaxyImageProcessor(), images[0], name) for name in ("spiral", "merger"))
    )


def test_no_target_is_the_predicted_class_also_under_inference_mode_and_in_bf16(classifier):
    processor, image = GalaxyImageProcessor(), noise((120, 120), 3)
    with torch.inference_mode():
        predicted = int(classifier(**processor(image, return_tensors="pt")).logits.argmax())
        heat = explain(classifier, processor, image)
    assert np.array_equal(heat, explain(classifier, processor, image, predicted))
    half = copy.deepcopy(classifier).to(torch.bfloat16)
    assert explain(half, processor, image, predicted).max() > 0.5
    assert next(half.parameters()).dtype == torch.bfloat16


def test_targets_are_found_by_every_name(classifier):
    config = classifier.config
    bar = config.num_labels + answer_index("a06")
    assert [target_index(config, name) for name in ("bar", "a06", "a06_bar", "t03_bar_a06_bar")] == [bar] * 4
    assert target_index(config, "spiral") == 1 and target_index(config, "a08_spiral") == 3 + answer_index("a08")
    assert target_index(config, "no bar") == bar + 1 and target_index(config, 2) == 2
    names = [target_name(config, index) for index in range(config.num_labels + NUM_ANSWERS)]
    assert names[:3] == CLASSES and names[bar] == "bar" and "edgeon: yes" in names
    for target, message in (
        ("yes", "a04_yes, a14_yes"),
        ("tomato", "neither a class nor an answer"),
        (3, "outside the 3 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            target_index(config, target)
    voteless = GalaxyResNetConfig(predict_votes=False)
    with pytest.raises(ValueError, match="trained without votes"):
        target_index(voteless, "bar")


def test_wrong_calls_name_what_is_allowed(classifier):
    image = noise((64, 64))
    for wrong, message in (
        ({"method": "magic"}, "method='magic' is not one of gradcam"),
        ({"stage": 5}, "stage=5"),
        ({"target": ["spiral", "merger"]}, "2 targets were given for 1 images"),
    ):
        with pytest.raises(ValueError, match=message):
            explain(classifier, GalaxyImageProcessor(), image, **wrong)
    with pytest.raises(ValueError, match="one of the image's size"):
        overlay(image, np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="opacity=2"):
        overlay(image, np.zeros((64, 64), np.float32), 2)


def test_an_overlay_shows_the_image_where_it_is_cold_and_the_colour_where_it_is_hot():
    image, heat = noise((40, 30)), np.zeros((30, 40), np.float32)
    heat[5, 7] = 1.0
    drawn = np.asarray(overlay(image, heat, 1.0))
    assert (drawn != np.asarray(image)).any(-1).sum() == 1
    assert drawn[5, 7].tolist() == [240, 249, 33]  # the upper end of plasma (matplotlib)


def test_probabilities_of_answers_and_their_log_odds_agree(classifier):
    """What Ablation-CAM explains and what the others explain rank the answers of a question alike."""
    from galaxy_vision.inference.explain import _Scores

    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        odds, share = (_Scores(classifier, flag)(pixels)[:, 3:] for flag in (False, True))
    assert torch.allclose(odds.sigmoid(), share, atol=1e-5)
    for places in QUESTION_SLICES.values():
        assert torch.allclose(share[:, places].sum(1), torch.ones(2), atol=1e-5)


def captioner_that_says(captioner, *words: str):
    """The same captioner, allowed to write these words only; without any it ends at once."""
    model, processor = copy.deepcopy(captioner[0]), captioner[1]
    allowed = set(processor.tokenizer.convert_tokens_to_ids(list(words) or ["<eos>"]))
    model.generation_config.suppress_tokens = sorted(set(range(model.config.vocab_size)) - allowed)
    model.generation_config.max_new_tokens = 4
    return model, processor


@pytest.mark.parametrize("words", [(), ("<unk>",), (",",), ("<unk>", ","), ("<bos>",)])
def test_a_caption_without_words_is_drawn_and_every_image_keeps_its_figure(classifier, captioner, words):
    describer = Describer.__new__(Describer)
    describer.rotations, describer.classifier, describer.image_processor = 1, classifier, GalaxyImageProcessor()
    describer.captioner, describer.processor = captioner_that_says(captioner, *words)
    image = noise((90, 70))
    explained = word_maps(describer, image)
    assert explained.caption == describer(image)["caption"]
    assert explained.maps.shape == (len(explained.words), 70, 90)
    assert bool(words) == bool(explained.words) and set(explained.words) <= set(words)
    figure = explanation_figure(describer, image)
    figure.savefig(io.BytesIO(), dpi=40, format="png")
    drawn = figure.subfigs[1].get_suptitle()
    assert drawn == (NO_CAPTION if not explained.caption.strip() else f"“{explained.caption}”")


def test_whatever_stands_for_a_whole_number_or_a_name_is_a_target_and_nothing_else_is(classifier):
    config, image, processor = classifier.config, noise((60, 60)), GalaxyImageProcessor()
    merger = explain(classifier, processor, image, 2)
    for number in (
        np.int64(2),
        np.uint8(2),
        np.array(2),
        torch.tensor(2),
        torch.tensor([2]),
        np.array([2]),
        [np.int32(2)],
    ):
        assert np.array_equal(explain(classifier, processor, image, number), merger)
    for name in ("merger", "MERGER", " Merger ", np.str_("merger"), np.array("merger"), ["Merger"]):
        assert np.array_equal(explain(classifier, processor, image, name), merger)
    several = explain(classifier, processor, [image, image], torch.tensor([2, 1]))
    assert np.array_equal(several[1], explain(classifier, processor, [image, image], ["Merger", "Spiral"])[1])
    for wrong in (
        True,
        np.bool_(False),
        torch.tensor(True),
        2.0,
        np.float32(2),
        b"merger",
        None,
        ["merger"],
        torch.tensor([2]),
    ):
        with pytest.raises(ValueError, match="use a class by name or whole number"):
            target_index(config, wrong)
    for outside in (-1, 3, np.int64(3), torch.tensor(-1)):
        with pytest.raises(ValueError, match="outside the 3 classes"):
            target_index(config, outside)


def test_a_class_is_the_same_in_capitals_and_an_answer_of_its_name_needs_its_number(classifier):
    config = classifier.config
    assert [target_index(config, name) for name in ("spiral", "Spiral", "SPIRAL", "spiral ")] == [1] * 4
    assert target_index(config, "A08_Spiral") == target_index(config, "A08") == 3 + answer_index("a08")
    assert target_index(config, "No Bar") == target_index(config, "no-bar") == 3 + answer_index("a07")


def test_a_name_with_several_meanings_is_refused_with_all_of_them():
    def config(*names: str, **settings):
        return GalaxyResNetConfig(
            id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}, **settings
        )

    cases = (
        (("Sa", "SA", "E"), "sa", r"0 \(the class 'Sa'\), 1 \(the class 'SA'\)"),
        (("S b", "S-b", "S_b"), "s b", r"0 \(the class 'S b'\), 1 .*2 \(the class 'S_b'\)"),
        (("a06_bar", "E"), "a06_bar", r"0 \(the class 'a06_bar'\), a06_bar"),
        (("A06", "E"), "a06_Bar", None),
        (("A06", "E"), "a06 ", r"0 \(the class 'A06'\), a06_bar"),
        (("a", "b", "c"), "2", "a class by its number or the answer a32_2"),
        (("a", "b", "c"), "Yes", "a04_yes, a14_yes"),
    )
    for names, target, message in cases:
        if message is None:
            assert target_index(config(*names), target) == 2 + answer_index("a06")
            continue
        with pytest.raises(ValueError, match=message):
            target_index(config(*names), target)
    assert target_index(config("Sa", "SA", "E"), "SA") == 1 and target_index(config("S b", "S_b"), "S_b") == 1
    assert (
        target_index(config("2", "1"), "1") == 1
        and target_index(config("E", "a06_bar", predict_votes=False), "A06 bar") == 1
    )


@pytest.mark.parametrize("images", [[], np.zeros((9, 9, 3), np.uint8), [np.zeros((9, 9, 3), np.uint8)], "galaxy.jpg"])
def test_other_than_images_are_refused_in_one_sentence(classifier, images):
    with pytest.raises(ValueError, match="not PIL images, or there are none"):
        explain(classifier, GalaxyImageProcessor(), images)


def test_an_image_that_is_not_rgb_is_not_drawn_under_a_map():
    with pytest.raises(ValueError, match="mode I;16"):
        overlay(Image.fromarray(np.zeros((9, 9), np.uint16)), np.zeros((9, 9), np.float32))


def drawn(path, folder, **metadata) -> None:
    folder.mkdir(exist_ok=True)
    info = PngInfo()
    for name, text in metadata.items():
        info.add_text(name, text)
    Image.new("RGB", (3, 3)).save(folder / path, pnginfo=info)


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["a.jpg", "b/a.jpg", "a-2.jpg"], ["a", "a-3", "a-2"]),
        (["a.jpg", "a.jpg", "c/a.png", "a.fits.gz"], ["a", "a-2", "a-3", "a-4"]),
        (["J123456.78+012345.6.jpg", "J123456.99+012345.6.jpg"], ["J123456.78+012345.6", "J123456.99+012345.6"]),
        (["A.jpg", "b/a.jpg", "A-2.jpg"], ["A", "a-3", "A-2"]),
        (["a\\b.jpg", "b.jpg"], ["b", "b-2"]),
        (["x.fits.fz", "y.FITS.GZ", "z.v2.tiff"], ["x", "y", "z.v2"]),
        (["ä" * 120 + ".jpg", "ä" * 121 + ".jpg"], ["ä" * 100, "ä" * 100 + "-2"]),
    ],
)
def test_every_image_has_a_figure_of_its_own_named_by_its_id(tmp_path, images, names):
    assert figure_files(images, tmp_path) == [tmp_path / f"{name}.png" for name in names]


def test_a_figure_replaces_no_file_that_is_not_a_figure_of_ours(tmp_path):
    drawn("a.png", tmp_path)
    drawn("b.png", tmp_path, Software="Matplotlib version3.9")
    drawn("c.png", tmp_path, **MARK)
    (tmp_path / "d.png").write_bytes(b"something else")
    (tmp_path / "e.png").mkdir()
    images = [str(tmp_path / f"{name}.png") for name in "abcde"]
    assert [path.name for path in figure_files(images, tmp_path)] == [
        "a-2.png",
        "b-2.png",
        "c.png",
        "d-2.png",
        "e-2.png",
    ]
