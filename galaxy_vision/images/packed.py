"""Unpack gzip and bzip2 files in memory, within limits."""

import bz2
import zlib

MAX_MEMBERS, STEP_BYTES = 10_000, 1 << 16
"""Largest number of members of a packed file, and the bytes of one decompression step.

Ours: every member takes time however short it is, and a step copies the bytes that follow its member.
"""
PACKERS = {
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
}
"""First bytes of a packed file -> name of the format, and what makes a decompressor of one member."""


def unpack(data: bytes, limit: int) -> bytes:
    """Return the unpacked members of a gzip or bzip2 file, one after the other; other bytes as they are.

    Args:
        data: the file.
        limit: most bytes that it may unpack to.

    Raises:
        ValueError: the file is damaged or truncated, unpacks to more than ``limit``, or has too many members.
    """
    magic = next((magic for magic in PACKERS if data.startswith(magic)), None)
    if magic is None:
        return data
    kind, decompressor = PACKERS[magic]
    unpacked, position = bytearray(), 0
    for _ in range(MAX_MEMBERS):
        stream = decompressor()
        while not stream.eof:
            piece = data[position : position + STEP_BYTES]  # short, since a stream copies what follows its end
            if not piece:
                raise ValueError(f"unreadable image: truncated {kind} file; download it again")
            try:
                unpacked += stream.decompress(piece, limit + 1 - len(unpacked))
            except (zlib.error, OSError) as error:
                raise ValueError(f"unreadable image: damaged {kind} file ({error}); download it again") from error
            if len(unpacked) > limit:
                raise ValueError(
                    f"unpacked {kind} file is larger than the limit of {limit / 2**20:.3g} MiB; cut it down first"
                )
            position += len(piece) - len(stream.unused_data)
        if not data.startswith(magic, position):  # padding or the end of the file
            return bytes(unpacked)
    raise ValueError(f"{kind} file has more than {MAX_MEMBERS} members; unpack it first")
