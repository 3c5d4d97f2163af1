"""Kinds of files that Pillow opens and whose pixels it would change: each is one sentence.

What it reads right is listed, and not what is wrong.

Tried by hand-written files of every type, order, layout and compression (``tests/models/test_file_kinds.py``).
"""

import io
import re
from collections.abc import Mapping

from PIL import Image, TiffImagePlugin

KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floats"}
WHITE_IS_ZERO, GREY, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
COLOURS = {PALETTE: "palette", MASK: "mask", CMYK: "CMYK", YCBCR: "YCbCr", 8: "LAB"}
MAX_CHANNELS = 99
PLANAR, UNCOMPRESSED, JPEG = 2, 1, 7
REMEDY = "save it as FITS, or as PNG of 8-bit RGB or 16-bit grey"
_SOF = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..(.)", re.DOTALL)
"""The header of a JPEG's frame, whose first number after its length is the bits of a colour."""
STARTS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"RIFF": "WebP"}
STARTS |= {start: "TIFF" for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}
"""First bytes of each format; BigTIFF has the last two."""


def check_kind(image: Image.Image) -> None:
    """Look at what an opened file says of itself, before its pixels are decoded.

    Raises:
        ValueError: its pixels would come out wrong.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is not None and not tiff_is_read(tags):
        raise ValueError(f"TIFF of {tiff_kind(tags)} would be misread; {REMEDY}")
    if raw_mode(image) == "LA;16B":
        raise ValueError(
            f"16-bit grey {image.format} with transparency would keep 8 bits; save it without transparency"
        )


def why_unread(data: bytes) -> str | None:
    """Why Pillow does not open a file that begins as one of our formats, as a sentence; None if it begins otherwise."""
    name = next((name for start, name in STARTS.items() if data.startswith(start)), None)
    damaged = f"unreadable image: damaged {name}; download or save it again"
    if name == "JPEG" and (found := _SOF.search(data)) and found[1] != b"\x08":
        return f"JPEG of {found[1][0]} bits is not known, only of 8; {REMEDY}"
    if name != "TIFF":
        return name and damaged
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if b"+" in data[:4] else 8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        return damaged if tiff_is_read(tags) else f"TIFF of {tiff_kind(tags)} is not known; {REMEDY}"
    except Exception:  # a directory that is damaged fails in as many ways as there are
        return f"unreadable image: damaged TIFF, or a BigTIFF that is big-endian; {REMEDY}"


def raw_mode(image: Image.Image) -> str:
    """How the pixels of an opened file are stored, ``""`` if they are decoded already."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
    return ""


def tiff_is_read(tags: Mapping) -> bool:
    """Whether Pillow gives the pixels of a TIFF with these tags as they are stored."""
    bits, kinds, photometric = _bits(tags), set(_kinds(tags)), tags.get(262, WHITE_IS_ZERO)
    planar, plain = tags.get(284, 1) == PLANAR, tags.get(259, UNCOMPRESSED) == UNCOMPRESSED
    if len(set(bits)) > 1 or len(kinds) > 1:
        return False
    depth, kind = bits[0], kinds.pop()
    if photometric in (WHITE_IS_ZERO, GREY) and len(bits) == 1:
        if kind == 1 and depth <= 8:
            return True
        if photometric == WHITE_IS_ZERO:
            return False  # the numbers come as they are, dark for bright
        little = getattr(tags, "prefix", b"II") == b"II"
        if kind == 1:
            return depth == 16 or (depth == 12 and little)
        # libtiff has turned the bytes of compressed files already, and Pillow turns them once more.
        return (kind, depth) in ((2, 16), (2, 32), (3, 32)) and (plain or little)
    if kind != 1 or depth > 16:
        return False
    if photometric == GREY:  # with transparency
        return depth == 8 and not planar
    if photometric in (RGB, CMYK):
        return len(bits) in (3, 4) and not (depth == 16 and planar and plain)
    return (photometric == PALETTE and depth <= 8) or (photometric == YCBCR and tags.get(259) == JPEG)


def tiff_kind(tags: Mapping) -> str:
    """In words: ``"3 channels of 64-bit floats, uncompressed planes, big-endian"``."""
    bits, kinds, photometric = _bits(tags), _kinds(tags), tags.get(262, WHITE_IS_ZERO)
    channels = "one channel" if len(bits) == 1 else f"{len(bits)} channels"
    said = [
        f"{channels} of {'/'.join(map(str, sorted(set(bits))))}-bit {KINDS.get(kinds[0], 'numbers of another type')}"
    ]
    said += ["white is zero"] * (photometric == WHITE_IS_ZERO)
    said += [COLOURS.get(photometric, f"photometric {photometric}")] * (photometric > RGB)
    if tags.get(284, 1) == PLANAR:
        said.append("uncompressed planes" if tags.get(259, UNCOMPRESSED) == UNCOMPRESSED else "planes")
    said += ["big-endian"] * (getattr(tags, "prefix", b"II") == b"MM")
    return ", ".join(said)


def _bits(tags: Mapping) -> tuple[int, ...]:
    bits = tuple(tags.get(258, (1,)))
    return bits * min(tags.get(277, 1), MAX_CHANNELS) if len(bits) == 1 else bits


def _kinds(tags: Mapping) -> tuple[int, ...]:
    return tuple(tags.get(339, (1,)))
