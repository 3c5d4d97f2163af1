"""Read sentences back into claims."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.tree import DecisionTree
from .claims import Claim, Claims
from .grammar import HEDGES
from .plan import plan_of
from .vocabulary import (
    ABSENT,
    DENIED,
    DENIED_NOUNS,
    ENDS_NEGATION,
    NEGATING,
    NEGATIONS,
    NEUTRAL,
    TRANSPARENT,
    WEAK,
    Vocabulary,
    forms,
    normal,
    vocabulary_of,
)

_NOUNS = {"arm": "arm", "arms": "arm", "bulge": "bulge"}
_ABSENT = re.compile(rf"{ABSENT}(?![\w-])")
_UNTIL_SPACE = re.compile(r"\S+")
NEAR = 10  # largest distance in words between a modifier and its noun in free text; ours
_DENIES_NEXT = 4  # words over which a negation applies to a phrase; ours, enough for "no evidence for any bar"
# "no bar, ring or bulge" denies all three; an item with its own article does not belong to the list ("no bar, a lens or
# an arc"). At most eight more items are read, so that the search for the end of the list does not grow with the text.
_OR = re.compile(r" (?:, (?:(?!an? )[\w'-]+ ){1,3}){0,8},? ?or ")


class Token(NamedTuple):
    """A phrase of the grammar, or a single word.

    Attributes:
        kind: for a phrase ``"claim"``, ``"arm"`` or ``"bulge"`` (modifiers, which claim something only near their
            noun) or ``"filler"``; else ``"noun"`` (a bare "arms" or "bulge") or ``"word"``.
        text: all of its words, with those that negate or hedge it.
        at: index of its first character in the text.
        index: index of its first word in the text.
        claim: what a phrase claims; None for other kinds.
        phrase: the words of the grammar's tables, without those before and behind.
        negated: whether a negation is directly before it.
        absent: whether the words directly behind it deny it.
        weak: whether it is called weak; the denial of a weak structure does not deny the structure.
    """

    kind: str
    text: str
    at: int
    index: int
    claim: Claim | None = None
    phrase: str = ""
    negated: bool = False
    absent: bool = False
    weak: bool = False

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    @property
    def is_phrase(self) -> bool:
        return self.kind not in ("noun", "word")


class Scope:
    """How far the negations that were read so far apply.

    Attributes:
        words: number of words within which the last negation still applies to a phrase.
        clear: whether only transparent words have followed it; after others it is not clear what is denied.
        list_end: phrases that start up to this character belong to a denied list.
    """

    def __init__(self):
        self.words, self.clear, self.list_end = 0, True, -1

    def covers(self, token: Token) -> bool:
        """Return whether an earlier negation denies this phrase or noun."""
        return self.words > 0 or token.at <= self.list_end

    def pass_phrase(self, token: Token, denied: bool, text: str) -> None:
        """Move past a phrase: a denied modifier passes its negation on ("no obvious ring"), others may begin a list."""
        self.words = _DENIES_NEXT if denied and token.kind != "claim" else 0
        self.clear = self.words == 0
        begins_list = denied or token.text.split()[0] in NEGATIONS
        if begins_list and (more := _OR.match(text, token.end)):
            self.list_end = more.end()

    def open(self, token: Token) -> None:
        """Open or close the scope for a word or noun, before it is interpreted."""
        word = token.text.split()[0]
        if word in NEGATING or word.endswith("n't"):
            self.words, self.clear = _DENIES_NEXT + 1, True
        elif word in ENDS_NEGATION or not word[0].isalnum():
            self.words = 0
        elif token.kind != "noun" and word not in NEUTRAL | TRANSPARENT:
            self.clear = False

    def pass_word(self, closed: bool) -> None:
        """Move past a word; ``closed`` says that it was a noun to which the negation applied."""
        self.words = 0 if closed else max(self.words - 1, 0)
        self.clear = self.clear or not self.words


class _Reading:
    """What was understood of a text so far.

    Attributes:
        text: in its normal form.
        known: the concepts that can be claimed.
        claims: claims in the order of the text.
        unread: index and text of the words that were not understood.
        nouns: bare "arms" and "bulge", to which modifiers elsewhere in the text may belong.
        modifiers: modifiers whose noun is not yet known.
    """

    def __init__(self, text: str, known: frozenset[str]):
        self.text, self.known, self.scope = text, known, Scope()
        self.claims: list[Claim] = []
        self.unread: list[tuple[int, str]] = []
        self.nouns: list[Token] = []
        self.modifiers: list[Token] = []

    def read_phrase(self, token: Token) -> None:
        """Read a phrase as a claim, a denial, a modifier, or unread words if its denial has no answer."""
        denied = token.kind != "filler" and (token.negated or token.absent or self.scope.covers(token))
        if denied:
            denial = DENIED.get(token.claim.concept)
            if denial not in self.known or token.kind != "claim" or token.weak or not self.scope.clear:
                self.unread += [(token.index, word) for word in token.text.split() if word[0].isalnum()]
            else:
                self.claims.append(Claim(denial, token.claim.hedged and not token.negated))
        elif token.kind == "claim":
            self.claims.append(token.claim)
        elif token.kind != "filler":
            self.modifiers.append(token)
        self.scope.pass_phrase(token, denied, self.text)

    def read_word(self, token: Token) -> None:
        """Read a noun, or a single word that belongs to no phrase."""
        self.scope.open(token)
        denied = token.kind == "noun" and (token.absent or self.scope.covers(token))
        if denied:
            if self.scope.clear and self._can_deny(DENIED_NOUNS[token.phrase]):
                self.claims.append(Claim(DENIED_NOUNS[token.phrase]))
        elif token.kind == "noun":
            self.nouns.append(token)
        elif token.text not in NEUTRAL and token.text[0].isalnum():
            self.unread.append((token.index, token.text))
        self.scope.pass_word(denied)

    def _can_deny(self, concept: str) -> bool:
        return concept in self.known or (concept == "bulge-none" and "edge-on-bulge-none" in self.known)

    def join_modifiers(self) -> None:
        """Read modifiers near their noun as claims ("the arms, two, are loose"), and all others as unread."""
        nouns = {"arm": [], "bulge": []}  # kind of modifier -> indices of the nouns that it can belong to
        for noun in self.nouns:
            nouns[noun.phrase].append(noun.index)
        # "arms" inside of phrases too, such as "spiral arms"
        nouns["arm"] += [index for index, word in enumerate(self.text.split()) if word in ("arm", "arms")]
        near = {
            kind: {index + offset for index in indices for offset in range(-NEAR, NEAR + 1)}
            for kind, indices in nouns.items()
        }
        for token in self.modifiers:
            if token.index in near[token.kind]:
                self.claims.append(token.claim)
            else:
                self.unread.append((token.index, token.phrase))


def parse_claims(text: str, tree: DecisionTree = GALAXY_ZOO_2) -> Claims:
    """Read a caption back into claims.

    Every sentence that :func:`write_captions` writes for this tree is read exactly. Other text may have any word order
    and punctuation, and American spelling; words that are not understood are in ``unread`` of the result, as are those
    about which the tree does not ask.
    """
    return _read(normal(text), vocabulary_of(tree))


def claims_of_words(words: Sequence[str], tree: DecisionTree = GALAXY_ZOO_2) -> list[Claim | None]:
    """Return the claim that each word of a caption states, None for words that state none ("a", "and", "possibly").

    A noun has the claim of its modifier ("a small bulge"), but arms of any number state that there are arms.

    Args:
        words: words and punctuation of a caption in their order, in the spelling that captions are written in.
        tree: as for :func:`parse_claims`.
    """
    words = [word.lower() for word in words]
    tokens = list(tokens_of(" ".join(words), vocabulary_of(tree)))
    claims: list[Claim | None] = [None] * len(words)
    denied = {(token.kind, token.phrase): DENIED.get(token.claim.concept) for token in tokens if token.claim}
    for token in tokens:
        if token.claim is None:
            continue
        claim, before = token.claim, len(token.text[: token.text.index(token.phrase)].split())
        if token.negated or token.absent:
            denial = denied[token.kind, token.phrase]
            claim, before = Claim(denial) if denial in plan_of(tree).asks else None, max(before - 1, 0)
        for index in range(token.index + before, token.index + token.text.count(" ") + 1):
            claims[index] = claim if words[index] not in NEUTRAL else None
    for token in tokens:
        if token.kind == "noun":
            of_noun = [other for other in tokens if other.claim and other.kind == token.phrase]
            nearest = min(of_noun, key=lambda other: abs(other.index - token.index), default=token)
            is_arm = token.phrase == "arm" and "spiral" in plan_of(tree).asks
            claims[token.index] = Claim("spiral") if is_arm else nearest.claim
    stated = iter(_with_one_kind_of_bulge([claim for claim in claims if claim], vocabulary_of(tree).known))
    return [next(stated) if claim else None for claim in claims]


def _read(text: str, vocabulary: Vocabulary) -> Claims:
    reading = _Reading(text, vocabulary.known)
    for token in tokens_of(text, vocabulary):
        reading.read_phrase(token) if token.is_phrase else reading.read_word(token)
    reading.join_modifiers()
    unread = (word for _, word in sorted(reading.unread, key=lambda item: item[0]))
    return Claims(_with_one_kind_of_bulge(reading.claims, vocabulary.known), unread)


def tokens_of(text: str, vocabulary: Vocabulary) -> Iterator[Token]:
    at, index = 0, 0
    while at < len(text):
        token = _phrase_at(text, at, index, vocabulary) or _word_at(text, at, index)
        yield token
        at, index = token.end + 1, index + token.text.count(" ") + 1


def _phrase_at(text: str, at: int, index: int, vocabulary: Vocabulary) -> Token | None:
    """Return the longest phrase that starts at character ``at``, which is word ``index``; None if there is none."""
    matches = [
        (match, table, kind) for pattern, table, kind in vocabulary.phrases if (match := pattern.match(text, at))
    ]
    if not matches:
        return None
    match, table, kind = max(matches, key=lambda candidate: candidate[0].end())
    claim = Claim(table[match["phrase"]], bool(match["hedge"] or match["doubted"])) if table else None
    marks = {
        "negated": bool(match["negation"]),
        "absent": bool(match["absent"]),
        "weak": match["hedge"] in WEAK,
    }
    return Token(kind, match.group(), at, index, claim, match["phrase"], **marks)


def _word_at(text: str, at: int, index: int) -> Token:
    """Return the word at character ``at``, which is word ``index``; a noun with the words behind that deny it."""
    word = _UNTIL_SPACE.match(text, at).group()
    if word not in _NOUNS:
        return Token("word", word, at, index)
    absent = _ABSENT.match(text, at + len(word))
    return Token("noun", word + (absent.group() if absent else ""), at, index, None, _NOUNS[word], absent=bool(absent))


def _with_one_kind_of_bulge(claims: list[Claim], known: frozenset[str]) -> list[Claim]:
    """Replace "no bulge" by the answer of the question that applies; trees ask about edge-on discs separately."""
    edge_on = any(claim.concept == "edge-on" for claim in claims)
    right, wrong = ("edge-on-bulge-none", "bulge-none") if edge_on else ("bulge-none", "edge-on-bulge-none")
    if right not in known:
        right, wrong = wrong, right
    return [claim._replace(concept=right) if claim.concept == wrong else claim for claim in claims]


_JOINING = frozenset("and or with has showing galaxy".split())


@lru_cache(maxsize=64)
def check_words(tree: DecisionTree) -> None:
    """Check that captions can state the words of a tree, which a reader must tell from all others.

    Raises:
        ValueError: words have punctuation, a negation or a word that joins phrases in them, or say what other words or
            a concept say.
    """
    without = vocabulary_of(tree, with_words=False)
    for words in plan_of(tree).words:
        single = forms(words)[0].split()
        joining = [word for word in single if word in NEGATING | _JOINING or word.endswith("n't")]
        if not all(word[0].isalnum() for word in single):
            remedy = "give letters, digits, hyphens and spaces only"
        elif joining:
            remedy = f"leave out {joining[0]!r}"
        elif not _read(normal(f"arms, bulge, {words}"), without).unread:
            remedy = "give the concept in its place, or a word that the grammar does not know"
        elif not all(_is_read_alone(words, hedge, tree) for hedge in ("", *HEDGES)):
            remedy = "other words say the same, so give different ones"
        else:
            continue
        raise ValueError(
            f'the words {words!r} of tree {tree.name!r} cannot be read back from a caption; {remedy}, as in "a polar '
            'ring"'
        )


def _is_read_alone(words: str, hedge: str, tree: DecisionTree) -> bool:
    read = parse_claims(f"a galaxy with {hedge} {words}", tree)
    return read == {Claim(words, bool(hedge))} and not read.unread
