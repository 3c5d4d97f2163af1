"""Read FITS files into 8-bit RGB.

An image is (H, W); a cube is (bands, H, W), with leading axes of length 1 left out. Pixels that are NaN, infinite or
BLANK get the level of the sky; an image with more than half of such pixels is refused. Rows are flipped, since FITS
counts them from the bottom.
"""

import io
import math
import re
import struct
import zlib

import numpy as np
from astropy.io import fits
from PIL import Image

from .limits import FITS_STARTS, MAX_BYTES, MAX_SIDE, check_size
from .packed import PACKERS, unpack
from .stretch import stretch_planes

MAX_VALUES = 3 * MAX_SIDE**2
"""Largest number of pixel values of a cube: three bands of the largest image."""
MAX_HDUS = 200
"""Largest number of HDUs that are searched for an image. Ours: a limit, since every header takes time to read."""
_COUNT = re.compile(rb"(?:HIERARCH +)?(?:Z?NAXIS|TFIELDS) *= *\+?0*(\d{4,})", re.IGNORECASE)
"""A header card with more than the 999 axes or columns that the FITS standard allows (version 4.0, section 4.4).

Astropy would loop over all of them (for minutes, see lab_notes.md), so such files are refused before it opens them.
"""
_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, struct.error)
_DAMAGE += (zlib.error, fits.VerifyError)


def read_fits(data: bytes, hdu: int | str | None, bands: tuple[int, ...] | None, stretch: str) -> Image.Image:
    """Decode the bytes of a FITS file, gzipped or not, as :func:`galaxy_vision.read_rgb` does.

    Raises:
        ValueError: the file has no image, no such HDU or band, is too large or damaged, or its pixels are mostly NaN.
    """
    packer = next((kind for magic, (kind, _) in PACKERS.items() if data.startswith(magic)), None)
    data = unpack(data, MAX_BYTES)
    if not data.startswith(FITS_STARTS[0]):
        raise ValueError(f"the {packer} file contains no FITS file; give a JPEG, PNG, TIFF, WebP, GIF or FITS image")
    for card in _COUNT.finditer(data):
        if card.start() % 80 == 0:
            raise ValueError(
                f"unreadable image: damaged FITS file ({card[0][:60].decode('latin-1')}, more than 999); save it again"
            )
    try:
        with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True, uint=False) as hdus:
            index, chosen = _choose_hdu(hdus, hdu)
            shape = tuple(chosen.shape)
            _check_shape(shape, index)
            if isinstance(chosen, fits.CompImageHDU):
                _check_tiles(data, index)
            pixels = _pixels(chosen)
    except _Refusal:
        raise
    except _DAMAGE as error:
        raise ValueError(f"unreadable image: damaged FITS file ({error}); download or save it again") from error
    if pixels.dtype.kind not in "iufb":
        raise ValueError(
            f"FITS pixels of type {pixels.dtype} are not real numbers; give an image of integers or floats"
        )
    planes = pixels.reshape(-1, *shape[-2:])
    chosen_bands = _choose_bands(len(planes), bands)
    rgb, reading = stretch_planes(planes[list(chosen_bands)][:, ::-1], stretch)
    image = Image.fromarray(rgb)
    origin = f"FITS HDU {index}" + (f", bands {', '.join(map(str, chosen_bands))}" if len(planes) > 1 else "")
    image.info = {"reading": f"{origin}, {reading}"}
    return image


def _pixels(hdu) -> np.ndarray:
    """Decode the pixels of an HDU.

    Raises:
        OSError: astropy's decompressors of tiles raised what has no public name; other errors of damage as they are.
    """
    try:
        return np.asarray(hdu.data)
    except (*_DAMAGE, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"tiles cannot be unpacked: {error}") from error


class _Refusal(ValueError):
    """A message for the user, distinct from the ValueErrors that astropy raises on a damaged file."""


def _choose_hdu(hdus: fits.HDUList, hdu: int | str | None):
    """Return the index and the HDU of the image that ``hdu`` names, or of the first image if it is None."""
    descriptions = []
    for index, candidate in enumerate(hdus):
        if index == MAX_HDUS:
            raise _Refusal(f"FITS file has more than {MAX_HDUS} HDUs; copy the image into a file of its own")
        is_image = candidate.is_image and len(candidate.shape) >= 2
        size = "x".join(map(str, candidate.shape[::-1])) if is_image else "(no image)"
        descriptions.append(f"{index} {candidate.name or 'unnamed'} {size}")
        if hdu is None:
            is_chosen = is_image
        else:
            is_chosen = hdu in (index, str(index)) or str(hdu).upper() == candidate.name.upper()
        if is_chosen and not is_image:
            raise _Refusal(f"FITS HDU {index} contains no image; the HDUs are: {'; '.join(descriptions)}")
        if is_chosen:
            return index, candidate
    missing = "no image" if hdu is None else f"no HDU {hdu!r}"
    raise _Refusal(f"FITS file has {missing}; its HDUs are: {'; '.join(descriptions[:20])}")


def _check_shape(shape: tuple[int, ...], index: int) -> None:
    """Check that an HDU is an image or cube within the limits; raise _Refusal otherwise."""
    try:
        check_size(shape[-1], shape[-2])
    except ValueError as error:
        raise _Refusal(str(error)) from error
    if any(side == 0 for side in shape) or math.prod(shape[:-3]) != 1:
        raise _Refusal(f"FITS HDU {index} has shape {shape}; give (H, W) or (bands, H, W)")
    if math.prod(shape) > MAX_VALUES:
        raise _Refusal(
            f"FITS HDU {index} has {math.prod(shape):,} values, more than the limit of {MAX_VALUES:,}; "
            "cut it down first"
        )


def _check_tiles(data: bytes, index: int) -> None:
    """Unpack the gzipped tiles of a compressed image within a limit; raise _Refusal for a tile that exceeds it.

    A tile that is packed with gzip may unpack to any size, whatever the header states. The limit is 8 bytes, the
    longest FITS pixel, for every pixel of a tile.
    """
    with fits.open(io.BytesIO(data), memmap=False, disable_image_compression=True) as hdus:
        table, header = hdus[index].data, hdus[index].header
        columns = ["GZIP_COMPRESSED_DATA"] + ["COMPRESSED_DATA"] * str(header["ZCMPTYPE"]).startswith("GZIP")
        axes = range(1, header["ZNAXIS"] + 1)
        limit = 8 * math.prod(header.get(f"ZTILE{axis}", header[f"ZNAXIS{axis}"]) for axis in axes)
        for tile in (tile for name in columns if name in table.names for tile in table[name]):
            if len(tile):
                try:
                    unpack(np.asarray(tile).tobytes(), min(max(limit, 8 * header["ZNAXIS1"]), 8 * MAX_VALUES))
                except ValueError as error:
                    raise _Refusal(f"compressed tile in FITS HDU {index}: {error}") from error


def _choose_bands(count: int, bands: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the planes to show of ``count``: one for grey, or three as red, green, blue."""
    if bands is None:
        if count not in (1, 3):
            raise ValueError(
                f"FITS cube has {count} bands (planes of the first axis); choose one, or three as red, green, blue"
            )
        return (0,) if count == 1 else (2, 1, 0)
    if len(bands) not in (1, 3) or any(band not in range(count) for band in bands):
        raise ValueError(
            f"bands={tuple(bands)} of {count}; give one, or three as red, green, blue, each from 0 to {count - 1}"
        )
    return tuple(bands)
