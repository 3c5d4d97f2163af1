"""The words that the reader knows: of the grammar, of free text, and of a tree; compiled once per tree.

A reader knows the concepts that its tree asks for. Phrases of finer concepts come first: "a weak bar" is ``bar-weak``
in a tree that has it, and a hedged ``bar`` in others.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from ..models.concepts import PARTS
from ..models.tree import DecisionTree
from . import grammar
from .plan import plan_of

SPELLINGS = {
    r"\bdisk": "disc",
    r"\bcenter": "centre",
    r"\bartifact": "artefact",
    r"\bedge on\b": "edge-on",
    r"\bcigar shaped\b": "cigar-shaped",
    r"\bcigar like\b": "cigar-like",
    r"\bring like\b": "ring-like",
    r"\bbox shaped\b": "box-shaped",
    r"ly-wound\b": "ly wound",
    r"\b(1|single) arm": "one arm",
    r"\b2 ": "two ",
    r"\b3 ": "three ",
    r"\b4 ": "four ",
}
WEAK = ("weak", "weakly")
"""Hedges that state how strong a structure is; "no weak bar" does not deny a bar."""
READ_HEDGES = (
    *grammar.HEDGES,
    "hint of",
    "signs of",
    "traces of",
    "maybe",
    "probably",
    "seemingly",
    "possible",
    "apparent",
    *WEAK,
)
NEUTRAL = frozenset(
    "a an the this that which is are it its has have had with showing shows show image here we see seen what galaxy "
    "galaxies and in of about there one's centre as at on to be or but appears appear appearing looks like".split()
)
"""Words that claim nothing and do not count as unread."""
READ_ALSO = {
    "smooth": ("smooth-looking", "without features"),
    "featured": ("disc galaxy", "disc", "discy"),
    "not-a-galaxy": ("star", "artefact"),
    "edge-on": ("seen from the side",),
    "bar": ("bar", "bars"),
    "bar-strong": ("bar strength : strong", "bar : strong", "bar is strong", "strong bars"),
    "bar-weak": ("bar strength : weak", "bar : weak", "bar is weak", "weak bars"),
    "bar-none": ("non-barred", "without a bar", "not barred", "lacking a bar"),
    "spiral": ("spiral galaxy", "spiral", "spiral arm"),
    "spiral-none": ("no arms", "without spiral arms", "without arms", "no spiral pattern"),
    "bulge-none": ("without a bulge", "lacks a bulge", "lacking a bulge", "bulgeless"),
    "bulge-obvious": ("large bulge",),
    "edge-on-bulge-none": ("without a bulge", "lacks a bulge", "lacking a bulge", "bulgeless"),
    "odd": ("something odd", "odd feature", "odd features", "oddity"),
    "cigar-shaped": ("cigar",),
    "ring": ("ringed", "rings"),
    "lens-or-arc": ("lens", "arc"),
    "merger": ("merger", "merging"),
    "winding-tight": ("tight",),
    "winding-medium": ("medium wound",),
    "winding-loose": ("loose",),
    "arms-1": ("one-armed",),
    "arms-2": ("two-armed",),
    "arms-3": ("three-armed",),
    "arms-4": ("four-armed",),
    "dust-lane": ("dust lanes",),
    "overlapping": ("overlapping",),
    "disturbance-minor": ("minor disturbances",),
    "disturbance-major": ("major disturbances", "strongly disturbed", "tidal features", "tidal tails", "tidal tail"),
    "bright-clumps": ("bright clump", "clumps"),
    "mostly-clumpy": ("clumpiness",),
    "bad-image": (*grammar.PROBLEMS["not-a-galaxy"], "unusable image"),
    "bad-zoom": ("bad zoom", "badly zoomed"),
}
"""Concept -> phrases of free text that claim it, beside those that are written."""
BULGE_WORDS = {
    "bulge-small": ("small", "just noticeable"),
    "bulge-moderate": ("moderate",),
    "bulge-large": ("large",),
    "bulge-obvious": ("obvious", "prominent", "large"),
    "bulge-dominant": ("dominant", "dominating", "dominates"),
    "edge-on-bulge-rounded": ("rounded",),
    "edge-on-bulge-boxy": ("boxy", "box-shaped"),
}
"""Concept -> words that claim it where "bulge" is near; the first known concept has a word."""
NEGATIONS = ("no", "not", "without", "lacks", "lacking", "never", "neither", "nor", "isn't", "absence of")
NEGATING = frozenset((*NEGATIONS, "none", "cannot", "hardly", "barely", "lack", "absence"))
"""Words that deny the next phrase even with others between ("no clear bar"), as do words that end in "n't"."""
TRANSPARENT = frozenset(
    "any evidence trace traces sign signs hint hints clear visible apparent discernible central for".split()
)
"""Words that may be between a negation and what it denies; after other words it is not clear what is denied."""
ENDS_NEGATION = frozenset(("but", "and", "with", "only", "just", "merely"))
"""Words after which an earlier negation no longer applies."""
_NOT_SEEN = "not (?:visible|seen|present|there|apparent)"
# The end, punctuation or the next label must follow: "bar : no spiral arms" does not deny the bar.
_NEXT = r"(?= [^\w\s]|$| [\w'-]+(?: [\w'-]+)? [:=?])"
ABSENT = (
    rf" (?:absent|missing|(?:is|are) (?:absent|missing|lacking|{_NOT_SEEN})"
    rf"|(?:strength |presence )?[:=?] (?:none|absent|missing|false|{_NOT_SEEN}|no{_NEXT}))"
)
"""Pattern of what denies the phrase before it, as "is absent" and ": no" do."""
DOUBTED = rf" (?:(?:strength )?[:=?]|is|are) (?:{'|'.join(WEAK)}|possible|possibly|perhaps|maybe|uncertain|unclear)"
"""Pattern of what hedges the phrase before it."""
AFFIRMED = " (?:presence )?[:=?] (?:yes|present|true|visible|seen)"
"""Pattern of what affirms the phrase before it."""
DENIED = {"bar": "bar-none", "spiral": "spiral-none", "edge-on-bulge-any-shape": "edge-on-bulge-none"}
DENIED_NOUNS = {"arm": "spiral-none", "bulge": "bulge-none"}
"""Negated concept or noun -> the concept that its denial claims, if the tree has it.

The denial of any other concept claims nothing, and its words count as unread.
"""

_FINER = {part for parts in PARTS.values() for part in parts}
_WORD = re.compile(r"[\w'-]+|[^\w\s]")


class Vocabulary(NamedTuple):
    """What the reader of a tree knows.

    Attributes:
        known: concepts, and words of the tree.
        phrases: (pattern, table, kind): the pattern finds a phrase with what negates or hedges it before and behind;
            the table says which concept a phrase claims, None for a phrase that claims nothing; the kind is
            ``"claim"``, ``"filler"``, or ``"arm"`` and ``"bulge"`` for words that claim something near that noun. Of
            equally long matches the first counts.
    """

    known: frozenset[str]
    phrases: tuple[tuple[re.Pattern, dict[str, str] | None, str], ...]


@lru_cache(maxsize=64)
def vocabulary_of(tree: DecisionTree, with_words: bool = True) -> Vocabulary:
    """Return the vocabulary of a tree, with its own words or without them."""
    plan = plan_of(tree)
    known = plan.sayable - set(() if with_words else plan.words)
    written = (grammar.ADJECTIVES, grammar.THINGS, grammar.ARM_WINDINGS, grammar.PROBLEMS)
    lexicon = _table(known, *written, READ_ALSO)
    finer = {phrase: concept for phrase, concept in lexicon.items() if concept in _FINER}
    if with_words:
        finer |= {_bare(form): words for words in plan.words for form in forms(words)}
    numbers = {re.sub(r"^a ", "", phrase): key for phrase, key in _table(known, grammar.ARM_NUMBERS).items()}
    tables = ((finer, "claim"), (lexicon, "claim"), (numbers, "arm"), (_table(known, BULGE_WORDS), "bulge"))
    phrases = [(pattern(table), table, kind) for table, kind in tables if table]
    return Vocabulary(known, (*phrases, (pattern(grammar.NO_CLAIM), None, "filler")))


def normal(text: str) -> str:
    """Return the text in lower case and British spelling, with one space between words and punctuation."""
    text = " ".join(_WORD.findall(text.lower().replace("’", "'")))
    for american, british in SPELLINGS.items():
        text = re.sub(american, british, text)
    return text


def forms(words: str) -> tuple[str, str]:
    """Return words of a tree as they read at the end of a sentence and before other words ("type 2", "type two")."""
    return normal(words), normal(f"{words} ,").removesuffix(" ,")


def _bare(phrase: str) -> str:
    return re.sub(r"^an? ", "", phrase)


def _table(known: frozenset[str], *tables: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the concept of every phrase, without its article; of several concepts, the first that is known."""
    concepts: dict[str, str] = {}
    for table in tables:
        for concept, phrases in table.items():
            for phrase in phrases if concept in known else ():
                concepts.setdefault(_bare(phrase), concept)
    return concepts


def pattern(phrases: Iterable[str]) -> re.Pattern:
    """Compile a pattern of these phrases, with what negates or hedges them before and behind."""
    alternatives = "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))
    negations, hedges = "|".join(NEGATIONS), "|".join(READ_HEDGES)
    before = rf"(?:(?P<negation>{negations}) (?:an? |any )?)?(?:an? )?(?:(?P<hedge>{hedges}) (?:with )?)?(?:an? )?"
    behind = rf"(?:(?P<absent>{ABSENT})|(?P<doubted>{DOUBTED})|{AFFIRMED})(?![\w-])"
    return re.compile(rf"{before}(?P<phrase>{alternatives})(?![\w-])(?:{behind})?")
