"""One galaxy, from its file to the picture that a model is shown: read, turned positive, framed, and doubted."""

import math
from typing import NamedTuple

from PIL import Image

from ..models.pixels import SOME_WHITE, check_white
from .decode import decode
from .framing import AUTO, Frame, Framed, frame_all, frame_image
from .likeness import PROPERTIES, Doubt, as_positive, doubts
from .reduced import Reduced

LEAST_FIELD = 56
"""Least side of a frame in px. Of 400 challenge images, 64 px take RMSE-37 from .089 to .094, and 48 px to .115:
lab_notes.md, "Doubts"."""

NEGATIVE = Doubt("negative", "it is a photographic negative, and was read as a positive")
NOT_FOUND = Doubt("framing_uncertain", "no galaxy stands out from the sky, so its frame is not known")
CUT = Doubt("cut_by_edge", "the edge of the image cuts the galaxy off")
CUTS_LARGER = Doubt("cut_by_edge", "the edge of the image cuts off a galaxy larger than the one that was taken")
SEVERAL = Doubt("several_galaxies", "there are several galaxies, and the one nearest to the centre was taken")
SATURATED = PROPERTIES["white"].doubt
EDGE = 1.3  # petroR90; ours: the radius of a galaxy that is cut comes out too small
MIDDLE = 0.1  # of the side; ours: of several galaxies, one that is nearer to the centre than this is meant


class Observation(NamedTuple):
    """What was made of an image.

    Attributes:
        image: RGB, framed; what the models are shown.
        whole: RGB, as it was read, on whose pixels the frame is.
        framed: how it was framed.
        reading: what was done to the pixels, in words; empty where nothing was.
        doubts: why what the models say may mean nothing.
    """

    image: Image.Image
    whole: Image.Image
    framed: Framed
    reading: str
    doubts: list[Doubt]


def observe(source, frame: Frame = AUTO, **reading) -> Observation:
    """Read an image of a galaxy, as :func:`~galaxy_vision.read_rgb` does, and frame it as the models have learned.

    Args:
        source: as of :func:`~galaxy_vision.read_rgb`; what it returned is not read again.
        frame: from :func:`~galaxy_vision.images.framing.parse_frame`.
        **reading: the options of :func:`~galaxy_vision.read_rgb`.

    Raises:
        ValueError: it cannot be read, or such a frame is not possible.
    """
    whole, readings, seen = _positive(source, reading)
    return _observation(whole, readings, seen, frame_image(whole, frame, whole.image.info.get("pixel_scale")))


def observe_all(source, **reading) -> list[Observation]:
    """Read an image, and frame each of its galaxies, the nearest to its centre first; as :func:`observe`."""
    whole, readings, seen = _positive(source, reading)
    return [
        _observation(whole, readings, seen, framed._replace(num_galaxies=1))  # none of several is taken for another
        for framed in frame_all(whole.image)
    ]


def _positive(source, reading: dict) -> tuple[Reduced, list[str], list[Doubt]]:
    """Return the positive of an image, what was done to its pixels, and what is doubted so far."""
    is_decoded = isinstance(source, Image.Image) and "reading" in source.info and not reading
    image = source if is_decoded else decode(source, **reading)
    readings, seen = [image.info["reading"]] if image.info["reading"] else [], []
    reduced = Reduced(image)
    if (positive := as_positive(reduced)) is not None:
        positive.info, reduced = image.info, Reduced(positive)
        readings.append("negative turned positive")
        seen.append(NEGATIVE)
    if reduced.white > SOME_WHITE:
        check_white(reduced.grid)
    return reduced, readings, seen


def _observation(reduced: Reduced, readings: list[str], seen: list[Doubt], framed: Framed) -> Observation:
    whole, galaxy = reduced.image, framed.galaxy
    seen = seen + doubts(reduced if framed.image is whole else framed.image)
    if reduced.white > SOME_WHITE and SATURATED not in seen:  # a wider frame than that of the image has fewer
        seen.append(SATURATED)
    if (side := min(*framed.image.size, *whole.size)) < LEAST_FIELD:
        reason = f"its frame is {side} px wide, and the models need {LEAST_FIELD}"
        seen = [doubt for doubt in seen if doubt.kind != "blurred"] + [Doubt("few_pixels", reason)]
    if galaxy is None and framed.reading and not seen:
        seen.append(NOT_FOUND)
    if galaxy is not None:
        to_edge = min(galaxy.x, galaxy.y, whole.width - 1 - galaxy.x, whole.height - 1 - galaxy.y)
        from_centre = math.hypot(galaxy.x - (whole.width - 1) / 2, galaxy.y - (whole.height - 1) / 2)
        if to_edge < EDGE * galaxy.petro_r90:
            seen.append(CUT)
        elif framed.cuts_larger:
            seen.append(CUTS_LARGER)
        seen += [SEVERAL] * (framed.num_galaxies > 1 and from_centre > MIDDLE * min(whole.size))
    words = readings + ([framed.reading] if framed.reading else [])
    return Observation(framed.image, whole, framed, "; ".join(words), seen)
