"""Find the galaxies of an RGB image, and measure the centre and petroR90 of each.

Galaxy Zoo cut-outs are 8.48 petroR90 wide (424 px of 0.02 petroR90; Willett et al. 2013), so the true radius of every
training image is known in pixels. :data:`WEIGHTS` were fitted to that by ``benchmarks/framing.py --fit``; lab_notes.md,
"Framing", has the scatter that is left on other galaxies, and that of sep and photutils (benchmarks/framing_rivals.py).

Neighbours are taken off by symmetry, as the deblender of SDSS does (Lupton et al. 2001): where a pixel is much brighter
than the one opposite the centre, the light of a neighbour is on it, and it gets the value of the other.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

FIELD = 424 * 0.02
"""Side of a Galaxy Zoo cut-out in petroR90 (Willett et al. 2013, section 2)."""

# Ours; chosen on challenge galaxies of the training split: lab_notes.md, "Framing".
SIDE = 128  # px, longer side of the reduced image that is measured; in a Galaxy Zoo cut-out petroR90 is then 15.1 px
REACH = 46  # px, as SIDE, how far profiles go
LARGE_SIDE = 512  # px, as SIDE, for the search in images of more than LARGE px, whose galaxies may be small
LARGE = 1024
SMALLEST = 16  # px, shorter side of the smallest image that is searched
SMOOTHING = 1.5  # px, sigma of the Gaussian in which peaks are looked for
LEAST_AREA = 12  # px of the reduced image that a source has at least
DETECTION = 5  # noise sigmas of the isophote that makes a source, and by which sources are compared
SADDLE = 0.8  # two peaks are one galaxy if the light between them falls to no less than this share of the fainter
MOST_PEAKS = 8
PROMINENT = 0.5  # share of the radius of the largest isophote that a galaxy has at least
SOFTENING = 51  # levels of 255; light = sinh(level / 51) undoes the Lupton stretch that `simulation` fitted to SDSS
ISOPHOTES = (0.7, 0.5, 0.3, 0.2, 0.1, 0.05)  # levels of the stretched image in units of that of the centre
PETROSIAN = 0.2  # ratio of local to mean surface brightness, of which two radii hold all flux (Strauss et al. 2002)
FLUXES = (0.2, 0.5, 0.8, 0.9)  # shares of the Petrosian flux
CONSTANT = 0.732
WEIGHTS = (0.227, -0.18, -0.02, -0.302, -0.213, -0.2, 0.332, 0.154, 0.579, -0.062, 0.23)
"""log(petroR90 / r) = CONSTANT + WEIGHTS @ log(radii / r), where r is the median of the radii of :func:`_radii`."""


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


def find_galaxies(image: Image.Image) -> list[Galaxy]:
    """Find the galaxies of an image, the nearest to its centre first.

    What is much smaller than the largest galaxy (faint neighbours, stars) is left out. Nothing is found in blank
    images and in noise.

    Args:
        image: RGB, on a dark sky.
    """
    width, height = image.size
    if min(height, width) < SMALLEST:
        return []
    longer = max(width, height)
    # Not enlarged: noise would pass for sources.
    light, pixel = _light(image, (0, 0, width, height), LARGE_SIDE if longer > LARGE else min(SIDE, longer))
    sky = _sky(light)
    light -= sky
    noise = _noise(light)
    found = []
    for x, y, brightness, mean in _prominent(light, noise):
        radius = _petro_r90(brightness, mean)
        source = Galaxy((x + 0.5) * pixel - 0.5, (y + 0.5) * pixel - 0.5, radius * pixel)
        # Measured again unless it is as large as in a Galaxy Zoo cut-out.
        if not 0.75 < radius / (SIDE / FIELD) < 1.35:
            source = _second_look(image, sky, source)
        found.append(source)
    return sorted(found, key=lambda galaxy: np.hypot(galaxy.x - (width - 1) / 2, galaxy.y - (height - 1) / 2))


def _second_look(image: Image.Image, sky: float, source: Galaxy) -> Galaxy:
    """Measure again at the scale of a Galaxy Zoo cut-out."""
    half = FIELD / 2 * source.petro_r90
    left, top = max(source.x + 0.5 - half, 0), max(source.y + 0.5 - half, 0)
    right, bottom = min(source.x + 0.5 + half, image.width), min(source.y + 0.5 + half, image.height)
    light, pixel = _light(image, (left, top, right, bottom), SIDE * max(right - left, bottom - top) / (2 * half))
    light -= sky
    smooth = ndimage.gaussian_filter(light, SMOOTHING, mode="nearest", truncate=3)
    x, y = _centroid(smooth, (source.x + 0.5 - left) / pixel - 0.5, (source.y + 0.5 - top) / pixel - 0.5)
    radius = _petro_r90(*_profile(light, x, y, _noise(light)))
    return Galaxy(left + (x + 0.5) * pixel - 0.5, top + (y + 0.5) * pixel - 0.5, radius * pixel)


def _light(image: Image.Image, box: tuple[float, float, float, float], side: float) -> tuple[np.ndarray, float]:
    """Return the linear light of a box (left, top, right, bottom), its longer side resized, and the scale.

    The scale is in pixels of the image for each pixel of the light.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    pixel = max(width, height) / max(round(side), 8)
    size = max(round(width / pixel), 1), max(round(height / pixel), 1)
    method = Image.Resampling.BOX if pixel >= 1 else Image.Resampling.BILINEAR
    small = np.asarray(image.resize(size, method, box))
    return np.sinh(small.sum(-1, dtype=np.float32) / (3 * SOFTENING)), pixel


def _sky(light: np.ndarray, parts: int = 8, quantile: float = 0.2) -> float:
    """Level of the sky: a low quantile of the medians of 8 x 8 parts, since a galaxy may cover most of the image."""
    rows, columns = light.shape[0] // parts, light.shape[1] // parts
    if not rows or not columns:
        return float(np.quantile(light, quantile))
    blocks = light[: rows * parts, : columns * parts].reshape(parts, rows, parts, columns).swapaxes(1, 2)
    return float(np.quantile(np.median(blocks.reshape(parts * parts, -1), 1), quantile))


def _noise(light: np.ndarray) -> float:
    """Standard deviation of the sky, from what is darker than the sky: no source is."""
    below = light[light < 0]
    # No less than a third of a level, which is what rounding to 8 bits adds.
    return max(-1.4826 * float(np.median(below)) if below.size else 0, 1 / (3 * SOFTENING))


def _prominent(light: np.ndarray, noise: float) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
    """Centres (x, y) and profiles of the sources that are not much smaller than the largest."""
    smooth = ndimage.gaussian_filter(light, SMOOTHING, mode="nearest", truncate=3)
    patches, _ = ndimage.label(smooth > DETECTION * noise)
    areas = np.bincount(patches.ravel())
    areas[0] = 0
    # Profiles cost the most, so what is too small by its area gets none; half of the radius is a quarter of the area.
    is_large = areas >= max(PROMINENT**2 / 2 * areas.max(), LEAST_AREA)
    is_peak = (smooth == ndimage.maximum_filter(smooth, 7)) & is_large[patches]
    rows, columns = np.nonzero(is_peak & (patches > 0))
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
        sources.append((x, y, *_profile(light, x, y, noise)))
    # A star or galaxy at the edge counts by what lies inside, or its halo would hide the galaxy in the middle.
    room = [min(x, y, light.shape[1] - 1 - x, light.shape[0] - 1 - y) for x, y, *_ in sources]
    outlines = [
        min(_crossing(source[2], DETECTION * noise), max(inside, 1))
        for source, inside in zip(sources, room, strict=True)
    ]
    least = PROMINENT * max(outlines, default=0)
    return [source for source, outline in zip(sources, outlines, strict=True) if outline >= least]


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


def _profile(light: np.ndarray, x: float, y: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean light of the rings of radius 0 to 1, 1 to 2, ... px about a centre, and the mean light inside of each.

    Rings end :data:`REACH` px from the centre, which is 3 petroR90 in a Galaxy Zoo cut-out.
    No ring is brighter than the ones inside of it: what is left of a neighbour is not counted.
    """
    left, top = max(round(x) - REACH, 0), max(round(y) - REACH, 0)
    light = light[top : round(y) + REACH + 1, left : round(x) + REACH + 1]
    x, y = x - left, y - top
    rows, columns = np.arange(light.shape[0]), np.arange(light.shape[1])
    across, down = np.rint(2 * x - columns).astype(int), np.rint(2 * y - rows).astype(int)
    has_opposite = ((down >= 0) & (down < len(rows)))[:, None] & ((across >= 0) & (across < len(columns)))
    opposite = light[down.clip(0, len(rows) - 1)][:, across.clip(0, len(columns) - 1)]
    is_neighbour = has_opposite & (light - opposite > 3 * noise + 0.3 * np.abs(opposite))
    clean = np.where(is_neighbour, opposite, light)
    radius = np.sqrt((columns - x) ** 2 + ((rows - y) ** 2)[:, None]).astype(np.intp).ravel()
    count = np.bincount(radius)
    brightness = np.minimum.accumulate(np.bincount(radius, clean.ravel())[count > 0] / count[count > 0])
    edges = np.arange(len(brightness) + 1) ** 2
    return brightness, np.cumsum(brightness * np.diff(edges)) / edges[1:]


def _crossing(values: np.ndarray, limit: float) -> float:
    """Radius (px) where a profile first falls below a limit; the last radius where it does not."""
    below = np.flatnonzero(values[1:] < limit)
    if not below.size:
        return float(len(values))
    ring = int(below[0])
    share = (values[ring] - limit) / max(values[ring] - values[ring + 1], 1e-9)
    return max(ring + 0.5 + share, 0.5)


def _radii(brightness: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Logarithms of the radii (px) of ISOPHOTES, PETROSIAN and FLUXES."""
    centre = np.arcsinh(mean[min(1, len(mean) - 1)])
    radii = [_crossing(brightness, np.sinh(share * centre)) for share in ISOPHOTES]
    petrosian = _crossing(brightness / np.maximum(mean, 1e-9), PETROSIAN)
    edges = np.arange(len(mean) + 1)
    flux = np.append(0, np.maximum.accumulate(mean * edges[1:] ** 2))
    total = np.interp(2 * petrosian, edges, flux)
    radii += [petrosian, *np.interp(np.multiply(FLUXES, total), flux, edges)]
    return np.log(np.maximum(radii, 0.3))


def _petro_r90(brightness: np.ndarray, mean: np.ndarray) -> float:
    radii = _radii(brightness, mean)
    middle = np.median(radii)
    return float(np.exp(middle + CONSTANT + np.dot(WEIGHTS, radii - middle)))
