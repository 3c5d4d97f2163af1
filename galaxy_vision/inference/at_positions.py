"""Describe the galaxy at a position of the sky, by its name or coordinates."""

from ..images.framing import AS_IS, AUTO, Frame
from ..images.observation import observe
from ..sky.cutouts import Cutouts, resolve
from ..sky.fetching import NotFetched
from ..sky.positions import parse_position
from .describe import Describer
from .named_images import described

DEFAULT_SURVEY = "sdss"
"""Of whose pictures the models have learned."""


def describe_at(
    describer: Describer,
    ra: str | None = None,
    dec: str | None = None,
    name: str | None = None,
    survey: str | None = None,
    frame: Frame = AUTO,
) -> dict:
    """Fetch a cut-out at the scale of Galaxy Zoo, and describe it.

    Args:
        describer: of the models.
        ra: decimal degrees, or sexagesimal hours.
        dec: degrees, decimal or sexagesimal.
        name: of an object that CDS knows, instead of a position.
        survey: as :func:`~galaxy_vision.sky.services.service_of` takes it.
        frame: ``auto`` measures the galaxy; a radius in arcsec is its petroR90.

    Returns:
        As :func:`~galaxy_vision.inference.named_images.described`, with ``image``, ``ra``, ``dec`` (ICRS degrees),
        ``survey`` and ``width`` (arcsec); ``image`` and ``error`` are all of what cannot be fetched.

    Raises:
        ValueError: there is no such position, object or survey, or such a frame is not possible.
    """
    survey = survey or DEFAULT_SURVEY
    cutouts = Cutouts(survey)
    if frame.kind == "radius" and (frame.unit != "arcsec" or frame.centre):
        raise ValueError("a frame in px has no meaning at a position; give petroR90 in arcsec, such as 12arcsec")
    position = resolve(name) if name else parse_position(ra, dec)
    shown = {"image": f"{name or ''} {position[0]:.5f} {position[1]:+.5f} in {survey}".strip()}
    try:
        cutout = cutouts.of(*position, frame.radius)
    except NotFetched as error:
        return shown | {"error": str(error)}
    at = {"ra": position[0], "dec": position[1], "survey": survey, "width": round(cutout.width, 2)}
    shown["image"] += f", {cutout.width:.0f} arcsec across"
    observation = observe(cutout.data, AS_IS if frame.kind == "radius" else frame)
    return shown | at | described(describer, observation)
