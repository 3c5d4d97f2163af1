"""FITS -> RGB, and the stretch that every deep image passes through.

An image is (H, W); a cube is (bands, H, W), with axes of length 1 in front left out. Pixels that are NaN, infinite or
BLANK get the level of the sky; an image that has them in more than half of its pixels is refused. Rows are flipped:
FITS counts them from the bottom.
"""

import io
import math
import re
import struct
import zlib

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from PIL import Image

from .limits import FITS_STARTS, MAX_BYTES, MAX_SIDE, check_size
from .stretch import stretch_planes

MAX_VALUES = 3 * MAX_SIDE**2
"""Largest number of pixel values of a cube: three bands of the largest image."""
MAX_HDUS = 200
MAX_MEMBERS, GZIP_BYTES = 10_000, 1 << 16
"""Most members of a gzip file, each of which takes time however short it is; and bytes that are unpacked at once."""
_COUNT = re.compile(rb"(?:HIERARCH +)?(?:Z?NAXIS|TFIELDS) *= *\+?0*(\d{4,})", re.IGNORECASE)
"""A header card with more axes or columns than the 999 of the FITS standard (4.0, section 4.4); astropy would count through them all."""
_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, struct.error)
_DAMAGE += (zlib.error, fits.VerifyError, CfitsioException)


def read_fits(data: bytes, hdu: int | str | None, bands: tuple[int, ...] | None, stretch: str) -> Image.Image:
    """As :func:`galaxy_vision.read_rgb`, for the bytes of a FITS file, gzipped or not.

    Raises:
        ValueError: no image in it, no such HDU or band, too large, damaged, or mostly NaN.
    """
    plain, gzipped = FITS_STARTS
    if data.startswith(gzipped):
        data = _gunzip(data, MAX_BYTES)
        if not data.startswith(plain):
            raise ValueError("the gzip file holds no FITS file; give a JPEG, PNG, TIFF, WebP, GIF or FITS image")
    for card in _COUNT.finditer(data):
        if card.start() % 80 == 0:
            raise ValueError(
                f"unreadable image: damaged FITS file ({card[0][:60].decode('latin-1')}, more than 999); save it again"
            )
    try:
        with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True, uint=False) as hdus:
            place, chosen = _choose_hdu(hdus, hdu)
            shape = tuple(chosen.shape)
            _check_shape(shape, place)
            if isinstance(chosen, fits.CompImageHDU):
                _check_tiles(data, place)
            pixels = np.asarray(chosen.data)
    except _Refusal:
        raise
    except _DAMAGE as error:
        raise ValueError(f"unreadable image: damaged FITS file ({error}); download or save it again") from error
    if pixels.dtype.kind not in "iufb":
        raise ValueError(f"FITS pixels of type {pixels.dtype} are no brightness; give an image of integers or floats")
    planes = pixels.reshape(-1, *shape[-2:])
    chosen_bands = _choose_bands(len(planes), bands)
    rgb, reading = stretch_planes(planes[list(chosen_bands)][:, ::-1], stretch)
    image = Image.fromarray(rgb)
    named = f"FITS HDU {place}" + (f", bands {', '.join(map(str, chosen_bands))}" if len(planes) > 1 else "")
    image.info = {"reading": f"{named}, {reading}"}
    return image


class _Refusal(ValueError):
    """A sentence for the user, told from the ValueErrors of a damaged file."""


def _gunzip(data: bytes, limit: int) -> bytes:
    """The members of a gzip file, one after the other."""
    unpacked, place = bytearray(), 0
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(31)
        while not stream.eof:
            piece = data[place : place + GZIP_BYTES]  # a stream copies what follows it, so that is kept short
            if not piece:
                raise ValueError("unreadable image: truncated gzip file; download it again")
            try:
                unpacked += stream.decompress(piece, limit + 1 - len(unpacked))
            except zlib.error as error:
                raise ValueError(f"unreadable image: damaged gzip file ({error}); download it again") from error
            if len(unpacked) > limit:
                raise ValueError(
                    f"unpacked gzip file is larger than the limit of {limit / 2**20:.3g} MiB; cut it down first"
                )
            place += len(piece) - len(stream.unused_data)
        if not data.startswith(FITS_STARTS[1], place):  # padding or nothing
            return bytes(unpacked)
    raise ValueError(f"gzip file has more than {MAX_MEMBERS} members; unpack it first")


def _choose_hdu(hdus: fits.HDUList, hdu: int | str | None):
    """Number and HDU of the image that is asked for."""
    found = []
    for place, each in enumerate(hdus):
        if place == MAX_HDUS:
            raise _Refusal(f"FITS file has more than {MAX_HDUS} HDUs; copy the image into a file of its own")
        is_image = each.is_image and len(each.shape) >= 2
        found.append(
            f"{place} {each.name or 'unnamed'} {'x'.join(map(str, each.shape[::-1])) if is_image else '(no image)'}"
        )
        if is_image if hdu is None else hdu in (place, str(place)) or str(hdu).upper() == each.name.upper():
            if not is_image:
                raise _Refusal(f"FITS HDU {place} holds no image; the HDUs are: {'; '.join(found)}")
            return place, each
    wanted = "no image" if hdu is None else f"no HDU {hdu!r}"
    raise _Refusal(f"FITS file has {wanted}; its HDUs are: {'; '.join(found[:20])}")


def _check_shape(shape: tuple[int, ...], place: int) -> None:
    try:
        check_size(shape[-1], shape[-2])
    except ValueError as error:
        raise _Refusal(str(error)) from error
    if any(side == 0 for side in shape) or math.prod(shape[:-3]) != 1:
        raise _Refusal(f"FITS HDU {place} has shape {shape}; give (H, W) or (bands, H, W)")
    if math.prod(shape) > MAX_VALUES:
        raise _Refusal(
            f"FITS HDU {place} has {math.prod(shape):,} values, more than the limit of {MAX_VALUES:,}; cut it down first"
        )


def _check_tiles(data: bytes, place: int) -> None:
    """A tile that is packed with gzip may unpack to any size, whatever the header says, so each is tried with a limit."""
    with fits.open(io.BytesIO(data), memmap=False, disable_image_compression=True) as hdus:
        table, header = hdus[place].data, hdus[place].header
        columns = ["GZIP_COMPRESSED_DATA"] + ["COMPRESSED_DATA"] * str(header["ZCMPTYPE"]).startswith("GZIP")
        limit = 8 * math.prod(
            header.get(f"ZTILE{axis}", header[f"ZNAXIS{axis}"]) for axis in range(1, header["ZNAXIS"] + 1)
        )
        for tile in (tile for name in columns if name in table.names for tile in table[name]):
            if len(tile):
                try:
                    _gunzip(np.asarray(tile).tobytes(), min(max(limit, 8 * header["ZNAXIS1"]), 8 * MAX_VALUES))
                except ValueError as error:
                    raise _Refusal(f"compressed tile in FITS HDU {place}: {error}") from error


def _choose_bands(count: int, bands: tuple[int, ...] | None) -> tuple[int, ...]:
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
