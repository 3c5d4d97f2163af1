"""Write claims as sentences."""

import random
import zlib
from collections.abc import Iterable

import numpy as np

from ..models.decision_tree import QUESTION_OF_ANSWER, QUESTIONS, SHORT_NAMES, answer_index
from . import grammar
from .claims import Claim, Claims, claims_from_votes

NUM_CAPTIONS = 5


def _route(answer: str) -> dict[str, set[str]]:
    """Return, by question stem, the answers that a volunteer who gave this answer can have given; itself included."""
    question = QUESTIONS[QUESTION_OF_ANSWER[answer_index(answer)]]
    route = {question.stem: {answer}}
    for parent in question.parents:
        for stem, answers in _route(parent).items():
            route[stem] = route.get(stem, set()) | answers
    return route


_ROUTES = {answer: _route(answer) for answer in SHORT_NAMES}
_SAYABLE = {"a01_smooth", "a02_features_or_disk", "a03_star_or_artifact", *grammar.THINGS, *grammar.ADJECTIVES}
_SAYABLE |= {*grammar.ARM_NUMBERS, *grammar.ARM_WINDINGS}


def _check(ordered: list[Claim]) -> None:
    """Check that captions can state these claims, and that one volunteer could have made any two of them.

    Raises:
        ValueError: an answer has no words, or two answers exclude each other.
    """
    for index, (answer, _) in enumerate(ordered):
        if answer not in _SAYABLE:
            raise ValueError(
                f"{answer} has no words in captions; the answers that have are {', '.join(sorted(_SAYABLE))}"
            )
        route = _ROUTES[answer]
        for earlier, _ in ordered[:index]:
            shared = _ROUTES[earlier].keys() & route.keys()
            if any(_ROUTES[earlier][stem].isdisjoint(route[stem]) for stem in shared):
                raise ValueError(f"{earlier} and {answer} exclude each other in the tree; leave one out")


def write_captions(claims: Iterable[Claim], n: int = NUM_CAPTIONS, seed: int = 0) -> list[str]:
    """Write ``n`` sentences about one galaxy, different from each other if the claims allow it.

    Of five sentences, the first three state every claim, the fourth some of them, and the last the kind of galaxy with
    at most one detail.

    Args:
        claims: claims such as those of :func:`claims_from_votes`.
        n: number of sentences.
        seed: the same claims and seed give the same sentences.

    Raises:
        ValueError: n is below 1, an answer has no words, or two claims exclude each other in the tree.
    """
    if n < 1:
        raise ValueError(f"n={n} is below 1; ask for one caption or more")
    ordered = Claims(claims).in_order()
    _check(ordered)
    rng = random.Random(seed)
    written: list[str] = []
    for index in range(n):
        for _ in range(20):  # attempts at a sentence that is new
            sentence = grammar.compose(_some(ordered, index % NUM_CAPTIONS, rng), rng)
            if sentence not in written:
                break
        written.append(sentence)
    return written


def _some(ordered: list[Claim], level: int, rng: random.Random) -> list[Claim]:
    """Return all claims (level 0 to 2), or the kind of galaxy with some (3) or at most one (4) of its details."""
    kinds = ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact", "a04_yes", "a08_spiral")
    details = [claim for claim in ordered if claim.answer not in kinds]
    if level < 3 or not details:
        return ordered
    kept = set(rng.sample(details, max(1, len(details) - 1 - rng.randrange(2)) if level == 3 else rng.randrange(2)))
    return [claim for claim in ordered if claim.answer in kinds or claim in kept]


def captions_of(galaxy_id: str, votes, tree=None) -> list[str]:
    """Return the reference captions of a galaxy, which depend on its id and its (37,) votes alone."""
    # float32 as in stored data sets, so that a vote share at a limit is rounded to the same side of it.
    votes = np.asarray(votes, dtype=np.float32)
    return write_captions(claims_from_votes(votes), NUM_CAPTIONS, seed=zlib.crc32(galaxy_id.encode()))


__all__ = ["NUM_CAPTIONS", "write_captions"]
