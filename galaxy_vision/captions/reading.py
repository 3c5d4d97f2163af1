"""Sentences -> claims."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import grammar
from .claims import Claim, Claims


def _lexicon() -> dict[str, str]:
    """Phrase without article -> answer."""
    phrases: dict[str, str] = {}
    for table in (grammar.ADJECTIVES, grammar.THINGS, grammar.ARM_WINDINGS, grammar.READ_ALSO):
        for answer, ways in table.items():
            for way in ways:
                phrases.setdefault(re.sub(r"^an? ", "", way), answer)
    return phrases


def _numbers() -> dict[str, str]:
    return {re.sub(r"^a ", "", way): answer for answer, ways in grammar.ARM_NUMBERS.items() for way in ways}


def _pattern(phrases: Iterable[str]) -> re.Pattern:
    alternatives = "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))
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
_PHRASES = (
    (_PHRASE, _LEXICON, "claim"),
    (_NUMBER, _NUMBERS, "arm"),
    (_BULGE, _BULGES, "bulge"),
    (_FILLER, None, "filler"),
)
_NOUNS = {"arm": "arm", "arms": "arm", "bulge": "bulge"}
_ABSENT = re.compile(rf"{grammar.ABSENT}(?![\w-])")
_WORD = re.compile(r"[\w'-]+|[^\w\s]")
_UNTIL_SPACE = re.compile(r"\S+")
_NEAR = 10  # words between a modifier and its noun in free text
_DENIES_NEXT = 4  # words over which a negation reaches for its phrase: "no evidence for any bar"
# "no bar, ring or bulge" denies all three; an item with its own article does not belong to the list ("no bar, a lens or
# an arc"). A list has at most eight items more, so that the time to look for its end does not grow with the text.
_OR = re.compile(r" (?:, (?:(?!an? )[\w'-]+ ){1,3}){0,8},? ?or ")


class _Token(NamedTuple):
    """A phrase of the grammar, or a single word.

    Attributes:
        kind: of a phrase ``"claim"``, ``"arm"`` or ``"bulge"`` (modifiers, which claim something beside their noun) or
            ``"filler"``; else ``"noun"`` (a bare "arms" or "bulge") or ``"word"``.
        text: all words of it, with what negates or hedges them.
        at: its first character in the text.
        place: number of its first word.
        claim: what a phrase says; None of others.
        phrase: the words of the grammar's tables, without what stands before and behind.
        negated: whether a negation stands directly before it.
        absent: whether it is denied by what stands directly behind it.
        weak: whether it is called weak, the denial of which is not the denial of the thing.
    """

    kind: str
    text: str
    at: int
    place: int
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


class _Scope:
    """How far the negations that were read so far reach.

    Attributes:
        words: over which a negation still waits for its phrase.
        clear: whether only transparent words have come since: beyond others it is not known what is denied.
        list_end: phrases that start up to this character stand in a denied list.
    """

    def __init__(self):
        self.words, self.clear, self.list_end = 0, True, -1

    def covers(self, token: _Token) -> bool:
        """Whether an earlier negation denies this phrase or noun."""
        return self.words > 0 or token.at <= self.list_end

    def pass_phrase(self, token: _Token, denied: bool, text: str) -> None:
        """A denied modifier passes the negation on ("no obvious ring"); a denied phrase may begin a list."""
        self.words = _DENIES_NEXT if denied and token.kind != "claim" else 0
        self.clear = self.words == 0
        begins_list = denied or token.text.split()[0] in grammar.NEGATIONS
        if begins_list and (more := _OR.match(text, token.end)):
            self.list_end = more.end()

    def open(self, token: _Token) -> None:
        """What a word or noun does to the scope before it is interpreted."""
        word = token.text.split()[0]
        if word in grammar.NEGATING or word.endswith("n't"):
            self.words, self.clear = _DENIES_NEXT + 1, True
        elif word in grammar.ENDS_NEGATION or not word[0].isalnum():
            self.words = 0
        elif token.kind != "noun" and word not in grammar.NEUTRAL | grammar.TRANSPARENT:
            self.clear = False

    def pass_word(self, closed: bool) -> None:
        """One word further; ``closed`` where a noun has taken the negation."""
        self.words = 0 if closed else max(self.words - 1, 0)
        self.clear = self.clear or not self.words


class _Reading:
    """What was understood of a text so far.

    Attributes:
        claims: in the order of the text.
        unread: places and words that say nothing that is known.
        nouns: bare "arms" and "bulge", which modifiers elsewhere in the sentence may belong to.
        modifiers: those whose noun is not yet known.
    """

    def __init__(self, text: str):
        self.text, self.scope = text, _Scope()
        self.claims: list[Claim] = []
        self.unread: list[tuple[int, str]] = []
        self.nouns: list[_Token] = []
        self.modifiers: list[_Token] = []

    def read_phrase(self, token: _Token) -> None:
        denied = token.kind != "filler" and (token.negated or token.absent or self.scope.covers(token))
        if denied:
            denial = grammar.DENIED.get(token.claim.answer)
            if denial is None or token.kind != "claim" or token.weak or not self.scope.clear:
                self.unread += [(token.place, word) for word in token.text.split() if word[0].isalnum()]
            else:
                self.claims.append(Claim(denial, token.claim.hedged and not token.negated))
        elif token.kind == "claim":
            self.claims.append(token.claim)
        elif token.kind != "filler":
            self.modifiers.append(token)
        self.scope.pass_phrase(token, denied, self.text)

    def read_word(self, token: _Token) -> None:
        self.scope.open(token)
        denied = token.kind == "noun" and (token.absent or self.scope.covers(token))
        if denied:
            if self.scope.clear:
                self.claims.append(Claim(grammar.DENIED_NOUNS[token.phrase]))
        elif token.kind == "noun":
            self.nouns.append(token)
        elif token.text not in grammar.NEUTRAL and token.text[0].isalnum():
            self.unread.append((token.place, token.text))
        self.scope.pass_word(denied)

    def join_modifiers(self) -> None:
        """Modifiers near their noun claim something ("the arms, two, are loose"); others were not understood."""
        heads = {"arm": [], "bulge": []}
        for noun in self.nouns:
            heads[noun.phrase].append(noun.place)
        heads["arm"] += [
            place for place, word in enumerate(self.text.split()) if word in ("arm", "arms")
        ]  # in phrases too
        near = {
            kind: {place + by for place in places for by in range(-_NEAR, _NEAR + 1)} for kind, places in heads.items()
        }
        for token in self.modifiers:
            if token.place in near[token.kind]:
                self.claims.append(token.claim)
            else:
                self.unread.append((token.place, token.phrase))


def parse_claims(text: str) -> Claims:
    """Read a caption back into claims.

    Exact on every sentence of :func:`write_captions`; elsewhere tolerant of word order, punctuation and American
    spelling. Words that it does not know are in ``unread`` of the result.
    """
    text = _normal(text)
    reading = _Reading(text)
    for token in _tokens(text):
        reading.read_phrase(token) if token.is_phrase else reading.read_word(token)
    reading.join_modifiers()
    unread = (word for _, word in sorted(reading.unread, key=lambda found: found[0]))
    return Claims(_with_one_kind_of_bulge(reading.claims), unread)


def _normal(text: str) -> str:
    """Lower case, British spelling, one space between words and punctuation."""
    text = " ".join(_WORD.findall(text.lower().replace("’", "'")))
    for american, british in grammar.SPELLINGS.items():
        text = re.sub(american, british, text)
    return text


def _tokens(text: str) -> Iterator[_Token]:
    at, place = 0, 0
    while at < len(text):
        token = _phrase_at(text, at, place) or _word_at(text, at, place)
        yield token
        at, place = token.end + 1, place + token.text.count(" ") + 1


def _phrase_at(text: str, at: int, place: int) -> _Token | None:
    """The longest phrase that starts here."""
    matches = [(match, table, kind) for pattern, table, kind in _PHRASES if (match := pattern.match(text, at))]
    if not matches:
        return None
    match, table, kind = max(matches, key=lambda found: found[0].end())
    claim = Claim(table[match["phrase"]], bool(match["hedge"] or match["doubted"])) if table else None
    marks = {
        "negated": bool(match["negation"]),
        "absent": bool(match["absent"]),
        "weak": match["hedge"] in grammar.WEAK,
    }
    return _Token(kind, match.group(), at, place, claim, match["phrase"], **marks)


def _word_at(text: str, at: int, place: int) -> _Token:
    word = _UNTIL_SPACE.match(text, at).group()
    if word not in _NOUNS:
        return _Token("word", word, at, place)
    absent = _ABSENT.match(text, at + len(word))
    return _Token("noun", word + (absent.group() if absent else ""), at, place, None, _NOUNS[word], absent=bool(absent))


def _with_one_kind_of_bulge(claims: list[Claim]) -> list[Claim]:
    """The tree asks twice for a bulge: "no bulge" is an answer about the view that the galaxy is seen from."""
    edge_on = any(claim.answer == "a04_yes" for claim in claims)
    right, wrong = ("a27_no_bulge", "a10_no_bulge") if edge_on else ("a10_no_bulge", "a27_no_bulge")
    return [claim._replace(answer=right) if claim.answer == wrong else claim for claim in claims]
