"""Read a sentence as a search: what must hold, with which share of the volunteers, and what was not understood."""

from collections.abc import Sequence

from ..captions.reading import NEAR, Scope, Token, tokens_of
from ..captions.vocabulary import NEGATING, NEGATIONS, TRANSPARENT
from ..captions.vocabulary import NEUTRAL as NEUTRAL_IN_CAPTIONS
from ..models.tree import DecisionTree
from .alternatives import ENDS_SEGMENT, Found, has_article, joined
from .implied import exclusions, without_implied
from .query import Clause, Query, Term
from .words import (
    CLASS,
    MOST,
    NEUTRAL,
    OPPOSITE,
    OUTSIDE,
    POSSIBLE,
    as_stated,
    search_text,
    search_vocabulary,
    share_of,
)

LONGEST = 1000
"""Characters of a sentence. Ours: a guard against files that are no sentences."""
_SILENT = NEUTRAL | NEUTRAL_IN_CAPTIONS | TRANSPARENT | NEGATING | set(" ".join(NEGATIONS).split())


class _Reader:
    """What was understood of a sentence so far."""

    def __init__(self, text: str, known: frozenset[str]):
        self.text, self.known, self.scope = text, known, Scope()
        self.found: list[Found] = []
        self.unread: list[tuple[int, str]] = []
        self.nouns: list[Token] = []
        self.after_or = False
        self.share: Token | None = None  # a word that states one, and that no term has yet
        self.segment = 0  # terms found before the present one of the segments that commas and conjunctions divide

    def add(self, key: str, token: Token, denied: bool, hedged: bool = False) -> None:
        """Add a term; a denied "unbarred" is a "barred"."""
        if key in OPPOSITE:
            key, denied = OPPOSITE[key], not denied
        if key not in self.known and not (key == "bulge-none" and "edge-on-bulge-none" in self.known):
            self.leave(token)
            return
        term = Term((key,), POSSIBLE if hedged else MOST, denied)
        self.found.append(Found(term, token, self.after_or, has_article(self.text, token)))
        self.after_or = False
        if self.share:
            self.give_share()

    def give_share(self) -> None:
        """Give a stated share to the last term; "definitely no ring" is that few say "ring"."""
        is_upper, share = share_of(self.share.text)
        last = self.found[-1]
        share = 1 - share if last.term.denied and not is_upper else share
        self.found[-1] = last._replace(term=last.term._replace(share=share, denied=last.term.denied != is_upper))
        self.share = None

    def read_phrase(self, token: Token, is_near: bool) -> None:
        denied = token.kind != "filler" and (token.negated or token.absent or self.scope.covers(token))
        if token.kind == "filler":
            self.leave(token)
        elif (denied and (token.weak or not self.scope.clear)) or (token.kind != "claim" and not is_near):
            self.leave(token)
        else:
            self.add(token.claim.concept, token, denied, token.claim.hedged and not denied)
        self.scope.pass_phrase(token, denied, self.text)

    def read_word(self, token: Token) -> None:
        self.scope.open(token)
        denied = token.kind == "noun" and (token.absent or self.scope.covers(token))
        word = token.text
        if token.kind == "noun":
            self.nouns.append(token)
            if denied and not self.scope.clear:
                self.leave(token)
            elif denied:
                self.add("bulge-none" if token.phrase == "bulge" else "spiral", token, token.phrase != "bulge")
        elif (share := share_of(word)) and not self.scope.words:
            self.share = token
        elif word in ("or", "nor"):
            self.after_or = bool(self.found)
        elif not share and word not in _SILENT and word[0].isalnum() and not word.endswith("n't"):
            self.leave(token)
        if word in ENDS_SEGMENT:
            self.end_segment()
        if word in ("and", "but", ";", "."):
            self.after_or = False
        self.scope.pass_word(denied)

    def end_segment(self) -> None:
        """Give a share that no term has followed to the last one of its segment, or leave it unread."""
        if self.share and len(self.found) > self.segment:
            self.give_share()
        elif self.share:
            self.leave(self.share)
            self.share = None
        self.segment = len(self.found)

    def leave(self, token: Token) -> None:
        """Count the words of a token as unread."""
        words = [word for word in token.text.split() if word[0].isalnum() and word not in NEUTRAL_IN_CAPTIONS]
        self.unread += [(token.index, as_stated(word)) for word in words]


def read_sentence(sentence: str, tree: DecisionTree | None, class_names: Sequence[str] = ()) -> Query:
    """Read a sentence as what it asks for in a catalogue.

    Claims are those of captions (:func:`~galaxy_vision.captions.reading.parse_claims`), of which most volunteers must
    say so; "definitely" and "at least 80 %" ask for more of them, "possibly" for fewer, and "below 20 %" for less.
    Negations apply to any claim. "Or" joins alternatives: claims, or whole phrases that have articles of their own or
    are plural ("a merger or a barred spiral"). Classes of the catalogue are names, where they are no claims. A claim
    that another one needs is left out ("two spiral arms").

    Args:
        sentence: in any word order and punctuation.
        tree: whose votes the catalogue has; None without votes.
        class_names: of its model.

    Raises:
        ValueError: nothing was understood, or a claim is asked for and denied.
    """
    if len(sentence) > LONGEST:
        raise ValueError(f"a sentence of {len(sentence)} characters is longer than {LONGEST}; shorten it")
    text = search_text(sentence)
    vocabulary = search_vocabulary(tree, class_names)
    reader = _Reader(text, vocabulary.known)
    tokens = list(tokens_of(text, vocabulary))
    nouns = {"arm": [], "bulge": []}
    for token in tokens:
        if token.kind == "noun":
            nouns[token.phrase].append(token.index)
    nouns["arm"] += [index for index, word in enumerate(text.split()) if word in ("arm", "arms")]
    for token in tokens:
        if token.is_phrase:
            near = nouns.get(token.kind, ())
            reader.read_phrase(token, any(abs(token.index - index) <= NEAR for index in near))
        else:
            reader.read_word(token)
    reader.end_segment()
    _add_bare_nouns(reader)
    unread = tuple(word for _, word in sorted(reader.unread, key=lambda item: item[0]))
    clauses = tuple(dict.fromkeys(_in_one_view(joined(reader.found), reader.known)))
    notes = [*_reasons(unread, tree)]
    if tree:
        clauses, implied = without_implied(clauses, tree)
        notes += [*implied, *exclusions(clauses, tree)]
    if not clauses:
        whose = f"a claim of {tree.name}" if tree else "a class of this catalogue, which has no votes"
        example = 'write, for example, "a barred spiral"' if tree else f"write one of {', '.join(class_names)}"
        why = f" ({'; '.join(notes)})" if notes else ""
        raise ValueError(f"nothing in {sentence!r} is {whose}{why}; {example}")
    _check(clauses)
    return Query(clauses, unread, tuple(notes))


def _add_bare_nouns(reader: _Reader) -> None:
    """Add what "arms" and "bulge" ask for alone: spiral arms, and that a bulge is not absent."""
    keys = {key for found in reader.found for key in found.term.keys}
    for token in reader.nouns:
        if (
            token.phrase == "arm"
            and "spiral" in reader.known
            and not any(k.startswith(("arms", "winding")) for k in keys)
        ):
            if "spiral" not in keys:
                reader.add("spiral", token, False)
        if token.phrase == "bulge" and not any("bulge" in key for key in keys) and "bulge-none" in reader.known:
            reader.add("bulge-none", token, True)
        keys |= {key for found in reader.found for key in found.term.keys}


def _in_one_view(clauses: list[Clause], known: frozenset[str]) -> list[Clause]:
    """Return clauses in which "no bulge" is the answer to the question that applies, as in captions."""
    edge_on = any(term.keys == ("edge-on",) and not term.denied for clause in clauses for term in clause.terms)
    pair = {"bulge-none": "edge-on-bulge-none"}
    swap = pair if edge_on or "bulge-none" not in known else {new: old for old, new in pair.items()}
    swap = {old: new for old, new in swap.items() if new in known}

    def swapped(term: Term) -> Term:
        return term._replace(keys=tuple(swap.get(key, key) for key in term.keys))

    return [Clause(tuple(tuple(map(swapped, terms)) for terms in clause.alternatives)) for clause in clauses]


def _reasons(unread: Sequence[str], tree: DecisionTree | None) -> list[str]:
    """Return a sentence on the unread words of each subject that volunteers are not asked about."""
    subjects: dict[str, list[str]] = {}
    for word in unread:
        if word in OUTSIDE:
            subjects.setdefault(OUTSIDE[word], []).append(word)
    return [
        f"volunteers are not asked about {subject} ({', '.join(words)}): give a column of yours by --where"
        for subject, words in subjects.items()
    ]


def _check(clauses: Sequence[Clause]) -> None:
    """Check that nothing is asked for and denied; raise ValueError otherwise."""
    single = [clause.alternatives[0][0] for clause in clauses if len(clause.terms) == 1]
    for term in single:
        opposite = [other for other in single if other.keys == term.keys and other.denied and not term.denied]
        if any(other.share <= term.share for other in opposite):
            raise ValueError(f"the sentence asks for {term} and for {opposite[0]}; leave one of them out")


__all__ = ["CLASS", "LONGEST", "read_sentence"]
