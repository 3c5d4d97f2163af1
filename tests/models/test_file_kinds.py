"""Every kind of TIFF, PNG and JPEG that instruments' software writes gives its own pixels, or one sentence."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tiff_writer import CMYK, GREY, GREY_WHITE_IS_ZERO, LAB, PALETTE, RGB, YCBCR, tiff

from galaxy_vision.images.decode import read_rgb
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor

rng = np.random.default_rng(0)
COLOURS = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
y, x = np.mgrid[:40, :48]
COUNTS = rng.normal(100, 2, (40, 48)) + 400 * np.exp(-((x - 24) ** 2 + (y - 20) ** 2) / 18)
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
LAYOUTS = list(itertools.product("<>", [False, True], [False, True], [False, True]))


def deep(kind: str) -> np.ndarray:
    """Counts of a galaxy in this type, with the whole range of small ones."""
    return COUNTS.clip(0, 127).astype(kind) if np.dtype(kind).itemsize == 1 else COUNTS.astype(kind)


def colours(kind: str, channels: int) -> np.ndarray:
    opaque = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 255, np.uint8)])[..., :channels]
    return opaque * np.uint16(257) if kind == "u2" else opaque.astype(kind)


def outcome(data: bytes, known: np.ndarray) -> str:
    """``"right"``, the sentence, or ``"wrong"``, which none may be."""
    try:
        seen = np.asarray(read_rgb(data))
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        return str(error)
    return "right" if (seen == known).all() else "wrong"


def read(*cases) -> set[str]:
    return {outcome(data, known) for data, known in cases}


@pytest.mark.parametrize("kind", TYPES)
def test_a_grey_tiff_of_any_type_and_layout_is_right_or_refused(kind):
    counts = deep(kind)
    bright = np.asarray(read_rgb(counts)) if kind != "u1" else np.repeat(counts[..., None], 3, -1)
    dark = 255 - bright if kind == "u1" else bright
    for order, _, deflate, tiled in LAYOUTS:
        for photometric, known in ((GREY, bright), (GREY_WHITE_IS_ZERO, dark)):
            data = tiff(counts, order=order, deflate=deflate, tiled=tiled, photometric=photometric)
            found = outcome(data, known)
            expected = photometric == GREY and (
                kind == "u2" or (kind in ("i2", "i4", "f4") and (order == "<" or not deflate))
            )
            assert (found == "right") == (expected or kind == "u1"), (order, deflate, tiled, photometric, found)
            assert found == "right" or found.startswith("TIFF of one channel of"), found
            if found != "right" and photometric == GREY_WHITE_IS_ZERO:
                assert "white is zero" in found


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("channels, photometric", [(3, RGB), (4, RGB), (3, LAB), (3, YCBCR)])
def test_a_colour_tiff_of_any_type_and_layout_is_right_or_refused(kind, channels, photometric):
    for order, planar, deflate, tiled in LAYOUTS:
        extra = 2 if channels == 4 else None
        options = {"order": order, "planar": planar, "deflate": deflate, "tiled": tiled, "extra": extra}
        found = outcome(tiff(colours(kind, channels), photometric=photometric, **options), COLOURS)
        sixteen = kind == "u2" and (deflate or not planar)
        assert (found == "right") == (photometric == RGB and (kind == "u1" or sixteen)), (options, found)
        assert found == "right" or found.startswith(f"TIFF of {channels} channels of"), found


def test_cmyk_palettes_few_bits_and_grey_with_opacity_are_right_or_refused():
    ink = Image.fromarray(COLOURS).convert("CMYK")
    known = np.asarray(ink.convert("RGB"))
    for planar, deflate in itertools.product([False, True], repeat=2):
        layout = {"planar": planar, "deflate": deflate}
        assert outcome(tiff(np.asarray(ink), photometric=CMYK, **layout), known) == "right"
        found = outcome(tiff(np.asarray(ink) * np.uint16(257), photometric=CMYK, **layout), known)
        assert (found == "right") == (deflate or not planar), found
    grey = COLOURS.min(-1)  # mostly dark
    for bits in (1, 2, 4):
        few = grey >> (8 - bits)
        screen = np.repeat((few.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)[..., None], 3, -1)
        for deflate in (False, True):
            assert read((tiff(few, bits=bits, deflate=deflate), screen)) == {"right"}
            inverse = tiff(2**bits - 1 - few, bits=bits, deflate=deflate, photometric=GREY_WHITE_IS_ZERO)
            assert read((inverse, screen)) == {"right"}
    twelve = (COUNTS * 8).astype(np.uint16)
    assert outcome(tiff(twelve, bits=12), np.asarray(read_rgb(twelve))) == "right"
    layer = np.dstack([grey, np.full_like(grey, 255)])
    assert outcome(tiff(layer, extra=2), np.repeat(grey[..., None], 3, -1)) == "right"
    for data in (
        tiff(twelve, bits=12, order=">"),
        tiff(twelve, bits=14),
        tiff(grey.astype(np.uint16), photometric=PALETTE),
        tiff(layer, extra=2, planar=True),
        tiff(layer, extra=2, planar=True, deflate=True),
        tiff(layer.astype(np.uint16), extra=2),
        tiff(np.dstack([COLOURS, COLOURS])[..., :5], extra=0),
        tiff(COUNTS, big=True),
    ):
        assert outcome(data, None).startswith("TIFF of ")
    assert "BigTIFF that is big-endian" in outcome(tiff(COUNTS.astype(np.float32), big=True, order=">"), None)
    assert (
        outcome(tiff(COUNTS.astype(np.float32), big=True), np.asarray(read_rgb(COUNTS.astype(np.float32)))) == "right"
    )


def test_an_opened_tiff_is_checked_as_its_bytes_are():
    planes = Image.open(io.BytesIO(tiff(colours("u2", 3), planar=True)))
    for reader in (read_rgb, lambda image: GalaxyImageProcessor()(image, return_tensors="pt")):
        with pytest.raises(
            ValueError, match="3 channels of 16-bit unsigned integers, uncompressed planes would be misread"
        ):
            reader(planes)


def png(array: np.ndarray, colour: int, bits: int, *chunks: tuple[bytes, bytes], interlaced: bool = False) -> bytes:
    """A PNG by hand; an interlaced one (Adam7) of one pixel."""
    height, width = array.shape[:2]
    depth = {8: "u1", 16: ">u2"}
    if bits < 8:
        ones = (array[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = [np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in ones]
    else:
        rows = [row.astype(depth[bits]).tobytes() for row in array]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    body = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in body]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_a_png_of_any_depth_and_colour_is_right_or_refused():
    wide, grey = COLOURS * np.uint16(257), COLOURS.min(-1)
    full = np.full_like(wide[..., 0], 65535)
    gamma = (b"gAMA", struct.pack(">I", 100_000))  # which no viewer of ours applies
    for made in ((COLOURS, 2, 8), (wide, 2, 16), (np.dstack([wide, full]), 6, 16)):
        assert outcome(png(*made), COLOURS) == outcome(png(*made, gamma), COLOURS) == "right"
    for bits in (1, 2, 4, 8):
        few = grey >> (8 - bits)
        screen = (few.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
        assert outcome(png(few, 0, bits), np.repeat(screen[..., None], 3, -1)) == "right"
    counts = (COUNTS * 50).astype(np.uint16)
    assert outcome(png(counts, 0, 16), np.asarray(read_rgb(counts))) == "right"
    transparent = png(np.dstack([counts, np.full_like(counts, 65535)]), 4, 16)
    assert outcome(transparent, None).startswith("16-bit grey PNG with transparency would keep 8 bits")
    with pytest.raises(ValueError, match="16-bit grey PNG with transparency"):
        GalaxyImageProcessor()(Image.open(io.BytesIO(transparent)))
    assert outcome(png(COLOURS.astype(np.uint16) * 16, 2, 16), None).startswith(
        "16-bit colours of PNG with no value of 4096"
    )
    assert outcome(png(np.full((1, 1, 3), 77), 2, 8, interlaced=True), np.full((1, 1, 3), 77)) == "right"


def test_a_jpeg_of_twelve_bits_is_refused():
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "JPEG")
    data = bytearray(file.getvalue())
    data[data.index(b"\xff\xc0") + 4] = 12
    assert outcome(bytes(data), None).startswith("JPEG of 12 bits cannot be read, only JPEG of 8 bits; save it as FITS")
