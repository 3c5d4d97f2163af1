"""Frame an image as Galaxy Zoo did: 8.48 petroR90 across, with the galaxy in the middle.

The models have learned from such frames only, and a wrong one gives silently wrong answers: benchmarks/framing.py.
"""

import math
import re
from typing import NamedTuple

from PIL import Image

from .padding import cut_square
from .reduced import Reduced, as_reduced
from .sources import FIELD, Galaxy, cuts_larger, find_galaxies, find_sources, measure_galaxy

# Ours; chosen on the validation split: lab_notes.md, "Framing".
RIGHT_SCALE = 1.4  # a frame that is wider or narrower than 8.48 petroR90 by this factor at most is right
RIGHT_CENTRE = 0.03  # of the side; a galaxy that is nearer to the centre of the frame is in the middle
SMALLEST_RADIUS = 1.0  # px
FORMS = "auto, as_is, RADIUS_PX, CENTRE_X,CENTRE_Y,RADIUS_PX or a radius in arcsec such as 12arcsec"


class Frame(NamedTuple):
    """How an image is framed.

    Attributes:
        kind: ``"auto"``, ``"as_is"`` or ``"radius"``.
        radius: petroR90 of the galaxy; only of the kind ``"radius"``.
        centre: x and y of the galaxy in px, the first is 0; None for the centre of the image.
        unit: of the radius, ``"px"`` or ``"arcsec"``.
    """

    kind: str
    radius: float | None = None
    centre: tuple[float, float] | None = None
    unit: str = "px"


class Framed(NamedTuple):
    """A framed image.

    Attributes:
        image: RGB image; the very object that was given where its frame is right, is not known, or was not asked for.
        reading: what was done, in words; empty for ``as_is``.
        galaxy: the galaxy in the middle; None where none was found or looked for.
        num_galaxies: how many were found; 0 where none was looked for.
        box: left, top, right and bottom of the frame in px of the image that was given, outside of it where padded.
        cuts_larger: whether another galaxy was framed than the largest, which the edge of the image cuts off.
    """

    image: Image.Image
    reading: str
    galaxy: Galaxy | None
    num_galaxies: int
    box: tuple[int, int, int, int]
    cuts_larger: bool = False


AUTO, AS_IS = Frame("auto"), Frame("as_is")


def parse_frame(text: str) -> Frame:
    """Read the value of ``--frame``.

    ``auto`` finds the galaxy, ``as_is`` changes nothing, ``31`` is its petroR90 in px in the centre of the image,
    ``812,344,31`` its centre and petroR90 in px, and ``12arcsec`` its petroR90 on the sky.

    Raises:
        ValueError: the text is none of these, or a number makes no sense.
    """
    text = text.strip()
    if text in ("auto", "as_is"):
        return Frame(text)
    unit = "arcsec" if text.endswith("arcsec") else "px"
    parts = re.sub("(arcsec|px)$", "", text).split(",")
    try:
        *centre, radius = map(float, parts)
    except ValueError:
        raise ValueError(f"frame={text!r} is not {FORMS}") from None
    if len(centre) not in (0, 2) or (centre and unit == "arcsec"):
        raise ValueError(f"frame={text!r} is not {FORMS}")
    if not all(map(math.isfinite, (*centre, radius))) or radius <= 0:
        raise ValueError(f"frame={text!r} has a radius that is not above 0, or a number that is not finite; mend it")
    return Frame("radius", radius, (centre[0], centre[1]) if centre else None, unit)


def frame_image(image: Image.Image | Reduced, frame: Frame = AUTO, pixel_scale: float | None = None) -> Framed:
    """Frame an image as Galaxy Zoo did: cropped, or padded with its own sky, at its own resolution.

    ``auto`` takes the galaxy that is nearest to the centre, and leaves an image untouched whose frame is right
    (:data:`RIGHT_SCALE`, :data:`RIGHT_CENTRE`) or in which no galaxy is found. The frame of an image is its central
    square, since that is what the image processor reads.

    Args:
        image: RGB image.
        frame: from :func:`parse_frame`.
        pixel_scale: arcsec in a pixel, where the image has a WCS.

    Raises:
        ValueError: the centre is outside of the image, the radius too small or too large for it, or in arcsec without
            a pixel scale.
    """
    reduced = as_reduced(image)
    image = reduced.image
    if frame.kind == "as_is":
        return Framed(image, "", None, 0, _central_square(image))
    if frame.kind == "radius":
        return _framed(image, _given(image, frame, pixel_scale), 0, is_given=True)
    sources = find_sources(reduced)
    if not sources.prominent:
        return _no_galaxy(image)
    nearest = sources.prominent[0]
    framed = _framed(image, measure_galaxy(sources, nearest), len(sources.prominent))
    return framed._replace(cuts_larger=framed.image is not image and cuts_larger(sources, nearest))


def frame_all(image: Image.Image) -> list[Framed]:
    """Frame each galaxy of an image, the nearest to its centre first; the image as it is where none is found."""
    galaxies = find_galaxies(image)
    return [_framed(image, galaxy, len(galaxies)) for galaxy in galaxies] or [_no_galaxy(image)]


def misfit(image: Image.Image, galaxy: Galaxy) -> tuple[float, float]:
    """How many times closer the frame of a galaxy is than the image, and its distance from the centre in sides."""
    side = min(image.size)
    offset = math.hypot(galaxy.x - (image.width - 1) / 2, galaxy.y - (image.height - 1) / 2)
    return side / (FIELD * galaxy.petro_r90), offset / side


def _no_galaxy(image: Image.Image) -> Framed:
    return Framed(image, "no galaxy found; frame left as it is", None, 0, _central_square(image))


def _given(image: Image.Image, frame: Frame, pixel_scale: float | None) -> Galaxy:
    """The galaxy that a frame of the kind "radius" describes."""
    radius, x, y = frame.radius, (image.width - 1) / 2, (image.height - 1) / 2
    if frame.unit == "arcsec":
        if pixel_scale is None:
            raise ValueError(
                f"frame={radius:g}arcsec needs a pixel scale, and this image has no WCS; give the radius in px"
            )
        radius /= pixel_scale
    if frame.centre:
        x, y = frame.centre
        if not (0 <= x <= image.width - 1 and 0 <= y <= image.height - 1):
            raise ValueError(
                f"centre ({x:g}, {y:g}) is outside of an image of {image.width}x{image.height} px; give one inside"
            )
    if not SMALLEST_RADIUS <= radius <= max(image.size):
        raise ValueError(
            f"a petroR90 of {radius:g} px is not from {SMALLEST_RADIUS:g} px to the {max(image.size)} px of the image; "
            "give that of the galaxy"
        )
    return Galaxy(x, y, radius)


def _framed(image: Image.Image, galaxy: Galaxy, num_galaxies: int, is_given: bool = False) -> Framed:
    side = max(round(FIELD * galaxy.petro_r90), 1)
    left, top = round(galaxy.x + 0.5 - side / 2), round(galaxy.y + 0.5 - side / 2)
    box = (left, top, left + side, top + side)
    closer, offset = misfit(image, galaxy)
    is_right = offset <= RIGHT_CENTRE and 1 / RIGHT_SCALE <= closer <= RIGHT_SCALE
    where = f"galaxy at ({galaxy.x:.0f}, {galaxy.y:.0f}), petroR90 {galaxy.petro_r90:.{int(galaxy.petro_r90 < 10)}f} px"
    if box == (0, 0, *image.size) or (is_right and not is_given):
        return Framed(image, f"{where}; frame left as it is", galaxy, num_galaxies, _central_square(image))
    square = cut_square(image, left, top, side, (galaxy.x, galaxy.y, galaxy.petro_r90))
    if 0.95 < closer < 1.05:
        done = "in the middle"
    else:
        done = f"{closer:.1f} times closer" if closer > 1 else f"{1 / closer:.1f} times wider"
    if left < 0 or top < 0 or box[2] > image.width or box[3] > image.height:
        done += ", padded with sky"
    return Framed(square, f"{where}; framed {done}", galaxy, num_galaxies, box)


def _central_square(image: Image.Image) -> tuple[int, int, int, int]:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return left, top, left + side, top + side
