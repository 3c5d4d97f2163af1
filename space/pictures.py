"""Pictures as data URLs, so that no image of a visitor is a file that the server could show to another."""

import base64
import io

import matplotlib
import numpy as np
from PIL import Image

from galaxy_vision.inference.explain import COLORMAP, overlay

SHOWN_SIDE = 848  # px; ours: twice the frame of Galaxy Zoo, of which the plate shows the middle


def picture_url(image: Image.Image, side: int = SHOWN_SIDE) -> str:
    """Return the image as a data URL, reduced to at most ``side`` px."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _data_url(small, "jpeg", quality=90)


def thumbnail_url(image: Image.Image, side: int = 112, crop: float = 1.0) -> str:
    """Return the middle of the image as a small square, for strips and tables.

    Args:
        image: RGB.
        side: of the square, px.
        crop: side of what is shown, of the shorter side of the image.
    """
    kept = min(image.size) * crop
    left, top = (image.width - kept) / 2, (image.height - kept) / 2
    box = (left, top, left + kept, top + kept)
    return _data_url(
        image.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0), "webp", quality=80
    )


def heat_url(heat: np.ndarray, side: int = 256) -> str:
    """Return a heat map as the data URL of a layer whose colour and opacity follow the heat.

    Args:
        heat: (H, W) in [0, 1].
        side: largest side of the layer in pixels.
    """
    layer = Image.fromarray(np.rint(255 * heat).astype(np.uint8))
    scale = min(1.0, side / max(layer.size))
    size = max(1, round(layer.width * scale)), max(1, round(layer.height * scale))
    layer = layer.resize(size, Image.Resampling.BILINEAR)
    colours = (255 * matplotlib.colormaps[COLORMAP](np.asarray(layer))).astype(np.uint8)
    colours[..., 3] = np.asarray(layer)
    return _data_url(Image.fromarray(colours), "webp", quality=85)


def overlay_png(image: Image.Image, heat: np.ndarray, opacity: float) -> bytes:
    """Return the image under its heat map as PNG bytes."""
    file = io.BytesIO()
    overlay(image, heat, opacity).save(file, "png")
    return file.getvalue()


def heat_colours(steps: int = 9) -> list[str]:
    """Return the colours of heat maps from no evidence to the most, for a colour bar."""
    return [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps[COLORMAP](np.linspace(0, 1, steps))]


def _data_url(image: Image.Image, kind: str, **options) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
