"""Write claims as sentences."""

import random
import zlib
from collections.abc import Iterable

import numpy as np

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from . import grammar
from .claims import Claim, Claims, claims_from_votes
from .plan import plan_of
from .reading import check_words

NUM_CAPTIONS = 5
_KINDS = ("smooth", "featured", "edge-on", "spiral", *grammar.PROBLEMS)


def _check(ordered: list[Claim], tree: DecisionTree) -> None:
    """Check that captions can state these claims, and that one volunteer could have made any two of them.

    Raises:
        ValueError: the tree does not ask for a claim or it has no words, or two claims exclude each other.
    """
    check_words(tree)
    plan = plan_of(tree)
    for index, (concept, _) in enumerate(ordered):
        if concept not in plan.sayable:
            raise ValueError(
                f"{concept} has no words in captions of tree {tree.name!r}; those that have are "
                f"{', '.join(sorted(plan.sayable))}"
            )
        for earlier, _ in ordered[:index]:
            if frozenset((earlier, concept)) in plan.excluding:
                raise ValueError(f"{earlier} and {concept} exclude each other in the tree; leave one out")
            if problems := sorted({earlier, concept} & grammar.PROBLEMS.keys()):
                raise ValueError(f"{problems[0]} stands alone in a caption; leave out the other claims")


def write_captions(
    claims: Iterable[Claim], n: int = NUM_CAPTIONS, seed: int = 0, tree: DecisionTree = GALAXY_ZOO_2
) -> list[str]:
    """Write ``n`` sentences about one galaxy, different from each other if the claims allow it.

    Of five sentences, the first three state every claim, the fourth some of them, and the last the kind of galaxy with
    at most one detail.

    Args:
        claims: claims such as those of :func:`claims_from_votes`.
        n: number of sentences.
        seed: the same claims and seed give the same sentences.
        tree: the claims are concepts and words of this tree.

    Raises:
        ValueError: n is below 1, a claim or words of the tree cannot be said, or two claims exclude each other.
    """
    if n < 1:
        raise ValueError(f"n={n} is below 1; ask for one caption or more")
    ordered = Claims(claims).in_order()
    _check(ordered, tree)
    rng = random.Random(seed)
    written: list[str] = []
    for index in range(n):
        for _ in range(20):  # attempts at a sentence that is new
            sentence = grammar.compose(_some(ordered, index % NUM_CAPTIONS, rng), rng, tree)
            if sentence not in written:
                break
        written.append(sentence)
    return written


def _some(ordered: list[Claim], level: int, rng: random.Random) -> list[Claim]:
    """Return all claims (level 0 to 2), or the kind of galaxy with some (3) or at most one (4) of its details."""
    details = [claim for claim in ordered if claim.concept not in _KINDS]
    if level < 3 or not details:
        return ordered
    kept = set(rng.sample(details, max(1, len(details) - 1 - rng.randrange(2)) if level == 3 else rng.randrange(2)))
    return [claim for claim in ordered if claim.concept in _KINDS or claim in kept]


def captions_of(galaxy_id: str, votes, tree: DecisionTree = GALAXY_ZOO_2) -> list[str]:
    """Return the reference captions of a galaxy, which depend on its id, its (answers,) votes and their tree alone."""
    # float32 as in stored data sets, so that a vote share at a limit is rounded to the same side of it.
    votes = np.asarray(votes, dtype=np.float32)
    return write_captions(claims_from_votes(votes, tree), NUM_CAPTIONS, zlib.crc32(galaxy_id.encode()), tree)


__all__ = ["NUM_CAPTIONS", "write_captions"]
