"""A head that begins at another one: what few rows teach it, and what holds it."""

import math

import pytest
import torch

from galaxy_vision.models.tree import DecisionTree, Question
from galaxy_vision.models.vote_fractions import concentration_of
from galaxy_vision.training.head_fit import Head, choose_strength, fit_head, folds_of, loss_of, out_of_folds

TREE = DecisionTree(
    "mine",
    (
        Question("shape", ("smooth", "disc", "star")),
        Question("bar", ("yes", "no"), (("shape", "disc"),)),
    ),
)
ANSWERS, SIZE = 5, 12


def head(seed: int) -> Head:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(ANSWERS, SIZE, generator=generator, dtype=torch.float64) / SIZE**0.5
    return Head(weight, torch.randn(ANSWERS, generator=generator, dtype=torch.float64) / 2 + 1)


def galaxies(count: int, true: Head, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (N, 2, D), the second view noisy, and the votes of 40 volunteers by the head ``true``."""
    torch.manual_seed(seed)
    features = torch.randn(count, SIZE, dtype=torch.float64)
    concentration = true.concentration(features)
    votes = torch.zeros(count, ANSWERS, dtype=torch.float64)
    asked = torch.full((count,), 40)
    for answers in (slice(0, 3), slice(3, 5)):
        shares = torch.distributions.Dirichlet(concentration[:, answers]).sample()
        for row in range(count):
            if asked[row]:
                votes[row, answers] = torch.distributions.Multinomial(int(asked[row]), shares[row]).sample()
        asked = votes[:, 1].int()
    return torch.stack([features, features + 0.05 * torch.randn_like(features)], 1), votes


def shifted(prior: Head) -> Head:
    """The head of volunteers who click "smooth" more readily and see fewer bars."""
    scale = torch.tensor([1.3, 1.0, 1.0, 0.8, 1.0], dtype=torch.float64)
    offset = torch.tensor([1.2, 0.0, 0.0, -0.7, 0.3], dtype=torch.float64)
    return Head(scale[:, None] * prior.weight, scale * prior.bias + offset)


def mean_fractions(some: Head, features: torch.Tensor) -> torch.Tensor:
    return torch.tensor(TREE.conditional(some.concentration(features).numpy()))


def test_few_rows_teach_a_scale_and_an_offset_of_each_answer():
    prior = head(0)
    true = shifted(prior)
    features, votes = galaxies(150, true)
    fitted = fit_head(features, votes, prior, TREE)
    others = torch.randn(500, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    wrong, left = (
        (mean_fractions(some, others) - mean_fractions(true, others)).square().mean().sqrt() for some in (prior, fitted)
    )
    assert wrong > 0.1 and left < 0.03
    change = fitted.weight - torch.linalg.vecdot(fitted.weight, prior.weight)[:, None] * prior.weight / (
        prior.weight.square().sum(1, keepdim=True)
    )
    assert change.abs().max() < 1e-9  # nothing but a scale of each row


def test_without_rows_or_without_votes_the_head_is_the_prior():
    prior = head(1)
    features, votes = galaxies(6, prior)
    for some in (
        fit_head(features[:0], votes[:0], prior, TREE),
        fit_head(features, votes * math.nan, prior, TREE, 3.0),
    ):
        assert torch.equal(some.weight, prior.weight) and torch.equal(some.bias, prior.bias)


def test_a_row_without_votes_changes_nothing_and_an_unknown_question_only_the_other_one():
    prior = head(2)
    features, votes = galaxies(40, shifted(prior))
    more = torch.cat([features, features[:5] + 3]), torch.cat([votes, torch.full((5, ANSWERS), math.nan)])
    for one, other in zip(
        fit_head(features, votes, prior, TREE, 10.0), fit_head(*more, prior, TREE, 10.0), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-9)
    votes[:, 3:] = math.nan
    fitted = fit_head(features, votes, prior, TREE, 10.0)
    assert torch.allclose(fitted.weight[3:], prior.weight[3:]) and torch.allclose(fitted.bias[3:], prior.bias[3:])
    assert not torch.allclose(fitted.bias[:3], prior.bias[:3])


def test_a_weaker_pull_fits_the_rows_more_closely_and_a_strong_one_is_scale_and_offset_alone():
    prior, true = head(3), head(4)
    features, votes = galaxies(200, true)
    losses = []
    for strength in (math.inf, 1e9, 100.0, 1.0):
        fitted = fit_head(features, votes, prior, TREE, strength)
        losses.append(loss_of(fitted.concentration(features[:, 0]), votes, TREE).item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert losses[1] > losses[2] > losses[3]


def test_the_strength_is_that_of_the_least_loss_on_rows_that_were_not_fitted():
    prior = head(5)
    features, votes = galaxies(60, shifted(prior))
    strengths = (math.inf, 10.0, 0.1)
    chosen, losses = choose_strength(features, votes, prior, TREE, strengths=strengths)
    assert list(losses) == list(strengths) and losses[chosen] == min(losses.values())
    assert chosen == math.inf  # which the votes were drawn by
    other, others = galaxies(300, head(6), seed=1), galaxies(300, head(6), seed=2)
    chosen, _ = choose_strength(*other, prior, TREE, (others[0][:, 0], others[1]), strengths)
    assert chosen < math.inf  # another head altogether, and rows enough to see it


def test_folds_hold_every_row_once_and_no_row_is_predicted_by_a_head_that_saw_it():
    folds = folds_of(23, 5)
    assert sorted(torch.cat(folds).tolist()) == list(range(23)) and len(folds) == 5
    assert len(folds_of(3, 5)) == 3
    prior = head(7)
    features, votes = galaxies(23, shifted(prior))
    (before,) = out_of_folds(features, votes, prior, TREE, [math.inf], folds)
    changed = votes.clone()
    changed[folds[0]] = votes[folds[0]].flip(0) + 5
    (after,) = out_of_folds(features, changed, prior, TREE, [math.inf], folds)
    assert torch.equal(before[folds[0]], after[folds[0]]) and not torch.equal(before[folds[1]], after[folds[1]])


def test_a_head_gives_the_concentrations_of_the_classifier_also_beyond_its_limits():
    some, features = head(0), torch.randn(50, SIZE, dtype=torch.float64) * 100
    raw = features @ some.weight.T + some.bias
    assert (raw < -10).any() and (raw > 10).any()
    assert torch.allclose(some.concentration(features).float(), concentration_of(raw))


def test_a_strength_or_a_shape_that_cannot_be_is_refused():
    prior = head(8)
    features, votes = galaxies(4, prior)
    with pytest.raises(ValueError, match=r"strength=0.0 is not above 0"):
        fit_head(features, votes, prior, TREE, 0.0)
    with pytest.raises(ValueError, match=r"give \(N, views, D\)"):
        fit_head(features[:, 0], votes, prior, TREE)
