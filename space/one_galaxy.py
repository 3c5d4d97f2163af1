"""The tab *One galaxy*: an image, what the models predict for it, its heat maps, and the downloads."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import page
import studio
from figure import sheet
from uploads import uploads_only, written

from galaxy_vision.images.framing import FIELD
from galaxy_vision.images.limits import STRETCHES, read_file
from galaxy_vision.inference.explain import DEFAULT_METHOD, METHODS

EXAMPLES = sorted((studio.HERE / "examples").glob("*.jpg"))
OUTPUTS = 10
"""Parts of the page that an image changes."""
NUMBERS = itertools.count(1)  # of the requested images of all visitors; the larger number is the later request
SAVE = """(file) => {
  const link = Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name ?? ''});
  document.body.append(link); link.click(); link.remove(); }"""
"""Starts the download of the file that was just written."""


def _look(image, name: str, campaign: str | None = None) -> tuple:
    """Return everything that the page shows of an image: description, verdict, viewer, bars, tree."""
    description = studio.describe(image, name, campaign)
    maps = studio.maps_of_words(image, campaign)
    heat = studio.heat_map(image, description["class"], DEFAULT_METHOD)
    verdict = page.verdict(description, maps)
    viewer = page.viewer(image, name, heat, description["class"], DEFAULT_METHOD)
    tree = page.tree(description["votes"], *studio.tree(campaign))
    return description, verdict, viewer, page.bars(description["probabilities"]), tree


@functools.lru_cache(maxsize=16)
def look_at_example(index: int, campaign: str | None) -> tuple:
    """Return an example image, and what :func:`_look` returns for it."""
    image = read_example(index)
    return image, *_look(image, EXAMPLES[index].name, campaign)


def read_example(index: int, frame: str = "auto"):
    return studio.read_image(EXAMPLES[index].read_bytes(), frame=frame)


def _show(session: dict, look: Callable[[], tuple], read: Callable | None = None) -> list:
    """Return the outputs of the page for an image, or no change if another image was requested meanwhile.

    Args:
        session: the state of a visitor.
        look: returns image, description, verdict, viewer, bars and tree.
        read: reads the image in another frame; None if it is the one that is shown in another frame already.
    """
    number = session["asked"] = next(NUMBERS)
    try:
        image, description, *html = look()
        if read is not None:
            session["read"], session["base"], session["field"] = read, _base(image), 1.0
        shown = {"number": number, "image": image, "description": description}
        target = gr.Dropdown(choices=studio.targets(), value=description["class"])
        button = gr.Button(interactive=True)
    except ValueError as error:
        shown, html = None, [page.notice(str(error)), page.EMPTY_VIEWER, "", ""]
        target, button = gr.Dropdown(), gr.Button(interactive=False)
    if session["asked"] != number:
        return [gr.skip()] * OUTPUTS
    session["shown"] = shown
    field = gr.skip() if read is None else 1.0
    return [session, *html, target, DEFAULT_METHOD, button, button, field]


def _base(image) -> tuple[float, float, float]:
    """Return centre and petroR90 (px) of the frame of an image, to which the slider of the field is relative."""
    left, top, right, bottom = image.info["frame"]["box"]
    return (left + right - 1) / 2, (top + bottom - 1) / 2, (right - left) / FIELD


def show_upload(session: dict, path: str | None, hdu: str, bands: str, stretch: str, frame: str) -> list:
    if path is None:
        return [gr.skip()] * OUTPUTS

    def read(frame: str):
        return studio.read_image(read_file(path), hdu, bands, stretch, frame)

    def look():
        image = read(frame)
        return image, *_look(image, Path(path).name, session["campaign"])

    return _show(session, look, read)


def show_example(session: dict, event: gr.SelectData) -> list:
    index = event.index
    return _show(session, lambda: look_at_example(index, session["campaign"]), functools.partial(read_example, index))


def show_first(session: dict) -> list:
    return _show(session, lambda: look_at_example(0, session["campaign"]), functools.partial(read_example, 0))


def reframe(session: dict, field: float) -> list:
    """Show the same galaxy in a field so many times as wide as that which was first shown."""
    if session["shown"] is None or field == session["field"]:  # also where the page itself has set the slider back
        return [gr.skip()] * OUTPUTS
    x, y, radius = session["base"]
    session["field"] = field

    def look():
        image = session["read"](f"{x},{y},{radius * field}")
        return image, *_look(image, session["shown"]["description"]["image"], session["campaign"])

    return _show(session, look)


def show_campaigns():
    """Return the picker of campaigns, which is shown if the classifier has several."""
    try:
        names, first = studio.campaigns()
    except ValueError:  # which the page says where it shows the image
        return gr.skip()
    return gr.Dropdown(choices=names, value=first, visible=len(names) > 1)


def choose_campaign(session: dict, campaign: str) -> list:
    """Show the same image with the votes of another campaign."""
    session["campaign"] = campaign
    if session["shown"] is None:
        return [gr.skip()] * OUTPUTS
    image, name = session["shown"]["image"], session["shown"]["description"]["image"]
    return _show(session, lambda: (image, *_look(image, name, campaign)))


def redraw(session: dict, target: str, method: str) -> str:
    """Return the viewer with a new heat map, or no change if another image was requested meanwhile.

    Otherwise the map of one galaxy would appear beside the verdict on another.
    """
    shown = session["shown"]
    if shown is None:
        return page.EMPTY_VIEWER
    heat = studio.heat_map(shown["image"], target, method)
    name = dict((value, words) for words, value in studio.targets())[target]
    viewer = page.viewer(shown["image"], shown["description"]["image"], heat, name.split(": ", 1)[1], method)
    return viewer if session["asked"] == shown["number"] else gr.skip()


def _shown(session: dict) -> tuple:
    """Return the image that is shown, its description, and the stem of the names of its downloads."""
    if session["shown"] is None:
        raise gr.Error("The image was deleted after fifteen minutes; give it again.", print_exception=False)
    description = session["shown"]["description"]
    return session["shown"]["image"], description, studio.download_stem(description["image"])


def write_figure(session: dict, target: str, method: str, opacity: float) -> str:
    image, description, stem = _shown(session)
    heat = studio.heat_map(image, target, method)
    tree, _ = studio.tree(description["campaign"])
    return written(f"{stem}.png", sheet(image, description, tree, heat, target, method, opacity))


def write_json(session: dict, target: str, method: str) -> str:
    image, description, stem = _shown(session)
    claims = studio.claims_as_json(studio.maps_of_words(image, description["campaign"]))
    content = description | {"claims": claims, "heat_map": {"target": target, "method": method}}
    return written(f"{stem}.json", studio.as_json(content).encode())


def one_galaxy(demo: gr.Blocks, private: dict) -> None:
    """Add the tab; ``private`` are options that keep its events out of the API."""
    # State of a visitor: number of the image requested last, and what is shown. It is changed in place, so that all
    # events see the change.
    state = {"asked": 0, "shown": None, "read": None, "base": None, "field": 1.0, "campaign": None}
    session = gr.State(state, time_to_live=900)
    with gr.Row(elem_id="gv-main"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(page.DROP)
            upload = uploads_only(
                gr.UploadButton("Choose an image", file_types=studio.SUFFIXES, elem_id="gv-upload", variant="primary")
            )
            with gr.Accordion("Frame, FITS and deep images", open=False):
                hdu = gr.Textbox(
                    "", label="HDU", placeholder="first with an image", info="number or name of the FITS extension"
                )
                bands = gr.Textbox(
                    "",
                    label="Bands",
                    placeholder="i, r, g",
                    info="one, or red, green, blue: names, or planes of a cube from 0",
                )
                stretch = gr.Radio(
                    STRETCHES, value="auto", label="Stretch", info="auto is asinh for FITS, 16-bit grey and floats"
                )
                frame = gr.Textbox(
                    "auto", label="Frame", info="auto, as_is, petroR90 in px, or x,y,petroR90 of the galaxy in px"
                )
                again = gr.Button("Read the file again", size="sm")
            examples = gr.Gallery(
                [(str(path), path.stem.split("-", 1)[1].replace("-", " ")) for path in EXAMPLES],
                label="Or pick a simulated galaxy",
                columns=4,
                height="auto",
                allow_preview=False,
                object_fit="cover",
                buttons=[],
                interactive=False,
                elem_id="gv-examples",
            )
        with gr.Column(scale=7, min_width=280):
            verdict = gr.HTML("", elem_id="gv-verdict")
            viewer = gr.HTML(page.EMPTY_VIEWER, elem_id="gv-viewer")
            with gr.Row(elem_id="gv-pickers"):
                target = gr.Dropdown([], label="Heat map of", elem_id="gv-target", min_width=100)
                method = gr.Dropdown(
                    list(METHODS), value=DEFAULT_METHOD, label="Method", elem_id="gv-method", min_width=100
                )
                opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", elem_id="gv-opacity", min_width=100)
            field = gr.Slider(
                0.4, 2.5, 1.0, step=0.05, label="Field, times that which was found", elem_id="gv-field", min_width=100
            )
            bars = gr.HTML("", elem_id="gv-bars")
    whose = gr.Dropdown([], label="Whose votes", elem_id="gv-campaign", visible=False)
    tree = gr.HTML("", elem_id="gv-tree")
    with gr.Row():
        figure = gr.Button("Figure (PNG)", interactive=False, size="sm", elem_id="gv-figure")
        text = gr.Button("Everything (JSON)", interactive=False, size="sm", elem_id="gv-json")
        file = gr.DownloadButton(visible="hidden")

    outputs = [session, verdict, viewer, bars, tree, target, method, figure, text, field]
    options = {"show_progress": "minimal", "show_progress_on": [verdict], **studio.MODEL_QUEUE, **private}
    reading = [session, upload, hdu, bands, stretch, frame]
    demo.load(show_first, session, outputs, **options)
    demo.load(show_campaigns, None, whose, show_progress="hidden", **studio.MODEL_QUEUE, **private)
    whose.input(choose_campaign, [session, whose], outputs, trigger_mode="always_last", **options)
    upload.upload(show_upload, reading, outputs, **options)
    again.click(show_upload, reading, outputs, **options)
    examples.select(show_example, session, outputs, trigger_mode="multiple", **options)  # the last choice is shown
    field.input(reframe, [session, field], outputs, trigger_mode="always_last", **options)
    options |= {"show_progress_on": [viewer]}
    picked = {"triggers": [target.input, method.input], "trigger_mode": "always_last"}
    gr.on(fn=redraw, inputs=[session, target, method], outputs=viewer, **picked, **options)
    # Files are written at the click, from what is shown then; one prepared earlier could be of the previous galaxy.
    for button, write, inputs in (
        (figure, write_figure, [session, target, method, opacity]),
        (text, write_json, [session, target, method]),
    ):
        button.click(write, inputs, file, **options).success(None, file, None, js=SAVE, **private)
    show = "(value) => { document.documentElement.style.setProperty('--gv-opacity', value); }"
    opacity.input(None, opacity, None, js=show, **private)
