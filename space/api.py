"""The API endpoints ``/describe``, ``/explain`` and ``/batch``."""

import functools
from pathlib import Path

import gradio as gr
import studio
from batches import describe_batch
from many_galaxies import as_table
from pictures import overlay_png
from uploads import uploads_only, written

from galaxy_vision.images.limits import STRETCHES, read_file
from galaxy_vision.inference.explain import DEFAULT_METHOD, METHODS


def _or_error(function):
    """Turn a ValueError, which is a message for the user, into an error of the API; other exceptions are bugs."""

    @functools.wraps(function)
    def called(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return called


@_or_error
def describe(
    file: str, hdu: str = "", bands: str = "", stretch: str = "auto", frame: str = "auto", campaign: str = ""
) -> dict:
    if file is None:
        raise ValueError("There is no file; send one image.")
    image = studio.read_image(read_file(file), hdu, bands, stretch, frame)
    return studio.describe(image, Path(file).name, campaign.strip() or None)


@_or_error
def explain(
    file: str,
    target: str = "",
    method: str = DEFAULT_METHOD,
    opacity: float = 0.6,
    hdu: str = "",
    bands: str = "",
    stretch: str = "auto",
    frame: str = "auto",
    campaign: str = "",
) -> str:
    if file is None:
        raise ValueError("There is no file; send one image.")
    image = studio.read_image(read_file(file), hdu, bands, stretch, frame)
    heat = studio.heat_map(image, target, method, campaign.strip() or None)
    drawn = overlay_png(image, heat, opacity)
    return written(f"{studio.download_stem(Path(file).name)}-heat.png", drawn)


@_or_error
def batch(files: list[str], campaign: str = "", progress=gr.Progress()) -> tuple[list[dict], str]:  # noqa: B008
    if not files:
        raise ValueError("There is no file yet; add images or a zip first.")

    def show_progress(done: int, total: int) -> None:
        progress((done, total), desc="Describing", unit="galaxies")

    rows = describe_batch(files, show_progress, campaign.strip() or None)
    return [row.summary for row in rows], written("galaxies.csv", as_table(rows).to_csv(index=False).encode())


def api() -> None:
    """Add the endpoints, on components that are not shown."""
    with gr.Row(visible=False):
        one, many = uploads_only(gr.File(label="file")), uploads_only(gr.File(file_count="multiple", label="files"))
        hdu, bands, target = gr.Textbox("", label="hdu"), gr.Textbox("", label="bands"), gr.Textbox("", label="target")
        stretch, frame = gr.Radio(STRETCHES, value="auto", label="stretch"), gr.Textbox("auto", label="frame")
        method = gr.Dropdown(list(METHODS), value=DEFAULT_METHOD, label="method")
        campaign = gr.Textbox("", label="campaign")  # the models, and hence its choices, are not loaded yet
        opacity = gr.Slider(0, 1, 0.6, label="opacity")
        description, rows = gr.JSON(label="said"), gr.JSON(label="rows")
        picture, csv = gr.File(label="heat map on the image, PNG"), gr.File(label="CSV")
        buttons = [gr.Button(name) for name in ("describe", "explain", "batch")]
    reading = [hdu, bands, stretch, frame, campaign]
    buttons[0].click(describe, [one, *reading], description, api_name="describe", **studio.MODEL_QUEUE)
    buttons[1].click(
        explain, [one, target, method, opacity, *reading], picture, api_name="explain", **studio.MODEL_QUEUE
    )
    buttons[2].click(batch, [many, campaign], [rows, csv], api_name="batch", **studio.MODEL_QUEUE)
