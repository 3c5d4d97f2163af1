"""The only deterministic preprocessing: central crop, resize, rescale, normalise."""

import math

import torch
from torchvision.transforms.v2 import functional as F
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import ImagesKwargs

MAX_SIZE = 4096
"""Largest side of what the model reads, so that a wrong file cannot ask for more memory than there is."""


class GalaxyImageProcessorKwargs(ImagesKwargs, total=False):
    """
    crop_fraction (`float`): side of the central square that is kept, as a share of the shorter side of the image.
    """

    crop_fraction: float


class GalaxyImageProcessor(TorchvisionBackend):
    """Galaxy image -> ``pixel_values`` (B, 3, size, size).

    A Galaxy Zoo cut-out is 8.48 petroR90 wide (424 px of 0.02 petroR90; Willett et al. 2013), so the outer half is sky and
    neighbours: ``crop_fraction`` keeps the middle. The values of ``image_mean`` and ``image_std`` are those of the middle
    60 % of Galaxy Zoo images, rounded.

    Raises:
        ValueError: a value has the wrong type or makes no sense.
    """

    model_input_names = ["pixel_values"]
    valid_kwargs = GalaxyImageProcessorKwargs
    resample = PILImageResampling.BILINEAR
    size = {"height": 64, "width": 64}
    crop_fraction = 0.6
    image_mean = [0.11, 0.10, 0.08]
    image_std = [0.15, 0.13, 0.12]
    do_resize = True
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    do_convert_rgb = True

    def __init__(self, **kwargs):
        if taken := [name for name in kwargs if callable(getattr(type(self), name, None))]:
            raise ValueError(f"image processor: {taken[0]} is the name of a method and no setting; remove it")
        super().__init__(**kwargs)
        self._check()

    def _check(self) -> None:
        sides = [self.size[name] if self.size and name in self.size else None for name in ("height", "width")]
        if not all(type(side) is int and 1 <= side <= MAX_SIZE for side in sides) or sides[0] != sides[1]:
            raise ValueError(f"image processor: size={self.size!r} is not a height and an equal width from 1 to {MAX_SIZE}")
        for name, least in (("image_mean", -math.inf), ("image_std", 0.0)):
            values = getattr(self, name)
            if not isinstance(values, (list, tuple)) or len(values) != 3 or not all(_is_above(each, least) for each in values):
                raise ValueError(f"image processor: {name}={values!r} is not three finite numbers above {least:g}")
        if not _is_above(self.crop_fraction, 0.0) or self.crop_fraction > 1.0:
            raise ValueError(f"image processor: crop_fraction={self.crop_fraction!r} is outside 0 < crop_fraction <= 1")
        if not _is_above(self.rescale_factor, 0.0):
            raise ValueError(f"image processor: rescale_factor={self.rescale_factor!r} is not a finite number above 0")
        for name in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"):
            if not isinstance(getattr(self, name), bool | None):  # None is false, as in transformers
                raise ValueError(f"image processor: {name}={getattr(self, name)!r} is neither true nor false")

    def crop_and_resize(self, image: torch.Tensor, crop_fraction: float | None = None, size=None) -> torch.Tensor:
        """The geometry alone, (..., H, W) uint8 -> (..., size, size) uint8: what the pixel cache stores.

        Raises:
            ValueError: crop_fraction is outside 0..1.
        """
        fraction = self.crop_fraction if crop_fraction is None else crop_fraction
        height, width = (self.size if size is None else size)["height"], (self.size if size is None else size)["width"]
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"crop_fraction={fraction} is outside 0 < crop_fraction <= 1")
        side = max(1, round(min(image.shape[-2:]) * fraction))
        return F.resize(F.center_crop(image, [side, side]), [height, width], antialias=True)

    def normalize_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, C, H, W), on any device -> the float32 that the model reads."""
        # As F.normalize, which would wait for a GPU: for a copy of each, and to look for zeros.
        mean, std = (torch.tensor(each)[:, None, None] for each in (self.image_mean, self.image_std))
        mean, std = (each.to(pixels.device, non_blocking=True) for each in (mean, std))
        return (pixels.float() * self.rescale_factor).sub_(mean).div_(std)

    def _preprocess(
        self,
        images: list[torch.Tensor],
        do_resize: bool,
        size,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean,
        image_std,
        crop_fraction: float,
        return_tensors=None,
        **kwargs,
    ) -> BatchFeature:
        ready = []
        for image in images:
            if do_resize:
                image = self.crop_and_resize(image, crop_fraction, size)
            image = image.float() * rescale_factor if do_rescale else image.float()
            ready.append(F.normalize(image, image_mean, image_std) if do_normalize else image)
        return BatchFeature({"pixel_values": torch.stack(ready) if return_tensors else ready}, tensor_type=return_tensors)


def _is_above(value, least: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > least


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["GalaxyImageProcessor"]
