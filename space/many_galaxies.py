"""The tab *Many galaxies*: files and zips become a table."""

import functools

import gradio as gr
import page
import pandas as pd
import studio
from batches import describe_batch
from uploads import uploads_only, written


def run_batch(
    paths: list[str] | None, progress, campaign: str | None = None
) -> tuple[list[dict], list[str], pd.DataFrame]:
    """Describe the images of these files and zips; return rows, thumbnails and the rows as a table."""
    if not paths:
        raise ValueError("There is no file yet; add images or a zip first.")

    def show_progress(done: int, total: int) -> None:
        progress((done, total), desc="Describing", unit="galaxies")

    rows, thumbnails = describe_batch(paths, show_progress, campaign)
    return rows, thumbnails, pd.DataFrame(rows)


def show_batch(paths: list[str] | None, progress=gr.Progress()):  # noqa: B008 (how gradio passes it)
    """Return the table of the page and its two downloads."""
    try:
        rows, thumbnails, frame = run_batch(paths, progress)
    except ValueError as error:
        off = gr.DownloadButton(value=None, interactive=False)
        return page.notice(str(error)), off, off
    csv, parquet = frame.to_csv(index=False).encode(), frame.to_parquet(index=False)
    ready = functools.partial(gr.DownloadButton, interactive=True)
    return (
        page.table(rows, thumbnails),
        ready(value=written("galaxies.csv", csv)),
        ready(value=written("galaxies.parquet", parquet)),
    )


def many_galaxies(private: dict) -> None:
    """Add the tab; ``private`` are options that keep its events out of the API."""
    box = gr.File(
        file_count="multiple",
        file_types=[*studio.SUFFIXES, ".zip"],
        label="Images or zip files",
        elem_id="gv-files",
        height=160,
    )
    files = uploads_only(box)
    gr.HTML(page.BATCH_HINT)
    start = gr.Button("Describe all", variant="primary", elem_id="gv-start")
    table = gr.HTML("", elem_id="gv-table", min_height=120)
    with gr.Row():
        csv = gr.DownloadButton("Table (CSV)", interactive=False, size="sm", elem_id="gv-csv")
        parquet = gr.DownloadButton("Table (Parquet)", interactive=False, size="sm", elem_id="gv-parquet")
    start.click(show_batch, files, [table, csv, parquet], show_progress_on=[table], **studio.MODEL_QUEUE, **private)
