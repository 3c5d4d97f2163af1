"""The only deterministic preprocessing: central crop, resize, rescale, normalise."""

import math
import os
import warnings

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling, pil_torch_interpolation_mapping
from transformers.processing_utils import ImagesKwargs

from .pixels import CUT, SOME_WHITE, as_rgb, check_white, is_scaled

MAX_SIZE = 4096
"""Largest side of what the model reads, so that a wrong file cannot ask for more memory than there is."""
RESAMPLING = (PILImageResampling.NEAREST, PILImageResampling.BILINEAR, PILImageResampling.BICUBIC)
"""What torchvision has on every device."""


class GalaxyImageProcessorKwargs(ImagesKwargs, total=False):
    """Settings of the image processor.

    crop_fraction (`float`): side of the central square that is kept, as a share of the shorter side of the image.
    """

    crop_fraction: float


class GalaxyImageProcessor(TorchvisionBackend):
    """Galaxy image -> ``pixel_values`` (B, 3, size, size) float32.

    Every image becomes 8-bit RGB (:func:`~galaxy_vision.models.pixels.as_rgb`), its middle is cut out and resized
    (:meth:`crop_and_resize`), and what comes out is scaled (:meth:`normalize_pixels`). Whoever keeps the squares of 8
    bits, as training does, calls these two methods and gets the same tensor.

    A Galaxy Zoo cut-out is 8.48 petroR90 wide (424 px of 0.02 petroR90; Willett et al. 2013), so the outer half is sky
    and neighbours: ``crop_fraction`` keeps the middle. The values of ``image_mean`` and ``image_std`` are those of the
    middle 60 % of Galaxy Zoo images, rounded.

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
        self._validate_preprocess_kwargs(**{name: getattr(self, name) for name in self.valid_kwargs.__annotations__})
        if not self.do_resize:
            raise ValueError(
                "image processor: do_resize=False would batch images of any size; give it with a call, not saved"
            )

    def _validate_preprocess_kwargs(self, **settings) -> None:
        """Refuse what no path obeys, or not all of them; transformers calls it with the settings of every call."""
        size = settings["size"]
        sides = [size[name] if size and name in size else None for name in ("height", "width")]
        if not all(type(side) is int and 1 <= side <= MAX_SIZE for side in sides) or sides[0] != sides[1]:
            raise ValueError(f"image processor: size={size!r} is not a height and an equal width from 1 to {MAX_SIZE}")
        for name, least in (("image_mean", -math.inf), ("image_std", 0.0)):
            values = settings[name]
            if (
                not isinstance(values, (list, tuple))
                or len(values) != 3
                or not all(_is_above(each, least) for each in values)
            ):
                raise ValueError(f"image processor: {name}={values!r} is not three finite numbers above {least:g}")
        fraction = settings["crop_fraction"]
        if not _is_above(fraction, 0.0) or fraction > 1.0:
            raise ValueError(f"image processor: crop_fraction={fraction!r} is outside 0 < crop_fraction <= 1")
        if not _is_above(settings["rescale_factor"], 0.0):
            raise ValueError(
                f"image processor: rescale_factor={settings['rescale_factor']!r} is not a finite number above 0"
            )
        for name in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"):
            if not isinstance(settings[name], bool | None):  # None is false, as in transformers
                raise ValueError(f"image processor: {name}={settings[name]!r} is neither true nor false")
        if settings["resample"] not in RESAMPLING:
            known = ", ".join(f"{each.value} ({each.name.lower()})" for each in RESAMPLING)
            raise ValueError(f"image processor: resample={settings['resample']!r} is unknown; use {known}")
        for name in ("do_center_crop", "crop_size", "do_pad", "pad_size"):
            if settings[name]:
                raise ValueError(
                    f"image processor: {name}={settings[name]!r} has no effect; use size and crop_fraction"
                )
        if not settings["do_convert_rgb"]:
            raise ValueError("image processor: do_convert_rgb=False is not possible, the models read RGB; leave it out")
        if settings["data_format"] not in (None, "channels_first"):
            raise ValueError(
                f"image processor: data_format={settings['data_format']!r} is not what models read; leave it out"
            )

    def crop_and_resize(
        self, image: torch.Tensor, crop_fraction: float | None = None, size=None, resample=None
    ) -> torch.Tensor:
        """The geometry alone, (..., H, W) uint8 -> (..., size, size) uint8: what the pixel cache stores.

        Raises:
            ValueError: crop_fraction is outside 0..1.
        """
        fraction = self.crop_fraction if crop_fraction is None else crop_fraction
        size = self.size if size is None else size
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"crop_fraction={fraction} is outside 0 < crop_fraction <= 1")
        side = max(1, round(min(image.shape[-2:]) * fraction))
        interpolation = pil_torch_interpolation_mapping[self.resample if resample is None else resample]
        square = F.center_crop(image, [side, side])
        return F.resize(square, [size["height"], size["width"]], interpolation=interpolation, antialias=True)

    def normalize_pixels(
        self,
        pixels: torch.Tensor,
        do_rescale: bool | None = None,
        rescale_factor: float | None = None,
        do_normalize: bool | None = None,
        image_mean=None,
        image_std=None,
    ) -> torch.Tensor:
        """Turn uint8 (..., C, H, W), on any device, into the float32 of the model, by the saved settings or others."""
        pixels = pixels.float()  # a copy
        if self.do_rescale if do_rescale is None else do_rescale:
            pixels *= self.rescale_factor if rescale_factor is None else rescale_factor
        if self.do_normalize if do_normalize is None else do_normalize:
            # As F.normalize, which would wait for a GPU: for a copy of each, and to look for zeros.
            mean, std = (
                self.image_mean if image_mean is None else image_mean,
                self.image_std if image_std is None else image_std,
            )
            mean, std = (torch.tensor(each, dtype=torch.float32)[:, None, None] for each in (mean, std))
            mean, std = (each.to(pixels.device, non_blocking=True) for each in (mean, std))
            pixels = pixels.sub_(mean).div_(std)
        return pixels

    def fetch_images(self, images):
        """Paths are opened here: transformers would cut their 16 bits to 8."""
        if isinstance(images, str | os.PathLike) and os.path.isfile(images):
            return Image.open(images)
        return super().fetch_images(images)

    def _prepare_images_structure(self, images, expected_ndims: int = 3):
        alone = not isinstance(images, list | tuple)
        images = [
            image[..., None] if getattr(image, "ndim", 0) == 2 else image for image in ([images] if alone else images)
        ]
        return super()._prepare_images_structure(images[0] if alone else images, expected_ndims)

    def process_image(self, image, input_data_format=None, device=None, **settings) -> tuple[torch.Tensor, bool]:
        """One image -> (3, H, W) uint8, and whether its numbers ran from 0 to 1.

        Raises:
            ValueError: its numbers are not those of a screen.
        """
        channels = getattr(input_data_format, "value", input_data_format)
        rgb = np.array(as_rgb(image, channels and channels.removeprefix("channels_")))
        share, highest = check_white(rgb), int(rgb.max(initial=0))
        if share > SOME_WHITE:
            warnings.warn(f"{share:.0%} of the pixels are white: {CUT}", stacklevel=2)
        elif highest <= 1:
            warnings.warn(f"no pixel is brighter than {highest} of 255: blank, or {CUT}", stacklevel=2)
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)
        return pixels.to(device or getattr(image, "device", "cpu")), is_scaled(image)

    def _preprocess(
        self,
        images: list[tuple[torch.Tensor, bool]],
        do_resize: bool,
        size,
        resample,
        crop_fraction: float,
        do_rescale: bool,
        return_tensors=None,
        **settings,
    ) -> BatchFeature:
        ready = []
        values = {name: settings[name] for name in ("rescale_factor", "do_normalize", "image_mean", "image_std")}
        for pixels, scaled in images:
            if do_resize:
                pixels = self.crop_and_resize(pixels, crop_fraction, size, resample)
            # A call's do_rescale=False says that floats from 0 to 1 are scaled already; here they are 8 bits again.
            ready.append(self.normalize_pixels(pixels, do_rescale or (scaled and self.do_rescale), **values))
        if return_tensors and len(shapes := {tuple(each.shape[-2:]) for each in ready}) > 1:
            raise ValueError(
                f"do_resize=False and images of {len(shapes)} sizes make no batch; leave it out, or return_tensors"
            )
        return BatchFeature(
            {"pixel_values": torch.stack(ready) if return_tensors else ready}, tensor_type=return_tensors
        )


def _is_above(value, least: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > least


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["GalaxyImageProcessor"]
