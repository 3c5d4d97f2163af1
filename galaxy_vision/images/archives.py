"""Read images from the zip files and folders that data sets are distributed in."""

import zipfile
import zlib
from pathlib import Path

from .decode import read_rgb
from .limits import IMAGE_SUFFIXES, check_bytes, image_id, is_image, normal_path, read_file


class ImageSource:
    """The images of a zip file or a folder, at any depth, by file stem, or by ``folder/stem``.

    Zip members are only read into memory, one at a time and none above :data:`MAX_BYTES`. Nothing is unpacked to disk,
    so a member named ``../../x.jpg`` cannot write outside of a folder.

    Args:
        path: the zip file or folder.
        by_folder: use ``folder/stem`` as the key of an image instead of its stem; the folder is its whole path.

    Attributes:
        members: key -> path inside the source. If several files have the same key, the first in sorted order is kept;
            of zip members with the same name, the first in the zip.
        duplicates: paths that were left out because an earlier file has their key.

    Raises:
        ValueError: the path does not exist, is not a complete zip, or contains no image.
    """

    def __init__(self, path: str | Path, by_folder: bool = False):
        self.path = Path(path)
        self._zip = None
        if self.path.is_dir():
            entries = [(str(path.relative_to(self.path)), path) for path in self.path.rglob("*") if path.is_file()]
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise ValueError(f"{self.path} is not a complete zip file ({error}); download it again") from error
            members = self._zip.infolist()
            entries = [(info.filename, info) for info in members if not info.filename.endswith(("/", "\\"))]
        else:
            raise ValueError(f"{self.path} does not exist; give the image zip or the unpacked folder")
        self.members: dict[str, str] = {}
        self.duplicates: list[str] = []
        # Entries and not names, since a zip may have several members of the same name.
        self._entries: dict[str, Path | zipfile.ZipInfo] = {}
        for name, entry in sorted(entries, key=lambda item: item[0]):
            if not is_image(name):
                continue
            key = f"{normal_path(name).parent}/{image_id(name)}" if by_folder else image_id(name)
            if key in self.members:
                self.duplicates.append(name)
                continue
            self.members[key], self._entries[key] = name, entry
        if not self.members:
            raise ValueError(
                f"{self.path} contains no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give the image zip or folder"
            )

    def read(self, key: str) -> bytes:
        """Return the unchanged bytes of an image file, after decoding it completely once as a check.

        Raises:
            ValueError: the image or its zip member is damaged, encrypted or too large.
            KeyError: there is no such image.
        """
        entry = self._entries[key]
        data = read_member(self._zip, entry) if self._zip else read_file(entry)
        read_rgb(data)
        return data


def read_member(archive: zipfile.ZipFile, member: str | zipfile.ZipInfo) -> bytes:
    """Return the bytes of a zip member, after checking its stated size.

    The check comes before unpacking; zipfile itself stops at the stated size.

    Args:
        archive: the open zip.
        member: its entry, or its name; of several members with the same name, the last is read.

    Raises:
        ValueError: the member is larger than :data:`MAX_BYTES`, damaged or encrypted.
    """
    entry = member if isinstance(member, zipfile.ZipInfo) else archive.getinfo(member)
    check_bytes(entry.file_size, "unpacked file")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise ValueError(f"unreadable in {Path(archive.filename or 'the zip').name}: {error}") from error
