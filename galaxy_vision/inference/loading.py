"""Load a trained model and its processor from a folder or the Hub, or refuse them in one sentence.

Only classes of this package are built: code in the folder, and classes that it names, are never used. Settings are
checked against limits (``strict_loading.py``), and a grey image is computed to see that model and processor fit.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from transformers import GenerationConfig

from ..images.limits import MAX_BYTES
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.losses import SINGLE_LABEL
from ..models.modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..models.processing_galaxy_captioner import GalaxyCaptionerProcessor
from ..models.trees import Trees
from ..runtime.shipped import model_source
from .classes import class_probabilities

GREY = Image.new("RGB", (64, 64), (9, 9, 9))


def _fault_of_the_machine(error: BaseException) -> str | None:
    """Return in words why the machine failed to load a model; None if the files may be the cause."""
    text = str(error).lower()
    is_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if is_memory or "allocate memory" in text or "out of memory" in text:
        return "there is not enough memory for it; end other programs, or use a larger machine"
    device = isinstance(error, RuntimeError) and re.match("(cuda|cudnn|cublas|hip|miopen|mps|nccl|xpu)\\b", text)
    if device or isinstance(error, getattr(torch, "AcceleratorError", ())):
        return "the device failed; try again, on the CPU if need be"
    if isinstance(error, ImportError):
        return "a library is missing or cannot be imported; install the requirements again"
    if type(error).__module__.startswith("http"):  # errors of httpx or httpx2, which huggingface_hub uses
        return "the Hub does not answer; try again"
    return None


@contextmanager
def refusing(name: str | Path) -> Iterator[None]:
    """Turn any error of loading a model into one sentence, about its files or about the machine.

    Raises:
        OSError: the folder or model does not exist, or it has no weights.
        ValueError: all other errors.
    """
    for path in Path(name).glob("*.json"):
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB, more than {MAX_BYTES >> 20}; download it again"
            )
    try:
        yield
    except Exception as error:  # tokenizers raises Exception itself, transformers any type
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if fault := _fault_of_the_machine(error):
            raise ValueError(f"{name} cannot be loaded: {fault} ({type(error).__name__}: {reason})") from error
        if isinstance(error, (OSError, ValueError)) and str(error).strip():
            raise
        files = "" if isinstance(error, (OSError, ValueError)) else " from its JSON files"
        raise ValueError(
            f"{name} cannot be used: {reason} ({type(error).__name__}){files}; download or save it again"
        ) from error


@torch.inference_mode()
def load_classifier(
    name: str | Path, any_task: bool = False
) -> tuple[GalaxyResNetForImageClassification, GalaxyImageProcessor]:
    """Load a classifier, in evaluation mode and on the CPU, and its image processor.

    Args:
        name: folder or Hub id, or that of a shipped model.
        any_task: the caller knows what to do with several labels at once and with numbers.

    Raises:
        OSError: the folder or model does not exist, or it has no weights.
        ValueError: the model is damaged, of a newer version or not a classifier of this package; model and processor do
            not fit; its classes are not those of its ``label_scheme``; or they do not exclude each other, which
            callers assume unless they say ``any_task``.
    """
    name = model_source(name)
    with refusing(name):
        model = GalaxyResNetForImageClassification.from_pretrained(name).eval()
        is_of_classes = model.config.problem_type in (None, SINGLE_LABEL)
        if not (is_of_classes or any_task):
            raise ValueError(
                f"{name}: problem_type={model.config.problem_type!r} with {model.config.num_labels} outputs does not "
                "give one class for each image, which this command needs; use "
                'pipeline("image-classification", model=...)'
            )
        processor = GalaxyImageProcessor.from_pretrained(name)
        outputs = model(processor(GREY, return_tensors="pt")["pixel_values"])
        if outputs.vote_concentration is not None:
            for campaign in model.trees:
                model.predict_fractions(outputs, campaign)
        if is_of_classes:
            class_probabilities(model, outputs)
    return model, processor


@torch.inference_mode()
def load_captioner(name: str | Path) -> tuple[GalaxyCaptionerForConditionalGeneration, GalaxyCaptionerProcessor]:
    """Load a captioner and its processor, as :func:`load_classifier` does a classifier."""
    name = model_source(name)
    with refusing(name):
        model = GalaxyCaptionerForConditionalGeneration.from_pretrained(name).eval()
        processor = GalaxyCaptionerProcessor.from_pretrained(name)
        if (Path(name) / "generation_config.json").is_file():  # from_pretrained ignores a damaged one
            GenerationConfig.from_pretrained(name)
        processor.batch_decode(model.generate(pixel_values=processor(GREY)["pixel_values"]))
        if len(processor.tokenizer) != model.config.vocab_size:
            raise ValueError(
                f"{name}: its tokenizer has {len(processor.tokenizer)} words, and config.json has "
                f"vocab_size={model.config.vocab_size}; download or save it again"
            )
    return model, processor


def take_for(model: GalaxyResNetForImageClassification, trees: Trees | None) -> str | None:
    """Take a model that does not say whose votes it predicts for one of the campaign of a data set with its answers.

    Models without trees in their configuration have those of Galaxy Zoo 2, also where they learned from the challenge,
    whose questions and answers are the same.

    Args:
        model: whose trees are changed if they are not in its configuration, and the data set has votes of one other
            campaign with the same answers.
        trees: of the data set.

    Returns:
        One line that says whose votes the model is taken to predict; None if nothing was changed.
    """
    if model.config.trees is not None or trees is None or trees == model.trees or len(trees) > 1:
        return None
    if trees.first.answers != model.trees.first.answers:
        return None
    model.config.trees = trees.to_list()
    model.config.validate_format()
    model.trees = trees
    return f"the model does not say whose votes it predicts, and is taken to predict those of {trees.first.name}"
