"""Build a Hugging Face data set of labelled images from the file of Galaxy10 DECaLS.

python datasets_scripts/galaxy10_decals.py --images Galaxy10_DECals.h5 --output_dir galaxy10_decals
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import Features
from PIL import Image
from tqdm.auto import tqdm

from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.data.schema import Card, Dropped, galaxy_features
from galaxy_vision.data.splits import split_of_position

NUMBERS = {"ra": "float64", "dec": "float64", "redshift": "float32", "pxscale": "float32"}
"""Column -> dtype. `redshift` is NaN where it is unknown, `pxscale` is arcsec per pixel."""
KEYS = ("images", "ans", *NUMBERS)
ROWS_AT_ONCE = 100, 1500
"""Least and largest number of rows in memory. Ours: 20 and 300 MB of pixels, as 256 x 256 x 3 bytes are an image."""
FORMATS = {"png": {}, "jpeg": {"quality": 95}}
"""``--format`` -> settings of Pillow. PNG keeps the pixels of the file, JPEG takes less room."""


def open_file(path: str):
    """Return the open file, with all its keys and shapes checked.

    Raises:
        ValueError: h5py is not installed, or the file is not that of Galaxy10 DECaLS.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path} needs h5py ({error}); pip install 'galaxy_vision[hdf5]'") from error
    try:
        file = h5py.File(path)
    except OSError as error:
        if not Path(path).is_file():
            raise ValueError(f"{path} is not a file; give Galaxy10_DECals.h5 of Zenodo record 10845026") from error
        raise ValueError(f"{path} is not a complete HDF5 file ({error}); download it again") from error
    if missing := [key for key in KEYS if not isinstance(file.get(key), h5py.Dataset)]:
        raise ValueError(
            f"{path} has no {', '.join(missing)}; give Galaxy10_DECals.h5 (Galaxy10 of SDSS has other classes)"
        )
    images, num = file["images"], len(file["ans"])
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"{path} has images of shape {images.shape} and {images.dtype}; they must be (N, H, W, 3) uint8"
        )
    if lengths := {key: file[key].shape for key in KEYS[1:] if file[key].shape != (len(images),)}:
        raise ValueError(f"{path} has {len(images)} images, and {lengths}; download it again")
    if not num:
        raise ValueError(f"{path} has no rows; download it again")
    return file


def encode(pixels: np.ndarray, image_format: str) -> bytes:
    """Return an image file of pixels (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format, **FORMATS[image_format])
    return file.getvalue()


def read_rows(file, num_classes: int, args: argparse.Namespace) -> Iterator[dict | Dropped]:
    """Yield one row for each image, whose id is its number in the file."""
    chunks = file["images"].chunks  # a chunk is decompressed whole, so that fewer rows would decompress it repeatedly
    num = int(np.clip(chunks[0] if chunks else 0, *ROWS_AT_ONCE))
    for start in range(0, len(file["images"]), num):
        try:
            chunk = {key: file[key][start : start + num] for key in KEYS}
        except OSError as error:
            raise ValueError(f"{args.images} is damaged from row {start} on ({error}); download it again") from error
        for offset, (pixels, label) in enumerate(zip(chunk["images"], chunk["ans"], strict=True)):
            galaxy_id = f"galaxy10-{start + offset:05d}"
            if not 0 <= label < num_classes:
                yield Dropped(galaxy_id, f"label outside 0..{num_classes - 1}: {label}")
                continue
            row = {"image": encode(pixels, args.format), "id": galaxy_id, "label": int(label)}
            row |= {name: float(chunk[name][offset]) for name in NUMBERS}
            if args.split_by == "position":
                try:
                    row["split"] = split_of_position(row["ra"], row["dec"])
                except ValueError as error:
                    yield Dropped(galaxy_id, str(error))
                    continue
            yield row


def make(args: argparse.Namespace) -> tuple[Iterator[dict | Dropped], Features, Card]:
    file = open_file(args.images)
    campaign = load_campaign("galaxy10_decals")
    class_names = list(campaign.tree.first_question.answers)
    card = Card(
        "Galaxy10 DECaLS",
        "Legacy Surveys grz images of 256 px, cut out at 512 px of 0.262 arcsec, and one of ten classes, from votes of "
        "Galaxy Zoo 2 and GZ DECaLS; no votes. `id` has the number of the image in the file, `ra` and `dec` are "
        "degrees, `pxscale` is arcsec per pixel. The galaxies also stand in the data sets of these campaigns.",
        "other",
        "Galaxy10 DECaLS of H. Leung and J. Bovy, Zenodo record 10845026; see there for its licence. Cite Lintott et "
        "al. 2011 (MNRAS 410, 166), Walmsley et al. 2022 (MNRAS 509, 3966) and Dey et al. 2019 (AJ 157, 168).",
    )
    if args.split_by == "position":
        card = card._replace(splits="Galaxies are split by their position on the sky, the same in every data set.")
    rows = tqdm(read_rows(file, len(class_names), args), desc="galaxies", total=len(file["ans"]), unit=" images")
    return rows, galaxy_features(class_names, with_votes=False, **NUMBERS), card


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--images", required=True, help="Galaxy10_DECals.h5 of Zenodo record 10845026")
    parser.add_argument("--format", default="png", choices=list(FORMATS), help="png keeps the pixels, jpeg is smaller")
    parser.add_argument(
        "--split_by",
        default="position",
        choices=["position", "id"],
        help="position, since other data sets have the same galaxies under other ids",
    )
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
