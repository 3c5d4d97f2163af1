"""Whose votes a column ``votes`` has: the column ``vote_campaign`` beside it names a campaign for each row.

Galaxy Zoo 2 and the Galaxy Challenge asked the same questions, and their votes differ: the challenge published
fractions that are corrected for redshift. Columns of one answer each, such as ``bar-dr5_strong``, say by their names
whose they are, and need no mark.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from ..models.trees import Trees
from .campaigns import campaign_names, tree_of

MARK = "vote_campaign"
"""Name of the column."""


def is_listed(trees: Trees) -> bool:
    """Return whether votes of these trees are stored as lists: those of one campaign with the answers of hart16."""
    return len(trees) == 1 and trees.first.answers == GALAXY_ZOO_2.answers


def marked_trees(columns: Iterable[pa.ChunkedArray], own: Trees | None = None) -> Trees:
    """Return the trees that columns :data:`MARK` name, in the order of :func:`campaign_names`.

    Args:
        columns: of the splits of a data set.
        own: trees that may be named beside the campaigns of the package.

    Raises:
        ValueError: a name is not that of a campaign, or there is none.
    """
    named = {name for column in columns for name in pc.unique(column).to_pylist() if name is not None}
    if not named:
        raise ValueError(f"column `{MARK}` names no campaign; fill it, or remove it")
    order = [*campaign_names(), *(name for name in own or () if name not in campaign_names())]
    if unknown := sorted(named - set(order)):
        raise ValueError(f"column `{MARK}` names {unknown[0]!r}, which is not one of {', '.join(order)}; mend it")
    return Trees(_tree(name, own) for name in order if name in named)


def _tree(name: str, own: Trees | None) -> DecisionTree:
    return own[name] if own is not None and name in own else tree_of(name)


def spread(votes: np.ndarray, trees: Trees, onto: Trees) -> np.ndarray:
    """Return votes (..., answers of ``trees``) as (..., answers of ``onto``), NaN for campaigns not in both."""
    wide = np.full((*votes.shape[:-1], onto.num_answers), np.nan, dtype=votes.dtype)
    for campaign in onto:
        if campaign in trees:
            wide[..., onto.slices[campaign]] = votes[..., trees.slices[campaign]]
    return wide


def joined_trees(several: Iterable[Trees]) -> Trees:
    """Return all trees of several data sets, those of the package in the order of :func:`campaign_names`.

    Raises:
        ValueError: two different trees have the same name.
    """
    found: dict[str, DecisionTree] = {}
    for trees in several:
        for name, tree in trees.items():
            if found.setdefault(name, tree) != tree:
                raise ValueError(f"two different trees have the name {name!r}; rename one")
    order = campaign_names()
    ranked = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return Trees(found[name] for name in ranked)
