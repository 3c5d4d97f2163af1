"""Which files ``describe`` and ``explain`` take from a command line, without a model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galaxy_vision import GalaxyResNetConfig, cli, commands
from galaxy_vision.inference.named_images import named_images, read_named

rng = np.random.default_rng(0)


@pytest.fixture
def describe(monkeypatch, capsys):
    """Run ``describe --json`` with a model that answers with the mean colour; gives status and rows."""

    def model(image):
        mean = np.asarray(image, float).mean((0, 1)).round().tolist()
        return {"class": "", "probability": 1.0, "caption": "", "answers": [], "mean": mean}

    monkeypatch.setattr(commands, "_load_describer", lambda args: model)

    def run(*arguments: str) -> tuple[int, list[dict]]:
        status = cli.main(["describe", *map(str, arguments), "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


@pytest.fixture
def bands(tmp_path):
    """Files i, r, g of constant planes 200, 100 and 0 beside one pixel of 0 and one of 255."""
    for name, level in (("i", 200), ("r", 100), ("g", 0)):
        plane = np.full((20, 20), level, np.float32)
        plane[0, :2] = 0, 255
        fits.PrimaryHDU(plane).writeto(tmp_path / f"{name}.fits")
    return tmp_path


def test_three_files_are_one_image_in_the_order_given(describe, bands):
    files = [str(bands / f"{name}.fits") for name in "irg"]
    status, (row,) = describe("--rgb", *files, "--stretch", "linear")
    assert status == 0 and row["image"] == " ".join(files)
    assert row["mean"] == pytest.approx([200, 100, 0], abs=2) and "bands of i.fits, r.fits, g.fits" in row["reading"]
    status, (row,) = describe("--rgb", *files[::-1], "--stretch", "linear")
    assert row["mean"] == pytest.approx([0, 100, 200], abs=2)


def test_three_files_stand_beside_others_and_their_faults_are_named(describe, bands):
    Image.new("RGB", (20, 20), (9, 9, 9)).save(bands / "a.png")
    fits.PrimaryHDU(np.zeros((9, 9), np.float32)).writeto(bands / "small.fits")
    status, rows = describe(bands / "a.png", "--rgb", bands / "i.fits", bands / "r.fits", bands / "small.fits")
    assert (
        status == 1
        and rows[0]["mean"] == [9, 9, 9]
        and "i.fits 20x20, r.fits 20x20, small.fits 9x9" in rows[1]["error"]
    )
    status, (row,) = describe("--rgb", bands / "i.fits", bands / "r.fits", bands)
    assert f"{bands} is a folder; " in row["error"] and "galaxy-vision predict --catalogue" in row["error"]
    status, (row,) = describe("--rgb", bands / "i.fits", bands / "r.fits", bands / "a.png")
    assert row["error"].startswith("a.png: is not a FITS file")
    status, (row,) = describe("--rgb", *[bands / "i.fits"] * 3, "--bands", "1")
    assert "leave bands out" in row["error"]


def test_bands_by_name_and_survey_are_options_of_the_command(describe, tmp_path):
    planes = [fits.ImageHDU(rng.normal(size=(20, 20)).astype(np.float32), name=name) for name in "GIR"]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "a.fits")
    status, (row,) = describe(tmp_path / "a.fits", "--bands", "i", "r", "g")
    assert status == 0 and row["reading"].startswith("FITS bands i (HDU 2), r (HDU 3), g (HDU 1)")
    assert "as of sdss" in describe(tmp_path / "a.fits", "--survey", "sdss")[1][0]["reading"]
    status, (row,) = describe(tmp_path / "a.fits", "--bands", "z")
    assert status == 1 and row["error"] == "FITS file has no band 'z'; it has: G, I, R"


def disc_at(x: float, y: float, petro_r90: float, size: tuple[int, int]) -> np.ndarray:
    """Light of an exponential disc, of which 90 % lies within 3.89 scale lengths, and of noise."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    light = 150 * np.exp(-np.hypot(columns - x, rows - y) / (petro_r90 / 3.89))
    return light + 8 + rng.normal(0, 1.5, light.shape)


@pytest.fixture
def field(tmp_path):
    """A field of two galaxies, as a picture and as a FITS file of .5 arcsec a pixel."""
    light = disc_at(130, 100, 12, (400, 300)) + disc_at(300, 220, 15, (400, 300))
    Image.fromarray(light.clip(0, 255).astype(np.uint8)).convert("RGB").save(tmp_path / "field.png")
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1, "CRPIX2": 1, "CRVAL1": 10})
    header.update({"CRVAL2": 20, "CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600})
    fits.PrimaryHDU(light[::-1].astype(np.float32), header).writeto(tmp_path / "field.fits")
    return tmp_path


def test_the_galaxy_of_a_field_is_framed_or_every_one_of_them(describe, field):
    status, (row,) = describe(field / "field.png")
    assert status == 0 and (abs(row["frame"]["x"] - 130), abs(row["frame"]["y"] - 100)) < (2, 2)
    assert row["frame"]["galaxies"] == 2 and any(doubt.startswith("several_galaxies: ") for doubt in row["doubts"])
    assert "galaxy at (130, 100)" in row["reading"] and "times closer" in row["reading"]
    status, rows = describe(field / "field.png", "--all")
    assert status == 0 and [round(row["frame"]["x"], -1) for row in rows] == [130, 300]
    assert all(row["image"] == str(field / "field.png") and not row["doubts"] for row in rows)


@pytest.mark.parametrize(
    ("frame", "box"),
    [("as_is", [50, 0, 350, 300]), ("20", [115, 65, 285, 235]), ("130,100,12", [79, 49, 181, 151])],
)
def test_a_frame_that_is_given_is_taken(frame, box, describe, field):
    status, (row,) = describe(field / "field.png", "--frame", frame)
    assert status == 0 and row["frame"]["box"] == pytest.approx(box, abs=1)


def test_a_frame_in_arcsec_needs_a_pixel_scale(describe, field):
    status, (row,) = describe(field / "field.fits", "--frame", "10arcsec")
    left, top, right, bottom = row["frame"]["box"]
    assert status == 0 and right - left == bottom - top == round(8.48 * 20)
    status, (row,) = describe(field / "field.png", "--frame", "10arcsec")
    assert status == 1 and "needs a pixel scale, and this image has no WCS; give the radius in px" in row["error"]


def test_a_frame_that_is_none_is_refused_before_models_are_loaded(capsys):
    with pytest.raises(SystemExit):
        cli.main(["describe", "a.png", "--frame", "here"])
    assert "frame='here' is not auto, as_is, RADIUS_PX" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["describe", "explain"])
def test_without_a_file_one_sentence_says_where_files_stand(command, capsys):
    assert cli.main([command, "--bands", "i", "r", "g", "a.fits"]) == 2
    assert "files stand before --bands" in capsys.readouterr().err


def test_a_pattern_that_no_shell_has_expanded_is_the_files_that_it_fits(describe, bands, monkeypatch):
    monkeypatch.chdir(bands)
    status, rows = describe("[ir].fits", "*.fits")
    assert status == 0 and [row["image"] for row in rows] == ["i.fits", "r.fits", "g.fits", "i.fits", "r.fits"]
    (bands / "a[1].fits").write_bytes((bands / "i.fits").read_bytes())
    (bands / "a1.fits").write_bytes((bands / "i.fits").read_bytes())
    assert named_images(["a[1].fits"]) == ["a[1].fits"]  # a file of this very name


@pytest.mark.parametrize(
    "path", ["folder", "", "*.jpg", "https://example.org/a.jpg?x=[1]", "s3://x/*.fits", "many.tar.bz2", "table.TSV.GZ"]
)
@pytest.mark.parametrize("rgb", [False, True])
def test_what_is_no_image_file_is_one_sentence_that_names_predict(path, rgb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (image,) = named_images([], [path] * 3) if rgb else named_images([path])
    with pytest.raises(ValueError, match="galaxy-vision predict --catalogue") as refused:
        read_named(image)
    assert "\n" not in str(refused.value)


def test_explain_draws_three_files_as_one_figure(bands, monkeypatch, capsys):
    from galaxy_vision.inference import explain_figure

    drawn = []

    class Figure:
        def savefig(self, path, **options):
            path.write_bytes(b"figure")

    describer = SimpleNamespace(classifier=SimpleNamespace(config=GalaxyResNetConfig()))
    monkeypatch.setattr(commands, "_load_describer", lambda args: describer)
    monkeypatch.setattr(explain_figure, "explanation_figure", lambda *given: drawn.append(given[1]) or Figure())
    files = [str(bands / f"{name}.fits") for name in "irg"]
    arguments = ["--rgb", *files, "--stretch", "linear", "--output_dir", str(bands / "figures")]
    assert cli.main(["explain", *arguments, "--survey", "sdss"]) == 0
    assert np.asarray(drawn[0], float).mean((0, 1)) == pytest.approx([200, 100, 0], abs=2)
    assert [path.name for path in (bands / "figures").iterdir()] == ["i.png"]
    assert "i.png" in capsys.readouterr().out
