"""What the demo does with images: the models, loaded when first needed, and plain data out of them. No gradio in here."""

import base64
import io
import json
import os
import struct
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

import galaxy_vision
from galaxy_vision.images.archives import read_member
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.images.likeness import doubts
from galaxy_vision.images.limits import (
    FITS_SUFFIXES,
    IMAGE_SUFFIXES,
    image_id,
    is_hidden,
    is_image,
    normal_path,
    read_file,
    zip_directory_bytes,
)
from galaxy_vision.inference.describe import Describer
from galaxy_vision.inference.explain import COLORMAP, caption_attention, explain, overlay
from galaxy_vision.inference.explain_targets import target_index, target_name
from galaxy_vision.models.decision_tree import SHORT_NAMES

HERE = Path(__file__).resolve().parent
MAX_SIDE = (
    1024  # larger images are reduced before anything else, so that page, API and downloads speak of the same pixels
)
MAX_BATCH = 200
MAX_BATCH_BYTES = 256 * 2**20  # unpacked, of all files of a batch
MAX_ZIP_DIRECTORY = 2**20  # bytes; some 10,000 files
BATCH_SECONDS = 120
SHOWN_SIDE = 512  # of the pictures that are sent to the page
SUFFIXES = sorted(IMAGE_SUFFIXES | FITS_SUFFIXES)
MODEL_QUEUE = {"concurrency_limit": 2, "concurrency_id": "models"}  # of every event that asks a model
KEY_QUESTIONS = {
    "featured": "a02_features_or_disk",
    "edge-on": "a04_yes",
    "bar": "a06_bar",
    "spiral": "a08_spiral",
    "odd": "a14_yes",
}
"""Columns of a batch: predicted fraction of this answer among those asked."""


def model_places() -> dict[str, str]:
    """Folder or Hub id of both models: the environment's, or the folders beside the app or in the repository."""
    roots = [HERE / "checkpoints", HERE.parent / "checkpoints"]
    root = next((each for each in roots if each.is_dir()), roots[1])
    return {
        "classifier": os.environ.get("GALAXY_VISION_CLASSIFIER") or str(root / "galaxy-resnet"),
        "captioner": os.environ.get("GALAXY_VISION_CAPTIONER") or str(root / "galaxy-captioner"),
    }


class Models:
    """Both models, loaded by whoever asks first; the others wait."""

    def __init__(self):
        self._lock = threading.Lock()
        self._describer: Describer | None = None

    def get(self) -> Describer:
        """
        Raises:
            ValueError: a model is not there; the sentence says how to get it.
        """
        with self._lock:
            if self._describer is None:
                places = model_places()
                for kind, place in places.items():
                    if not (Path(place) / "config.json").is_file() and (
                        Path(place).is_absolute() or place.startswith(".")
                    ):
                        raise ValueError(
                            f"There is no trained {kind} yet: run train_{kind}.py with --output_dir {_short(place)}, or set "
                            f"GALAXY_VISION_{kind.upper()} to a folder or a Hub id, and start again."
                        )
                try:
                    self._describer = Describer(places["classifier"], places["captioner"])
                except (OSError, ValueError) as error:
                    reason = str(error).splitlines()[0]
                    raise ValueError(
                        f"The models {' and '.join(places.values())} cannot be loaded: {reason}"
                    ) from error
            return self._describer


MODELS = Models()


def _short(place: str) -> str:
    """A path as a user of the repository would write it."""
    path = Path(place)
    return str(path.relative_to(HERE.parent)) if path.is_relative_to(HERE.parent) else path.name


def versions() -> dict[str, str]:
    """What runs here, for the footer and the JSON."""
    device = "CUDA GPU" if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    names = {kind: _short(place) if Path(place).is_absolute() else place for kind, place in model_places().items()}
    return {
        "galaxy_vision": galaxy_vision.__version__,
        "torch": torch.__version__.split("+")[0],
        "device": device,
    } | names


def read_image(data: bytes, hdu: str = "", bands: str = "", stretch: str = "auto") -> Image.Image:
    """An upload with the words of the page's fields -> RGB of at most MAX_SIDE.

    Raises:
        ValueError: one sentence for the user.
    """
    try:
        planes = tuple(int(word) for word in bands.replace(",", " ").split()) or None
    except ValueError as error:
        raise ValueError(
            f"bands {bands!r} are no numbers; write one, or three as red, green, blue, such as 2, 1, 0"
        ) from error
    image = read_rgb(data, hdu=hdu.strip() or None, bands=planes, stretch=stretch)
    reading = image.info["reading"]
    if max(image.size) > MAX_SIDE:
        reading = "; ".join(filter(None, [reading, f"reduced from {image.width}x{image.height} px"]))
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    image.info = {"reading": reading}
    return image


def describe(image: Image.Image, name: str) -> dict:
    """Everything the models say about an image, as data that JSON can hold."""
    said = {"image": name, "size": list(image.size), "reading": image.info.get("reading", ""), "doubts": doubts(image)}
    return said | MODELS.get()(image) | {"models": versions()}


def targets() -> list[tuple[str, str]]:
    """What a heat map can explain: (words for the picker, name for :func:`galaxy_vision.inference.explain.explain`)."""
    config = MODELS.get().classifier.config
    named = [(f"class: {label}", label) for label in config.id2label.values()]
    if config.predict_votes:
        named += [(f"answer: {target_name(config, target_index(config, name))}", name) for name in SHORT_NAMES]
    return named


def heat_map(image: Image.Image, target: str, method: str) -> np.ndarray:
    """(H, W) in [0, 1]: what speaks for a class or an answer."""
    describer = MODELS.get()
    return explain(describer.classifier, describer.image_processor, image, target or None, method)


def overlay_png(image: Image.Image, heat: np.ndarray, opacity: float) -> bytes:
    """The image under its heat map."""
    file = io.BytesIO()
    overlay(image, heat, opacity).save(file, "png")
    return file.getvalue()


def word_maps(image: Image.Image) -> tuple[list[str], np.ndarray]:
    """The caption's words, and (words, H, W) in [0, 1]: where each looked."""
    describer = MODELS.get()
    looked = caption_attention(describer.captioner, describer.processor, image)
    return looked.words, looked.maps


def picture_url(image: Image.Image, side: int = SHOWN_SIDE) -> str:
    """The image as a data URL, so that no file of it is left behind."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _data_url(small, "jpeg", quality=90)


def heat_url(heat: np.ndarray, blocks: bool = False, side: int = 256) -> str:
    """A heat map as a data URL of a layer: colour of the map, and as opaque as it is hot.

    Args:
        heat: (H, W) in [0, 1].
        blocks: keep the sharp squares of attention.
    """
    resampling = Image.Resampling.NEAREST if blocks else Image.Resampling.BILINEAR
    layer = Image.fromarray(np.rint(255 * heat).astype(np.uint8))
    scale = min(1.0, side / max(layer.size))
    layer = layer.resize((max(1, round(layer.width * scale)), max(1, round(layer.height * scale))), resampling)
    colours = (255 * matplotlib.colormaps[COLORMAP](np.asarray(layer))).astype(np.uint8)
    colours[..., 3] = np.asarray(layer)
    image = Image.fromarray(colours)
    return _data_url(image, "png", optimize=True) if blocks else _data_url(image, "webp", quality=85)


def _data_url(image: Image.Image, kind: str, **options) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def batch_members(paths: list[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Files, and the images in zips among them, as (name, function that reads its bytes), in order; nothing is unpacked to disk.

    A member is named by its path inside the zip. A name that occurs several times has its row behind it: ``a.jpg@3``.

    Raises:
        ValueError: more than MAX_BATCH images or MAX_BATCH_BYTES, or a damaged zip.
    """
    found, total = [], 0
    for path in map(Path, paths):
        if is_hidden(path.name):
            continue
        if path.suffix.lower() != ".zip":
            found.append((path.name, lambda path=path: read_file(path)))
            total += path.stat().st_size
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 22 - 65535 - MAX_ZIP_DIRECTORY))
            directory = zip_directory_bytes(file.read())
        if directory is None or directory > MAX_ZIP_DIRECTORY:
            raise ValueError(
                f"{path.name} is no zip file, or is damaged, or lists more than about 10,000 files; give a smaller zip"
            )
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
            raise ValueError(f"{path.name} is a damaged zip file ({error}); make it again") from error
        for info in archive.infolist():  # by entry: two of them may have one name
            if is_image(info.filename) and not info.is_dir():
                found.append((_inside(info.filename), lambda archive=archive, info=info: read_member(archive, info)))
                total += info.file_size
    if not found:
        raise ValueError("There is no image in these files; give JPEG, PNG, TIFF, WebP, GIF or FITS, or a zip of them.")
    if len(found) > MAX_BATCH:
        raise ValueError(
            f"{len(found)} images are more than the limit of {MAX_BATCH}; give fewer, or use galaxy-vision describe"
        )
    if total > MAX_BATCH_BYTES:
        raise ValueError(
            f"{total >> 20} MiB unpacked are more than the limit of {MAX_BATCH_BYTES >> 20} MiB; give fewer images"
        )
    times = Counter(name for name, _ in found)
    for place, (name, read) in enumerate(found, 1):
        yield (name if times[name] == 1 else f"{name}@{place}"), read


def _inside(name: str) -> str:
    """The path of a member as people read it, without what leads out of the zip."""
    return "/".join(part for part in normal_path(name).parts if part not in ("/", "//", ".."))


def download_stem(name: str) -> str:
    """What the names of the files begin with that a visitor takes away about this image."""
    return image_id(name)[:60] or "galaxy"


def describe_batch(paths: list[str], progress: Callable[[int, int], None]) -> tuple[list[dict], list[str]]:
    """A row for each image: file, status, class, probability, caption, :data:`KEY_QUESTIONS`; and thumbnails as data URLs.

    An image that cannot be read is a row whose status says why; what is not reached in BATCH_SECONDS says so too.

    Raises:
        ValueError: as :func:`batch_members`, or the models are not there.
    """
    MODELS.get()
    members = list(batch_members(paths))
    rows, thumbnails, end = [], [], time.monotonic() + BATCH_SECONDS
    for place, (name, read) in enumerate(members):
        progress(place, len(members))
        row = dict.fromkeys(["file", "status", "class", "probability", "caption", *KEY_QUESTIONS]) | {"file": name}
        thumbnail = ""
        try:
            if time.monotonic() > end:
                raise ValueError(
                    f"not looked at: the batch took longer than the limit of {BATCH_SECONDS} s; give fewer images"
                )
            image = read_image(read())
            said = describe(image, name)
            row |= {"status": "ok", **{key: said[key] for key in ("class", "probability", "caption")}}
            if said["doubts"]:
                row["status"] = "ok, but it may be no galaxy"
            if said["votes"]:
                row |= {key: said["votes"][answer]["fraction"] for key, answer in KEY_QUESTIONS.items()}
            thumbnail = picture_url(image, side=96)
        except ValueError as error:
            row["status"] = str(error)
        rows.append(row)
        thumbnails.append(thumbnail)
    return rows, thumbnails


def as_json(said: dict) -> str:
    return json.dumps(said, indent=1)
