"""The class of a galaxy is the one that its predicted votes have by the rules of a scheme."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.data.labels import ANSWERS, UNCERTAIN, assign_labels, class_names_for, labels_of_fractions
from galaxy_vision.data.schemes import SCHEMES
from galaxy_vision.inference.classes import (
    HEAD_WEIGHT,
    class_campaign,
    class_doubts,
    class_probabilities,
    class_shares,
    label_scheme_of,
    probability_words,
)
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2, answer_index, votes_from_conditional
from galaxy_vision.models.trees import Trees

DESI, RINGS = (load_campaign(name).released for name in ("gz_desi", "gz_rings"))
HUBBLE = class_names_for("hubble")


def config(names=HUBBLE, trees: Trees | None = None, **settings) -> GalaxyResNetConfig:
    trees = None if trees is None else trees.to_list()
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: label for label, name in enumerate(names)}}
    return GalaxyResNetConfig(backbone="resnet10t", image_size=32, trees=trees, **labels, **settings)


def model(*args, **settings) -> SimpleNamespace:
    """All of a model but its weights."""
    about = config(*args, **settings)
    return SimpleNamespace(config=about, trees=about.decision_trees)


def outputs(concentration, classes: int = len(HUBBLE), seed: int = 0) -> SimpleNamespace:
    concentration = torch.as_tensor(concentration, dtype=torch.float32)
    logits = torch.randn(len(concentration), classes, generator=torch.Generator().manual_seed(seed))
    return SimpleNamespace(logits=logits, vote_concentration=concentration)


def concentrations(count: int, trees: Trees = Trees(), seed: int = 0) -> np.ndarray:  # noqa: B008
    return np.exp(np.random.default_rng(seed).normal(1.0, 2.0, (count, trees.num_answers))).astype(np.float32)


def shares(draw, tree) -> np.ndarray:
    """Conditional fractions, none of them on a limit of a rule."""
    weights = draw(arrays(np.int64, len(tree.answers), elements=st.integers(1, 1000)))
    return tree.conditional(weights + 1e-3 * np.arange(len(weights)))


@pytest.mark.parametrize("scheme", [*SCHEMES, ANSWERS])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_votes_that_are_certain_have_the_class_of_these_votes(scheme, data):
    fractions = shares(data.draw, GALAXY_ZOO_2)
    label = assign_labels(votes_from_conditional(fractions, 1e9), scheme)
    assert labels_of_fractions(fractions, scheme, GALAXY_ZOO_2) == label
    certain = class_shares(fractions[None] * 1e6, scheme, GALAXY_ZOO_2)[0]
    known = np.arange(len(certain)) == label
    if np.abs(certain - known).max() > 1e-9:  # then a share is within the width of the distribution of a limit
        near = class_shares(fractions[None] * 1e5, scheme, GALAXY_ZOO_2)[0]
        assert 0 < np.abs(certain - known).max() <= np.abs(near - known).max() + 0.5
    else:
        assert (certain == known).all()


def test_shares_are_those_of_many_random_draws():
    concentration, rng = concentrations(12), np.random.default_rng(1)
    random = rng.standard_gamma(concentration[:, None].astype(float).repeat(10_000, 1))
    for scheme in (*SCHEMES, ANSWERS):
        labels = labels_of_fractions(GALAXY_ZOO_2.conditional(random), scheme, GALAXY_ZOO_2)
        known = np.stack([(labels == label).mean(-1) for label in range(len(class_names_for(scheme)))], -1)
        errors = class_shares(concentration, scheme, GALAXY_ZOO_2) - known
        assert np.sqrt((errors**2).mean()) < 0.02 and np.abs(errors).max() < 0.08, scheme


def test_an_image_has_the_same_classes_whatever_images_are_beside_it():
    concentration = concentrations(9)
    all_at_once = class_probabilities(model(), outputs(concentration))
    order = np.random.default_rng(0).permutation(9)
    moved = class_probabilities(
        model(),
        SimpleNamespace(
            logits=outputs(concentration).logits[order], vote_concentration=torch.from_numpy(concentration[order])
        ),
    )
    assert torch.equal(moved.probabilities, all_at_once.probabilities[order])
    assert torch.equal(moved.uncertain, all_at_once.uncertain[order])
    for row in range(9):
        alone = SimpleNamespace(
            logits=outputs(concentration).logits[row : row + 1],
            vote_concentration=torch.from_numpy(concentration[row : row + 1]),
        )
        assert torch.equal(class_probabilities(model(), alone).probabilities[0], all_at_once.probabilities[row])


def test_rounding_of_the_votes_moves_few_draws():
    concentration = concentrations(200)
    rounded = concentration * (1 + 1e-6 * np.random.default_rng(0).normal(size=concentration.shape))
    moved = class_shares(rounded, "hubble", GALAXY_ZOO_2) - class_shares(concentration, "hubble", GALAXY_ZOO_2)
    assert np.abs(moved).max() <= 2 / 256


def test_probabilities_sum_to_one_and_every_class_has_some():
    classes = class_probabilities(model(), outputs(concentrations(50)))
    torch.testing.assert_close(classes.probabilities.sum(-1), torch.ones(50))
    assert (classes.probabilities > 0).all() and ((classes.uncertain >= -1e-6) & (classes.uncertain <= 1)).all()


def test_an_image_of_which_no_draw_has_a_class_has_that_of_the_class_head():
    star = np.full((1, 37), 1.0)
    star[0, answer_index("a03")] = star[0, answer_index("a15")] = 1e5
    given = outputs(star)
    classes = class_probabilities(model(), given)
    torch.testing.assert_close(classes.probabilities, given.logits.softmax(-1))
    assert [doubt.kind for doubt in class_doubts(classes.uncertain[0].item())] == ["no_class"]
    assert class_doubts(0.98) == class_doubts(None) == []


def test_outputs_that_are_not_numbers_have_no_probabilities():
    given = outputs(np.full((2, 37), np.nan))
    given.logits[:] = np.nan
    assert class_probabilities(model(), given).probabilities.isnan().all()


def test_the_class_head_does_not_outvote_draws():
    smooth = np.full((1, 37), 1.0)
    smooth[0, [answer_index(name) for name in ("a01", "a15", "a16")]] = 1e4
    given = outputs(smooth)
    given.logits[0] = torch.tensor([-50.0, 0, 0, 0, 0, 0, 50])
    probabilities = class_probabilities(model(), given).probabilities[0]
    assert HUBBLE[int(probabilities.argmax())] == "elliptical"
    assert probabilities[6] == pytest.approx(HEAD_WEIGHT / (1 + HEAD_WEIGHT), rel=0.2)


def concentration_of(tree, **favoured: float) -> np.ndarray:
    """Concentrations of 1, and larger ones for the answers that mean a concept."""
    values = np.ones(len(tree.answers))
    for concept, value in favoured.items():
        values[list(tree.concepts[concept.replace("_", "-")])] = value
    return values


def test_classes_follow_the_campaign():
    trees = Trees((GALAXY_ZOO_2, DESI, RINGS))
    both = model(class_names_for("hubble", trees), trees)
    smooth = concentration_of(GALAXY_ZOO_2, smooth=1e3, round=1e3)
    barred = concentration_of(DESI, featured=1e3, not_edge_on=1e3, bar_strong=1e3, spiral=1e3, merging_none=1e3)
    given = outputs(np.concatenate([smooth, barred, np.ones(len(RINGS.answers))])[None])
    names = [both.config.id2label[label] for label in range(7)]
    found = {
        campaign: names[int(class_probabilities(both, given, campaign).probabilities.argmax())]
        for campaign in (None, "gz2", "gz_desi")
    }
    assert found == {None: "elliptical", "gz2": "elliptical", "gz_desi": "barred spiral"}
    head = class_probabilities(both, given, "gz_rings")  # which asks nothing else
    assert head.uncertain is None and torch.equal(head.probabilities, given.logits.softmax(-1))
    assert class_campaign(both) == "gz2" and class_campaign(both, ["gz_rings", "gz_desi"]) == "gz_desi"
    assert class_campaign(both, ["gz_rings"]) is None
    with pytest.raises(ValueError, match="campaign='gz3' is not one of gz2, gz_desi, gz_rings"):
        class_probabilities(both, given, "gz3")


def test_classes_that_a_campaign_does_not_decide_are_improbable():
    trees = Trees((GALAXY_ZOO_2, DESI))
    given = outputs(concentrations(5, trees))
    irregular = HUBBLE.index("irregular")
    probabilities = class_probabilities(model(HUBBLE, trees), given, "gz_desi").probabilities
    decided = class_shares(given.vote_concentration[:, 37:].numpy(), "hubble", DESI).sum(-1)
    known = HEAD_WEIGHT * given.logits.softmax(-1)[:, irregular].numpy() / (decided + HEAD_WEIGHT)
    np.testing.assert_allclose(probabilities[:, irregular].numpy(), known, rtol=1e-4)


@pytest.mark.parametrize(
    ("about", "scheme"),
    [
        (config(), "hubble"),
        (config(SCHEMES["summary"].class_names), "summary"),
        (config(["smooth", "features or disk", "star or artifact"]), None),
        (config(class_names_for(ANSWERS)), ANSWERS),
        (config(class_names_for("hubble", Trees((DESI,))), Trees((DESI,))), "hubble"),
        (config(label_scheme="hubble"), "hubble"),
        (config(label_scheme="own"), None),
        (config(predict_votes=False), None),
        (config(["cat", "dog"]), None),
    ],
)
def test_the_scheme_of_a_model_is_that_of_its_config_or_of_its_names(about, scheme):
    assert label_scheme_of(about) == scheme


@pytest.mark.parametrize("settings", [{"names": ["cat", "dog"]}, {"label_scheme": "own"}])
def test_own_classes_are_those_of_the_class_head(settings):
    given = outputs(concentrations(3), len(settings.get("names", HUBBLE)))
    classes = class_probabilities(model(**settings), given)
    assert classes.uncertain is None and torch.equal(classes.probabilities, given.logits.softmax(-1))


def test_classes_of_another_scheme_are_those_of_the_votes():
    concentration = concentrations(4)
    classes = class_probabilities(model(["cat", "dog"]), outputs(concentration, 2), scheme="summary")
    known = class_shares(concentration, "summary", GALAXY_ZOO_2)
    np.testing.assert_allclose(classes.probabilities, (known + 0.01 / 7) / (known.sum(-1, keepdims=True) + 0.01), 1e-5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"names": ["cat", "dog"], "label_scheme": "hubble"}, "and the model has cat, dog; set it to 'own'"),
        ({"label_scheme": "hubbel"}, "label_scheme='hubbel' is unknown; choose one of hubble, summary, threshold"),
    ],
)
def test_a_scheme_that_is_not_that_of_the_classes_is_refused_when_the_model_is_loaded(settings, sentence, tmp_path):
    GalaxyResNetForImageClassification(config(**settings)).save_pretrained(tmp_path)
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load_classifier(tmp_path)


def test_the_field_is_saved_and_other_classes_make_it_void(tmp_path):
    config(label_scheme="hubble").save_pretrained(tmp_path)
    assert GalaxyResNetConfig.from_pretrained(tmp_path).label_scheme == "hubble"
    assert GalaxyResNetConfig.from_pretrained(tmp_path, id2label={0: "cat", 1: "dog"}).label_scheme is None


def test_a_galaxy_that_often_has_no_class_is_shown_so():
    assert probability_words({"probability": 0.62, "uncertain": 0.31}) == "62%; no class: 31%"
    for few in (0.05, None):
        assert probability_words({"probability": 0.62, "uncertain": few}) == "62%"


def test_uncertain_labels_are_those_without_a_class():
    fractions = np.full(37, np.nan)
    fractions[:3] = 0.0, 0.0, 1.0
    assert labels_of_fractions(fractions, "hubble", GALAXY_ZOO_2) == UNCERTAIN
