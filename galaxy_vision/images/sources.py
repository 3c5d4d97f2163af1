"""Find the galaxies of an RGB image, and measure the centre and petroR90 of each.

Galaxy Zoo cut-outs are 8.48 petroR90 wide (424 px of 0.02 petroR90; Willett et al. 2013), so the true radius of every
training image is known in pixels. :mod:`galaxy_vision.images.radii` measures by that.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from .order_statistics import median_of, quantile_of
from .radii import DRAWN, SOFTENING, clean_window, crossings, petro_r90, profile
from .reduced import SHARP_SIDE, Reduced, as_reduced

FIELD = 424 * 0.02
"""Side of a Galaxy Zoo cut-out in petroR90 (Willett et al. 2013, section 2)."""

# Ours; chosen on challenge galaxies of the training split: lab_notes.md, "Framing".
SIDE = SHARP_SIDE  # px, longer side of the reduced image that is measured; in a Galaxy Zoo cut-out petroR90 is 15.1 px
LARGE_SIDE = 512  # px, as SIDE, for the search in images of more than LARGE px, whose galaxies may be small
LARGE = 1024
SMALLEST = 16  # px, shorter side of the smallest image that is searched
SMOOTHING = 1.5  # px, sigma of the Gaussian in which peaks are looked for
PEAK = 3  # px, a peak is the brightest of the square that goes so far on all sides
LEAST_AREA = 12  # px of the reduced image that a source has at least
DETECTION = 5  # noise sigmas of the isophote that makes a source, and by which sources are compared
SADDLE = 0.8  # two peaks are one galaxy if the light between them falls to no less than this share of the fainter
MOST_PEAKS = 8
PROMINENT = 0.5  # share of the radius of the largest isophote that a galaxy has at least
LARGER = 1.5  # by which the isophote of a source at the edge is larger than that of the galaxy, and may be meant

LIGHT = np.sinh(np.arange(3 * 255 + 1) / (3 * SOFTENING)).astype(np.float32)
"""Light of the sum of the levels of three channels."""
KERNEL = ndimage.gaussian_filter1d(np.eye(11)[5], SMOOTHING, mode="constant", truncate=3)[5:].astype(np.float32)
"""Weights of a pixel, of its neighbours, and of theirs, up to 5 px."""


class Galaxy(NamedTuple):
    """A galaxy in an image.

    Attributes:
        x: column of the centre, px; the first column is 0.
        y: row of the centre, px; the first row is 0.
        petro_r90: radius of 90 % of the Petrosian flux, px; its logarithm has a standard deviation of 0.15
            (lab_notes.md, "Framing").
    """

    x: float
    y: float
    petro_r90: float


class Source(NamedTuple):
    """A source on the reduced image.

    Attributes:
        x: column of its centre, px of the reduced image.
        y: row.
        levels: (H, W) of the window around it, neighbours taken off.
        ring: (H * W,) of each pixel, its whole distance from the centre.
        outline: radius of its isophote of :data:`DETECTION` sigmas, px; 0 where it is alone and was not measured.
        room: to the nearest edge, px.
    """

    x: float
    y: float
    levels: np.ndarray
    ring: np.ndarray
    outline: float
    room: float


class Sources(NamedTuple):
    """The sources of an image, the nearest to its centre first.

    Attributes:
        image: that was searched.
        sky: its level, from 0 to 255.
        pixel: side of a pixel of the reduced image, px.
        prominent: sources that are not much smaller than the largest.
        others: that are.
    """

    image: Image.Image
    sky: float
    pixel: float
    prominent: list[Source]
    others: list[Source]


def find_galaxies(image: Image.Image | Reduced) -> list[Galaxy]:
    """Find the galaxies of an image, the nearest to its centre first.

    What is much smaller than the largest galaxy (faint neighbours, stars) is left out. Nothing is found in blank
    images and in noise.

    Args:
        image: RGB, on a dark sky.
    """
    sources = find_sources(image)
    return [measure_galaxy(sources, source) for source in sources.prominent]


def find_sources(image: Image.Image | Reduced) -> Sources:
    """Find the sources of an image, and leave their radii to :func:`measure_galaxy`; as :func:`find_galaxies`."""
    reduced = as_reduced(image)
    image = reduced.image
    width, height = image.size
    longer = max(width, height)
    if min(width, height) < SMALLEST:
        return Sources(image, 0.0, 1.0, [], [])
    if width == height and SIDE <= longer <= LARGE:
        sums, pixel = _sums(reduced.square), longer / SIDE
    else:  # not enlarged: noise would pass for sources
        small, pixel = _resized(image, (0, 0, width, height), LARGE_SIDE if longer > LARGE else min(SIDE, longer))
        sums = _sums(small)
    sky = _sky(sums) / 3
    light, levels = _light(sums, sky)
    found = _peaks(light, levels, _noise(levels), sky)
    middle = ((width - 1) / 2 + 0.5) / pixel - 0.5, ((height - 1) / 2 + 0.5) / pixel - 0.5
    found.sort(key=lambda source: math.hypot(source.x - middle[0], source.y - middle[1]))
    # A star or galaxy at the edge counts by what lies inside, or its halo would hide the galaxy in the middle.
    least = PROMINENT * max((min(source.outline, max(source.room, 1)) for source in found), default=0)
    is_prominent = [min(source.outline, max(source.room, 1)) >= least for source in found]
    prominent = [source for source, is_large in zip(found, is_prominent, strict=True) if is_large]
    others = [source for source, is_large in zip(found, is_prominent, strict=True) if not is_large]
    return Sources(image, sky, pixel, prominent, others)


def cuts_larger(sources: Sources, source: Source) -> bool:
    """Whether the edge of the image runs through a source that is much larger than this one."""
    least = LARGER * max(source.outline, 1)
    return any(
        other.outline > max(other.room, least) for other in (*sources.prominent, *sources.others) if other is not source
    )


def measure_galaxy(sources: Sources, source: Source) -> Galaxy:
    """Measure centre and petroR90 of a source, at the scale of a Galaxy Zoo cut-out."""
    pixel = sources.pixel
    radius = petro_r90(source.levels, source.ring)
    galaxy = Galaxy((source.x + 0.5) * pixel - 0.5, (source.y + 0.5) * pixel - 0.5, radius * pixel)
    closer = radius / (SIDE / FIELD)
    if 0.85 < closer < 1.2:
        return galaxy
    if not 0.7 < closer < 1.5:  # probably not of a frame that is right, to which it was drawn
        galaxy = galaxy._replace(petro_r90=galaxy.petro_r90 * closer ** (1 / DRAWN - 1))
    return second_look(sources.image, sources.sky, galaxy)


def second_look(image: Image.Image, sky: float, galaxy: Galaxy) -> Galaxy:
    """Measure a galaxy again, at the scale that a Galaxy Zoo cut-out has if its radius is right."""
    closer, pixel, (left, top) = close_up(image, sky, galaxy)
    x, y = left + (closer.x + 0.5) * pixel - 0.5, top + (closer.y + 0.5) * pixel - 0.5
    return Galaxy(x, y, petro_r90(closer.levels, closer.ring) * pixel)


def close_up(image: Image.Image, sky: float, galaxy: Galaxy) -> tuple[Source, float, tuple[float, float]]:
    """Take a galaxy at the scale that a Galaxy Zoo cut-out has if its radius is right.

    Returns:
        The source, the side of its pixels, and left and top of the box that was reduced.
    """
    half = FIELD / 2 * galaxy.petro_r90
    left, top = max(galaxy.x + 0.5 - half, 0), max(galaxy.y + 0.5 - half, 0)
    right, bottom = min(galaxy.x + 0.5 + half, image.width), min(galaxy.y + 0.5 + half, image.height)
    side = SIDE * max(right - left, bottom - top) / (2 * half)
    small, pixel = _resized(image, (left, top, right, bottom), side)
    light, levels = _light(_sums(small), sky)
    x, y = _centroid(_smooth(light), (galaxy.x + 0.5 - left) / pixel - 0.5, (galaxy.y + 0.5 - top) / pixel - 0.5)
    return Source(x, y, *clean_window(levels, x, y, _noise(levels)), 0.0, 0.0), pixel, (left, top)


def _resized(image: Image.Image, box: tuple[float, float, float, float], side: float) -> tuple[Image.Image, float]:
    """Resize a box (left, top, right, bottom) to this longer side; and how many pixels make one of the result."""
    width, height = box[2] - box[0], box[3] - box[1]
    pixel = max(width, height) / max(round(side), 8)
    size = max(round(width / pixel), 1), max(round(height / pixel), 1)
    return image.resize(size, Image.Resampling.BOX if pixel >= 1 else Image.Resampling.BILINEAR, box), pixel


def _sums(image: Image.Image) -> np.ndarray:
    """(H, W) uint16, the sum of the levels of the channels; three times as quick as ``sum(-1)``."""
    rgb = np.asarray(image)
    return np.add(rgb[..., 0], rgb[..., 1], dtype=np.uint16) + rgb[..., 2]


def _light(sums: np.ndarray, sky: float) -> tuple[np.ndarray, np.ndarray]:
    """Light and mean levels of the channels, both above the sky."""
    return LIGHT[sums] - np.float32(math.sinh(sky / SOFTENING)), sums / np.float32(3) - np.float32(sky)


def _sky(levels: np.ndarray, parts: int = 8, quantile: float = 0.2) -> float:
    """Level of the sky: a low quantile of the medians of 8 x 8 parts, since a galaxy may cover most of the image."""
    rows, columns = levels.shape[0] // parts, levels.shape[1] // parts
    if not rows or not columns:
        return float(np.quantile(levels, quantile))
    blocks = levels[: rows * parts, : columns * parts].astype(np.float32).reshape(parts, rows, parts, columns)
    return quantile_of(median_of(blocks.swapaxes(1, 2).reshape(parts * parts, -1)), quantile)


def _noise(levels: np.ndarray) -> float:
    """Standard deviation of the sky in levels, from what is darker than the sky: no source is."""
    below = levels[levels < 0]
    # No less than a third of a level, which is what rounding to 8 bits adds.
    return max(-1.4826 * float(median_of(below)) if below.size else 0, 1 / 3)


def _smooth(light: np.ndarray) -> np.ndarray:
    """Gaussian filter of sigma SMOOTHING, with the edge repeated, by shifts: SciPy's takes twice as long."""
    reach = len(KERNEL) - 1
    for _ in range(2):  # along the columns, and then, transposed, along the rows
        size = len(light)
        padded = np.concatenate([light[:1].repeat(reach, 0), light, light[-1:].repeat(reach, 0)])
        light = KERNEL[0] * light
        for step in range(1, reach + 1):
            pair = padded[reach - step : reach - step + size] + padded[reach + step : reach + step + size]
            pair *= KERNEL[step]
            light += pair
        light = np.ascontiguousarray(light.T)
    return light


def _highest(values: np.ndarray) -> np.ndarray:
    """Maximum of the square that goes PEAK px on all sides, by shifts; SciPy's filter takes ten times as long."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        padded = np.full((len(values) + 2 * PEAK, *values.shape[1:]), -np.inf, values.dtype)
        padded[PEAK:-PEAK] = values
        pairs = np.maximum(padded[:-1], padded[1:])
        fours = np.maximum(pairs[:-2], pairs[2:])
        values = np.moveaxis(np.maximum(fours[:-PEAK], fours[PEAK:]), 0, axis)
    return values


def _peaks(light: np.ndarray, levels: np.ndarray, noise: float, sky: float) -> list[Source]:
    """The sources of an image, without those that are far too small."""
    smooth = _smooth(light)
    # Of the light: the slope of the stretch at the sky.
    patches, _ = ndimage.label(smooth > DETECTION * noise * math.cosh(sky / SOFTENING) / SOFTENING)
    areas = np.bincount(patches.ravel())
    areas[0] = 0
    # Profiles cost the most, so what is too small by its area gets none; half of the radius is a quarter of the area.
    is_large = areas >= max(PROMINENT**2 / 2 * areas.max(), LEAST_AREA)
    rows, columns = np.nonzero(smooth == _highest(smooth))
    is_kept = is_large[patches[rows, columns]]
    rows, columns = rows[is_kept], columns[is_kept]
    order = np.argsort(-smooth[rows, columns], kind="stable")[: 2 * MOST_PEAKS]
    kept: list[tuple[int, int]] = []
    for x, y in zip(columns[order].tolist(), rows[order].tolist(), strict=True):
        if all(
            patches[y, x] != patches[other[1], other[0]] or _saddle(smooth, x, y, *other) < SADDLE * smooth[y, x]
            for other in kept
        ):
            kept.append((x, y))
    sources = []
    for x, y in (_centroid(smooth, *peak) for peak in kept[:MOST_PEAKS]):
        window, ring = clean_window(levels, x, y, noise)
        outline = crossings(profile(window, ring)[0], np.array([DETECTION * noise]))[0] if len(kept) > 1 else 0.0
        room = min(x, y, light.shape[1] - 1 - x, light.shape[0] - 1 - y)
        sources.append(Source(x, y, window, ring, float(outline), room))
    return sources


def _saddle(smooth: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> float:
    """Least light on the straight line between two pixels."""
    steps = np.arange(0, 1, 1 / max(abs(x1 - x0), abs(y1 - y0), 1))
    return smooth[np.rint(y0 + steps * (y1 - y0)).astype(int), np.rint(x0 + steps * (x1 - x0)).astype(int)].min()


def _centroid(smooth: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Centre of light of the upper half of a peak, in windows of 5 x 5 px that follow it."""
    for _ in range(4):
        column = min(max(round(x), 0), smooth.shape[1] - 1)
        row = min(max(round(y), 0), smooth.shape[0] - 1)
        left, top = max(column - 2, 0), max(row - 2, 0)
        window = np.maximum(smooth[top : row + 3, left : column + 3] - 0.5 * smooth[row, column], 0)
        total = float(window.sum())
        if total <= 0:
            break
        x = float(window.sum(0) @ np.arange(left, left + window.shape[1])) / total
        y = float(window.sum(1) @ np.arange(top, top + window.shape[0])) / total
        if round(x) == column and round(y) == row:
            break
    return x, y
