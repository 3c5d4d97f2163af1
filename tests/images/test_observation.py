"""From a file to the picture that a model is shown: what was done is said, and what may mean nothing is doubted."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from galaxy_vision.images.framing import AS_IS, frame_image, parse_frame
from galaxy_vision.images.likeness import as_positive, doubts
from galaxy_vision.images.observation import LEAST_FIELD, observe, observe_all

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers():
    """Every test draws the same random numbers, whichever ran before it."""
    rng.bit_generator.state = np.random.default_rng(0).bit_generator.state


@pytest.fixture(scope="module")
def pictures(galaxies) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for data, _, _ in galaxies]


def kinds(image, *args, **options) -> set[str]:
    return {doubt.kind for doubt in observe(image, *args, **options).doubts}


def share(pictures: list, kind: str, change) -> float:
    """The share of changed pictures whose kind of change is noticed."""
    return np.mean([kind in kinds(change(picture)) for picture in pictures])


def field(pictures: list[Image.Image], side: int) -> Image.Image:
    """Four galaxies beside each other."""
    whole = Image.new("RGB", (2 * side, 2 * side))
    for index, picture in enumerate(pictures):
        whole.paste(picture.resize((side, side)), (side * (index % 2), side * (index // 2)))
    return whole


def test_a_frame_that_is_right_is_left_as_it_is_to_the_bit(pictures):
    observations = [observe(picture) for picture in pictures]
    left = [seen.reading.endswith("frame left as it is") for seen in observations]
    # The sizes of simulated galaxies scatter more than those of real ones, of which 98 % are left.
    assert np.mean(left) >= 0.7
    for picture, seen, is_left in zip(pictures, observations, left, strict=True):
        assert np.array_equal(seen.image, picture) == is_left
    assert np.mean([not seen.doubts for seen in observations]) >= 0.8  # and some are smoother than real ones


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("negative", ImageOps.invert),
        ("negative", lambda picture: ImageOps.invert(picture.convert("L")).convert("RGB")),
        ("few_pixels", lambda picture: picture.resize((40, 40), Image.Resampling.BOX)),
        ("blurred", lambda picture: picture.filter(ImageFilter.GaussianBlur(picture.width / 60))),
        ("saturated", lambda picture: picture.point(lambda level: min(20 * level, 255))),
        ("noise", lambda picture: Image.fromarray(rng.integers(0, 90, (*picture.size, 3)).astype(np.uint8))),
        ("blank", lambda picture: Image.new("RGB", picture.size, tuple(map(int, rng.integers(0, 99, 3))))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_kind_of_picture_is_doubted_by_its_kind(pictures, kind, change):
    assert share(pictures, kind, change) >= 0.9


def test_several_galaxies_are_told_and_each_is_described_on_its_own(pictures):
    whole = field(pictures[:4], 240)
    assert "several_galaxies" in kinds(whole)
    every = observe_all(whole)
    assert not any(doubt.kind == "several_galaxies" for seen in every for doubt in seen.doubts)
    centres = {(seen.framed.galaxy.x > 240, seen.framed.galaxy.y > 240) for seen in every}
    assert len(centres) == 4


def test_a_negative_is_read_as_its_positive(pictures):
    picture = pictures[0]
    seen = observe(ImageOps.invert(picture))
    assert np.array_equal(seen.whole, picture) and "negative turned positive" in seen.reading
    assert as_positive(picture) is None


def test_what_is_mostly_white_and_not_a_negative_is_refused():
    with pytest.raises(ValueError, match="of the pixels are white"):
        observe(Image.new("RGB", (80, 80), (255, 255, 255)))


def test_as_is_changes_and_says_nothing_but_doubts(pictures):
    small = pictures[0].resize((40, 40))
    seen = observe(small, AS_IS)
    assert np.array_equal(seen.image, small) and seen.reading == "" and {d.kind for d in seen.doubts} == {"few_pixels"}


def test_a_given_frame_is_taken_and_said(pictures):
    seen = observe(pictures[0], parse_frame("100,90,12"))
    assert seen.image.size == (102, 102) and "galaxy at (100, 90), petroR90 12 px" in seen.reading
    left, top, right, bottom = seen.framed.box
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((100.5, 90.5), abs=1)
    assert min(seen.image.size) >= LEAST_FIELD


def test_a_wide_field_gives_the_galaxy_that_the_right_frame_gives(pictures):
    """Reduced in a field three times as wide, and shifted: the same galaxy is found, and framed as closely."""
    alone = [picture for picture in pictures[:12] if observe(picture).framed.num_galaxies == 1]
    assert len(alone) >= 6  # of several galaxies, the nearest to the centre may be another one there
    for picture in alone:
        small, right = picture.resize((80, 80), Image.Resampling.BOX), observe(picture).framed.galaxy
        sky = np.asarray(small)[[0, -1]].reshape(-1, 3)
        canvas = rng.normal(sky.mean(0), sky.std(0) + 0.5, (240, 240, 3)).clip(0, 255).round().astype(np.uint8)
        canvas[76:156, 86:166] = small
        seen = observe(Image.fromarray(canvas))
        scale = 80 / picture.width
        expected = 86 + (right.x + 0.5) * scale - 0.5, 76 + (right.y + 0.5) * scale - 0.5
        assert np.hypot(seen.framed.galaxy.x - expected[0], seen.framed.galaxy.y - expected[1]) < 4, seen.reading
        # Three times the scatter of a measured radius.
        assert abs(np.log(seen.framed.galaxy.petro_r90 / (right.petro_r90 * scale))) < 3 * 0.15, seen.reading


def test_reading_is_said_of_what_was_decoded_and_framed():
    y, x = np.mgrid[:200, :200]
    counts = (1000 + 3000 * np.exp(-np.hypot(x - 60, y - 120) / 6) + rng.normal(0, 20, (200, 200))).astype(np.uint16)
    seen = observe(counts)
    assert seen.reading.startswith("asinh stretch") or "stretch" in seen.reading.split(";")[0]
    assert abs(seen.framed.galaxy.x - 60) < 1 and abs(seen.framed.galaxy.y - 120) < 1 and "; galaxy at" in seen.reading


def test_a_galaxy_that_the_edge_cuts_off_is_doubted_though_a_smaller_one_is_taken(pictures):
    """Half of each galaxy at the left edge, and a smaller one of the same kind nearer to the middle."""
    for picture in pictures[:8]:
        whole = observe(picture).framed.galaxy
        size = round(whole.petro_r90 / 2.5)
        half = picture.crop((round(whole.x), 0, picture.width, picture.height))
        small = observe(picture).image.resize((size, size), Image.Resampling.BOX)
        half.paste(small, (half.width - size, (half.height - size) // 2))
        seen = observe(half)
        assert "cut_by_edge" in {doubt.kind for doubt in seen.doubts}, seen.reading


def test_what_observe_measures_is_what_its_parts_measure_alone(pictures):
    """Framing and doubts share one reduction of an image, which changes nothing."""
    for picture in pictures[:10]:
        seen, alone = observe(picture), frame_image(picture)
        assert (seen.framed.galaxy, seen.framed.reading) == (alone.galaxy, alone.reading)
        assert np.array_equal(seen.image, alone.image)
        assert {doubt.kind for doubt in doubts(alone.image)} <= {doubt.kind for doubt in seen.doubts}
