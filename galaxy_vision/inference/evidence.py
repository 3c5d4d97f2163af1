"""Evidence: how much every part of an image raises a score, such as the log probability of a word, in nats.

For any differentiable score of pixels; ``benchmarks/word_maps.py`` compares it with other methods.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

Scores = Callable[[torch.Tensor], torch.Tensor]
"""Pixels (B, C, S, S) as models read them -> scores (B, K) in nats."""

STEPS = 8
"""Steps of integrated gradients. Ours: lab_notes.md, "Maps of words"."""
SMOOTHING = 1 / 12
"""Standard deviation of the Gaussian that takes the structure out of an image, of its side. Ours, likewise."""
PATCH = 1 / 16
"""Full width at half maximum of the patches under which evidence is summed, of the side of the image."""
BATCH = 64  # images of a pass through the model; ours, it bounds the memory


def blurred(pixels: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return images (B, C, S, S) smoothed by a Gaussian of ``sigma`` pixels; the edge is repeated."""
    reach = min(round(3 * sigma), pixels.shape[-1] - 1)
    x = torch.arange(-reach, reach + 1, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(pixels.shape[1], 1, -1)
    padded = F.pad(pixels, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel[..., None], groups=pixels.shape[1])
    return F.conv2d(rows, kernel[:, :, None], groups=pixels.shape[1])


def integrated_gradients(
    scores: Scores, pixels: torch.Tensor, filling: torch.Tensor, steps: int = STEPS
) -> torch.Tensor:
    """Return how much every pixel adds to each score on the straight way from a baseline to the image, in nats.

    Sundararajan et al. 2017, ICML. The sum over pixels is the score of the image minus that of the baseline, up to the
    error of ``steps``.

    Args:
        scores: of a model in evaluation mode.
        pixels: (1, C, S, S).
        filling: (1, C, S, S) or smaller by broadcasting, the baseline, such as :func:`blurred`.
        steps: gradients that are computed.

    Returns:
        (K, S, S).
    """
    difference = (pixels - filling).detach()
    shares = (torch.arange(steps, dtype=pixels.dtype, device=pixels.device) + 0.5) / steps
    way = filling + shares[:, None, None, None] * difference
    total = 0.0
    for first in range(0, steps, BATCH):
        batch = way[first : first + BATCH].detach().requires_grad_()
        with torch.enable_grad():
            values = scores(batch)
            rows = [torch.autograd.grad(value.sum(), batch, retain_graph=True)[0] for value in values.unbind(1)]
        total = total + torch.stack([row.sum(0) for row in rows])  # (K, C, S, S)
    return (total / steps * difference).sum(1)


def evidence(scores: Scores, pixels: torch.Tensor) -> torch.Tensor:
    """Return the maps that are shown: how much the detail of each part of the image adds to each score, in nats.

    :func:`integrated_gradients` from the smoothed image, in which there is light but no structure, summed under a soft
    patch as wide as a cell of a grid of 16 x 16. A value is thus about the fall of the score if this part of the image
    were smoothed.

    Args:
        scores: of a model in evaluation mode.
        pixels: (1, C, S, S).

    Returns:
        (K, S, S), positive where the image speaks for a score and negative where it speaks against it.
    """
    size = pixels.shape[-1]
    density = integrated_gradients(scores, pixels, blurred(pixels, SMOOTHING * size))
    sigma = PATCH * size / 2.355
    return blurred(density[None], sigma)[0] * 2 * torch.pi * sigma**2
