"""Find the bands of a FITS file by the names that its headers give them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

WAVELENGTHS = ("u", "g", "r", "i", "z", "y", "j", "h", "k")
"""Letters of the usual broad bands, the bluest first: of SDSS and Pan-STARRS, then of the near infrared."""


class Plane(NamedTuple):
    """One plane of an image or cube.

    Attributes:
        hdu: number of the HDU.
        number: of the plane in a cube; None for an image of one plane.
        extension: EXTNAME, and with EXTVER behind a comma.
        filters: values of BAND and FILTER, or of BANDn for plane n, and their first words.
    """

    hdu: int
    number: int | None
    extension: tuple[str, ...]
    filters: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a message calls it."""
        names = (*self.filters[:1], *self.extension[:1])
        return names[0] if names else f"HDU {self.hdu}" + ("" if self.number is None else f" plane {self.number}")


def as_bands(bands) -> tuple[int, ...] | tuple[str, ...] | None:
    """Bands as a tuple of numbers of planes, or of names; a number may be written as a text.

    Args:
        bands: a name, a number, a sequence of either, or None.

    Raises:
        ValueError: names and numbers are mixed, or there are others than one or three.
    """
    if bands is None:
        return None
    given = (bands,) if isinstance(bands, str | int) else tuple(bands)
    numbers = [int(band) for band in given if not isinstance(band, str) or band.strip().isdecimal()]
    if len(given) not in (1, 3):
        raise ValueError(f"bands={given}: {len(given)} are not one (grey), nor three as red, green, blue")
    if len(numbers) not in (0, len(given)):
        raise ValueError(f"bands={given} mixes names and numbers of planes; give either")
    return tuple(numbers) if numbers else given


def planes_of(index: int, name: str, header, count: int) -> list[Plane]:
    """The planes of an HDU with the names that its header gives them.

    A cube names its planes by ``BAND0``, ``BAND1``, ..., as the cut-outs of the Legacy Surveys do.

    Args:
        index: number of the HDU.
        name: its EXTNAME.
        header: of the HDU.
        count: number of its planes.
    """
    extension = () if name in ("", "PRIMARY", "COMPRESSED_IMAGE") else (name, f"{name},{header.get('EXTVER', 1)}")
    if count == 1:
        return [Plane(index, None, extension, _words(header, "BAND", "FILTER"))]
    return [Plane(index, number, (), _words(header, f"BAND{number}")) for number in range(count)]


def _words(header, *keys: str) -> tuple[str, ...]:
    """Values of these keys, and their first words: ``g`` of ``g DECam SDSS c0001`` and of ``g.00000``."""
    values = [value.strip() for value in (header.get(key) for key in keys) if isinstance(value, str) and value.strip()]
    return tuple(dict.fromkeys([*values, *(re.split(r"[\s.]", value)[0] for value in values)]))


def _key(name: str) -> str:
    """``NIR_Y``, ``NIR-Y`` and ``nir y`` are one name."""
    return "".join(sign for sign in name.lower() if sign.isalnum())


def find(name: str, planes: Iterable[Plane]) -> Plane | None:
    """The plane of this name: an extension, else a filter; None if there is none.

    Of several planes with this filter, that of the extension SCI is meant, since errors and masks lie beside it.

    Raises:
        ValueError: several planes have this name.
    """
    planes = list(planes)
    for names_of in (lambda plane: plane.extension, lambda plane: plane.filters):
        found = [plane for plane in planes if _key(name) in map(_key, names_of(plane))]
        science = [plane for plane in found if plane.extension[:1] == ("SCI",)]
        if len(found) > 1 and len(science) == 1:
            found = science
        if len(found) > 1:
            places = ", ".join(plane.extension[1] if plane.extension else str(plane.hdu) for plane in found)
            raise ValueError(
                f"band {name!r} is the name of {len(found)} images of the FITS file ({places}); choose one"
            )
        if found:
            return found[0]
    return None


def choose(names: tuple[str, ...], planes: list[Plane]) -> list[Plane]:
    """The planes of one name (grey) or three (red, green, blue).

    Raises:
        ValueError: a name is not there, or not the only one.
    """
    chosen = []
    for name in names:
        plane = find(name, planes)
        if plane is None:
            known = ", ".join(dict.fromkeys(plane.name for plane in planes)) or "no image"
            raise ValueError(f"FITS file has no band {name!r}; it has: {known[:200]}")
        chosen.append(plane)
    return chosen


def by_wavelength(planes: list[Plane]) -> tuple[str, ...] | None:
    """Names of three images that are named by three letters of :data:`WAVELENGTHS`, the reddest first.

    None if the file has more or fewer images than these three.
    """
    if len(planes) != 3 or any(plane.number is not None for plane in planes):
        return None
    letters = [
        next((name for name in (*plane.extension[:1], *plane.filters) if _is_letter(name)), "") for plane in planes
    ]
    if len({letter.lower() for letter in letters if letter}) != 3:
        return None
    return tuple(sorted(letters, key=lambda letter: -WAVELENGTHS.index(letter.lower())))


def _is_letter(name: str) -> bool:
    return name.lower() in WAVELENGTHS
