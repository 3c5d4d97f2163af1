"""The classifier in the hands of those who know transformers.

Their recipes work as they are, or are refused in one sentence.
"""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
    GalaxyResNetModel,
)
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.models.losses import label_loss

SMALL = {"backbone": "test_resnet", "image_size": 32}  # timm's own for tests
NAMES = ["ring", "bar", "tidal tail"]


def small(**settings) -> GalaxyResNetForImageClassification:
    torch.manual_seed(0)
    return GalaxyResNetForImageClassification(GalaxyResNetConfig(**SMALL | settings)).eval()


@pytest.fixture
def saved(tmp_path):
    """Folder of a classifier of seven classes with votes, and its processor."""
    small(num_labels=7).save_pretrained(tmp_path / "model")
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rows(labels) -> Dataset:
    pixels = np.random.default_rng(0).normal(size=(len(labels), 3, 32, 32)).astype(np.float32)
    return Dataset.from_dict({"pixel_values": pixels, "labels": labels}).with_format("torch")


def trainer(model, folder, labels, **settings) -> Trainer:
    settings = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "save_strategy": "epoch"} | settings
    compute_metrics = settings.pop("compute_metrics", None)
    arguments = TrainingArguments(folder, report_to=[], use_cpu=True, disable_tqdm=True, **settings)
    return Trainer(
        model, arguments, train_dataset=rows(labels), eval_dataset=rows(labels), compute_metrics=compute_metrics
    )


@pytest.mark.parametrize(
    "names",
    [
        {
            "num_labels": 3,
            "id2label": {str(number): name for number, name in enumerate(NAMES)},
            "label2id": {name: str(number) for number, name in enumerate(NAMES)},
        },
        {"id2label": dict(enumerate(NAMES))},
        {"label2id": {name: number for number, name in enumerate(NAMES)}},
        {"num_labels": 3, "id2label": {2: NAMES[2], 0: NAMES[0], 1: NAMES[1]}},
    ],
)
def test_the_usual_recipe_trains_saves_and_loads(saved, tmp_path, names):
    """With whichever of the names of the classes are given, of either type, in any order."""
    model = AutoModelForImageClassification.from_pretrained(
        saved, trust_remote_code=False, ignore_mismatched_sizes=True, **names
    )
    trainer(model, tmp_path / "run", [0, 1, 2, 0, 1, 2, 0, 1]).train()
    again = GalaxyResNetForImageClassification.from_pretrained(tmp_path / "run" / "checkpoint-2")
    assert again.config.id2label == dict(enumerate(NAMES))
    assert again.config.label2id == {name: number for number, name in enumerate(NAMES)}
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_metrics_of_trainer_are_given_logits(saved, tmp_path):
    seen = []

    def compute_metrics(predictions):
        seen.append((predictions.predictions, predictions.label_ids))
        return {"accuracy": float((predictions.predictions.argmax(-1) == predictions.label_ids).mean())}

    model = GalaxyResNetForImageClassification.from_pretrained(saved)
    run = trainer(model, tmp_path / "run", list(range(7)), compute_metrics=compute_metrics)
    results = run.evaluate()
    logits, labels = seen[0]
    assert logits.shape == (7, 7) and labels.tolist() == list(range(7))
    with torch.no_grad():
        known = model.eval()(rows([0] * 7)["pixel_values"][:]).logits
    assert np.allclose(logits, known, atol=1e-5)
    assert results["eval_accuracy"] == pytest.approx(float((known.argmax(-1) == torch.arange(7)).float().mean()))


def test_steps_that_are_accumulated_weigh_as_one(saved, tmp_path):
    """Trainer hands its own divisor to a model with free keywords, and does not divide by itself.

    Gradients were twice too long.
    """
    lengths = {}
    for steps in (1, 2):
        model = GalaxyResNetForImageClassification.from_pretrained(saved, drop_rate=0.0)
        model.train = lambda mode=True, model=model: model  # batch statistics would differ
        settings = {"per_device_train_batch_size": 8 // steps, "gradient_accumulation_steps": steps}
        run = trainer(
            model, tmp_path / f"{steps}", [0, 1, 2, 3, 4, 5, 6, 0], **settings, logging_steps=1, save_strategy="no"
        )
        run.train()
        lengths[steps] = next(line["grad_norm"] for line in run.state.log_history if "grad_norm" in line)
    assert lengths[2] == pytest.approx(lengths[1], rel=1e-4)


def test_losses_of_labels_have_their_known_values():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0]])
    single = torch.tensor([2, -100])
    assert label_loss("single_label_classification", logits, single) == pytest.approx(
        float(F.cross_entropy(logits[:1], single[:1]))
    )
    many = torch.tensor([[1.0, 0.0, 1.0], [0.0, torch.nan, 0.0]])
    known = [F.softplus(-logits[0, 0]), F.softplus(logits[0, 1]), F.softplus(-logits[0, 2])]
    known += [F.softplus(logits[1, 0]), F.softplus(logits[1, 2])]  # the one that nobody knows is left out
    assert label_loss("multi_label_classification", logits, many) == pytest.approx(float(sum(known) / 5))
    numbers = torch.tensor([[2.0, 0.0, 0.5], [torch.nan, 1.0, 1.0]])
    assert label_loss("regression", logits, numbers) == pytest.approx((1 + 9) / 5)
    assert label_loss("regression", logits, torch.full((2, 3), torch.nan)) == 0
    weights = torch.tensor([0.0, 1.0, 0.0])
    assert label_loss("regression", logits, numbers, weights) == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ("problem", "labels", "sentence"),
    [
        ("single_label_classification", torch.zeros(2, 3), "not one class number for each image"),
        ("multi_label_classification", torch.tensor([0, 1]), r"labels of shape \(2,\) do not fit multi_label"),
        ("multi_label_classification", torch.full((2, 3), 3.0), "from 3 to 3 are not from 0 to 1"),
        ("multi_label_classification", torch.full((2, 3), -1), "from -1 to -1 are not from 0 to 1"),
        ("regression", torch.zeros(3), r"labels of shape \(3,\) do not fit regression; give labels of shape \(2, 3\)"),
    ],
)
def test_labels_of_another_problem_are_refused(problem, labels, sentence):
    model = small(num_labels=3, problem_type=problem)
    with pytest.raises(ValueError, match=sentence):
        model(torch.rand(2, 3, 32, 32), labels=labels)


PROBLEMS = [  # what is set, labels of four images, what is saved, how scores come from logits
    ({"num_labels": 3}, [[1.0, 0.0, 1.0]] * 4, "multi_label_classification", torch.sigmoid),
    ({"num_labels": 3}, [[1, 0, 1]] * 4, "multi_label_classification", torch.sigmoid),
    (
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        [[1, 0, 1]] * 4,
        "multi_label_classification",
        torch.sigmoid,
    ),
    ({"num_labels": 1}, [0.5, 2.0, -1.0, 0.0], "regression", lambda logits: logits),
    ({"num_labels": 2, "problem_type": "regression"}, [[0.5, 7.0]] * 4, "regression", lambda logits: logits),
    ({"num_labels": 3}, [0, 1, 2, 0], None, lambda logits: logits.softmax(-1)),
]


@pytest.mark.parametrize(("settings", "labels", "kept", "scores"), PROBLEMS)
def test_a_problem_is_learned_saved_and_read_as_what_it_is(tmp_path, settings, labels, kept, scores):
    model = small(**settings, predict_votes=False)
    before = trainer(model, tmp_path / "run", labels).evaluate()["eval_loss"]
    run = trainer(model, tmp_path / "run", labels, num_train_epochs=8, learning_rate=3e-3, save_strategy="no")
    run.train()
    assert run.evaluate()["eval_loss"] < before
    run.save_model(tmp_path / "saved")
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text()).get("problem_type") == kept
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8))
    classify = pipeline("image-classification", str(tmp_path / "saved"), trust_remote_code=False)
    with torch.no_grad():
        logits = model.eval()(
            **GalaxyImageProcessor(size={"height": 32, "width": 32})(image, return_tensors="pt")
        ).logits[0]
    answers = {answer["label"]: answer["score"] for answer in classify(image)}
    assert [answers[name] for name in model.config.id2label.values()] == pytest.approx(
        scores(logits).tolist(), abs=1e-4
    )
    if kept is None:
        load_classifier(tmp_path / "saved")
    else:  # our own commands read classes by softmax
        with pytest.raises(ValueError, match=f"problem_type='{kept}' .* use pipeline"):
            load_classifier(tmp_path / "saved")


def test_features_come_from_the_weights_of_a_classifier(saved):
    image = Image.new("RGB", (60, 60), (90, 40, 10))
    features = pipeline("image-feature-extraction", str(saved), trust_remote_code=False)
    classifier, processor = load_classifier(saved)
    assert isinstance(features.model, GalaxyResNetModel)
    with torch.no_grad():
        pixels = processor(image, return_tensors="pt")["pixel_values"]
        known = classifier.backbone(pixels)
        last = AutoModel.from_pretrained(saved, trust_remote_code=False).eval()(pixels).last_hidden_state
    assert np.allclose(features(image, pool=True), known, atol=1e-5)
    assert np.allclose(features(image), last, atol=1e-5)
    assert torch.allclose(last.mean((2, 3)), known, atol=1e-5)


def test_a_new_head_for_a_backbone_has_to_be_asked_for(saved, tmp_path):
    GalaxyResNetModel.from_pretrained(saved).save_pretrained(tmp_path / "bare")
    with pytest.raises(ValueError, match="4 missing .such as classifier.bias"):
        GalaxyResNetForImageClassification.from_pretrained(tmp_path / "bare")
    model = GalaxyResNetForImageClassification.from_pretrained(
        tmp_path / "bare", id2label=dict(enumerate(NAMES)), ignore_mismatched_sizes=True
    )
    assert model.classifier.out_features == 3
    for name, value in GalaxyResNetForImageClassification.from_pretrained(saved).backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name
    without_votes = {"predict_votes": False, "ignore_mismatched_sizes": True}
    assert GalaxyResNetForImageClassification.from_pretrained(saved, **without_votes).vote_head is None


def test_hidden_states_and_tuples_are_returned_where_they_are_asked_for():
    model, pixels = small(num_labels=3), torch.rand(2, 3, 64, 64)
    plain, with_maps = model(pixels), model(pixels, output_hidden_states=True)
    assert torch.equal(plain.logits, with_maps.logits)
    assert plain.hidden_states is None and [states.shape[-1] for states in with_maps.hidden_states] == [32, 16, 8, 4, 2]
    for output in (model(pixels, return_dict=False), model(pixels, labels=torch.tensor([0, 1]), return_dict=False)[1:]):
        assert isinstance(output, tuple) and torch.equal(output[0], plain.logits)
    model.config.return_dict = False
    assert isinstance(model(pixels), tuple) and not isinstance(model(pixels, return_dict=True), tuple)


@pytest.mark.parametrize("kind", [GalaxyResNetConfig, GalaxyCaptionerConfig])
def test_the_names_of_classes_are_one_truth(tmp_path, kind):
    kind(id2label={0: "a", 1: "b"}).save_pretrained(tmp_path)
    for given, names in (
        ({"id2label": {"0": "x", "1": "y", "2": "z"}}, ["x", "y", "z"]),
        ({"label2id": {"y": "1", "x": "0"}}, ["x", "y"]),
        ({"num_labels": 2}, ["a", "b"]),
        ({"num_labels": 1}, ["LABEL_0"]),
        ({}, ["a", "b"]),
    ):
        loaded = AutoConfig.from_pretrained(tmp_path, trust_remote_code=False, **given)
        loaded.save_pretrained(tmp_path / "again")
        for config in (loaded, kind.from_pretrained(tmp_path / "again")):
            assert config.id2label == dict(enumerate(names)) and config.num_labels == len(names)
            assert config.label2id == {name: number for number, name in enumerate(names)}
    config = kind()
    config.id2label = {"0": "x", "1": "y", "2": "z"}
    assert config.label2id == {"x": 0, "y": 1, "z": 2} and config.num_labels == 3
    config.label2id = {"p": "0"}
    assert config.id2label == {0: "p"}


CONTRADICTIONS = [
    ({"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}}, "label2id is not the reverse of id2label"),
    ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, "num_labels=3 is not the number of names in id2label, 2"),
    ({"id2label": {0: "a", 1: "a"}}, "the name 'a' more than once"),
    ({"id2label": {1: "a", 2: "b"}}, "one name for each of the numbers 0, 1, 2"),
    ({"label2id": {"a": "first"}}, "is not a map of numbers and names"),
    ({"num_labels": 10**9}, "num_labels=1000000000 is not an integer from 0 to 10000"),
    ({"image_size": 8}, "image_size=8 is smaller"),
    ({"drop_rate": 3.0}, "drop_rate=3.0 is outside"),
]


@pytest.mark.parametrize(("given", "sentence"), CONTRADICTIONS)
@pytest.mark.parametrize("kind", [GalaxyResNetConfig, GalaxyCaptionerConfig])
def test_keywords_that_contradict_each_other_or_the_limits_are_refused_at_once(tmp_path, kind, given, sentence):
    kind().save_pretrained(tmp_path)
    for refuse in (lambda: kind(**given), lambda: kind.from_pretrained(tmp_path, **given)):
        with pytest.raises(Exception, match=sentence):
            refuse()


def test_a_problem_that_there_is_not_is_refused(saved):
    with pytest.raises(ValueError, match="problem_type='ranking' is not single_label_classification"):
        GalaxyResNetForImageClassification.from_pretrained(saved, problem_type="ranking")
