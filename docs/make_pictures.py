"""Draw the pictures of README.md and of the first page with the models in checkpoints/; about a minute on one core.

python docs/make_pictures.py
"""

from pathlib import Path

from PIL import Image

from galaxy_vision import Describer, observe
from galaxy_vision.inference.explain_figure import explanation_figure
from galaxy_vision.runtime.paper import PNG, save_figure

IMAGES = Path(__file__).resolve().parent / "images"
PICTURES = {"galaxy": "148333", "edge_on": "150528", "merger": "21071"}
"""Name of each picture, and asset id of its galaxy in docs/images/galaxies."""
WIDTH = 1600
"""Width of a picture in px: sharp on a screen of twice the density, and small enough for git."""


def main() -> None:
    """Draw galaxies as ``galaxy-vision explain`` does, as smaller JPEGs."""
    describer = Describer()
    for name, asset in PICTURES.items():
        figure = explanation_figure(describer, observe(IMAGES / "galaxies" / f"{asset}.jpg").image)
        (drawn,) = save_figure(figure, IMAGES / f"{name}.png", (PNG,))
        with Image.open(drawn) as picture:
            small = picture.convert("RGB").resize((WIDTH, round(WIDTH * picture.height / picture.width)))
        small.save(IMAGES / f"{name}.jpg", quality=88, subsampling=0, optimize=True)
        drawn.unlink()


if __name__ == "__main__":
    main()
