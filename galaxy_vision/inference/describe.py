"""Describe a galaxy image by a classifier and a captioner: class, votes and caption as plain data."""

import glob
import os
from collections.abc import Sequence

import torch
from PIL import Image

from ..images.decode import read_bands, read_rgb
from ..images.likeness import doubts
from ..models.decision_tree import QUESTIONS, SHORT_NAMES
from .loading import load_captioner, load_classifier
from .rotations import check_rotations, classify

COLLECTIONS = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tgz", ".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
NUM_ANSWERS_SHOWN = 5
MIN_REACH = 0.5
"""Least reach of answers that are shown. Ours: at least half of the volunteers would be asked the question."""
NO_CAPTION = "(the captioner wrote no known word)"
"""Text that is shown for an empty caption; in data it stays empty."""


class Describer:
    """A classifier and a captioner, loaded once.

    Args:
        model: folder or Hub id of a trained classifier.
        captioner: folder or Hub id of a trained captioner.
        rotations: as for :func:`~galaxy_vision.inference.rotations.classify`.

    Raises:
        OSError: a folder or model does not exist.
        ValueError: a model is damaged or not of galaxy_vision, or ``rotations`` is not allowed.
    """

    def __init__(self, model: str, captioner: str, rotations: int = 1):
        check_rotations(rotations)
        self.rotations = rotations
        self.classifier, self.image_processor = load_classifier(model)
        self.captioner, self.processor = load_captioner(captioner)

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> dict:
        """Describe an image.

        Returns:
            ``class``, its ``probability``, the ``probabilities`` of all classes, ``caption``, ``answers`` and
            ``votes``. ``answers`` are those that volunteers would most certainly give, with ``question``, ``answer``,
            ``fraction`` (of those asked), the 90 % interval ``lower`` and ``upper``, and ``reach``, sorted by
            ``lower``. ``votes`` has the same four numbers for all 37 answers by short name. Both are empty if the
            classifier was trained without votes.
        """
        pixels = self.image_processor(image, return_tensors="pt")["pixel_values"]
        outputs = classify(self.classifier, pixels, self.rotations)
        probabilities = outputs.logits.float().softmax(-1)[0].tolist()
        labels = self.classifier.config.id2label
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        generated = self.captioner.generate(pixel_values=self.processor(image)["pixel_values"])
        votes = self._votes(outputs)
        return {
            "class": labels[best],
            "probability": probabilities[best],
            "probabilities": {labels[index]: value for index, value in enumerate(probabilities)},
            "caption": self.processor.batch_decode(generated)[0],
            "answers": surest_answers(votes),
            "votes": votes,
        }

    def _votes(self, outputs) -> dict[str, dict[str, float]]:
        if outputs.vote_concentration is None:
            return {}
        votes = self.classifier.predict_fractions(outputs)
        values = {"fraction": votes.conditional, "lower": votes.lower, "upper": votes.upper, "reach": votes.reach}
        return {
            answer: {name: float(value[0, index]) for name, value in values.items()}
            for index, answer in enumerate(SHORT_NAMES)
        }


def surest_answers(votes: dict[str, dict[str, float]]) -> list[dict]:
    """Return the most frequent answer of each question that is reached, sorted by the lower limit of its fraction."""
    answers = []
    for question in QUESTIONS if votes else ():
        best = max(question.answers, key=lambda answer: votes[answer]["fraction"])
        if votes[best]["reach"] >= MIN_REACH:
            answers.append({"question": question.text, "answer": best} | votes[best])
    return sorted(answers, key=lambda answer: -answer["lower"])[:NUM_ANSWERS_SHOWN]


def named_images(images: Sequence[str], rgb: Sequence[str] | None = None) -> list[str | tuple[str, ...]]:
    """What :func:`read_named` takes, of arguments of a command line.

    A pattern such as ``*.fits`` that no shell has expanded stands for the files that it fits, as in a shell.

    Args:
        images: paths and patterns.
        rgb: three paths that are one more image.
    """
    named = []
    for image in images:
        is_pattern = glob.has_magic(image) and "://" not in image and not os.path.exists(image)
        named += sorted(glob.glob(image, recursive=True)) or [image] if is_pattern else [image]
    return [*named, tuple(rgb)] if rgb else named


def file_names(image: str | Sequence[str]) -> tuple[str, ...]:
    """The paths of an image of one file, or of three."""
    return (image,) if isinstance(image, str) else tuple(image)


def read_named(image: str | Sequence[str], **reading) -> Image.Image:
    """The RGB image of a file of any kind that :func:`~galaxy_vision.read_rgb` takes, with its options.

    Args:
        image: a path; or three, of the red, green and blue band, as :func:`~galaxy_vision.read_bands` takes them.
        reading: options of either.

    Raises:
        ValueError: one sentence: it cannot be read, or it is an address, a folder or a pattern, and no file.
    """
    if isinstance(image, str):
        _check_path(image)
        return read_rgb(image, **reading)
    for path in image:
        try:
            _check_path(path)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
    if reading.pop("bands", None) is not None:
        raise ValueError("bands are chosen from one file, and these are three files of one band each; leave bands out")
    return read_bands(*image, **reading)


def _check_path(path: str) -> None:
    if "://" in path:
        raise ValueError(
            "is an address, and nothing is fetched; download the image and give its file, or give a table or data set "
            "of the Hub to galaxy-vision predict --catalogue"
        )
    if not path or os.path.isdir(path):
        raise ValueError("is a folder; give image files, or the whole folder to galaxy-vision predict --catalogue")
    if glob.has_magic(path) and not os.path.exists(path):
        raise ValueError(
            "is a pattern that no file fits; give image files, or their folder to galaxy-vision predict --catalogue"
        )
    if path.lower().endswith(COLLECTIONS):
        raise ValueError("holds many images or their names; give it to galaxy-vision predict --catalogue")


def describe_file(describer: Describer, image: str | Sequence[str], **reading) -> dict:
    """Describe what :func:`read_named` takes.

    As :class:`Describer` does, with what was done to the pixels (``reading``) and why it may not be a galaxy
    (``doubts``); a file that cannot be read gives ``image`` and ``error``.
    """
    name = " ".join(file_names(image))
    try:
        rgb = read_named(image, **reading)
        return {"image": name, "reading": rgb.info["reading"], "doubts": doubts(rgb)} | describer(rgb)
    except ValueError as error:
        return {"image": name, "error": str(error)}
