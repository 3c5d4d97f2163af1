"""Parquet files, of a folder or of the Hub -> splits whose labels mean the same in all files."""

import glob
import re
from itertools import groupby
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    Value,
    concatenate_datasets,
    load_dataset,
    load_dataset_builder,
)
from datasets.fingerprint import Hasher
from pyarrow.dataset import ParquetFragmentScanOptions

from ..images.listing import files_in
from .class_names import label_names
from .image_folders import METADATA
from .splits import SPLITS, split_name
from .votes import ID_COLUMNS, vote_columns

_OURS = {"image", "label", "captions", *ID_COLUMNS}
"""Columns that are used, beside those of votes."""


def parquet_names(folder: Path) -> list[str]:
    """Paths inside a folder of the user's Parquet files; the metadata of images is not one of them."""
    names = [name for name, _ in files_in(folder) if name.endswith(".parquet")]
    return [name for name in names if PurePosixPath(name).name not in METADATA]


def _files_by_split(folder: Path) -> dict[str, list[str]]:
    """The files of each split, by the innermost part of their paths that names one; all are ``train`` where none does.

    Raises:
        ValueError: some files belong to a split and others to none.
    """
    found: dict[str | None, list[str]] = {}
    for name in parquet_names(folder):
        path = PurePosixPath(name)
        split = next(filter(None, map(split_name, (path.stem, *reversed(path.parts[:-1])))), None)
        found.setdefault(split, []).append(glob.escape(str(folder / name)))
    if None in found and len(found) > 1:
        name = Path(found[None][0]).name
        raise ValueError(
            f"dataset={str(folder)!r} has files of the splits {', '.join(filter(None, found))}, and "
            f"{len(found[None])} of none, such as "
            f"{name}; name a split in each file's name, or move the others away"
        )
    return {split or "train": found[split] for split in (*SPLITS, None) if split in found}


def _has_configurations(folder: Path) -> bool:
    """Whether a dataset card says which files make which split."""
    card = folder / "README.md"
    return card.is_file() and re.search(r"^configs:", card.read_text(errors="replace"), re.MULTILINE) is not None


def parquet_builder(name: str):
    """The builder of ``datasets`` for a data set; of a folder without card by our own words for splits."""
    folder = Path(name)
    if folder.is_dir() and not _has_configurations(folder) and parquet_names(folder):
        return load_dataset_builder("parquet", data_files=_files_by_split(folder))
    return load_dataset_builder(name)


def load_parquet_folder(name: str) -> DatasetDict:
    """A folder of Parquet files, with labels as text where the files do not agree on the classes and their order.

    Raises:
        ValueError: a label is not that of a class in its own file, or the files contradict each other.
    """
    builder = parquet_builder(name)
    files = {split: list(found) for split, found in builder.config.data_files.items()}
    labels = label_features(files, name)
    given = (
        {"path": name}
        if _has_configurations(Path(name))
        else {"path": "parquet", "data_files": _files_by_split(Path(name))}
    )
    if all(labels[file] == labels[files["train" if "train" in files else next(iter(files))][0]] for file in labels):
        return _read(**given)
    data = {}
    for split, names in files.items():
        groups = [list(group) for _, group in groupby(names, lambda file: repr(labels[file]))]
        parts = [
            _read(path="parquet", data_files=[glob.escape(file) for file in group], split="train") for group in groups
        ]
        data[split] = concatenate_datasets(
            [
                _with_text(rows, f"{split} of dataset={name!r}, {group[0]}")
                for rows, group in zip(parts, groups, strict=True)
            ]
        )
    return DatasetDict(data)


def label_features(files: dict[str, list[str]], name: str) -> dict[str, object]:
    """File -> what its column ``label`` holds, None if it has none.

    Args:
        files: of each split.
        name: of the data set, for errors.

    Raises:
        ValueError: a file lacks a column of ours that another has, which ``datasets`` would fill with nulls.
        pyarrow.ArrowInvalid: a file is damaged.
    """
    features = {file: Features.from_arrow_schema(pq.read_schema(file)) for names in files.values() for file in names}
    ours = {file: {*_OURS & set(each), *vote_columns(each)} for file, each in features.items()}
    first = next(iter(ours))
    for file, columns in ours.items():
        for lacks, has, missing in ((file, first, ours[first] - columns), (first, file, columns - ours[first])):
            if missing:
                raise ValueError(
                    f"{Path(lacks).name} of dataset={name!r} has no column {min(missing)}, which {Path(has).name} "
                    "has; give all files "
                    "the same columns"
                )
    return {file: each.get("label") for file, each in features.items()}


def _with_text(rows: Dataset, where: str) -> Dataset:
    if "label" not in rows.column_names:
        return rows
    return rows.remove_columns("label").add_column("label", label_names(rows, where), feature=Value("string"))


def _read(**given):
    """As ``load_dataset``, but a few rows at once.

    Else Arrow holds whole files, and its own allocator does not give them back: .9 GB for a file of .4 GB. Data sets of
    the Hub are left as they are: offline, ``datasets`` finds them again only by the arguments that they were loaded
    with.
    """
    options = ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return load_dataset(**given, batch_size=256, fragment_scan_options=options)
    finally:
        pa.set_memory_pool(pool)


def parquet_files(name: str) -> tuple[dict[str, list[str]], Features, str]:
    """Return what a data set is streamed from.

    Its files by split (as patterns that mean these alone), its features, and a fingerprint of the training split.

    Raises:
        ValueError: it is not made of Parquet files, lacks a split, or its files name their classes in different orders.
    """
    builder = parquet_builder(name)
    if builder.name != "parquet":
        raise ValueError(
            f"dataset={name!r} is a data set of {builder.name}; streaming reads Parquet: use a script of "
            "datasets_scripts"
        )
    found = {split_name(split) or split: files for split, files in builder.config.data_files.items()}
    if missing := [split for split in SPLITS if split not in found]:
        raise ValueError(
            f"dataset={name!r} has no split {' and '.join(missing)}, and streaming cannot cut one; leave --streaming "
            "out"
        )
    local = Path(name).is_dir()
    if local:
        labels = label_features(found, name)
        if len({repr(label) for label in labels.values()}) > 1:
            first, *others = labels.items()
            file, label = next(each for each in others if repr(each[1]) != repr(first[1]))
            raise ValueError(
                f"the files of dataset={name!r} have different classes, {_classes(first[1])} in "
                f"{Path(first[0]).name} and "
                f"{_classes(label)} in {Path(file).name}; leave --streaming out, which compares them by name"
            )
    features = builder.info.features
    if features is None and local:
        features = Features.from_arrow_schema(pq.read_schema(found["train"][0]))
    features = features or load_dataset(name, split="train", streaming=True).features
    fingerprint = Hasher.hash([sorted(map(str, found["train"])), found["train"].origin_metadata])
    exact = glob.escape if local else str
    return {split: [exact(file) for file in files] for split, files in found.items()}, features, fingerprint


def _classes(feature) -> str:
    return (
        ", ".join(feature.names[:8])
        if isinstance(feature, ClassLabel)
        else f"labels of type {getattr(feature, 'dtype', 'none')}"
    )
