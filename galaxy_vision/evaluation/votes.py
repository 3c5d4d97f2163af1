"""Scores of the votes of one campaign, or of several side by side."""

import numpy as np

from ..models.trees import Trees
from .metrics import GalaxyMetric, training_constants
from .sums import root


class VoteMetrics:
    """Scores of predicted votes beside those of constant answers, for every campaign.

    Args:
        trees: of the answers on the last axis.
        train_votes: (N, all answers) votes of training rows, from which the constant answers are.
    """

    def __init__(self, trees: Trees, train_votes):
        self.trees = trees
        train_votes = np.asarray(train_votes)
        self.metrics = {
            campaign: GalaxyMetric("votes", tree=tree, **training_constants(trees.part(train_votes, campaign), tree))
            for campaign, tree in trees.items()
        }

    def add_batch(self, *, predictions: np.ndarray, references: np.ndarray) -> None:
        """Add predicted concentrations and votes of rows, both (B, all answers)."""
        for campaign, metric in self.metrics.items():
            concentration, votes = (self.trees.part(values, campaign) for values in (predictions, references))
            if len(self.trees) > 1:  # a galaxy of another campaign is not one without votes
                shown = ~np.isnan(votes).all(axis=1)
                concentration, votes = concentration[shown], votes[shown]
            metric.add_batch(predictions=concentration, references=votes)

    def compute(self) -> dict:
        """Return the scores of the campaign; of several the error of all known answers, and those of ``campaigns``."""
        scores = {campaign: metric.compute() for campaign, metric in self.metrics.items()}
        if len(scores) == 1:
            return scores[self.trees.first.name]
        known = sum(score["known_answers"] for score in scores.values())
        squared = sum((score["rmse_known"] or 0.0) ** 2 * score["known_answers"] for score in scores.values())
        return {
            "rows": sum(score["rows"] for score in scores.values()),
            "known_answers": known,
            "rmse_known": root(squared, known),
            "campaigns": scores,
        }


def answers_of(trees: Trees, of: Trees) -> np.ndarray | None:
    """Return where the answers of some trees stand among those of a model, as indices; None where they are the same.

    Args:
        trees: all of them are trees of the model.
        of: the trees of the model.
    """
    if trees == of:
        return None
    return np.concatenate([np.arange(of.num_answers)[of.slices[campaign]] for campaign in trees])


def by_campaign(votes: dict | None) -> dict[str, dict]:
    """Return the scores of each campaign from those of :meth:`VoteMetrics.compute`; older runs are of Galaxy Zoo 2."""
    if votes is None:
        return {}
    return votes.get("campaigns") or {votes.get("campaign", "gz2"): votes}


def error_of_all(scores: dict) -> tuple[str, int]:
    """Return the name of the error over all answers of a campaign, such as ``"rmse_37"``, and their number."""
    name = next(name for name in scores if name.startswith("rmse_") and name != "rmse_known")
    return name, int(name.removeprefix("rmse_"))
