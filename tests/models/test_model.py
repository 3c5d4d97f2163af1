import json
import os
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from conftest import REPOSITORY
from PIL import Image
from scipy import stats
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.models.decision_tree import QUESTION_SLICES, question_totals

NAMES = ["elliptical", "spiral", "merger"]


def make_model(**settings) -> GalaxyResNetForImageClassification:
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {name: index for index, name in enumerate(NAMES)}}
    return GalaxyResNetForImageClassification(
        GalaxyResNetConfig(**({"backbone": "test_resnet"} | labels | settings))
    ).eval()


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (424, 424, 3), dtype=np.uint8))


BACKBONES = ("resnet10t", "tf_efficientnet_lite0")


@pytest.fixture(scope="module")
def both(tmp_path_factory, image):
    """Folder, model and processor of each backbone."""
    saved = {}
    for backbone in BACKBONES:
        folder = tmp_path_factory.mktemp("model")
        # The second one with trees of other campaigns too: whatever a model can have loads everywhere.
        trees = None if backbone == "resnet10t" else [tree_of(name).to_dict() for name in ("gz_desi", "gz_rings")]
        model, processor = make_model(backbone=backbone, trees=trees), GalaxyImageProcessor()
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        image.save(folder / "galaxy.png")
        saved[backbone] = folder, model, processor
    return saved


@pytest.fixture(params=BACKBONES)
def saved(request, both):
    return both[request.param]


def test_a_fresh_model_has_the_initialisation_of_timm():
    model = make_model(backbone="resnet10t")
    torch.manual_seed(0)
    for name, value in timm.create_model("resnet10t", pretrained=False, num_classes=0).state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name


def test_auto_classes_load_what_was_saved_bit_for_bit(saved, image):
    folder, model, processor = saved
    loaded = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=False).eval()
    assert not list(folder.glob("*.bin"))
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    again = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    assert isinstance(again, GalaxyImageProcessor)
    assert torch.equal(
        again(image, return_tensors="pt").pixel_values, processor(image, return_tensors="pt").pixel_values
    )


FIRST = ["AutoConfig", "AutoModelForImageClassification", "pipeline", "GenerationMixin"]
ORDERS = """
import os, sys
import accelerate, jinja2, scipy.optimize, timm, torch.distributed.checkpoint, torchvision  # as both do, paid for once
assert not {"galaxy_vision", "transformers"} & set(sys.modules)
for lines in LINES:
    sys.stdout.flush()
    if not (child := os.fork()):  # as fresh as a new interpreter, for what is asked
        exec(lines)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_importing_the_package_makes_the_auto_classes_know_our_models_in_any_order(both):
    folder = both["tf_efficientnet_lite0"][0]  # which classes are known does not depend on the backbone
    load = f"AutoModelForImageClassification.from_pretrained({str(folder)!r}, trust_remote_code=False)"
    then = f"from transformers import AutoModelForImageClassification\nprint(type({load}).__module__)"
    pairs = [("import galaxy_vision", f"from transformers import {first}") for first in FIRST]
    lines = ["\n".join([*order, then]) for pair in pairs for order in (pair, pair[::-1])]
    done = subprocess.run(
        [sys.executable, "-c", f"LINES = {lines!r}{ORDERS}"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout.split() == ["galaxy_vision.models.modeling_galaxy_resnet"] * len(lines), done.stderr[-2000:]


def test_the_package_and_the_builders_start_without_torch():
    for name in ("galaxy_vision", "galaxy_vision.data.writer", "galaxy_vision.simulation.render"):
        code = f"import sys, {name}; print('torch' in sys.modules, 'transformers' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.stdout.split() == ["False", "False"], (name, done.stderr[-2000:])


def test_the_pipeline_classifies_a_path_as_the_model_does(saved, image):
    folder, model, processor = saved
    answers = pipeline("image-classification", str(folder), trust_remote_code=False)(str(folder / "galaxy.png"))
    with torch.no_grad():
        known = model(**processor(image, return_tensors="pt")).logits.softmax(-1)[0]
    assert {answer["label"]: answer["score"] for answer in answers} == pytest.approx(
        dict(zip(NAMES, known.tolist(), strict=True)), abs=1e-5
    )


def test_a_saved_folder_runs_where_the_package_is_not_installed(both, tmp_path):
    folders = [str(folder) for folder, _, _ in both.values()]
    code = (
        "import sys, json\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'galaxy_vision': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from transformers import AutoModel, AutoModelForImageClassification, AutoImageProcessor\n"
        "from PIL import Image\n"
        f"for folder in {folders!r}:\n"
        "    m = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=True).eval()\n"
        "    p = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)\n"
        "    o = m(**p(Image.open(f'{folder}/galaxy.png'), return_tensors='pt'))\n"
        "    f = m.predict_fractions(o)\n"
        "    b = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()\n"
        "    e = b(**p(Image.open(f'{folder}/galaxy.png'), return_tensors='pt')).pooler_output\n"
        "    print(json.dumps([o.logits.tolist(), f.upper.tolist(), e.tolist(), 'galaxy_vision' in sys.modules]))\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()[-len(both) :]
    for line, (folder, model, processor) in zip(lines, both.values(), strict=True):
        logits, upper, features, imported = json.loads(line)
        with torch.no_grad():
            pixels = processor(Image.open(folder / "galaxy.png"), return_tensors="pt")
            known = model(**pixels)
            assert torch.allclose(torch.tensor(features), model.backbone(pixels["pixel_values"]), atol=1e-5)
        assert not imported
        assert torch.allclose(torch.tensor(logits), known.logits, atol=1e-5)
        assert torch.allclose(torch.tensor(upper), model.predict_fractions(known).upper, atol=1e-5)


def test_predicted_fractions_are_the_mean_and_quantiles_of_beta_marginals():
    model = make_model()
    outputs = model(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    fractions = model.predict_fractions(outputs)
    a = outputs.vote_concentration.detach().double().numpy()
    rest = question_totals(a) - a
    assert np.allclose(question_totals(fractions.conditional.numpy()), 1, atol=1e-6)
    assert np.allclose(fractions.lower, stats.beta.ppf(0.05, a, rest), atol=1e-5)
    assert np.allclose(fractions.upper, stats.beta.ppf(0.95, a, rest), atol=1e-5)
    spiral = fractions.conditional[:, 1] * fractions.conditional[:, 4]
    assert torch.allclose(fractions.reach[:, QUESTION_SLICES["t04_spiral"].start], spiral)


def test_the_loss_is_the_sum_of_what_is_given_and_uncertain_rows_teach_votes_only():
    model = make_model()
    pixels, votes = torch.randn(4, 3, 64, 64), torch.full((4, 37), 2.0)
    labels = torch.tensor([0, 1, -1, 2])
    by_class, by_votes = model(pixels, labels=labels).loss, model(pixels, votes=votes).loss
    assert torch.allclose(model(pixels, labels=labels, votes=votes).loss, by_class + by_votes)
    known = torch.nn.functional.cross_entropy(model(pixels).logits[[0, 1, 3]], labels[[0, 1, 3]])
    assert torch.allclose(by_class, known)
    assert model(pixels).loss is None
    model(pixels, labels=torch.full((4,), -1)).loss.backward()
    assert all(weight.grad is None or torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_a_model_without_votes_says_so():
    model = make_model(predict_votes=False)
    pixels = torch.randn(1, 3, 64, 64)
    assert model(pixels).vote_concentration is None
    with pytest.raises(ValueError, match="predict_votes is False"):
        model(pixels, votes=torch.ones(1, 37))
    with pytest.raises(ValueError, match="without votes"):
        model.predict_fractions(model(pixels))


def test_the_cache_and_the_processor_make_the_same_tensor(image):
    processor = GalaxyImageProcessor(size={"height": 48, "width": 48}, crop_fraction=0.5)
    pixels = processor.crop_and_resize(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1))
    assert pixels.dtype == torch.uint8
    assert torch.allclose(
        processor.normalize_pixels(pixels[None]), processor(image, return_tensors="pt").pixel_values, atol=1e-6
    )


def test_the_processor_keeps_the_middle():
    marked = np.zeros((200, 200, 3), np.uint8)
    marked[50:150, 50:150] = 255
    processor = GalaxyImageProcessor(crop_fraction=0.5, do_normalize=False)
    assert processor(Image.fromarray(marked), return_tensors="pt").pixel_values.min() == 1


def test_bad_configurations_are_refused_and_no_keyword_is_swallowed():
    with pytest.raises(Exception, match="image_size=20 is smaller"):
        GalaxyResNetConfig(image_size=20)
    with pytest.raises(ValueError, match="does not give feature maps"):
        make_model(backbone="vit_base_patch16_224")
    fields = set(GalaxyResNetConfig().to_dict())
    assert {"backbone", "image_size", "num_channels", "predict_votes", "drop_rate"} <= fields


def test_intervals_without_scipy_are_one_sentence(monkeypatch):
    model = GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="resnet10t", image_size=32)).eval()
    monkeypatch.setattr("galaxy_vision.models.modeling_galaxy_resnet.betaincinv", None)
    with torch.no_grad():
        output = model(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ImportError, match="need scipy; pip install scipy"):
        model.predict_fractions(output)
