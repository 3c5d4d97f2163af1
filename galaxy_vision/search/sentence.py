"""Read a sentence as a search: what must hold, with which share of the volunteers, and what was not understood."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from ..captions.plan import plan_of
from ..captions.reading import NEAR, Scope, Token, tokens_of
from ..captions.vocabulary import NEGATING, NEGATIONS, TRANSPARENT
from ..captions.vocabulary import NEUTRAL as NEUTRAL_IN_CAPTIONS
from ..models.tree import DecisionTree
from .query import Clause, Query, Term
from .words import CLASS, MOST, NEUTRAL, OPPOSITE, OUTSIDE, POSSIBLE, search_text, search_vocabulary, share_of

LONGEST = 1000
"""Characters of a sentence. Ours: a guard against files that are no sentences."""
_SILENT = NEUTRAL | NEUTRAL_IN_CAPTIONS | TRANSPARENT | NEGATING | set(" ".join(NEGATIONS).split())
_ENDS_SEGMENT = frozenset(("and", "but", "or", ",", ";", "."))


class _Found(NamedTuple):
    """A term, the token that states it, whether "or" joins it to the last one, and whether it has an article."""

    term: Term
    token: Token
    after_or: bool
    has_article: bool


class _Reader:
    """What was understood of a sentence so far."""

    def __init__(self, text: str, known: frozenset[str]):
        self.text, self.known, self.scope = text, known, Scope()
        self.found: list[_Found] = []
        self.unread: list[tuple[int, str]] = []
        self.nouns: list[Token] = []
        self.after_or = False
        self.share: tuple[bool, float] | None = None  # stated, and not yet of a term
        self.segment = 0  # terms found before the present one of the segments that commas and conjunctions divide

    def add(self, key: str, token: Token, denied: bool, hedged: bool = False) -> None:
        """Add a term; a denied "unbarred" is a "barred"."""
        if key in OPPOSITE:
            key, denied = OPPOSITE[key], not denied
        term = Term((key,), POSSIBLE if hedged else MOST, denied)
        self.found.append(_Found(term, token, self.after_or, _has_article(self.text, token)))
        self.after_or = False
        if self.share:
            self.give_share()

    def give_share(self) -> None:
        """Give a stated share to the last term; "definitely no ring" is that few say "ring"."""
        is_upper, share = self.share
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
            self.share = share
        elif word == "or" or word == "nor":
            self.after_or = bool(self.found)
        elif not share and word not in _SILENT and word[0].isalnum() and not word.endswith("n't"):
            self.leave(token)
        if word in _ENDS_SEGMENT:
            self.end_segment()
        if word in ("and", "but", ";", "."):
            self.after_or = False
        self.scope.pass_word(denied)

    def end_segment(self) -> None:
        """Give a share that no term has followed to the last one of its segment."""
        if self.share and len(self.found) > self.segment:
            self.give_share()
        self.segment = len(self.found)

    def leave(self, token: Token) -> None:
        """Count the words of a token as unread."""
        words = [word for word in token.text.split() if word[0].isalnum() and word not in NEUTRAL_IN_CAPTIONS]
        self.unread += [(token.index, word) for word in words]


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
    if reader.share and reader.found:
        reader.give_share()
    _add_bare_nouns(reader)
    unread = tuple(word for _, word in sorted(reader.unread, key=lambda item: item[0]))
    clauses = tuple(dict.fromkeys(_in_one_view(_clauses(reader.found), reader.known)))
    notes = [*_reasons(unread, tree)]
    if tree:
        clauses, implied = _without_implied(clauses, tree)
        notes += [*implied, *_exclusions(clauses, tree)]
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


def _clauses(found: list[_Found]) -> list[Clause]:
    """Join what "or" joins: neighbouring terms, or the whole phrases in which they stand."""
    clauses: list[list[list[_Found]]] = []  # clause -> alternatives -> terms
    index = 0
    while index < len(found):
        item, last = found[index], clauses[-1] if clauses else None
        joins = item.after_or and last and not (item.term.denied and last[-1][-1].term.denied)
        run = _run(found, index)
        before = last and _run_back(found, index - 1)
        whole = joins and _is_whole(before, run)
        if joins and whole and len(before) > 1 and len(last) == 1:
            for _ in before[1:]:  # the terms of the phrase before are clauses of their own so far
                clauses.pop()
            clauses[-1] = [before]
        if joins:
            clauses[-1].append(run if whole else [item])
            index += len(run) if whole else 1
        else:
            clauses.append([[item]])
            index += 1
    return [Clause(tuple(tuple(item.term for item in terms) for terms in alternatives)) for alternatives in clauses]


def _run(found: list[_Found], start: int) -> list[_Found]:
    """Return the terms from ``start`` between which there is no word ("a barred spiral")."""
    end = start + 1
    while end < len(found) and found[end].token.at == found[end - 1].token.end + 1:
        end += 1
    return found[start:end]


def _run_back(found: list[_Found], end: int) -> list[_Found]:
    start = end
    while start > 0 and found[start].token.at == found[start - 1].token.end + 1:
        start -= 1
    return found[start : end + 1]


def _is_whole(before: list[_Found], run: list[_Found]) -> bool:
    with_article = all(part[0].has_article for part in (before, run))
    return with_article or all(part[-1].token.text.endswith("s") for part in (before, run))


def _has_article(text: str, token: Token) -> bool:
    """Return whether an article begins the phrase of a token ("a blue ring")."""
    words = [*text[: token.at].split(), token.text.split()[0]]
    words = [word for word in words if word[0].isalnum() or word in _ENDS_SEGMENT]
    for word in reversed(words[-4:]):
        if word in ("a", "an"):
            return True
        if word in _ENDS_SEGMENT:
            return False
    return False


def _in_one_view(clauses: list[Clause], known: frozenset[str]) -> list[Clause]:
    """Return clauses in which "no bulge" is the answer to the question that applies, as in captions."""
    edge_on = any(term.keys == ("edge-on",) and not term.denied for clause in clauses for term in clause.terms)
    pair = {"bulge-none": "edge-on-bulge-none"}
    swap = pair if edge_on or "bulge-none" not in known else {new: old for old, new in pair.items()}
    swap = {old: new for old, new in swap.items() if new in known}

    def swapped(term: Term) -> Term:
        return term._replace(keys=tuple(swap.get(key, key) for key in term.keys))

    return [Clause(tuple(tuple(map(swapped, terms)) for terms in clause.alternatives)) for clause in clauses]


def _routes(key: str, tree: DecisionTree) -> set[str]:
    """Return the keys that every volunteer who gave this one must have given before."""
    plan = plan_of(tree)
    ways = [_before(question, tree) for question, _ in plan.asks.get(key, ())]
    return reduce(set.intersection, ways) if ways else set()


def _before(question: str, tree: DecisionTree) -> set[str]:
    plan = plan_of(tree)
    step = next(step for step in plan.steps if step.name == question)
    ways = [set(way.keys) | _meant(way.answers, tree) | _before(way.question, tree) for way in step.ways]
    return reduce(set.intersection, ways) if ways else set()


def _meant(answers: Sequence[int], tree: DecisionTree) -> set[str]:
    return {key for key, asked in plan_of(tree).asks.items() for _, own in asked if set(answers) <= set(own)}


def _without_implied(clauses: Sequence[Clause], tree: DecisionTree) -> tuple[tuple[Clause, ...], list[str]]:
    """Leave out plain terms that another one needs, since its reach counts them; return notes that say so."""
    single = {clause.alternatives[0][0]: clause for clause in clauses if len(clause.terms) == 1}
    asked = {term.keys[0] for term in single if not term.denied}
    kept, notes = [], []
    for clause in clauses:
        term = clause.alternatives[0][0]
        needs = [key for key in asked if term.keys[0] in _routes(key, tree)] if clause in single.values() else []
        if needs and term == Term(term.keys):
            notes.append(f"{term} counts with {Term((min(needs),))}: only those who say it are asked")
        else:
            kept.append(clause)
    return tuple(kept), notes


def _exclusions(clauses: Sequence[Clause], tree: DecisionTree) -> list[str]:
    plain = [clause.terms[0].keys[0] for clause in clauses if len(clause.terms) == 1 and not clause.terms[0].denied]
    pairs = [
        (first, second)
        for index, first in enumerate(plain)
        for second in plain[index + 1 :]
        if frozenset((first, second)) in plan_of(tree).excluding
    ]
    return [
        f"no volunteer can have said both {Term((first,))} and {Term((second,))}, so probabilities are low"
        for first, second in pairs
    ]


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
