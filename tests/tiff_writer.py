"""TIFF files of every kind that scientific software writes, by hand: Pillow writes few of them."""

import struct
import zlib

import numpy as np

GREY_WHITE_IS_ZERO, GREY, RGB, PALETTE, MASK, CMYK, YCBCR, LAB = 0, 1, 2, 3, 4, 5, 6, 8
FORMATS = {"u": 1, "i": 2, "f": 3}


def tiff(
    array: np.ndarray,
    *,
    order: str = "<",
    photometric: int | None = None,
    planar: bool = False,
    deflate: bool = False,
    tiled: bool = False,
    bits: int | None = None,
    extra: int | None = None,
    sample_format: bool = True,
    big: bool = False,
) -> bytes:
    """The bytes of a TIFF of one page.

    Args:
        array: (H, W) or (H, W, C) of any real type.
        order: ``"<"`` or ``">"``.
        photometric: by default grey of one or two channels, RGB of more.
        planar: one plane after the other, instead of pixel by pixel.
        deflate: compressed, instead of as it is.
        tiled: in one tile, whose sides are multiples of 16.
        bits: pack the integers into so many bits each (12, for example), rows padded to whole bytes.
        extra: what the last channel is: 0 unspecified, 1 opacity with multiplied colours, 2 opacity.
        sample_format: whether the tag says if values are unsigned, signed or floats.
        big: a BigTIFF.
    """
    channels = 1 if array.ndim == 2 else array.shape[-1]
    height, width = array.shape[:2]
    stored = array.reshape(height, width, channels)
    if tiled:
        stored = np.pad(stored, ((0, -height % 16), (0, -width % 16), (0, 0)))
    planes = np.moveaxis(stored, -1, 0)[..., None] if planar else stored[None]
    strips = [
        _packed(plane, bits) if bits else plane.astype(array.dtype.newbyteorder(order)).tobytes() for plane in planes
    ]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits or 8 * array.itemsize] * channels),
        259: ("H", [8 if deflate else 1]),
        262: ("H", [photometric if photometric is not None else GREY if channels < 3 else RGB]),
        277: ("H", [channels]),
        284: ("H", [2 if planar else 1]),
        (324 if tiled else 273): ("I", None),
        (325 if tiled else 279): ("I", [len(strip) for strip in strips]),
    }
    tags |= {322: ("I", [stored.shape[1]]), 323: ("I", [stored.shape[0]])} if tiled else {278: ("I", [height])}
    tags |= {338: ("H", [extra])} if extra is not None else {}
    tags |= {339: ("H", [FORMATS[array.dtype.kind]] * channels)} if sample_format else {}
    if tags[262][1] == [PALETTE]:
        tags[320] = ("H", [257 * (index % 256) for index in range(3 << (bits or 8 * array.itemsize))][: 3 << 16])
    return _written(tags, strips, order, big)


def _packed(plane: np.ndarray, bits: int) -> bytes:
    rows = plane.reshape(len(plane), -1).astype(np.uint32)
    ones = (rows[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint32)) & 1
    return np.packbits(ones.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def _written(tags: dict, strips: list[bytes], order: str, big: bool) -> bytes:
    word, types = ("Q" if big else "I"), {"H": 3, "I": 4}
    entry, start = (20, 16) if big else (12, 8)
    behind = start + (8 if big else 2) + entry * len(tags) + (8 if big else 4)
    longer, entries = b"", []
    first = behind + sum(
        _size(kind, values or strips)
        for kind, values in tags.values()
        if _size(kind, values or strips) > entry // 2 - 2
    )
    offsets = np.cumsum([first, *map(len, strips[:-1])]).tolist()
    for tag, (kind, values) in sorted(tags.items()):
        values = offsets if values is None else values
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        room = entry // 2 - 2
        if len(data) > room:
            entries.append(struct.pack(f"{order}HH{word}{word}", tag, types[kind], len(values), behind + len(longer)))
            longer += data
        else:
            entries.append(struct.pack(f"{order}HH{word}", tag, types[kind], len(values)) + data.ljust(room, b"\0"))
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8))
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
    return head + count + b"".join(entries) + struct.pack(f"{order}{word}", 0) + longer + b"".join(strips)


def _size(kind: str, values: list) -> int:
    return len(values) * struct.calcsize(kind)
