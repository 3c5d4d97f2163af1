"""A data set by name -> its splits, with votes and named classes."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, Image, load_dataset, load_dataset_builder, load_from_disk
from datasets.exceptions import DatasetGenerationError
from huggingface_hub import snapshot_download
from PIL import Image as PillowImage

from ..images.decode import read_rgb
from ..images.limits import image_id, is_image, read_file
from ..images.listing import files_in
from .class_names import with_named_labels
from .image_folders import load_image_folder
from .parquet_folders import load_parquet_folder, parquet_files, parquet_names
from .splits import SPLITS, split_name, split_with
from .votes import ID_COLUMNS, with_caption_lists, with_votes_column

_NO_DAMAGE = {"parse", "convert", "cast", "Integer"}
"""Words by which Arrow says that a value has another type than its column."""


def locate_dataset(name: str, num_simulated: int = 2400, seed: int = 0) -> str:
    """The folder of the simulated data set, drawn if it is not there yet; every other name as it is."""
    if name != "simulated":
        return name
    from .simulated import simulated_dataset  # galsim is needed for this only

    return str(simulated_dataset(num_simulated, seed))


def load_galaxies(
    name: str, label_scheme: str | None = None, num_simulated: int = 2400, seed: int = 0, streaming: bool = False
) -> DatasetDict:
    """Load a data set with the splits train, validation and test.

    Args:
        name: ``"simulated"``, a folder written by ``datasets_scripts`` or by ``Dataset.save_to_disk``, a folder of
            Parquet files, of class folders or of images with metadata, or a Hub id.
        label_scheme: classes from the votes by this scheme; None takes the labels that the data set has, else those of
            ``hubble``.
        num_simulated: galaxies of ``"simulated"``.
        seed: of ``"simulated"``.
        streaming: only validation and test, of Parquet files; :class:`~galaxy_vision.data.streaming.TrainingStream`
            reads the rest.

    Raises:
        ValueError: there is no such folder or data set, it has neither labels nor votes, or its rows contradict its
            classes.
    """
    name = locate_dataset(name, num_simulated, seed)
    if Path(name).is_file():  # which the Hub would be asked for, again and again
        raise ValueError(
            f"dataset={name!r} is a file; give the folder that holds it, or the id of a data set on the Hub"
        )
    data = _read(name, streaming)
    renamed = [split_name(split) or split for split in data]
    if twice := [split for split in renamed if renamed.count(split) > 1]:
        raise ValueError(
            f"dataset={name!r} has the splits {', '.join(data)}, of which several mean {twice[0]}; join or rename them"
        )
    data = DatasetDict(dict(zip(renamed, data.values(), strict=True)))
    if "train" not in data and not streaming:
        raise ValueError(f"dataset={name!r} has the splits {', '.join(data)}; it needs train")
    for split, rows in data.items():
        data[split] = _checked(rows, split, name, label_scheme)
    if not streaming:
        return with_all_splits(with_named_labels(data, name))
    if not isinstance(data["test"].features["label"], ClassLabel):
        raise ValueError(
            f"column `label` of dataset={name!r} is not a ClassLabel, which streaming needs; leave --streaming out"
        )
    return data


def _read(name: str, streaming: bool) -> DatasetDict:
    """The splits as they are, with errors in one sentence."""
    folder = Path(name)
    try:
        if streaming:
            files, features, _ = parquet_files(name)
            held_out = {split: files[split] for split in ("validation", "test")}
            return load_dataset("parquet", data_files=held_out, features=features)
        if not folder.is_dir():
            return _read_from_hub(name)
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            saved = load_from_disk(name)
            return saved if isinstance(saved, DatasetDict) else DatasetDict(train=saved)
        return load_parquet_folder(name) if parquet_names(folder) else load_image_folder(folder)
    except (FileNotFoundError, ConnectionError) as error:
        if folder.is_dir():
            reason = (
                "; datasets takes [, ], * and ? in its name for a pattern, so rename it"
                if set(name) & set("[]*?")
                else ""
            )
            raise ValueError(f"dataset={name!r} holds no data files that can be loaded ({error}){reason}") from error
        raise ValueError(f"dataset={name!r} is neither a folder here nor a data set on the Hub ({error})") from error
    except (pa.ArrowInvalid, DatasetGenerationError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):  # such as a full disk
            raise cause from error
        reason = " ".join(str(cause).split())[:300]
        if not isinstance(cause, pa.ArrowInvalid) or _NO_DAMAGE & set(reason.split()):
            raise ValueError(
                f"the files of dataset={name!r} do not fit together ({reason}); give all the same columns"
            ) from error
        raise ValueError(f"dataset={name!r} has a damaged file ({reason}); download it or build it again") from error
    except ValueError as error:
        if "corresponds to no data" in str(error):
            raise ValueError(
                f"dataset={name!r} has a split without rows ({error}); remove its files, and it is cut from train"
            ) from error
        if "Config name is missing" not in str(error):
            raise
        choice = " ".join(str(error).split("Example")[0].split())
        raise ValueError(
            f"dataset={name!r} has several configurations ({choice}); save the one that is meant with "
            "datasets.load_dataset(name, configuration).save_to_disk(folder), and give that folder"
        ) from error


def _read_from_hub(name: str) -> DatasetDict:
    """A folder of images passes through the same hands as a local one."""
    if load_dataset_builder(name).name == "imagefolder":
        folder = Path(snapshot_download(name, repo_type="dataset"))
        if any(is_image(name) for name, _ in files_in(folder)):  # they may lie in zips, which are left to datasets
            return load_image_folder(folder)
    return load_dataset(name)


def _checked(rows: Dataset, split: str, name: str, label_scheme: str | None) -> Dataset:
    """The rows with votes, labels and captions in their columns.

    Raises:
        ValueError: no row, no image, ids that were floats, neither labels nor votes, or votes that cannot be.
    """
    where = f"{split} of dataset={name!r}"
    if not len(rows):
        raise ValueError(f"{where} has no rows; remove it, and it is cut from train")
    if "image" not in rows.column_names:
        raise ValueError(f"{where} has columns {rows.column_names}; it needs `image`")
    for column in ID_COLUMNS:
        if column in rows.column_names and "float" in getattr(rows.features[column], "dtype", ""):
            raise ValueError(
                f"{where}: column `{column}` is of floats, which cannot hold 18 digits; store it as text or int64"
            )
    try:
        rows = with_votes_column(with_caption_lists(rows), label_scheme)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if "label" not in rows.features:
        raise ValueError(f"{where} has columns {rows.column_names}; it needs `label`, `votes` or Galaxy Zoo columns")
    return rows


def _names(rows: Dataset) -> list[str]:
    """What each row is called: its id, else the name of its file, else a hash of its image."""
    if ids := [column for column in ID_COLUMNS if column in rows.column_names]:
        return [str(key) for key in rows[ids[0]]]
    files = rows.select_columns(["image"]).cast_column("image", Image(decode=False))
    images = (row["image"] or {} for row in files)
    return [
        image_id(image["path"])
        if image.get("path")
        else hashlib.blake2b(image.get("bytes") or b"", digest_size=16).hexdigest()
        for image in images
    ]


def with_all_splits(data: DatasetDict) -> DatasetDict:
    """Cut the splits that are missing from the training rows by a hash of the id (or of the row's content)."""
    missing = [split for split in SPLITS if split not in data]
    if not missing:
        return data
    train, places = data["train"], {split: [] for split in SPLITS}
    for place, key in enumerate(_names(train)):
        places[split_with(key, missing)].append(place)
    empty = [split for split in (*missing, "train") if not places[split]]
    if empty:
        raise ValueError(f"{len(train)} rows leave none for {' and '.join(empty)}; use a larger data set")
    return DatasetDict({**data, **{split: train.select(places[split]) for split in [*missing, "train"]}})


def read_image(rows: Dataset, place: int) -> PillowImage.Image:
    """Return the image of a row as models see it, which for FITS and 16-bit files is not what ``datasets`` decodes.

    Raises:
        ValueError: it cannot be read.
    """
    image = rows.select([place]).select_columns(["image"]).cast_column("image", Image(decode=False))[0]["image"]
    return read_rgb(image["bytes"] if image["bytes"] is not None else read_file(image["path"]))


def class_counts(cached: Dataset, num_classes: int) -> np.ndarray:
    """(num_classes,) labelled rows of each class."""
    labels = cached.with_format("arrow")["label"].to_numpy() if len(cached) else np.array([])
    labels = np.array([-1 if k is None or k != k else k for k in labels], dtype=np.int64)
    return np.bincount(labels[labels >= 0], minlength=num_classes)
