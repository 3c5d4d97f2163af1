"""What the demo does with images, without gradio: load the models when first needed, and return plain data."""

import base64
import io
import json
import os
import threading
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

import galaxy_vision
from galaxy_vision.images.framing import parse_frame
from galaxy_vision.images.limits import (
    FITS_SUFFIXES,
    IMAGE_SUFFIXES,
    image_id,
)
from galaxy_vision.images.observation import observe
from galaxy_vision.inference.classes import class_doubts
from galaxy_vision.inference.describe import Describer
from galaxy_vision.inference.explain import COLORMAP, explain, overlay
from galaxy_vision.inference.explain_targets import answer_targets
from galaxy_vision.inference.named_images import frame_of
from galaxy_vision.inference.own_answers import predicts_numbers
from galaxy_vision.inference.word_maps import WordMaps, word_maps
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.runtime.shipped import CAPTIONER, CLASSIFIER, model_source

HERE = Path(__file__).resolve().parent
# Limits are ours: for a Space with two CPU cores that many visitors share.
MAX_SIDE = 1024  # px; larger images are reduced first, so that page, API and downloads show the same pixels
SHOWN_SIDE = 512  # px, of the pictures that are sent to the page
SUFFIXES = sorted(IMAGE_SUFFIXES | FITS_SUFFIXES)
MODEL_QUEUE = {"concurrency_limit": 2, "concurrency_id": "models"}  # of every event that runs a model


def model_places() -> dict[str, str]:
    """Return the folder or Hub id of both models: from the environment, else beside the app or of the package."""
    given = {"classifier": "GALAXY_VISION_CLASSIFIER", "captioner": "GALAXY_VISION_CAPTIONER"}
    ours = {"classifier": CLASSIFIER, "captioner": CAPTIONER}
    beside = HERE / "checkpoints"
    return {
        kind: os.environ.get(given[kind]) or (str(beside / name) if (beside / name).is_dir() else model_source(name))
        for kind, name in ours.items()
    }


class Models:
    """Both models, loaded by the first thread that needs them while others wait."""

    def __init__(self):
        self._lock = threading.Lock()
        self._describer: Describer | None = None

    def get(self, campaign: str | None = None) -> Describer:
        """Return the loaded models, with the answers of a campaign; None for that of the environment, or the first.

        Raises:
            ValueError: a model is missing, with a message that says how to get it, cannot be loaded, or does not have
                the campaign.
        """
        with self._lock:
            if self._describer is None:
                locations = model_places()
                for kind, location in locations.items():
                    is_folder = Path(location).is_absolute() or location.startswith(".")
                    if is_folder and not (Path(location) / "config.json").is_file():
                        raise ValueError(
                            f"There is no trained {kind} yet: run train_{kind}.py with --output_dir "
                            f"{_short(location)}, or set GALAXY_VISION_{kind.upper()} to a folder or a Hub id, and "
                            "start again."
                        )
                try:
                    first = os.environ.get("GALAXY_VISION_CAMPAIGN") or None
                    self._describer = Describer(locations["classifier"], locations["captioner"], campaign=first)
                    if predicts_numbers(self._describer.classifier):
                        self._describer = None
                        raise ValueError("the classifier predicts numbers, and the demo shows classes; give another")
                except (OSError, ValueError) as error:
                    reason = str(error).splitlines()[0]
                    names = " and ".join(locations.values())
                    raise ValueError(f"The models {names} cannot be loaded: {reason}") from error
            return self._describer.of(campaign)


MODELS = Models()


def _short(location: str) -> str:
    """Return a path as a user of the repository would write it."""
    path = Path(location)
    return str(path.relative_to(HERE.parent)) if path.is_relative_to(HERE.parent) else path.name


def versions() -> dict[str, str]:
    """Return versions, device and models, for the footer and the JSON."""
    device = "CUDA GPU" if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    locations = model_places().items()
    names = {kind: _short(location) if Path(location).is_absolute() else location for kind, location in locations}
    return {
        "galaxy_vision": galaxy_vision.__version__,
        "torch": torch.__version__.split("+")[0],
        "device": device,
    } | names


def read_image(data: bytes, hdu: str = "", bands: str = "", stretch: str = "auto", frame: str = "auto") -> Image.Image:
    """Decode an upload into an RGB image of at most MAX_SIDE.

    Args:
        data: bytes of the file.
        hdu: number or name of a FITS extension; empty for the first with an image.
        bands: names of FITS extensions or filters, or planes of a cube, such as ``"2, 1, 0"``; empty for the default.
        stretch: as in :func:`galaxy_vision.read_rgb`.
        frame: as in :func:`galaxy_vision.images.framing.parse_frame`.

    Returns:
        What the models see. Its ``info`` has ``reading``, ``doubts``, ``frame`` and ``size`` (px of the image that was
        given), and ``whole``, that image as a data URL, empty if the models see all of it.

    Raises:
        ValueError: a field or the file cannot be read; the message is one sentence for the user.
    """
    named = bands.replace(",", " ").split() or None
    observation = observe(data, parse_frame(frame), hdu=hdu.strip() or None, bands=named, stretch=stretch)
    image, reading = observation.image.copy(), observation.reading
    if max(image.size) > MAX_SIDE:
        reading = "; ".join(filter(None, [reading, f"reduced from {image.width}x{image.height} px"]))
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    image.info = {
        "reading": reading,
        "doubts": [str(doubt) for doubt in observation.doubts],
        "frame": frame_of(observation),
        "size": list(observation.whole.size),
        "whole": picture_url(observation.whole) if observation.framed.image is not observation.whole else "",
    }
    return image


def describe(image: Image.Image, name: str, campaign: str | None = None) -> dict:
    """Return everything that the models predict for an image, as data for JSON, with the votes of a campaign."""
    about = {"image": name} | {key: image.info[key] for key in ("size", "reading", "doubts", "frame")}
    description = MODELS.get(campaign)(image)
    about["doubts"] = about["doubts"] + [str(doubt) for doubt in class_doubts(description["uncertain"])]
    return about | description | {"models": versions()}


def campaigns() -> tuple[list[str], str]:
    """Return the campaigns of the classifier, none if it was trained without votes, and that which is shown first."""
    describer = MODELS.get()
    return list(describer.classifier.trees) if describer.classifier.config.predict_votes else [], describer.tree.name


def tree(campaign: str | None = None) -> tuple[DecisionTree, bool]:
    """Return the decision tree whose answers are shown, and whether the classifier has others too."""
    describer = MODELS.get(campaign)
    return describer.tree, len(describer.classifier.trees) > 1


def targets() -> list[tuple[str, str]]:
    """Return the targets of heat maps: text for the picker, and name for :func:`galaxy_vision.inference.explain`."""
    config = MODELS.get().classifier.config
    choices = [(f"class: {label}", label) for label in config.id2label.values()]
    return choices + [(f"answer: {words}", name) for name, words in answer_targets(config).items()]


def heat_map(image: Image.Image, target: str, method: str, campaign: str | None = None) -> np.ndarray:
    """Return the evidence for a class or an answer as an (H, W) map in [0, 1]; empty for the class of a campaign."""
    describer = MODELS.get(campaign)
    models = describer.classifier, describer.image_processor
    return explain(*models, image, target or None, method, campaign=describer.campaign)


def overlay_png(image: Image.Image, heat: np.ndarray, opacity: float) -> bytes:
    """Return the image under its heat map as PNG bytes."""
    file = io.BytesIO()
    overlay(image, heat, opacity).save(file, "png")
    return file.getvalue()


def maps_of_words(image: Image.Image, campaign: str | None = None) -> WordMaps:
    """Return the words of the caption of a campaign, and the evidence for what each of them claims."""
    return word_maps(MODELS.get(campaign), image)


def claims_as_json(maps: WordMaps) -> list[dict]:
    """Return the claims of a caption as data: words, source, and size and place (px) of the strongest evidence."""
    claims: dict[str, dict] = {}
    for word, heat, concept, source in zip(maps.words, maps.maps, maps.concepts, maps.sources, strict=True):
        if concept is None:
            continue
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        peak = {"x": int(x), "y": int(y)} if heat.any() else None
        row = {"claim": concept, "words": [], "evidence": source, "nats": float(heat.max()) * maps.scale, "peak": peak}
        claims.setdefault(concept, row)["words"].append(word)
    return list(claims.values())


def picture_url(image: Image.Image, side: int = SHOWN_SIDE) -> str:
    """Return the image as a data URL, so that it needs no file on the server."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _data_url(small, "jpeg", quality=90)


def heat_url(heat: np.ndarray, side: int = 256) -> str:
    """Return a heat map as the data URL of a layer whose colour and opacity follow the heat.

    Args:
        heat: (H, W) in [0, 1].
        side: largest side of the layer in pixels.
    """
    layer = Image.fromarray(np.rint(255 * heat).astype(np.uint8))
    scale = min(1.0, side / max(layer.size))
    size = max(1, round(layer.width * scale)), max(1, round(layer.height * scale))
    layer = layer.resize(size, Image.Resampling.BILINEAR)
    colours = (255 * matplotlib.colormaps[COLORMAP](np.asarray(layer))).astype(np.uint8)
    colours[..., 3] = np.asarray(layer)
    return _data_url(Image.fromarray(colours), "webp", quality=85)


def _data_url(image: Image.Image, kind: str, **options) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def download_stem(name: str) -> str:
    """Return the stem of the names of downloads about this image."""
    return image_id(name)[:60] or "galaxy"


def as_json(description: dict) -> str:
    return json.dumps(description, indent=1)
