"""The images of found rows, from the catalogue that was predicted."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..images.decode import read_rgb
from ..images.limits import FITS_STARTS
from ..predict.catalogue import open_catalogue
from ..predict.rows import Columns
from ..predict.run import INDEX
from .catalogue import PredictedCatalogue


def images_of(
    catalogue: PredictedCatalogue, sources: Sequence[str], parts: Sequence[int]
) -> tuple[dict[str, Image.Image], str]:
    """Return the images of some rows by their source, and why others are missing; empty where none is.

    Args:
        catalogue: the prediction, whose metadata say where the images are.
        sources: location of each row in the predicted catalogue.
        parts: number of the part of each row.
    """
    identity, path = catalogue.identity, catalogue.metadata.get("catalogue")
    if path is None or not catalogue.path.is_dir():
        return {}, "images are shown of folders that galaxy-vision predict wrote"
    columns = Columns(*(identity.get(name) for name in ("id_column", "image_column", "image_root", "split", "config")))
    try:
        opened = open_catalogue(path, catalogue.path / INDEX, identity["rows_per_part"], columns)
    except (OSError, ValueError) as error:
        return {}, f"images cannot be shown: {str(error).splitlines()[0]}"
    images: dict[str, Image.Image] = {}
    missing = ""
    for part in sorted(set(parts)):
        wanted = {source for source, of_part in zip(sources, parts, strict=True) if of_part == part}
        for row in opened.rows(part):
            if row.source in wanted:
                wanted.remove(row.source)
                try:
                    images[row.source] = _read(row.load(), identity.get("reading") or {})
                except (OSError, ValueError) as error:
                    missing = f"the image of {row.id} cannot be shown: {str(error).splitlines()[0]}"
            if not wanted:
                break
    return images, missing


def _read(data: bytes, reading: dict) -> Image.Image:
    others = {name: reading[name] for name in ("stretch", "survey") if name in reading}
    return read_rgb(data, **(reading if data.startswith(FITS_STARTS) else others))


def check_gallery(path: str) -> None:
    """Check that a gallery of this name can be written; raise ValueError otherwise."""
    if not path.lower().endswith((".html", ".png")):
        raise ValueError(f"--gallery {path} does not end with .html or .png")
    if not Path(path).resolve().parent.is_dir():
        raise ValueError(f"--gallery {path}: the folder does not exist; make it first")
