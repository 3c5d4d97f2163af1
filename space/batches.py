"""Many images at once: files and zips in, rows and thumbnails out, within limits of size and time."""

import struct
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import studio
from pictures import thumbnail_url

from galaxy_vision.images.archives import read_member
from galaxy_vision.images.limits import is_hidden, is_image, normal_path, read_file, zip_directory_bytes
from galaxy_vision.inference.answer_names import answer_names

# Limits are ours: for a Space with two CPU cores that many visitors share.
MAX_BATCH = 200  # images
MAX_BATCH_BYTES = 256 * 2**20  # of all files of a batch, unpacked
MAX_ZIP_DIRECTORY = 2**20  # bytes, enough for about 10,000 files
BATCH_SECONDS = 120
KEY_CONCEPTS = ("featured", "edge-on", "bar", "spiral", "odd")
"""Columns of a batch, as far as the tree has them: predicted fraction of those asked whose answer means this."""


def batch_members(paths: list[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of every image in these files and zips, with a function that reads its bytes.

    Nothing is unpacked to disk. A member is named by its path inside the zip. Where several images have the same name,
    the number of the row is appended, as in ``a.jpg@3``.

    Raises:
        ValueError: no image, more than MAX_BATCH images or MAX_BATCH_BYTES, or a damaged zip.
    """
    members, total = [], 0
    for path in map(Path, paths):
        if is_hidden(path.name):
            continue
        if path.suffix.lower() != ".zip":
            members.append((path.name, lambda path=path: read_file(path)))
            total += path.stat().st_size
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 22 - 65535 - MAX_ZIP_DIRECTORY))
            directory = zip_directory_bytes(file.read())
        if directory is None or directory > MAX_ZIP_DIRECTORY:
            raise ValueError(
                f"{path.name} is not a zip file, is damaged, or lists more than about 10,000 files; give a smaller zip"
            )
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
            raise ValueError(f"{path.name} is a damaged zip file ({error}); make it again") from error
        for info in archive.infolist():  # entries and not names, since two of them may have the same name
            if is_image(info.filename) and not info.is_dir():
                members.append((_inside(info.filename), lambda archive=archive, info=info: read_member(archive, info)))
                total += info.file_size
    if not members:
        raise ValueError("There is no image in these files; give JPEG, PNG, TIFF, WebP, GIF or FITS, or a zip of them.")
    if len(members) > MAX_BATCH:
        raise ValueError(
            f"{len(members)} images are more than the limit of {MAX_BATCH}; give fewer, or use galaxy-vision describe"
        )
    if total > MAX_BATCH_BYTES:
        raise ValueError(
            f"{total >> 20} MiB unpacked are more than the limit of {MAX_BATCH_BYTES >> 20} MiB; give fewer images"
        )
    counts = Counter(name for name, _ in members)
    for number, (name, read) in enumerate(members, 1):
        yield (name if counts[name] == 1 else f"{name}@{number}"), read


def _inside(name: str) -> str:
    """Return the path of a zip member without the parts that lead out of the zip."""
    return "/".join(part for part in normal_path(name).parts if part not in ("/", "//", ".."))


class Row(NamedTuple):
    """One image of a batch.

    Attributes:
        summary: file, status, class, probability, caption and :data:`KEY_CONCEPTS`, in the order of the columns.
        votes: name of every answer -> its numbers, as :class:`~galaxy_vision.inference.describe.Describer` gives them;
            empty for images that were not described.
        thumbnail: a data URL; empty likewise.
        doubts: one word for each.
    """

    summary: dict
    votes: dict[str, dict[str, float]]
    thumbnail: str
    doubts: tuple[str, ...]

    @property
    def is_described(self) -> bool:
        return self.summary["status"].startswith("ok")


def described_rows(paths: list[str], campaign: str | None = None) -> Iterator[tuple[Row, int]]:
    """Describe every image of these files and zips, with the votes of a campaign.

    An image that cannot be read, or is not reached within BATCH_SECONDS, has a row whose status says why.

    Yields:
        The row of an image, and the number of all images.

    Raises:
        ValueError: as in :func:`batch_members`, or a model is missing or does not have the campaign.
    """
    tree, _ = studio.tree(campaign)
    names = answer_names(tree)
    key_answers = {key: [names[index] for index in tree.concepts[key]] for key in KEY_CONCEPTS if key in tree.concepts}
    members, end = list(batch_members(paths)), time.monotonic() + BATCH_SECONDS
    for name, read in members:
        empty = dict.fromkeys(["file", "status", "class", "probability", "caption", *key_answers]) | {"file": name}
        try:
            if time.monotonic() > end:
                raise ValueError(
                    f"not described: the batch took longer than the limit of {BATCH_SECONDS} s; give fewer images"
                )
            row = _described(studio.read_image(read()), name, campaign, empty, key_answers)
        except ValueError as error:
            row = Row(empty | {"status": str(error)}, {}, "", ())
        yield row, len(members)


def describe_batch(paths: list[str], progress: Callable[[int, int], None], campaign: str | None = None) -> list[Row]:
    """Return what :func:`described_rows` yields; ``progress`` is told how many of how many are done."""
    rows = []
    for row, total in described_rows(paths, campaign):
        rows.append(row)
        progress(len(rows), total)
    return rows


def _described(image, name: str, campaign: str | None, empty: dict, key_answers: dict[str, list[str]]) -> Row:
    description = studio.describe(image, name, campaign)
    doubts = tuple(doubt.split(":")[0] for doubt in description["doubts"])
    summary = empty | {"status": "ok", **{key: description[key] for key in ("class", "probability", "caption")}}
    if doubts:
        summary["status"] = f"ok, but doubted: {', '.join(doubts)}"
    if votes := description["votes"]:
        summary |= {key: sum(votes[name]["fraction"] for name in answers) for key, answers in key_answers.items()}
    return Row(summary, votes, thumbnail_url(image, crop=0.7), doubts)
