"""Turn votes into claims, and score claims by how well they agree with votes.

A claim is a concept (:mod:`galaxy_vision.models.concepts`), plain ("a bar") or hedged ("hints of a bar"). Captions
state claims and nothing else, so that they can be scored against votes.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..models.concepts import ASPECT_OF, CONCEPTS
from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from .plan import DENIALS, GENERAL, PROBLEMS, UNCLEAR, Option, Plan, Step, plan_of

PLAIN, HEDGED = 0.6, 0.4
"""Vote share from which a claim is plain, and hedged. Ours: .6 is a clear majority, and below .4 most disagree."""
SUPPORTED = {False: 0.5, True: 0.3}
CONTRADICTED = {False: 0.3, True: 0.15}
"""Vote share from which a claim counts as supported, and below which as contradicted; undecided between.

The keys say whether the claim is hedged. Ours: below :data:`PLAIN` and :data:`HEDGED`, so that the claims made from
votes are always supported by these votes.
"""
TELLING = ("kind", "edge-on", "merging", "odd feature", "oddity", "bar", "spiral")
"""Aspects whose hedged claims say most, in this order. Ours: what the galaxy is, then what few galaxies have."""
OWN_WORDS = "own words"
"""The aspect of claims that are words of a tree, not concepts."""

_ORDER = {concept: index for index, concept in enumerate(CONCEPTS)}
_VERDICTS = ("supported", "undecided", "contradicted", "ungrounded")


class Claim(NamedTuple):
    """A concept, such as ``Claim("bar")``, hedged where volunteers disagree.

    Where an answer of a tree has words and no concept, the claim is these words: ``Claim("a polar ring")``.
    """

    concept: str
    hedged: bool = False

    @property
    def aspect(self) -> str:
        """Aspect of the galaxy, such as ``"bar"``; :data:`OWN_WORDS` for words of a tree."""
        return ASPECT_OF.get(self.concept, OWN_WORDS)


class Claims(frozenset):
    """A set of :class:`Claim`; equal to another set of the same claims.

    Attributes:
        unread: the words of a sentence that :func:`parse_claims` could not read.
    """

    unread: tuple[str, ...]

    def __new__(cls, claims: Iterable[Claim] = (), unread: Iterable[str] = ()):
        self = super().__new__(cls, _canonical(claims))
        self.unread = tuple(unread)
        return self

    def in_order(self) -> list[Claim]:
        """Return the claims in the order of the concepts; words of a tree stand last."""
        return sorted(self, key=_place)

    def __repr__(self) -> str:
        concepts = ", ".join(("possibly " if claim.hedged else "") + claim.concept for claim in self.in_order())
        return f"Claims({concepts}{'; unread: ' + ' '.join(self.unread) if self.unread else ''})"


def _place(claim: Claim) -> tuple[int, Claim]:
    """Return what claims are sorted by: the order of the concepts; words of a tree stand last."""
    return _ORDER.get(claim.concept, len(_ORDER)), claim


def _canonical(claims: Iterable[Claim]) -> list[Claim]:
    """Return each claimed concept once, plain if any of its claims is plain.

    "Disc" is dropped beside a plain "spiral" or "edge-on", which imply it, and beside "mostly clumpy": volunteers who
    saw clumps were not asked about a disc.
    """
    is_hedged: dict[str, bool] = {}
    for concept, hedged in claims:
        is_hedged[concept] = is_hedged.get(concept, True) and hedged
    if any(is_hedged.get(concept) is False for concept in ("edge-on", "spiral", "mostly-clumpy")):
        is_hedged.pop("featured", None)
    return [Claim(concept, hedged) for concept, hedged in is_hedged.items()]


def claims_from_votes(votes, tree: DecisionTree = GALAXY_ZOO_2) -> Claims:
    """Return the claims that the volunteers of one galaxy agree on.

    The tree is descended along plain answers whose share also passes the cut of Willett et al. (2013, table 3) for the
    next question. Each question on the way contributes its most frequent answer, plain from a share of .6, hedged from
    .4. A bar, spiral arms, an edge-on view and oddity are claimed (hedged) from .4 even if more volunteers deny them,
    and denied (bar, arms, bulge) from .6 only. Finer concepts are claimed from .6: where neither a strong nor a weak
    bar is plain, but both together are, there is "a bar". A question that follows several answers, as those about odd
    features and mergers do, is taken up unless what is claimed before leads elsewhere. What a campaign does not ask is
    not claimed, and neither is that a galaxy does not merge or has no clumps. Of several hedged claims one is kept,
    that which says most (:data:`TELLING`).

    Args:
        votes: (answers,) votes or conditional fractions; NaN where unknown.
        tree: whose answers they are.

    Raises:
        ValueError: the shape is not (answers,).
    """
    conditional = tree.conditional(_of_one_galaxy(votes, tree)).tolist()
    share, plan = [0.0 if math.isnan(value) else value for value in conditional], plan_of(tree)
    claimed: dict[str, Claim | None] = {}  # by question, of those that were taken up
    replaced = set()  # questions to whose claim a later one gives a name
    for step in plan.steps:
        parent = _way_in(step, claimed, conditional)
        if parent is None or any(share[answer] < least for answer, least in step.cuts):
            continue
        claimed[step.name] = claim = _choice(step, share)
        before = claimed.get(parent)
        if claim and before and before.concept in GENERAL:
            claimed[step.name] = claim._replace(hedged=claim.hedged or before.hedged)
            if before.concept == "odd" and claim.aspect in ("odd feature", OWN_WORDS):
                replaced.add(parent)
    return _consistent((claim for name, claim in claimed.items() if claim and name not in replaced), plan)


def _of_one_galaxy(votes, tree: DecisionTree) -> np.ndarray:
    votes = np.asarray(votes, dtype=np.float64)
    if votes.shape != (len(tree.answers),):
        raise ValueError(f"votes has shape {votes.shape}; give one galaxy's ({len(tree.answers)},) answers")
    return votes


def _way_in(step: Step, claimed: dict[str, Claim | None], conditional: list[float]) -> str | None:
    """Return the question from which the descent comes to a step, "" for the first; None if it does not come there."""
    for question, answers, keys in step.ways:
        before = claimed.get(question)
        if question not in claimed or (before and before.concept not in keys):
            continue
        share = sum(conditional[answer] for answer in answers)
        if len(answers) > 1:
            leads = not share < HEDGED  # or it is unknown
        else:
            leads = share >= PLAIN or (before and before.hedged and before.concept in GENERAL)
        if leads:
            return question
    return None if step.ways else ""


def _choice(step: Step, share: list[float]) -> Claim | None:
    """Return what the votes on one question claim."""

    def size(option: Option) -> float:
        return sum(share[answer] for answer in option.answers)

    if plain := [part for part in step.parts if size(part) >= PLAIN]:
        return Claim(plain[0].key)
    best = max(step.options, key=size, default=None)
    if best and size(best) < PLAIN:  # then an answer that affirms a structure is preferred
        best = max((option for option in step.options if option.key not in DENIALS), key=size, default=None)
    if best is None or best.key == UNCLEAR or size(best) < HEDGED:
        return None
    return Claim(best.key, size(best) < PLAIN)


def _consistent(claims: Iterable[Claim], plan: Plan) -> Claims:
    """Return the claims that one sentence can state together.

    In the trees of Galaxy Zoo these are all, but for "an image with a problem" beside the problem.
    """
    kept: list[Claim] = []
    for claim in Claims(claims).in_order():
        if not any(frozenset((claim.concept, other.concept)) in plan.excluding for other in kept):
            kept.append(claim)
    if problems := [claim for claim in kept if claim.concept in PROBLEMS]:
        return Claims([min(problems, key=lambda claim: (claim.hedged, PROBLEMS.index(claim.concept)))])
    concepts = {claim.concept for claim in kept}
    dropped = {Claim("featured", True)} if concepts & {"smooth", "edge-on"} else set()
    for aspect in ("winding", "arm number"):  # of one set of arms
        arms = [claim for claim in kept if claim.aspect == aspect]
        dropped |= set(arms[1:] if "spiral" not in plan.asks or Claim("spiral") in kept else arms)
    if {"bulge-none", "edge-on-bulge-none"} <= plan.asks.keys():  # "no bulge" says both
        dropped.add(Claim("bulge-none" if "edge-on" in concepts else "edge-on-bulge-none"))
    kept = [claim for claim in kept if claim not in dropped]
    hedged = sorted((claim for claim in kept if claim.hedged), key=_tells)
    return Claims(claim for claim in kept if claim not in hedged[1:])  # a sentence that doubts twice says little


def _tells(claim: Claim) -> int:
    """Return the rank of a hedged claim among those of which one is kept; the others have the last."""
    return TELLING.index(claim.aspect) if claim.aspect in TELLING else len(TELLING)


def score_claims(claims: Iterable[Claim], votes, tree: DecisionTree = GALAXY_ZOO_2) -> dict:
    """Count how many claims of a caption agree with the votes on the same galaxy.

    Args:
        claims: such as those of :func:`parse_claims`.
        votes: (answers,) votes.
        tree: whose answers they are.

    Returns:
        ``claims``, the number of claims, and how many of them are ``supported``, ``contradicted`` (the question was
        asked, and few gave the answer), ``ungrounded`` (nobody was asked, or the question is not well sampled: Willett
        et al. 2013, table 3) and ``undecided`` (between supported and contradicted, or the votes do not cover the
        question), which sum to ``claims``; and ``soft_support``, the sum over claims of the answer's vote share (0 if
        ungrounded).

    Raises:
        ValueError: votes are not one galaxy's, or a claim is neither a concept nor words of the tree.
    """
    votes = _of_one_galaxy(votes, tree)
    counts = {"claims": 0, "supported": 0, "contradicted": 0, "ungrounded": 0, "undecided": 0, "soft_support": 0.0}
    conditional, asked = tree.conditional(votes), tree.totals(votes)
    # A sum in an order that Python does not draw anew in each process; dust lanes stand last, as task numbers have it.
    for claim in sorted(claims, key=lambda claim: (claim.concept == "dust-lane", _place(claim))):
        verdict, share = _judge(claim, conditional, asked, tree)
        counts["claims"] += 1
        counts[verdict] += 1
        if verdict != "ungrounded":
            counts["soft_support"] += share
    return counts


def _judge(claim: Claim, conditional: np.ndarray, asked: np.ndarray, tree: DecisionTree) -> tuple[str, float]:
    """Return the verdict on one claim and its vote share: the best of the questions that ask for it."""
    asks = plan_of(tree).asks
    if claim.concept not in asks and claim.concept not in _ORDER:
        raise ValueError(
            f"{claim.concept!r} is neither a concept nor words of tree {tree.name!r}; claim one of {', '.join(asks)}"
        )
    verdicts = []
    for question, answers in asks.get(claim.concept, ()):
        share = sum(conditional[answer] for answer in answers)
        verdict = _verdict(claim.hedged, share, asked[answers[0]])
        if any(np.nan_to_num(conditional[answer]) < least for answer, least in tree.cuts[question]):
            verdict = "ungrounded"
        verdicts.append((verdict, float(np.nan_to_num(share))))
    return min(verdicts, key=lambda judged: _VERDICTS.index(judged[0]), default=("undecided", 0.0))


def _verdict(hedged: bool, share: float, asked: float) -> str:
    if np.isnan(asked):
        return "undecided"
    if asked <= 0:
        return "ungrounded"
    if share >= SUPPORTED[hedged]:
        return "supported"
    return "contradicted" if share < CONTRADICTED[hedged] else "undecided"
