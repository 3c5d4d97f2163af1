"""How images of some surveys are read: which bands make the colours, which stretch, how large a pixel is.

A galaxy is to look as it does in Galaxy Zoo's pictures of SDSS, from which the models have learned. Its surface
brightness there turns from the linear to the logarithmic part of the stretch at 5.8 sigma of the sky noise of a pixel
of SDSS, and is white at 430. In another survey the same surface brightness is another number of sigmas, by the noise of
the survey for an area of 1 arcsec^2 and the side of its pixel; these numbers are computed here from published depths.
So no unit or zero point of a file matters, and a survey of twice the exposure does not make the galaxy larger.

Colours are balanced in the same way: a band is weighted by its noise, so that what is noise-weighted by the stretch is
flux again, and then as in Galaxy Zoo.
"""

import math
from typing import NamedTuple

from .stretch import DEFAULT, SOFTENING, Stretch


class Survey(NamedTuple):
    """Conventions of a survey.

    Attributes:
        bands: names of the bands that are shown as red, green and blue.
        pixel_scale: arcsec, of images whose header has no WCS.
        noise: of the sky in these bands, nanomaggies (AB magnitude 22.5) for an aperture of 1 arcsec^2.
        weights: of the flux of these bands, for the colours of Galaxy Zoo.
    """

    bands: tuple[str, str, str]
    pixel_scale: float
    noise: tuple[float, float, float]
    weights: tuple[float, float, float]

    @property
    def stretch(self) -> Stretch:
        """The stretch that shows the surface brightness of Galaxy Zoo's pictures in their grey levels."""
        sdss = SURVEYS["sdss"]
        sigma = self.noise[1] / self.pixel_scale  # of a pixel's surface brightness in the green band
        softening = SOFTENING * (sdss.noise[1] / sdss.pixel_scale) / sigma
        balance = [weight * noise / self.noise[1] for weight, noise in zip(self.weights, self.noise, strict=True)]
        return Stretch(softening, WHITE * softening, 0.0, tuple(balance))


WHITE = 74.0
"""Brightness that is white, in units of the softening.

``WHITE / (LUPTON_STRETCH / LUPTON_Q)`` of :mod:`galaxy_vision.simulation.camera`, which were fitted to Galaxy Zoo 2.
"""


def noise_of(depth: float, fwhm: float, sigmas: float = 5.0) -> float:
    """Sky noise of an aperture of 1 arcsec^2, in nanomaggies, from the depth for point sources.

    The best weights for a Gaussian of this width have the noise of 4 pi sigma^2, the width of the Gaussian being sigma.

    Args:
        depth: AB magnitude of a point source that is found at ``sigmas``.
        fwhm: of the point spread function, arcsec.
        sigmas: of the depth.
    """
    flux = 10 ** (0.4 * (22.5 - depth))
    return flux / sigmas / (math.sqrt(4 * math.pi) * fwhm / 2.3548)


_VIS_NOISE = 10 ** (0.4 * (22.5 - 25.6)) / 10 / math.sqrt(math.pi * 0.65**2)

SURVEYS = {
    # Pixels: Gunn et al. 1998. Frames are in nanomaggies (data model of SDSS "frame"). Noise per pixel and weights:
    # SKY_NOISE and BAND_WEIGHTS of simulation/camera.py, fitted to Galaxy Zoo 2.
    "sdss": Survey(("i", "r", "g"), 0.396, (0.039 / 0.396, 0.028 / 0.396, 0.016 / 0.396), (0.855, 1.0, 1.46)),
    # Pixels: bricks of the Legacy Surveys, 0.262 arcsec. Depths 22.5, 23.4, 24.0 for a galaxy of 0.45 arcsec (Dey et
    # al. 2019), which in a seeing of 1.2 arcsec is about 1.4 wide. Ours: the weight of z is that of i in SDSS, lowered
    # by the i - z of 0.25 of a usual galaxy.
    "legacy": Survey(
        ("z", "r", "g"), 0.262, (noise_of(22.5, 1.4), noise_of(23.4, 1.4), noise_of(24.0, 1.4)), (0.68, 1.0, 1.46)
    ),
    # Pixels: 0.25 arcsec (PS1 Image Cutout Service). Depths 23.1, 23.2, 23.3 and seeing 1.11, 1.19, 1.31 arcsec of the
    # stacks of the 3 pi survey (Chambers et al. 2016).
    "panstarrs": Survey(
        ("i", "r", "g"), 0.25, (noise_of(23.1, 1.11), noise_of(23.2, 1.19), noise_of(23.3, 1.31)), (0.855, 1.0, 1.46)
    ),
    # Pixels: ACS/WFC, 0.05 arcsec (ACS Instrument Handbook). Ours: exposures differ from one programme to the next, so
    # that the noise is taken to be that of a depth of 27 at 5 sigma in all bands, as of a few orbits, and the bands are
    # those of many programmes in the visible; weights as of SDSS.
    "hst": Survey(("F814W", "F606W", "F435W"), 0.05, (noise_of(27.0, 0.1),) * 3, (0.855, 1.0, 1.46)),
    # Pixels: VIS, and mosaics of all bands by MER, 0.1 arcsec (Euclid Collaboration: Romelli et al. 2025,
    # arXiv:2503.15305). VIS: 25.6 at 10 sigma in an aperture of 1.3 arcsec (arXiv:2503.15303). Ours: NISP is taken to
    # be 24.4 deep at 5 sigma in 0.5 arcsec in all bands, and the weights are those of SDSS, lowered by the colours of a
    # usual galaxy (i - H of 0.8, r - Y of 0.75, g - VIS of 0.84).
    "euclid": Survey(
        ("NIR_H", "NIR_Y", "VIS"), 0.1, (noise_of(24.4, 0.5), noise_of(24.4, 0.5), _VIS_NOISE), (0.41, 0.50, 0.67)
    ),
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


def stretch_of(name: str | None) -> Stretch:
    """The asinh stretch of this survey; the usual one for None."""
    survey = survey_named(name)
    return survey.stretch if survey else DEFAULT
