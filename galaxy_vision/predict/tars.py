"""List the images of tars, or of folders of tars as written by WebDataset, as entries of an index.

A tar is a sequence of headers, each followed by the content of its file, and ends with a block of zeros. A tar without
that block is incomplete; what follows the zeros is another tar, if several were joined by ``cat``.
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
"""Part of a name between dots that can belong to an extension: ``mask``, ``jpg``; not ``6`` or ``78+012345``."""

_MAX_LINKS = 40
"""Most links of a chain; Linux follows as many."""


class _Member(NamedTuple):
    name: str
    offset: int
    size: int
    check: int
    sparse: bool
    header_end: int
    """Byte at which the header ends, which unlike ``offset`` is unique to a member."""
    absent: str


def scan_tars(path: Path, columns: Columns, notes: list[str]) -> Iterator[Entry]:
    """Yield the galaxies of a tar, or of all tars of a folder.

    A name is that of a sample and an extension, as in WebDataset: ``a.jpg`` and ``a.mask.png`` belong to ``a`` and have
    the extensions ``jpg`` and ``mask.png``. ``columns.image`` is the extension of galaxies. Without it all images are
    galaxies, except those with a longer extension than another image of their sample.

    Raises:
        ValueError: a tar is not complete, or several images of a sample may be the galaxy.
    """
    count = 0
    files = [name for name, _ in files_in(path) if name.lower().endswith(".tar")] if path.is_dir() else [path.name]
    folder = path if path.is_dir() else path.parent
    for file in files:
        prefix = f"{file}:" if path.is_dir() else ""
        try:
            members = _resolved(folder / file)
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:  # ValueError: a size beyond the end, in seek
            raise ValueError(
                f"{folder / file} is not a complete, uncompressed tar ({error}); download or write it again"
            ) from error
        for member in _galaxies(members, columns.image, folder / file, notes):
            count += 1
            galaxy = normal_path(_sample(member.name)[0]).name if columns.image else image_id(member.name)
            source = f"{prefix}{member.name}@{member.header_end}"
            yield Entry(galaxy, source, file, member.offset, member.size, member.check, member.sparse, member.absent)
    if columns.image and not count:
        raise ValueError(
            f"image_column={columns.image!r}: no file in catalogue={path} has a name that ends with .{columns.image}"
        )


def _galaxies(members: list[_Member], extension: str | None, tar: Path, notes: list[str]) -> Iterator[_Member]:
    """Yield the members that are images of galaxies, as :func:`scan_tars` chooses them."""
    if extension is not None:
        extension = extension.lower().lstrip(".")
        yield from (member for member in members if not is_hidden(member.name) and _sample(member.name)[1] == extension)
        return
    members = [member for member in members if is_image(member.name)]
    shortest = defaultdict(set)  # extensions that name only the format, by sample
    for member in members:
        sample, extension = _sample(member.name)
        if image_id(member.name) == normal_path(sample).name:
            shortest[sample].add(extension)
            if len(shortest[sample]) > 1:
                extensions = sorted(shortest[sample])
                raise ValueError(
                    f"{tar} has {' and '.join(f'{sample}.{extension}' for extension in extensions)}; "
                    f"say by --image_column {extensions[0]} which of them is the galaxy"
                )
    left_out = 0
    for member in members:
        sample, extension = _sample(member.name)
        if sample in shortest and extension not in shortest[sample]:
            left_out += 1
        else:
            yield member
    if left_out:
        notes.append(
            f"{left_out} images in {tar} have a longer extension than another image of their name (a.mask.png, "
            "a.jpg) and are left out"
        )


def _sample(name: str) -> tuple[str, str]:
    """Return sample and extension of a name: ``a/J12.6`` and ``mask.png`` of ``a/J12.6.mask.png``."""
    path = normal_path(name)
    parts = path.name.split(".")
    first = len(parts)
    while first > 1 and _WORD.fullmatch(parts[first - 1]):
        first -= 1
    return str(path.parent / ".".join(parts[:first])), ".".join(parts[first:]).lower()


def _resolved(file: Path) -> list[_Member]:
    """Return all files of a tar, and its links as the files that they point to inside the tar."""
    members, files, links = [], {}, {}
    for info in _headers(file):
        name = _inside(info.name)
        start = info.offset if info.issparse() else info.offset_data  # tarfile fills the holes of a sparse file
        target, content = None, (start, info.size, info.chksum, info.issparse())
        if info.isfile():
            files[name] = content
            links.pop(name, None)
        elif info.islnk():  # points to an earlier file
            target = _inside(info.linkname)
            if target in files:
                files[name], content, target = files[target], files[target], None
                links.pop(name, None)
        elif info.issym():  # points to an earlier or later file
            target = _inside(posixpath.join(posixpath.dirname(info.name), info.linkname))
            files.pop(name, None)
            links[name] = target
        else:
            continue
        members.append((info.name, content, info.offset_data, target))
    resolved = []
    for name, content, header_end, target in members:
        absent = ""
        if target is not None:
            end_of_links = target
            for _ in range(_MAX_LINKS):
                end_of_links = links.get(end_of_links, end_of_links)
            content = files.get(end_of_links, (0, -1, 0, False))
            absent = "" if end_of_links in files else f"a link to {target}, which is not in the tar"
        resolved.append(_Member(name, *content, header_end, absent))
    return resolved


def _inside(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _headers(file: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar, and of tars that follow it in the same file.

    Raises:
        tarfile.TarError: a header is damaged, which tarfile itself takes for the end, or the end is missing.
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
                what = "is damaged" if block else "is missing: the tar was truncated or never finished"
                raise tarfile.ReadError(f"at byte {start} the next header or the end {what}")
            start = _next_header(opened, start, end)
        if end == 0:
            raise tarfile.ReadError("empty file")


def _next_header(opened, start: int, end: int) -> int:
    """Return the start of the first block that is not zeros, or the end of the file."""
    opened.seek(start)
    while block := opened.read(1 << 20):
        if any(block):
            first = next(offset for offset, value in enumerate(block) if value)
            return start + first // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        start += len(block)
    return end


def read_tar(file: Path, entry: Entry) -> bytes:
    """Return the bytes of a file in a tar.

    Raises:
        OSError: the tar cannot be read.
        ValueError: the tar ends before the file does.
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
