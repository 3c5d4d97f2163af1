"""Draw ``examples/``: 12 simulated galaxies, every class of the hubble scheme, the same bytes on every run.

Those are taken whose class the trained classifier sees as the simulated volunteers do, and is fairly sure of: they show
the page, they test no model.

python space/draw_examples.py
"""

from pathlib import Path

import torch
from transformers import AutoModelForImageClassification

from galaxy_vision.data.labels import assign_labels, get_scheme
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.simulation.render import simulate_galaxy

SEED = 12
MIN_PETRO_R90 = 11.0  # arcsec
MIN_PROBABILITY = 0.6
WANTED = {
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
    names = [each.name for each in get_scheme("hubble").classes]
    missing, index = dict(WANTED), -1
    while any(missing.values()):
        index += 1
        galaxy = simulate_galaxy(SEED, index)
        label = int(assign_labels(galaxy.votes, "hubble"))
        # Large on the sky, so that its structure is not blurred away.
        if (
            label < 0
            or not missing.get(names[label])
            or galaxy.parameters.artifact != "none"
            or galaxy.parameters.petro_r90 < MIN_PETRO_R90
        ):
            continue
        probability, said = model(**processor(galaxy.image, return_tensors="pt")).logits.softmax(-1).max(-1)
        if model.config.id2label[said.item()] != names[label] or probability.item() < MIN_PROBABILITY:
            continue
        missing[names[label]] -= 1
        place = list(WANTED).index(names[label]) + len(WANTED) * missing[names[label]] + 1
        galaxy.image.save(folder / f"{place:02d}-{names[label].replace(' ', '-')}.jpg", quality=88)


if __name__ == "__main__":
    main()
