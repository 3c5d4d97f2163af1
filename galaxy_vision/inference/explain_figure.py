"""One galaxy and what the models saw in it, as a figure: heat maps of class, surest answers and words."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from PIL import Image

from ..images.limits import image_id, normal_path
from .describe import NO_CAPTION, Describer
from .explain import COLORMAP, DEFAULT_METHOD, caption_attention, explain, overlay
from .explain_targets import target_index, target_name

NUM_ANSWERS_DRAWN = 3
WORDS_A_ROW = 10
MARK = {"Title": "galaxy-vision explain"}
"""In the PNG file of every figure, so that another file is never taken for one of ours and replaced."""
MAX_NAME_BYTES = 200
"""Bytes of the name of a figure without its suffix; file systems take 255, and a file being written has more."""


def explanation_figure(
    describer: Describer, image: Image.Image, method: str = DEFAULT_METHOD, opacity: float = 0.6
) -> Figure:
    """Draw what the models see of an image: heat maps of class and surest answers, and the attention of every word.

    Args:
        describer: classifier and captioner.
        image: RGB.
        method: a key of :data:`galaxy_vision.inference.explain.METHODS`.
        opacity: of the hottest places.

    Returns:
        A figure of its own, without pyplot's global state: save it with ``savefig``.
    """
    said = describer(image)
    config = describer.classifier.config
    number = list(said["probabilities"]).index(said["class"])  # not the name, which a class may share with an answer
    targets = [number, *(answer["answer"] for answer in said["answers"][:NUM_ANSWERS_DRAWN])]
    heats = explain(describer.classifier, describer.image_processor, [image] * len(targets), targets, method)
    titles = [f"{said['class']} ({said['probability']:.0%})"] + [
        f"{target_name(config, target_index(config, answer['answer']))} ({answer['fraction']:.0%})"
        for answer in said["answers"][:NUM_ANSWERS_DRAWN]
    ]
    spoken = caption_attention(describer.captioner, describer.processor, image)
    words = [(word, heat) for word, heat in zip(spoken.words, spoken.maps, strict=True) if word.strip(",.;:!?")]
    rows = max(1, -(-len(words) // WORDS_A_ROW))  # a caption may have no word

    figure = Figure(figsize=(11.0, 3.1 + 1.25 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(2.6, 1.25 * rows), hspace=0.02)
    axes = top.subplots(1, 1 + NUM_ANSWERS_DRAWN + 1)
    axes[0].imshow(image)
    axes[0].set_title("galaxy", fontsize=10)
    for place, title, heat in zip(axes[1:], titles, heats, strict=False):
        place.imshow(overlay(image, heat, opacity))
        place.set_title(title, fontsize=10, parse_math=False)
    strip = bottom.subplots(rows, WORDS_A_ROW, squeeze=False)
    for place, (word, heat) in zip(strip.flat, words, strict=False):
        place.imshow(overlay(image, heat, opacity))
        place.set_title(word, fontsize=9, pad=2, parse_math=False)
    side = min(image.size) * describer.image_processor.crop_fraction
    for place in (*axes, *strip.flat):
        place.set_axis_off()
        if place.images:  # what the models saw: there is no heat outside
            place.set_xlim(image.width / 2 - side / 2, image.width / 2 + side / 2)
            place.set_ylim(image.height / 2 + side / 2, image.height / 2 - side / 2)
    scale = ScalarMappable(matplotlib.colors.Normalize(0, 1), COLORMAP)
    bar = top.colorbar(scale, ax=axes, fraction=0.02, pad=0.01, shrink=0.72)
    bar.set_label(f"{method}, of the largest", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar = bottom.colorbar(scale, ax=strip, fraction=0.02, pad=0.01)
    bar.set_label("attention", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    caption = f"“{spoken.caption}”" if spoken.caption.strip() else NO_CAPTION
    bottom.suptitle(caption, fontsize=11, style="italic", parse_math=False)
    return figure


def figure_files(images: Sequence[str], folder: Path) -> list[Path]:
    """Name the file of each image's figure: the image's id, with a number where several images share it.

    No two are the same, also where a file system takes capitals for small letters, and none is a file that is there and
    is not a figure of ours: an image may lie in the folder, or a picture of the same name.
    """
    ids = [image_id(normal_path(image).name).encode()[:MAX_NAME_BYTES].decode(errors="ignore") for image in images]
    own, taken, files = {each.casefold() for each in ids}, set(), []
    for each in ids:
        numbered = (f"{each}-{number}" for number in itertools.count(2))
        unclaimed = (name for name in numbered if name.casefold() not in own)
        free = (
            name
            for name in itertools.chain([each], unclaimed)
            if name.casefold() not in taken and _may_write(folder, name)
        )
        taken.add((name := next(free)).casefold())
        files.append(folder / f"{name}.png")
    return files


def _may_write(folder: Path, name: str) -> bool:
    path = folder / f"{name}.png"
    if not path.exists():
        return True
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Title") == MARK["Title"]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
