"""The tab *Many*: files and zips become a table."""

import time
from collections.abc import Iterator

import gradio as gr
import page
import pandas as pd
import studio
import table
from batches import Row, described_rows
from uploads import uploads_only, written

MANY_BRIDGE = """window.galaxyVision.bridge((name, data) => trigger(name, data), ['recount', 'csv', 'parquet']);"""
SETTLED = "watch('value', () => window.galaxyVision.settled());"
OUTPUTS = 5
"""Parts of the page that a batch changes: session, table, the two files for download, progress."""
TELL_SECONDS = 0.5  # between two reports of how far it is; ours


def as_table(rows: list[Row]) -> pd.DataFrame:
    """Return the whole table: the columns of the page, and the share of every answer with its interval and reach."""
    return pd.DataFrame(
        [
            row.summary
            | {f"{answer}_{name}": value for answer, numbers in row.votes.items() for name, value in numbers.items()}
            for row in rows
        ]
    )


def show_files(session: dict, paths: list[str] | None) -> Iterator[list]:
    """Describe new files; the outputs are shown as they come."""
    session["files"] = paths or []
    yield from _show(session)


def recount(session: dict, event: gr.EventData) -> Iterator[list]:
    """Describe the same files with the votes of another campaign."""
    session["campaign"] = event.campaign
    yield from _show(session)


def _show(session: dict) -> Iterator[list]:
    """Yield how far it is, and at the end the table of the page and its two downloads."""
    start = told = time.monotonic()
    rows = []
    try:
        if not session["files"]:
            raise ValueError("There is no file yet; add images or a zip first.")
        for row, total in described_rows(session["files"], session["campaign"]):
            rows.append(row)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                yield [gr.skip()] * (OUTPUTS - 1) + [table.progress(len(rows), total, told - start)]
        names, first = studio.campaigns()
    except ValueError as error:
        yield [session, table.empty(page.note(str(error))), None, None, ""]
        return
    session["names"] = [row.summary["file"] for row in rows]
    frame = as_table(rows)
    csv, parquet = frame.to_csv(index=False).encode(), frame.to_parquet(index=False)
    picker = page.campaign_picker(names, session["campaign"] or first, "recount")
    html = table.table(rows, picker, time.monotonic() - start)
    yield [session, html, written("galaxies.csv", csv), written("galaxies.parquet", parquet), ""]


def many_galaxies(session: gr.State, private: dict) -> None:
    """Add the tab; ``private`` are options that keep its events out of the API."""
    bridge = gr.HTML("<i hidden></i>", js_on_load=MANY_BRIDGE, visible="hidden")
    kinds = [*studio.SUFFIXES, ".zip"]
    files = uploads_only(
        gr.UploadButton("Choose images", file_count="multiple", file_types=kinds, elem_id="gv-files", visible="hidden")
    )
    progress = gr.HTML("", elem_id="gv-progress", apply_default_css=False)
    rows = gr.HTML(table.empty(), elem_id="gv-table", apply_default_css=False, js_on_load=SETTLED)
    csv = gr.DownloadButton("CSV", elem_id="gv-csv", visible="hidden")
    parquet = gr.DownloadButton("Parquet", elem_id="gv-parquet", visible="hidden")
    outputs = [session, rows, csv, parquet, progress]
    options = {"show_progress": "hidden", **studio.MODEL_QUEUE, **private}
    files.upload(show_files, [session, files], outputs, **options)
    bridge.recount(recount, [session], outputs, **options)
    save = "(file) => window.galaxyVision.save(file)"
    bridge.csv(None, csv, None, js=save, **private)
    bridge.parquet(None, parquet, None, js=save, **private)
