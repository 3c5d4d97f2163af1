"""Image bytes, and the zips and folders they come in."""

import io
import zipfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
MAX_SIDE = 4096
"""Largest accepted side in pixels, ten times a Galaxy Zoo cut-out: a guard against decompression bombs."""


def read_rgb(data: bytes) -> Image.Image:
    """Decode an image completely and convert it to 8-bit RGB.

    Raises:
        ValueError: not an image, damaged, larger than :data:`MAX_SIDE`, or with more than 8 bits a channel.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if max(image.size) > MAX_SIDE:
            raise ValueError(
                f"image of {image.size[0]}x{image.size[1]} px is larger than the limit of {MAX_SIDE}; cut it down first"
            )
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"image mode {image.mode} has more than 8 bits a channel; stretch it to 8-bit RGB first")
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"unreadable image: {error}") from error


class ImageSource:
    """The images of a zip file or a folder, at any depth, by file stem.

    Attributes:
        members: file stem -> path inside the source; the first in sorted order where a stem occurs twice.
        folders: file stem -> name of the folder that holds it.
        duplicates: paths that were left out because their stem is taken.

    Raises:
        ValueError: the path does not exist, is not a complete zip, or holds no image.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip = None
        if self.path.is_dir():
            names = [str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file()]
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise ValueError(f"{self.path} is not a complete zip file ({error}); download it again") from error
            names = self._zip.namelist()
        else:
            raise ValueError(f"{self.path} does not exist; give the image zip or the unpacked folder")
        self.members: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self.duplicates: list[str] = []
        for name in sorted(names):
            inside = Path(name)
            if inside.suffix.lower() not in IMAGE_SUFFIXES or inside.name.startswith("."):
                continue
            if inside.stem in self.members:
                self.duplicates.append(name)
                continue
            self.members[inside.stem] = name
            self.folders[inside.stem] = inside.parent.name
        if not self.members:
            raise ValueError(f"{self.path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give the image zip or folder")

    def read(self, stem: str) -> bytes:
        """The file's bytes as they are, after one complete decoding as a check.

        Raises:
            ValueError: the image or its place in the zip is damaged.
            KeyError: there is no such image.
        """
        name = self.members[stem]
        try:
            data = self._zip.read(name) if self._zip else (self.path / name).read_bytes()
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise ValueError(f"unreadable in {self.path.name}: {error}") from error
        read_rgb(data)
        return data
