"""Random views of training images: turned, zoomed and shifted, and as other surveys would have taken them."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

BLUR_RADIUS = 4  # pixels of the kernel on each side of its middle, 2 sigma of the widest blur
MAX_BLUR = BLUR_RADIUS / 2


@dataclass(frozen=True)
class Augmentation:
    """How far the views of a galaxy differ from its image.

    Attributes:
        max_zoom: largest enlargement; its inverse is the smallest.
        max_shift: largest shift along each axis as a share of the side.
        max_blur: largest sigma of a Gaussian blur in pixels of the view, at most :data:`MAX_BLUR`; 0 for none.
        max_noise: largest standard deviation of Gaussian noise, the brightest level of a screen being 1.
        max_brightness: largest factor of the brightness; its inverse is the smallest.
        max_colour: largest factor of one colour against the others.
        grey_share: share of the views without colour, as of one band.
    """

    max_zoom: float = 1.15
    max_shift: float = 0.04
    max_blur: float = 0.0
    max_noise: float = 0.0
    max_brightness: float = 1.0
    max_colour: float = 1.0
    grey_share: float = 0.0

    @property
    def changes_light(self) -> bool:
        """Whether anything but the geometry differs."""
        return bool(self.max_blur or self.max_noise or self.grey_share) or max(self.max_brightness, self.max_colour) > 1


def augment(
    pixels: torch.Tensor,
    generator: torch.Generator,
    how: Augmentation = Augmentation(),
    size: int | None = None,
    mean: torch.Tensor | None = None,
    std: torch.Tensor | None = None,
) -> torch.Tensor:
    """Make one random view of each image of a batch.

    Args:
        pixels: (B, C, H, W) float, any device; more of the sky than the view shows, where ``size`` is less than H.
        generator: on the CPU, so that every device sees the same views.
        how: the limits of what is drawn.
        size: side of the view in pixels; None for that of the images.
        mean: (C,) that was subtracted from the pixels, whose levels then ran from 0 to 1; None for 0.
        std: (C,) by which they were then divided; None for 1.

    Returns:
        (B, C, size, size).
    """
    views = _turned(pixels, generator, how, size or pixels.shape[-1])
    if not how.changes_light:
        return views
    mean, std = (
        torch.full((pixels.shape[1],), default) if value is None else torch.as_tensor(value, dtype=pixels.dtype)
        for value, default in ((mean, 0.0), (std, 1.0))
    )
    mean, std = (value.to(pixels.device, non_blocking=True)[:, None, None] for value in (mean, std))
    return (_relit(views * std + mean, generator, how) - mean) / std


def _turned(pixels: torch.Tensor, generator: torch.Generator, how: Augmentation, size: int) -> torch.Tensor:
    """Rotate, mirror, zoom and shift in one resampling.

    The class of a galaxy does not depend on its orientation, nor, in these cut-outs, on its size.
    """
    count, height, width = len(pixels), *pixels.shape[-2:]
    angle, zoom, dx, dy = torch.rand(4, count, generator=generator)
    mirror = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1.0
    angle = angle * 2 * torch.pi
    scale = how.max_zoom ** (2 * zoom - 1)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    shift_x, shift_y = (2 * how.max_shift * (2 * share - 1) for share in (dx, dy))
    matrix = torch.stack([cosine * mirror, sine * mirror, -sine, cosine, shift_x, shift_y], 1)
    if size != width:
        matrix = matrix * (size / width)
    matrix = matrix.to(pixels.device, non_blocking=True).view(count, 1, 1, 6)
    from_x, from_y, shift = matrix.split(2, -1)  # (B, 1, 1, 2) each
    # F.affine_grid makes the same grid by a matrix product for every pixel, which takes longer than the sampling.
    sides = (width, height) if size == width else (size, size)
    x, y = (((2 * torch.arange(n, device=pixels.device) + 1) / n - 1)[:, None] for n in sides)  # middles of pixels
    grid = from_x * x + (from_y * y[:, None] + shift)  # (B, size, size, 2)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _relit(views: torch.Tensor, generator: torch.Generator, how: Augmentation) -> torch.Tensor:
    """Blur, colour, brighten and add noise to views whose levels run from 0 to 1, in the order of light on its way."""
    count, channels, device = len(views), views.shape[1], views.device

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    if how.max_blur:
        views = _blurred(views, drawn(count) * how.max_blur)
    if how.grey_share:
        is_grey = (drawn(count) < how.grey_share).to(device)[:, None, None, None]
        views = torch.where(is_grey, views.mean(1, keepdim=True), views)
    factors = how.max_brightness ** (2 * drawn(count, 1) - 1) * how.max_colour ** (2 * drawn(count, channels) - 1)
    views = views * factors.to(device, non_blocking=True)[:, :, None, None]
    if how.max_noise:
        noise = torch.randn(views.shape, generator=generator) * (drawn(count) * how.max_noise)[:, None, None, None]
        views = views + noise.to(device, non_blocking=True)
    return views.clamp(0, 1)


def _blurred(views: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Blur each view by a Gaussian of its own sigma (px)."""
    count, channels, height, width = views.shape
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1)
    kernels = torch.exp(-0.5 * (offsets / sigmas[:, None].clamp_min(1e-3)) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(views.device, views.dtype)
    kernels = kernels.repeat_interleave(channels, 0)[:, None]  # (B * C, 1, K)
    planes = F.pad(views, [BLUR_RADIUS] * 4, mode="replicate").reshape(
        1, count * channels, height + 2 * BLUR_RADIUS, width + 2 * BLUR_RADIUS
    )
    planes = F.conv2d(planes, kernels[:, :, None], groups=count * channels)
    return F.conv2d(planes, kernels[..., None], groups=count * channels).reshape(views.shape)
