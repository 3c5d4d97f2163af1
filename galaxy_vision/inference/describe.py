"""Describe a galaxy image by a classifier and a captioner: class, votes and caption as plain data."""

import torch
from PIL import Image

from ..models.decision_tree import QUESTIONS, SHORT_NAMES
from ..runtime.shipped import CAPTIONER, CLASSIFIER
from .loading import load_captioner, load_classifier
from .rotations import check_rotations, classify

NUM_ANSWERS_SHOWN = 5
MIN_REACH = 0.5
"""Least reach of answers that are shown. Ours: at least half of the volunteers would be asked the question."""
NO_CAPTION = "(the captioner wrote no known word)"
"""Text that is shown for an empty caption; in data it stays empty."""


class Describer:
    """A classifier and a captioner, loaded once.

    Args:
        model: folder or Hub id of a trained classifier, or that which comes with the package.
        captioner: folder or Hub id of a trained captioner, or that which comes with the package.
        rotations: as for :func:`~galaxy_vision.inference.rotations.classify`.

    Raises:
        OSError: a folder or model does not exist.
        ValueError: a model is damaged or not of galaxy_vision, or ``rotations`` is not allowed.
    """

    def __init__(self, model: str = CLASSIFIER, captioner: str = CAPTIONER, rotations: int = 1):
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
