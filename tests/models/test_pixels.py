"""Whatever an image is given as, its numbers mean the same picture, or one sentence says what they may mean."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import COLOURS, encoded, fits_file, source
from PIL import Image
from transformers import pipeline

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.models.pixels import as_rgb

RGB = np.asarray(COLOURS)
DEEP = (source(200.0) * 10).astype(np.uint16)

SAME = {
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "string": str,
    "path": Path,
    "opened file": Image.open,
    "image": lambda path: Image.open(path).copy(),
    "uint8": lambda path: RGB,
    "uint8, channels first": lambda path: RGB.transpose(2, 0, 1),
    "int64": lambda path: RGB.astype(np.int64),
    "uint16 of 8 bits": lambda path: RGB.astype(np.uint16),
    "uint16 of 16 bits": lambda path: RGB * np.uint16(257),
    "big-endian uint16": lambda path: (RGB * np.uint16(257)).astype(">u2"),
    "floats from 0 to 1": lambda path: RGB / 255,
    "float16 from 0 to 1": lambda path: (RGB / 255).astype(np.float16),
    "floats from 0 to 255": lambda path: RGB.astype(np.float32),
    "opaque RGBA": lambda path: np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)]),
    "tensor": lambda path: torch.from_numpy(RGB.copy()).permute(2, 0, 1),
    "tensor from 0 to 1": lambda path: torch.from_numpy(RGB.copy()).permute(2, 0, 1) / 255,
    "tensor with gradient": lambda path: (torch.from_numpy(RGB.copy()).permute(2, 0, 1) / 255).requires_grad_(),
}


@pytest.mark.parametrize("kind", SAME)
def test_one_picture_given_in_any_form_is_that_picture(kind, tmp_path):
    COLOURS.save(tmp_path / "galaxy.png")
    given = SAME[kind](tmp_path / "galaxy.png")
    seen = read_rgb(given)
    assert seen.mode == "RGB" and (np.asarray(seen) == RGB).all()


@pytest.mark.parametrize(
    "form",
    [
        lambda counts: Image.fromarray(counts),
        lambda counts: Image.open(io.BytesIO(encoded(Image.fromarray(counts), "PNG"))),
        lambda counts: counts,
        lambda counts: counts[..., None],
        lambda counts: counts[None].astype(">i4"),
        lambda counts: counts.astype(np.float64),
        lambda counts: torch.from_numpy(counts.astype(np.float32))[None],
        lambda counts: np.ma.masked_array(counts, mask=np.zeros(counts.shape, bool)),
    ],
)
def test_a_deep_channel_is_stretched_as_in_a_file(form):
    known = np.asarray(read_rgb(encoded(Image.fromarray(DEEP), "PNG")))
    seen = read_rgb(form(DEEP))
    assert (np.asarray(seen) == known).all() and seen.info["reading"].startswith("asinh stretch")


def test_masked_pixels_get_the_level_of_the_sky():
    counts = np.ma.masked_greater(DEEP, 2800)
    known = read_rgb(np.where(counts.mask, np.nan, DEEP.astype(float)))
    seen = read_rgb(counts)
    assert (np.asarray(seen) == np.asarray(known)).all() and "pixels at sky level" in seen.info["reading"]


def test_an_image_that_was_given_is_left_as_it_was():
    exif = Image.Exif()
    exif[274] = 6
    given = Image.open(io.BytesIO(encoded(COLOURS, "PNG", exif=exif)))
    assert (np.asarray(read_rgb(given)) == np.rot90(RGB, -1)).all()
    assert given.size == COLOURS.size and given.getexif()[274] == 6
    plain = COLOURS.copy()
    plain.info = {"mine": 1}
    read_rgb(plain).putpixel((0, 0), (1, 2, 3))
    assert plain.info == {"mine": 1} and (np.asarray(plain) == RGB).all()


REFUSED = {
    "list": ([[1, 2], [3, 4]], "list is not an image"),
    "nothing": (None, "NoneType is not an image"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\) is not an image"),
    "image without pixels": (Image.new("RGB", (0, 4)), "0x4 px has no pixels"),
    "a row": (np.zeros(9), r"shape \(9,\) is not an image"),
    "a batch": (np.zeros((2, 8, 8, 3), np.uint8), r"shape \(2, 8, 8, 3\) is not an image"),
    "two channels": (np.zeros((8, 8, 2), np.uint8), "does not have 1, 3 or 4 channels"),
    "five bands": (np.zeros((5, 8, 8)), "does not have 1, 3 or 4 channels"),
    "channels at both ends": (np.zeros((3, 8, 3), np.uint8), "channels first or last"),
    "complex": (np.zeros((8, 8), complex), "type complex128 is not an image"),
    "strings": (np.full((8, 8), "a"), "is not an image; give integers or floats"),
    "too large": (np.zeros((5000, 2), np.uint8), "2x5000 px is larger than the limit of 4096"),
    "NaN colours": (np.where(RGB > 250, np.nan, RGB / 255), "of the colours are NaN or infinite"),
    "flux in three bands": (RGB * 0.013 - 0.4, "colours of float64 from -0.4 to .* are not 0 to 1"),
    "fractions of 255": (RGB * 0.99, "colours of float64 from 0 to .* are not 0 to 1, nor whole numbers"),
    "12-bit colours": (RGB.astype(np.uint16) * 15, "colours of uint16 from 0 to .* nor 16 bits up to 4096 or more"),
    "signed colours": (RGB.astype(np.int16) - 128, "colours of int16 from -128 to 127 are not 0 to 255"),
    "int8 colours": ((RGB.astype(np.int16) - 128).astype(np.int8), "colours of int8 from -128 to 127"),
    "mostly NaN": (np.full((8, 8), np.nan), "100% of the pixels are NaN"),
    "a URL": ("https://example.org/galaxy.jpg", "galaxy.jpg"),
    "no file": ("nowhere.jpg", "nowhere.jpg"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_that_may_mean_several_things_are_refused_in_one_sentence(name):
    given, sentence = REFUSED[name]
    with pytest.raises(ValueError, match=sentence) as refused:
        read_rgb(given)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_a_fits_path_and_its_options_are_read(tmp_path):
    (tmp_path / "galaxy.fits").write_bytes(fits_file(source(400.0).astype(np.float32)))
    assert np.asarray(read_rgb(str(tmp_path / "galaxy.fits"), hdu=1, stretch="linear")).max() == 255
    with pytest.raises(ValueError, match="hdu and bands choose a part of a FITS file"):
        read_rgb(RGB, hdu=1)


def test_transparency_is_black_sky_in_arrays_too():
    layer = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    layer[:, :16, 3] = 0
    for seen in (as_rgb(layer), as_rgb(layer.transpose(2, 0, 1)), as_rgb(layer / 255), as_rgb(Image.fromarray(layer))):
        assert (seen[:, :16] == 0).all() and (seen[:, 16:] == RGB[:, 16:]).all()


WHITE = Image.new("RGB", (80, 60), "white")


def pasted(share: float) -> Image.Image:
    """A grey image of which this share, from the left, is white."""
    image = Image.new("RGB", (100, 100), (40, 40, 40))
    image.paste(WHITE.resize((round(100 * share), 100)), (0, 0))
    return image


@pytest.mark.parametrize("form", [lambda image: image, np.asarray, lambda image: encoded(image, "PNG")])
def test_an_image_that_is_mostly_white_is_refused_by_every_reader(form):
    with pytest.raises(
        ValueError, match=r"(59|60|61)% of the pixels are white, more than 25%.*read_rgb\(path\) of the original"
    ):
        read_rgb(form(pasted(0.6)))
    if not isinstance(form(WHITE), bytes):
        with pytest.raises(ValueError, match="100% of the pixels are white"):
            GalaxyImageProcessor()([COLOURS, form(WHITE)])
    assert read_rgb(form(pasted(0.2))).size == (100, 100)


def test_the_processor_warns_of_some_white_and_of_black_and_not_of_a_galaxy(galaxies):
    processor = GalaxyImageProcessor()
    with pytest.warns(UserWarning, match="(9|10|11)% of the pixels are white: overexposed, or cut to 8 bits"):
        processor(pasted(0.1))
    for value in (0, 1):
        with pytest.warns(UserWarning, match=f"no pixel is brighter than {value} of 255: blank, or"):
            processor(np.full((9, 9, 3), value, np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        processor([Image.open(io.BytesIO(data)) for data, _, _ in galaxies])


def cut(values) -> Image.Image:
    """As transformers' load_image leaves a deep image that is no galaxy_vision's to open."""
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


def test_what_a_standard_pipeline_leaves_of_deep_images_is_refused_or_warned_of(galaxies):
    """Its load_image has cut them to 8 bits before the processor sees them."""
    tally = {"refused": 0, "warned": 0}
    for data, _, _ in galaxies:
        flux = 5.8 * np.sinh(
            np.asarray(Image.open(io.BytesIO(data)).convert("L")) / 255 * np.arcsinh(500 / 5.8)
        )  # sky sigmas
        for counts in (1000 + 30 * flux, 65535 * flux / flux.max(), flux / flux.max()):
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                try:
                    GalaxyImageProcessor()(cut(counts))
                    tally["warned"] += bool(warned)
                except ValueError:
                    tally["refused"] += 1
    assert tally["refused"] + tally["warned"] == 3 * len(galaxies) and tally["refused"] > len(galaxies)


DEEP_FORMS = {
    "mode I;16": Image.fromarray(DEEP),
    "mode I": Image.fromarray(DEEP.astype(np.int32)),
    "mode F": Image.fromarray(DEEP.astype(np.float32)),
    "uint16": DEEP,
    "uint16, one channel first": DEEP[None],
    "int8": (DEEP % 100).astype(np.int8),
    "floats from 0 to 1": (DEEP / DEEP.max()).astype(np.float32),
    "tensor": torch.from_numpy(DEEP.astype(np.float32)),
    "NaN": np.where(DEEP > 3000, np.nan, DEEP),
}


@pytest.mark.parametrize("name", DEEP_FORMS)
def test_the_processor_refuses_a_deep_channel_and_takes_it_stretched(name):
    with pytest.raises(ValueError, match="deep, not the 8 bits|one deep channel, not the 8 bits") as error:
        GalaxyImageProcessor()(DEEP_FORMS[name])
    assert "give galaxy_vision.read_rgb(image), which stretches it to 8 bits" in str(error.value)
    assert GalaxyImageProcessor()(read_rgb(DEEP_FORMS[name]), return_tensors="pt").pixel_values.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("kind", SAME)
def test_the_processor_sees_the_same_picture_in_any_form(kind, tmp_path):
    COLOURS.save(tmp_path / "galaxy.png")
    given = SAME[kind](tmp_path / "galaxy.png")
    known = GalaxyImageProcessor()(COLOURS, return_tensors="pt").pixel_values
    if isinstance(given, bytes | bytearray | memoryview):
        pytest.raises((TypeError, ValueError), GalaxyImageProcessor(), given)
        return
    for images in (given, [given]):
        assert torch.equal(GalaxyImageProcessor()(images, return_tensors="pt").pixel_values, known)
    if "0 to 1" in kind:  # the usual way to say that they are scaled already
        assert torch.equal(GalaxyImageProcessor()(given, do_rescale=False, return_tensors="pt").pixel_values, known)


def test_grey_and_channels_that_a_shape_does_not_tell():
    grey = RGB[..., 0]
    known = GalaxyImageProcessor()(np.repeat(grey[..., None], 3, -1), return_tensors="pt").pixel_values
    for given in (grey, grey[..., None], grey[None], torch.from_numpy(grey.copy()), Image.fromarray(grey)):
        assert torch.equal(GalaxyImageProcessor()(given, return_tensors="pt").pixel_values, known)
        assert torch.equal(GalaxyImageProcessor()([given], return_tensors="pt").pixel_values, known)
    thin = RGB[:3]
    with pytest.raises(ValueError, match="channels first or last; give input_data_format"):
        GalaxyImageProcessor()(thin)
    last = GalaxyImageProcessor()(thin, input_data_format="channels_last", return_tensors="pt").pixel_values
    first = GalaxyImageProcessor()(
        thin.transpose(2, 0, 1), input_data_format="channels_first", return_tensors="pt"
    ).pixel_values
    assert torch.equal(last, first)
    assert torch.equal(
        last,
        GalaxyImageProcessor()(
            Image.fromarray(thin), input_data_format="channels_first", return_tensors="pt"
        ).pixel_values,
    )


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in ("a batch", "a URL", "too large")])
def test_the_processor_refuses_what_may_mean_several_things(name):
    with pytest.raises((TypeError, ValueError)):
        GalaxyImageProcessor()(REFUSED[name][0])


def test_a_batch_of_one_array_is_its_images():
    batch = np.stack([RGB, RGB[::-1]])
    known = torch.cat([GalaxyImageProcessor()(image, return_tensors="pt").pixel_values for image in batch])
    assert torch.equal(GalaxyImageProcessor()(batch, return_tensors="pt").pixel_values, known)


def test_the_standard_pipeline_refuses_deep_files_and_takes_what_read_rgb_makes_of_them(tmp_path):
    model = GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="test_resnet")).eval()
    classify = pipeline("image-classification", model=model, image_processor=GalaxyImageProcessor(), device="cpu")
    (tmp_path / "deep.png").write_bytes(encoded(Image.fromarray(DEEP), "PNG"))
    (tmp_path / "flux.fits").write_bytes(fits_file(primary=source(400.0).astype(np.float32)))
    (tmp_path / "counts.fits").write_bytes(fits_file(primary=DEEP.astype(np.int16)))
    for name in ("deep.png", "counts.fits"):
        with pytest.raises(
            ValueError, match=r"(99|100)% of the pixels are white.*read_rgb\(path\) of the original file"
        ):
            classify(str(tmp_path / name))
    with pytest.warns(
        UserWarning, match=r"cut to 8 bits before; give galaxy_vision.read_rgb\(path\)"
    ):  # noise or black
        classify(str(tmp_path / "flux.fits"))
    for path in tmp_path.iterdir():
        rgb = read_rgb(path)
        with torch.no_grad():
            known = model(**GalaxyImageProcessor()(rgb, return_tensors="pt")).logits.softmax(-1).max().item()
        assert classify(rgb)[0]["score"] == pytest.approx(known, abs=1e-5)
