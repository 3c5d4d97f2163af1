"""Figure of a galaxy: heat maps of its class, its surest answers and the claims of its caption, and its votes."""

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ..images.limits import image_id, normal_path
from ..runtime.paper import PAGE, paper_style
from .answers_figure import answers_height, draw_answers, readable
from .classes import probability_words
from .describe import NO_CAPTION, Describer
from .explain import COLORMAP, DEFAULT_METHOD, METHODS, explain, overlay
from .explain_targets import answer_targets, target_index, target_name
from .word_maps import NOT_LOCATED, WORDS, WordMaps, word_maps

NUM_ANSWERS_DRAWN = 3
CLAIMS_A_ROW = 6
MARK = {"Title": "galaxy-vision explain"}
"""Metadata in the PNG file of every figure, without which a file is not overwritten."""
MAX_NAME_BYTES = 200
"""Longest name of a figure without its suffix, in bytes. File systems allow 255; temporary files have longer names."""
TITLE_WIDTH = 22
"""Letters in a line of a title, at which those of neighbouring panels do not meet."""


def check_targets(config, targets: Sequence[str]) -> None:
    """Check the targets of a figure; raise ValueError if there are too many, or a model does not have one."""
    if len(targets) > NUM_ANSWERS_DRAWN:
        raise ValueError(f"{len(targets)} targets are more than the {NUM_ANSWERS_DRAWN} of a figure; give fewer")
    for target in targets:
        target_index(config, target)


@paper_style()
def explanation_figure(
    describer: Describer,
    image: Image.Image,
    method: str = DEFAULT_METHOD,
    targets: Sequence[str] | None = None,
    opacity: float = 0.6,
) -> Figure:
    """Draw the class and the most certain answers of an image with heat maps, the claims of its caption, and its votes.

    The first picture is the whole image with the square that the models read; the others are that square. Words that
    state no claim have no map. Maps of claims have one scale, so that little evidence looks little. Below are the
    answers to each question that half of the volunteers would be asked, with their 90 % intervals.

    Args:
        describer: classifier and captioner.
        image: RGB.
        method: a key of :data:`galaxy_vision.inference.explain.METHODS`.
        targets: up to three classes or answers beside the class, see
            :func:`~galaxy_vision.inference.explain_targets.target_index`; None for the most certain answers.
        opacity: opacity where the heat is 1.

    Returns:
        A figure that is not registered with pyplot, as wide as a page of a journal; save it with
        :func:`~galaxy_vision.runtime.paper.save_figure`.
    """
    read = describer.read(image)
    description = describer.describe(read)
    config = describer.classifier.config
    # Index of a target -> its probability or fraction; and name of an answer -> its target, unique among all trees.
    shares, names = dict(enumerate(description["probabilities"].values())), {}
    if votes := description["votes"]:
        part = describer.classifier.trees.slices[describer.tree.name]
        names = dict(zip(votes, list(answer_targets(config))[part], strict=True))
        shares |= dict(enumerate((vote["fraction"] for vote in votes.values()), config.num_labels + part.start))
    if targets is None:
        targets = [names[answer["answer"]] for answer in description["answers"][:NUM_ANSWERS_DRAWN]]
    # The number of the class, since a class and an answer may have the same name.
    number = list(description["probabilities"]).index(description["class"])
    heats = explain(
        describer.classifier, describer.image_processor, [image] * (1 + len(targets)), [number, *targets], method
    )
    titles = [f"{description['class']} ({probability_words(description)})"]
    for target in targets:
        index = target_index(config, target)
        share = f" ({shares[index]:.0%})" if index in shares else ""  # answers of another campaign have none
        titles.append(readable(f"{target_name(config, index)}{share}"))
    caption_maps = word_maps(describer, image, read=read)
    words = _claims_drawn(caption_maps)
    rows = max(1, -(-len(words) // CLAIMS_A_ROW))  # a caption may be empty

    figure = Figure(figsize=(PAGE, 2.25 + 1.45 * rows + answers_height(votes, describer.tree)), layout="constrained")
    heights = [2.1, 0.15 + 1.45 * rows, answers_height(votes, describer.tree)][: 2 + bool(votes)]
    panels = figure.subfigures(len(heights), 1, height_ratios=heights)
    axes = panels[0].subplots(1, 1 + NUM_ANSWERS_DRAWN + 1)
    axes[0].imshow(image)
    axes[0].set_title("image, and what is read")
    for ax, title, heat in zip(axes[1:], titles, heats, strict=False):
        ax.imshow(overlay(image, heat, opacity))
        ax.set_title(textwrap.fill(title, TITLE_WIDTH), parse_math=False)
    strip = panels[1].subplots(rows, CLAIMS_A_ROW, squeeze=False)
    for ax, (word, heat) in zip(strip.flat, words, strict=False):
        ax.imshow(overlay(image, heat, opacity))
        ax.set_title(word, pad=2, parse_math=False)
    side = min(image.size) * describer.image_processor.crop_fraction
    left, top = (image.width - side) / 2 - 0.5, (image.height - side) / 2 - 0.5  # pixels have their middle at 0
    axes[0].add_patch(Rectangle((left, top), side, side, fill=False, edgecolor="white", linewidth=0.8))
    for ax in (*axes, *strip.flat):
        ax.set_axis_off()
        if ax.images and ax is not axes[0]:  # the crop that the models read; there is no heat outside
            ax.set(xlim=(left, left + side), ylim=(top + side, top))
    scale = ScalarMappable(matplotlib.colors.Normalize(0, 1), COLORMAP)
    bar = panels[0].colorbar(scale, ax=axes, fraction=0.02, pad=0.01, shrink=0.72)
    bar.set_label(f"{METHODS[method].__name__.strip('_')}, of the largest", fontsize=6)
    bar = panels[1].colorbar(scale, ax=strip, fraction=0.02, pad=0.01)
    bar.set_label(f"evidence, of {caption_maps.scale:.1f} nats", fontsize=6)
    caption = f"“{caption_maps.caption}”" if caption_maps.caption.strip() else NO_CAPTION
    name = description["class"]
    panels[0].suptitle(
        f"{name[:1].upper()}{name[1:]}, {probability_words(description)}",
        fontsize=11,
        family="serif",
        parse_math=False,
    )
    panels[1].suptitle(textwrap.fill(caption, 110), family="serif", style="italic", parse_math=False)
    if votes:
        draw_answers(panels[2], votes, describer.tree)
    return figure


def _claims_drawn(caption_maps: WordMaps) -> list[tuple[str, np.ndarray]]:
    """Return the words of each claim, in the order of the caption, and their map."""
    drawn: dict[str, tuple[list[str], np.ndarray]] = {}
    rows = zip(caption_maps.words, caption_maps.maps, caption_maps.concepts, caption_maps.sources, strict=True)
    for word, heat, concept, source in rows:
        if concept is not None:
            words, _ = drawn.setdefault(concept, ([], heat))
            words.append(f"{word} (captioner)" if source == WORDS else word)
    doubt = {concept: " (not located)" for concept in NOT_LOCATED}
    return [(" ".join(words) + doubt.get(concept, ""), heat) for concept, (words, heat) in drawn.items()]


def figure_files(images: Sequence[str], folder: Path) -> list[Path]:
    """Return the file of each image's figure: the id of the image, with a number where several images share it.

    No two names are the same, also on file systems that ignore case. No name is that of an existing file that is not a
    figure of this function, such as an image in the folder.
    """
    ids = [image_id(normal_path(image).name).encode()[:MAX_NAME_BYTES].decode(errors="ignore") for image in images]
    all_ids, taken, files = {name.casefold() for name in ids}, set(), []
    for own_id in ids:
        numbered = (f"{own_id}-{number}" for number in itertools.count(2))
        candidates = itertools.chain([own_id], (name for name in numbered if name.casefold() not in all_ids))
        name = next(name for name in candidates if name.casefold() not in taken and _may_write(folder, name))
        taken.add(name.casefold())
        files.append(folder / f"{name}.png")
    return files


def _may_write(folder: Path, name: str) -> bool:
    """Return whether a figure of this name does not exist or is one of ours."""
    path = folder / f"{name}.png"
    if not path.exists():
        return True
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Title") == MARK["Title"]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
