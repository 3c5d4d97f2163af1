"""Cut a square out of an image; what lies outside of the image gets the light of its sky and of its galaxy."""

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage, special

# Ours; chosen by eye and by RMSE on challenge galaxies of the training split: lab_notes.md, "Framing".
TILE = 128  # px, side of the drawn sky, which is repeated
LARGEST = 2048  # px, side of the largest padded square; a larger one is made from a reduced image
SKY_QUANTILE = 0.1  # of the mean of 9 x 9 px, what counts as the level of the sky
MOST_PIXELS = 5_000  # of the sky, whose values are drawn
FARTHEST = 2.5  # petroR90 from its centre, where the light of a galaxy ends
FADING = 3.0  # a galaxy that the image cuts off gets fainter by exp(-FADING r / petroR90), in levels of the screen


def cut_square(
    image: Image.Image, left: int, top: int, side: int, galaxy: tuple[float, float, float] | None = None
) -> Image.Image:
    """Cut a square out of an RGB image, at its resolution.

    Outside of the image it is padded with drawn sky: the colour, the noise and the grain of the darkest parts of the
    image. The light of a galaxy that the edge cuts off fades into it.

    Args:
        image: RGB image.
        left: first column of the square; negative and further columns are outside.
        top: first row of the square.
        side: width and height of the square, px.
        galaxy: x, y and petroR90 (px) of the galaxy whose light is continued; None for none.

    Returns:
        The square, ``side`` px wide; more than :data:`LARGEST` px only where nothing is padded.
    """
    if left >= 0 and top >= 0 and left + side <= image.width and top + side <= image.height:
        return image.crop((left, top, left + side, top + side))
    factor, info = -(-side // LARGEST), image.info
    if factor > 1:
        image, left, top, side = image.reduce(factor), left // factor, top // factor, side // factor
        galaxy = galaxy and tuple(value / factor for value in galaxy)
    rgb = np.asarray(image)
    tile, level = _sky(rgb)
    repeats = -(-side // len(tile))
    square = np.tile(tile, (repeats, repeats, 1))[:side, :side]
    if galaxy:
        square = _continued(square, image, level, left, top, *galaxy)
    padded = Image.fromarray(square)
    padded.paste(image, (-left, -top))
    padded.info = dict(info)
    return padded


def _sky(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw (TILE, TILE, 3) uint8 of sky like that of an image, whose edges fit together; and give its level (3,).

    Every channel has the values of the sky of the image (so also its share of zeros), in a Gaussian random field with
    the correlation of the channels and of neighbouring pixels.
    """
    rgb = rgb[:: -(-len(rgb) // TILE)]  # some rows say enough; within a row, neighbours stay neighbours
    grey = rgb.sum(-1, dtype=np.float32) / 3
    smooth = ndimage.uniform_filter(grey, 9)
    level = np.quantile(smooth, SKY_QUANTILE)
    below = level - grey[grey <= level]
    noise = max(1.4826 * float(np.median(below)), 0.7)
    is_sky = (ndimage.uniform_filter(grey, 5) < level + noise) & (grey < level + 4 * noise)
    if is_sky.sum() < 50:
        is_sky[:] = True
    rng = np.random.default_rng(0)  # the same image gives the same pixels
    pixels = rng.choice(rgb[is_sky], MOST_PIXELS) if is_sky.sum() > MOST_PIXELS else rgb[is_sky]
    field = rng.normal(size=(TILE, TILE, 3))
    beside = is_sky[:, 1:] & is_sky[:, :-1]
    if correlation := _correlation(grey[:, 1:][beside], grey[:, :-1][beside]):
        # Neighbours in white noise that a Gaussian of sigma s has smoothed correlate by exp(-1 / 4 s^2).
        sigma = np.sqrt(-1 / (4 * np.log(correlation)))
        field = ndimage.gaussian_filter(field, (sigma, sigma, 0), mode="wrap")
        field /= field.std()
    channels = np.eye(3)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        channels[one, two] = channels[two, one] = _correlation(pixels[:, one], pixels[:, two])
    channels += 0.01 * np.eye(3)  # three channels that are nearly one still have a Cholesky factor
    field = field @ np.linalg.cholesky(channels).T
    rank = (special.ndtr(field) * len(pixels)).astype(int).clip(0, len(pixels) - 1)
    return np.take_along_axis(np.sort(pixels, axis=0), rank.reshape(-1, 3), 0).reshape(rank.shape), pixels.mean(0)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation, from 0 to .95."""
    if len(first) < 2 or first.min() == first.max() or second.min() == second.max():
        return 0.0
    return float(np.clip(np.corrcoef(first, second)[0, 1], 0, 0.95))


def _continued(
    square: np.ndarray, image: Image.Image, level: np.ndarray, left: int, top: int, x: float, y: float, petro_r90: float
) -> np.ndarray:
    """Add the light of a galaxy beyond the edge: that of the edge in the direction of its centre, and fading."""
    width, height = image.size
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    rows, columns = np.arange(top, top + len(square))[:, None], np.arange(left, left + len(square))
    is_outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    is_outside &= ((columns - x) ** 2).astype(np.float32) + (rows - y) ** 2 < (FARTHEST * petro_r90) ** 2
    down, across = np.nonzero(is_outside)
    if not len(down):
        return square
    down, across = (down + (top - y)).astype(np.float32), (across + (left - x)).astype(np.float32)
    # The share of the way from the centre to a pixel that lies inside of the image.
    share = np.minimum(_share(across, x, width - 1 - x), _share(down, y, height - 1 - y))
    columns, rows = np.rint(x + share * across).astype(int), np.rint(y + share * down).astype(int)
    edge = np.asarray(image.filter(ImageFilter.GaussianBlur(max(petro_r90 / 10, 1))))[rows, columns] - level
    distance = (1 - share) * np.hypot(across, down)
    light = np.maximum(edge, 0) * np.exp(-FADING * distance / petro_r90)[:, None]
    square = square.copy()
    square[is_outside] = (square[is_outside] + light).clip(0, 255)
    return square


def _share(offset: np.ndarray, before: float, after: float) -> np.ndarray:
    room = np.where(offset < 0, before, after)
    return np.minimum(1, room / np.maximum(np.abs(offset), 1e-9))
