"""The galaxies of a catalogue that are to be labelled: where their images lie, and what is shown of them."""

import base64
import io
import os
import re
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image

from ..images.framing import Frame
from ..images.limits import is_image
from ..images.listing import files_in
from ..images.observation import observe
from ..predict.catalogue import needs_index, open_catalogue, write_index
from ..predict.rows import Columns, Row
from ..runtime.files import written_whole

SHOWN_SIDE = 848
"""Longest side in px of what is sent to the page: twice that of a Galaxy Zoo cut-out, for sharp screens."""


class Galaxy(NamedTuple):
    """One galaxy of the catalogue.

    Attributes:
        id: of the catalogue.
        path: of its image, as the file of labels has it.
        load: returns the bytes of the image, as of :class:`~galaxy_vision.predict.rows.Row`.
        copy: where the image is copied to when it is labelled; None where it is a file already.
    """

    id: str
    path: str
    load: Callable[[], bytes]
    copy: Path | None

    def keep(self) -> None:
        """Copy an image from an archive beside the labels, so that training finds it; nothing where it is a file.

        Raises:
            OSError: it cannot be written.
        """
        if self.copy is not None and not self.copy.exists():
            self.copy.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.copy) as partial:
                partial.write_bytes(self.load())


class Shown(NamedTuple):
    """What the page shows of a galaxy.

    Attributes:
        image: data URL of the frame.
        width: of the frame in px.
        height: of the frame in px.
        circle: centre and petroR90 of the galaxy in px of the frame; None where none was found.
    """

    image: str
    width: int
    height: int
    circle: tuple[float, float, float] | None


class Galaxies(list[Galaxy]):
    """All galaxies of a catalogue, in its order, with notes about what was left out."""

    def __init__(self, catalogue: str, out: Path, columns: Columns):
        """List a catalogue: a folder, zip, tar, or table of paths.

        Args:
            catalogue: as of ``predict``.
            out: the file of labels.
            columns: of a table.

        Raises:
            ValueError: the catalogue cannot be used, or has images without a name.
        """
        super().__init__()
        self.notes: list[str] = []
        self._folder = TemporaryDirectory(prefix="galaxy-vision-label-")  # of the index, from which rows are read
        index = Path(self._folder.name) / "index.arrow"
        if needs_index(catalogue):
            self.notes += write_index(catalogue, index, 4096, columns)
        opened = open_catalogue(catalogue, index, 4096, columns)
        for part in range(len(opened.part_rows)):
            self += [_galaxy(row, catalogue, out) for row in opened.rows(part)]


def is_empty_folder(catalogue: str) -> bool:
    """Whether a catalogue is a folder in which no image lies yet."""
    path = Path(catalogue)
    return path.is_dir() and not any(
        is_image(name) or name.lower().endswith((".tar", ".parquet")) for name, _ in files_in(path)
    )


def _galaxy(row: Row, catalogue: str, out: Path) -> Galaxy:
    folder = out.parent.resolve()
    if row.file is not None:
        file = row.file.resolve()
        path = file.relative_to(folder) if file.is_relative_to(folder) else file
        return Galaxy(row.id, path.as_posix(), row.load, None)
    name = row.source.rpartition("@")[0] if re.search(r"@\d+$", row.source) else row.source
    if not is_image(name):
        raise ValueError(
            f"catalogue={catalogue} holds images without names, of which labels cannot speak; give a folder, a zip or "
            "tar of image files, or a CSV table of their paths"
        )
    stem, suffix = os.path.splitext(Path(name).name)  # of several of one name, the digest tells which
    name = f"{re.sub('[^A-Za-z0-9_.-]', '_', stem)}-{blake2b(row.source.encode(), digest_size=4).hexdigest()}{suffix}"
    copy = Path(f"{out.stem}_images") / name
    return Galaxy(row.id, copy.as_posix(), row.load, folder / copy)


def shown(galaxy: Galaxy, frame: Frame) -> Shown:
    """Read and frame a galaxy for the page.

    Raises:
        ValueError: the image is damaged.
        Exception: it cannot be read; storage and archives raise whatever they like.
    """
    observation = observe(galaxy.load(), frame)
    image, found = observation.image, observation.framed.galaxy
    circle = None
    if found is not None:
        left, top = observation.framed.box[:2] if image is not observation.whole else (0, 0)
        circle = (found.x - left, found.y - top, found.petro_r90)
    size = image.size
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=93, subsampling=0)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return Shown(url, *size, circle)
