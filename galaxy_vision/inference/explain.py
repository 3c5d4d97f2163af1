"""Heat maps of classes and answers by the Grad-CAM family; those of words are in ``word_maps.py``.

Every map is aligned with the whole image, not with the crop that the model reads; outside the crop it is 0.
"""

import copy
from collections.abc import Sequence
from types import SimpleNamespace

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

from .answer_names import question_slices
from .classes import class_probabilities
from .explain_targets import target_index, target_list

# These two methods print a progress bar for every image, and have no argument to switch it off.
ablation_cam.tqdm = score_cam.tqdm = SimpleNamespace(tqdm=lambda steps: steps)


class _EigenCAM(EigenCAM):
    """Eigen-CAM with a defined sign.

    The sign of a principal component is arbitrary, so that half of the maps would show the background. It is chosen so
    that the map correlates with the strength of the activations.
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
"""The best of benchmarks/heat_maps.py: maps lie on the structure, and vanish with random weights (lab_notes.md)."""
COLORMAP = "plasma"
"""Perceptually uniform colormap of matplotlib."""


class _Scores(nn.Module):
    """A classifier with one output (B, classes + answers), as pytorch-grad-cam needs it: the scores that maps explain.

    Scores are the logits of the class head, also where votes decide the class, and the log-odds of an answer against
    the others of its question. Ablation-CAM divides by scores and therefore gets probabilities, which are not negative.
    """

    def __init__(self, model: nn.Module, as_probabilities: bool):
        super().__init__()
        self.model, self.as_probabilities = model, as_probabilities

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        outputs = self.model(pixel_values=pixel_values)
        logits, concentration = outputs.logits.float(), outputs.vote_concentration
        scores = [logits.softmax(-1) if self.as_probabilities else logits]
        if concentration is not None:
            for answers in question_slices(self.model.trees):
                fractions = concentration[:, answers] / concentration[:, answers].sum(1, keepdim=True)
                scores.append(fractions if self.as_probabilities else fractions.logit(eps=1e-6))
        return torch.cat(scores, 1)


def _maps(scores: nn.Module, layer: nn.Module, pixels: torch.Tensor, targets: Sequence[int], method: str) -> np.ndarray:
    """Return (B, H, W) heat maps in [0, 1] on the input of the model.

    ``scores`` must be a copy, since the methods change gradients, hooks and layers.
    """
    for weight in scores.parameters():
        weight.requires_grad_(False)
    with torch.enable_grad(), METHODS[method](scores, [layer]) as cam:
        cam.batch_size = 64
        return cam(pixels.clone().requires_grad_(), [ClassifierOutputTarget(target) for target in targets])


def on_image(heat: np.ndarray, image: Image.Image, processor) -> np.ndarray:
    """Undo the geometry of the processor: map (h, w) on the model's input -> map (H, W) on the whole image."""
    width, height = image.size
    side = max(1, round(min(width, height) * processor.crop_fraction))
    top, left = round((height - side) / 2), round((width - side) / 2)  # as center_crop of torchvision
    whole = np.zeros((height, width), np.float32)
    resized = Image.fromarray(heat).resize((side, side), Image.Resampling.BILINEAR)
    whole[top : top + side, left : left + side] = resized
    return whole


@torch.inference_mode(False)  # in a caller's inference mode there would be no gradients
def explain(
    model: nn.Module,
    processor,
    image: Image.Image | Sequence[Image.Image],
    target: str | int | Sequence[str | int] | None = None,
    method: str = DEFAULT_METHOD,
    stage: int = DEFAULT_STAGE,
    campaign: str | None = None,
) -> np.ndarray | list[np.ndarray]:
    """Return a heat map of what speaks for a class or an answer in a galaxy image.

    The model is not changed: a copy of it in float32 is differentiated.

    Args:
        model: a trained ``GalaxyResNetForImageClassification``.
        processor: its image processor.
        image: an RGB image, or a sequence of them, which are computed in one pass.
        target: class or answer to explain, see :func:`~galaxy_vision.inference.explain_targets.target_index`; one for
            all images, or one for each. None is the predicted class. The map of a class is that of the class head,
            which learned the same classes, also where the votes decide which it is.
        method: a key of :data:`METHODS`.
        stage: stage of the backbone whose feature map is weighted, 1 to 4 (stride 4, 8, 16, 32). Early stages give
            finer maps, and late ones more meaning.
        campaign: whose votes decide the predicted class; None for the first.

    Returns:
        (H, W) float32 in [0, 1] on the pixels of the image, 0 outside the crop that the model reads; a list of them for
        a sequence. Every map is scaled to its maximum; it is 0 everywhere if nothing speaks for the target.

    Raises:
        ValueError: the method, the stage or a target is unknown, the number of targets is not that of the images, or
            the images are not PIL images.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(METHODS)}")
    if stage not in (1, 2, 3, 4):
        raise ValueError(f"stage={stage} is not one of 1, 2, 3, 4")
    images = [image] if isinstance(image, Image.Image) else list(image)
    if not images or not all(isinstance(item, Image.Image) for item in images):
        raise ValueError("images are not PIL images, or there are none; galaxy_vision.read_rgb reads any file")
    pixels = processor(images, return_tensors="pt").pixel_values.to(model.device)
    scores = _Scores(copy.deepcopy(model).float().eval(), as_probabilities=method == "ablationcam")
    if target is None:
        with torch.no_grad():
            outputs = scores.model(pixel_values=pixels)
            targets = class_probabilities(model, outputs, campaign).probabilities.argmax(1).tolist()
    else:
        targets = [target_index(model.config, name) for name in target_list(target, len(images))]
    backbone = scores.model.backbone
    layer = backbone.get_submodule(backbone.feature_info[stage - 5]["module"])  # the last is stage 4
    heats = _maps(scores, layer, pixels, targets, method)
    maps = [on_image(heat, source, processor) for heat, source in zip(heats, images, strict=True)]
    return maps[0] if isinstance(image, Image.Image) else maps


def write_caption(model: nn.Module, processor, image: Image.Image, max_new_tokens: int | None, **told):
    """Return pixels (1, 3, S, S) and the caption: ids (1, 1 + T) up to its last word, its text and its words.

    What the captioner is told beside the pixels, such as ``votes=``, goes to ``generate``.
    """
    pixels = processor(image)["pixel_values"].to(model.device)
    length = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    return pixels, *spoken(model, processor, model.generate(pixel_values=pixels, **length, **told))


def spoken(model: nn.Module, processor, sequence: torch.Tensor) -> tuple[torch.Tensor, str, list[str]]:
    """Return what ``generate`` wrote, (1, 1 + T), up to its last word: its ids, its text and its words."""
    ends = torch.isin(sequence[0, 1:], sequence.new_tensor(model.config.closing_words))
    length = int(ends.int().argmax()) if ends.any() else sequence.shape[1] - 1
    sequence = sequence[:, : 1 + length]
    words = processor.tokenizer.convert_ids_to_tokens(sequence[0, 1:].tolist())
    return sequence, processor.decode(sequence[0]), words


def overlay(image: Image.Image, heat: np.ndarray, opacity: float = 0.6) -> Image.Image:
    """Return the image under its heat map, whose opacity grows with the heat, in :data:`COLORMAP`.

    Args:
        image: RGB.
        heat: (H, W) in [0, 1], of the size of the image.
        opacity: opacity where the heat is 1, from 0 to 1.

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
