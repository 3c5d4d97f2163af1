"""What visitors send and what they take away: uploads only, in a folder of this process, for some minutes."""

import contextlib
import os
import tempfile
import time
from collections.abc import Container
from pathlib import Path

import gradio as gr


def uploads_only(component: gr.components.Component) -> gr.components.Component:
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


def written(name: str, data: bytes) -> str:
    """A file for download, in a folder of its own among the uploads."""
    path = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])) / name
    path.write_bytes(data)
    return str(path)


def sweep(folder: Path, seconds: float, kept: Container[Path]) -> None:
    """Delete what is older in ``folder``, and empty folders.

    Gradio's own ``delete_cache`` leaves what it did not finish to receive: an upload above the limit, or one broken
    off.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):  # somebody was faster, or the folder is not empty
            if path not in kept and time.time() - path.lstat().st_ctime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()


def sweep_for_ever(folder: Path, seconds: float, kept: Container[Path]) -> None:
    """:func:`sweep`, ten times in that time."""
    while True:
        time.sleep(seconds / 10)
        sweep(folder, seconds, kept)
