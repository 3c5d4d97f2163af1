"""The zips and folders that images come in."""

import zipfile
import zlib
from pathlib import Path

from .decode import read_rgb
from .limits import IMAGE_SUFFIXES, check_bytes, image_id, is_image, normal_path, read_file


class ImageSource:
    """The images of a zip file or a folder, at any depth, by file stem, or by ``folder/stem``.

    Members of a zip are only read into memory, one at a time and none above :data:`MAX_BYTES`; nothing is unpacked, so
    a name such as ``../../x.jpg`` leads nowhere.

    Args:
        path: of the zip file or folder.
        by_folder: the key of an image is ``folder/stem`` instead of its stem; the folder is its whole path.

    Attributes:
        members: key -> path inside the source; where a key occurs twice, the first in sorted order, and of two zip
            members of one name the first in the zip.
        duplicates: paths that were left out because their key is taken.

    Raises:
        ValueError: the path does not exist, is not a complete zip, or holds no image.
    """

    def __init__(self, path: str | Path, by_folder: bool = False):
        self.path = Path(path)
        self._zip = None
        if self.path.is_dir():
            found = [(str(path.relative_to(self.path)), path) for path in self.path.rglob("*") if path.is_file()]
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise ValueError(f"{self.path} is not a complete zip file ({error}); download it again") from error
            found = [(info.filename, info) for info in self._zip.infolist() if not info.filename.endswith(("/", "\\"))]
        else:
            raise ValueError(f"{self.path} does not exist; give the image zip or the unpacked folder")
        self.members: dict[str, str] = {}
        self.duplicates: list[str] = []
        self._places: dict[str, Path | zipfile.ZipInfo] = {}  # a name is no place: a zip may hold one twice
        for name, place in sorted(found, key=lambda each: each[0]):
            if not is_image(name):
                continue
            key = f"{normal_path(name).parent}/{image_id(name)}" if by_folder else image_id(name)
            if key in self.members:
                self.duplicates.append(name)
                continue
            self.members[key], self._places[key] = name, place
        if not self.members:
            raise ValueError(
                f"{self.path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give the image zip or folder"
            )

    def read(self, key: str) -> bytes:
        """The file's bytes as they are, after one complete decoding as a check.

        Raises:
            ValueError: the image or its place in the zip is damaged, encrypted or too large.
            KeyError: there is no such image.
        """
        place = self._places[key]
        data = read_member(self._zip, place) if self._zip else read_file(place)
        read_rgb(data)
        return data


def read_member(archive: zipfile.ZipFile, member: str | zipfile.ZipInfo) -> bytes:
    """A member's bytes, with its stated size looked at before it is unpacked (zipfile stops at the stated size).

    Args:
        archive: the opened zip.
        member: its entry; a name stands for the last of that name.

    Raises:
        ValueError: it is larger than :data:`MAX_BYTES`, damaged or encrypted.
    """
    entry = member if isinstance(member, zipfile.ZipInfo) else archive.getinfo(member)
    check_bytes(entry.file_size, "unpacked file")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise ValueError(f"unreadable in {Path(archive.filename or 'the zip').name}: {error}") from error
