"""One galaxy image -> what the models say about it, as plain data."""

import torch
from PIL import Image
from transformers import AutoModelForImageClassification, AutoModelForImageTextToText, AutoProcessor

from .decision_tree import QUESTION_SLICES, QUESTIONS, SHORT_NAMES
from .image_processing_galaxy import GalaxyImageProcessor
from .images import read_file, read_rgb

MAX_NEW_TOKENS = 48
NUM_ANSWERS_SHOWN = 5
MIN_REACH = 0.5
"""An answer is shown if at least half of the volunteers would be asked its question."""


class Describer:
    """A classifier and a captioner, loaded once.

    Args:
        model: folder or Hub id of a trained classifier.
        captioner: folder or Hub id of a trained captioner.

    Raises:
        OSError: there is no such folder or model.
    """

    def __init__(self, model: str, captioner: str):
        # Our own classes are registered, so the code that a folder carries is never run.
        self.classifier = AutoModelForImageClassification.from_pretrained(model, trust_remote_code=False).eval()
        self.image_processor = GalaxyImageProcessor.from_pretrained(model)
        self.captioner = AutoModelForImageTextToText.from_pretrained(captioner, trust_remote_code=False).eval()
        self.processor = AutoProcessor.from_pretrained(captioner, trust_remote_code=False)

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> dict:
        """Class and its probability, all class probabilities, caption, and the answers that volunteers would most surely give.

        ``answers`` have ``question``, ``answer``, ``fraction`` (of those asked), the 90 % interval ``lower`` and ``upper``, and
        ``reach``; the surest first, by ``lower``. Empty if the classifier was trained without votes.
        """
        outputs = self.classifier(**self.image_processor(image, return_tensors="pt"))
        probabilities = outputs.logits.float().softmax(-1)[0].tolist()
        labels = self.classifier.config.id2label
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        generated = self.captioner.generate(pixel_values=self.processor(image)["pixel_values"], max_new_tokens=MAX_NEW_TOKENS)
        return {
            "class": labels[best],
            "probability": probabilities[best],
            "probabilities": {labels[index]: value for index, value in enumerate(probabilities)},
            "caption": self.processor.batch_decode(generated)[0],
            "answers": self._surest_answers(outputs),
        }

    def _surest_answers(self, outputs) -> list[dict]:
        if outputs.vote_concentration is None:
            return []
        votes = self.classifier.predict_fractions(outputs)
        answers = []
        for question in QUESTIONS:
            places = QUESTION_SLICES[question.stem]
            place = places.start + int(votes.conditional[0, places].argmax())
            if votes.reach[0, place] >= MIN_REACH:
                values = {"fraction": votes.conditional, "lower": votes.lower, "upper": votes.upper, "reach": votes.reach}
                numbers = {name: float(value[0, place]) for name, value in values.items()}
                answers.append({"question": question.text, "answer": SHORT_NAMES[place]} | numbers)
        return sorted(answers, key=lambda answer: -answer["lower"])[:NUM_ANSWERS_SHOWN]


def describe_file(describer: Describer, path: str, **reading) -> dict:
    """As :class:`Describer`, for a file of any kind that :func:`read_rgb` takes, with its options; one that cannot be read gives
    ``image`` and ``error``."""
    try:
        return {"image": path} | describer(read_rgb(read_file(path), **reading))
    except ValueError as error:
        return {"image": path, "error": str(error)}
