"""Describe a galaxy image by a classifier and a captioner: class, votes and caption as plain data."""

import copy
from typing import NamedTuple

import torch
from PIL import Image

from ..models.decision_tree import GALAXY_ZOO_2
from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput
from ..models.tree import DecisionTree
from ..runtime.shipped import CAPTIONER, CLASSIFIER
from .answer_names import answer_names, question_text
from .captioning import votes_to_say
from .classes import class_probabilities
from .loading import load_captioner, load_classifier
from .own_answers import own_answers
from .rotations import check_rotations, classify

NUM_ANSWERS_SHOWN = 5
MIN_REACH = 0.5
"""Least reach of answers that are shown. Ours: at least half of the volunteers would be asked the question."""
NO_CAPTION = "(the captioner wrote no known word)"
"""Text that is shown for an empty caption; in data it stays empty."""


class Read(NamedTuple):
    """What the models return for one image, so that each of them runs once for all that is made of it.

    Attributes:
        outputs: of the classifier.
        sequence: (1, 1 + T) the start token and the caption, as ``generate`` returns them.
    """

    outputs: GalaxyClassifierOutput
    sequence: torch.Tensor


class Describer:
    """A classifier and a captioner, loaded once.

    Args:
        model: folder or Hub id of a trained classifier, or that which comes with the package.
        captioner: folder or Hub id of a trained captioner, or that which comes with the package.
        rotations: as for :func:`~galaxy_vision.inference.rotations.classify`.
        campaign: that of the classifier's trees whose answers are given; None for the first.

    Raises:
        OSError: a folder or model does not exist.
        ValueError: a model is damaged or not of galaxy_vision, ``rotations`` is not allowed, or the classifier does
            not have the campaign.
    """

    campaign: str | None = None

    def __init__(
        self,
        model: str = CLASSIFIER,
        captioner: str = CAPTIONER,
        rotations: int = 1,
        campaign: str | None = None,
    ):
        check_rotations(rotations)
        self.rotations = rotations
        self.classifier, self.image_processor = load_classifier(model, any_task=True)
        self.captioner, self.processor = load_captioner(captioner)
        self.choose(campaign)

    def choose(self, campaign: str | None) -> None:
        """Take the answers of another campaign; None for the first.

        Raises:
            ValueError: the classifier does not have it, or was trained without votes.
        """
        if campaign is not None and not self.classifier.config.predict_votes:
            raise ValueError(f"campaign={campaign!r} has no meaning for a model without votes; leave it out")
        self.classifier.trees.named(campaign)
        self.campaign = campaign

    def of(self, campaign: str | None) -> "Describer":
        """Return a describer with the same models that takes the answers of another campaign; None for the same one.

        Raises:
            ValueError: as for :meth:`choose`.
        """
        other = copy.copy(self)
        if campaign is not None:
            other.choose(campaign)
        return other

    @property
    def caption_campaign(self) -> str | None:
        """The campaign whose votes the caption says, that of :attr:`tree` where the captioner reads them, else None.

        A captioner that sees the image alone says what the volunteers of its own training rows would.
        """
        reads = self.classifier.config.predict_votes and self.captioner.reads(self.tree)
        return self.tree.name if reads else None

    @property
    def tree(self) -> DecisionTree:
        """The decision tree whose answers are given."""
        return self.classifier.trees.named(self.campaign)

    def __call__(self, image: Image.Image) -> dict:
        """Describe an image, see :meth:`describe`."""
        return self.describe(self.read(image))

    @torch.inference_mode()
    def read(self, image: Image.Image, max_new_tokens: int | None = None) -> Read:
        """Run both models on an image.

        Args:
            image: RGB.
            max_new_tokens: maximum of words of the caption; None for that of the captioner.
        """
        outputs = self._classified(image)
        length = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        pixels = self.processor(image)["pixel_values"].to(self.captioner.device)
        return Read(outputs, self.captioner.generate(pixel_values=pixels, **length, **self._told(outputs)))

    @torch.inference_mode()
    def describe(self, read: Read) -> dict:
        """Put what :meth:`read` returned into data.

        Returns:
            ``class``, its ``probability``, the ``probabilities`` of all classes, ``uncertain``, ``caption``,
            ``campaign``, ``answers`` and ``votes``. Classes are those that follow from the votes, and ``uncertain`` is
            the probability that the galaxy has none of them, see :mod:`galaxy_vision.inference.classes`; it is None
            where the class head decides. ``answers`` are those that volunteers of the campaign would most certainly
            give, with ``question``, ``answer``, ``fraction`` (of those asked), the 90 % interval ``lower`` and
            ``upper``, and ``reach``, sorted by ``lower``. ``votes`` has the same four numbers for all answers by their
            name, see :func:`~galaxy_vision.inference.answer_names.answer_names`. Both are empty, and ``campaign`` is
            None, if the classifier was trained without votes. ``caption_campaign`` is whose votes the caption says,
            None if it does not follow the classifier's.
        """
        votes = self._votes(read.outputs)
        return (own_answers(self.classifier, read.outputs) or self._class(read.outputs)) | {
            "caption": self.processor.batch_decode(read.sequence)[0],
            "caption_campaign": self.caption_campaign,
            "campaign": self.tree.name if votes else None,
            "answers": surest_answers(votes, self.tree),
            "votes": votes,
        }

    def _class(self, outputs: GalaxyClassifierOutput) -> dict:
        classes = class_probabilities(self.classifier, outputs, self.campaign)
        probabilities = classes.probabilities[0].tolist()
        labels = self.classifier.config.id2label
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return {
            "class": labels[best],
            "probability": probabilities[best],
            "probabilities": {labels[index]: value for index, value in enumerate(probabilities)},
            "uncertain": None if classes.uncertain is None else classes.uncertain[0].item(),
        }

    def _classified(self, image: Image.Image) -> GalaxyClassifierOutput:
        pixels = self.image_processor(image, return_tensors="pt")["pixel_values"]
        return classify(self.classifier, pixels, self.rotations)

    def _told(self, outputs: GalaxyClassifierOutput) -> dict:
        return votes_to_say(self.captioner, self.classifier, outputs, self.campaign)

    def _votes(self, outputs) -> dict[str, dict[str, float]]:
        if outputs.vote_concentration is None:
            return {}
        votes = self.classifier.predict_fractions(outputs, self.campaign)
        values = {"fraction": votes.conditional, "lower": votes.lower, "upper": votes.upper, "reach": votes.reach}
        return {
            answer: {name: float(value[0, index]) for name, value in values.items()}
            for index, answer in enumerate(answer_names(self.tree))
        }


def surest_answers(votes: dict[str, dict[str, float]], tree: DecisionTree = GALAXY_ZOO_2) -> list[dict]:
    """Return the most frequent answer of each question that is reached, sorted by the lower limit of its fraction."""
    answers, names = [], answer_names(tree)
    for question in tree.questions if votes else ():
        best = max(names[tree.slices[question.name]], key=lambda answer: votes[answer]["fraction"])
        if votes[best]["reach"] >= MIN_REACH:
            answers.append({"question": question_text(tree, question), "answer": best} | votes[best])
    return sorted(answers, key=lambda answer: -answer["lower"])[:NUM_ANSWERS_SHOWN]
