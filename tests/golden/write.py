"""Write what the committed models say of the example images, and how their losses would move their weights.

    python tests/golden/write.py tests/golden/checkpoints.json

The file catches drift: run it anew where the weights, and not the code, have changed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from galaxy_vision import (
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
    GalaxyResNetForImageClassification,
    read_rgb,
)

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((REPOSITORY / "space" / "examples").glob("*.jpg"))


def gradient_norms(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, float]:
    """Euclidean norm of the gradient of each part of a model, a part being what its first two names say."""
    loss.backward()
    squares: dict[str, float] = {}
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            part = ".".join(name.split(".")[:2])
            squares[part] = squares.get(part, 0.0) + float(weight.grad.double().square().sum())
    return {part: square**0.5 for part, square in squares.items()}


def classifier_outputs(images: list) -> dict:
    """Probabilities and vote fractions of each image; gradients of the loss of known labels and votes."""
    folder = REPOSITORY / "checkpoints" / "galaxy-resnet"
    model = GalaxyResNetForImageClassification.from_pretrained(folder).eval()
    pixels = GalaxyImageProcessor.from_pretrained(folder)(images, return_tensors="pt")["pixel_values"]
    labels = torch.arange(len(images)) % model.config.num_labels
    answers = model.trees.num_answers
    votes = (torch.arange(len(images) * answers).view(len(images), answers) * 7 % 11).float()
    output = model(pixel_values=pixels, labels=labels, votes=votes)
    return {
        "probabilities": output.logits.softmax(-1).tolist(),
        "fractions": model.predict_fractions(output).conditional.tolist(),
        "loss": output.loss.item(),
        "gradient_norms": gradient_norms(model, output.loss),
    }


def captioner_outputs(images: list) -> dict:
    """Greedy and beam captions of each image; gradients of the loss of one caption for all."""
    folder = REPOSITORY / "checkpoints" / "galaxy-captioner"
    model = GalaxyCaptionerForConditionalGeneration.from_pretrained(folder).eval()
    processor = GalaxyCaptionerProcessor.from_pretrained(folder)
    pixels = processor(images)["pixel_values"]
    captions = {
        name: processor.batch_decode(model.generate(pixel_values=pixels, num_beams=beams))
        for name, beams in (("greedy", 1), ("beam 4", 4))
    }
    labels = processor.tokenizer(["a spiral galaxy with a bar"] * len(images), return_tensors="pt")["input_ids"]
    loss = model(pixel_values=pixels, labels=labels).loss
    return captions | {"loss": loss.item(), "gradient_norms": gradient_norms(model, loss)}


def outputs() -> dict:
    """Everything that is compared, by model."""
    images = [read_rgb(path.read_bytes()) for path in EXAMPLES]
    return {"classifier": classifier_outputs(images), "captioner": captioner_outputs(images)}


if __name__ == "__main__":
    command = "python tests/golden/write.py tests/golden/checkpoints.json"
    about = {"command": command, "torch": torch.__version__, "images": [path.name for path in EXAMPLES]}
    rounded = json.loads(json.dumps(outputs()), parse_float=lambda text: float(f"{np.float64(text):.7g}"))
    Path(sys.argv[1]).write_text(json.dumps(about | rounded, indent=1) + "\n")
