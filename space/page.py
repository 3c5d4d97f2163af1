"""The frame of the page: header, drop zone, strip of images, messages and footer; text from outside is escaped."""

from html import escape
from pathlib import Path
from typing import NamedTuple

from icons import MARK, icon
from studio import model_places, versions

NAMES = {"gz2": "Galaxy Zoo 2", "gz_challenge": "the Galaxy Challenge", "gz_desi": "GZ DESI", "gz_decals": "GZ DECaLS"}
"""How the page spells campaigns; others by their own name."""
FORMATS = "JPEG, PNG, TIFF, WebP, GIF or FITS"


class Tab(NamedTuple):
    """A tab of the page: the id of its column, and its name."""

    key: str
    name: str


class Thumbnail(NamedTuple):
    """An image of the strip: what the page asks for when it is pressed, its name, and its picture as a data URL."""

    event: str
    index: int
    name: str
    picture: str


def header(tabs: list[Tab]) -> str:
    """Return name, tabs and the switch of the theme; the script of the page shows the column of the tab chosen."""
    buttons = "".join(
        f'<button type="button" role="tab" id="gv-tab-{tab.key}" aria-controls="gv-{tab.key}" data-tab="{tab.key}" '
        f'aria-selected="{"false" if index else "true"}" tabindex="{-1 if index else 0}">{escape(tab.name)}</button>'
        for index, tab in enumerate(tabs)
    )
    return f"""<header class="gv-top"><div class="gv-wrap">
<span class="gv-brand">{MARK}<span>Galaxy Vision</span></span>
<div class="gv-tabs" role="tablist" aria-label="What to do">{buttons}</div>
<button type="button" class="gv-round" id="gv-theme" aria-label="Switch between light and dark">{icon("theme")}</button>
</div></header>"""


def note(sentence: str, name: str = "") -> str:
    """Return a message in the form of an alert; ``name`` is of the file that it is about."""
    about = f"<b>{escape(name)}.</b> " if name else ""
    text = escape(sentence[:1].upper() + sentence[1:]) + ("" if sentence.endswith(".") else ".")
    return f'<div class="gv-note gv-error" role="alert">{icon("warn")}<p>{about}{text}</p></div>'


def stage(examples: list[Thumbnail], message: str = "", number: int = 0) -> str:
    """Return the plate without a galaxy, which is the drop zone, and the examples beside it.

    Args:
        examples: of the page.
        message: why the last image cannot be shown, as HTML; empty for none.
        number: of the request, so that no two answers are equal.
    """
    pictures = "".join(
        f'<button type="button" data-event="example" data-index="{example.index}"><img src="{example.picture}" alt="" '
        f'width="112" height="112"><span>{escape(example.name)}</span></button>'
        for example in examples
    )
    return f"""<div class="gv-stage" data-number="{number}"><div class="gv-hero gv-sky">
<div class="gv-drop"><i class="gv-corner"></i><i class="gv-big-ring"></i><div class="gv-in"><h2>Put a galaxy here</h2>
<p>Drop it, paste it, or choose a file. The galaxy belongs in the middle, within the circle.</p>
<button type="button" class="gv-pick gv-choose">Choose an image</button></div></div>
<p class="gv-foot">{FORMATS}, up to 64&nbsp;MiB and 4096&nbsp;px a side. Deleted within fifteen minutes.</p></div>
<div class="gv-side">{message}<h1 class="gv-big">What kind of galaxy is this?</h1>
<p class="gv-lead">You get its class, a sentence with the evidence for each word, and what the volunteers of
Galaxy&nbsp;Zoo would have answered.</p><h2 class="gv-small">Or start from one of these</h2>
<div class="gv-six">{pictures}</div></div></div>"""


def strip(images: list[Thumbnail], current: Thumbnail | None, is_from_table: bool = False) -> str:
    """Return the way to a new image, the images of this visit and the examples.

    Args:
        images: in their order.
        current: that which is shown.
        is_from_table: it was opened in the table of many, to which a button leads back.
    """
    back = f'<button type="button" class="gv-btn gv-back">{icon("back")}Table</button>' if is_from_table else ""
    thumbs = "".join(
        f'<button type="button" data-event="{image.event}" data-index="{image.index}" '
        f'aria-label="{escape(image.name)}" title="{escape(image.name)}"'
        f"{' aria-current=true' if image == current else ''}>"
        f'<img src="{image.picture}" alt="" width="56" height="56"></button>'
        for image in images
    )
    return f"""<div class="gv-strip">{back}
<button type="button" class="gv-btn gv-main gv-choose">{icon("plus")}New image</button>
<div class="gv-thumbs" role="group" aria-label="Images of this visit, and examples">{thumbs}</div>
<p class="gv-eyebrow">Drop or paste anywhere on the page.<br>JPEG, PNG, TIFF, WebP, GIF, FITS</p></div>"""


def campaign_picker(names: list[str], chosen: str, event: str) -> str:
    """Return the choice of whose votes are predicted; empty if there are no two.

    Args:
        names: of the campaigns.
        chosen: one of them.
        event: that the page asks for when another is chosen.
    """
    if len(names) < 2:
        return ""
    options = "".join(_option(name, name == chosen) for name in names)
    return f'<label class="gv-whose">as volunteers of <select data-event="{event}">{options}</select></label>'


def _option(name: str, is_chosen: bool) -> str:
    words = escape(NAMES.get(name, name))
    return f'<option value="{escape(name)}"{" selected" if is_chosen else ""}>{words}</option>'


def footer() -> str:
    """Return the footer: models, versions, device and model cards."""
    here = versions()
    names = f"classifier <code>{escape(here['classifier'])}</code>, captioner <code>{escape(here['captioner'])}</code>"
    packages = f"galaxy_vision {here['galaxy_vision']} &middot; torch {here['torch']}"
    cards = "".join(_card(kind, location) for kind, location in model_places().items())
    return f"""<footer class="gv-footer"><div class="gv-wrap"><p>Every answer is an estimate.
{names} &middot; {packages}
&middot; {here["device"]}</p><p>Examples: Galaxy Zoo 2 (Willett et al. 2013, Hart et al. 2016), CC BY 4.0.
<a href="?view=api">API</a></p>{cards}</div></footer>"""


def _card(kind: str, location: str) -> str:
    """Return the model card if it is in a folder here, else a link to the Hub."""
    path = Path(location) / "README.md"
    if path.is_file():
        text = f'<pre tabindex="0" role="region" aria-label="Card of the {kind}">{escape(path.read_text())}</pre>'
        return f"<details><summary>Card of the {kind}</summary>{text}</details>"
    if Path(location).is_absolute():
        return ""
    return f'<a href="https://huggingface.co/{escape(location)}" rel="noreferrer">Card of the {kind}</a> '
