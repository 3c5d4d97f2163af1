"""Hold predicted votes to what the class of a galaxy says about them.

Class folders are often cuts on vote fractions: whoever is in the folder ``spiral`` has fractions above some limits. A
galaxy without votes, but in such a folder, then has bounds on its votes, and a prediction below them is wrong.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.special import betaincc

from ..models.decision_tree import ANSWERS, GALAXY_ZOO_2, KAGGLE_COLUMNS, QUESTION_SLICES, QUESTIONS, answer_index

LEAST_TAIL = 1e-12
"""Probability of the part of a distribution above its bound below which its mean is the bound. Ours: above rounding."""


def read_bounds(path: str, class_names: list[str]) -> dict[int, np.ndarray]:
    """Read the bounds of the classes of a data set.

    Args:
        path: JSON file with an object: class name -> list of [column, least cumulative fraction], such as
            ``{"spiral": [["Class1.2", 0.43], ["Class4.1", 0.619]]}``.
        class_names: classes in label order.

    Returns:
        Label -> (37,) least cumulative fractions of :func:`least_fractions`, for the classes that the file names.

    Raises:
        ValueError: the file is not such an object, it names another class, or bounds contradict each other.
    """
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"bounds={path!r} cannot be read: {error}; give a JSON file") from error
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f'bounds={path!r} is not an object such as {{"spiral": [["Class4.1", 0.619]]}}')
    if unknown := [name for name in given if name not in class_names]:
        raise ValueError(
            f"bounds={path!r} has the class {unknown[0]!r}, and those of the data set are {', '.join(class_names)}; "
            "rename or remove it"
        )
    bounds = {}
    for name, limits in given.items():
        try:
            bounds[class_names.index(name)] = least_fractions(limits)
        except ValueError as error:
            raise ValueError(f"bounds={path!r}, class {name!r}: {error}") from error
    return bounds


def least_fractions(limits: list[tuple[str, float]]) -> np.ndarray:
    """Return the least cumulative fraction of each answer, (37,), 0 where there is no bound.

    An answer that leads to a bounded one has at least its bound, since nobody else is asked.

    Args:
        limits: column of the Galaxy Challenge, such as ``"Class4.1"``, and its least cumulative fraction.

    Raises:
        ValueError: a limit is not such a pair, its column does not exist or is of a question to which several answers
            lead (Class6 and Class8), or two answers of one question have bounds.
    """
    least = np.zeros(len(ANSWERS))
    for limit in limits if isinstance(limits, list) else [limits]:
        column, value = limit if isinstance(limit, list | tuple) and len(limit) == 2 else (limit, None)
        if column not in KAGGLE_COLUMNS or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{limit!r} is not a column and a number; write a list such as ['Class4.1', 0.619]")
        if not 0 <= value < 1:
            raise ValueError(f"{column} >= {value:g} is outside 0 <= fraction < 1; give a cumulative fraction")
        index = KAGGLE_COLUMNS.index(column)
        least[index] = max(least[index], value)
    for question in reversed(QUESTIONS):  # children first
        bounded = least[QUESTION_SLICES[question.stem]]
        if np.count_nonzero(bounded) > 1:
            raise ValueError(f"two answers of {question.stem} have bounds, of which one is the rest; leave one out")
        if bounded.any() and question.parents:
            if len(question.parents) > 1 or question.stem == "t08_odd_feature":  # which is asked after such a one
                raise ValueError(f"bounds on {question.stem} cannot be held to; leave them out")
            parent = answer_index(question.parents[0])
            least[parent] = max(least[parent], bounded.max())
    return least


def hold(conditional: np.ndarray, certainty: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return predicted fractions given that cumulative ones are not below their least values.

    From the first question on, the prediction of a bounded answer, a Beta distribution, is cut at its bound over the
    reach of its question, and becomes the mean of what is left; the other answers of its question are scaled.

    Args:
        conditional: (N, 37) predicted conditional fractions.
        certainty: (N, 37) sum of the Dirichlet concentrations of the question of each answer.
        least: (37,) from :func:`least_fractions`.

    Returns:
        (N, 37) conditional fractions.
    """
    held = np.array(conditional, dtype=np.float64)
    for answers in QUESTION_SLICES.values():  # parents come first
        bounded = np.flatnonzero(least[answers])
        if not len(bounded):
            continue
        index = answers.start + int(bounded[0])
        before, total = held[:, index].copy(), certainty[:, index]
        bound = np.clip(least[index] / GALAXY_ZOO_2.reach(held)[:, index], 0.0, 1.0)
        a, b = before * total, (1 - before) * total
        tail = betaincc(a, b, bound)
        mean = before * betaincc(a + 1, b, bound) / np.maximum(tail, LEAST_TAIL)
        after = np.where(tail > LEAST_TAIL, np.clip(mean, bound, 1.0), bound)
        rest = np.divide(1 - after, 1 - before, out=np.zeros_like(after), where=before < 1)
        held[:, answers] *= rest[:, None]
        held[:, index] = after
    return held
