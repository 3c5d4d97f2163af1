"""Count doubts: of galaxies as they are, which are false alarms, and of the same galaxies made bad in known ways.

    python benchmarks/doubts.py --images images_gz2.zip --count 600

Each row of the table is a kind of bad image: how many are doubted at all, and how many by the kind that they are.
"""

import argparse
import io
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from galaxy_vision.images.limits import is_image
from galaxy_vision.images.observation import observe

rng = np.random.default_rng(0)


def noise(image: Image.Image) -> Image.Image:
    level, spread = rng.uniform(10, 100), rng.uniform(4, 40)
    pixels = rng.normal(level, spread, (image.height, image.width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def brightened(image: Image.Image) -> Image.Image:
    return image.point(lambda level: min(12 * level, 255))


def cut(image: Image.Image) -> Image.Image:
    """Leave less than half of the galaxy: the edge runs past its centre by a tenth of the field at most."""
    left = round(image.width * rng.uniform(0.4, 0.5))
    return image.crop((left, 0, image.width, image.height))


def grid_of_four(image: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (2 * image.width, 2 * image.height))
    for index, turned in enumerate((image, ImageOps.mirror(image), ImageOps.flip(image), image.rotate(90))):
        whole.paste(turned.resize(image.size), (image.width * (index % 2), image.height * (index // 2)))
    return whole


BAD: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "photographic negative": ("negative", ImageOps.invert),
    "grey negative, as of a plate": ("negative", lambda image: ImageOps.invert(image.convert("L")).convert("RGB")),
    "noise": ("noise", noise),
    "one colour": ("blank", lambda image: Image.new("RGB", image.size, tuple(map(int, rng.integers(0, 256, 3))))),
    "40 px": ("few_pixels", lambda image: image.resize((40, 40), Image.Resampling.BOX)),
    "blurred, sigma 1 % of the field": (
        "blurred",
        lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 100)),
    ),
    "blurred, sigma 2 % of the field": (
        "blurred",
        lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 50)),
    ),
    "12 times as bright": ("saturated", brightened),
    "cut by the edge": ("cut_by_edge", cut),
    "four galaxies": ("several_galaxies", grid_of_four),
}


def read_images(path: Path, count: int) -> list[Image.Image]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if is_image(name))
        chosen = rng.choice(len(names), min(count, len(names)), replace=False)
        return [Image.open(io.BytesIO(archive.read(names[index]))).convert("RGB") for index in chosen]


def kinds_of(image: Image.Image) -> set[str]:
    try:
        return {doubt.kind for doubt in observe(image).doubts}
    except ValueError:
        return {"refused"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="zip of cut-outs of galaxies")
    parser.add_argument("--count", type=int, default=600, help="images as they are (%(default)s)")
    parser.add_argument("--bad", type=int, default=150, help="images of each bad kind (%(default)s)")
    args = parser.parse_args()
    images = read_images(args.images, args.count)
    print("| images | doubted or refused | by their kind | others |\n|---|---|---|---|")
    for name, (kind, change) in ({"as they are": ("", lambda image: image)} | BAD).items():
        seen = [kinds_of(change(image)) for image in (images if not kind else images[: args.bad])]
        others = Counter(other for kinds in seen for other in kinds - {kind})
        by_kind = f"{np.mean([kind in kinds for kinds in seen]):.1%}" if kind else ""
        shown = ", ".join(f"{other} {count}" for other, count in others.most_common())
        print(
            f"| {name} ({len(seen)}) | {np.mean([bool(kinds) for kinds in seen]):.1%} | {by_kind} | {shown} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
