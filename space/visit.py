"""What the server remembers of a visitor for some minutes: the image that is shown, and how to see the others again."""

import itertools
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import studio
from batches import batch_members
from page import Thumbnail
from pictures import thumbnail_url
from PIL import Image

from galaxy_vision.images.framing import FIELD
from galaxy_vision.images.limits import read_file

EXAMPLES = sorted((studio.HERE / "examples").glob("*.jpg"))
MOST_VISITED = 12  # images of the strip beside the examples; ours
DELETED = "The image was deleted after fifteen minutes; give it again."
NUMBERS = itertools.count(1)  # of the requested images of all visitors; the larger number is the later request


class Source(NamedTuple):
    """An image that can be read again, in any frame.

    Attributes:
        key: of the same image the same.
        name: of its file.
        read: returns what :func:`studio.read_image` returns, in a frame of :func:`parse_frame`.
    """

    key: str
    name: str
    read: Callable[[str], Image.Image]


def new_session() -> dict:
    """Return the state of a new visitor; events change it in place, so that all of them see the change.

    ``asked`` is the number of the request that came last; ``shown`` what is shown, with its ``number``, ``source``
    and ``look``; ``base`` and ``field`` how it is framed; ``visited`` sources and thumbnails, the latest
    first; ``pinned`` the card that waits for comparison; ``files`` and ``names`` of the images of the table of many;
    ``campaign`` whose votes are predicted.
    """
    fields = ("shown", "base", "campaign", "pinned")
    return dict.fromkeys(fields) | {"asked": 0, "field": 1.0, "visited": [], "files": [], "names": []}


def example_name(index: int) -> str:
    """Return what an example shows: ``"barred spiral"``."""
    return EXAMPLES[index].stem.split("-", 1)[1].replace("-", " ").replace("edge on", "edge-on")


def example_index(stem: str) -> int | None:
    """Return the example of a permanent link, such as ``"01-barred-spiral"``; None for any other text."""
    return next((index for index, path in enumerate(EXAMPLES) if path.stem == stem), None)


def example(index: int) -> Source:
    path = EXAMPLES[index]
    return Source(f"example {index}", path.name, lambda frame: studio.read_image(path.read_bytes(), frame=frame))


def upload(path: str, hdu: str, bands: str, stretch: str) -> Source:
    """Return the source of an uploaded file with these choices of how to read it."""

    def read(frame: str) -> Image.Image:
        if not Path(path).exists():
            raise ValueError(DELETED)
        return studio.read_image(read_file(path), hdu, bands, stretch, frame)

    return Source(f"upload {path} {hdu} {bands} {stretch}", Path(path).name, read)


def row(files: list[str], index: int, name: str) -> Source:
    """Return the source of an image of a batch, by its number among the images of these files and zips."""

    def read(frame: str) -> Image.Image:
        if not all(Path(path).exists() for path in files):
            raise ValueError(DELETED)
        _, read_bytes = list(batch_members(files))[index]
        return studio.read_image(read_bytes(), frame=frame)

    return Source(f"row {index} {files[0]}", name, read)


@lru_cache(maxsize=1)
def example_thumbnails() -> list[Thumbnail]:
    """Return the examples as the page shows them: their middle, as the models read it."""
    return [
        Thumbnail("example", index, example_name(index), thumbnail_url(Image.open(path).convert("RGB"), crop=0.6))
        for index, path in enumerate(EXAMPLES)
    ]


def remember(session: dict, source: Source, image: Image.Image) -> None:
    """Put an image of the visitor at the front of the strip; examples are there already."""
    if source.key.startswith("example "):
        return
    kept = [(old, picture) for old, picture in session["visited"] if old.key != source.key]
    picture = thumbnail_url(image, side=56, crop=0.6)
    session["visited"] = [(source, picture), *kept][:MOST_VISITED]


def thumbnails(session: dict) -> tuple[list[Thumbnail], Thumbnail | None]:
    """Return the images of the strip, those of this visit first, and that which is shown."""
    own = [
        Thumbnail("visited", index, source.name, picture) for index, (source, picture) in enumerate(session["visited"])
    ]
    keys = [source.key for source, _ in session["visited"]] + [f"example {index}" for index in range(len(EXAMPLES))]
    images = own + example_thumbnails()
    shown = session["shown"]["source"].key if session["shown"] else None
    return images, images[keys.index(shown)] if shown in keys else None


def base_of(image: Image.Image) -> tuple[float, float, float]:
    """Return centre and petroR90 (px) of the frame of an image, to which the slider of the field is relative."""
    left, top, right, bottom = image.info["frame"]["box"]
    return (left + right - 1) / 2, (top + bottom - 1) / 2, (right - left) / FIELD
