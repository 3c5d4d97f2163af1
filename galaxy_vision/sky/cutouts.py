"""Cut-outs at positions at the scale of Galaxy Zoo: 8.48 petroR90 across, with the galaxy in the middle."""

import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..images.reduced import as_reduced
from ..images.sources import FIELD, find_sources, measure_galaxy
from .fetching import Fetcher, NotFetched
from .services import cutout_url, least_width, service_of

FIRST_WIDTH = 120.0
"""Arcsec of the first cut-out, in which a galaxy of unknown size is measured. Ours: of the galaxies of Galaxy Zoo 2,
which are up to 14 arcsec in petroR90, nearly all fit twice."""
WIDEST = 1800.0
"""Arcsec; ours: M 31 is larger, and no service was made for it."""
MOST_STEPS = 3
BLANK = 3
"""Grey levels. Ours: a middle in which no two differ by more is empty sky that nobody has looked at; noise and the
compression of a JPEG make larger differences."""


class Cutout(NamedTuple):
    """An image of a galaxy at a position.

    Attributes:
        data: of a JPEG or PNG.
        width: on the sky, arcsec.
        radius: petroR90 that its width follows from, arcsec; None where no galaxy was found.
    """

    data: bytes
    width: float
    radius: float | None


class Cutouts:
    """Cut-outs of one survey.

    Args:
        survey: as :func:`~galaxy_vision.sky.services.service_of` takes it.
        fetcher: shared by several surveys; None for one of its own.

    Raises:
        ValueError: the survey has no cut-outs.
    """

    def __init__(self, survey: str, fetcher: Fetcher | None = None):
        self.service, self.fetcher = service_of(survey), fetcher or Fetcher()

    def of(self, ra: float, dec: float, radius: float | None = None) -> Cutout:
        """Return the cut-out of a galaxy.

        Args:
            ra: ICRS degrees.
            dec: ICRS degrees.
            radius: petroR90 in arcsec; None to measure it on a first cut-out that is wider.

        Raises:
            NotFetched: there is none.
        """
        if radius is not None:
            width = self._width(radius)
            return Cutout(self._image(ra, dec, width)[0], width, radius)
        width = FIRST_WIDTH
        for _ in range(MOST_STEPS):
            data, image = self._image(ra, dec, width)
            sources = find_sources(as_reduced(image))
            if not sources.prominent:
                return Cutout(data, width, None)
            measured = measure_galaxy(sources, sources.prominent[0]).petro_r90 * width / image.width
            if FIELD * measured > width < WIDEST:  # it goes beyond the image, and is larger than it seems
                width = min(3 * width, WIDEST)
                continue
            width = self._width(measured)
            return Cutout(self._image(ra, dec, width)[0], width, measured)
        return Cutout(data, width, measured)

    def _width(self, radius: float) -> float:
        return min(max(FIELD * radius, least_width(self.service)), WIDEST)

    def _image(self, ra: float, dec: float, width: float) -> tuple[bytes, Image.Image]:
        """Return the bytes of an image and the image; raise NotFetched where nobody has looked at the sky."""
        data = self.fetcher.image(cutout_url(self.service, ra, dec, width))
        try:
            image = Image.open(io.BytesIO(data)).convert("RGB")
        except OSError as error:
            raise NotFetched("not_an_image", f"the image at {ra:.5f} {dec:+.5f} is damaged: {error}") from error
        side = min(image.size)
        middle = np.asarray(image)[side * 3 // 8 : side * 5 // 8, side * 3 // 8 : side * 5 // 8]
        if int(np.ptp(middle.reshape(-1, 3), axis=0).max()) <= BLANK:
            raise NotFetched(
                "outside_footprint", f"the survey has no image at {ra:.5f} {dec:+.5f}; give another --survey"
            )
        return data, image


def resolve(name: str) -> tuple[float, float]:
    """Return the position (ICRS degrees) of a named object, as the service of CDS knows it.

    Raises:
        ValueError: no such object is known, or the service cannot be reached.
    """
    from astropy.coordinates import SkyCoord, name_resolve

    url = os.environ.get("GALAXY_VISION_SESAME_URL")
    addresses = [url] if url else name_resolve.sesame_url.get()
    try:
        with name_resolve.sesame_url.set(addresses):
            position = SkyCoord.from_name(name)
    except name_resolve.NameResolveError as error:
        raise ValueError(
            f"name={name!r}: the resolver of CDS knows no such object, or cannot be reached without a network; give "
            "its position by --ra and --dec"
        ) from error
    return float(position.ra.deg), float(position.dec.deg)
