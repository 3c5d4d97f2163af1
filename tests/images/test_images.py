"""Every file that a user may have becomes the right pixels.

Every hostile file becomes one sentence.
"""

import bz2
import gzip
import io
import re
import warnings
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from conftest import jpeg
from image_files import COLOURS, HOSTILE, SKY, encoded, fits_file, png, source
from limits import soon
from PIL import Image

from galaxy_vision.images import limits
from galaxy_vision.images.archives import ImageSource
from galaxy_vision.images.decode import read_rgb


def pixels(data: bytes, **options) -> np.ndarray:
    image = read_rgb(data, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize(
    "kind, options", [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})]
)
def test_lossless_files_keep_every_pixel(kind, options):
    assert (pixels(encoded(COLOURS, kind, **options)) == np.asarray(COLOURS)).all()


def test_grey_palette_cmyk_and_one_frame_gif_become_the_same_picture():
    grey = COLOURS.convert("L")
    assert (pixels(encoded(grey, "PNG")) == np.asarray(grey)[..., None]).all()
    palette = COLOURS.quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    assert (pixels(encoded(palette, "PNG")) == expected).all()
    assert (pixels(encoded(palette, "GIF")) == expected).all()
    plain = Image.new("RGB", (16, 16), (200, 90, 30))
    assert np.abs(pixels(encoded(plain.convert("CMYK"), "JPEG", quality=95)).astype(int) - (200, 90, 30)).max() <= 4


def test_what_is_transparent_is_black_sky():
    layer = COLOURS.convert("RGBA")
    layer.putalpha(Image.fromarray(np.repeat([[0] * 16 + [255] * 16], 24, axis=0).astype(np.uint8)))
    seen = pixels(encoded(layer, "PNG"))
    assert (seen[:, :16] == 0).all() and (seen[:, 16:] == np.asarray(COLOURS)[:, 16:]).all()


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: the first row is the right-hand side
    seen = pixels(encoded(COLOURS, "PNG", exif=exif))
    assert (seen == np.rot90(np.asarray(COLOURS), -1)).all()


def test_sixteen_bit_colour_is_scaled_over_its_whole_range():
    values = np.array([0, 257, 128 * 257, 65535])
    rows = b"".join(b"\0" + np.repeat(v, 12).astype(">u2").tobytes() for v in values)
    assert (pixels(png(4, 4, rows, depth=16))[:, 0, 0] == [0, 1, 128, 255]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_stretched_and_keeps_its_order(kind):
    ramp = np.linspace(0, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    data = encoded(Image.fromarray(ramp), kind)
    linear = pixels(data, stretch="linear")[..., 0].ravel().astype(int)
    assert linear[0] == 0 and linear[-1] == 255 and (np.diff(linear) >= 0).all() and len(set(linear)) == 256
    assert "linear stretch from 0 to 60000" in read_rgb(data, stretch="linear").info["reading"]
    faint = encoded(Image.fromarray((source(200.0) * 10).astype(np.uint16)), kind)
    assert pixels(faint)[20, 24, 0] > 240 and pixels(faint)[:5, :5].mean() < 20
    assert "asinh" in read_rgb(faint).info["reading"]


def test_float_tiff_is_stretched_too():
    seen = pixels(encoded(Image.fromarray(source(400.0).astype(np.float32)), "TIFF"))
    assert seen[20, 24, 0] > 240 and seen[:5, :5].mean() < 20


def test_fits_looks_as_in_ds9_with_the_first_row_at_the_bottom():
    seen = pixels(fits_file(primary=source(400.0, row=10, column=24).astype(np.float32)))
    assert np.unravel_index(seen[..., 0].argmax(), seen.shape[:2]) == (40 - 1 - 10, 24)


PACKED = pytest.mark.parametrize("kind, compress", [("gzip", gzip.compress), ("bzip2", bz2.compress)])


@PACKED
def test_fits_may_be_packed(kind, compress):
    data = fits_file(source(400.0).astype(np.float32))
    assert (pixels(compress(data)) == pixels(data)).all()


@PACKED
@pytest.mark.parametrize("cut", [1, 80, 2880, 3000, 70000])
def test_a_packed_file_of_several_members_is_their_whole_content(cut, kind, compress):
    data = fits_file(np.tile(source(400.0), (4, 4)).astype(np.float32))
    parts = [data[:cut], data[cut:-9], b"", data[-9:]]
    assert (pixels(b"".join(map(compress, parts))) == pixels(data)).all()
    assert (pixels(b"".join(map(compress, parts)) + bytes(512)) == pixels(data)).all()  # as tapes pad it
    with pytest.raises(ValueError, match=f"truncated {kind} file"):
        read_rgb(b"".join(map(compress, parts))[:-10])


@PACKED
def test_a_packed_file_of_very_many_members_is_refused_soon(kind, compress):
    with soon(256), pytest.raises(ValueError, match=f"{kind} file has more than 10000 members"):
        read_rgb(compress(b"") * 200_000)


def test_tiles_whose_bytes_are_spoiled_are_one_sentence_whatever_class_of_error_astropy_raises():
    counts = np.random.default_rng(0).integers(0, 99999, (64, 64)).astype(np.int32)
    data = fits_file(counts, compression_type="RICE_1", tile_shape=(64, 64))
    with fits.open(io.BytesIO(data), disable_image_compression=True) as hdus:
        heap = hdus[1].fileinfo()["datLoc"] + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
    refused = []
    for seed in range(20):
        spoiled = bytearray(data)
        spoiled[heap : heap + 400] = np.random.default_rng(seed).bytes(400)
        try:
            read_rgb(bytes(spoiled))
        except ValueError as error:
            refused.append(str(error))
    assert any("damaged FITS file (tiles cannot be unpacked" in sentence for sentence in refused)
    assert all(sentence.count("\n") == 0 for sentence in refused)


BLANKS = [("u1", 255, 255), ("i2", -32768, -32768), ("u2", 0, -32768), ("i4", -999, -999), ("u4", 0, -(2**31))]


@pytest.mark.parametrize("kind, value, blank", BLANKS)
@pytest.mark.parametrize("hdu", [fits.ImageHDU, fits.CompImageHDU])
def test_blank_integers_of_every_type_are_missing_pixels(kind, value, blank, hdu):
    counts = source(400.0).clip(0, 254).astype(kind)
    known = counts.astype(np.float32)
    counts[:5], known[:5] = value, np.nan
    made = hdu(counts)
    made.header["BLANK"] = blank  # in the numbers of the file, which for unsigned types are shifted
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), made]).writeto(file)
    assert (pixels(file.getvalue()) == pixels(fits_file(known))).all()
    assert "12.5% NaN" in read_rgb(file.getvalue()).info["reading"]


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"])
def test_tile_compressed_fits_is_the_same_picture(kind):
    counts = source(400.0).astype(np.int32)
    assert (pixels(fits_file(counts, compression_type=kind)) == pixels(fits_file(counts))).all()


def test_hdus_are_chosen_by_number_and_name():
    data = fits_file(SKY[0], source(400.0).astype(np.float32))
    assert pixels(data).max() < 160  # noise alone stays dark
    assert pixels(data, hdu=2)[20 - 1, 24].min() > 240
    assert (pixels(data, hdu="band1") == pixels(data, hdu=2)).all() and (
        pixels(data, hdu="2") == pixels(data, hdu=2)
    ).all()
    with pytest.raises(ValueError, match="no HDU 7; its HDUs are: 0 PRIMARY .no image.; 1 BAND0 48x40; 2 BAND1 48x40"):
        read_rgb(data, hdu=7)


def test_three_bands_are_in_order_of_wavelength_and_may_be_chosen():
    cube = SKY.copy()
    cube[2] += source(400.0) - SKY[0]  # seen in the reddest band only
    red = pixels(fits_file(cube))[19, 24].astype(int)
    assert red[0] > 200 and red[1] < 100 and red[2] < 100
    blue = pixels(fits_file(cube), bands=(0, 1, 2))[19, 24].astype(int)
    assert (blue == red[::-1]).all()
    five = fits_file(np.concatenate([SKY[:2], cube]))
    with pytest.raises(ValueError, match="5 bands.*choose one, or three"):
        read_rgb(five)
    assert (pixels(five, bands=(4, 3, 2)) == pixels(fits_file(cube))).all()
    with pytest.raises(ValueError, match=r"bands=\(5,\) of 5; give one, or three.*from 0 to 4"):
        read_rgb(five, bands=(5,))


def test_bands_of_any_unit_make_the_same_picture():
    cube = SKY + (source(300.0) - SKY[0])
    scaled = (
        cube * np.array([1e-9, 1.0, 3e4], np.float32)[:, None, None] + np.array([0, -7, 50], np.float32)[:, None, None]
    )
    assert np.abs(pixels(fits_file(cube)).astype(int) - pixels(fits_file(scaled))).max() <= 2


def test_bright_cores_are_not_cut_and_faint_outskirts_are_seen():
    image = source(4000.0)  # 2000 sigma
    seen = pixels(fits_file(image.astype(np.float32)))[..., 0].astype(int)
    assert (seen >= 254).sum() <= 5  # white is the peak alone
    assert seen[19, 24 + 10] > seen[:5, :5].mean() + 20  # 8 sigma above the sky, 1/260 of the peak


def test_nan_and_inf_become_sky_and_more_than_half_of_them_is_refused():
    image = source(400.0).astype(np.float32)
    image[0, :10] = [np.nan, np.inf, -np.inf, 1e30, *[np.nan] * 6]
    image[0, 3] = SKY[0, 0, 3]
    seen = pixels(fits_file(image))
    assert (seen[-1, :3] == seen[-1, 0]).all() and seen[-1, 0, 0] < 20
    assert "0.5% NaN or infinite pixels at sky level" in read_rgb(fits_file(image)).info["reading"]
    image[:21] = np.nan
    with pytest.raises(ValueError, match="52% of the pixels are NaN or infinite, more than half"):
        read_rgb(fits_file(image))


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-30])
@pytest.mark.parametrize("stretch", ["asinh", "linear"])
def test_a_constant_image_is_black(value, stretch):
    assert pixels(fits_file(np.full((20, 20), value)), stretch=stretch).max() < 20


def test_integers_with_zero_point_and_blank_are_read_as_their_values():
    hdu = fits.PrimaryHDU(source(400.0).astype(np.uint16))  # stored as int16 with BZERO
    file = io.BytesIO()
    hdu.writeto(file)
    assert pixels(file.getvalue())[19, 24, 0] > 240


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_give_one_clear_sentence(name):
    data, sentence = HOSTILE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow and astropy warn before they fail
        with pytest.raises(ValueError, match=sentence) as refused:
            read_rgb(data)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_animations_and_many_pages_are_refused():
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        frames = encoded(COLOURS, kind, save_all=True, append_images=[COLOURS.rotate(90)])
        with pytest.raises(ValueError, match=f"{kind} with several frames or pages; save one of them as a PNG"):
            read_rgb(frames)


def test_a_photograph_with_a_preview_in_it_is_its_first_picture():
    seen = pixels(encoded(COLOURS, "MPO", save_all=True, append_images=[COLOURS.rotate(90)]))
    assert seen.shape == (24, 32, 3)


def test_an_image_that_is_also_a_zip_is_refused():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.txt", "x")
    with pytest.raises(ValueError, match="an image and a zip archive at once"):
        read_rgb(jpeg(COLOURS) + archive.getvalue())
    with pytest.raises(ValueError, match="a zip archive"):
        read_rgb(archive.getvalue())
    assert (
        read_rgb(jpeg(COLOURS) + b"PK\x05\x06" + bytes(30)).size == COLOURS.size
    )  # four bytes by chance are no archive


def test_a_compressed_tile_that_unpacks_to_more_than_its_pixels_is_refused():
    data = bytearray(fits_file(np.zeros((64, 64), np.int32), compression_type="GZIP_1", tile_shape=(64, 64)))
    bomb = gzip.compress(bytes(10_000_000))
    hdus = fits.open(io.BytesIO(bytes(data)), disable_image_compression=True)
    columns = [fits.Column("COMPRESSED_DATA", "1PB", array=np.array([np.frombuffer(bomb, np.uint8), None], object)[:1])]
    table = fits.BinTableHDU.from_columns(columns)
    for card in hdus[1].header.cards:
        if card.keyword.startswith("Z"):
            table.header[card.keyword] = card.value
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    with pytest.raises(ValueError, match="compressed tile in FITS HDU 1: unpacked gzip file is larger than the limit"):
        read_rgb(file.getvalue())


def test_a_file_above_the_byte_limit_is_not_even_opened(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "MAX_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="file of 2 MiB is larger than the limit of 1 MiB"):
        read_rgb(bytes(2 << 20))
    (tmp_path / "large.jpg").write_bytes(bytes(2 << 20))
    with pytest.raises(ValueError, match="file of 2 MiB is larger than the limit of 1 MiB"):
        limits.read_file(tmp_path / "large.jpg")


def test_a_device_without_end_is_read_up_to_the_byte_limit(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="/dev/zero is a device or pipe and gives more than 1 MiB; give an image file"):
        limits.read_file("/dev/zero")


@pytest.mark.filterwarnings("ignore")
def test_spoiled_bytes_raise_nothing_but_value_errors():
    good = [encoded(COLOURS, kind) for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF")]
    good += [fits_file(SKY), fits_file(SKY[0].astype(np.int32), compression_type="RICE_1")]
    dice, refused = np.random.default_rng(1), 0
    for trial in range(420):
        data = bytearray(good[trial % len(good)])
        for offset in dice.integers(0, min(len(data), 3000), 4):
            data[offset] = dice.integers(256)
        try:
            assert read_rgb(bytes(data)).mode == "RGB"
        except ValueError:
            refused += 1
    assert 100 < refused < 420


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="stretch='log' is not known; use auto, asinh, linear"):
        read_rgb(jpeg(COLOURS), stretch="log")
    with pytest.raises(ValueError, match="hdu and bands choose a part of a FITS file"):
        read_rgb(jpeg(COLOURS), hdu=1)


def test_a_zip_is_read_in_memory_whatever_its_names_say(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.jpg", jpeg(COLOURS))
        archive.writestr("/rooted.jpg", jpeg(COLOURS))
        archive.writestr("bomb.png", bytes(3 << 20))
    before = sorted(tmp_path.parent.rglob("*"))
    source = ImageSource(tmp_path / "images.zip")
    assert source.read("escaped") == source.read("rooted") == jpeg(COLOURS)
    monkeypatch.setattr(limits, "MAX_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="unpacked file of 3 MiB is larger than the limit of 1 MiB"):
        source.read("bomb")
    assert sorted(tmp_path.parent.rglob("*")) == before


def numbered(value: int) -> bytes:
    return encoded(Image.new("RGB", (8, 8), (value, value, value)), "PNG")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_zip_members_of_one_name_the_first_is_read_and_the_other_is_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name, value in [
            ("b/2.png", 2),
            ("b/1.png", 10),
            ("b/2.png", 3),
            ("b\\1.png", 11),
            ("a/1.png", 12),
            ("b/2.png", 4),
        ]:
            archive.writestr(name, numbered(value))
    images_of = ImageSource(tmp_path / "images.zip")
    assert images_of.members == {"1": "a/1.png", "2": "b/2.png"}
    assert images_of.read("1") == numbered(12) and images_of.read("2") == numbered(2)
    assert images_of.duplicates == ["b/1.png", "b/2.png", "b/2.png", "b\\1.png"]
    by_folder = ImageSource(tmp_path / "images.zip", by_folder=True)
    assert {key: by_folder.read(key) for key in by_folder.members} == {
        "a/1": numbered(12),
        "b/1": numbered(10),
        "b/2": numbered(2),
    }
    assert by_folder.duplicates == ["b/2.png", "b/2.png", "b\\1.png"]


@pytest.mark.parametrize("packed", [True, False])
def test_names_with_backslashes_dots_and_of_the_system_in_a_source(packed, tmp_path):
    names = [
        ".git/a.png",
        "__MACOSX/._b.png",
        "sub/.ipynb_checkpoints/c.png",
        "@eaDir/d.png",
        "J12.34+56.7.png",
        "spiral/e.png",
    ]
    if packed:
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            for name in [*names, "round\\f.png"]:
                archive.writestr(name, numbered(5))
            archive.mkdir("folder.png")
        images_of = ImageSource(tmp_path / "images.zip", by_folder=True)
        assert list(images_of.members) == ["./J12.34+56.7", "round/f", "spiral/e"]
    else:
        for name in names:
            (tmp_path / ".hidden" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / ".hidden" / name).write_bytes(numbered(5))
        images_of = ImageSource(tmp_path / ".hidden", by_folder=True)  # what the user names may be hidden
        assert list(images_of.members) == ["./J12.34+56.7", "spiral/e"]
    assert all(images_of.read(key) == numbered(5) for key in images_of.members) and not images_of.duplicates


def test_sources_take_every_image_suffix(tmp_path):
    for kind in ("jpg", "png", "tif", "webp", "gif"):
        COLOURS.save(tmp_path / f"{kind}s.{kind}")
    (tmp_path / "notes.txt").write_text("x")
    assert sorted(ImageSource(tmp_path).members) == ["gifs", "jpgs", "pngs", "tifs", "webps"]
    assert all(
        re.match("[a-z]+s$", stem) and ImageSource(tmp_path).read(stem) for stem in ImageSource(tmp_path).members
    )
