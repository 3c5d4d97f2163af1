"""The demo: one galaxy, many galaxies, and an API. ``python space/app.py`` here, or as a Hugging Face Space; CPU, offline.

Models come from the environment variables GALAXY_VISION_CLASSIFIER and GALAXY_VISION_CAPTIONER (folder or Hub id), or from
``checkpoints/``. They are loaded in the background, so that the page opens at once.
"""

import argparse
import functools
import os
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no look-ups outside

import gradio as gr
import page
import pandas as pd
import studio
from figure import sheet

from galaxy_vision.explain import DEFAULT_METHOD, METHODS
from galaxy_vision.images import FITS_SUFFIXES, IMAGE_SUFFIXES, MAX_BYTES, STRETCHES, read_file

EXAMPLES = sorted((studio.HERE / "examples").glob("*.jpg"))
KEEP_SECONDS = 600
SUFFIXES = sorted(IMAGE_SUFFIXES | FITS_SUFFIXES)
THEME = gr.themes.Base(
    primary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400")
MODEL_QUEUE = {"concurrency_limit": 2, "concurrency_id": "models"}


def _uploads_only(component: gr.components.Component) -> gr.components.Component:
    """Gradio fetches a file that a client names by its address; this component takes uploads only, and nothing is fetched.

    Set on the component, not in a subclass, since gradio takes a subclass for a component with a page of its own.
    """
    keep = component.async_move_resource_to_block_cache

    async def move(path):
        if path is not None and str(path).lower().startswith(("http:", "https:")):
            raise gr.Error("Give a file, not an address: nothing is fetched from outside.", print_exception=False)
        return await keep(path)

    component.async_move_resource_to_block_cache = move
    return component


def _or_error(function):
    """A sentence for the user becomes an answer of the API with that sentence; anything else is a bug and is shown as one."""

    @functools.wraps(function)
    def called(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return called


def _written(name: str, data: bytes) -> str:
    """A file for download, in a folder of its own; gradio copies it to its cache, from where it is deleted in time."""
    path = Path(tempfile.mkdtemp(dir=_downloads())) / name
    path.write_bytes(data)
    return str(path)


@functools.cache
def _downloads() -> str:
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / "gradio")))
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


# ---------------------------------------------------------------- one galaxy


def _look(image, name: str) -> tuple:
    """Everything on the page about an image: said, verdict, viewer, bars, tree."""
    said = studio.describe(image, name)
    words, maps = studio.word_maps(image)
    heat = studio.heat_map(image, said["class"], DEFAULT_METHOD)
    viewer = page.viewer(image, name, heat, said["class"], DEFAULT_METHOD)
    return said, page.verdict(said, words, maps), viewer, page.bars(said["probabilities"]), page.tree(said["votes"])


@functools.lru_cache(maxsize=16)
def _look_at_example(place: int) -> tuple:
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
        return _shown(*_look_at_example(place))
    except ValueError as error:
        return _failed(str(error))


def redraw(state: dict | None, target: str, method: str) -> str:
    if state is None:
        return page.EMPTY_VIEWER
    heat = studio.heat_map(state["image"], target, method)
    name = dict((value, words) for words, value in studio.targets())[target]
    return page.viewer(state["image"], state["said"]["image"], heat, name.split(": ", 1)[1], method)


def write_downloads(state: dict | None, target: str, method: str, opacity: float):
    if state is None:
        return gr.DownloadButton(interactive=False), gr.DownloadButton(interactive=False)
    stem = Path(state["said"]["image"]).stem[:60] or "galaxy"
    heat = studio.heat_map(state["image"], target, method)
    drawn = sheet(state["image"], state["said"], heat, target, method, opacity)
    figure = gr.DownloadButton(value=_written(f"{stem}.png", drawn), interactive=True)
    text = studio.as_json(state["said"] | {"heat_map": {"target": target, "method": method}})
    return figure, gr.DownloadButton(value=_written(f"{stem}.json", text.encode()), interactive=True)


# ---------------------------------------------------------------- many galaxies


def _run_batch(paths: list[str] | None, progress) -> tuple[list[dict], list[str], pd.DataFrame]:
    if not paths:
        raise ValueError("There is no file yet; add images or a zip first.")
    rows, thumbnails = studio.describe_batch(
        paths, lambda done, total: progress((done, total), desc="Describing", unit="galaxies")
    )
    return rows, thumbnails, pd.DataFrame(rows)


def show_batch(paths: list[str] | None, progress=gr.Progress()):  # noqa: B008 (how gradio hands it over)
    try:
        rows, thumbnails, frame = _run_batch(paths, progress)
    except ValueError as error:
        off = gr.DownloadButton(value=None, interactive=False)
        return page.notice(str(error)), off, off
    csv, parquet = frame.to_csv(index=False).encode(), frame.to_parquet(index=False)
    ready = functools.partial(gr.DownloadButton, interactive=True)
    return (
        page.table(rows, thumbnails),
        ready(value=_written("galaxies.csv", csv)),
        ready(value=_written("galaxies.parquet", parquet)),
    )


# ---------------------------------------------------------------- API


@_or_error
def api_describe(file: str, hdu: str = "", bands: str = "", stretch: str = "auto") -> dict:
    if file is None:
        raise ValueError("There is no file; send one image.")
    return studio.describe(studio.read_image(read_file(file), hdu, bands, stretch), Path(file).name)


@_or_error
def api_explain(
    file: str,
    target: str = "",
    method: str = DEFAULT_METHOD,
    opacity: float = 0.6,
    hdu: str = "",
    bands: str = "",
    stretch: str = "auto",
) -> str:
    if file is None:
        raise ValueError("There is no file; send one image.")
    image = studio.read_image(read_file(file), hdu, bands, stretch)
    drawn = studio.overlay_png(image, studio.heat_map(image, target, method), opacity)
    return _written(f"{Path(file).stem[:60] or 'galaxy'}-heat.png", drawn)


@_or_error
def api_batch(files: list[str], progress=gr.Progress()) -> tuple[list[dict], str]:  # noqa: B008
    rows, _, frame = _run_batch(files, progress)
    return rows, _written("galaxies.csv", frame.to_csv(index=False).encode())


# ---------------------------------------------------------------- page


def build(keep_seconds: int = KEEP_SECONDS) -> gr.Blocks:
    """The page. Uploads and downloads are deleted when they are ``keep_seconds`` old, looked for ten times in that time."""
    private = {"api_visibility": "private"}
    with gr.Blocks(
        title="Galaxy Vision", delete_cache=(max(1, keep_seconds // 10), keep_seconds), analytics_enabled=False
    ) as demo:
        gr.HTML(page.HEADER)
        with gr.Tab("One galaxy"):
            _one_galaxy(demo, private)
        with gr.Tab("Many galaxies"):
            _many_galaxies(private)
        _api()
        gr.HTML(page.footer())
    return demo


def _one_galaxy(demo: gr.Blocks, private: dict) -> None:
    state = gr.State(None, time_to_live=900)
    with gr.Row(elem_id="gv-main"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(page.DROP)
            upload = _uploads_only(
                gr.UploadButton("Choose an image", file_types=SUFFIXES, elem_id="gv-upload", variant="primary")
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
    options = {"show_progress": "minimal", "show_progress_on": [verdict], **MODEL_QUEUE, **private}
    downloads = (
        {"inputs": [state, target, method, opacity], "outputs": [figure, text], "show_progress": "hidden"}
        | MODEL_QUEUE
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
        drawn = picker.input(redraw, [state, target, method], viewer, show_progress="minimal", **MODEL_QUEUE, **private)
        drawn.then(write_downloads, **downloads)
    show = "(value) => { document.documentElement.style.setProperty('--gv-opacity', value); }"
    opacity.input(None, opacity, None, js=show, **private)
    opacity.release(write_downloads, **downloads)


def _many_galaxies(private: dict) -> None:
    box = gr.File(
        file_count="multiple", file_types=[*SUFFIXES, ".zip"], label="Images or zip files", elem_id="gv-files", height=160
    )
    files = _uploads_only(box)
    gr.HTML(page.BATCH_HINT)
    start = gr.Button("Describe all", variant="primary", elem_id="gv-start")
    table = gr.HTML("", elem_id="gv-table", min_height=120)
    with gr.Row():
        csv = gr.DownloadButton("Table (CSV)", interactive=False, size="sm", elem_id="gv-csv")
        parquet = gr.DownloadButton("Table (Parquet)", interactive=False, size="sm", elem_id="gv-parquet")
    start.click(show_batch, files, [table, csv, parquet], show_progress_on=[table], **MODEL_QUEUE, **private)


def _api() -> None:
    """Named endpoints, on components that are not shown."""
    with gr.Row(visible=False):
        one, many = _uploads_only(gr.File(label="file")), _uploads_only(gr.File(file_count="multiple", label="files"))
        hdu, bands, target = gr.Textbox("", label="hdu"), gr.Textbox("", label="bands"), gr.Textbox("", label="target")
        stretch = gr.Radio(STRETCHES, value="auto", label="stretch")
        method = gr.Dropdown(list(METHODS), value=DEFAULT_METHOD, label="method")
        opacity = gr.Slider(0, 1, 0.6, label="opacity")
        said, rows = gr.JSON(label="said"), gr.JSON(label="rows")
        picture, csv = gr.File(label="heat map on the image, PNG"), gr.File(label="CSV")
        buttons = [gr.Button(name) for name in ("describe", "explain", "batch")]
    reading = [hdu, bands, stretch]
    buttons[0].click(api_describe, [one, *reading], said, api_name="describe", **MODEL_QUEUE)
    buttons[1].click(api_explain, [one, target, method, opacity, *reading], picture, api_name="explain", **MODEL_QUEUE)
    buttons[2].click(api_batch, many, [rows, csv], api_name="batch", **MODEL_QUEUE)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=None, help="address to listen on (127.0.0.1, or GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, default=None, help="port (7860, or GRADIO_SERVER_PORT)")
    parser.add_argument("--keep_seconds", type=int, default=KEEP_SECONDS, help="age at which uploads are deleted (%(default)s)")
    args = parser.parse_args(argv)
    threading.Thread(target=_warm_up, daemon=True).start()
    demo = build(args.keep_seconds).queue(max_size=100)
    demo.launch(
        server_name=args.host,
        server_port=args.port,
        theme=THEME,
        css_paths=studio.HERE / "page.css",
        head=f"<script>{(studio.HERE / 'page.js').read_text()}</script>",
        max_file_size=MAX_BYTES,
        state_session_capacity=200,
        ssr_mode=False,
        share=False,
        show_error=True,
        footer_links=["api"],
    )


def _warm_up() -> None:
    """Load the models and look at the example that the page opens with, before the first visitor asks."""
    try:
        _look_at_example(0)
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main()
