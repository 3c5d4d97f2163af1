"""The demo: one galaxy, many galaxies, and an API.

Run ``python space/app.py`` here, or as a Hugging Face Space; it needs neither a GPU nor a network. Models come from the
environment variables GALAXY_VISION_CLASSIFIER and GALAXY_VISION_CAPTIONER (folder or Hub id), from ``checkpoints/``
beside this file, or from the package; GALAXY_VISION_CAMPAIGN chooses among the trees of a classifier of several. They
are loaded in the background, so that the page opens at once.
"""

import argparse
import os
import signal
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported, which sends no request then

import gradio as gr
import page
import visit
from api import api
from first_paint import FirstPaint, styles_and_script
from many_galaxies import many_galaxies
from one_galaxy import look_at_example, one_galaxy
from starlette.middleware import Middleware
from uploads import sweep_for_ever

from galaxy_vision.images.limits import MAX_BYTES

KEEP_SECONDS = 600  # ours: uploads are then gone within the fifteen minutes that the page states
TABS = [page.Tab("one", "One galaxy"), page.Tab("many", "Many")]
"""A further tab is one more here, and its column in :func:`build`."""


def build() -> gr.Blocks:
    """Build the page and the endpoints."""
    private = {"api_visibility": "private"}
    with gr.Blocks(title="Galaxy Vision", analytics_enabled=False) as demo:
        session = gr.State(visit.new_session(), time_to_live=900)
        gr.HTML(page.header(TABS), elem_id="gv-header", apply_default_css=False)
        with gr.Column(elem_id="gv-one", elem_classes="gv-panel"):
            one_galaxy(demo, session, private)
        with gr.Column(elem_id="gv-many", elem_classes="gv-panel"):
            many_galaxies(session, private)
        api()
        gr.HTML(page.footer(), elem_id="gv-footer", apply_default_css=False)
    return demo


def first_paint() -> Middleware:
    """Return what shows the page at once, before gradio has built it."""
    stage = page.stage(visit.example_thumbnails())
    body = f'<div id="gv-first">{page.header(TABS)}<div class="gv-wrap">{stage}</div></div>'
    return Middleware(FirstPaint, head=styles_and_script(), body=body)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=None, help="address to listen on (127.0.0.1, or GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, default=None, help="port (7860, or GRADIO_SERVER_PORT)")
    parser.add_argument(
        "--keep_seconds", type=int, default=KEEP_SECONDS, help="age at which uploads are deleted (%(default)s)"
    )
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that uploads are deleted then too
    with tempfile.TemporaryDirectory(
        prefix="galaxy-vision-", dir=os.environ.get("GRADIO_TEMP_DIR"), ignore_cleanup_errors=True
    ) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        serve(Path(folder), args)


def serve(folder: Path, args: argparse.Namespace) -> None:
    """Serve the demo until it is stopped, with uploads and downloads in ``folder``."""
    threading.Thread(target=_warm_up, daemon=True).start()
    demo = build().queue(max_size=100)
    own = frozenset(folder.rglob("*"))
    threading.Thread(target=sweep_for_ever, args=(folder, args.keep_seconds, own), daemon=True).start()
    demo.launch(
        server_name=args.host,
        server_port=args.port,
        app_kwargs={"middleware": [first_paint()]},
        max_file_size=MAX_BYTES,
        state_session_capacity=200,
        ssr_mode=False,
        share=False,
        show_error=True,
        footer_links=[],
    )


def _warm_up() -> None:
    """Load the models and look at the first example, before the first visitor needs them."""
    try:
        look_at_example(0, None)
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main()
