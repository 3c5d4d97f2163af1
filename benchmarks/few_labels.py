"""How good a classifier is after 10, 30, 100 and 300 labels of each class: from scratch, from weights, by a probe.

    python benchmarks/few_labels.py --gz2 galaxy_zoo_2 --classes galaxy_zoo_classes --learned galaxy_zoo_challenge \\
        --classes_model runs/simulated --imagenet runs/imagenet --output_dir runs/few_labels

Three sets: four kinds of Galaxy Zoo 2 (smooth, edge-on, barred and other discs by the first letters of gz2_class)
without galaxies that the weights have learned from; simulated galaxies with and without a ring; and class folders, by
weights that were not trained on them (--classes_model; without it that set is left out of all arms but the one from
scratch). Each draw cuts its own half of the images for the test, and draws its labels from the other. The runs are
those of ``galaxy-vision train`` with its defaults; complete ones are not repeated.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Image, concatenate_datasets
from tqdm.auto import tqdm

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.twins import without_twins
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.runtime.shipped import CLASSIFIER
from galaxy_vision.simulation.render import simulate_galaxy
from galaxy_vision.training.rounds import in_rounds
from galaxy_vision.training.train_command import Arguments, train

KINDS = {"E": "smooth", "Se": "edge-on disc", "SB": "barred disc", "S": "disc without bar"}
"""First letters of gz2_class (Willett et al. 2013, MNRAS 435, 2835, table 8) -> kind; the longest that fits."""
MOST_OF_CLASS = 1000
"""Images of a class that are taken. Ours: half of them are a test to .015, and 300 labels can still be drawn."""
RING_SEED = 11
"""Of the simulated galaxies; that of training data sets is 0."""


def gz2_kinds(name: str, learned: list[str]) -> Dataset:
    """Return Galaxy Zoo 2 with ``label`` its kind, without galaxies of the data sets ``learned``."""
    rows = concatenate_datasets(list(load_galaxies(name).values()))
    for other in learned:
        rows = without_twins(rows, concatenate_datasets(list(load_galaxies(other).values())))
    names = list(KINDS.values())
    starts = [
        max((start for start in KINDS if code.startswith(start)), key=len, default="") for code in rows["gz2_class"]
    ]
    kept = [row for row, start in enumerate(starts) if start]
    return with_labels(rows.select(kept), [names.index(KINDS[starts[row]]) for row in kept], names)


def simulated_rings(count: int) -> Dataset:
    """Return ``count`` simulated galaxies with a ring and as many without."""
    images: dict[bool, list[dict]] = {True: [], False: []}
    index = 0
    with tqdm(total=2 * count, desc="simulating rings") as bar:
        while min(map(len, images.values())) < count:
            galaxy = simulate_galaxy(RING_SEED, index)
            index += 1
            of_kind = images[galaxy.parameters.ring_strength > 0]
            if len(of_kind) < count:
                file = io.BytesIO()
                galaxy.image.save(file, "JPEG", quality=90)
                of_kind.append({"bytes": file.getvalue(), "path": None})
                bar.update()
    rows = Dataset.from_dict({"image": images[False] + images[True], "id": [str(row) for row in range(2 * count)]})
    return with_labels(rows.cast_column("image", Image()), [0] * count + [1] * count, ["no ring", "ring"])


def class_folders(name: str) -> Dataset:
    """Return a data set of class folders as a whole."""
    rows = concatenate_datasets(list(load_galaxies(name).values()))
    return with_labels(rows, rows["label"], rows.features["label"].names)


def with_labels(rows: Dataset, labels: list[int], names: list[str]) -> Dataset:
    """Return image, id and label of at most :data:`MOST_OF_CLASS` rows of each class."""
    labels = np.array(labels)
    kept = np.sort(np.concatenate([np.flatnonzero(labels == label)[:MOST_OF_CLASS] for label in range(len(names))]))
    rows = rows.select(kept).select_columns(["image", "id"])
    return rows.add_column("label", labels[kept].tolist(), feature=ClassLabel(names=names))


def halves(rows: Dataset, folder: Path, seed: int) -> Path:
    """Write a half of each class to learn from and another to test, drawn by the seed; return the folder."""
    if not (folder / "test.parquet").is_file():
        rng, labels = np.random.default_rng(seed), np.array(rows["label"])
        parts = [np.array_split(rng.permutation(np.flatnonzero(labels == label)), 2) for label in np.unique(labels)]
        folder.mkdir(parents=True, exist_ok=True)
        for number, split in enumerate(("train", "test")):
            rows.select(np.sort(np.concatenate([part[number] for part in parts]))).to_parquet(
                folder / f"{split}.parquet"
            )
    return folder


def arms(model: str | None, imagenet: str | None, like: str) -> dict[str, dict]:
    """Return name -> arguments that differ of the ways to learn; what starts from scratch sees images as ``like``."""
    classifier, processor = load_classifier(like)
    view = {"image_size": processor.size["height"], "crop_fraction": processor.crop_fraction}
    ways = {"from scratch": {"init_from": None, "backbone": classifier.config.backbone} | view}
    if model:
        ways |= {"ours": {"init_from": model}, "ours, probe": {"init_from": model, "probe": True}}
    if imagenet:
        ways |= {"ImageNet": {"init_from": imagenet}, "ImageNet, probe": {"init_from": imagenet, "probe": True}}
    return ways


def scores(folder: Path, **settings) -> dict:
    """Return the scores of a run, which is trained unless that is done."""
    if not (folder / "metrics.json").is_file():
        args = Arguments(output_dir=str(folder), **settings)
        args.reports = False
        in_rounds(args, train)
    return json.loads((folder / "metrics.json").read_text())["classes"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gz2", help="Galaxy Zoo 2, as datasets_scripts/galaxy_zoo_2.py writes it")
    parser.add_argument("--classes", help="data set of class folders")
    parser.add_argument("--learned", nargs="*", default=[], help="data sets that the weights have learned from")
    parser.add_argument("--model", default=CLASSIFIER, help="trained classifier to start from (%(default)s)")
    parser.add_argument("--classes_model", help="trained classifier that has not seen the class folders")
    parser.add_argument("--imagenet", help="classifier of this package whose backbone has ImageNet weights")
    parser.add_argument("--rings", type=int, default=MOST_OF_CLASS, help="simulated galaxies with a ring (0: none)")
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 30, 100, 300], help="of each class")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--output_dir", required=True)
    args = parser.parse_args(argv)
    folder = Path(args.output_dir)
    sets: dict[str, tuple[Callable[[], Dataset], str | None]] = {}
    if args.gz2:
        sets["GZ2 kinds"] = (lambda: gz2_kinds(args.gz2, args.learned), args.model)
    if args.rings:
        sets["simulated rings"] = (lambda: simulated_rings(args.rings), args.model)
    if args.classes:
        sets["class folders"] = (lambda: class_folders(args.classes), args.classes_model)
    lines = ["| set | labels of each class | way | accuracy | macro F1 |", "|---|---|---|---|---|"]
    for name, (read, model) in sets.items():
        rows = read()
        largest = int(np.bincount(rows["label"]).max()) // 2
        for count in (count for count in args.labels if count <= largest):
            for way, settings in arms(model, args.imagenet, model or args.model).items():
                found = []
                for draw in range(args.draws):
                    data = halves(rows, folder / "data" / f"{name.replace(' ', '_')}-{draw}", draw)
                    run = folder / f"{name}-{count}-{way}-{draw}".replace(" ", "_").replace(",", "")
                    chosen = {"data": str(data), "labels_per_class": count, "seed": draw} | settings
                    found.append(scores(run, **chosen))
                cells = [np.array([score[key] for score in found]) for key in ("accuracy", "macro_f1")]
                shown = " | ".join(f"{values.mean():.3f} +- {values.std(ddof=len(values) > 1):.3f}" for values in cells)
                lines.append(f"| {name} | {count} | {way} | {shown} |")
                tqdm.write(lines[-1])
    print(f"\nmean and standard deviation of {args.draws} draws\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
