"""The words that searches have beside those of captions: thresholds, more names of concepts, and what nobody is asked.

Captions say what was seen of one galaxy; a search also says how sure it wants to be ("definitely", "at least 80 %"),
what it does not want ("nothing odd"), and things that no tree asks about ("blue"), which are named with a reason.
"""

import re
from collections.abc import Sequence

from ..captions.claims import SUPPORTED
from ..captions.plan import plan_of
from ..captions.reading import parse_claims
from ..captions.vocabulary import Vocabulary, normal, pattern, vocabulary_of
from ..models.tree import DecisionTree

MOST, DEFINITE, POSSIBLE = SUPPORTED[False], 0.8, SUPPORTED[True]
"""Share of the volunteers asked from which a claim holds: plain, with a word such as "definitely", with a hedge.

Plain and hedged as in :data:`~galaxy_vision.captions.claims.SUPPORTED`; .8 is ours, and that of debiased votes which
Galaxy Zoo calls clean (Lintott et al. 2008, MNRAS 389, 1179, section 3).
"""
CLASS = "class "
"""Begins the key of a term that is a class of the catalogue's model, such as ``"class elliptical"``."""

READ_ALSO = {
    "not-edge-on": ("face-on", "seen face-on", "viewed face-on", "seen from above", "viewed from above"),
    "edge-on": ("seen edge-on", "viewed edge-on", "edgewise", "viewed from the side"),
    "smooth": ("early-type",),
    "featured": ("discs",),
    "spiral": ("spirals", "spiral galaxies", "spiral structure"),
    "spiral-none": ("armless",),
    "bar-strong": ("strongly barred",),
    "odd-none": ("no oddity",),
    "odd": ("strange", "weird", "unusual", "any oddity"),
    "round": ("circular", "spherical"),
    "in-between": ("elongated",),
    "cigar-shaped": ("needle-like", "spindle"),
    "ring": ("ring galaxy", "ring galaxies", "ring-shaped"),
    "lens-or-arc": ("lenses", "arcs", "gravitational lens", "gravitational lenses", "gravitational arc"),
    "disturbed": ("distorted",),
    "irregular": ("irregulars",),
    "merger": (
        "mergers",
        "galaxy merger",
        "galaxy merger in progress",
        "colliding",
        "collides",
        "collision",
        "in collision",
        "interacting",
        "interaction",
    ),
    "dust-lane": ("dusty lane", "dusty lanes", "dark lane", "dark dust lane", "dust band"),
    "bulge-dominant": ("bulge-dominated",),
}
"""Concept -> phrases that claim it in a search, beside those of captions."""
ARM_WORDS = {"winding-loose": ("open",)}
BULGE_WORDS = {
    "bulge-small": ("tiny",),
    "bulge-obvious": ("big",),
    "bulge-dominant": ("huge",),
    "edge-on-bulge-boxy": ("peanut-shaped", "x-shaped"),
}
"""Concept -> words that claim it near "arms" or "bulge", beside those of captions."""
OPPOSITE = {"bar-none": "bar", "spiral-none": "spiral", "odd-none": "odd"}
"""Concept that denies a structure -> the structure: a search for "no bar" is one for those of which few say "bar"."""

SURE = frozenset("definitely definite certainly certain clearly clear surely undoubtedly strongly strong".split())
"""Words that ask for a share of :data:`DEFINITE`. In trees with strong and weak bars, "a strong bar" is an answer."""
NEUTRAL = frozenset(
    "find me show all any some every please those these whose they their them i want search look looking for give get "
    "objects object say says said see sees saw vote votes volunteers people most majority than very quite really one "
    "middle ones another through either else both also where being made think thinks who system systems".split()
)
"""Words that claim nothing in a search, beside those of captions."""

_ODD = "(?:odd|unusual|strange|peculiar|weird)"
_REWRITTEN = {
    rf"\bnothing {_ODD}\b": "no oddity",
    rf"\banything {_ODD}\b": "any oddity",
    r"\b(?:for sure|without (?:a |any )?doubt)\b": "definitely",
    r"\bbulges\b": "bulge",
    r"\b(small|large|boxy|rounded)-bulged\b": r"\1 bulge",
    r"\bwound (loosely|tightly|moderately)\b": r"\1 wound",
    r"\bface on\b": "face-on",
    r"\btwo (?=(?:[\w-]+ )?galaxies\b)": "",
}

_LEAST = r"at least|more than|over|above|not less than|from|> ?=?|≥"
_SHARES = re.compile(
    rf"(?:(?P<most>at most|less than|fewer than|no more than|below|under|up to|< ?=?|≤)|{_LEAST})?\s*"
    r"(?:(?P<percent>\d+(?:\.\d+)?)\s*(?:%|percent\b|per cent\b)|(?<=[<>=≤≥\w] )(?P<fraction>0?\.\d+|1\.0+))"
    r"(?:\s+or more)?(?:\s+(?:of|in) (?:the |all )?(?:votes|volunteers|people))?"
)
_SHARE_WORD = re.compile(r"share_(most|least)_(\d+)")

_REASONS = {
    "colours": "blue red green yellow white orange purple colour color coloured colored reddish bluish",
    "distances": "distant nearby far near redshift high-redshift low-redshift local remote closest farthest",
    "brightness": "bright brighter brightest faint fainter faintest luminous dim",
    "sizes": "large larger largest big huge giant small smaller smallest tiny dwarf compact extended",
    "stars, gas and nuclei": "massive old young star-forming starburst quenched passive active agn quasar seyfert gas "
    "gas-rich metal-rich stars",
    "surroundings": "cluster clusters group groups isolated satellite satellites void",
    "positions": "m31 andromeda virgo coma north south east west ra dec",
}
OUTSIDE = {word: subject for subject, words in _REASONS.items() for word in words.split()}
"""Word -> what it is about, of which volunteers are not asked."""


def search_text(sentence: str) -> str:
    """Return a sentence in the form of :func:`~galaxy_vision.captions.vocabulary.normal`, each share as one word."""

    def as_word(match: re.Match) -> str:
        number = float(match["percent"]) if match["percent"] else 100 * float(match["fraction"])
        return f" share_{'most' if match['most'] else 'least'}_{round(number)} "

    text = normal(_SHARES.sub(as_word, sentence.lower()))
    for old, new in _REWRITTEN.items():
        text = re.sub(old, new, text)
    return text


def share_of(word: str) -> tuple[bool, float] | None:
    """Return (is an upper limit, share) of a word that states a share of the volunteers; None for other words.

    Raises:
        ValueError: the share is above 100 %.
    """
    if word in SURE:
        return False, DEFINITE
    if not (match := _SHARE_WORD.fullmatch(word)):
        return None
    if not 0 < (percent := int(match[2])) < 100:
        raise ValueError(f"{percent} % is not a share of volunteers that can differ; give 1 to 99 %")
    return match[1] == "most", percent / 100


def as_stated(word: str) -> str:
    """Return a word of :func:`search_text` as it was said: ``"80 %"``."""
    match = _SHARE_WORD.fullmatch(word)
    return f"{match[2]} %" if match else word


def search_vocabulary(tree: DecisionTree | None, class_names: Sequence[str] = ()) -> Vocabulary:
    """Return what a search in a catalogue can say: claims of its tree, and those classes that are no claims.

    Args:
        tree: whose votes it has; None without votes.
        class_names: of its model.
    """
    base = vocabulary_of(tree) if tree else Vocabulary(frozenset(), ())
    asks = plan_of(tree).asks if tree else {}
    tables = []
    for table, kind in ((READ_ALSO, "claim"), (ARM_WORDS, "arm"), (BULGE_WORDS, "bulge")):
        known = {
            phrase: key
            for key, phrases in table.items()
            for phrase in phrases
            if key in asks or OPPOSITE.get(key) in asks
        }
        tables.append((known, kind))
    for name in class_names:
        if not tree or (read := parse_claims(name, tree)).unread or not read:
            tables[0][0].update({form: CLASS + name for form in (normal(name), normal(name) + "s")})
    phrases = [(pattern(table), table, kind) for table, kind in tables if table]
    return Vocabulary(base.known | {key for table, _ in tables for key in table.values()}, (*phrases, *base.phrases))
