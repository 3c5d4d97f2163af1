"""Names of columns, of classes and of votes, that pandas, astropy and FITS accept."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from ..inference.answer_names import distinct, published_names
from ..models.trees import Trees

INTERVAL = ("fraction", "lower", "upper")
"""Ends of the columns of an answer: its fraction, and the 90 % interval of it."""
OF_QUESTION = ("reach", "certainty")
"""Ends of the columns of a question: the share of volunteers who are asked it, and how many votes the prediction is
worth, the sum of the Dirichlet concentrations of its answers."""

OTHER_COLUMNS = ("id", "source", "status", "error", "reading", "doubts", "caption", "embedding")
"""Columns of a prediction that are not of classes, numbers and votes."""


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """Return ``probability_{class}`` of each class, in letters, digits and underscores.

    FITS recommends these and does not distinguish case (standard 4.0, section 7.3.1). Names that would be equal get the
    number of their class: ``S b`` and ``S-b`` become ``probability_S_b_0`` and ``probability_S_b_1``.
    """
    return distinct([f"probability_{_plain(name)}" for name in class_names])


def number_columns(names: Sequence[str]) -> list[str]:
    """Return the column of each number, beside which ``{name}_error`` stands, in letters, digits and underscores.

    A name that another column of a prediction has gets ``predicted_`` before it.
    """
    columns = [_plain(name) for name in names]
    return distinct([f"predicted_{name}" if name.lower() in OTHER_COLUMNS else name for name in columns])


def _plain(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]", "_", plain)


def vote_columns(trees: Trees, taken: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the columns of the votes of each campaign, under the names of its published table.

    They are ``{question}_{answer}_fraction``, ``_lower`` and ``_upper`` of each answer, then ``{question}_reach`` of
    each question, and ``{question}_certainty`` of each. A campaign that shares a name with one before it has its own
    before all of its columns, as in ``gz_challenge_t03_bar_a06_bar_fraction``: those of the first campaign, whose votes
    are meant where none is named, are the same whatever else a model knows.

    Args:
        trees: of the columns.
        taken: names of other columns of the table.
    """
    names = {}
    for campaign, tree in trees.items():
        answers = [f"{answer}_{kind}" for answer in published_names(tree) for kind in INTERVAL]
        names[campaign] = answers + [f"{question.name}_{kind}" for kind in OF_QUESTION for question in tree.questions]
    before: set[str] = set()
    for campaign, columns in names.items():
        if not before.isdisjoint(name.lower() for name in columns):
            names[campaign] = [f"{campaign}_{name}" for name in columns]
        before |= {name.lower() for name in names[campaign]}
    whole = iter(distinct(sum(names.values(), []), taken))
    return {campaign: list(islice(whole, len(columns))) for campaign, columns in names.items()}
