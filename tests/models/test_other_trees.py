"""A classifier predicts the votes of any tree, which travels with its weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.models.losses import dirichlet_multinomial_nll
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.starting_point import take_weights

DESI = load_campaign("gz_desi").tree


def classifier(*trees, **settings) -> GalaxyResNetForImageClassification:
    torch.manual_seed(0)
    config = {"backbone": "test_resnet", "image_size": 32} | settings
    return GalaxyResNetForImageClassification(GalaxyResNetConfig(trees=list(trees) or None, **config)).eval()


def votes_of(tree, count: int, seed: int = 0) -> torch.Tensor:
    """Votes of 40 volunteers, where asked; the first question of the first galaxy is unknown."""
    rng = np.random.default_rng(seed)
    votes = np.round(40 * tree.cumulative(tree.conditional(rng.gamma(0.5, size=(count, len(tree.answers))))))
    votes[0, : len(tree.questions[0].answers)] = np.nan
    return torch.from_numpy(votes).float()


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_model_of_the_desi_tree_is_saved_loaded_and_gives_its_fractions(pixels, tmp_path):
    model = classifier(DESI.to_dict())
    outputs = model(pixels, votes=votes_of(DESI, 6))
    assert outputs.vote_concentration.shape == (6, 34) and torch.isfinite(outputs.loss)
    fractions = model.predict_fractions(outputs)
    for answers in DESI.slices.values():
        assert torch.allclose(fractions.conditional[:, answers].sum(1), torch.ones(6), atol=1e-5)
    assert torch.equal(fractions.reach, DESI.reach(fractions.conditional))
    assert (fractions.lower <= fractions.conditional).all() and (fractions.conditional <= fractions.upper).all()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["format_version"] == 2
    loaded = GalaxyResNetForImageClassification.from_pretrained(tmp_path).eval()
    assert loaded.trees == Trees([DESI])
    assert all(torch.equal(weight, loaded.state_dict()[name]) for name, weight in model.state_dict().items())
    # Where weights lie in memory decides how some processors add.
    assert torch.allclose(loaded(pixels).vote_concentration, outputs.vote_concentration, rtol=1e-6, atol=0)


def test_the_loss_of_votes_is_that_of_each_question_of_the_tree():
    concentration, votes = torch.rand(4, 34) + 0.5, votes_of(DESI, 4)
    losses = dirichlet_multinomial_nll(concentration, votes, DESI)
    assert losses.shape == (4, 10) and losses[0, 0] == 0
    two = load_campaign("gz_rings").tree
    a, k = torch.tensor([[2.0, 3.0]]), torch.tensor([[4.0, 1.0]])
    n, total = k.sum(), a.sum()
    beta_binomial = (
        torch.lgamma(n + 1) - torch.lgamma(k + 1).sum() + torch.lgamma(total) - torch.lgamma(n + total)
    ) + (torch.lgamma(k + a) - torch.lgamma(a)).sum()
    assert torch.allclose(dirichlet_multinomial_nll(a, k, two), -beta_binomial.reshape(1, 1))


def test_a_tree_of_one_question_is_learned_by_heart(pixels):
    tree = {"name": "rings", "questions": [{"name": "ring", "answers": ["yes", "no"]}]}
    model = classifier(tree).train()
    votes = torch.tensor([[20.0, 0], [0, 20], [20, 0], [0, 20], [15, 5], [5, 15]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(80):
        optimizer.zero_grad()
        model(pixels, votes=votes).loss.backward()
        optimizer.step()
    fractions = model.predict_fractions(model(pixels)).conditional[:, 0]  # by the batch's own statistics, as learned
    assert (fractions - votes[:, 0] / 20).abs().max() < 0.15


@pytest.mark.parametrize("tree", [{"questions": []}, {"name": "x"}, {"questions": [{"name": "a", "answers": ["b"]}]}])
def test_a_config_with_a_damaged_tree_is_refused_in_one_sentence(tree, tmp_path):
    classifier(DESI.to_dict()).save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"trees": [tree]}))
    with pytest.raises(ValueError, match="config.json of galaxy_resnet cannot be used: .*(question|tree)") as error:
        GalaxyResNetForImageClassification.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_a_vote_head_of_another_tree_is_not_taken_over():
    start, model = classifier(DESI.to_dict()), classifier()
    before = model.vote_head.weight.clone()
    taken = take_weights(model, start, "init_from='x'")
    assert "vote_head" not in taken and "backbone" in taken and torch.equal(model.vote_head.weight, before)


def test_of_several_trees_the_rows_of_the_vote_head_of_those_that_both_models_have_are_taken_over():
    rings, hubble = load_campaign("gz_rings").tree, load_campaign("gz_hubble").released
    start = classifier(hubble.to_dict(), DESI.to_dict())
    model = classifier(DESI.to_dict(), rings.to_dict())
    before = model.vote_head.weight[34:].clone()
    assert take_weights(model, start, "init_from='x'").endswith("vote_head of gz_desi")
    ours, theirs = model.trees.slices["gz_desi"], start.trees.slices["gz_desi"]
    assert ours != theirs
    assert torch.equal(model.vote_head.weight[ours], start.vote_head.weight[theirs])
    assert torch.equal(model.vote_head.bias[ours], start.vote_head.bias[theirs])
    assert torch.equal(model.vote_head.weight[34:], before)


def test_a_row_teaches_the_heads_that_it_has_votes_for_and_no_other(pixels):
    rings = load_campaign("gz_rings").tree
    model = classifier(DESI.to_dict(), rings.to_dict())
    votes = torch.cat([votes_of(DESI, 6), torch.full((6, 2), torch.nan)], dim=1)
    votes[3:] = torch.nan
    votes[3:, 34:] = torch.tensor([[20.0, 0], [0, 20], [7, 3]])
    outputs = model(pixels, votes=votes)
    outputs.loss.backward()
    assert model.vote_head.weight.grad[:34].abs().sum() > 0 and model.vote_head.weight.grad[34:].abs().sum() > 0
    parts = [
        dirichlet_multinomial_nll(outputs.vote_concentration[:, part], votes[:, part], tree).mean()
        for part, tree in ((slice(0, 34), DESI), (slice(34, 36), rings))
    ]
    assert torch.equal(outputs.loss, sum(parts))
    model.zero_grad()
    model(pixels[:3], votes=votes[:3]).loss.backward()
    assert model.vote_head.weight.grad[34:].abs().sum() == 0


def test_fractions_of_a_model_of_two_trees_are_those_of_the_campaign_that_is_named(pixels, tmp_path):
    rings = load_campaign("gz_rings").tree
    classifier(DESI.to_dict(), rings.to_dict()).save_pretrained(tmp_path)
    model = GalaxyResNetForImageClassification.from_pretrained(tmp_path).eval()
    outputs = model(pixels)
    assert torch.equal(
        model.predict_fractions(outputs).conditional, model.predict_fractions(outputs, "gz_desi").conditional
    )
    ring = model.predict_fractions(outputs, campaign="gz_rings").conditional
    a = outputs.vote_concentration[:, 34:]
    assert torch.allclose(ring, a / a.sum(1, keepdim=True)) and ring.shape == (6, 2)
    with pytest.raises(ValueError, match="campaign='gz2' is not one of gz_desi, gz_rings; choose one of these"):
        model.predict_fractions(outputs, "gz2")


def test_trees_with_other_texts_have_the_same_votes_and_with_other_answers_have_not():
    first, *others = DESI.questions
    assert Trees([replace(DESI, questions=(first._replace(text="What is it?"), *others))]) == Trees([DESI])
    renamed = first._replace(answers=("smooth", "featured-or-disk", "problem"))
    assert Trees([replace(DESI, questions=(renamed, *others))]) != Trees([DESI])
    assert Trees([replace(DESI, name="mine")]) != Trees([DESI])


def test_trees_without_a_name_of_their_own_are_refused():
    with pytest.raises(ValueError, match="two trees have the name 'gz_desi'; rename one"):
        Trees([DESI, DESI])
    with pytest.raises(ValueError, match="there is no tree"):
        Trees([])
    with pytest.raises(ValueError, match=r"votes have shape \(2, 34\); the last axis must be the 37 answers of gz2"):
        classifier()(torch.zeros(2, 3, 32, 32), votes=torch.zeros(2, 34))
