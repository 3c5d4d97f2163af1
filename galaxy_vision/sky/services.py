"""Services of surveys that cut images out of the sky at a position: their addresses, and what may be asked of them.

North is up and east left in the cut-outs of all of them.
"""

import math
import os
from typing import NamedTuple
from urllib.parse import urlencode

from ..images.limits import SURVEY_NAMES

ARCSEC = 3600.0
"""Arcsec in a degree."""


class Service(NamedTuple):
    """A service of cut-outs.

    Attributes:
        kind: ``skyserver``, ``legacy`` or ``hips``: how it is asked.
        url: its address, which the variable replaces in tests and for mirrors.
        variable: of the environment.
        layer: of the images; a HiPS is known by its whole id, since a part of one is resolved to any that has it.
        side: of a cut-out in px. Galaxy Zoo 2 showed 424 px; the viewer of the Legacy Surveys gives 512 at most.
        resolution: arcsec of the survey's own pixels, below which a cut-out is only enlarged.
    """

    kind: str
    url: str
    variable: str
    layer: str = ""
    side: int = 424
    resolution: float = 0.396


_SKYSERVER = "https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg"
_LEGACY = "https://www.legacysurvey.org/viewer/jpeg-cutout"
_HIPS = "https://alasky.cds.unistra.fr/hips-image-services/hips2fits"

SERVICES = {
    "sdss": Service("skyserver", _SKYSERVER, "GALAXY_VISION_SDSS_URL"),
    "legacy": Service("legacy", _LEGACY, "GALAXY_VISION_LEGACY_URL", "ls-dr10-grz", resolution=0.262),
    "panstarrs": Service(
        "hips", _HIPS, "GALAXY_VISION_HIPS2FITS_URL", "CDS/P/PanSTARRS/DR1/color-z-zg-g", resolution=0.25
    ),
}
"""Names of surveys, and where their cut-outs are."""
HIPS_EXAMPLE = "CDS/P/DESI-Legacy-Surveys/DR10/color"


def is_hips(survey: str) -> bool:
    """Return whether a name is the id of a HiPS, such as ``CDS/P/DSS2/color``."""
    return survey.count("/") >= 2 and not survey.startswith("/") and " " not in survey


def check_survey(survey: str | None) -> None:
    """Check that a survey is one whose images we read, or whose cut-outs a service gives; ValueError otherwise."""
    if survey not in (None, *SURVEY_NAMES, *SERVICES) and not is_hips(survey):
        names = dict.fromkeys((*SURVEY_NAMES, *SERVICES))
        raise ValueError(
            f"survey={survey!r} is not one of {', '.join(names)}, or the id of a HiPS such as {HIPS_EXAMPLE}"
        )


def service_of(survey: str) -> Service:
    """Return the service of a survey.

    Raises:
        ValueError: there is none.
    """
    if survey in SERVICES:
        return SERVICES[survey]
    if is_hips(survey):
        return SERVICES["panstarrs"]._replace(layer=survey)
    raise ValueError(
        f"survey={survey!r} has no cut-outs; give {', '.join(SERVICES)}, or the id of a HiPS such as {HIPS_EXAMPLE}"
    )


def cutout_url(service: Service, ra: float, dec: float, width: float) -> str:
    """Return the address of a square JPEG.

    Args:
        service: from :func:`service_of`.
        ra: of the centre, ICRS degrees.
        dec: of the centre.
        width: of the image on the sky, arcsec.
    """
    side = service.side
    where = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}"}
    scale = f"{width / side:.5f}"
    if service.kind == "skyserver":
        asked = where | {"scale": scale, "width": side, "height": side}
    elif service.kind == "legacy":
        asked = where | {"layer": service.layer, "pixscale": scale, "size": side}
    else:
        asked = {"hips": service.layer, "width": side, "height": side, "projection": "TAN", "coordsys": "icrs"}
        asked |= where | {"fov": f"{width / ARCSEC:.8f}", "format": "jpg"}
    return f"{os.environ.get(service.variable) or service.url}?{urlencode(asked)}"


def least_width(service: Service) -> float:
    """Return the width (arcsec) of the smallest cut-out whose pixels are not enlarged more than five times."""
    return math.ceil(service.side * service.resolution / 5)
