"""Tars, and folders of them as WebDataset writes -> entries of an index.

A tar is a list of headers, each before its bytes, and ends with a block of zeros. One without was cut, and what
follows the zeros is another tar, where several were joined by ``cat``.
"""

import os
import posixpath
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..images.limits import image_id, is_hidden, is_image, normal_path
from ..images.listing import files_in
from .entry import Entry
from .rows import Columns

_WORD = re.compile(r"[A-Za-z][\w-]*")
"""A part of a name between dots that names the kind of a file: ``mask``, ``jpg``; not ``6`` or ``78+012345``."""

_MAX_LINKS = 40
"""Of a chain of links; Linux follows as many."""


class _Member(NamedTuple):
    name: str
    offset: int
    size: int
    check: int
    sparse: bool
    place: int
    """Where the header ends; unlike ``offset`` no other member has it."""
    absent: str


def scan_tars(path: Path, columns: Columns, notes: list[str]) -> Iterator[Entry]:
    """The images of a tar, or of all tars of a folder.

    A name is a sample and a kind, as in WebDataset: ``a.jpg`` and ``a.mask.png`` are the kinds ``jpg`` and
    ``mask.png`` of ``a``. ``columns.image`` names the kind that is the galaxy. Without it, a galaxy is every image
    but those beside a plainer one of their sample.

    Raises:
        ValueError: a tar is not complete, or it is open which image of a sample is the galaxy.
    """
    found = 0
    files = [name for name, _ in files_in(path) if name.lower().endswith(".tar")] if path.is_dir() else [path.name]
    folder = path if path.is_dir() else path.parent
    for file in files:
        prefix = f"{file}:" if path.is_dir() else ""
        try:
            members = _resolved(folder / file)
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:  # a size beyond the end fails in seek
            raise ValueError(
                f"{folder / file} is not a complete, uncompressed tar ({error}); download or write it again"
            ) from error
        for member in _galaxies(members, columns.image, folder / file, notes):
            found += 1
            galaxy = normal_path(_sample(member.name)[0]).name if columns.image else image_id(member.name)
            source = f"{prefix}{member.name}@{member.place}"
            yield Entry(galaxy, source, file, member.offset, member.size, member.check, member.sparse, member.absent)
    if columns.image and not found:
        raise ValueError(
            f"image_column={columns.image!r}: no file in catalogue={path} has a name that ends with .{columns.image}"
        )


def _galaxies(members: list[_Member], kind: str | None, where: Path, notes: list[str]) -> Iterator[_Member]:
    if kind is not None:
        yield from (
            each for each in members if not is_hidden(each.name) and _sample(each.name)[1] == kind.lower().lstrip(".")
        )
        return
    members = [each for each in members if is_image(each.name)]
    plain = defaultdict(set)
    for each in members:
        sample, kind = _sample(each.name)
        if image_id(each.name) == normal_path(sample).name:
            plain[sample].add(kind)
            if len(plain[sample]) > 1:
                kinds = sorted(plain[sample])
                raise ValueError(
                    f"{where} has {' and '.join(f'{sample}.{kind}' for kind in kinds)}; "
                    f"say by --image_column {kinds[0]} which kind is the galaxy"
                )
    beside = 0
    for each in members:
        sample, kind = _sample(each.name)
        if sample in plain and kind not in plain[sample]:
            beside += 1
        else:
            yield each
    if beside:
        notes.append(
            f"{beside} images in {where} lie beside a plainer one, as a.mask.png beside a.jpg, and are left out"
        )


def _sample(name: str) -> tuple[str, str]:
    """``a/J12.6.mask.png`` -> (``a/J12.6``, ``mask.png``)."""
    path = normal_path(name)
    parts = path.name.split(".")
    first = len(parts)
    while first > 1 and _WORD.fullmatch(parts[first - 1]):
        first -= 1
    return str(path.parent / ".".join(parts[:first])), ".".join(parts[first:]).lower()


def _resolved(file: Path) -> list[_Member]:
    """Every file of a tar; a link as the file that it leads to inside the tar."""
    members, files, links = [], {}, {}
    for info in _headers(file):
        name = _inside(info.name)
        start = info.offset if info.issparse() else info.offset_data  # tarfile fills the holes of a sparse file
        target, bytes_at = None, (start, info.size, info.chksum, info.issparse())
        if info.isfile():
            files[name] = bytes_at
            links.pop(name, None)
        elif info.islnk():  # to a file before it
            target = _inside(info.linkname)
            if target in files:
                files[name], bytes_at, target = files[target], files[target], None
                links.pop(name, None)
        elif info.issym():  # to a file before or behind it
            target = _inside(posixpath.join(posixpath.dirname(info.name), info.linkname))
            files.pop(name, None)
            links[name] = target
        else:
            continue
        members.append((info.name, bytes_at, info.offset_data, target))
    resolved = []
    for name, bytes_at, place, target in members:
        absent = ""
        if target is not None:
            wanted = target
            for _ in range(_MAX_LINKS):
                wanted = links.get(wanted, wanted)
            bytes_at = files.get(wanted, (0, -1, 0, False))
            absent = "" if wanted in files else f"a link to {target}, which is not in the tar"
        resolved.append(_Member(name, *bytes_at, place, absent))
    return resolved


def _inside(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _headers(file: Path) -> Iterator[tarfile.TarInfo]:
    """Every header of a tar, and of those behind it.

    Raises:
        tarfile.TarError: one is damaged, or the end is missing; tarfile itself takes a damaged header for the end.
    """
    end = os.path.getsize(file)
    with open(file, "rb") as opened:
        start = 0
        while start < end:
            opened.seek(start)
            with tarfile.open(fileobj=opened, mode="r:") as archive:
                for info in archive:
                    archive.members = []  # which would otherwise hold every header
                    yield info
                start = archive.offset
            opened.seek(start)
            if any(block := opened.read(tarfile.BLOCKSIZE)) or len(block) < tarfile.BLOCKSIZE:
                what = "is damaged" if block else "is missing: it was cut, or never finished"
                raise tarfile.ReadError(f"at byte {start} the next header or the end {what}")
            start = _next_header(opened, start, end)
        if end == 0:
            raise tarfile.ReadError("empty file")


def _next_header(opened, start: int, end: int) -> int:
    """Place of the first block that is not zeros, or the end."""
    opened.seek(start)
    while block := opened.read(1 << 20):
        if any(block):
            first = next(place for place, value in enumerate(block) if value)
            return start + first // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        start += len(block)
    return end


def read_tar(file: Path, entry: Entry) -> bytes:
    """The bytes of a file in a tar.

    Raises:
        OSError: the tar cannot be read.
        ValueError: it ends before.
    """
    with open(file, "rb") as opened:
        opened.seek(entry.offset)
        if entry.sparse:
            with tarfile.open(fileobj=opened, mode="r:") as archive:
                return archive.extractfile(archive.next()).read()
        data = opened.read(entry.size)
    if len(data) < entry.size:
        raise ValueError(f"{file} ends before the image does; it has changed since it was listed")
    return data
