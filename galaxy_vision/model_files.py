"""A folder or Hub id -> a trained model and its processor that work together, or one sentence that says why not.

Only our own classes are built, so neither code nor a class that a folder names is ever used. What its settings say is checked against limits
(``strict_loading.py``); whether the parts fit each other is seen on a grey image.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from transformers import GenerationConfig

from .image_processing_galaxy import GalaxyImageProcessor
from .images import MAX_BYTES
from .modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration
from .modeling_galaxy_resnet import GalaxyResNetForImageClassification
from .processing_galaxy_captioner import GalaxyCaptionerProcessor

GREY = Image.new("RGB", (64, 64), (9, 9, 9))


@contextmanager
def refusing(name: str | Path) -> Iterator[None]:
    """Whatever wrong files make transformers raise, as one sentence.

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
    except (OSError, ValueError) as error:
        if not str(error).strip():
            raise ValueError(f"{name} cannot be used: {type(error).__name__}; download or save it again") from error
        raise
    except Exception as error:  # tokenizers raises Exception itself, and transformers whatever a wrong value runs into
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ValueError(
            f"{name} cannot be used: {reason} ({type(error).__name__}) from its JSON files; download or save it again"
        ) from error


@torch.inference_mode()
def load_classifier(name: str | Path) -> tuple[GalaxyResNetForImageClassification, GalaxyImageProcessor]:
    """In evaluation mode, on the CPU.

    Raises:
        OSError: there is no such folder or model, or it has no weights.
        ValueError: it is damaged, no classifier of ours, of a newer version, or its parts do not fit.
    """
    with refusing(name):
        model = GalaxyResNetForImageClassification.from_pretrained(name).eval()
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
