"""What the numbers of a PIL image or an array mean: 8-bit RGB as on a screen, or one sentence that says why not.

Files, pipelines and the image processor ask these functions. They travel with saved weights, so they need numpy and
Pillow alone.
"""

import numpy as np
from PIL import Image

from .file_kinds import check_kind

CHANNELS = (1, 3, 4)
"""Grey, RGB, and RGB with opacity."""
LOWEST_PEAK = 4096
"""16-bit colours without a value as high as this are 12 bits or fewer, or so dark that a screen shows nothing."""
SOME_WHITE, MOST_WHITE = 0.02, 0.25
"""Shares of pixels that are 255 in all colours which are odd, and which no galaxy has.

Of 34,404 images of Galaxy Zoo (SDSS, whole field, three sizes) not one has a single such pixel; 16 bits that were cut
to 8 have .05 to 1 (lab_notes.md, "Pixels cut to 8 bits").
"""
STRETCH = "give galaxy_vision.read_rgb(image), which stretches it to 8 bits"
CUT = "overexposed, or cut to 8 bits before; give galaxy_vision.read_rgb(path) of the original file"


def as_rgb(image, channels: str | None = None) -> np.ndarray:
    """An image as a screen shows it.

    8-bit images of every mode are converted, with what is transparent as black sky. Colours of 16 bits keep their high
    byte, the full range; colours of floats run from 0 to 1, or are the whole numbers from 0 to 255. Nothing else is
    guessed.

    Args:
        image: PIL image, or array or tensor (H, W), (H, W, C) or (C, H, W) of 1, 3 or 4 channels.
        channels: ``"first"`` or ``"last"``, where an array's shape does not say it.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: it is a deep image (:func:`is_deep`), or its numbers may mean several things.
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
    """Whether an image is one channel that is not of 8 bits, whose numbers say nothing about brightness on a screen.

    Args:
        image: PIL image, or what :func:`as_array` gives.
    """
    if isinstance(image, Image.Image):
        return image.mode.startswith(("I", "F"))
    return image.shape[-1] == 1 and image.dtype not in (np.uint8, np.bool_)


def is_scaled(image) -> bool:
    """Whether an array or tensor holds floats from 0 to 1, which are 255 times as much on a screen."""
    floats = getattr(image, "dtype", None) is not None and "float" in str(image.dtype)
    return bool(floats and 0 <= image.min() and image.max() <= 1)


def as_array(image, channels: str | None = None) -> np.ndarray:
    """Array or tensor -> (H, W, C) of real numbers, masked pixels being NaN.

    Args:
        image: (H, W), (H, W, C) or (C, H, W), C being 1, 3 or 4.
        channels: as of :func:`as_rgb`.

    Raises:
        ValueError: it is not such an array.
    """
    if hasattr(image, "detach"):  # a tensor; numpy has no bfloat16
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
            f"array of shape {shape} has its channels first or last; give input_data_format, or (H, W, C) uint8"
        )
    if not (first or last):
        raise ValueError(
            f"array of shape {shape} has not 1, 3 or 4 channels; give one band (H, W), or red, green, blue"
        )
    return array.transpose(1, 2, 0) if first else array


def white_share(image) -> float:
    """Share of pixels that are 255 in all colours, of an 8-bit RGB PIL image or (H, W, 3), on a grid of 64 x 64."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return float((np.asarray(image.resize((64, 64), Image.Resampling.NEAREST)) == 255).all(-1).mean())


def check_white(image) -> float:
    """The share of white, as of :func:`white_share`.

    Raises:
        ValueError: it is above :data:`MOST_WHITE`.
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
