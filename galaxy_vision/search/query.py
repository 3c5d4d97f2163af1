"""What a search asks for: clauses that must all hold, each of them one term or several alternatives."""

from collections.abc import Iterable
from typing import NamedTuple

from ..captions import grammar
from .words import CLASS, MOST


class Term(NamedTuple):
    """That a share of the volunteers asked would give one of some answers, or that it would not.

    Attributes:
        keys: concepts, words of the tree or classes (:data:`~galaxy_vision.search.words.CLASS`); several are answers to
            one question, whose shares are added.
        share: of the volunteers asked, from which the term holds; without meaning for classes.
        denied: whether the term is that it does not hold.
    """

    keys: tuple[str, ...]
    share: float = MOST
    denied: bool = False

    def __str__(self) -> str:
        words = " or ".join(map(_words, self.keys))
        if self.denied:
            deny = "no" if all(key in grammar.THINGS and key not in _NAMES for key in self.keys) else "not"
            return f"{deny} {words}" if self.share == MOST else f"{words} (below {self.share:.0%})"
        return words if self.share == MOST else f"{words} ({self.share:.0%} or more)"


class Clause(NamedTuple):
    """Alternatives, at least one of which must hold; each is the terms that must hold together."""

    alternatives: tuple[tuple[Term, ...], ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms, of whatever alternative."""
        return sum(self.alternatives, ())

    def __str__(self) -> str:
        return " or ".join(" and ".join(map(str, terms)) for terms in self.alternatives)


class Query(NamedTuple):
    """A sentence as it was understood.

    Attributes:
        clauses: that must all hold.
        unread: words of the sentence that were not understood, in their order.
        notes: sentences on what to know of it: why words were not read, what is implied, what excludes each other.
    """

    clauses: tuple[Clause, ...]
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def without(self, hidden: Iterable[int]) -> "Query":
        """Return the query without the clauses of these numbers, which a user has switched off."""
        hidden = set(hidden)
        return self._replace(
            clauses=tuple(clause for number, clause in enumerate(self.clauses) if number not in hidden)
        )


_NAMES = {
    "not-edge-on": "face-on",
    "featured": "disc or features",
    "odd": "something odd",
    "no-clumps": "no clumps",
    "merger": "merger",
    "lens-or-arc": "lens or arc",
    "round": "round",
    "in-between": "oval",
    "cigar-shaped": "cigar-shaped",
    "disturbed": "disturbed",
    "irregular": "irregular",
    "bulge-none": "without bulge",
    "edge-on-bulge-none": "without bulge",
    "edge-on-bulge-any-shape": "bulge",
}
"""Names of concepts whose first phrase in captions does not say alone what is meant."""


def _words(key: str) -> str:
    """Return words for a key, such as ``"two arms"`` for ``"arms-2"``."""
    if key.startswith(CLASS):
        return key
    if key in _NAMES:
        return _NAMES[key]
    for table, noun in ((grammar.ARM_NUMBERS, "arms"), (grammar.ARM_WINDINGS, "arms")):
        if key in table:
            return f"{table[key][0]} {noun if key != 'arms-1' else 'arm'}"
    for table in (grammar.THINGS, grammar.ADJECTIVES, grammar.PROBLEMS):
        if key in table:
            return table[key][0].removeprefix("a ").removeprefix("an ")
    return key.removeprefix("a ").removeprefix("an ")


__all__ = ["Clause", "Query", "Term"]
