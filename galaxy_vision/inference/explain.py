"""Where a model looked: heat maps of classes and answers by the Grad-CAM family, and of a caption's words by attention.

Every map is aligned with the image that was given, not with the crop that the model saw: outside the crop it is 0.
"""

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam import (
    AblationCAM,
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    ScoreCAM,
    ablation_cam,
    score_cam,
)
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from ..models.decision_tree import QUESTION_SLICES
from .explain_targets import target_index, target_list

# These two methods print a progress bar for every image, which cannot be switched off from outside.
ablation_cam.tqdm = score_cam.tqdm = SimpleNamespace(tqdm=lambda steps: steps)


class _EigenCAM(EigenCAM):
    """Eigen-CAM with its sign settled.

    A principal component has none, so half of the maps would show where nothing is.
    """

    def get_cam_image(self, input_tensor, target_layer, targets, activations, grads, eigen_smooth=False):
        projection = super().get_cam_image(input_tensor, target_layer, targets, activations, grads, eigen_smooth)
        strength = np.linalg.norm(activations, axis=1)
        strength = strength - strength.mean((1, 2), keepdims=True)
        sign = np.where((projection * strength).sum((1, 2), keepdims=True) < 0, -1.0, 1.0)
        return projection * sign


METHODS = {
    "gradcam": GradCAM,  # Selvaraju et al. 2017, ICCV
    "gradcam++": GradCAMPlusPlus,  # Chattopadhay et al. 2018, WACV
    "hirescam": HiResCAM,  # Draelos & Carin 2020, arXiv:2011.08891
    "eigencam": _EigenCAM,  # Muhammad & Yeasin 2020, IJCNN; the same for every target
    "ablationcam": AblationCAM,  # Desai & Ramaswamy 2020, WACV
    "scorecam": ScoreCAM,  # Wang et al. 2020, CVPR workshops
}
DEFAULT_METHOD = "hirescam"
DEFAULT_STAGE = 1
"""The winners of benchmarks/heat_maps.py: on the structure, and gone when the weights are random (lab_notes.md)."""
COLORMAP = "plasma"


class _Scores(nn.Module):
    """A classifier as pytorch-grad-cam wants it: one tensor (B, classes + 37), what the heat map explains.

    Classes are logits and answers the log-odds against the question's other answers. Ablation-CAM divides by the score,
    so it gets probabilities, which are never negative.
    """

    def __init__(self, model: nn.Module, as_probabilities: bool):
        super().__init__()
        self.model, self.as_probabilities = model, as_probabilities

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        outputs = self.model(pixel_values=pixel_values)
        logits, concentration = outputs.logits.float(), outputs.vote_concentration
        scores = [logits.softmax(-1) if self.as_probabilities else logits]
        if concentration is not None:
            for places in QUESTION_SLICES.values():
                fractions = concentration[:, places] / concentration[:, places].sum(1, keepdim=True)
                scores.append(fractions if self.as_probabilities else fractions.logit(eps=1e-6))
        return torch.cat(scores, 1)


def _maps(scores: nn.Module, layer: nn.Module, pixels: torch.Tensor, targets: Sequence[int], method: str) -> np.ndarray:
    """Return (B, H, W) heat maps in [0, 1] on the model's input.

    ``scores`` is a copy: methods change gradients, hooks and layers.
    """
    for weight in scores.parameters():
        weight.requires_grad_(False)
    with torch.enable_grad(), METHODS[method](scores, [layer]) as cam:
        cam.batch_size = 64
        return cam(pixels.clone().requires_grad_(), [ClassifierOutputTarget(target) for target in targets])


def _placed(heat: np.ndarray, image: Image.Image, processor, resampling=Image.Resampling.BILINEAR) -> np.ndarray:
    """Undo the geometry of the processor: a map of the model's square input, in its place on the whole image (H, W)."""
    width, height = image.size
    side = max(1, round(min(width, height) * processor.crop_fraction))
    top, left = round((height - side) / 2), round((width - side) / 2)  # as torchvision's center_crop
    whole = np.zeros((height, width), np.float32)
    whole[top : top + side, left : left + side] = Image.fromarray(heat).resize((side, side), resampling)
    return whole


@torch.inference_mode(False)  # a caller's inference mode would make tensors that know no gradients
def explain(
    model: nn.Module,
    processor,
    image: Image.Image | Sequence[Image.Image],
    target: str | int | Sequence[str | int] | None = None,
    method: str = DEFAULT_METHOD,
    stage: int = DEFAULT_STAGE,
) -> np.ndarray | list[np.ndarray]:
    """Heat map of what speaks for a class or an answer in a galaxy image.

    The model itself is not touched: a copy of it, in float32, is hooked and differentiated.

    Args:
        model: a trained ``GalaxyResNetForImageClassification``.
        processor: its image processor.
        image: an RGB image, or a sequence of them, which then share one pass.
        target: what to explain, as :func:`~galaxy_vision.inference.explain_targets.target_index` reads it, for all
            images or one for each; None is the predicted class.
        method: a key of :data:`METHODS`.
        stage: stage of the backbone whose places are weighed, 1 to 4 (stride 4, 8, 16, 32): finer places, or more
            meaning.

    Returns:
        (H, W) float32 in [0, 1] on the pixels of the image, 0 outside what the model saw; a list of them for a
        sequence. Every map is scaled to its own largest value; all of it is 0 where nothing speaks for the target.

    Raises:
        ValueError: an unknown method, stage or target, a number of targets that is not that of the images, or images
            that are not PIL images.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(METHODS)}")
    if stage not in (1, 2, 3, 4):
        raise ValueError(f"stage={stage} is not one of 1, 2, 3, 4")
    images = [image] if isinstance(image, Image.Image) else list(image)
    if not images or not all(isinstance(each, Image.Image) for each in images):
        raise ValueError("images are not PIL images, or there are none; galaxy_vision.read_rgb reads any file")
    pixels = processor(images, return_tensors="pt").pixel_values.to(model.device)
    scores = _Scores(copy.deepcopy(model).float().eval(), as_probabilities=method == "ablationcam")
    if target is None:
        with torch.no_grad():
            targets = scores(pixels)[:, : model.config.num_labels].argmax(1).tolist()
    else:
        targets = [target_index(model.config, each) for each in target_list(target, len(images))]
    layer = scores.model.backbone.get_submodule(f"layer{stage}")
    maps = [
        _placed(heat, each, processor)
        for heat, each in zip(_maps(scores, layer, pixels, targets, method), images, strict=True)
    ]
    return maps[0] if isinstance(image, Image.Image) else maps


class CaptionMaps(NamedTuple):
    """A caption and where each of its words looked.

    Attributes:
        caption: the whole text; empty where the model ended before the first word.
        words: its words and punctuation, in order.
        maps: (words, H, W) float32 in [0, 1] on the pixels of the image, 0 outside what the model saw.
    """

    caption: str
    words: list[str]
    maps: np.ndarray


def _write(model: nn.Module, processor, image: Image.Image, max_new_tokens: int | None):
    """Return pixels (1, 3, S, S) and the greedy caption: ids (1, 1 + T) up to its last word, its text and its words."""
    pixels = processor(image)["pixel_values"].to(model.device)
    sequence = model.generate(
        pixel_values=pixels, **({} if max_new_tokens is None else {"max_new_tokens": max_new_tokens})
    )
    ends = torch.isin(sequence[0, 1:], sequence.new_tensor(model.config.closing_words))
    length = int(ends.int().argmax()) if ends.any() else sequence.shape[1] - 1
    sequence = sequence[:, : 1 + length]
    words = processor.tokenizer.convert_ids_to_tokens(sequence[0, 1:].tolist())
    return pixels, sequence, processor.decode(sequence[0]), words


def _nothing_said(image: Image.Image) -> CaptionMaps:
    """What is known of a caption that ends before its first word."""
    return CaptionMaps("", [], np.zeros((0, image.height, image.width), np.float32))


def caption_attention(
    model: nn.Module, processor, image: Image.Image, max_new_tokens: int | None = None, smooth: bool = False
) -> CaptionMaps:
    """Write a caption and return the attention of each word.

    Attention is a distribution over the ``config.grid_size`` squared places of the feature map; it is shown as it is,
    each place filling its square of the image, and on one scale: 1 is the largest attention of any word.

    Args:
        model: a trained ``GalaxyCaptionerForConditionalGeneration``.
        processor: its processor.
        image: an RGB image.
        max_new_tokens: longest caption in words; None is that of the model.
        smooth: interpolate between the centres of the places instead; softer to look at, and finer than the truth.
    """
    with torch.inference_mode():
        pixels, sequence, caption, words = _write(model, processor, image, max_new_tokens)
        if not words:
            return _nothing_said(image)
        attention = model(pixel_values=pixels, decoder_input_ids=sequence[:, :-1]).cross_attentions[0][0]  # (T, places)
    side = model.config.grid_size
    grids = (attention / attention.max()).float().cpu().numpy().reshape(-1, side, side)
    kind = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return CaptionMaps(
        caption, words, np.stack([_placed(grid, image, processor.image_processor, kind) for grid in grids])
    )


def overlay(image: Image.Image, heat: np.ndarray, opacity: float = 0.6) -> Image.Image:
    """The image under its heat map: colours of the perceptually uniform :data:`COLORMAP`, the more opaque the hotter.

    Args:
        image: RGB.
        heat: (H, W) in [0, 1], of the image's size.
        opacity: of the hottest places, 0 to 1.

    Raises:
        ValueError: the image is not RGB, the sizes differ, or opacity is outside 0..1.
    """
    if image.mode != "RGB":
        raise ValueError(
            f"the image has the mode {image.mode}; give RGB, which galaxy_vision.read_rgb makes of any file"
        )
    if heat.shape != (image.height, image.width):
        raise ValueError(
            f"the heat map is {heat.shape} and the image {(image.height, image.width)}; give one of the image's size"
        )
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"opacity={opacity} is outside 0 <= opacity <= 1")
    colors = matplotlib.colormaps[COLORMAP](heat)[..., :3] * 255
    alpha = opacity * heat[..., None]
    return Image.fromarray((np.asarray(image) * (1 - alpha) + colors * alpha).round().astype(np.uint8))
