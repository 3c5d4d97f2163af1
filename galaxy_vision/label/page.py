"""The page of ``galaxy-vision label``: a gradio page, and the addresses that its script asks.

The script shows the next image at once, which it has loaded before, and sends the answer meanwhile; where the answer
cannot be written the galaxy comes back with the reason.
"""

import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported, which sends no request then

import gradio as gr
import uvicorn
from fastapi import Body, FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, Response

from .galaxies import Shown, shown
from .session import MOST_LABELS, Session

HERE = Path(__file__).resolve().parent
LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")
KEPT_IMAGES = 64
"""Images of galaxies that are kept in memory, of some 100 kB. Ours: the next few and the last six come from there."""


def app_of(session: Session, host: str = "127.0.0.1") -> FastAPI:
    """Return the server of a session.

    Args:
        session: what is labelled.
        host: address that it listens on; a request to this machine by another name is refused where only this machine
            may ask, since it comes from a page of somebody else.
    """
    app = FastAPI(title="galaxy-vision label", docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOCAL:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))

    @lru_cache(KEPT_IMAGES)
    def image_of(galaxies: int, number: int) -> Shown:
        return shown(session.galaxies[number], session.frame)

    def answered(action: Callable, showing: int | None) -> JSONResponse:
        """Do something, and return the state or why it failed."""
        try:
            result = action()
            return JSONResponse(session.state(result if showing is None else showing) | {"result": result})
        except (OSError, ValueError) as error:
            return JSONResponse({"error": str(error).splitlines()[0]}, status_code=409)

    @app.get("/label/state")
    def state(showing: int | None = None):
        return answered(lambda: None, showing)

    @app.get("/label/galaxy/{number}")
    def galaxy(number: int):
        try:
            return JSONResponse(image_of(id(session.galaxies), number)._asdict())
        except Exception as error:  # storage and archives raise whatever they like, and one image must not end all
            if 0 <= number < len(session.galaxies):
                session.leave_out(number)
            return JSONResponse({"error": str(error).splitlines()[0] or type(error).__name__}, status_code=404)

    @app.post("/label/answer")
    def answer(galaxy: int = Body(), label: str = Body(), showing: int | None = Body(None)):
        return answered(lambda: session.answer(galaxy, label), showing)

    @app.post("/label/skip")
    def skip(galaxy: int = Body(), showing: int | None = Body(None)):
        return answered(lambda: session.skip(galaxy), showing)

    @app.post("/label/undo")
    def undo(_: dict = Body()):  # noqa: B008
        return answered(session.undo, None)

    @app.post("/label/name")
    def name(name: str = Body(embed=True), showing: int | None = Body(None)):
        return answered(lambda: session.add_name(name), showing)

    @app.get("/label/file")
    def file():
        data = session.labels.path.read_bytes() if session.labels.path.exists() else b"path,label\n"
        headers = {"Content-Disposition": f'attachment; filename="{session.labels.path.name}"'}
        return Response(data, media_type="text/csv", headers=headers)

    with gr.Blocks(title="Label galaxies", analytics_enabled=False) as blocks:
        gr.HTML((HERE / "page.html").read_text().replace("{most}", str(MOST_LABELS)), apply_default_css=False)
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        css_paths=HERE / "page.css",
        head=f"<script>{(HERE / 'page.js').read_text()}</script>",
        ssr_mode=False,
        footer_links=[],
    )


def serve(session: Session, host: str, port: int, open_browser: bool) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        ValueError: the port is in use.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise ValueError(f"port={port} of {host} cannot be used ({error.strerror}); give another, or 0") from error
    address = f"http://{host if host not in ('0.0.0.0', '::') else 'localhost'}:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app_of(session, host), log_level="warning"))
    so_far = f"{session.labels.path}: {len(session.labels.rows)} labels so far"
    print(f"{so_far}; label at {address}, stop by Ctrl-C", flush=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        session.stop()
    counts = ", ".join(f"{count} {name}" for name, count in session.labels.counts().items())
    print(f"{session.labels.path}: {counts or 'no labels'}")
