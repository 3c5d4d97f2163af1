"""Votes for galaxies whose captions are known."""

import numpy as np

from galaxy_vision.models.decision_tree import answer_index


def votes_of(**shares: float) -> np.ndarray:
    """40 volunteers; ``a06=.7`` gives 70 % of those asked t03; questions without a given answer get none."""
    votes = np.zeros(37)
    for name, share in shares.items():
        votes[answer_index(name)] = 40 * share
    return votes


SPIRAL = votes_of(
    a01=0.1, a02=0.9, a05=1.0, a06=0.8, a07=0.2, a08=0.9, a09=0.1, a11=0.7, a12=0.3, a15=1.0, a30=0.65, a29=0.35, a32=1
)
