"""Two galaxies side by side: their plates, their sentences, and the answers in which they differ."""

from html import escape
from typing import NamedTuple

from icons import icon
from votes import Step, percent, steps_of

from galaxy_vision.inference.describe import MIN_REACH, NO_CAPTION
from galaxy_vision.models.tree import DecisionTree


class Card(NamedTuple):
    """What is compared of a galaxy: its plate as HTML, and what :func:`studio.describe` returns."""

    plate: str
    description: dict


def waiting(card: Card) -> str:
    """Return that a galaxy waits for the one that it is compared with."""
    name = escape(card.description["image"])
    return f"""<div class="gv-note gv-waits" role="status">{icon("pair")}<p><b>{name} is kept for comparison.</b> Choose
another image, or one of those above.
<button type="button" class="gv-btn gv-uncompare">Stop comparing</button></p></div>"""


def comparison(left: Card, right: Card, tree: DecisionTree) -> str:
    """Return two galaxies side by side, with the votes of one campaign."""
    cards = "".join(_card(card) for card in (left, right))
    both = [steps_of(card.description["votes"], tree) if card.description["votes"] else [] for card in (left, right)]
    rows = "".join(_row(*pair) for pair in zip(*both, strict=True) if max(step.reach for step in pair) >= MIN_REACH)
    names = "".join(f"<th scope=col>{escape(card.description['image'])}</th>" for card in (left, right))
    table = f"""<div class="gv-scroll" tabindex="0" role="region" aria-label="Answers of both"><table class="gv-pair">
<thead><tr><th scope=col>question</th>{names}</tr></thead><tbody>{rows}</tbody></table></div>"""
    return f"""<section class="gv-comparison" aria-labelledby="gv-comparison-title"><div class="gv-bar">
<h2 id="gv-comparison-title">Side by side</h2>
<button type="button" class="gv-btn gv-uncompare">Stop comparing</button></div>
<div class="gv-two">{cards}</div>{table if rows else ""}</section>"""


def _card(card: Card) -> str:
    description = card.description
    label = description["class"]
    caption = description["caption"] if description["caption"].strip() else NO_CAPTION
    doubt = '<span class="gv-flag">doubtful</span>' if description["doubts"] else ""
    return f"""<article>{card.plate}<div class="gv-klass"><h3>{escape(label[:1].upper() + label[1:])}</h3>
<span class="gv-p">{percent(description["probability"])}</span></div>
<p class="gv-eyebrow">{escape(description["image"])} {doubt}</p><p class="gv-say">{escape(caption)}</p></article>"""


def _row(left: Step, right: Step) -> str:
    differs = left.answers[0].name != right.answers[0].name
    cells = "".join(_cell(step) for step in (left, right))
    return f"<tr{' class=gv-differs' if differs else ''}><th scope=row>{escape(left.text)}</th>{cells}</tr>"


def _cell(step: Step) -> str:
    if step.reach < MIN_REACH:
        return f"<td><span class=gv-unasked>asked of {percent(step.reach)}</span></td>"
    best = step.answers[0]
    limits = f"{100 * best.lower:.0f} to {100 * best.upper:.0f}"
    return f"<td><b>{escape(best.words)}</b> {percent(best.fraction)} <small>{limits}</small></td>"
