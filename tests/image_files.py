"""Images as bytes: of many formats, by hand, and hostile ones with the sentence that each is refused by."""

import bz2
import gzip
import io
import struct
import zlib

import numpy as np
from astropy.io import fits
from conftest import jpeg
from PIL import Image

from galaxy_vision.images import limits

rng = np.random.default_rng(0)
COLOURS = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
SKY = rng.normal(100.0, 2.0, (3, 40, 48)).astype(np.float32)


def encoded(image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def fits_file(*arrays, primary=None, **options) -> bytes:
    hdus = fits.HDUList([fits.PrimaryHDU(primary)])
    for number, array in enumerate(arrays):
        kind = fits.CompImageHDU if options else fits.ImageHDU
        hdus.append(kind(array, name=f"BAND{number}", **options))
    file = io.BytesIO()
    hdus.writeto(file)
    return file.getvalue()


def fits_header(**cards) -> bytes:
    return fits.Header([("SIMPLE", True), *cards.items()]).tostring().encode()


def source(flux: float, row: int = 20, column: int = 24) -> np.ndarray:
    """Sky with a round source of that peak."""
    y, x = np.mgrid[:40, :48]
    return SKY[0] + flux * np.exp(-0.5 * ((x - column) ** 2 + (y - row) ** 2) / 9)


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG by hand: also one that Pillow would not write."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


HOSTILE = {
    "empty": (b"", "empty .0 bytes."),
    "text": (b"I am a galaxy", "not an image: the file begins with b'I am a g'"),
    "noise": (bytes(rng.integers(0, 256, 5000, dtype=np.uint8)), "not an image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "xml svg": (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG drawing"),
    "html named jpg": (b"\n <!DOCTYPE html><html>404</html>", "a web page"),
    "pdf": (b"%PDF-1.7 ...", "a PDF document"),
    "truncated jpeg": (jpeg(COLOURS)[:-200], "damaged JPEG.*download or save it again"),
    "truncated png": (encoded(COLOURS, "PNG")[:-900], "damaged PNG"),
    "truncated webp": (encoded(COLOURS, "WEBP")[:-100], "damaged"),
    "header alone": (jpeg(COLOURS)[:30], "damaged|not an image"),
    "very wide png": (
        png(100_000, 1, b"\0" * 300_001),
        "image of 100000x1 px is larger than the limit of 4096 px a side",
    ),
    "bomb": (png(60_000, 60_000, b"\0" * 1000), "larger than the limit of 4096 px a side"),
    "bomb within the side": (png(4096, 4096, b"\0" * 1000), "damaged PNG"),
    "web page polyglot": (jpeg(COLOURS) + b"<script>alert(1)</script>", "image and a web page at once"),
    "gzip of text": (gzip.compress(b"text"), "gzip file contains no FITS"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"text")), "gzip file contains no FITS"),
    "truncated gzip": (gzip.compress(fits_file(SKY[0]))[:-500], "truncated gzip"),
    "bzip2 of text": (bz2.compress(b"text"), "bzip2 file contains no FITS"),
    "gzip in bzip2": (bz2.compress(gzip.compress(b"text")), "bzip2 file contains no FITS"),
    "truncated bzip2": (bz2.compress(fits_file(SKY[0]))[:-500], "truncated bzip2"),
    "spoiled bzip2": (bz2.compress(fits_file(SKY[0]))[:4] + bytes(800), "damaged bzip2"),
    "bzip2 bomb": (
        bz2.compress(b"SIMPLE  =" + bytes(limits.MAX_BYTES), 1),
        "unpacked bzip2 file is larger than the limit of 64 MiB",
    ),
    "gzip bomb": (
        gzip.compress(b"SIMPLE  =" + bytes(limits.MAX_BYTES), 1),
        "unpacked gzip file is larger than the limit of 64 MiB",
    ),
    "truncated fits": (fits_file(SKY[0])[:-5000], "damaged FITS file"),
    "fits header alone": (fits_file(SKY[0])[:2000], "damaged FITS file|no image"),
    "fits without image": (fits_file(), "FITS file has no image; its HDUs are: 0 PRIMARY"),
    "fits spectrum": (fits_file(SKY[0, 0]), "FITS file has no image"),
    "fits of four axes": (
        fits_file(np.zeros((2, 3, 8, 8), np.int16)),
        r"shape \(2, 3, 8, 8\); give \(H, W\) or \(bands, H, W\)",
    ),
    "wide fits": (fits_file(np.zeros((2, 5000), np.int16)), "5000x2 px is larger than the limit of 4096"),
    "fits cube of many values": (
        fits_header(BITPIX=8, NAXIS=3, NAXIS1=400, NAXIS2=400, NAXIS3=500),
        "80,000,000 values, more than the limit of",
    ),
}
