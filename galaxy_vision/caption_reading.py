"""Sentences -> claims."""

import re
from collections.abc import Iterable

from . import caption_grammar as grammar
from .claims import Claim, Claims


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
_UNTIL_SPACE = re.compile(r"\S+")
_NEAR = 10  # words between a modifier and its noun in free text
_DENIES_NEXT = 4  # words over which a negation reaches for its phrase: "no evidence for any bar"
# "no bar, ring or bulge" denies all three; an item with its own article does not belong to the list ("no bar, a lens or an arc").
# A list has at most eight items more, so that the time to look for its end does not grow with the text.
_OR = re.compile(r" (?:, (?:(?!an? )[\w'-]+ ){1,3}){0,8},? ?or ")


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
        rest = _UNTIL_SPACE.match(text, at).group()
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
    near = {kind: {place + by for place in places for by in range(-_NEAR, _NEAR + 1)} for kind, places in heads.items()}
    for place, kind, said, words in loose:
        if place in near[kind]:
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
