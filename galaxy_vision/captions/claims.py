"""Turn votes into claims, and score claims by how well they agree with votes.

A claim is one answer of the tree, plain ("a bar") or hedged ("hints of a bar"). Captions state claims and nothing else,
so that they can be scored against votes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..models.decision_tree import (
    QUESTION_OF_ANSWER,
    QUESTION_SLICES,
    QUESTIONS,
    SHORT_NAMES,
    WELL_SAMPLED,
    answer_index,
    conditional_fractions,
    question_totals,
)

PLAIN, HEDGED = 0.6, 0.4
"""Vote share from which a claim is plain, and hedged. Ours: .6 is a clear majority, and below .4 most disagree."""
SUPPORTED = {False: 0.5, True: 0.3}
CONTRADICTED = {False: 0.3, True: 0.15}
"""Vote share from which a claim counts as supported, and below which as contradicted; undecided between.

The keys say whether the claim is hedged. Ours: below :data:`PLAIN` and :data:`HEDGED`, so that the claims made from
votes are always supported by these votes.
"""


class Claim(NamedTuple):
    """One answer of the tree, such as ``Claim("a06_bar")``; hedged where volunteers disagree."""

    answer: str
    hedged: bool = False

    @property
    def question(self) -> str:
        """Stem of the question, such as ``"t03_bar"``."""
        return QUESTIONS[QUESTION_OF_ANSWER[answer_index(self.answer)]].stem


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
        """Return the claims in the order of the tree."""
        return sorted(self, key=lambda claim: answer_index(claim.answer))

    def __repr__(self) -> str:
        answers = ", ".join(("possibly " if claim.hedged else "") + claim.answer for claim in self.in_order())
        return f"Claims({answers}{'; unread: ' + ' '.join(self.unread) if self.unread else ''})"


def _canonical(claims: Iterable[Claim]) -> list[Claim]:
    """Return each claimed answer once, plain if any of its claims is plain.

    "Disc" is dropped beside a plain "spiral" or "edge-on", which imply it.
    """
    is_hedged: dict[str, bool] = {}
    for answer, hedged in claims:
        is_hedged[answer] = is_hedged.get(answer, True) and hedged
    if any(is_hedged.get(answer) is False for answer in ("a04_yes", "a08_spiral")):
        is_hedged.pop("a02_features_or_disk", None)
    return [Claim(answer, hedged) for answer, hedged in is_hedged.items()]


def claims_from_votes(votes, tree=None) -> Claims:
    """Return the claims that the volunteers of one galaxy agree on.

    The tree is descended along plain answers whose share also passes the cut of Willett et al. (2013, table 3) for the
    next question. Each question on the way contributes its most frequent answer, plain from a share of .6, hedged from
    .4. A bar, spiral arms, an edge-on view and oddity are claimed (hedged) from .4 even if more volunteers deny them,
    and denied (bar, arms, bulge) from .6 only.

    Args:
        votes: (37,) votes or conditional fractions; NaN where unknown.

    Raises:
        ValueError: the shape is not (37,).
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.shape != (len(SHORT_NAMES),):
        raise ValueError(f"votes has shape {votes.shape}; give one galaxy's ({len(SHORT_NAMES)},) answers")
    share = dict(zip(SHORT_NAMES, np.nan_to_num(conditional_fractions(votes)).tolist(), strict=True))
    claims: list[Claim] = []

    def claim(answers, never_hedged=(), hedged=False) -> str | None:
        best = max(answers, key=share.__getitem__)
        if share[best] < PLAIN:  # then an answer that affirms a structure is preferred
            best = max((answer for answer in answers if answer not in never_hedged), key=share.__getitem__)
        if share[best] < (PLAIN if best in never_hedged else HEDGED):
            return None
        claims.append(Claim(best, hedged or share[best] < PLAIN))
        return None if claims[-1].hedged else best

    def answers(stem: str) -> tuple[str, ...]:
        return SHORT_NAMES[QUESTION_SLICES[stem]]

    def well_sampled(stem: str) -> bool:
        return all(share[answer] >= least for answer, least in WELL_SAMPLED[stem].items())

    head = claim(answers("t01_smooth_or_features"))
    if claims and claims[0].answer == "a03_star_or_artifact":
        return Claims(claims)
    if head == "a01_smooth":
        claim(answers("t07_rounded"))
    if head == "a02_features_or_disk":
        if claim(("a04_yes",)) and well_sampled("t09_bulge_shape"):
            claim(answers("t09_bulge_shape"), never_hedged=("a27_no_bulge",))
        elif share["a04_yes"] < HEDGED and well_sampled("t03_bar"):
            claim(answers("t03_bar"), never_hedged=("a07_no_bar",))
            is_spiral = claim(answers("t04_spiral"), never_hedged=("a09_no_spiral",)) == "a08_spiral"
            if is_spiral and well_sampled("t10_arms_winding"):
                claim(answers("t10_arms_winding"))
                if max(answers("t11_arms_number"), key=share.__getitem__) != "a37_cant_tell":
                    claim(answers("t11_arms_number")[:-1])
            claim(answers("t05_bulge_prominence"), never_hedged=("a10_no_bulge",))
    if share["a14_yes"] >= HEDGED:
        odd = Claim("a14_yes", share["a14_yes"] < PLAIN)
        before = len(claims)
        if well_sampled("t08_odd_feature"):
            claim(answers("t08_odd_feature"), hedged=odd.hedged)
        if len(claims) == before:
            claims.append(odd)
    return Claims(claims)


def score_claims(claims: Iterable[Claim], votes) -> dict:
    """Count how many claims of a caption agree with the votes on the same galaxy.

    Returns:
        ``claims``, the number of claims, and how many of them are ``supported``, ``contradicted`` (the question was
        asked, and few gave the answer), ``ungrounded`` (nobody was asked, or the question is not well sampled: Willett
        et al. 2013, table 3) and ``undecided`` (between supported and contradicted, or the votes do not cover the
        question), which sum to ``claims``; and ``soft_support``, the sum over claims of the answer's vote share (0 if
        ungrounded).

    Raises:
        ValueError: votes are not one galaxy's (37,).
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.shape != (len(SHORT_NAMES),):
        raise ValueError(f"votes has shape {votes.shape}; give one galaxy's ({len(SHORT_NAMES)},) answers")
    counts = {"claims": 0, "supported": 0, "contradicted": 0, "ungrounded": 0, "undecided": 0, "soft_support": 0.0}
    share, asked = conditional_fractions(votes), question_totals(votes)
    for claim in sorted(claims):  # a sum in an order that Python does not draw anew in each process
        verdict = _judge(claim, share, asked)
        counts["claims"] += 1
        counts[verdict] += 1
        if verdict != "ungrounded":
            counts["soft_support"] += float(np.nan_to_num(share[answer_index(claim.answer)]))
    return counts


def _judge(claim: Claim, share: np.ndarray, asked: np.ndarray) -> str:
    """Return the verdict on one claim, by the (37,) conditional fractions and the (37,) totals of their questions."""
    index = answer_index(claim.answer)
    for parent, least in WELL_SAMPLED[claim.question].items():
        if np.nan_to_num(share[answer_index(parent)]) < least:
            return "ungrounded"
    if np.isnan(asked[index]):
        return "undecided"
    if asked[index] <= 0:
        return "ungrounded"
    if share[index] >= SUPPORTED[claim.hedged]:
        return "supported"
    return "contradicted" if share[index] < CONTRADICTED[claim.hedged] else "undecided"
