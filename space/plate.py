"""The galaxy as a plate: the image in its cut frame, its geometry, its scale bar, and the layers of evidence over it.

Everything is drawn in pixels of the image that was given, so that the two views, what the models read and the whole
image, are two windows on one drawing.
"""

import math
from html import escape
from typing import NamedTuple

from pictures import heat_colours, picture_url
from PIL import Image
from studio import Look, crop_fraction, targets

from galaxy_vision.images.framing import FIELD
from galaxy_vision.inference.explain import DEFAULT_METHOD, METHODS

ROUND_LENGTHS = (1, 2, 5)
"""Lengths of a scale bar without petroR90, times a power of ten."""


class Square(NamedTuple):
    """A square window, in px of the image that was given."""

    left: float
    top: float
    side: float

    @property
    def view_box(self) -> str:
        return f"{self.left:g} {self.top:g} {self.side:g} {self.side:g}"

    def at(self, x: float, y: float) -> str:
        """Return a point as the variables of a style, in per cent of the square."""
        return f"{100 * (x - self.left) / self.side:.2f}%", f"{100 * (y - self.top) / self.side:.2f}%"


class Geometry(NamedTuple):
    """Where everything lies.

    Attributes:
        picture: left, top, width, height of what :func:`studio.read_image` returned.
        cut: the middle of it, which the models read.
        whole: all that there is to see.
    """

    picture: tuple[float, float, float, float]
    cut: Square
    whole: Square


def geometry(image: Image.Image, fraction: float) -> Geometry:
    """Return the geometry of an image whose models read this fraction of its shorter side."""
    width, height = image.info["size"]
    left, top, right, bottom = image.info["frame"]["box"] if image.info["whole"] else (0, 0, width, height)
    side = fraction * min(right - left, bottom - top)
    cut = Square((left + right - side) / 2, (top + bottom - side) / 2, side)
    first_x, first_y, last_x, last_y = min(left, 0), min(top, 0), max(right, width), max(bottom, height)
    longest = max(last_x - first_x, last_y - first_y)
    whole = Square((first_x + last_x - longest) / 2, (first_y + last_y - longest) / 2, longest)
    return Geometry((left, top, right - left, bottom - top), cut, whole)


def plate(look: Look, number: int, field: float = 1.0) -> str:
    """Return the plate of a galaxy with its tools.

    Args:
        look: at the galaxy.
        number: of the answer, which a later layer must name.
        field: of the frame, times that which was found.
    """
    image, name, label = look.image, escape(look.description["image"]), look.description["class"]
    drawn = geometry(image, crop_fraction())
    over = _at(drawn.picture, "", f'class="gv-map" data-home="{look.layer}"')
    window = 'preserveAspectRatio="xMidYMid slice"'
    views = f'data-cut="{drawn.cut.view_box}" data-whole="{drawn.whole.view_box}"'
    return f"""<figure class="gv-hero gv-sky">
<div class="gv-plate" data-view="cut" data-number="{number}">
<svg class="gv-pic" viewBox="{drawn.cut.view_box}" {views} {window} role="img" aria-label="The image {name}"
data-name="The image {name}">{_pictures(image, drawn)}{over}{_marks(image, drawn)}</svg>
{_tags(image, drawn)}
<button type="button" class="gv-locator" aria-label="Show the whole image" aria-pressed="false">
<svg viewBox="{drawn.whole.view_box}" data-cut="{drawn.whole.view_box}" data-whole="{drawn.cut.view_box}" {window}
aria-hidden="true">{_pictures(image, drawn)}{_rectangle(drawn.cut)}</svg></button>
{_colour_bar()}</div>
{_tools(look, drawn, label, field)}</figure>"""


def small_plate(look: Look) -> str:
    """Return the galaxy as the models read it, without tools."""
    drawn, name = geometry(look.image, crop_fraction()), escape(look.description["image"])
    return f"""<div class="gv-sky gv-plate" data-view="cut">
<svg class="gv-pic" viewBox="{drawn.cut.view_box}" role="img" aria-label="The image {name}">
{_at(drawn.picture, picture_url(look.image, 424))}{_circle(look.image)}</svg>
{_scale("cut", *_bar(look.image, drawn.cut))}</div>"""


def _at(box: tuple[float, float, float, float], url: str, more: str = "") -> str:
    left, top, width, height = box
    size = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"'
    return f'<image {more} href="{url}" {size} preserveAspectRatio="none"></image>'


def _pictures(image: Image.Image, drawn: Geometry) -> str:
    """Return the whole image and, sharper, the frame that was cut from it."""
    whole = _at((0, 0, *image.info["size"]), image.info["whole"]) if image.info["whole"] else ""
    return whole + _at(drawn.picture, picture_url(image))


def _rectangle(square: Square, kind: str = "gv-cut") -> str:
    size = f'x="{square.left:g}" y="{square.top:g}" width="{square.side:g}" height="{square.side:g}"'
    return f'<rect class="{kind}" {size}></rect>'


def _circle(image: Image.Image) -> str:
    frame = image.info["frame"]
    if "petro_r90" not in frame:
        return ""
    return f'<circle cx="{frame["x"] + 0.5:g}" cy="{frame["y"] + 0.5:g}" r="{frame["petro_r90"]:g}"></circle>'


def _marks(image: Image.Image, drawn: Geometry) -> str:
    """Return petroR90 of the galaxy, the frame of 8.48 petroR90 and the middle of it that the models read."""
    left, top, width, height = drawn.picture
    frame = ""
    if image.info["whole"]:
        frame = f'<rect class="gv-field" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"></rect>'
    return frame + _rectangle(drawn.cut) + _circle(image)


def _bar(image: Image.Image, square: Square) -> tuple[float, str]:
    """Return length, of the side of a window, and words of its scale bar: petroR90 if it fits, else a round length."""
    radius, scale = image.info["frame"].get("petro_r90"), image.info["pixel_scale"]
    if radius and 0.06 <= radius / square.side <= 0.4:
        length = f"{radius * scale:.1f}″" if scale else f"{radius:.0f} px"
        return radius / square.side, f"{length} = 1 petroR90"
    side = square.side * (scale or 1)
    power = 10 ** math.floor(math.log10(0.3 * side))
    length = max(first * power for first in ROUND_LENGTHS if first * power <= 0.3 * side)
    return length / side, f"{length:g}″" if scale else f"{length:g} px"


def _scale(view: str, length: float, words: str) -> str:
    width = f"{100 * length:.2f}%"
    return f'<span class="gv-tag gv-scale gv-of-{view}" style="width:{width}"><i></i><span>{words}</span></span>'


def _tags(image: Image.Image, drawn: Geometry) -> str:
    html = _scale("cut", *_bar(image, drawn.cut)) + _scale("whole", *_bar(image, drawn.whole))
    frame = image.info["frame"]
    if "petro_r90" in frame and frame["petro_r90"] < 0.42 * drawn.cut.side:
        x, y = drawn.cut.at(frame["x"], frame["y"] + frame["petro_r90"])
        html += f'<span class="gv-tag gv-r90 gv-of-cut" style="left:{x};top:{y}">radius petroR90</span>'
    return html


def _colour_bar() -> str:
    colours = ",".join(heat_colours())
    return f"""<div class="gv-ramp" aria-hidden="true"><i style="background:linear-gradient(0deg,{colours})"></i>
<span class="gv-most">most</span><span>half</span><span>none</span></div>"""


def _tools(look: Look, drawn: Geometry, label: str, field: float) -> str:
    """Return what belongs to the plate: image or evidence, of what and how, opacity, and the field."""
    read, height = f"{drawn.cut.side:.0f}", min(look.image.info["size"])
    wide = (
        f", {drawn.cut.side * FIELD / drawn.picture[2]:.1f} petroR90; dashed: 8.48" if look.image.info["whole"] else ""
    )
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == label else ""}>{escape(words)}</option>'
        for words, value in targets()
    )
    methods = "".join(
        f"<option{' selected' if method == DEFAULT_METHOD else ''}>{escape(method)}</option>" for method in METHODS
    )
    empty = "" if look.layer else " There is none in this image."
    return f"""<figcaption class="gv-tools">
<p class="gv-idle">The models read the gold square: {read} of {height} px{wide}.</p>
<p class="gv-of" data-home="{escape(label)}" data-method="{DEFAULT_METHOD}" data-empty="{empty}">Speaks for
<b></b> <small></small></p>
<button type="button" class="gv-bare">Hold: bare</button>
<div class="gv-seg" role="group" aria-label="What the plate shows">
<button type="button" data-show="image" aria-pressed="true">Image</button>
<button type="button" data-show="evidence" aria-pressed="false">Evidence</button></div>
<details class="gv-more"><summary>Evidence and frame</summary><div class="gv-knobs">
<label>Evidence for <select class="gv-target">{options}</select></label>
<label>Method <select class="gv-method">{methods}</select></label>
<label>Opacity <input type="range" class="gv-opacity" min="0" max="1" step="0.05" value="0.85"></label>
<label>Field, times that which was found <output>{field:.2f}</output>
<input type="range" class="gv-field-range" min="0.4" max="2.5" step="0.05" value="{field:g}"></label></div></details>
</figcaption>"""
