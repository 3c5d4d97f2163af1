import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import betaln, gammaln

from galaxy_vision.models.decision_tree import QUESTION_SLICES
from galaxy_vision.models.losses import dirichlet_multinomial_nll

RNG = np.random.default_rng(3)


def test_the_loss_equals_scipy_for_whole_votes():
    concentration = RNG.gamma(2.0, 2.0, (4, 37))
    votes = RNG.integers(0, 12, (4, 37))
    ours = dirichlet_multinomial_nll(torch.tensor(concentration), torch.tensor(votes, dtype=torch.float64)).numpy()
    for row in range(4):
        for question, answers in enumerate(QUESTION_SLICES.values()):
            k = votes[row, answers]
            known = -stats.dirichlet_multinomial(concentration[row, answers], k.sum()).logpmf(k)
            assert ours[row, question] == pytest.approx(known, rel=1e-4, abs=1e-4)


def test_the_loss_of_fractional_votes_is_the_beta_binomial_of_two_answers():
    concentration, votes = torch.ones(1, 37), torch.zeros(1, 37)
    answers = QUESTION_SLICES["t02_edgeon"]
    concentration[0, answers], votes[0, answers] = torch.tensor([1.5, 4.0]), torch.tensor([2.25, 7.5])
    known = gammaln(9.75 + 1) - gammaln(2.25 + 1) - gammaln(7.5 + 1) + betaln(2.25 + 1.5, 7.5 + 4.0) - betaln(1.5, 4.0)
    assert dirichlet_multinomial_nll(concentration, votes)[0, 1].item() == pytest.approx(-known, rel=1e-5)


def test_unknown_and_unasked_questions_cost_nothing_and_give_no_gradient():
    concentration = torch.full((1, 37), 2.0, requires_grad=True)
    votes = torch.full((1, 37), 3.0)
    votes[0, QUESTION_SLICES["t08_odd_feature"]] = float("nan")
    votes[0, QUESTION_SLICES["t09_bulge_shape"]] = 0.0
    losses = dirichlet_multinomial_nll(concentration, votes)
    assert losses[0, 7] == 0
    assert losses[0, 8].item() == pytest.approx(0, abs=1e-6)
    assert (losses[0, :7] > 0).all()
    losses.sum().backward()
    assert torch.isfinite(concentration.grad).all()
    assert (concentration.grad[0, QUESTION_SLICES["t08_odd_feature"]] == 0).all()
    assert (concentration.grad[0, QUESTION_SLICES["t01_smooth_or_features"]] != 0).all()


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(2, 37\)"):
        dirichlet_multinomial_nll(torch.ones(1, 37), torch.ones(2, 37))
