"""The verdict: class, sentence whose words show their evidence, doubts, the path in one line, and what to take away."""

import re
from html import escape
from itertools import groupby

from icons import icon
from studio import Look
from votes import chain, path_of, percent, steps_of

from galaxy_vision.captions.plan import plan_of
from galaxy_vision.inference.classes import MANY_UNCERTAIN
from galaxy_vision.inference.describe import NO_CAPTION
from galaxy_vision.inference.word_maps import NOT_LOCATED, VOTES
from galaxy_vision.models.tree import DecisionTree

NUM_OTHERS = 3  # classes after the first that are named; ours
LEAST_NAMED = 0.01
HEDGING = frozenset(("possibly", "perhaps", "hints", "of"))


def head(description: dict, campaigns: str) -> str:
    """Return file, class, probability and doubts.

    Args:
        description: what :func:`studio.describe` returns.
        campaigns: a picker of whose votes they are, as HTML; may be empty.
    """
    label, width, height = description["class"], *description["size"]
    about = f"{escape(description['image'])} &middot; {width} &times; {height} px"
    capital = escape(label[:1].upper() + label[1:])
    return f"""<div class="gv-head"><p class="gv-eyebrow"><span>{about}</span>{campaigns}</p>
<div class="gv-klass" aria-live="polite"><h1 data-class="{escape(label)}">{capital}</h1>
<span class="gv-p">{100 * description["probability"]:.0f}<small>&nbsp;%</small></span></div>
{_mix(description)}{doubt_note(description)}</div>"""


def _mix(description: dict) -> str:
    """Return the class probabilities as one stacked bar, and the next ones in words."""
    ranked = sorted(description["probabilities"].items(), key=lambda item: -item[1])
    spoken = ", ".join(f"{label} {value:.0%}" for label, value in ranked)
    parts = "".join(f'<i style="flex:{value:.4f}"></i>' for _, value in ranked if value >= LEAST_NAMED)
    others = [item for item in ranked[1 : 1 + NUM_OTHERS] if item[1] >= LEAST_NAMED]
    words = [f"{escape(label)} <b>{percent(value)}</b>" for label, value in others]
    if words:
        words[0] = f"then {words[0]}"
    if below := len(ranked) - 1 - len(others):
        words.append(f"{below} more")
    uncertain = description["uncertain"]
    if uncertain is not None and uncertain >= MANY_UNCERTAIN:
        words.append(f"fits no class <b>{percent(uncertain)}</b>")
    key = "".join(f"<span>{word}</span>" for word in words)
    return (
        f"""<div class="gv-mix" role="img" aria-label="{escape(spoken)}">{parts}</div><p class="gv-mixkey">{key}</p>"""
    )


def doubt_note(description: dict) -> str:
    """Return why the answer may mean nothing; empty where nothing is doubted."""
    if not description["doubts"]:
        return ""
    reasons = "; ".join(doubt.split(": ", 1)[1] for doubt in description["doubts"])
    return f"""<div class="gv-note gv-doubt" role="note">{icon("warn")}<p><b>Do not rely on this answer.</b>
{escape(reasons[:1].upper() + reasons[1:])}. The models answer for any picture.</p></div>"""


def body(look: Look, tree: DecisionTree, share: str) -> str:
    """Return the sentence, what is sure and what is not, the path in one line, and the buttons.

    Args:
        look: at the galaxy.
        tree: whose answers its votes are.
        share: address of this example on the page; empty for an image of the visitor.
    """
    description = look.description
    is_doubted, votes = bool(description["doubts"]), description["votes"]
    parts = [_sentence(look, tree)]
    if not is_doubted:
        parts.append(_sureness(votes, tree))
        parts.append(
            chain(votes, tree) + '<p><a class="gv-link" href="#gv-path">See the votes</a></p>' if votes else ""
        )
    elif votes:
        parts.append('<p><button type="button" class="gv-btn gv-anyway">Show the votes anyway</button></p>')
    link = f'<button type="button" class="gv-btn gv-share" data-link="{escape(share)}">{icon("link")}Link</button>'
    parts.append(f"""<div class="gv-acts">
<button type="button" class="gv-btn gv-figure">{icon("down")}Figure</button>
<button type="button" class="gv-btn gv-json">{icon("down")}JSON</button>
<button type="button" class="gv-btn gv-copy" data-text="{escape(description["caption"])}">
{icon("copy")}Sentence</button>
{link if share else ""}
<button type="button" class="gv-btn gv-compare">{icon("pair")}Compare</button></div>""")
    if description["reading"]:
        reading = description["reading"]
        parts.append(f'<p class="gv-hint gv-reading">Read as: {escape(reading)}.</p>')
    return f'<div class="gv-body">{"".join(parts)}</div>'


def _sentence(look: Look, tree: DecisionTree) -> str:
    """Return the caption; what claims something is a button that carries the evidence for it."""
    if not look.description["caption"].strip():
        return f'<p class="gv-say">{escape(NO_CAPTION)}</p>'
    asks, html = plan_of(tree).asks, []
    for concept, group in groupby(look.words, key=lambda word: word.concept):
        words = list(group)
        if concept is None:
            html += [f"<em>{word.text}</em>" if word.text in HEDGING else escape(word.text) for word in words]
            continue
        text, first = escape(" ".join(word.text for word in words)), words[0]
        source = "classifier" if first.source == VOTES else "captioner"
        source += "; where it is hot need not be where it is" if concept in NOT_LOCATED else ""
        hedged = " gv-hedged" if first.is_hedged else ""
        question = asks[concept][0][0] if concept in asks else ""
        html.append(
            f'<button type="button" class="gv-word{hedged}" aria-pressed="false" data-word="{text}" '
            f'data-model="{source}" data-scale="{look.scale:.1f} nats" data-question="{escape(question)}" '
            f'data-map="{first.layer}">{text}</button>'
        )
    sentence = re.sub(r" ([,.;])", r"\1", " ".join(html))
    return f"""<p class="gv-say" aria-live="polite">{sentence}{"" if sentence.endswith(".") else "."}</p>
<p class="gv-hint"><i class="gv-solid"></i>sure&ensp;<i class="gv-dotted"></i>hedged. Press a word to see
what speaks for it.</p>"""


def _sureness(votes: dict, tree: DecisionTree) -> str:
    """Return that nothing is doubted, and the answer of the path of which the models are least sure."""
    rows = f"<li>{icon('ok')}<span>Looks like a galaxy, in the middle of its frame</span><span>no doubts</span></li>"
    if votes:
        step = min(path_of(steps_of(votes, tree)), key=lambda step: step.answers[0].lower)
        best = step.answers[0]
        limits = f"{escape(best.short)} {percent(best.fraction)} ({100 * best.lower:.0f} to {100 * best.upper:.0f})"
        rows += (
            f'<li><i class="gv-pt gv-open"></i><span>Least sure: {escape(step.text)}</span><span>{limits}</span></li>'
        )
    return f'<ul class="gv-sure">{rows}</ul>'
