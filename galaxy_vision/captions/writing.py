"""Claims -> sentences; with ``claims.py`` and ``caption_reading.py``, whose names stand here too, the whole way from votes to captions
and back."""

import random
import zlib
from collections.abc import Iterable

import numpy as np

from ..models.decision_tree import QUESTION_OF_ANSWER, QUESTIONS, SHORT_NAMES, answer_index
from . import grammar
from .claims import Claim, Claims, claims_from_votes

NUM_CAPTIONS = 5


def _route(answer: str) -> dict[str, set[str]]:
    """Question stem -> the answers that a volunteer who gave this answer can have given there; its own included."""
    question = QUESTIONS[QUESTION_OF_ANSWER[answer_index(answer)]]
    route = {question.stem: {answer}}
    for parent in question.parents:
        for stem, above in _route(parent).items():
            route[stem] = route.get(stem, set()) | above
    return route


_ROUTES = {answer: _route(answer) for answer in SHORT_NAMES}
_SAYABLE = {"a01_smooth", "a02_features_or_disk", "a03_star_or_artifact", *grammar.THINGS, *grammar.ADJECTIVES}
_SAYABLE |= {*grammar.ARM_NUMBERS, *grammar.ARM_WINDINGS}


def _check(ordered: list[Claim]) -> None:
    """Raise ValueError for claims that have no words, and for two that no volunteer could have made of one galaxy."""
    for place, (answer, _) in enumerate(ordered):
        if answer not in _SAYABLE:
            raise ValueError(
                f"{answer} has no words in captions; the answers that have are {', '.join(sorted(_SAYABLE))}"
            )
        for other, _ in ordered[:place]:
            if any(
                not _ROUTES[other][stem] & given for stem, given in _ROUTES[answer].items() if stem in _ROUTES[other]
            ):
                raise ValueError(f"{other} and {answer} exclude each other in the tree; leave one out")


def write_captions(claims: Iterable[Claim], n: int = NUM_CAPTIONS, seed: int = 0) -> list[str]:
    """``n`` sentences about one galaxy, different wherever the claims allow; the first three (of five) state every claim, one
    some, and the last hardly more than what kind of galaxy it is.

    Args:
        claims: as :func:`claims_from_votes` gives them.
        n: number of sentences.
        seed: the same claims and seed give the same sentences.

    Raises:
        ValueError: n is below 1, an answer has no words, or the tree forbids two claims together.
    """
    if n < 1:
        raise ValueError(f"n={n} is below 1; ask for one caption or more")
    ordered = Claims(claims).in_order()
    _check(ordered)
    rng = random.Random(seed)
    written: list[str] = []
    for place in range(n):
        for _ in range(20):
            sentence = grammar.compose(_some(ordered, place % NUM_CAPTIONS, rng), rng)
            if sentence not in written:
                break
        written.append(sentence)
    return written


def _some(ordered: list[Claim], level: int, rng: random.Random) -> list[Claim]:
    """All claims (level 0 to 2), or the kind of galaxy with some (3) or at most one (4) of its details."""
    kinds = ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact", "a04_yes", "a08_spiral")
    details = [claim for claim in ordered if claim.answer not in kinds]
    if level < 3 or not details:
        return ordered
    kept = set(rng.sample(details, max(1, len(details) - 1 - rng.randrange(2)) if level == 3 else rng.randrange(2)))
    return [claim for claim in ordered if claim.answer in kinds or claim in kept]


def captions_of(galaxy_id: str, votes) -> list[str]:
    """The reference captions of a galaxy: the same wherever its row comes from."""
    votes = np.asarray(votes, dtype=np.float32)  # as they are stored, so that a share at a limit falls on the same side
    return write_captions(claims_from_votes(votes), NUM_CAPTIONS, seed=zlib.crc32(galaxy_id.encode()))


__all__ = ["NUM_CAPTIONS", "write_captions"]
