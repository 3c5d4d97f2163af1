"""The mean of what a classifier says about an image, turned and mirrored: a galaxy has no up and no left."""

import torch

from ..models.decision_tree import QUESTION_SLICES
from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput

ROTATIONS = (1, 4, 8)
"""As it is; the four quarter turns; these and their mirror images. None of them needs a resampling."""


def check_rotations(rotations: int) -> None:
    """Raises ValueError where it is none of :data:`ROTATIONS`."""
    if rotations not in ROTATIONS:
        raise ValueError(f"rotations={rotations} is not one of {', '.join(map(str, ROTATIONS))}")


def classify(model, pixel_values: torch.Tensor, rotations: int = 1) -> GalaxyClassifierOutput:
    """Call a model on turned and mirrored images and average ("test-time augmentation"; Dieleman et al. 2015, 7.2).

    Class probabilities and expected vote fractions are arithmetic means, the certainty of a question (the sum of its
    concentrations) a geometric one.

    Args:
        model: :class:`~galaxy_vision.GalaxyResNetForImageClassification`.
        pixel_values: (B, C, H, H), square.
        rotations: one of :data:`ROTATIONS`; the cost grows with it.

    Returns:
        (B, ...) as of the model, without loss.

    Raises:
        ValueError: another number of rotations.
    """
    check_rotations(rotations)
    if rotations == 1:
        return model(pixel_values=pixel_values)
    seen = [pixel_values, pixel_values.flip(-1)][: rotations // 4]
    turned = torch.cat([torch.rot90(each, turns, (-2, -1)) for each in seen for turns in range(4)])
    outputs = model(pixel_values=turned.contiguous(memory_format=torch.channels_last))
    logits = outputs.logits.float().log_softmax(-1).unflatten(0, (rotations, -1)).logsumexp(0)
    concentration = None
    if outputs.vote_concentration is not None:
        each = outputs.vote_concentration.float().unflatten(0, (rotations, -1))  # (R, B, 37)
        merged = []
        for answers in QUESTION_SLICES.values():
            certainty = each[..., answers].sum(-1, keepdim=True)
            merged.append((each[..., answers] / certainty).mean(0) * certainty.log().mean(0).exp())
        concentration = torch.cat(merged, -1)
    return GalaxyClassifierOutput(logits=logits - logits.logsumexp(-1, keepdim=True), vote_concentration=concentration)
