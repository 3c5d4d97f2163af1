"""Draw ``examples/``: 12 simulated galaxies, every class of the hubble scheme, the same bytes on every run.

    python space/draw_examples.py

Only galaxies are kept for which the trained classifier predicts the class of the simulated volunteers with a
probability of :data:`MIN_PROBABILITY` or more. They illustrate the page and are not a test of the model.
"""

from pathlib import Path

import torch
from transformers import AutoModelForImageClassification

from galaxy_vision import class_probabilities
from galaxy_vision.data.labels import assign_labels
from galaxy_vision.data.schemes import get_scheme
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.simulation.render import simulate_galaxy

SEED = 12
MIN_PETRO_R90 = 11.0  # arcsec; ours: of smaller galaxies the seeing leaves little structure
MIN_PROBABILITY = 0.6  # ours; lab_notes.md, "Images and the demo"
EXAMPLES_PER_CLASS = {
    "barred spiral": 2,
    "spiral": 2,
    "edge-on disc": 2,
    "elliptical": 2,
    "merger": 2,
    "lenticular": 1,
    "irregular": 1,
}


@torch.inference_mode()
def main() -> None:
    weights = Path(__file__).resolve().parent.parent / "checkpoints" / "galaxy-resnet"
    model = AutoModelForImageClassification.from_pretrained(weights, trust_remote_code=False).eval()
    processor = GalaxyImageProcessor.from_pretrained(weights)
    folder = Path(__file__).resolve().parent / "examples"
    names = [label.name for label in get_scheme("hubble").classes]
    missing, index = dict(EXAMPLES_PER_CLASS), -1
    while any(missing.values()):
        index += 1
        galaxy = simulate_galaxy(SEED, index)
        label = int(assign_labels(galaxy.votes, "hubble"))
        if label < 0 or not missing.get(names[label]):
            continue
        if galaxy.parameters.artifact != "none" or galaxy.parameters.petro_r90 < MIN_PETRO_R90:
            continue
        outputs = model(**processor(galaxy.image, return_tensors="pt"))
        probability, predicted = class_probabilities(model, outputs).probabilities.max(-1)
        if model.config.id2label[predicted.item()] != names[label] or probability.item() < MIN_PROBABILITY:
            continue
        missing[names[label]] -= 1
        classes = list(EXAMPLES_PER_CLASS)
        number = classes.index(names[label]) + len(classes) * missing[names[label]] + 1
        galaxy.image.save(folder / f"{number:02d}-{names[label].replace(' ', '-')}.jpg", quality=88)


if __name__ == "__main__":
    main()
