"""Bands of FITS files by name or number, in the colours that they are asked for in, and three files on one grid."""

import gzip
import io
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from conftest import jpeg
from limits import soon
from PIL import Image

from galaxy_vision import read_bands, read_rgb
from galaxy_vision.images.surveys import SURVEYS

SIDE = 64
X, Y = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
GRADIENTS = {"i": X, "r": Y, "g": 1 - X, "z": 1 - Y}
"""Four planes that no one takes for another: brighter to the right, upwards (FITS), to the left, downwards."""
DARK = np.zeros((SIDE, SIDE))


def seen(image: Image.Image) -> list[str]:
    """The gradients of red, green and blue of an image, by name."""
    names = []
    for channel in np.asarray(image, float).transpose(2, 0, 1):
        shown = {name: plane[::-1] for name, plane in GRADIENTS.items()}  # rows are flipped
        names.append(max(shown, key=lambda name: np.corrcoef(shown[name].ravel(), channel.ravel())[0, 1]))
    return names


def file_of(*hdus) -> bytes:
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(file)
    return file.getvalue()


def extension(plane, name=None, kind=fits.ImageHDU, **cards):
    hdu = kind(np.asarray(plane, np.float32), name=name)
    hdu.header.update(cards)
    return hdu


def by_extension(order: str, kind=fits.ImageHDU) -> bytes:
    return file_of(*(extension(GRADIENTS[name], name.upper(), kind) for name in order))


LINEAR = {"stretch": "linear"}


@pytest.mark.parametrize("order", ["gri", "irg", "rgi", "zgir"])
@pytest.mark.parametrize("kind", [fits.ImageHDU, fits.CompImageHDU])
@pytest.mark.parametrize("asked", [("i", "r", "g"), ("G", "R", "I")])
def test_three_extensions_are_the_colours_that_they_are_asked_for_in_however_the_file_orders_them(order, kind, asked):
    image = read_rgb(by_extension(order, kind), bands=asked, **LINEAR)
    assert seen(image) == [name.lower() for name in asked]
    assert image.info["reading"].startswith(f"FITS bands {asked[0]} (HDU {1 + order.index(asked[0].lower())}), ")


@pytest.mark.parametrize("order", ["gri", "irg", "rzg"])
def test_three_images_that_are_named_by_letters_are_in_order_of_wavelength_unasked(order):
    image = read_rgb(by_extension(order), **LINEAR)
    assert seen(image) == sorted(order, key="griz".index, reverse=True)


def test_other_names_numbers_and_sizes_of_images_leave_the_first_image_in_grey():
    for data in (by_extension("gr"), by_extension("griz")):
        assert seen(read_rgb(data, **LINEAR)) == ["g"] * 3
    assert seen(read_rgb(file_of(extension(X, "r"), extension(Y[:9], "g"), extension(Y, "i")), **LINEAR)) == ["i"] * 3
    science = file_of(extension(X, "SCI"), extension(Y, "WHT"), extension(1 - X, "CTX"))
    assert seen(read_rgb(science, **LINEAR)) == ["i"] * 3


@pytest.mark.parametrize(
    "values",
    [{"FILTER": "{}"}, {"BAND": "{}"}, {"FILTER": "{} DECam SDSS c0001 4720.0 1520.0"}, {"FILTER": "{}.00000"}],
)
def test_a_band_is_found_by_the_filter_of_its_extension(values):
    hdus = [
        extension(GRADIENTS[name], f"IM{number}", **{key: text.format(name) for key, text in values.items()})
        for number, name in enumerate("rgzi")
    ]
    assert seen(read_rgb(file_of(*hdus), bands=["i", "r", "g"], **LINEAR)) == ["i", "r", "g"]


def test_science_is_meant_where_errors_and_masks_have_the_same_filter():
    hdus = []
    for version, name in enumerate("gri", 1):
        for kind, plane in (("ERR", DARK), ("SCI", GRADIENTS[name]), ("DQ", DARK)):
            hdus.append(extension(plane, kind, FILTER=name, EXTVER=version))
    data = file_of(*hdus)
    assert seen(read_rgb(data, bands=("i", "r", "g"), **LINEAR)) == ["i", "r", "g"]
    assert seen(read_rgb(data, bands=("SCI,3", "SCI,2", "SCI,1"), **LINEAR)) == ["i", "r", "g"]
    with pytest.raises(
        ValueError, match="band 'sci' is the name of 3 images of the FITS file .SCI,1, SCI,2, SCI,3.; choose one"
    ):
        read_rgb(data, bands="sci")


def test_the_name_of_an_extension_is_stronger_than_that_of_a_filter():
    data = file_of(extension(X, "R", FILTER="i"), extension(Y, "I", FILTER="r"))
    assert seen(read_rgb(data, bands="r", **LINEAR)) == ["i"] * 3  # the gradient X


def test_one_name_is_grey():
    assert seen(read_rgb(by_extension("gri"), bands="r", **LINEAR)) == ["r"] * 3
    assert seen(read_rgb(by_extension("gri"), bands=["G"], **LINEAR)) == ["g"] * 3


def cube(order: str, named: bool) -> bytes:
    hdu = fits.PrimaryHDU(np.stack([GRADIENTS[name] for name in order]).astype(np.float32))
    if named:
        hdu.header["BANDS"] = order
        hdu.header.update({f"BAND{number}": name for number, name in enumerate(order)})
    file = io.BytesIO()
    hdu.writeto(file)
    return file.getvalue()


def test_planes_of_a_cube_are_taken_by_number_and_by_the_names_that_its_header_gives():
    assert seen(read_rgb(cube("griz", named=False), bands=(2, 1, 0), **LINEAR)) == ["i", "r", "g"]
    assert seen(read_rgb(cube("griz", named=False), bands=["0", "1", "3"], **LINEAR)) == ["g", "r", "z"]
    assert seen(read_rgb(cube("griz", named=True), bands=("z", "r", "g"), **LINEAR)) == ["z", "r", "g"]
    assert seen(read_rgb(cube("zrg", named=True), bands=("z", "r", "g"), hdu=0, **LINEAR)) == ["z", "r", "g"]


@pytest.mark.parametrize(
    ("data", "bands", "sentence"),
    [
        (by_extension("gri"), ("i", "r", "u"), "FITS file has no band 'u'; it has: G, R, I"),
        (cube("griz", named=True), ("y", "r", "g"), "no band 'y'; it has: g, r, i, z"),
        (cube("gr", named=False), ("r",), "no band 'r'; it has: HDU 0 plane 0, HDU 0 plane 1"),
        (file_of(), ("r",), "no band 'r'; it has: no image"),
        (by_extension("gri"), ("i", 1, 0), r"bands=\('i', 1, 0\) mixes names and numbers of planes; give either"),
        (by_extension("gri"), ("i", "r"), r"bands=\('i', 'r'\): 2 are not one .grey., nor three as red, green, blue"),
    ],
)
def test_a_band_that_is_not_there_gives_one_sentence_with_those_that_are(data, bands, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        read_rgb(data, bands=bands)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_an_image_before_damage_is_read_although_bands_behind_it_cannot_be_listed():
    data = by_extension("gri")
    spoiled = data[: -2 * 20160 + 2880 + 100]  # the second extension is cut
    assert seen(read_rgb(spoiled, **LINEAR)) == ["g"] * 3
    with pytest.raises(ValueError, match="no band 'i'|damaged"):
        read_rgb(spoiled, bands="i")


def test_a_header_with_very_many_planes_is_refused_soon():
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 3), ("NAXIS1", 8), ("NAXIS2", 8)])
    header["NAXIS3"] = 10**9
    for bands in (None, "r"):
        with soon(64), pytest.raises(ValueError):
            read_rgb(header.tostring().encode(), bands=bands)


def sky(scale=0.5, turned=0.0, x=0.0, y=0.0) -> WCS:
    """A tangential projection with the pole in the middle of a SIDE x SIDE image, or moved by x, y pixels."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix = [(SIDE + 1) / 2 + x, (SIDE + 1) / 2 + y]
    cosine, sine = np.cos(turned), np.sin(turned)
    wcs.wcs.cd = scale / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    return wcs


def source(wcs: WCS, east: float, north: float, side=SIDE) -> np.ndarray:
    """A round source of 2 arcsec at an offset from the middle of the field, in arcsec, on the pixels of this WCS."""
    y, x = np.mgrid[:side, :side]
    ra, dec = wcs.pixel_to_world_values(x, y)
    east_of = (ra - 150.0) * np.cos(np.radians(2.0)) * 3600 - east
    north_of = (dec - 2.0) * 3600 - north
    return np.exp(-0.5 * (east_of**2 + north_of**2) / 2.0**2)


def with_sky(plane, wcs: WCS | None) -> bytes:
    return file_of(extension(plane, "SCI", **(dict(wcs.to_header()) if wcs else {})))


def test_three_files_are_red_green_blue_in_the_order_given(tmp_path):
    for name, plane in GRADIENTS.items():
        (tmp_path / f"{name}.fits").write_bytes(with_sky(plane, None))
    paths = [tmp_path / f"{name}.fits" for name in "irg"]
    image = read_bands(*paths, **LINEAR)
    assert seen(image) == ["i", "r", "g"] and "pixel_scale" not in image.info
    assert image.info["reading"].startswith("FITS bands of i.fits, r.fits, g.fits, linear")
    same = read_bands(str(paths[0]), gzip.compress(paths[1].read_bytes()), paths[2].open("rb"), hdu="SCI", **LINEAR)
    assert (np.asarray(same) == np.asarray(image)).all()
    solved = read_bands(*(with_sky(GRADIENTS[name], sky()) for name in "irg"), **LINEAR)
    assert (np.asarray(solved) == np.asarray(image)).all() and solved.info["pixel_scale"] == pytest.approx(0.5)
    assert "aligned" not in solved.info["reading"]


def test_bands_of_other_pixels_are_aligned_by_their_wcs():
    """A source is at one position in each band, whose pixels are turned, moved and of another size."""
    grids = [sky(0.5), sky(0.5, turned=0.4, x=3, y=-5), sky(0.8)]
    east, north = 6.0, 4.0
    files = [with_sky(source(grid, east, north), grid) for grid in grids]
    image = read_bands(*files, stretch="linear")
    assert "aligned by WCS to the red file" in image.info["reading"]
    assert image.info["pixel_scale"] == pytest.approx(0.5)
    column, row = grids[0].world_to_pixel_values(150 + east / 3600 / np.cos(np.radians(2)), 2 + north / 3600)
    y, x = np.mgrid[:SIDE, :SIDE]
    for channel in np.asarray(image, float).transpose(2, 0, 1):
        light = np.clip(channel - 20, 0, None)
        centre = (light * x).sum() / light.sum(), (light * (SIDE - 1 - y)).sum() / light.sum()
        assert centre == pytest.approx((float(column), float(row)), abs=0.3)


def test_the_finest_pixels_are_the_grid_whichever_band_has_them():
    coarse, fine = sky(1.0), sky(0.5)
    image = read_bands(*(with_sky(source(grid, 0, 0), grid) for grid in (coarse, fine, coarse)), **LINEAR)
    assert (
        image.info["pixel_scale"] == pytest.approx(0.5) and "aligned by WCS to the green file" in image.info["reading"]
    )


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            [with_sky(X, None), with_sky(X, None), with_sky(X[:30], None)],
            "the bands differ in size .the red file 64x64, .* the blue file 64x30., and .* no celestial WCS",
        ),
        (
            [with_sky(X, sky()), with_sky(X, None), with_sky(X, sky())],
            "the green file has no celestial WCS to align it",
        ),
        ([with_sky(X, sky()), with_sky(X, sky(x=4000)), with_sky(X, sky())], "the green file covers 0% of the sky of"),
        ([with_sky(X, sky()), cube("gri", named=False), with_sky(X, sky())], "the green file: FITS cube has 3 bands"),
        (
            [with_sky(X, sky()), jpeg(Image.new("RGB", (8, 8))), with_sky(X, sky())],
            "the green file: is not a FITS file",
        ),
        (
            [with_sky(X, sky()), np.zeros((8, 8)), with_sky(X, sky())],
            "the green file is of type ndarray; give the path",
        ),
    ],
)
def test_files_that_cannot_be_laid_on_each_other_are_refused_in_one_sentence(files, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        read_bands(*files)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_without_reproject_what_differs_is_refused_and_what_does_not_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "reproject", None)
    same = [with_sky(GRADIENTS[name], sky()) for name in "irg"]
    assert seen(read_bands(*same, **LINEAR)) == ["i", "r", "g"]
    with pytest.raises(ValueError, match=r"reproject, which aligns them, is not installed; pip install .*\[sky\]"):
        read_bands(*same[:2], with_sky(X, sky(turned=0.1)))


def test_extensions_of_one_file_are_aligned_too():
    hdus = [
        extension(source(grid, 3, 0), name, **dict(grid.to_header()))
        for name, grid in (("g", sky()), ("r", sky(turned=1.0)), ("i", sky(0.7)))
    ]
    image = read_rgb(file_of(*hdus), **LINEAR)
    peaks = [np.unravel_index(channel.argmax(), channel.shape) for channel in np.asarray(image).transpose(2, 0, 1)]
    assert np.ptp(np.array(peaks), axis=0).max() <= 1 and "aligned by WCS to G" in image.info["reading"]


SCALES = {
    "CD": ({"CD1_1": -1.1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.1e-4}, 0.396),
    "turned CD": ({"CD1_1": 0.0, "CD1_2": 1.1e-4, "CD2_1": 1.1e-4, "CD2_2": 0.0}, 0.396),
    "CDELT": ({"CDELT1": -1.1e-4, "CDELT2": 1.1e-4}, 0.396),
    "CDELT and CROTA": ({"CDELT1": -1.1e-4, "CDELT2": 1.1e-4, "CROTA2": 30.0}, 0.396),
    "PC and degrees": ({"CDELT1": -1.1e-4, "CDELT2": 1.1e-4, "PC1_1": 1.0, "PC2_2": 1.0, "CUNIT1": "degree"}, 0.396),
    "arcsec": ({"CDELT1": -0.262, "CDELT2": 0.262, "CUNIT1": "arcsec", "CUNIT2": "arcsec"}, 0.262),
    "distorted": ({"CDELT1": -1.1e-4, "CDELT2": 1.1e-4, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, 0.396),
    "galactic": ({"CDELT1": -1.1e-4, "CDELT2": 1.1e-4, "CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR"}, 0.396),
    "no WCS": ({"CTYPE1": "", "CDELT1": -1.1e-4, "CDELT2": 1.1e-4}, None),
    "pixels of a detector": ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR", "CDELT1": 1.0}, None),
    "frequencies": ({"CTYPE1": "FREQ", "CTYPE2": "STOKES"}, None),
    "singular": ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, None),
    "text": ({"CDELT1": "small"}, None),
    "very many axes": ({"CDELT1": -1.1e-4, "CDELT2": 1.1e-4, "WCSAXES": 10**8, "A_ORDER": 10**6}, 0.396),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SCALES)
def test_the_pixel_scale_is_that_of_a_celestial_wcs_and_absent_without_one(name):
    cards, scale = SCALES[name]
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"} | cards
    with soon(64):
        found = read_rgb(file_of(extension(X, "SCI", **cards))).info.get("pixel_scale")
    assert found is None if scale is None else found == pytest.approx(scale)


@pytest.mark.parametrize("card", [b"CTYPE1  = 'RA---TAN'", b"CDELT1  =  ", b"BOFFSET =   ", b"FILTER  = 'r"])
def test_a_card_that_cannot_be_read_is_no_other_error_than_one_sentence(card):
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1.1e-4, "CDELT2": 1.1e-4}
    data = file_of(extension(X, "SCI", **cards, FILTER="r", BOFFSET=2.0, BSOFTEN=9.0))
    assert card in data
    data = data.replace(card, card[:10] + b"RA--(" + card[15:])
    for options in ({}, {"survey": "sdss"}, {"bands": "r"}):
        try:
            assert read_rgb(data, **options).size == (SIDE, SIDE)
        except ValueError as error:
            assert "\n" not in str(error)


def test_only_fits_files_have_a_pixel_scale():
    assert "pixel_scale" not in read_rgb(np.zeros((8, 8, 3), np.uint8)).info
    assert "pixel_scale" not in read_rgb(jpeg(Image.new("RGB", (8, 8)))).info


class Trickle(io.RawIOBase):
    """A raw file, which gives fewer bytes than it is asked for."""

    def __init__(self, data: bytes):
        self.inside = io.BytesIO(data)

    def read(self, size=-1):
        return self.inside.read(min(size, 100))


@pytest.mark.parametrize("data", [by_extension("g"), jpeg(Image.fromarray((255 * X).astype(np.uint8)))])
def test_paths_buffers_and_file_objects_are_the_same_picture(data, tmp_path):
    path = tmp_path / "galaxy"
    path.write_bytes(data)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("galaxy", data)
    with path.open("rb") as file, zipfile.ZipFile(tmp_path / "images.zip") as archive, archive.open("galaxy") as member:
        forms = [
            str(path),
            Path(path),
            data,
            bytearray(data),
            memoryview(data),
            io.BytesIO(data),
            file,
            member,
            Trickle(data),
        ]
        assert {np.asarray(read_rgb(form)).tobytes() for form in forms} == {np.asarray(read_rgb(data)).tobytes()}


class Endless(io.RawIOBase):
    def read(self, size=-1):
        return bytes(min(size, 1 << 20))


class Broken(io.RawIOBase):
    def read(self, size=-1):
        raise RuntimeError("the tape broke")


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (io.StringIO("galaxy"), "open for text; open it with mode 'rb'"),
        (io.BytesIO(), "the file is empty"),
        (Endless(), "larger than the limit of 64 MiB"),
        (Broken(), "unreadable: the tape broke"),
    ],
)
def test_file_objects_that_give_no_image_are_one_sentence(file, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_rgb(file)


def test_stacks_of_pan_starrs_are_read_in_linear_flux():
    """Their pixels are asinh magnitudes; the same flux in another unit is the same picture."""
    rng = np.random.default_rng(0)
    flux = rng.normal(0, 1.0, (SIDE, SIDE)) + 300 * np.exp(-((X - 0.5) ** 2 + (Y - 0.5) ** 2) / 0.01)
    offset, softening = 2.2, 95.4
    packed = 2.5 / np.log(10) * np.arcsinh((flux - offset) / (2 * softening))
    hdu = extension(packed, "STACK", fits.CompImageHDU, BOFFSET=offset, BSOFTEN=softening)
    hdu = fits.ImageHDU(packed, hdu.header)
    known, image = read_rgb(file_of(fits.ImageHDU(flux))), read_rgb(file_of(hdu))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(known)).max() <= 1
    assert "asinh magnitudes made linear" in image.info["reading"]
    assert re.match("FITS HDU 1, asinh stretch", known.info["reading"])


@pytest.mark.parametrize("name", SURVEYS)
def test_a_survey_gives_bands_by_name_and_a_pixel_scale_where_the_file_has_none(name):
    survey = SURVEYS[name]
    planes = dict(zip(survey.bands, "irg", strict=True))
    hdus = [extension(GRADIENTS[planes[band]], band) for band in (survey.bands[1], survey.bands[0], survey.bands[2])]
    hdus.insert(0, extension(DARK, "WHT"))
    image = read_rgb(file_of(*hdus), survey=name, **LINEAR)
    assert seen(image) == ["i", "r", "g"] and image.info["pixel_scale"] == survey.pixel_scale
    assert f"as of {name}" in image.info["reading"]
    grey = read_rgb(
        file_of(extension(X, "SCI", FILTER=survey.bands[1], **dict(sky().to_header()))), survey=name, **LINEAR
    )
    assert seen(grey) == ["i"] * 3 and grey.info["pixel_scale"] == pytest.approx(0.5)
    assert seen(read_rgb(file_of(*hdus[:2]), survey=name, **LINEAR)) == ["r"] * 3
    with pytest.raises(ValueError, match=f"no band '{survey.bands[2]}'; it has: WHT, {survey.bands[1].upper()}"):
        read_rgb(file_of(*hdus[:3]), survey=name)


def test_a_survey_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="survey='lsst' is not known; use sdss, legacy, panstarrs, hst, euclid"):
        read_rgb(jpeg(Image.new("RGB", (8, 8))), survey="lsst")
