"""A linear head on frozen features: what it learns, what it refuses, and that it is an ordinary model once saved."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.inference.embeddings import Embedder
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.models.losses import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from galaxy_vision.training.probe import FOLDS, fit_probe, save_probe, stratified_folds, with_probe

SIZE = 16


def clusters(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, D) of clusters three standard deviations apart, features of very different scales."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    centres = 3 * np.eye(classes, SIZE)
    scales = 10.0 ** random.uniform(-2, 2, SIZE)
    return (centres[labels] + random.normal(size=(rows, SIZE))) * scales + 5, labels


def model(**settings) -> GalaxyResNetForImageClassification:
    torch.manual_seed(0)
    return GalaxyResNetForImageClassification(
        GalaxyResNetConfig(backbone="test_resnet", image_size=32, **settings)
    ).eval()


@pytest.mark.parametrize("classes", [2, 3])
def test_clusters_are_told_apart_and_so_are_new_rows_of_them(classes):
    embeddings, labels = clusters(400, classes)
    probe = fit_probe(embeddings[:100], labels[:100], SINGLE_LABEL)
    probabilities = probe.predict(embeddings[100:])
    assert (probabilities.argmax(1) == labels[100:]).mean() > 0.9
    assert np.allclose(probabilities.sum(1), 1) and probe.loss[0] < 0.5


def test_standardisation_is_folded_into_weight_and_bias():
    embeddings, labels = clusters(60, 3)
    probe = fit_probe(embeddings, labels, SINGLE_LABEL)
    regression = LogisticRegression(C=probe.strengths[0] / SIZE, max_iter=5000, tol=1e-8)
    expected = make_pipeline(StandardScaler(), regression).fit(embeddings, labels).predict_proba(embeddings)
    assert np.allclose(probe.predict(embeddings), expected, atol=2e-3)


def test_labels_at_once_are_learned_from_the_rows_of_which_they_are_known():
    embeddings, labels = clusters(200, 2)
    targets = np.stack([labels, 1 - labels], 1).astype(float)
    targets[::3, 0] = np.nan
    probe = fit_probe(embeddings, targets, MULTI_LABEL, ["ring", "bar"])
    assert ((probe.predict(embeddings) > 0.5) == np.stack([labels, 1 - labels], 1)).mean() > 0.93
    assert len(probe.strengths) == len(probe.loss) == 2


def test_a_number_that_is_linear_in_the_features_is_found_to_its_noise():
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(200, SIZE))
    numbers = embeddings @ np.arange(SIZE) + 7 + random.normal(scale=0.5, size=200)
    probe = fit_probe(embeddings, np.where(np.arange(200) % 5, numbers, np.nan), REGRESSION, ["radius"])
    assert np.allclose(probe.weight[0], np.arange(SIZE), atol=0.2) and abs(probe.bias[0] - 7) < 0.2
    assert 0.4 < probe.loss[0] < 0.65  # the error of rows that were held out is that of the noise


def test_two_images_of_two_classes_are_enough_and_a_constant_feature_is_harmless():
    embeddings, labels = clusters(2, 2)
    embeddings[:, 3] = 4.0
    probe = fit_probe(embeddings, labels, SINGLE_LABEL)
    assert (probe.predict(embeddings).argmax(1) == labels).all() and np.isnan(probe.loss[0])
    assert (probe.weight[:, 3] == 0).all()


def test_noise_is_held_to_the_frequencies_of_the_classes():
    random = np.random.default_rng(1)
    labels = (random.random(300) < 0.2).astype(int)
    probe = fit_probe(random.normal(size=(300, SIZE)), labels, SINGLE_LABEL)
    rate = labels.mean()
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert abs(probe.loss[0] - entropy) < 0.05 and probe.predict(random.normal(size=(99, SIZE)))[:, 1].max() < 0.45


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 9))
def test_every_fold_has_its_share_of_every_class(classes, seed):
    classes = np.array(classes)
    folds = stratified_folds(classes, seed=seed)
    for label in np.unique(classes):
        counts = np.bincount(folds[classes == label], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    "targets, task, names, message",
    [
        ([0, 0, 0, 0], SINGLE_LABEL, ["ring"], "all labelled images are 'ring'"),
        ([0, 0, 2, 2], SINGLE_LABEL, ["ring", "bar", "none"], "class 'bar' has no labelled image"),
        ([0, 0, 1, 2], SINGLE_LABEL, ["ring", "bar"], "3 classes or columns, and 2 are named"),
        ([0, 1, 1], SINGLE_LABEL, None, "there are 3 targets"),
        ([1.0, 1.0, 1.0, np.nan], MULTI_LABEL, ["ring"], "label 'ring': all of 3 labelled images have it"),
        ([0.5, 0, 1, 1], MULTI_LABEL, ["ring"], "other than 0, 1 and NaN"),
        ([np.nan, 1, np.nan, np.nan], REGRESSION, ["radius"], "'radius' is known of 1 images"),
        ([0, 1, 0, 1], "votes", None, "task='votes' is not"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_sentence(targets, task, names, message):
    with pytest.raises(ValueError, match=message):
        fit_probe(clusters(4, 2)[0], np.array(targets), task, names)


def test_a_saved_probe_is_an_ordinary_classifier_that_keeps_its_votes(tmp_path):
    processor, start = GalaxyImageProcessor(size={"height": 32, "width": 32}), model()
    embeddings, labels = np.random.default_rng(0).normal(size=(30, start.backbone.num_features)), np.arange(30) % 2
    probe = fit_probe(embeddings, labels, SINGLE_LABEL, ["merger", "elliptical"])  # names that a scheme has, too
    save_probe(probe, start, processor, tmp_path)
    loaded, _ = load_classifier(tmp_path)
    pixels = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        before, after, features = start(pixels), loaded(pixels), start.backbone(pixels).numpy()
    assert np.allclose(after.logits, probe.logits(features), atol=1e-3)
    assert torch.allclose(after.vote_concentration, before.vote_concentration, atol=1e-4)
    assert torch.equal(loaded.vote_head.weight, start.vote_head.weight)
    assert loaded.config.id2label == {0: "merger", 1: "elliptical"} and loaded.config.label_scheme == "own"


@pytest.mark.parametrize("task", [MULTI_LABEL, REGRESSION])
def test_a_probe_of_labels_or_numbers_says_its_problem(task, tmp_path):
    start = model(predict_votes=False)
    embeddings = np.random.default_rng(0).normal(size=(30, start.backbone.num_features))
    probe = fit_probe(embeddings, np.arange(60).reshape(30, 2) // 2 % 2, task, ["a", "b"])
    save_probe(probe, start, GalaxyImageProcessor(), tmp_path)
    assert GalaxyResNetForImageClassification.from_pretrained(tmp_path).config.problem_type == task
    with pytest.raises(ValueError, match="give the model whose embeddings"):
        with_probe(model(predict_votes=False), fit_probe(*clusters(20, 2), SINGLE_LABEL))


def test_an_embedding_does_not_know_how_the_image_was_turned():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    turned = image.transpose(Image.Transpose.ROTATE_90).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    processor = GalaxyImageProcessor(size={"height": 32, "width": 32}, crop_fraction=1.0)
    pixels = [processor.crop_and_resize(torch.from_numpy(np.array(some)).permute(2, 0, 1)) for some in (image, turned)]
    first, second = Embedder(model(), processor).of_pixels(torch.stack(pixels))
    assert np.allclose(first, second, atol=2e-2 * np.abs(first).max()) and first.std() > 0
