"""A zip or folder with one folder of images for each class -> HF data set.

python datasets_scripts/class_folders.py --images images.zip --output_dir galaxy_classes
"""

import argparse
from collections import Counter
from collections.abc import Iterator

from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.dataset_writer import Card, Dropped, builder_parser, galaxy_features, run_builder
from galaxy_vision.images import ImageSource


def read_rows(images: ImageSource, class_names: list[str]) -> Iterator[dict | Dropped]:
    """One row for each image; its file stem is its id, or ``folder/stem`` where several folders have a file of that name."""
    named_so = Counter(key.rpartition("/")[2] for key in images.members)
    for key in images.members:
        folder, _, stem = key.rpartition("/")
        galaxy_id = stem if named_so[stem] == 1 else key
        try:
            yield {"image": images.read(key), "id": galaxy_id, "label": class_names.index(folder)}
        except ValueError as error:
            yield Dropped(galaxy_id, str(error))
    yield from (Dropped(name, "duplicate id: only the first is kept") for name in images.duplicates)


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    images = ImageSource(args.images, by_folder=True)
    class_names = sorted({key.rpartition("/")[0] for key in images.members})
    if class_names[0] == "" or len(class_names) < 2:
        found = ", ".join(filter(None, class_names)) or "none"
        raise ValueError(
            f"{args.images} has images in these folders: {found}; put those of each class into a folder of its name"
        )
    card = Card(args.title, "Galaxy images in class folders; no votes.", args.licence, args.citation)
    rows = tqdm(read_rows(images, class_names), desc="galaxies", total=len(images.members), unit=" images")
    return rows, galaxy_features(class_names, with_votes=False), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, help="zip or folder with one folder for each class")
    parser.add_argument("--title", default="Galaxies in class folders", help="title of the dataset card")
    parser.add_argument("--licence", default="unknown", help="licence id of the Hub, such as cc-by-4.0")
    parser.add_argument("--citation", default="Cite the source of the images.", help="what the card asks users to cite")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
