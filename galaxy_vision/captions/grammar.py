"""The words of captions: which phrases stand for which answer of the tree, and how phrases become a sentence.

The writer (``writing.py``) and the reader (``reading.py``) share these tables, so that every written caption can be
read back. Captions do not mention size or distance, since the cut-outs are scaled by the galaxy's own radius, nor
"elliptical" or "face-on", since volunteers were not asked about them.
"""

import random
from collections.abc import Iterable

HEDGES = ("possibly", "perhaps", "hints of")
"""Words before a phrase on which volunteers disagree; the last only before things ("hints of a bar")."""

ADJECTIVES = {
    "a01_smooth": ("smooth", "featureless"),
    "a04_yes": ("edge-on",),
    "a06_bar": ("barred",),
    "a07_no_bar": ("unbarred",),
    "a14_yes": ("odd", "peculiar"),
    "a16_completely_round": ("round", "completely round"),
    "a17_in_between": ("oval", "slightly elongated"),
    "a18_cigar_shaped": ("cigar-shaped", "strongly elongated"),
    "a21_disturbed": ("disturbed",),
    "a22_irregular": ("irregular",),
    "a24_merger": ("merging",),
}
"""Answer -> words that can precede "galaxy"."""

THINGS = {
    "a06_bar": ("a bar", "a central bar"),
    "a07_no_bar": ("no bar", "no sign of a bar"),
    "a08_spiral": ("spiral arms", "a spiral pattern"),
    "a09_no_spiral": ("no spiral arms", "no sign of spiral arms"),
    "a10_no_bulge": ("no bulge", "no visible bulge"),
    "a11_just_noticeable": ("a small bulge", "a just noticeable bulge"),
    "a12_obvious": ("an obvious bulge", "a prominent bulge"),
    "a13_dominant": ("a dominant bulge", "a dominating bulge"),
    "a14_yes": ("something odd about it",),
    "a16_completely_round": ("a round outline", "a round shape"),
    "a17_in_between": ("an oval outline", "an oval shape"),
    "a18_cigar_shaped": ("a cigar-like shape", "a cigar-like outline"),
    "a19_ring": ("a ring", "a ring-like feature"),
    "a20_lens_or_arc": ("a lens or an arc", "a gravitational lens or arc"),
    "a21_disturbed": ("a disturbed shape", "a disturbed outline"),
    "a22_irregular": ("an irregular shape", "an irregular outline"),
    "a23_other": ("an unusual feature", "an uncommon feature"),
    "a24_merger": ("a merging companion", "a merger in progress"),
    "a25_rounded": ("a rounded bulge", "a round bulge"),
    "a26_boxy": ("a boxy bulge", "a box-shaped bulge"),
    "a27_no_bulge": ("no bulge", "no visible bulge"),
    "a38_dust_lane": ("a dust lane", "a lane of dust"),
}
"""Answer -> phrases that can follow "a galaxy with"."""

ARM_NUMBERS = {
    "a31_1": ("one", "a single"),
    "a32_2": ("two", "a pair of"),
    "a33_3": ("three",),
    "a34_4": ("four",),
    "a36_more_than_4": ("many", "more than four"),
}
ARM_WINDINGS = {"a28_tight": ("tightly wound",), "a29_medium": ("moderately wound",), "a30_loose": ("loosely wound",)}
NOT_A_GALAXY = ("a star or an artefact", "a star or an image artefact", "an artefact or a star")  # a03
NO_CLAIM = ("of uncertain form", "of unclear form")

# The tables below are for reading only; captions are not written with them.
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
    *HEDGES,
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
    "a01_smooth": ("smooth-looking", "without features"),
    "a02_features_or_disk": ("disc galaxy", "disc", "discy"),
    "a03_star_or_artifact": (*NOT_A_GALAXY, "star", "artefact"),
    "a04_yes": ("seen from the side",),
    "a06_bar": ("bar", "bars"),
    "a07_no_bar": ("non-barred", "without a bar", "not barred", "lacking a bar"),
    "a08_spiral": ("spiral galaxy", "spiral", "spiral arm"),
    "a09_no_spiral": ("no arms", "without spiral arms", "without arms", "no spiral pattern"),
    "a10_no_bulge": ("without a bulge", "lacks a bulge", "lacking a bulge", "bulgeless"),
    "a12_obvious": ("large bulge",),
    "a14_yes": ("something odd", "odd feature", "odd features", "oddity"),
    "a18_cigar_shaped": ("cigar",),
    "a19_ring": ("ringed", "rings"),
    "a20_lens_or_arc": ("lens", "arc"),
    "a24_merger": ("merger", "merging"),
    "a28_tight": ("tight",),
    "a29_medium": ("medium wound",),
    "a30_loose": ("loose",),
    "a31_1": ("one-armed",),
    "a32_2": ("two-armed",),
    "a33_3": ("three-armed",),
    "a34_4": ("four-armed",),
    "a38_dust_lane": ("dust lanes",),
}
"""Answer -> phrases of free text that claim it, beside those that are written."""
BULGE_WORDS = {
    "a11_just_noticeable": ("small", "just noticeable"),
    "a12_obvious": ("obvious", "prominent", "large"),
    "a13_dominant": ("dominant", "dominating", "dominates"),
    "a25_rounded": ("rounded",),
    "a26_boxy": ("boxy", "box-shaped"),
}
"""Answer -> words that claim it where "bulge" is near."""
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
DENIED = {"a06_bar": "a07_no_bar", "a08_spiral": "a09_no_spiral"}
DENIED_NOUNS = {"arm": "a09_no_spiral", "bulge": "a10_no_bulge"}
"""Negated answer or noun -> the answer that its denial claims.

The denial of any other answer claims nothing, and its words count as unread.
"""

_FRAMES = (
    "{0} with {1}",
    "{0} showing {1}",
    "{0}, which has {1}",
    "this is {0} with {1}",
    "the image shows {0} with {1}",
)
_BARE_FRAMES = ("{0}", "this is {0}", "the image shows {0}", "here we see {0}", "what we see is {0}")
_HEDGED_FRAMES = ("{0}", "this is {0}", "what we see is {0}")
_HEAD = ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact", "a08_spiral")
# Probabilities of the style. Ours: lab_notes.md, "Captions", compares them with an even choice among all synonyms.
_ADJECTIVE_SHARE = 0.8  # that a claim which can be an adjective or a thing becomes an adjective
_FAVOURITE = 0.6  # that the first of several synonyms is chosen outright, as a writer prefers some words
_REORDERED = 0.3  # that the order is another than that of the tree with the arms first


def _pick(synonyms, rng: random.Random) -> str:
    return synonyms[0] if rng.random() < _FAVOURITE else rng.choice(synonyms)


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _arms(number, winding, rng: random.Random) -> str:
    """Return a phrase such as "two loosely wound arms"; a hedge applies to the words that follow it."""
    words = _pick(ARM_NUMBERS[number.answer], rng) if number else ""
    if words == "a pair of" and winding and winding.hedged:
        words = "two"  # "a pair of possibly loosely wound arms" does not read well
    noun = "arm" if number and number.answer == "a31_1" else "arms"
    noun = _pick((noun, f"spiral {noun}"), rng)
    hedges = rng.sample(HEDGES[:2], 2)
    if number and number.hedged:
        words = f"{hedges[0]} {words}"
    if winding:
        wound = ARM_WINDINGS[winding.answer][0]
        words += (", " if number and number.hedged and winding.hedged else " ") if number else ""
        words += f"{hedges[1]} {wound}" if winding.hedged else wound
    return f"{words} {noun}"


def _enumerate(things: list[str]) -> str:
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def compose(claims: Iterable, rng: random.Random) -> str:
    """Return one sentence that states exactly these claims, in a style drawn from ``rng``.

    Args:
        claims: objects with ``answer`` and ``hedged``. A claim about arms needs ``a08_spiral`` beside it, as in the
            tree.
        rng: source of the choices among words and orders.
    """
    claimed = {claim.answer: claim for claim in claims}
    if "a03_star_or_artifact" in claimed:
        words = _pick(NOT_A_GALAXY, rng)
        frames = _HEDGED_FRAMES if claimed["a03_star_or_artifact"].hedged else _BARE_FRAMES
        return _pick(frames, rng).format(_hedge(words, claimed["a03_star_or_artifact"], rng, last=2))
    is_spiral = "a08_spiral" in claimed and not claimed["a08_spiral"].hedged
    is_edge_on = "a04_yes" in claimed and not claimed["a04_yes"].hedged
    hedged_disc = "a02_features_or_disk" in claimed and claimed["a02_features_or_disk"].hedged
    adjectives, things = [], []
    if "a01_smooth" in claimed:
        adjectives.append(_hedge(_pick(ADJECTIVES["a01_smooth"], rng), claimed["a01_smooth"], rng, last=2))
    number = next((claimed[answer] for answer in ARM_NUMBERS if answer in claimed), None)
    winding = next((claimed[answer] for answer in ARM_WINDINGS if answer in claimed), None)
    if number or winding:
        things.append(_arms(number, winding, rng))
    for answer, claim in claimed.items():
        is_head = answer in _HEAD and not (answer == "a08_spiral" and claim.hedged)
        if is_head or answer in ARM_NUMBERS or answer in ARM_WINDINGS:
            continue
        # More than two adjectives read badly; before a hedged "disc" the hedge would seem to apply to them.
        can_be_adjective = answer in ADJECTIVES and len(adjectives) < 2 and not hedged_disc
        if can_be_adjective and (answer not in THINGS or rng.random() < _ADJECTIVE_SHARE):
            adjectives.append(_hedge(_pick(ADJECTIVES[answer], rng), claim, rng, last=2))
        else:
            things.append(_hedge(_pick(THINGS[answer], rng), claim, rng, last=3))
    noun = "galaxy"
    if is_spiral:
        noun = "spiral galaxy"
    elif is_edge_on:
        noun = _pick(("disc galaxy", "galaxy"), rng)
    elif "a02_features_or_disk" in claimed:
        noun = "disc galaxy"
    # The draw comes before the look at the words, since the sequence of draws determines the captions of a seed.
    if "a01_smooth" in claimed and len(adjectives) == 2 and rng.random() < _REORDERED:
        if not any(" " in adjective for adjective in adjectives):
            adjectives.reverse()
    head = _article(f"{', '.join(adjectives)} {noun}" if adjectives else noun)
    if hedged_disc:
        head = f"{_pick(HEDGES[:2], rng)} {head}"
    if not claimed:
        head = f"{head} {_pick(NO_CLAIM, rng)}"
    if rng.random() < _REORDERED:
        rng.shuffle(things)
    if not things:
        return _pick(_HEDGED_FRAMES if hedged_disc else _BARE_FRAMES, rng).format(head)
    return _pick(_FRAMES[:4] if hedged_disc else _FRAMES, rng).format(head, _enumerate(things))


def _hedge(words: str, claim, rng: random.Random, last: int) -> str:
    return f"{_pick(HEDGES[:last], rng)} {words}" if claim.hedged else words
