"""The tab *Many*: files and zips become a table."""

import time

import gradio as gr
import page
import pandas as pd
import studio
import table
from batches import Row, describe_batch
from uploads import uploads_only, written

MANY_BRIDGE = """window.galaxyVision.bridge((name, data) => trigger(name, data), ['recount', 'csv', 'parquet']);"""
ARRIVED = "watch('value', () => window.galaxyVision.arrived());"
OUTPUTS = 4
"""Parts of the page that a batch changes: session, table, and the two files for download."""


def as_table(rows: list[Row]) -> pd.DataFrame:
    """Return the whole table: the columns of the page, and the share of every answer with its interval and reach."""
    return pd.DataFrame(
        [
            row.summary
            | {f"{answer}_{name}": value for answer, numbers in row.votes.items() for name, value in numbers.items()}
            for row in rows
        ]
    )


def show_files(session: dict, paths: list[str] | None, progress=gr.Progress()) -> list:  # noqa: B008 (gradio's way)
    """Describe new files."""
    session["files"] = paths or []
    return _show(session, progress)


def recount(session: dict, event: gr.EventData, progress=gr.Progress()) -> list:  # noqa: B008
    """Describe the same files with the votes of another campaign."""
    session["campaign"] = event.campaign
    return _show(session, progress)


def _show(session: dict, progress) -> list:
    """Return the table of the page and its two downloads."""

    def show_progress(done: int, total: int) -> None:
        progress((done, total), desc="Describing", unit="galaxies")

    start = time.monotonic()
    try:
        if not session["files"]:
            raise ValueError("There is no file yet; add images or a zip first.")
        rows = describe_batch(session["files"], show_progress, session["campaign"])
        names, first = studio.campaigns()
    except ValueError as error:
        return [session, table.empty(page.note(str(error))), None, None]
    frame = as_table(rows)
    csv, parquet = frame.to_csv(index=False).encode(), frame.to_parquet(index=False)
    picker = page.campaign_picker(names, session["campaign"] or first, "recount")
    html = table.table(rows, picker, time.monotonic() - start)
    return [session, html, written("galaxies.csv", csv), written("galaxies.parquet", parquet)]


def many_galaxies(session: gr.State, private: dict) -> None:
    """Add the tab; ``private`` are options that keep its events out of the API."""
    bridge = gr.HTML("<i hidden></i>", js_on_load=MANY_BRIDGE, visible="hidden")
    kinds = [*studio.SUFFIXES, ".zip"]
    files = uploads_only(
        gr.UploadButton("Choose images", file_count="multiple", file_types=kinds, elem_id="gv-files", visible="hidden")
    )
    rows = gr.HTML(table.empty(), elem_id="gv-table", apply_default_css=False, js_on_load=ARRIVED)
    csv = gr.DownloadButton("CSV", elem_id="gv-csv", visible="hidden")
    parquet = gr.DownloadButton("Parquet", elem_id="gv-parquet", visible="hidden")
    outputs = [session, rows, csv, parquet]
    options = {"show_progress_on": [rows], **studio.MODEL_QUEUE, **private}
    files.upload(show_files, [session, files], outputs, **options)
    bridge.recount(recount, [session], outputs, **options)
    save = "(file) => window.galaxyVision.save(file)"
    bridge.csv(None, csv, None, js=save, **private)
    bridge.parquet(None, parquet, None, js=save, **private)
