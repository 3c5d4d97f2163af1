"""Decode an image file, array or PIL image of a galaxy into checked 8-bit RGB."""

import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..models.file_kinds import REMEDY, check_kind, raw_mode, why_unread
from ..models.pixels import LOWEST_PEAK, as_array, as_rgb, check_white, is_deep
from .bands import as_bands
from .limits import (
    FITS_STARTS,
    MAX_BYTES,
    MAX_SIDE,
    STRETCHES,
    SURVEY_NAMES,
    check_bytes,
    check_size,
    read_file,
    zip_directory_bytes,
)

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF")
"""The Pillow decoders that are tried. Pillow has many more, and every one is another way in for a hostile file."""
_ANSWER = f"give a JPEG, PNG, TIFF, WebP, GIF or FITS image of at most {MAX_SIDE} px a side"

_FOREIGN = {  # first bytes -> what the file is
    b"PK\x03\x04": "a zip archive",
    b"%PDF": "a PDF document",
    b"<svg": "an SVG drawing, which has no pixels",
    b"<?xml": "an XML document or SVG drawing, which has no pixels",
    b"<!doctype": "a web page, often what a failed download leaves",
    b"<html": "a web page, often what a failed download leaves",
}
# What Pillow's decoders raise on damaged files; the fuzzed files of tests/test_fuzz.py raised nothing else.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
)


def read_rgb(
    source,
    *,
    hdu: int | str | None = None,
    bands: str | Sequence[int | str] | None = None,
    stretch: str = "auto",
    survey: str | None = None,
) -> Image.Image:
    """Decode a galaxy image completely and convert it to 8-bit RGB.

    JPEG, PNG, TIFF, WebP and GIF: one frame (animations are refused), rotated according to its EXIF orientation, with
    transparency laid on black sky, and CMYK, grey and palettes converted. 16-bit colours are reduced to their high
    byte, without a stretch; colours of 12 bits are therefore refused. A single deep channel (16-bit grey, 32-bit
    integers, floats) is stretched, see ``stretch``, since its numbers do not say how bright it should be on a screen.

    FITS, also ``.fits.gz``, ``.fits.bz2`` and ``.fz``: rows are flipped, so that the image looks as in DS9 (FITS counts
    rows from the bottom). Pixels that are NaN or infinite get the level of the sky. See
    :mod:`galaxy_vision.images.fits`.

    Arrays follow the rules of files: a single deep channel is stretched, and
    :func:`galaxy_vision.models.pixels.as_rgb` documents which colours are accepted. Rows of arrays are not flipped.

    Args:
        source: the bytes of a file, at most :data:`MAX_BYTES`; its path; a file object that is open for reading bytes;
            a PIL image; or an array or tensor of shape (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels.
        hdu: number or name of the FITS extension; None for the first one with an image.
        bands: one (grey) or three (red, green, blue) bands of a FITS file: planes of a cube, counted from 0; or names,
            of extensions (EXTNAME), else of filters (BAND or FILTER of an extension, BANDn of a cube), in any case.
            None takes the only plane, or of three planes the last as red and the first as blue (bands in order of
            wavelength), or three images that are named by three letters of ugrizyJHK, by their wavelength.
        stretch: for deep images: ``"asinh"`` (Lupton et al. 2004; ``"auto"`` is the same) runs from one sky sigma below
            the sky to the brightest pixel of the middle half, and clips what is outside; ``"linear"`` runs from the
            darkest to the brightest pixel and clips nothing.
        survey: one of :data:`galaxy_vision.images.surveys.SURVEYS`, for its bands, where the file has them by name, its
            stretch, and its pixel scale, where the file has no WCS.

    Returns:
        RGB image; ``image.info["reading"]`` describes in words what was done to the pixels, and
        ``image.info["pixel_scale"]`` is the side of a pixel in arcsec, if a FITS file or a survey says it.

    Raises:
        ValueError: the source is not such an image, is damaged, too large, an animation, a file of two types at once,
            of a kind whose pixels would be misread, or mostly white. No other exception is raised.
    """
    image = decode(source, hdu=hdu, bands=bands, stretch=stretch, survey=survey)
    check_white(image)
    return image


def decode(
    source,
    *,
    hdu: int | str | None = None,
    bands: Sequence[int | str] | None = None,
    stretch: str = "auto",
    survey: str | None = None,
) -> Image.Image:
    """Decode as :func:`read_rgb` does, also what is mostly white, as a photographic negative is."""
    return _read(_file_bytes(source), hdu, as_bands(bands), stretch, survey)


def read_bands(
    red, green, blue, *, hdu: int | str | None = None, stretch: str = "auto", survey: str | None = None
) -> Image.Image:
    """Decode three FITS files of one band each as one RGB image.

    Images of one size are stacked as they are if they have the same WCS, or none; others are aligned by their WCS on
    the grid with the smallest pixels, which needs the package ``reproject``.

    Args:
        red: path, bytes or file object of a FITS file.
        green: of the next one.
        blue: of the last one.
        hdu: of each file, as of :func:`read_rgb`.
        stretch: as of :func:`read_rgb`.
        survey: as of :func:`read_rgb`, for its stretch and pixel scale.

    Returns:
        As :func:`read_rgb`.

    Raises:
        ValueError: one of them is not such a file, or they cannot be aligned.
    """
    _check_options(stretch, survey)
    files = []
    for colour, source in (("red", red), ("green", green), ("blue", blue)):
        name = Path(source).name if isinstance(source, str | os.PathLike) else f"the {colour} file"
        data = _file_bytes(source)
        if not isinstance(data, bytes):
            raise ValueError(f"{name} is of type {type(source).__name__}; give the path or bytes of a FITS file")
        _check_bytes(data)
        files.append((name, data))
    from .fits import read_three

    image = read_three(files, hdu, stretch, survey)
    check_white(image)
    return image


def _file_bytes(source):
    """The bytes of a path, file object or buffer; anything else as it is.

    Raises:
        ValueError: the file cannot be read, is too large or open for text.
    """
    if isinstance(source, str | os.PathLike):
        return read_file(source)
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if not callable(getattr(source, "read", None)):
        return source
    pieces, size = [], 0
    try:
        while size <= MAX_BYTES and (piece := source.read(MAX_BYTES + 1 - size)):  # raw files may give less at once
            if not isinstance(piece, bytes):
                raise ValueError("the file object is open for text; open it with mode 'rb'")
            pieces.append(piece)
            size += len(piece)
    except Exception as error:  # a file object of any class raises whatever it likes
        raise ValueError(str(error) if isinstance(error, ValueError) else f"unreadable: {error}") from error
    return b"".join(pieces)


def _check_options(stretch: str, survey: str | None) -> None:
    if stretch not in STRETCHES:
        raise ValueError(f"stretch={stretch!r} is not known; use {', '.join(STRETCHES)}")
    if survey not in (None, *SURVEY_NAMES):
        raise ValueError(f"survey={survey!r} is not known; use {', '.join(SURVEY_NAMES)}")


def _read(source, hdu: int | str | None, bands: tuple | None, stretch: str, survey: str | None) -> Image.Image:
    _check_options(stretch, survey)
    if isinstance(source, bytes):
        _check_bytes(source)
        if source.startswith(FITS_STARTS):
            from .fits import read_fits  # astropy takes a second to import, and most images are not FITS

            return read_fits(source, hdu=hdu, bands=bands, stretch=stretch, survey=survey)
    if hdu is not None or bands is not None:
        raise ValueError("hdu and bands choose a part of a FITS file, and this is not a FITS file; leave them out")
    if isinstance(source, Image.Image):
        return _to_rgb(_upright(source, ours=False), stretch, survey)
    if isinstance(source, bytes):
        return _to_rgb(_upright(_open(source), ours=True), stretch, survey)
    array = as_array(source)
    check_size(*array.shape[1::-1])
    if is_deep(array):
        return _stretched(array[..., 0], stretch, survey)
    ready = Image.fromarray(as_rgb(array))
    ready.info = {"reading": "" if array.dtype == np.uint8 else f"colours converted from {array.dtype}"}
    return ready


def _check_bytes(data: bytes) -> None:
    if not data:
        raise ValueError(f"the file is empty (0 bytes); {_ANSWER}")
    check_bytes(len(data))


def _open(data: bytes) -> Image.Image:
    """Open a file of one of :data:`FORMATS`; only its header is decoded."""
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic.lower()):
            raise ValueError(f"the file is {kind}; {_ANSWER}")
    if zip_directory_bytes(data) is not None:
        raise ValueError(
            "the file is an image and a zip archive at once; save the image again without what is attached to it"
        )
    if b"<script" in data:
        raise ValueError(
            "the file is an image and a web page at once; save the image again without what is attached to it"
        )
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if sentence := why_unread(data):
            raise ValueError(sentence) from error
        raise ValueError(f"not an image: the file begins with {data[:8]!r}; {_ANSWER}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"image is far larger than the limit of {MAX_SIDE} px a side; cut it down first") from error
    except _DAMAGE as error:
        raise ValueError(f"unreadable image: damaged ({error}); download or save it again") from error


def _upright(image: Image.Image, ours: bool) -> Image.Image:
    """Decode the only frame of an image and rotate it according to its EXIF orientation.

    Args:
        image: a single-frame image, of which the header may be all that is decoded.
        ours: whether the image may be changed in place; the result is a copy otherwise.

    Raises:
        ValueError: the image is too large, empty, damaged, of several frames, or of a kind that would be misread.
    """
    check_size(*image.size)
    if 0 in image.size:
        raise ValueError(f"image of {image.width}x{image.height} px has no pixels; give another")
    sixteen_bits = ";16" in raw_mode(image) and not is_deep(image)
    check_kind(image)
    try:
        # The second frame of an MPO file is the preview of a photograph and not an animation.
        has_frames = image.format != "MPO" and getattr(image, "is_animated", False)
        image.load()
        # In place, Pillow returns None and copies nothing where there is nothing to rotate.
        upright = ImageOps.exif_transpose(image, in_place=ours) or image
    except _DAMAGE as error:
        raise ValueError(
            f"unreadable image: damaged {image.format or 'image'} ({error}); download or save it again"
        ) from error
    if has_frames:
        raise ValueError(f"{image.format} with several frames or pages; save one of them as a PNG file")
    if sixteen_bits and max(high for _, high in upright.getextrema()[:3]) < LOWEST_PEAK >> 8:
        raise ValueError(
            f"16-bit colours of {image.format} with no value of {LOWEST_PEAK} or more, as if of 12 bits; {REMEDY}"
        )
    return upright


def _to_rgb(image: Image.Image, stretch: str, survey: str | None) -> Image.Image:
    if is_deep(image):
        return _stretched(np.asarray(image), stretch, survey)
    ready = image if image.mode == "RGB" and not image.has_transparency_data else Image.fromarray(as_rgb(image))
    if image.has_transparency_data:
        reading = "transparency laid on black sky"
    else:
        reading = "" if image.mode == "RGB" else f"colours converted from {image.mode}"
    ready.info = {"reading": reading}
    return ready


def _stretched(plane: np.ndarray, stretch: str, survey: str | None) -> Image.Image:
    from .stretch import stretch_planes
    from .surveys import stretch_of

    rgb, reading = stretch_planes(plane[None], stretch, stretch_of(survey))
    image = Image.fromarray(rgb)
    image.info = {"reading": reading}
    return image
