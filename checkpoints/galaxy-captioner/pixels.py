"""Convert PIL images and arrays to 8-bit RGB as on a screen, or refuse them in one sentence.

Readers of files, pipelines and the image processor share these functions. They are saved with the weights of models,
so they depend on numpy and Pillow only.
"""

import numpy as np
from PIL import Image

from .file_kinds import check_kind

CHANNELS = (1, 3, 4)
"""Numbers of channels of grey, RGB, and RGB with opacity."""
LOWEST_PEAK = 4096
"""Least maximum of 16-bit colours.

Ours: 2^12, below which they may be of 12 bits or fewer, or are too dark to be seen on a screen.
"""
SOME_WHITE, MOST_WHITE = 0.02, 0.25
"""Share of white pixels (255 in all colours) from which there is a warning, and from which an image is refused.

Of 34,404 images of Galaxy Zoo (SDSS, whole field, three sizes) none has a white pixel. In images of 16 bits that were
cut to 8, the share is .05 to 1 (lab_notes.md, "Pixels cut to 8 bits").
"""
STRETCH = "give galaxy_vision.read_rgb(image), which stretches it to 8 bits"
CUT = "overexposed, or cut to 8 bits before; give galaxy_vision.read_rgb(path) of the original file"


def as_rgb(image, channels: str | None = None) -> np.ndarray:
    """Convert an image to 8-bit RGB as a screen shows it.

    8-bit images of every mode are converted, with transparency laid on black sky. Colours of 16 bits are reduced to
    their high byte. Colours of floats must be from 0 to 1, or whole numbers from 0 to 255. All others are refused.

    Args:
        image: PIL image, or array or tensor (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels.
        channels: ``"first"`` or ``"last"``, for an array whose shape does not tell.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: the image is deep (:func:`is_deep`), or the range of its colours is ambiguous.
    """
    if not isinstance(image, Image.Image):
        return _array_as_rgb(as_array(image, channels))
    if 0 in image.size:
        raise ValueError(f"image of {image.width}x{image.height} px has no pixels; give another")
    check_kind(image)
    if is_deep(image):
        raise ValueError(f"image of mode {image.mode} is one deep channel, not the 8 bits of a screen; {STRETCH}")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer).convert("RGB"))
    try:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except ValueError as error:
        raise ValueError(f"colour mode {image.mode} cannot be converted; save the image as RGB") from error


def is_deep(image) -> bool:
    """Return whether an image is one channel of more than 8 bits, whose numbers do not give brightness on a screen.

    Args:
        image: PIL image, or array from :func:`as_array`.
    """
    if isinstance(image, Image.Image):
        return image.mode.startswith(("I", "F"))
    return image.shape[-1] == 1 and image.dtype not in (np.uint8, np.bool_)


def is_scaled(image) -> bool:
    """Return whether an array or tensor has floats from 0 to 1, so that 1 and not 255 is the brightest."""
    floats = getattr(image, "dtype", None) is not None and "float" in str(image.dtype)
    return bool(floats and 0 <= image.min() and image.max() <= 1)


def as_array(image, channels: str | None = None) -> np.ndarray:
    """Convert an array or tensor to (H, W, C) of real numbers, with NaN for masked pixels.

    Args:
        image: (H, W), (H, W, C) or (C, H, W), where C is 1, 3 or 4.
        channels: as for :func:`as_rgb`.

    Raises:
        ValueError: the object is not an array, or not of such a type and shape.
    """
    if hasattr(image, "detach"):  # a tensor, converted because numpy has no bfloat16
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    if isinstance(image, np.ma.MaskedArray):
        image = image.astype(np.float64).filled(np.nan)
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"{type(image).__name__} is not an image; give a PIL image or an array (H, W), (H, W, C) or (C, H, W)"
        )
    array, shape = np.asarray(image, image.dtype.newbyteorder("=")), image.shape
    if array.dtype.kind not in "iufb":
        raise ValueError(f"array of type {array.dtype} is not an image; give integers or floats")
    if array.ndim not in (2, 3) or 0 in shape:
        raise ValueError(f"array of shape {shape} is not an image; give (H, W), (H, W, C) or (C, H, W)")
    if array.ndim == 2:
        return array[..., None]
    first, last = shape[0] in CHANNELS and channels != "last", shape[-1] in CHANNELS and channels != "first"
    if first and last:
        raise ValueError(
            f"array of shape {shape} may have its channels first or last; give input_data_format, or (H, W, C) uint8"
        )
    if not (first or last):
        raise ValueError(
            f"array of shape {shape} does not have 1, 3 or 4 channels; give one band (H, W), or red, green, blue"
        )
    return array.transpose(1, 2, 0) if first else array


def white_share(image) -> float:
    """Return the share of white pixels of an 8-bit RGB PIL image or (H, W, 3) array, on a grid of 64 x 64 pixels."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return float((np.asarray(image.resize((64, 64), Image.Resampling.NEAREST)) == 255).all(-1).mean())


def check_white(image) -> float:
    """Return the share of white pixels, see :func:`white_share`.

    Raises:
        ValueError: the share is above :data:`MOST_WHITE`.
    """
    share = white_share(image)
    if share > MOST_WHITE:
        raise ValueError(f"{share:.0%} of the pixels are white, more than {MOST_WHITE:.0%}: {CUT}")
    return share


def _array_as_rgb(array: np.ndarray) -> np.ndarray:
    if is_deep(array):
        raise ValueError(f"array of one channel of {array.dtype} is deep, not the 8 bits of a screen; {STRETCH}")
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype != np.uint8:
        array = _colours_as_bytes(array)
    if array.shape[-1] == 4:
        return as_rgb(Image.fromarray(array))
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _colours_as_bytes(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ValueError(
            f"{np.mean(~np.isfinite(array)):.1%} of the colours are NaN or infinite; give uint8, or one band (H, W)"
        )
    low, high, floats = float(array.min()), float(array.max()), array.dtype.kind == "f"
    if is_scaled(array):
        return np.rint(array * 255).astype(np.uint8)
    if 0 <= low and high <= 255 and (not floats or (array == np.rint(array)).all()):
        return array.astype(np.uint8)
    if array.dtype == np.uint16 and high >= LOWEST_PEAK:
        return (array >> 8).astype(np.uint8)
    limits = "0 to 1, nor whole numbers from 0 to 255" if floats else "0 to 255"
    limits += f", nor 16 bits up to {LOWEST_PEAK} or more" if array.dtype == np.uint16 else ""
    raise ValueError(
        f"colours of {array.dtype} from {low:.5g} to {high:.5g} are not {limits}; scale them to uint8 from 0 to 255"
    )
