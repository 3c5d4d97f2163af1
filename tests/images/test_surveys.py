"""One galaxy in the conventions of three surveys is one picture and one class."""

import bz2
import io
import math

import galsim
import numpy as np
import pytest
import torch
from astropy.io import fits
from conftest import REPOSITORY
from PIL import Image

from galaxy_vision import read_bands, read_rgb
from galaxy_vision.images.limits import SURVEY_NAMES
from galaxy_vision.images.surveys import SURVEYS
from galaxy_vision.inference.loading import load_classifier

R90 = 6.0  # arcsec, of every galaxy here
FIELD = 8.48 * R90  # arcsec, as Galaxy Zoo frames it
SEEING = {"sdss": 1.3, "legacy": 1.2, "panstarrs": 1.19}
COLOURS = {"elliptical": (0.75, 0.4), "edge-on disc": (0.6, 0.35), "lenticular": (0.7, 0.38)}
"""g - r and r - i, as of red and of bluer galaxies; z is taken as bright as i with a quarter of a magnitude more."""


def profile(kind: str) -> galsim.GSObject:
    """A galaxy of r = 15.5 in nanomaggies, lengths in arcsec."""
    flux = 10 ** (0.4 * (22.5 - 15.5))
    if kind == "elliptical":
        return galsim.DeVaucouleurs(half_light_radius=0.35 * R90, flux=flux).shear(q=0.85, beta=30 * galsim.degrees)
    angle = {"edge-on disc": 88, "lenticular": 45}[kind] * galsim.degrees
    bulge = {"edge-on disc": 0.05, "lenticular": 0.4}[kind]
    disc = galsim.InclinedExponential(angle, scale_radius=0.35 * R90, scale_h_over_r=0.08, flux=(1 - bulge) * flux)
    return (disc + galsim.Sersic(2, half_light_radius=0.1 * R90, flux=bulge * flux)).rotate(30 * galsim.degrees)


def observed(kind: str, survey: str, seed: int = 0) -> dict[str, np.ndarray]:
    """The galaxy in nanomaggies a pixel by band, on the pixels and with the seeing and the noise of a survey."""
    conventions = SURVEYS[survey]
    side = round(FIELD / conventions.pixel_scale)
    seen = galsim.Convolve(profile(kind), galsim.Kolmogorov(fwhm=SEEING[survey]))
    image = seen.drawImage(nx=side, ny=side, scale=conventions.pixel_scale).array
    g_r, r_i = COLOURS[kind]
    flux = {"g": 10 ** (-0.4 * g_r), "r": 1.0, "i": 10 ** (0.4 * r_i), "z": 10 ** (0.4 * (r_i + 0.25))}
    rng = np.random.default_rng([seed, *survey.encode()])
    return {
        band: flux[band] * image + rng.normal(0, noise * conventions.pixel_scale, image.shape)
        for band, noise in zip(conventions.bands, conventions.noise, strict=True)
    }


def written(*hdus) -> bytes:
    file = io.BytesIO()
    fits.HDUList([*hdus]).writeto(file)
    return file.getvalue()


def as_sdss(planes: dict) -> Image.Image:
    """A file for each band, packed by bzip2, in nanomaggies."""
    files = {band: bz2.compress(written(fits.PrimaryHDU(plane.astype(np.float32)))) for band, plane in planes.items()}
    return read_bands(files["i"], files["r"], files["g"], survey="sdss")


def as_legacy(planes: dict) -> Image.Image:
    """A cube whose header names the planes, the bluest first, in nanomaggies."""
    cube = fits.PrimaryHDU(np.stack([planes[band] for band in "grz"]).astype(np.float32))
    cube.header.update({"BANDS": "grz", "BAND0": "g", "BAND1": "r", "BAND2": "z"})
    return read_rgb(written(cube), survey="legacy")


def as_panstarrs(planes: dict) -> Image.Image:
    """An extension for each band in some order, in asinh magnitudes of counts of another zero point for each."""
    hdus = [fits.PrimaryHDU()]
    for band, zero_point in (("r", 31.2), ("i", 32.0), ("g", 30.5)):
        counts = planes[band] * 10 ** (0.4 * (zero_point - 22.5))
        softening = 3 * np.std(counts[:20])
        packed = 2.5 / math.log(10) * np.arcsinh((counts - 2.0) / (2 * softening))
        hdu = fits.ImageHDU(packed.astype(np.float32))
        hdu.header.update({"FILTER": f"{band}.00000", "BOFFSET": 2.0, "BSOFTEN": softening})
        hdus.append(hdu)
    return read_rgb(written(*hdus), survey="panstarrs")


CONVENTIONS = {"sdss": as_sdss, "legacy": as_legacy, "panstarrs": as_panstarrs}


@pytest.fixture(scope="module")
def classify():
    model, processor = load_classifier(str(REPOSITORY / "checkpoints" / "galaxy-resnet"))

    @torch.inference_mode()
    def probabilities(images: list[Image.Image]) -> np.ndarray:
        pixels = processor(images, return_tensors="pt")["pixel_values"]
        return model.eval()(pixels).logits.float().softmax(-1).numpy()

    return probabilities


@pytest.mark.parametrize("kind", COLOURS)
def test_one_galaxy_in_the_conventions_of_three_surveys_is_of_one_class(kind, classify):
    """File, unit, zero point, order of bands, pixels, seeing, depth and which bands: nothing of it is the galaxy."""
    images = [CONVENTIONS[survey](observed(kind, survey)) for survey in CONVENTIONS]
    assert [round(image.width * image.info["pixel_scale"]) for image in images] == [round(FIELD)] * 3
    found = classify(images)
    assert len(set(found.argmax(1))) == 1, found.round(2)
    assert np.abs(found - found.mean(0)).max() < 0.25, found.round(2)


@pytest.mark.parametrize("kind", COLOURS)
def test_one_galaxy_in_the_conventions_of_three_surveys_has_one_brightness_and_colour(kind):
    small = [
        np.asarray(CONVENTIONS[survey](observed(kind, survey)).resize((32, 32), Image.Resampling.BOX), float)
        for survey in CONVENTIONS
    ]
    bright = small[0].mean(-1) > 40
    assert bright.sum() > 8
    for other in small[1:]:
        assert np.abs(other - small[0])[bright].mean() < 20


@pytest.mark.parametrize("factor", [1e-9, 1.0, 3e4])
def test_no_preset_depends_on_the_unit(factor):
    planes = observed("lenticular", "legacy")
    known = np.asarray(as_legacy(planes), int)
    scaled = np.asarray(as_legacy({band: factor * plane for band, plane in planes.items()}), int)
    assert np.abs(scaled - known).max() <= 2


def test_the_preset_of_sdss_is_the_stretch_of_the_simulated_pictures_in_units_of_the_sky():
    """Both were fitted to Galaxy Zoo 2; the numbers of one follow from those of the other."""
    from galaxy_vision.simulation.camera import BAND_WEIGHTS, LUPTON_Q, LUPTON_STRETCH, SKY_NOISE, WHITE

    stretch = SURVEYS["sdss"].stretch
    assert stretch.softening == pytest.approx(LUPTON_STRETCH / LUPTON_Q / SKY_NOISE[1], rel=0.02)
    assert stretch.white == pytest.approx(WHITE / SKY_NOISE[1], rel=0.02)
    noise = SKY_NOISE[::-1] / SKY_NOISE[1]
    assert np.array(stretch.balance) == pytest.approx(BAND_WEIGHTS[::-1] * noise, rel=0.01)


def test_the_surveys_that_parsers_know_are_those_that_there_are():
    assert tuple(SURVEYS) == SURVEY_NAMES
