"""Votes -> claims -> sentences, and sentences -> claims, and how well claims agree with votes.

A claim is one answer of the tree, plain ("a bar") or hedged ("hints of a bar"). A caption says nothing else, so that it can be judged
by what it says.
"""

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import caption_grammar as grammar
from .decision_tree import (
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
"""Vote share from which a claim is made plainly, and hedged. Ours: .6 is a clear majority, below .4 the answer has lost."""
SUPPORTED = {False: 0.5, True: 0.3}
CONTRADICTED = {False: 0.3, True: 0.15}
"""Vote share from which a claim counts as supported, and below which as contradicted, by whether it is hedged; undecided between.
Ours; below :data:`PLAIN` and :data:`HEDGED`, so that what the votes themselves claim is always supported."""
NUM_CAPTIONS = 5


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
        """The claims in the order of the tree."""
        return sorted(self, key=lambda claim: answer_index(claim.answer))

    def __repr__(self) -> str:
        said = ", ".join(("possibly " if claim.hedged else "") + claim.answer for claim in self.in_order())
        return f"Claims({said}{'; unread: ' + ' '.join(self.unread) if self.unread else ''})"


def _canonical(claims: Iterable[Claim]) -> list[Claim]:
    """Each answer once, plain if it is said plainly anywhere; "disc" goes without saying beside "spiral" or "edge-on"."""
    said: dict[str, bool] = {}
    for answer, hedged in claims:
        said[answer] = said.get(answer, True) and hedged
    if any(said.get(answer) is False for answer in ("a04_yes", "a08_spiral")):
        said.pop("a02_features_or_disk", None)
    return [Claim(answer, hedged) for answer, hedged in said.items()]


def claims_from_votes(votes) -> Claims:
    """What volunteers agree on about one galaxy.

    The tree is walked along plain answers whose share also passes the cut of Willett et al. (2013, table 3) for the next question; each
    question on the way gives its first answer, plain from a share of .6, hedged from .4. A bar, spiral arms, an edge-on view and oddity
    are claimed (hedged) from .4 even if more volunteers deny them, and denied (bar, arms, bulge) from .6 only.

    Args:
        votes: (37,) votes, or conditional fractions; NaN where unknown.

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
        if share[best] < PLAIN:  # the answers that affirm come first
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
            if claim(answers("t04_spiral"), never_hedged=("a09_no_spiral",)) == "a08_spiral" and well_sampled(
                "t10_arms_winding"
            ):
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
            raise ValueError(f"{answer} has no words in captions; the answers that have are {', '.join(sorted(_SAYABLE))}")
        for other, _ in ordered[:place]:
            if any(not _ROUTES[other][stem] & given for stem, given in _ROUTES[answer].items() if stem in _ROUTES[other]):
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


def score_claims(claims: Iterable[Claim], votes) -> dict:
    """How the claims of a caption agree with the votes on the same galaxy.

    Returns:
        Counts ``claims``, ``supported``, ``contradicted`` (asked, and few gave the answer), ``ungrounded`` (the question was not well
        sampled: Willett et al. 2013, table 3, or nobody was asked) and ``undecided`` (between, or the source does not know the question),
        which sum to ``claims``; and ``soft_support``, the sum over claims of the answer's vote share (0 if ungrounded).

    Raises:
        ValueError: votes are not one galaxy's (37,).
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.shape != (len(SHORT_NAMES),):
        raise ValueError(f"votes has shape {votes.shape}; give one galaxy's ({len(SHORT_NAMES)},) answers")
    counts = {"claims": 0, "supported": 0, "contradicted": 0, "ungrounded": 0, "undecided": 0, "soft_support": 0.0}
    share, asked = conditional_fractions(votes), question_totals(votes)
    for claim in claims:
        verdict = _judge(claim, share, asked)
        counts["claims"] += 1
        counts[verdict] += 1
        if verdict != "ungrounded":
            counts["soft_support"] += float(np.nan_to_num(share[answer_index(claim.answer)]))
    return counts


def _judge(claim: Claim, share: np.ndarray, asked: np.ndarray) -> str:
    place = answer_index(claim.answer)
    for parent, least in WELL_SAMPLED[claim.question].items():
        if np.nan_to_num(share[answer_index(parent)]) < least:
            return "ungrounded"
    if np.isnan(asked[place]):
        return "undecided"
    if asked[place] <= 0:
        return "ungrounded"
    if share[place] >= SUPPORTED[claim.hedged]:
        return "supported"
    return "contradicted" if share[place] < CONTRADICTED[claim.hedged] else "undecided"


# ------------------------------------------------------------------------------------------------------------------- reading


def _lexicon() -> dict[str, str]:
    """Phrase without article -> answer."""
    phrases: dict[str, str] = {}
    for table in (grammar.ADJECTIVES, grammar.THINGS, grammar.ARM_WINDINGS, grammar.READ_ALSO):
        for answer, words in table.items():
            for each in words:
                phrases.setdefault(re.sub(r"^an? ", "", each), answer)
    return phrases


def _numbers() -> dict[str, str]:
    return {re.sub(r"^a ", "", each): answer for answer, words in grammar.ARM_NUMBERS.items() for each in words}


def _pattern(phrases: Iterable[str]) -> re.Pattern:
    alternatives = "|".join(re.escape(each) for each in sorted(phrases, key=len, reverse=True))
    negations, hedges = "|".join(grammar.NEGATIONS), "|".join(grammar.READ_HEDGES)
    before = rf"(?:(?P<negation>{negations}) (?:an? |any )?)?(?:an? )?(?:(?P<hedge>{hedges}) (?:with )?)?(?:an? )?"
    behind = rf"(?:(?P<absent>{grammar.ABSENT})|(?P<doubted>{grammar.DOUBTED})|{grammar.AFFIRMED})(?![\w-])"
    return re.compile(rf"{before}(?P<phrase>{alternatives})(?![\w-])(?:{behind})?")


_LEXICON, _NUMBERS = _lexicon(), _numbers()
_BULGES = {word: answer for answer, words in grammar.BULGE_WORDS.items() for word in words}
_PHRASE = _pattern(_LEXICON)
_NUMBER = _pattern(_NUMBERS)
_BULGE = _pattern(_BULGES)
_FILLER = _pattern(grammar.NO_CLAIM)
_ABSENT = re.compile(rf"{grammar.ABSENT}(?![\w-])")
_WORD = re.compile(r"[\w'-]+|[^\w\s]")
_NEAR = 10  # words between a modifier and its noun in free text
_DENIES_NEXT = 4  # words over which a negation reaches for its phrase: "no evidence for any bar"
# "no bar, ring or bulge" denies all three; an item with its own article does not belong to the list ("no bar, a lens or an arc").
_OR = re.compile(r" (?:, (?:(?!an? )[\w'-]+ ){1,3})*,? ?or ")


def parse_claims(text: str) -> Claims:
    """Read a caption back into claims.

    Exact on every sentence of :func:`write_captions`; elsewhere tolerant of word order, punctuation and American spelling. Words that
    it does not know are in ``unread`` of the result.
    """
    text = " ".join(_WORD.findall(text.lower().replace("’", "'")))
    for american, british in grammar.SPELLINGS.items():
        text = re.sub(american, british, text)
    claims: list[Claim] = []
    unread: list[tuple[int, str]] = []
    nouns: list[tuple[int, str]] = []  # bare "arms" and "bulge", which modifiers elsewhere in the sentence may belong to
    loose: list[tuple[int, str, Claim, str]] = []  # modifiers without their noun
    at, word_number = 0, 0
    listed = -1  # phrases that start up to here stand in a denied list
    reach, clear = 0, True  # words over which a negation still waits for its phrase, and whether all since it are transparent
    while at < len(text):
        rest = re.match(r"\S+", text[at:]).group()
        found = _longest(text, at)
        if found is not None:
            match, table, kind = found
            said = Claim(table[match["phrase"]], bool(match["hedge"] or match["doubted"])) if table else None
            denies = kind != "filler" and (match["negation"] or match["absent"] or at <= listed or reach > 0)
            reach = _DENIES_NEXT if denies and kind != "claim" else 0  # "no obvious ring": the modifier passes it on
            if denies:
                denial = grammar.DENIED.get(said.answer)
                if denial is None or kind != "claim" or not clear or match["hedge"] in grammar.WEAK:
                    unread += [(word_number, word) for word in match.group().split() if word[0].isalnum()]
                else:
                    claims.append(Claim(denial, said.hedged and not match["negation"]))
            elif kind == "claim":
                claims.append(said)
            elif kind != "filler":
                loose.append((word_number, kind, said, match["phrase"]))
            clear = reach == 0
            if (denies or match.group().split()[0] in grammar.NEGATIONS) and (more := _OR.match(text, match.end())):
                listed = more.end()
            step = match.end() - at
        else:
            noun = {"arm": "arm", "arms": "arm", "bulge": "bulge"}.get(rest)
            absent = _ABSENT.match(text, at + len(rest)) if noun else None
            if rest in grammar.NEGATING or rest.endswith("n't"):
                reach, clear = _DENIES_NEXT + 1, True
            elif rest in grammar.ENDS_NEGATION or not rest[0].isalnum():
                reach = 0
            elif not noun and rest not in grammar.NEUTRAL | grammar.TRANSPARENT:
                clear = False
            if noun and (absent or reach or at <= listed):
                claims += [Claim(grammar.DENIED_NOUNS[noun])] if clear else []
                reach = 0
            elif noun:
                nouns.append((word_number, noun))
            elif rest not in grammar.NEUTRAL and rest[0].isalnum():
                unread.append((word_number, rest))
            reach, step = max(reach - 1, 0), absent.end() - at if absent else len(rest)
            clear = clear or not reach
        word_number += text[at : at + step].count(" ") + 1
        at += step + 1
    heads = {"arm": [place for place, noun in nouns if noun == "arm"], "bulge": [p for p, noun in nouns if noun == "bulge"]}
    heads["arm"] += [place for place, *_ in _places_of_spiral_arms(text)]
    for place, kind, said, words in loose:
        if any(abs(place - noun) <= _NEAR for noun in heads[kind]):
            claims.append(said)
        else:
            unread.append((place, words))
    edge_on = any(claim.answer == "a04_yes" for claim in claims)
    no_bulge = ("a27_no_bulge", "a10_no_bulge") if edge_on else ("a10_no_bulge", "a27_no_bulge")
    claims = [claim._replace(answer=no_bulge[0]) if claim.answer == no_bulge[1] else claim for claim in claims]
    return Claims(claims, (word for _, word in sorted(unread, key=lambda each: each[0])))


def _longest(text: str, at: int):
    """The longest phrase that starts here, the table that explains it, and what it is; None if none does."""
    tables = ((_PHRASE, _LEXICON, "claim"), (_NUMBER, _NUMBERS, "arm"), (_BULGE, _BULGES, "bulge"), (_FILLER, None, "filler"))
    matches = [(match, table, kind) for pattern, table, kind in tables if (match := pattern.match(text, at))]
    return max(matches, key=lambda each: each[0].end(), default=None)


def _places_of_spiral_arms(text: str) -> list[tuple[int, str]]:
    """Places of "arm" and "arms" inside phrases like "spiral arms", counted in words."""
    return [(place, word) for place, word in enumerate(text.split()) if word in ("arm", "arms")]
