"""What the demo does with images, without gradio: load the models when first needed, and return plain data."""

import json
import os
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pictures import heat_url, picture_url
from PIL import Image

import galaxy_vision
from galaxy_vision.captions.reading import claims_of_words
from galaxy_vision.images.framing import parse_frame
from galaxy_vision.images.limits import (
    FITS_SUFFIXES,
    IMAGE_SUFFIXES,
    image_id,
)
from galaxy_vision.images.observation import observe
from galaxy_vision.inference.classes import class_doubts
from galaxy_vision.inference.describe import Describer
from galaxy_vision.inference.explain import DEFAULT_METHOD, explain
from galaxy_vision.inference.explain_targets import answer_targets
from galaxy_vision.inference.named_images import frame_of
from galaxy_vision.inference.own_answers import predicts_numbers
from galaxy_vision.inference.word_maps import WordMaps, word_maps
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.runtime.shipped import CAPTIONER, CLASSIFIER, model_source

HERE = Path(__file__).resolve().parent
# Limits are ours: for a Space with two CPU cores that many visitors share.
MAX_SIDE = 1024  # px; larger images are reduced first, so that page, API and downloads show the same pixels
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
        given), ``whole``, that image as a data URL, empty if the models see all of it, and ``pixel_scale``, arcsec in
        a pixel of it or None.

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
        "pixel_scale": observation.whole.info.get("pixel_scale"),
    }
    return image


class Word(NamedTuple):
    """A word of a caption, or punctuation.

    Attributes:
        text: as it is written.
        concept: what it claims, such as ``"bar"``; None if nothing.
        is_hedged: the claim is hedged, as in "possibly a bar".
        source: of its evidence, see :class:`~galaxy_vision.inference.word_maps.WordMaps`.
        layer: its evidence as the data URL of a layer over the image; empty where it claims nothing.
    """

    text: str
    concept: str | None
    is_hedged: bool
    source: str | None
    layer: str


class Look(NamedTuple):
    """Everything that the models say of an image, of one run of each, in a form that may be kept.

    Attributes:
        image: what they were shown, as :func:`read_image` returns it.
        description: what :func:`describe` returns.
        words: of the caption.
        scale: nats at the end of the scale of the words' layers.
        claims: what :func:`claims_as_json` returns.
        layer: evidence for the class by the default method, as the data URL of a layer; empty where there is none.
    """

    image: Image.Image
    description: dict
    words: list[Word]
    scale: float
    claims: list[dict]
    layer: str


def look(image: Image.Image, name: str, campaign: str | None = None) -> Look:
    """Look at an image once, with the votes of a campaign."""
    describer = MODELS.get(campaign)
    read = describer.read(image)
    description = _about(image, name) | describer.describe(read) | {"models": versions()}
    _add_class_doubts(description)
    maps = word_maps(describer, image, read=read)
    heat = heat_map(image, description["class"], DEFAULT_METHOD)
    layer = heat_url(heat) if heat.any() else ""
    return Look(image, description, _words(maps, describer.tree), maps.scale, claims_as_json(maps), layer)


def _words(maps: WordMaps, tree: DecisionTree) -> list[Word]:
    claims, layers, words = claims_of_words(maps.words, tree), {}, []
    for text, claim, concept, source, heat in zip(
        maps.words, claims, maps.concepts, maps.sources, maps.maps, strict=True
    ):
        if concept is not None and concept not in layers:  # words of one claim share a map
            layers[concept] = heat_url(heat)
        is_hedged = claim is not None and claim.hedged
        words.append(Word(text, concept, is_hedged, source, layers.get(concept, "")))
    return words


def describe(image: Image.Image, name: str, campaign: str | None = None) -> dict:
    """Return everything that the models predict for an image, as data for JSON, with the votes of a campaign."""
    description = _about(image, name) | MODELS.get(campaign)(image) | {"models": versions()}
    _add_class_doubts(description)
    return description


def _about(image: Image.Image, name: str) -> dict:
    return {"image": name} | {key: image.info[key] for key in ("size", "reading", "doubts", "frame")}


def _add_class_doubts(description: dict) -> None:
    doubts = [str(doubt) for doubt in class_doubts(description["uncertain"])]
    description["doubts"] = description["doubts"] + doubts


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


def crop_fraction() -> float:
    """Return the side of the middle of a frame that the classifier reads, of its shorter side."""
    return MODELS.get().image_processor.crop_fraction


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


def download_stem(name: str) -> str:
    """Return the stem of the names of downloads about this image."""
    return image_id(name)[:60] or "galaxy"


def as_json(description: dict) -> str:
    return json.dumps(description, indent=1)
