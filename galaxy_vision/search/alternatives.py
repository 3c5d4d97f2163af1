"""Join what "or" joins in a sentence: claims, or whole phrases."""

from typing import NamedTuple

from ..captions.reading import Token
from .query import Clause, Term

ENDS_SEGMENT = frozenset(("and", "but", "or", ",", ";", "."))
"""Words and punctuation between the segments of a sentence."""


class Found(NamedTuple):
    """A term, the token that states it, whether "or" joins it to the last one, and whether it has an article."""

    term: Term
    token: Token
    after_or: bool
    has_article: bool


def joined(found: list[Found]) -> list[Clause]:
    """Join what "or" joins: neighbouring terms, or the whole phrases in which they stand."""
    clauses: list[list[list[Found]]] = []  # clause -> alternatives -> terms
    index = 0
    while index < len(found):
        item, last = found[index], clauses[-1] if clauses else None
        joins = item.after_or and last and not (item.term.denied and last[-1][-1].term.denied)
        run = _run(found, index)
        before = last and _run_back(found, index - 1)
        whole = joins and _is_whole(before, run)
        if joins and whole and len(before) > 1 and len(last) == 1:
            for _ in before[1:]:  # the terms of the phrase before are clauses of their own so far
                clauses.pop()
            clauses[-1] = [before]
        if joins:
            clauses[-1].append(run if whole else [item])
            index += len(run) if whole else 1
        else:
            clauses.append([[item]])
            index += 1
    return [Clause(tuple(tuple(item.term for item in terms) for terms in alternatives)) for alternatives in clauses]


def _run(found: list[Found], start: int) -> list[Found]:
    """Return the terms from ``start`` between which there is no word ("a barred spiral")."""
    end = start + 1
    while end < len(found) and found[end].token.at == found[end - 1].token.end + 1:
        end += 1
    return found[start:end]


def _run_back(found: list[Found], end: int) -> list[Found]:
    start = end
    while start > 0 and found[start].token.at == found[start - 1].token.end + 1:
        start -= 1
    return found[start : end + 1]


def _is_whole(before: list[Found], run: list[Found]) -> bool:
    with_article = all(part[0].has_article for part in (before, run))
    return with_article or all(part[-1].token.text.endswith("s") for part in (before, run))


def has_article(text: str, token: Token) -> bool:
    """Return whether an article begins the phrase of a token ("a blue ring")."""
    words = [*text[: token.at].split(), token.text.split()[0]]
    words = [word for word in words if word[0].isalnum() or word in ENDS_SEGMENT]
    for word in reversed(words[-4:]):
        if word in ("a", "an"):
            return True
        if word in ENDS_SEGMENT:
            return False
    return False
