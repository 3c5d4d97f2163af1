"""Other maps of evidence, with which word_maps.py compares the one that is shown."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from galaxy_vision.inference.evidence import BATCH, Scores


def stage_module(backbone: nn.Module, stage: int) -> nn.Module:
    """Return the module of a timm backbone whose output are the maps of a stage, 1 to 4 (stride 4, 8, 16, 32).

    Raises:
        ValueError: the backbone has no maps of this stride.
    """
    stride = 2 ** (stage + 1)
    found = [info["module"] for info in backbone.feature_info if info["reduction"] == stride]
    if not found:
        strides = ", ".join(str(info["reduction"]) for info in backbone.feature_info)
        raise ValueError(f"stage={stage} has the stride {stride}, and the maps of this backbone {strides}; use these")
    return backbone.get_submodule(found[-1])


def gradient_maps(
    scores: Scores, backbone: nn.Module, stages: Sequence[int], pixels: torch.Tensor
) -> list[torch.Tensor]:
    """Return maps of activation times gradient, summed over channels, with their sign (HiRes-CAM before its ReLU).

    Draelos & Carin 2020, arXiv:2011.08891. The sum of a map is the score itself where everything behind the stage is
    linear.

    Args:
        scores: of a model that contains ``backbone``, in evaluation mode.
        backbone: a timm network.
        stages: see :func:`stage_module`.
        pixels: (B, C, S, S).

    Returns:
        For each stage (K, B, h, w): of each score and image.
    """
    kept: dict[int, torch.Tensor] = {}

    def keep(stage: int):
        def hook(module, inputs, output):
            kept[stage] = output if output.requires_grad else output.requires_grad_()

        return hook

    handles = [stage_module(backbone, stage).register_forward_hook(keep(stage)) for stage in stages]
    try:
        with torch.enable_grad():
            values = scores(pixels.detach().requires_grad_())
            maps = [kept[stage] for stage in stages]
            gradients = [
                torch.autograd.grad(value.sum(), maps, retain_graph=True, allow_unused=True)
                for value in values.unbind(1)
            ]
    finally:
        for handle in handles:
            handle.remove()
    products = [
        [torch.zeros_like(one[:, 0]) if gradient is None else (one * gradient).sum(1) for one, gradient in pairs]
        for pairs in (list(zip(maps, row, strict=True)) for row in gradients)
    ]
    return [torch.stack(of_stage).detach() for of_stage in zip(*products, strict=True)]


def views_of(
    pixels: torch.Tensor, count: int, stride: int
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Return up to 8 rotated and mirrored copies of one image, shifted within a place of a grid, and the way back.

    The grid of a stage lies in a different way on every copy, so that a mean over them is finer than the grid and
    without its orientation.

    Args:
        pixels: (1, C, S, S).
        count: 1 to 8 copies.
        stride: width of a place in pixels.

    Returns:
        (count, C, S, S), and a function from maps on them, (K, count, h, w), to their mean on the image, (K, S, S).
    """
    size = pixels.shape[-1]
    steps = [(0, 0)] + [((3 * i) % 8 - 4, (5 * i) % 8 - 4) for i in range(1, count)]
    shifts = [(round(dy * stride / 8), round(dx * stride / 8)) for dy, dx in steps]

    def view(one: torch.Tensor, index: int) -> torch.Tensor:
        return _shifted(_turned(one, index), *shifts[index])

    def back(maps: torch.Tensor) -> torch.Tensor:
        fine = F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
        total = torch.zeros_like(fine[:, 0])
        for index in range(count):
            dy, dx = shifts[index]
            total += _turned_back(_shifted(fine[:, index], -dy, -dx), index)
        return total / count

    return torch.cat([view(pixels, index) for index in range(count)]), back


def _shifted(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Move images (..., S, S) by whole pixels; the edge is repeated."""
    size = images.shape[-1]
    rows = (torch.arange(size, device=images.device) - down).clamp(0, size - 1)
    columns = (torch.arange(size, device=images.device) - right).clamp(0, size - 1)
    return images[..., rows, :][..., columns]


def _turned(images: torch.Tensor, index: int) -> torch.Tensor:
    """Return one of the eight turned and mirrored copies of images (..., S, S)."""
    return torch.rot90(images.flip(-1) if index % 8 >= 4 else images, index % 4, (-2, -1))


def _turned_back(images: torch.Tensor, index: int) -> torch.Tensor:
    turned = torch.rot90(images, -(index % 4), (-2, -1))
    return turned.flip(-1) if index % 8 >= 4 else turned


def sky_of(pixels: torch.Tensor) -> torch.Tensor:
    """Return the sky of images (B, C, S, S), the median of their outermost pixels: (B, C, 1, 1)."""
    edge = [pixels[..., 0, :], pixels[..., -1, :], pixels[..., :, 0], pixels[..., :, -1]]
    return torch.cat(edge, -1).median(-1).values[..., None, None]


def occlusion_maps(
    scores: Scores, pixels: torch.Tensor, filling: torch.Tensor, side: int = 16, width: float = 2.0
) -> torch.Tensor:
    """Return how much each score falls where a soft patch of the image is replaced, in nats.

    Zeiler & Fergus 2014, ECCV, with a Gaussian patch, since a square has edges that a network sees.

    Args:
        scores: of a model in evaluation mode.
        pixels: (1, C, S, S).
        filling: (1, C, S, S) or smaller by broadcasting, what stands in place of the image, such as :func:`sky_of`.
        side: patches in a row and in a column.
        width: full width at half maximum of a patch, of the distance of two.

    Returns:
        (K, side, side), positive where the part speaks for the score.
    """
    size = pixels.shape[-1]
    centres = (torch.arange(side, dtype=pixels.dtype, device=pixels.device) + 0.5) * size / side - 0.5
    x = torch.arange(size, dtype=pixels.dtype, device=pixels.device)
    sigma = width * size / side / 2.355
    along = torch.exp(-((x - centres[:, None]) ** 2) / (2 * sigma**2))  # (side, S)
    with torch.no_grad():
        falls = [scores(pixels) - scores(batch) for batch in _occluded(pixels, filling, along)]
    return torch.cat(falls).T.reshape(-1, side, side)


def _occluded(pixels: torch.Tensor, filling: torch.Tensor, along: torch.Tensor) -> Iterator[torch.Tensor]:
    masks = (along[:, None, :, None] * along[None, :, None, :]).flatten(0, 1)  # (side * side, S, S)
    for batch in masks[:, None].split(BATCH):
        yield pixels + batch * (filling - pixels)
