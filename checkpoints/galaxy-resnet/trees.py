"""The trees of one model or data set: the answers of several campaigns side by side on the last axis of arrays.

A row has votes of the campaigns that showed its galaxy, and NaN for the others. A model of several trees has the
features of an image once, and a part of its vote head for each of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise

import numpy as np

from .decision_tree import GALAXY_ZOO_2
from .tree import MOST_ANSWERS, DecisionTree


class Trees(Mapping):
    """Campaign -> its :class:`DecisionTree`, in the order of their answers on the last axis.

    They are equal if the answers are: models that were saved with other texts or concepts have the same votes.

    Args:
        trees: at least one; each has another name.

    Raises:
        ValueError: there is none, two have the same name, or there are too many answers.
    """

    def __init__(self, trees: Iterable[DecisionTree] = (GALAXY_ZOO_2,)):
        trees = tuple(trees)
        self._trees = {tree.name: tree for tree in trees}
        if not trees:
            raise ValueError("there is no tree; give at least one")
        if len(self._trees) < len(trees):
            names = [tree.name for tree in trees]
            repeated = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two trees have the name {repeated!r}; rename one")
        if self.num_answers > MOST_ANSWERS:
            raise ValueError(f"{len(trees)} trees have {self.num_answers} answers, more than {MOST_ANSWERS}; use fewer")

    def __getitem__(self, campaign: str) -> DecisionTree:
        return self._trees[campaign]

    def __iter__(self) -> Iterator[str]:
        return iter(self._trees)

    def __len__(self) -> int:
        return len(self._trees)

    def __eq__(self, other) -> bool:
        return isinstance(other, Trees) and self._answers == other._answers

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Trees({', '.join(self)})"

    @cached_property
    def _answers(self) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        return [(campaign, tree.answers) for campaign, tree in self.items()]

    @cached_property
    def num_answers(self) -> int:
        """Length of the last axis."""
        return sum(len(tree.answers) for tree in self.values())

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Campaign -> slice of its answers on the last axis."""
        limits = np.cumsum([0, *(len(tree.answers) for tree in self.values())]).tolist()
        return {campaign: slice(*ends) for campaign, ends in zip(self, pairwise(limits), strict=True)}

    @property
    def first(self) -> DecisionTree:
        """The tree that is meant where nobody names one."""
        return next(iter(self.values()))

    def named(self, campaign: str | None = None) -> DecisionTree:
        """Return the tree of a campaign, or the first one.

        Raises:
            ValueError: there is none of that name.
        """
        if campaign is None:
            return self.first
        if campaign not in self:
            raise ValueError(f"campaign={campaign!r} is not one of {', '.join(self)}; choose one of these")
        return self[campaign]

    def part(self, values, campaign: str | None = None):
        """Return the part of an array or tensor (..., all answers) that is of one campaign, or of the first one."""
        return values[..., self.slices[self.named(campaign).name]]

    def to_list(self) -> list[dict]:
        """Return the trees as data for JSON, which :meth:`from_list` reads."""
        return [tree.to_dict() for tree in self.values()]

    @classmethod
    def from_list(cls, data: list[Mapping]) -> "Trees":
        """Return the trees that :meth:`to_list` wrote.

        Raises:
            ValueError: it has another form, or one of them is not a tree.
        """
        if not isinstance(data, list):
            raise ValueError("trees are a list of objects, each with a name and questions")
        return cls(map(DecisionTree.from_dict, data))


__all__ = ["Trees"]
