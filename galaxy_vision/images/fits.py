"""Read FITS files into 8-bit RGB.

An image is (H, W); a cube is (bands, H, W), with leading axes of length 1 left out. Bands are planes of a cube, images
of several extensions, or three files. Pixels that are NaN, infinite or BLANK get the level of the sky; an image with
more than half of such pixels is refused. Rows are flipped, since FITS counts them from the bottom.
"""

import io
import math
import re
import struct
import zlib

import numpy as np
from astropy.io import fits
from PIL import Image

from .alignment import Band, aligned, pixel_scale
from .bands import Plane, as_bands, by_wavelength, choose, find, planes_of
from .limits import FITS_STARTS, MAX_BYTES, MAX_SIDE, check_size
from .packed import PACKERS, unpack
from .stretch import stretch_planes
from .surveys import Survey, stretch_of, survey_named

MAX_VALUES = 3 * MAX_SIDE**2
"""Largest number of pixel values of a cube: three bands of the largest image."""
MAX_HDUS = 200
"""Largest number of HDUs that are searched for an image. Ours: a limit, since every header takes time to read."""
MAX_NAMED = 100
"""Largest number of planes of a cube whose names are looked for. Ours: their number is what a header says."""
_COUNT = re.compile(rb"(?:HIERARCH +)?(?:Z?NAXIS|TFIELDS) *= *\+?0*(\d{4,})", re.IGNORECASE)
"""A header card with more than the 999 axes or columns that the FITS standard allows (version 4.0, section 4.4).

Astropy would loop over all of them (for minutes, see lab_notes.md), so such files are refused before it opens them.
"""
_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, struct.error)
_DAMAGE += (zlib.error, fits.VerifyError)


def read_fits(data: bytes, hdu: int | str | None, bands, stretch: str, survey: str | None = None) -> Image.Image:
    """Decode the bytes of a FITS file, packed or not, as :func:`galaxy_vision.read_rgb` does.

    Raises:
        ValueError: the file has no image, no such HDU or band, is too large or damaged, or its pixels are mostly NaN.
    """
    chosen, origin = _read_bands(data, hdu, as_bands(bands), survey_named(survey))
    return _picture(chosen, f"FITS {origin}", stretch, survey)


def read_three(files: list[tuple[str, bytes]], hdu: int | str | None, stretch: str, survey: str | None) -> Image.Image:
    """Decode three FITS files of one band each, red, green, blue, as :func:`galaxy_vision.read_bands` does.

    Args:
        files: name in messages and bytes of each.
        hdu: of each file.
        stretch: of all.
        survey: for the stretch.

    Raises:
        ValueError: as of :func:`read_fits`; or one file has several planes, or they cannot be aligned.
    """
    bands = []
    for name, data in files:
        try:
            if not data.startswith(FITS_STARTS):
                raise ValueError("is not a FITS file, of which bands are made; give three FITS files")
            (band,), _ = _read_bands(data, hdu, None, None, by_name=False, count=1)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        bands.append(band._replace(name=name))
    return _picture(bands, f"FITS bands of {', '.join(name for name, _ in files)}", stretch, survey)


def _read_bands(
    data: bytes, hdu: int | str | None, bands: tuple | None, survey: Survey | None, by_name=True, count=3
) -> tuple[list[Band], str]:
    """The chosen planes of a FITS file with their headers, and a description of which they are."""
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
            named = _choose_by_name(hdus, hdu, bands, survey) if by_name else None
            if named:
                chosen = [(plane.hdu, plane.number or 0, name) for name, plane in named]
            else:
                index, _ = _choose_hdu(hdus, hdu)
                _check_shape(hdus[index].shape, index)
                numbers = _choose_bands(math.prod(hdus[index].shape[:-2]), bands, count)
                chosen = [(index, number, f"plane {number}") for number in numbers]
            cubes = {index: _decode(data, hdus, index) for index in dict.fromkeys(index for index, _, _ in chosen)}
            planes = [Band(*_linear(cubes[index][number], hdus[index].header), name) for index, number, name in chosen]
    except _Refusal:
        raise
    except _DAMAGE as error:
        raise ValueError(f"unreadable image: damaged FITS file ({error}); download or save it again") from error
    if named:
        return planes, "bands " + ", ".join(f"{name} (HDU {index})" for index, _, name in chosen)
    listed = ", ".join(str(number) for _, number, _ in chosen)
    return planes, f"HDU {index}" + (f", bands {listed}" if len(cubes[index]) > 1 else "")


def _picture(bands: list[Band], origin: str, stretch: str, survey: str | None) -> Image.Image:
    preset = survey_named(survey)
    header, notes = bands[0].header, []
    if len(bands) > 1 and any(band.header is not header for band in bands):
        planes, header, done = aligned(bands)
        notes = [done] if done else []
    else:
        planes = [band.plane for band in bands]
    if any(_is_asinh(band.header) for band in bands):
        notes.append("asinh magnitudes made linear")
    rgb, reading = stretch_planes(np.stack(planes)[:, ::-1], stretch, stretch_of(survey))
    image = Image.fromarray(rgb)
    if preset:
        notes.append(f"as of {survey}")
    image.info = {"reading": ", ".join([origin, *notes, reading])}
    scale = pixel_scale(header) or (preset.pixel_scale if preset else None)
    if scale:
        image.info["pixel_scale"] = scale
    return image


def _choose_by_name(
    hdus: fits.HDUList, hdu: int | str | None, bands: tuple | None, survey: Survey | None
) -> list[tuple[str, Plane]] | None:
    """Names and planes of bands that are asked for by name, by a survey, or that the file names by three letters.

    None if bands are to be taken by number.

    Raises:
        _Refusal: a name is not there, or not the only one.
    """
    asked = bands if bands and isinstance(bands[0], str) else None
    if bands and not asked:
        return None
    if hdu is not None and asked is None and survey is None:
        return None
    only = None if hdu is None else _choose_hdu(hdus, hdu)[0]
    planes = [plane for plane in _listed(hdus, strict=asked is not None) if only in (None, plane.hdu)]
    try:
        if asked is None and survey is not None:
            known = tuple(name for name in survey.bands if find(name, planes))
            asked = survey.bands if len(known) > 1 else known  # of one band, beside errors and weights, grey
        elif asked is None and len({hdus[plane.hdu].shape for plane in planes}) == 1:
            asked = by_wavelength(planes)
        return asked and list(zip(asked, choose(asked, planes), strict=True))
    except ValueError as error:
        raise _Refusal(str(error)) from error


def _listed(hdus: fits.HDUList, strict: bool) -> list[Plane]:
    """The planes of all images of a file.

    Args:
        hdus: of the file.
        strict: raise for damage and for more than :data:`MAX_HDUS`, of which otherwise the part before is listed, since
            its first image may be all that is wanted.
    """
    planes = []
    try:
        for index, candidate in enumerate(hdus):
            if index == MAX_HDUS:
                if strict:
                    raise _Refusal(f"FITS file has more than {MAX_HDUS} HDUs; copy the bands into a file of their own")
                break
            if candidate.is_image and len(candidate.shape) >= 2:
                count = min(math.prod(candidate.shape[:-2]), MAX_NAMED)
                planes += planes_of(index, candidate.name, candidate.header, count)
    except _DAMAGE:
        if strict:
            raise
    return planes


def _decode(data: bytes, hdus: fits.HDUList, index: int) -> np.ndarray:
    """The pixels of an HDU as (planes, H, W), after its size is checked."""
    chosen = hdus[index]
    shape = tuple(chosen.shape)
    _check_shape(shape, index)
    if isinstance(chosen, fits.CompImageHDU):
        _check_tiles(data, index)
    pixels = _pixels(chosen)
    if pixels.dtype.kind not in "iufb":
        raise _Refusal(f"FITS pixels of type {pixels.dtype} are not real numbers; give an image of integers or floats")
    return pixels.reshape(-1, *shape[-2:])


def _linear(plane: np.ndarray, header: fits.Header) -> tuple[np.ndarray, fits.Header]:
    """A plane in linear flux, and its header.

    Stacks of Pan-STARRS hold asinh magnitudes v: flux = BOFFSET + 2 BSOFTEN sinh(v ln(10) / 2.5) (Waters et al. 2020,
    ApJS 251, 4; "values are related non-linearly to flux", PS1 Image Cutout Service).
    """
    if not _is_asinh(header):
        return plane, header
    with np.errstate(over="ignore", invalid="ignore"):
        sinh = np.sinh(plane.astype(np.float64) * (math.log(10) / 2.5))
        return header["BOFFSET"] + 2 * header["BSOFTEN"] * sinh, header


def _is_asinh(header: fits.Header) -> bool:
    return all(isinstance(header.get(key), int | float) for key in ("BOFFSET", "BSOFTEN"))


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


def _choose_bands(planes: int, bands: tuple[int, ...] | None, most: int = 3) -> tuple[int, ...]:
    """Return the planes to show: one for grey, or three as red, green, blue, at most ``most``."""
    if bands is None:
        if planes not in (1, most):
            raise _Refusal(
                f"FITS cube has {planes} bands (planes of the first axis); choose one, or three as red, green, blue"
                if most == 3
                else f"FITS cube has {planes} bands (planes of the first axis); give a file of one"
            )
        return (0,) if planes == 1 else (2, 1, 0)
    if any(band not in range(planes) for band in bands):
        raise _Refusal(
            f"bands={tuple(bands)} of {planes}; give one, or three as red, green, blue, each from 0 to {planes - 1}"
        )
    return bands
