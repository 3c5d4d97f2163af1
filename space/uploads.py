"""Files that visitors upload and download: in a folder of this process, for some minutes."""

import contextlib
import os
import tempfile
import time
from collections.abc import Container
from pathlib import Path

import gradio as gr


def uploads_only(component: gr.components.Component) -> gr.components.Component:
    """Make a component refuse addresses, which gradio would download; it then accepts uploads only.

    The method is replaced on the component and not in a subclass, since gradio takes a subclass for a custom component
    with its own front end.
    """
    move_upload = component.async_move_resource_to_block_cache

    async def move(path):
        if path is not None and str(path).lower().startswith(("http:", "https:")):
            sentence = "This is an address and not a file, and nothing is downloaded; upload the file instead."
            raise gr.Error(sentence, print_exception=False)
        return await move_upload(path)

    component.async_move_resource_to_block_cache = move
    return component


def written(name: str, data: bytes) -> str:
    """Write a file for download, in a folder of its own among the uploads, and return its path."""
    path = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])) / name
    path.write_bytes(data)
    return str(path)


def sweep(folder: Path, seconds: float, kept: Container[Path]) -> None:
    """Delete the files and empty folders in ``folder`` that are older than ``seconds`` and not in ``kept``.

    Gradio's own ``delete_cache`` leaves files that it did not finish receiving, such as uploads above the limit.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):  # it was deleted meanwhile, or the folder is not empty
            if path not in kept and time.time() - path.lstat().st_ctime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()


def sweep_for_ever(folder: Path, seconds: float, kept: Container[Path]) -> None:
    """Call :func:`sweep` ten times in ``seconds``, until the process ends."""
    while True:
        time.sleep(seconds / 10)
        sweep(folder, seconds, kept)
