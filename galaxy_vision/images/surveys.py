"""How images of some surveys are read: which bands make the colours, which stretch, how large a pixel is."""

from typing import NamedTuple

from .stretch import SOFTENING


class Survey(NamedTuple):
    """Conventions of a survey.

    Attributes:
        bands: names of the bands that are shown as red, green and blue.
        pixel_scale: arcsec, of images whose header has no WCS.
        softening: sky sigmas at which the asinh stretch turns from linear to logarithmic.
    """

    bands: tuple[str, str, str]
    pixel_scale: float
    softening: float


SURVEYS = {
    "sdss": Survey(("i", "r", "g"), 0.396, SOFTENING),
    "legacy": Survey(("z", "r", "g"), 0.262, SOFTENING),
    "panstarrs": Survey(("i", "r", "g"), 0.25, SOFTENING),
    "hst": Survey(("F814W", "F606W", "F435W"), 0.05, SOFTENING),
    "euclid": Survey(("NIR_H", "NIR_Y", "VIS"), 0.1, SOFTENING),
}


def survey_named(name: str | None) -> Survey | None:
    """The survey of this name; None for None.

    Raises:
        ValueError: there is none.
    """
    if name is None:
        return None
    if name not in SURVEYS:
        raise ValueError(f"survey={name!r} is not known; use {', '.join(SURVEYS)}")
    return SURVEYS[name]


def softening_of(name: str | None) -> float:
    """Sky sigmas at which the asinh stretch of this survey turns logarithmic; of Galaxy Zoo for None."""
    survey = survey_named(name)
    return survey.softening if survey else SOFTENING
