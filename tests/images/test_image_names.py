"""Names of files: whose they are, and which galaxy they show."""

import pytest

from galaxy_vision.images.limits import image_id, is_hidden, is_image


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/images/._1.jpg",
        ".ipynb_checkpoints/a.jpg",
        "spiral/.git/a.png",
        "spiral/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "spiral\\.thumbnails\\a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "lost+found/a.jpg",
        "a/#recycle/b.tif",
        ".a.jpg",
    ],
)
def test_files_of_the_system_are_not_images_of_the_user(name):
    assert is_hidden(name) and not is_image(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "images/1.JPG",
        "images\\00000.jpg",
        "../x.png",
        "./a.fits",
        "a.fits.gz",
        "A.FIT.GZ",
        "frame-r-004136-3-0129.fits.bz2",
        "A.FTS.BZ2",
        "a.fits.fz",
        "a.b.webp",
    ],
)
def test_images_at_any_depth_are_images(name):
    assert is_image(name) and not is_hidden(name)


@pytest.mark.parametrize("name", ["a.txt", "notes.gz", "notes.bz2", "a.jpg.txt", "jpg", "a.tar.gz", "a.tar.bz2"])
def test_other_files_are_not(name):
    assert not is_image(name) and not is_hidden(name)


@pytest.mark.parametrize(
    ("name", "galaxy"),
    [
        ("a/J123456.78+012345.6.jpg", "J123456.78+012345.6"),
        ("J123456.78+012345.6", "J123456.78+012345.6"),
        ("images\\00000.jpg", "00000"),
        ("a.fits.gz", "a"),
        ("a.fits.fz", "a"),
        ("J12.3+4.fits.bz2", "J12.3+4"),
        ("a.FZ", "a"),
        ("587722981736120347.jpeg", "587722981736120347"),
        ("a.1.fits", "a.1"),
    ],
)
def test_the_id_of_a_galaxy_is_its_whole_name(name, galaxy):
    assert image_id(name) == galaxy
