"""Figures for papers: one style, the widths of a journal's columns, and each figure as PNG of 300 dpi and as PDF."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from .files import written_whole

STYLE = Path(__file__).with_name("paper.mplstyle")
"""The style file of all figures; ``plt.style.use(STYLE)`` takes it."""

COLUMN, PAGE = 3.46, 7.09
"""Width in inches of a figure over one and two columns: 88 and 180 mm, as A&A asks for."""

PNG, PDF = "png", "pdf"

_SETTINGS = threading.RLock()  # matplotlib's settings are global: a second thread would restore those of the first


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the style of the package; works as a decorator too."""
    with _SETTINGS, matplotlib.style.context(STYLE):
        yield


def save_figure(
    figure: Figure, path: Path, formats: Sequence[str] = (PNG, PDF), metadata: dict[str, str] | None = None
) -> list[Path]:
    """Write a figure, each file whole or not at all, and return the files.

    The same figure gives the same bytes, so a PDF has no date.

    Args:
        figure: to save, in the style in which it was drawn.
        path: of the PNG; the PDF stands beside it.
        formats: which of the two are written.
        metadata: of both files, such as ``{"Title": ...}``.
    """
    files = [path if name == PNG else path.with_suffix(f".{name}") for name in formats]
    for file, name in zip(files, formats, strict=True):
        facts = dict(metadata or {}) | ({"CreationDate": None} if name == PDF else {})
        with paper_style(), written_whole(file) as partial:
            figure.savefig(partial, format=name, metadata=facts)
    return files
