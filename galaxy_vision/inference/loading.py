"""A folder or Hub id -> a trained model and its processor that work together, or one sentence that says why not.

Only our own classes are built, so neither code nor a class that a folder names is ever used. What its settings say is
checked against limits (``strict_loading.py``); whether the parts fit each other is seen on a grey image.
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

GREY = Image.new("RGB", (64, 64), (9, 9, 9))


def _fault_of_the_machine(error: BaseException) -> str | None:
    """What the machine lacks, in words; None if it may be the files that are wrong."""
    said = str(error).lower()
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in said or "out of memory" in said:
        return "there is not enough memory for it; end what else uses it, or take a larger machine"
    device = isinstance(error, RuntimeError) and re.match("(cuda|cudnn|cublas|hip|miopen|mps|nccl|xpu)\\b", said)
    if device or isinstance(error, getattr(torch, "AcceleratorError", ())):
        return "the device failed; try again, on the CPU if need be"
    if isinstance(error, ImportError):
        return "a library is missing or cannot be imported; install the requirements again"
    if type(error).__module__.startswith("http"):  # of whichever client huggingface_hub uses
        return "the Hub does not answer; try again"
    return None


@contextmanager
def refusing(name: str | Path) -> Iterator[None]:
    """Turn whatever wrong files make transformers raise into one sentence; errors of the machine stay what they are.

    Raises:
        OSError: there is no such folder or model, or it has no weights.
        ValueError: everything else.
    """
    for path in Path(name).glob("*.json"):
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB, more than {MAX_BYTES >> 20}; download it again"
            )
    try:
        yield
    except Exception as error:  # tokenizers raises Exception itself, and transformers whatever a wrong value runs into
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
def load_classifier(name: str | Path) -> tuple[GalaxyResNetForImageClassification, GalaxyImageProcessor]:
    """In evaluation mode, on the CPU.

    Raises:
        OSError: there is no such folder or model, or it has no weights.
        ValueError: it is damaged, no classifier of ours, of a newer version, its parts do not fit, or its classes do
            not exclude each other: whoever calls this reads them by softmax.
    """
    with refusing(name):
        model = GalaxyResNetForImageClassification.from_pretrained(name).eval()
        if model.config.problem_type not in (None, SINGLE_LABEL):
            raise ValueError(
                f"{name}: problem_type={model.config.problem_type!r} with {model.config.num_labels} outputs is not "
                "one class for each "
                'image, which is all that this command reads; use pipeline("image-classification", model=...)'
            )
        processor = GalaxyImageProcessor.from_pretrained(name)
        outputs = model(processor(GREY, return_tensors="pt")["pixel_values"])
        if outputs.vote_concentration is not None:
            model.predict_fractions(outputs)
    return model, processor


@torch.inference_mode()
def load_captioner(name: str | Path) -> tuple[GalaxyCaptionerForConditionalGeneration, GalaxyCaptionerProcessor]:
    """As :func:`load_classifier`, for a captioner."""
    with refusing(name):
        model = GalaxyCaptionerForConditionalGeneration.from_pretrained(name).eval()
        processor = GalaxyCaptionerProcessor.from_pretrained(name)
        if (Path(name) / "generation_config.json").is_file():  # one that is damaged was left out in silence
            GenerationConfig.from_pretrained(name)
        processor.batch_decode(model.generate(pixel_values=processor(GREY)["pixel_values"]))
        if len(processor.tokenizer) != model.config.vocab_size:
            raise ValueError(
                f"{name}: its tokenizer has {len(processor.tokenizer)} words and its config.json says "
                f"vocab_size={model.config.vocab_size}; download or save it again"
            )
    return model, processor
