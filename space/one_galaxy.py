"""The tab *One galaxy*: an image, what the models say of it, its heat maps, and the downloads."""

import functools
from pathlib import Path

import gradio as gr
import page
import studio
from figure import sheet
from uploads import uploads_only, written

from galaxy_vision.explain import DEFAULT_METHOD, METHODS
from galaxy_vision.images import STRETCHES, read_file

EXAMPLES = sorted((studio.HERE / "examples").glob("*.jpg"))


def _look(image, name: str) -> tuple:
    """Everything on the page about an image: said, verdict, viewer, bars, tree."""
    said = studio.describe(image, name)
    words, maps = studio.word_maps(image)
    heat = studio.heat_map(image, said["class"], DEFAULT_METHOD)
    viewer = page.viewer(image, name, heat, said["class"], DEFAULT_METHOD)
    return said, page.verdict(said, words, maps), viewer, page.bars(said["probabilities"]), page.tree(said["votes"])


@functools.lru_cache(maxsize=16)
def look_at_example(place: int) -> tuple:
    image = studio.read_image(EXAMPLES[place].read_bytes())
    return image, *_look(image, EXAMPLES[place].name)


def _shown(image, said, verdict, viewer, bars, tree) -> dict:
    target = gr.Dropdown(choices=studio.targets(), value=said["class"])
    return [
        {"image": image, "said": said},
        verdict,
        viewer,
        bars,
        tree,
        target,
        DEFAULT_METHOD,
        gr.DownloadButton(interactive=False),
        gr.DownloadButton(interactive=False),
    ]


def _failed(sentence: str) -> list:
    off = gr.DownloadButton(value=None, interactive=False)
    return [None, page.notice(sentence), page.EMPTY_VIEWER, "", "", gr.Dropdown(), DEFAULT_METHOD, off, off]


def show_upload(path: str | None, hdu: str, bands: str, stretch: str) -> list:
    if path is None:
        return [gr.skip()] * 9
    try:
        image = studio.read_image(read_file(path), hdu, bands, stretch)
        return _shown(image, *_look(image, Path(path).name))
    except ValueError as error:
        return _failed(str(error))


def show_example(event: gr.SelectData) -> list:
    return _example(event.index)


def show_first() -> list:
    return _example(0)


def _example(place: int) -> list:
    try:
        return _shown(*look_at_example(place))
    except ValueError as error:
        return _failed(str(error))


def redraw(state: dict | None, target: str, method: str) -> tuple:
    off = gr.DownloadButton(interactive=False)
    if state is None:
        return page.EMPTY_VIEWER, off, off
    heat = studio.heat_map(state["image"], target, method)
    name = dict((value, words) for words, value in studio.targets())[target]
    return page.viewer(state["image"], state["said"]["image"], heat, name.split(": ", 1)[1], method), off, off


def write_downloads(state: dict | None, target: str, method: str, opacity: float):
    if state is None:
        return gr.DownloadButton(interactive=False), gr.DownloadButton(interactive=False)
    stem = Path(state["said"]["image"]).stem[:60] or "galaxy"
    heat = studio.heat_map(state["image"], target, method)
    drawn = sheet(state["image"], state["said"], heat, target, method, opacity)
    figure = gr.DownloadButton(value=written(f"{stem}.png", drawn), interactive=True)
    text = studio.as_json(state["said"] | {"heat_map": {"target": target, "method": method}})
    return figure, gr.DownloadButton(value=written(f"{stem}.json", text.encode()), interactive=True)


def one_galaxy(demo: gr.Blocks, private: dict) -> None:
    state = gr.State(None, time_to_live=900)
    with gr.Row(elem_id="gv-main"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(page.DROP)
            upload = uploads_only(
                gr.UploadButton("Choose an image", file_types=studio.SUFFIXES, elem_id="gv-upload", variant="primary")
            )
            with gr.Accordion("FITS and deep images", open=False):
                hdu = gr.Textbox(
                    "", label="HDU", placeholder="first with an image", info="number or name of the FITS extension"
                )
                bands = gr.Textbox(
                    "", label="Bands", placeholder="2, 1, 0", info="planes of a cube from 0: one, or red, green, blue"
                )
                stretch = gr.Radio(
                    STRETCHES, value="auto", label="Stretch", info="auto is asinh for FITS, 16-bit grey and floats"
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
                method = gr.Dropdown(list(METHODS), value=DEFAULT_METHOD, label="Method", elem_id="gv-method", min_width=100)
                opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", elem_id="gv-opacity", min_width=100)
            bars = gr.HTML("", elem_id="gv-bars")
    tree = gr.HTML("", elem_id="gv-tree")
    with gr.Row():
        figure = gr.DownloadButton("Figure (PNG)", interactive=False, size="sm", elem_id="gv-figure")
        text = gr.DownloadButton("Everything (JSON)", interactive=False, size="sm", elem_id="gv-json")

    outputs = [state, verdict, viewer, bars, tree, target, method, figure, text]
    options = {"show_progress": "minimal", "show_progress_on": [verdict], **studio.MODEL_QUEUE, **private}
    downloads = (
        {"inputs": [state, target, method, opacity], "outputs": [figure, text], "show_progress": "hidden"}
        | studio.MODEL_QUEUE
        | private
    )
    reading = [upload, hdu, bands, stretch]
    for shown in (
        demo.load(show_first, None, outputs, **options),
        upload.upload(show_upload, reading, outputs, **options),
        again.click(show_upload, reading, outputs, **options),
        examples.select(show_example, None, outputs, **options),
    ):
        shown.then(write_downloads, **downloads)
    for picker in (target, method):
        drawn = picker.input(
            redraw, [state, target, method], [viewer, figure, text], show_progress="minimal", **studio.MODEL_QUEUE, **private
        )
        drawn.then(write_downloads, **downloads)
    show = "(value) => { document.documentElement.style.setProperty('--gv-opacity', value); }"
    opacity.input(None, opacity, None, js=show, **private)
    opacity.release(write_downloads, **downloads)
