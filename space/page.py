"""Turn plain data into the HTML of the page; names and sentences from outside are escaped."""

from html import escape
from pathlib import Path

import numpy as np
from batches import MAX_BATCH, MAX_BATCH_BYTES
from studio import heat_url, model_places, picture_url, versions

from galaxy_vision.inference.answer_names import answer_names, answer_words, question_text
from galaxy_vision.inference.classes import probability_words
from galaxy_vision.inference.describe import MIN_REACH, NO_CAPTION
from galaxy_vision.inference.word_maps import NOT_LOCATED, VOTES, WordMaps
from galaxy_vision.models.tree import DecisionTree

HEADER = """<header class="gv-header"><h1>Galaxy Vision</h1>
<p>Upload an image of a galaxy to see its kind, what the volunteers of Galaxy&nbsp;Zoo would have answered, a caption,
and which parts of the image the models used.</p></header>"""
DROP = """<div class="gv-drop" aria-hidden="true"><b>Drop an image here</b><span>or paste one. JPEG, PNG, TIFF, WebP,
GIF or FITS, up to 64&nbsp;MiB and 4096&nbsp;px a side</span></div>"""
BATCH_HINT = f"""<p class="gv-hint">Up to {MAX_BATCH} images, as files or in a zip, {MAX_BATCH_BYTES >> 20} MiB in all.
A file that cannot be read becomes a row that says why. Click a column's name to sort.</p>"""


def words_of(tree: DecisionTree) -> dict[str, str]:
    """Return name -> words of every answer, as the page spells them: ``"a37_cant_tell"`` -> ``"can't tell"``."""
    return {name: words.replace("cant tell", "can't tell") for name, words in answer_words(tree).items()}


def notice(sentence: str) -> str:
    """Return a message in the form of an alert."""
    return f'<div class="gv-notice" role="alert">{escape(sentence)}</div>'


def verdict(description: dict, maps: WordMaps) -> str:
    """Return the class, the caption with a button for each claim, and a note if the image is not like a galaxy.

    Args:
        description: what :func:`studio.describe` returns.
        maps: words of the caption and the evidence for what they claim.
    """
    blocks = []
    if description["doubts"]:
        reasons = "; ".join(doubt.split(": ", 1)[1] for doubt in description["doubts"])
        blocks.append(
            f'<div class="gv-notice" role="note"><b>Doubtful:</b> {escape(reasons)}. '
            "The models give an answer for any picture; do not rely on what follows.</div>"
        )
    label, probability = escape(description["class"]), probability_words(description)
    blocks.append(f'<p class="gv-class"><span>{label}</span> <small>{probability}</small></p>')
    buttons = []
    layers: dict[str, str] = {}  # words of one claim share a map
    for word, heat, concept, source in zip(maps.words, maps.maps, maps.concepts, maps.sources, strict=True):
        if concept is None:
            buttons.append(f'<span class="gv-mark">{escape(word)}</span>')
            continue
        layer = layers.setdefault(concept, heat_url(heat))
        model = "classifier" if source == VOTES else "captioner"
        model += "; where it is hot need not be where it is" if concept in NOT_LOCATED else ""
        buttons.append(
            f'<button type="button" class="gv-word" aria-pressed="false" data-word="{escape(word)}" '
            f'data-model="{model}" data-map="{layer}">{escape(word)}</button>'
        )
    has_caption = bool(description["caption"].strip())
    blocks.append(f'<p class="gv-caption">{" ".join(buttons) if has_caption else escape(NO_CAPTION)}</p>')
    if has_caption:
        hint = "Click a word to see what speaks for it. Words that claim nothing have no map; all maps have one scale."
        blocks.append(f'<p class="gv-hint">{hint}</p>')
    if description["reading"]:
        blocks.append(f'<p class="gv-hint">Read as: {escape(description["reading"])}.</p>')
    return f'<div class="gv-verdict" aria-live="polite">{"".join(blocks)}</div>'


def viewer(image, name: str, heat: np.ndarray, target: str, method: str) -> str:
    """Return the galaxy in its frame, the galaxy under its heat map, and the frame on an image that shows more."""
    picture, layer, alt = picture_url(image), heat_url(heat), escape(name)
    empty = "" if heat.any() else " There is none in this image."
    caption = f"evidence for <b>{escape(target)}</b> <small>{escape(method)}</small>{empty}"
    size = f'width="{image.width}" height="{image.height}"'
    plain = f'<img src="{picture}" {size} alt="The image {alt}">'
    return f"""<div class="gv-viewer">
<figure><div class="gv-frame">{plain}</div><figcaption>the image</figcaption></figure>
<figure><div class="gv-frame"><img src="{picture}" {size} alt=""><img class="gv-map" src="{layer}" data-home="{layer}"
alt="Heat map on {alt}: where the model found evidence for {escape(target)}"></div>
<figcaption data-home="{escape(caption)}">{caption}</figcaption></figure>
{_frame(image.info, alt)}</div>"""


def _frame(info: dict, alt: str) -> str:
    """Return the image that was given, with the frame and petroR90 drawn on it; hidden if the models see all of it."""
    width, height = info["size"]
    left, top, right, bottom = info["frame"]["box"]
    stroke = max(width, height) / 150
    marks = (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" stroke-width="{stroke:.2f}"></rect>'
    )
    caption = "the frame on your image"
    if "petro_r90" in info["frame"]:
        x, y, radius = (info["frame"][name] for name in ("x", "y", "petro_r90"))
        marks += f'<circle cx="{x}" cy="{y}" r="{radius}" stroke-width="{stroke / 2:.2f}"></circle>'
        caption += f"; the circle is petroR90, {radius:.3g} px"
    hidden = "" if info["whole"] else " hidden"
    return f"""<figure class="gv-whole"{hidden}>
<div class="gv-frame"><img src="{info["whole"]}" alt="The whole of {alt}">
<svg viewBox="0 0 {width} {height}" aria-hidden="true">{marks}</svg></div>
<figcaption>{caption}</figcaption></figure>"""


# The same nodes as in viewer(): gradio updates the nodes of a page in place, and a different one would shift the rest.
_EMPTY_FIGURE = """
<figure><div class="gv-frame"></div><figcaption></figcaption></figure>"""
_EMPTY_WHOLE = """
<figure class="gv-whole" hidden><div class="gv-frame"></div><figcaption></figcaption></figure>"""
EMPTY_VIEWER = f'<div class="gv-viewer gv-empty">{_EMPTY_FIGURE * 2}{_EMPTY_WHOLE}</div>'


def bars(probabilities: dict[str, float]) -> str:
    """Return the class probabilities as bars, the largest first."""
    rows = []
    for label, value in sorted(probabilities.items(), key=lambda item: -item[1]):
        rows.append(
            f'<li><span class="gv-name">{escape(label)}</span>'
            f'<span class="gv-bar"><i style="width:{100 * value:.1f}%"></i></span>'
            f'<span class="gv-number">{value:.0%}</span></li>'
        )
    return f'<section class="gv-card"><h2>Class</h2><ol class="gv-bars">{"".join(rows)}</ol></section>'


def tree(votes: dict[str, dict[str, float]], decision_tree: DecisionTree, is_one_of_several: bool = False) -> str:
    """Return the questions that at least half of the volunteers would be asked, and folded below them the others.

    Args:
        votes: name of an answer -> its numbers, as :class:`~galaxy_vision.inference.describe.Describer` gives them.
        decision_tree: whose answers these are.
        is_one_of_several: say the name of its campaign.
    """
    if not votes:
        hint = '<p class="gv-hint">This classifier was trained without votes.</p>'
        return f'<section class="gv-card"><h2>Decision tree</h2>{hint}</section>'
    names, words = answer_names(decision_tree), words_of(decision_tree)
    asked, others = [], []
    for question in decision_tree.questions:
        answers = names[decision_tree.slices[question.name]]
        is_asked = votes[answers[0]]["reach"] >= MIN_REACH
        html = _question(question_text(decision_tree, question), {name: votes[name] for name in answers}, words)
        (asked if is_asked else others).append(html)
    campaign = f" of {escape(decision_tree.name)}" if is_one_of_several else ""
    plural = "s" if len(others) != 1 else ""
    folded = f"""
<details><summary>{len(others)} question{plural} that fewer than half would be asked</summary>
<ol class="gv-tree">{"".join(others)}</ol></details>"""
    return f"""<section class="gv-card"><h2>What volunteers{campaign} would have answered</h2>
<p class="gv-hint">Bars are predicted shares of those asked; lines are 90&nbsp;% intervals. The filled bar is the most
frequent answer.</p>
<ol class="gv-tree">{"".join(asked)}</ol>{folded if len(decision_tree.questions) > 1 else ""}</section>"""


def _question(text: str, votes: dict[str, dict[str, float]], words: dict[str, str]) -> str:
    """Return one question with a bar for each of its answers."""
    best = max(votes, key=lambda answer: votes[answer]["fraction"])
    rows = []
    for answer, vote in votes.items():
        low, high, share = (100 * vote[key] for key in ("lower", "upper", "fraction"))
        label = f"{words[answer]}: {share:.0f} %, between {low:.0f} and {high:.0f} %"
        rows.append(
            f'<li class="{"gv-best" if answer == best else ""}" title="{escape(label)}">'
            f'<span class="gv-name">{escape(words[answer])}</span>'
            f'<span class="gv-bar" role="img" aria-label="{escape(label)}"><i style="width:{share:.1f}%"></i>'
            f'<b style="left:{low:.1f}%;width:{max(high - low, 0.5):.1f}%"></b></span>'
            f'<span class="gv-number">{share:.0f}%</span></li>'
        )
    reach = votes[best]["reach"]
    return (
        f'<li class="gv-question"><h3>{escape(text)} <small>asked of {reach:.0%}</small></h3>'
        f'<ul class="gv-bars">{"".join(rows)}</ul></li>'
    )


def table(rows: list[dict], thumbnails: list[str]) -> str:
    """Return the table of a batch, a row for each image; the script of the page sorts it."""
    names = list(rows[0])  # as in the CSV
    head = "".join(f'<th aria-sort="none"><button type="button" class="gv-sort">{name}</button></th>' for name in names)
    body = []
    for row, thumbnail in zip(rows, thumbnails, strict=True):
        picture = f'<img src="{thumbnail}" width="48" height="48" alt="{escape(row["file"])}">' if thumbnail else ""
        cells = []
        for name in names:
            value = row[name]
            if isinstance(value, float):
                cells.append(f'<td class="gv-number" data-value="{value}">{value:.0%}</td>')
            else:
                cells.append(f"<td>{escape(value or '')}</td>")
        failed = "" if row["status"].startswith("ok") else ' class="gv-failed"'
        body.append(f"<tr{failed}><td>{picture}</td>{''.join(cells)}</tr>")
    described = sum(row["status"].startswith("ok") for row in rows)
    return f"""<p class="gv-hint" role="status">{described} of {len(rows)} images described.</p>
<div class="gv-scroll" tabindex="0" role="region" aria-label="Table of galaxies"><table class="gv-table">
<thead><tr><th><span class="gv-hidden">image</span></th>{head}</tr></thead>
<tbody>{"".join(body)}</tbody></table></div>"""


def footer() -> str:
    """Return the footer: models, versions, device and model cards."""
    here = versions()
    names = f"classifier <code>{escape(here['classifier'])}</code>, captioner <code>{escape(here['captioner'])}</code>"
    packages = f"galaxy_vision {here['galaxy_vision']} &middot; torch {here['torch']}"
    cards = "".join(_card(kind, location) for kind, location in model_places().items())
    return f"""<footer class="gv-footer">{names} &middot; {packages} &middot; {here["device"]}
<br>Every answer is an estimate. Uploads are deleted within fifteen minutes. {cards}</footer>"""


def _card(kind: str, location: str) -> str:
    """Return the model card if it is in a folder here, else a link to the Hub."""
    path = Path(location) / "README.md"
    if path.is_file():
        return f"<details><summary>Card of the {kind}</summary><pre>{escape(path.read_text())}</pre></details>"
    if Path(location).is_absolute():
        return ""
    return f'<a href="https://huggingface.co/{escape(location)}" rel="noreferrer">Card of the {kind}</a> '
