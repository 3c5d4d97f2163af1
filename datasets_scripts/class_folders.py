"""Build a Hugging Face data set from a zip or folder with one folder of images for each class.

python datasets_scripts/class_folders.py --images images.zip --output_dir galaxy_classes
"""

import argparse
from collections import Counter
from collections.abc import Iterator

from datasets import Features
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.class_names import sorted_names
from galaxy_vision.data.image_folders import check_classes, folder_labels
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.splits import SPLITS, split_with
from galaxy_vision.images.archives import ImageSource


def read_rows(
    images: ImageSource, labels: dict[str, tuple[str | None, str]], class_names: list[str]
) -> Iterator[dict | Dropped]:
    """Yield one row for each image; its id is the stem of its file, or ``class/stem`` if several have the same stem.

    Args:
        images: the images, by ``folder/stem``.
        labels: key -> split (None if no folder names one) and class, from
            :func:`~galaxy_vision.data.image_folders.folder_labels`.
        class_names: all classes, in the order of their labels.
    """
    stem_counts = Counter(key.rpartition("/")[2] for key in images.members)
    missing = {split for split in SPLITS if split not in {split for split, _ in labels.values()}}
    for key in images.members:
        (split, label), stem = labels[key], key.rpartition("/")[2]
        galaxy_id = stem if stem_counts[stem] == 1 else "/".join(filter(None, (split, label, stem)))
        if split == "train":
            split = split_with(galaxy_id, missing)
        try:
            yield {"image": images.read(key), "id": galaxy_id, "label": class_names.index(label), "split": split}
        except ValueError as error:
            yield Dropped(galaxy_id, str(error))
    yield from (Dropped(name, "duplicate id: only the first is kept") for name in images.duplicates)


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    images = ImageSource(args.images, by_folder=True)
    names = list(images.members.values())
    labels = folder_labels(names, args.images)
    check_classes(names, [label for _, label in labels], args.images)
    folder_splits = {split for split, _ in labels} - {None}
    if folder_splits and "train" not in folder_splits:
        raise ValueError(f"{args.images} has folders of the splits {', '.join(sorted(folder_splits))}; it needs train")
    class_names = sorted_names(label for _, label in labels)
    card = Card(args.title, "Galaxy images in class folders; no votes.", args.licence, args.citation)
    if folder_splits:
        origin = "Splits are those of the folders"
        if cut := [split for split in SPLITS if split not in folder_splits]:
            origin += f"; {' and '.join(cut)} {'is' if len(cut) == 1 else 'are'} cut from train by a hash of the id"
        card = card._replace(splits=f"{origin}.")
    rows = read_rows(images, dict(zip(images.members, labels, strict=True)), class_names)
    rows = tqdm(rows, desc="galaxies", total=len(images.members), unit=" images")
    return rows, galaxy_features(class_names, with_votes=False), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument(
        "--images", required=True, help="zip or folder with one folder for each class, also in folders of splits"
    )
    parser.add_argument("--title", default="Galaxies in class folders", help="title of the dataset card")
    parser.add_argument("--licence", default="unknown", help="licence id of the Hub, such as cc-by-4.0")
    parser.add_argument("--citation", default="Cite the source of the images.", help="what the card asks users to cite")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
