"""Image processor of both models: central crop, resize, rescale, normalise."""

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
"""Largest side of the model's input in pixels. Ours: far beyond any use, and a wrong file cannot exhaust the memory."""
RESAMPLING = (PILImageResampling.NEAREST, PILImageResampling.BILINEAR, PILImageResampling.BICUBIC)
"""Interpolations that torchvision has on every device."""


class GalaxyImageProcessorKwargs(ImagesKwargs, total=False):
    """Settings of the image processor.

    crop_fraction (`float`): side of the central square that is kept, as a share of the shorter side of the image.
    """

    crop_fraction: float


class GalaxyImageProcessor(TorchvisionBackend):
    """Galaxy images -> ``pixel_values`` (B, 3, size, size) float32.

    An image is converted to 8-bit RGB (:func:`~galaxy_vision.models.pixels.as_rgb`), its centre is cut out and resized
    (:meth:`crop_and_resize`), and the result is scaled (:meth:`normalize_pixels`). Training caches the 8-bit squares
    between the two methods, and gets the same tensors.

    A Galaxy Zoo cut-out is 8.48 petroR90 wide (424 px of 0.02 petroR90; Willett et al. 2013), so the outer half is sky
    and neighbours, and ``crop_fraction`` keeps the centre. ``image_mean`` and ``image_std`` are those of the central
    60 % of Galaxy Zoo images, rounded.

    Raises:
        ValueError: a setting has the wrong type or value.
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
        if methods := [name for name in kwargs if callable(getattr(type(self), name, None))]:
            raise ValueError(f"image processor: {methods[0]} is the name of a method, not of a setting; remove it")
        super().__init__(**kwargs)
        self._validate_preprocess_kwargs(**{name: getattr(self, name) for name in self.valid_kwargs.__annotations__})
        if not self.do_resize:
            raise ValueError(
                "image processor: do_resize=False cannot be saved, images of any size make no batch; give it in a call"
            )

    def _validate_preprocess_kwargs(self, **settings) -> None:
        """Check settings, of which some would otherwise be ignored; transformers calls this method in every call."""
        size = settings["size"]
        sides = [size[name] if size and name in size else None for name in ("height", "width")]
        if not all(type(side) is int and 1 <= side <= MAX_SIZE for side in sides) or sides[0] != sides[1]:
            raise ValueError(f"image processor: size={size!r} is not a height and an equal width from 1 to {MAX_SIZE}")
        for name, least in (("image_mean", -math.inf), ("image_std", 0.0)):
            values = settings[name]
            three = isinstance(values, (list, tuple)) and len(values) == 3
            if not three or not all(_is_above(value, least) for value in values):
                raise ValueError(f"image processor: {name}={values!r} is not three finite numbers above {least:g}")
        fraction = settings["crop_fraction"]
        if not _is_above(fraction, 0.0) or fraction > 1.0:
            raise ValueError(f"image processor: crop_fraction={fraction!r} is outside 0 < crop_fraction <= 1")
        if not _is_above(settings["rescale_factor"], 0.0):
            raise ValueError(
                f"image processor: rescale_factor={settings['rescale_factor']!r} is not a finite number above 0"
            )
        for name in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"):
            if not isinstance(settings[name], bool | None):  # None means false in transformers
                raise ValueError(f"image processor: {name}={settings[name]!r} is neither true nor false")
        if settings["resample"] not in RESAMPLING:
            choices = ", ".join(f"{choice.value} ({choice.name.lower()})" for choice in RESAMPLING)
            raise ValueError(f"image processor: resample={settings['resample']!r} is unknown; use {choices}")
        for name in ("do_center_crop", "crop_size", "do_pad", "pad_size"):
            if settings[name]:
                raise ValueError(
                    f"image processor: {name}={settings[name]!r} has no effect; use size and crop_fraction"
                )
        if not settings["do_convert_rgb"]:
            raise ValueError("image processor: do_convert_rgb=False is impossible, the models read RGB; leave it out")
        if settings["data_format"] not in (None, "channels_first"):
            raise ValueError(
                f"image processor: data_format={settings['data_format']!r} is not what models read; leave it out"
            )

    def crop_and_resize(
        self, image: torch.Tensor, crop_fraction: float | None = None, size=None, resample=None
    ) -> torch.Tensor:
        """Crop and resize, (..., H, W) uint8 -> (..., size, size) uint8; the pixel cache of training stores the result.

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
        """Scale uint8 (..., C, H, W), on any device, to the float32 of the model; None takes the saved setting."""
        pixels = pixels.float()  # a copy
        if self.do_rescale if do_rescale is None else do_rescale:
            pixels *= self.rescale_factor if rescale_factor is None else rescale_factor
        if self.do_normalize if do_normalize is None else do_normalize:
            mean = torch.tensor(self.image_mean if image_mean is None else image_mean, dtype=torch.float32)
            std = torch.tensor(self.image_std if image_std is None else image_std, dtype=torch.float32)
            # F.normalize would wait for a GPU: for the copies, and to check std for zeros.
            mean, std = (values[:, None, None].to(pixels.device, non_blocking=True) for values in (mean, std))
            pixels = pixels.sub_(mean).div_(std)
        return pixels

    def fetch_images(self, images):
        """Open an image file; transformers itself would cut 16 bits to 8."""
        if isinstance(images, str | os.PathLike) and os.path.isfile(images):
            return Image.open(images)
        return super().fetch_images(images)

    def _prepare_images_structure(self, images, expected_ndims: int = 3):
        """Give arrays (H, W) the third axis that transformers needs."""
        is_single = not isinstance(images, list | tuple)
        images = [images] if is_single else images
        images = [image[..., None] if getattr(image, "ndim", 0) == 2 else image for image in images]
        return super()._prepare_images_structure(images[0] if is_single else images, expected_ndims)

    def process_image(self, image, input_data_format=None, device=None, **settings) -> tuple[torch.Tensor, bool]:
        """Convert an image to (3, H, W) uint8, and return also whether its values were floats from 0 to 1.

        Raises:
            ValueError: the image cannot be converted to 8-bit RGB.
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
            # do_rescale=False in a call means that floats from 0 to 1 need no scaling; but they are 8 bits again here.
            ready.append(self.normalize_pixels(pixels, do_rescale or (scaled and self.do_rescale), **values))
        if return_tensors and len(shapes := {tuple(pixels.shape[-2:]) for pixels in ready}) > 1:
            raise ValueError(
                f"do_resize=False and images of {len(shapes)} sizes make no batch; leave it out, or return_tensors"
            )
        return BatchFeature(
            {"pixel_values": torch.stack(ready) if return_tensors else ready}, tensor_type=return_tensors
        )


def _is_above(value, least: float) -> bool:
    """Return whether a value is a finite number above a limit."""
    return type(value) in (int, float) and math.isfinite(value) and value > least


# Saved folders then contain the code, and load where this package is not installed.
GalaxyImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["GalaxyImageProcessor"]
