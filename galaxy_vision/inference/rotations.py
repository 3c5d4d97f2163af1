"""Average predictions over turned and mirrored images, since the orientation of a galaxy has no meaning."""

import torch

from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput
from ..models.trees import Trees
from .answer_names import question_slices
from .own_answers import mean_of_views

ROTATIONS = (1, 4, 8)
"""Numbers of views: the image; its four quarter turns; these and their mirror images. None needs interpolation."""


def check_rotations(rotations: int) -> None:
    """Check that a number of views is one of :data:`ROTATIONS`; raise ValueError otherwise."""
    if rotations not in ROTATIONS:
        raise ValueError(f"rotations={rotations} is not one of {', '.join(map(str, ROTATIONS))}")


def turned(pixel_values: torch.Tensor, rotations: int) -> torch.Tensor:
    """Return the views of images (B, C, H, H), one after the other: (rotations * B, C, H, H), channels last.

    Raises:
        ValueError: ``rotations`` is not one of :data:`ROTATIONS`.
    """
    check_rotations(rotations)
    mirrored = [pixel_values, pixel_values.flip(-1)][: max(rotations // 4, 1)]
    turns = range(min(rotations, 4))
    views = torch.cat([torch.rot90(view, turn, (-2, -1)) for view in mirrored for turn in turns])
    return views.contiguous(memory_format=torch.channels_last)


def classify(model, pixel_values: torch.Tensor, rotations: int = 1) -> GalaxyClassifierOutput:
    """Average the outputs of a classifier over turned and mirrored images (Dieleman et al. 2015, section 7.2).

    Class probabilities and expected vote fractions are arithmetic means. The certainty of a question, which is the sum
    of its concentrations, is a geometric mean. Several labels and numbers: :func:`~.own_answers.mean_of_views`.

    Args:
        model: :class:`~galaxy_vision.GalaxyResNetForImageClassification`, of any trees.
        pixel_values: (B, C, H, H), square.
        rotations: one of :data:`ROTATIONS`; the time is proportional to it.

    Returns:
        Outputs (B, ...) as of the model, without loss.

    Raises:
        ValueError: ``rotations`` is not one of :data:`ROTATIONS`.
    """
    check_rotations(rotations)
    if rotations == 1:
        return model(pixel_values=pixel_values)
    outputs = model(pixel_values=turned(pixel_values, rotations))
    if (means := mean_of_views(model, outputs, rotations)) is not None:
        logits, errors = means
    else:
        logits, errors = outputs.logits.float().log_softmax(-1).unflatten(0, (rotations, -1)).logsumexp(0), None
        logits = logits - logits.logsumexp(-1, keepdim=True)
    concentration = None
    if outputs.vote_concentration is not None:
        views = outputs.vote_concentration.float().unflatten(0, (rotations, -1))  # (R, B, answers)
        trees = getattr(getattr(model, "module", model), "trees", Trees())  # module: of several processes
        means = []
        for answers in question_slices(trees):
            certainty = views[..., answers].sum(-1, keepdim=True)
            means.append((views[..., answers] / certainty).mean(0) * certainty.log().mean(0).exp())
        concentration = torch.cat(means, -1)
    return GalaxyClassifierOutput(logits=logits, vote_concentration=concentration, label_errors=errors)
