"""Kinds of files whose pixels Pillow would change on reading, which are refused in one sentence.

The kinds that Pillow reads correctly are listed, and all others are refused. The list was found with files of every
type, byte order, layout and compression (``tests/models/test_file_kinds.py``).
"""

import io
import re
from collections.abc import Mapping

from PIL import Image, TiffImagePlugin

KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floats"}
"""SampleFormat of TIFF 6.0 -> its name."""
WHITE_IS_ZERO, GREY, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
"""PhotometricInterpretation of TIFF 6.0."""
COLOURS = {PALETTE: "palette", MASK: "mask", CMYK: "CMYK", YCBCR: "YCbCr", 8: "LAB"}
MAX_CHANNELS = 99
"""Channels that a message can count. Ours: a damaged file may claim millions."""
PLANAR, UNCOMPRESSED, JPEG = 2, 1, 7
"""PlanarConfiguration and Compression of TIFF 6.0."""
REMEDY = "save it as FITS, or as PNG of 8-bit RGB or 16-bit grey"
_SOF = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..(.)", re.DOTALL)
"""Start of a frame in a JPEG, with the number of bits of a colour as its group."""
STARTS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"RIFF": "WebP"}
STARTS |= {start: "TIFF" for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}
"""First bytes of a file -> its format; the last two are those of BigTIFF."""


def check_kind(image: Image.Image) -> None:
    """Check an opened file by its header, before its pixels are decoded.

    Raises:
        ValueError: Pillow would change the pixels.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is not None and not tiff_is_read(tags):
        raise ValueError(f"TIFF of {tiff_kind(tags)} would be misread; {REMEDY}")
    if raw_mode(image) == "LA;16B":
        raise ValueError(
            f"16-bit grey {image.format} with transparency would keep 8 bits; save it without transparency"
        )


def why_unread(data: bytes) -> str | None:
    """Return why Pillow does not open a file, in one sentence; None if its first bytes are not in :data:`STARTS`."""
    name = next((name for start, name in STARTS.items() if data.startswith(start)), None)
    damaged = f"unreadable image: damaged {name}; download or save it again"
    if name == "JPEG" and (frame := _SOF.search(data)) and frame[1] != b"\x08":
        return f"JPEG of {frame[1][0]} bits cannot be read, only JPEG of 8 bits; {REMEDY}"
    if name != "TIFF":
        return name and damaged
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if b"+" in data[:4] else 8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        return damaged if tiff_is_read(tags) else f"TIFF of {tiff_kind(tags)} cannot be read; {REMEDY}"
    except Exception:  # reading a damaged directory may raise any error
        return f"unreadable image: damaged TIFF, or a BigTIFF that is big-endian; {REMEDY}"


def raw_mode(image: Image.Image) -> str:
    """Return the raw mode of an opened file, in which its pixels are stored; ``""`` if they are decoded already."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
    return ""


def tiff_is_read(tags: Mapping) -> bool:
    """Return whether Pillow reads the pixels of a TIFF with these tags as they are stored."""
    bits, kinds, photometric = _bits(tags), set(_kinds(tags)), tags.get(262, WHITE_IS_ZERO)
    planar, uncompressed = tags.get(284, 1) == PLANAR, tags.get(259, UNCOMPRESSED) == UNCOMPRESSED
    if len(set(bits)) > 1 or len(kinds) > 1:
        return False
    depth, kind = bits[0], kinds.pop()
    if photometric in (WHITE_IS_ZERO, GREY) and len(bits) == 1:
        if kind == 1 and depth <= 8:
            return True
        if photometric == WHITE_IS_ZERO:
            return False  # Pillow does not invert these, so that bright pixels would be dark
        little_endian = getattr(tags, "prefix", b"II") == b"II"
        if kind == 1:
            return depth == 16 or (depth == 12 and little_endian)
        # libtiff swaps the bytes of compressed big-endian files, and Pillow swaps them again.
        return (kind, depth) in ((2, 16), (2, 32), (3, 32)) and (uncompressed or little_endian)
    if kind != 1 or depth > 16:
        return False
    if photometric == GREY:  # with transparency
        return depth == 8 and not planar
    if photometric in (RGB, CMYK):
        return len(bits) in (3, 4) and not (depth == 16 and planar and uncompressed)
    return (photometric == PALETTE and depth <= 8) or (photometric == YCBCR and tags.get(259) == JPEG)


def tiff_kind(tags: Mapping) -> str:
    """Describe a TIFF: ``"3 channels of 64-bit floats, uncompressed planes, big-endian"``."""
    bits, kinds, photometric = _bits(tags), _kinds(tags), tags.get(262, WHITE_IS_ZERO)
    channels = "one channel" if len(bits) == 1 else f"{len(bits)} channels"
    depths = "/".join(map(str, sorted(set(bits))))
    properties = [f"{channels} of {depths}-bit {KINDS.get(kinds[0], 'numbers of another type')}"]
    if photometric == WHITE_IS_ZERO:
        properties.append("white is zero")
    if photometric > RGB:
        properties.append(COLOURS.get(photometric, f"photometric {photometric}"))
    if tags.get(284, 1) == PLANAR:
        properties.append("uncompressed planes" if tags.get(259, UNCOMPRESSED) == UNCOMPRESSED else "planes")
    if getattr(tags, "prefix", b"II") == b"MM":
        properties.append("big-endian")
    return ", ".join(properties)


def _bits(tags: Mapping) -> tuple[int, ...]:
    bits = tuple(tags.get(258, (1,)))
    return bits * min(tags.get(277, 1), MAX_CHANNELS) if len(bits) == 1 else bits


def _kinds(tags: Mapping) -> tuple[int, ...]:
    return tuple(tags.get(339, (1,)))
