"""Which galaxies are shown next: those that teach most, or those that are likeliest what is looked for.

Galaxies are rows of embeddings (N, D). A galaxy teaches much where the model hesitates between two labels and where
nothing that was labelled or is about to be shown is like it.
"""

import numpy as np

CANDIDATES = 400
"""Galaxies of which the next are chosen. Ours: distances to them take milliseconds, whatever the catalogue."""

HESITANT = 10
"""Times as many candidates as galaxies that are chosen, the least certain ones. Ours."""


def next_to_label(
    embeddings: np.ndarray,
    is_open: np.ndarray,
    labelled: np.ndarray,
    probabilities: np.ndarray | None,
    count: int,
    seed: int = 0,
) -> np.ndarray:
    """Return the galaxies that teach most, in order.

    Before the model has learned they are spread: of random candidates, each next one is the farthest from all that are
    labelled or chosen. Afterwards the candidates are those with the smallest margin between their two likeliest labels,
    and each next one has the largest product of one minus its margin and its distance.

    Args:
        embeddings: (N, D).
        is_open: (N,) bool, those that may be shown.
        labelled: indices of those that are labelled.
        probabilities: (N, K) of the labels; None before the model has learned.
        count: galaxies to choose.
        seed: of the random candidates.

    Returns:
        Indices, ``count`` or as many as are open.
    """
    candidates = np.random.default_rng(seed).permutation(np.flatnonzero(is_open))
    if probabilities is None:
        candidates = candidates[: max(CANDIDATES, count)]
        doubt = np.ones(len(candidates))
    else:
        likeliest = np.sort(probabilities[candidates], axis=1)[:, ::-1]
        margin = likeliest[:, 0] - likeliest[:, 1]
        doubtful = np.argsort(margin, kind="stable")[: max(HESITANT * count, 1)]
        candidates, doubt = candidates[doubtful], 1 - margin[doubtful]
    chosen = spread(embeddings[candidates], embeddings[labelled], doubt, count)
    return candidates[chosen]


def likeliest_first(
    embeddings: np.ndarray,
    is_open: np.ndarray,
    labelled: np.ndarray,
    examples: np.ndarray,
    probability: np.ndarray | None,
    count: int,
    seed: int = 0,
) -> np.ndarray:
    """Return the galaxies that are likeliest what is looked for, in order.

    Before the model has learned they are those most like the examples; without an example, they are spread.

    Args:
        embeddings: (N, D).
        is_open: (N,) bool, those that may be shown.
        labelled: indices of those that are labelled.
        examples: (M, D) embeddings of what is looked for.
        probability: (N,) that a galaxy is what is looked for; None before the model has learned.
        count: galaxies to choose.
        seed: of the random candidates.

    Returns:
        Indices, ``count`` or as many as are open.
    """
    if probability is None and not len(examples):
        return next_to_label(embeddings, is_open, labelled, None, count, seed)
    candidates = np.flatnonzero(is_open)
    if not len(candidates):
        return candidates
    if probability is None:
        _, distances = nearest(embeddings[candidates], examples)
        return candidates[np.argsort(distances, kind="stable")[:count]]
    return candidates[np.argsort(-probability[candidates], kind="stable")[:count]]


def spread(candidates: np.ndarray, known: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` candidates one by one, each with the largest product of weight and distance to the others.

    Args:
        candidates: (M, D) embeddings.
        known: (L, D) embeddings that count as others from the start.
        weight: (M,), 0 or more.
        count: how many; all if there are fewer.
    """
    if not len(candidates):
        return np.empty(0, int)
    scaled, known = _standardised(candidates, known)
    distances = nearest(scaled, known)[1] if len(known) else np.ones(len(scaled))
    left, chosen = np.ones(len(scaled), bool), []
    for _ in range(min(count, len(scaled))):
        index = int(np.argmax(np.where(left, weight * distances, -1.0)))
        chosen.append(index)
        left[index] = False
        to_it = np.linalg.norm(scaled - scaled[index], axis=1)
        distances = to_it if len(chosen) == 1 and not len(known) else np.minimum(distances, to_it)
    return np.array(chosen, int)


def nearest(embeddings: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest of ``others`` (M, D) to each embedding (N, D), and the distance (N,)."""
    squared = (embeddings**2).sum(1)[:, None] + (others**2).sum(1) - 2 * embeddings @ others.T
    return squared.argmin(1), np.sqrt(np.maximum(squared.min(1), 0))


def _standardised(candidates: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = candidates.mean(0), candidates.std(0)
    scale = np.where(scale > 0, scale, 1)
    return (candidates - mean) / scale, (known - mean) / scale if len(known) else known
