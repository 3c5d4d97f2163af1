"""Load Parquet files of a folder or of the Hub as splits whose labels mean the same in all files."""

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
from ..models.trees import Trees
from .class_names import label_names
from .image_folders import METADATA
from .references import ID_COLUMNS
from .splits import SPLITS, split_name
from .vote_marks import MARK
from .votes import vote_columns

_OURS = {"image", "label", "captions", MARK, *ID_COLUMNS}
"""Columns that this package reads, besides those of votes."""


def parquet_names(folder: Path) -> list[str]:
    """Return the paths, relative to a folder, of its Parquet files without those of metadata of images."""
    names = [name for name, _ in files_in(folder) if name.endswith(".parquet")]
    return [name for name in names if PurePosixPath(name).name not in METADATA]


def _files_by_split(folder: Path) -> dict[str, list[str]]:
    """Return the files of each split, by the innermost part of their paths that names one; ``train`` if none does.

    Raises:
        ValueError: some paths name a split, and others do not.
    """
    files: dict[str | None, list[str]] = {}
    for name in parquet_names(folder):
        path = PurePosixPath(name)
        split = next(filter(None, map(split_name, (path.stem, *reversed(path.parts[:-1])))), None)
        files.setdefault(split, []).append(glob.escape(str(folder / name)))
    if None in files and len(files) > 1:
        name = Path(files[None][0]).name
        raise ValueError(
            f"dataset={str(folder)!r} has files of the splits {', '.join(filter(None, files))}, and "
            f"{len(files[None])} of none, such as {name}; name a split in each file's name, or move the others away"
        )
    return {split or "train": files[split] for split in (*SPLITS, None) if split in files}


def _has_configurations(folder: Path) -> bool:
    """Return whether a folder has a dataset card that assigns files to splits."""
    card = folder / "README.md"
    return card.is_file() and re.search(r"^configs:", card.read_text(errors="replace"), re.MULTILINE) is not None


def parquet_builder(name: str):
    """Return the builder of ``datasets`` for a data set; :mod:`.splits` finds the splits of a folder without card."""
    folder = Path(name)
    if folder.is_dir() and not _has_configurations(folder) and parquet_names(folder):
        return load_dataset_builder("parquet", data_files=_files_by_split(folder))
    return load_dataset_builder(name)


def load_parquet_folder(name: str, trees: Trees | None = None) -> DatasetDict:
    """Load a folder of Parquet files; labels become text if the files do not have the same classes in the same order.

    Raises:
        ValueError: a label is not one of the classes of its file, or the files contradict each other.
    """
    builder = parquet_builder(name)
    files = {split: list(paths) for split, paths in builder.config.data_files.items()}
    labels = label_features(files, name, trees)
    first = files["train" if "train" in files else next(iter(files))][0]
    if all(feature == labels[first] for feature in labels.values()):
        if _has_configurations(Path(name)):
            return _read(path=name)
        return _read(path="parquet", data_files=_files_by_split(Path(name)))
    data = {}
    for split, paths in files.items():
        groups = []
        for _, group in groupby(paths, lambda path: repr(labels[path])):
            same_classes = list(group)
            rows = _read(path="parquet", data_files=list(map(glob.escape, same_classes)), split="train")
            groups.append(_with_text(rows, f"{split} of dataset={name!r}, {same_classes[0]}"))
        data[split] = concatenate_datasets(groups)
    return DatasetDict(data)


def label_features(files: dict[str, list[str]], name: str, trees: Trees | None = None) -> dict[str, object]:
    """Return the feature of the column ``label`` of each file, None for a file without it.

    Args:
        files: files of each split.
        name: name of the data set, for errors.
        trees: whose votes are read; None for those that are recognised.

    Raises:
        ValueError: a file lacks a column of ours that another file has; ``datasets`` would fill it with nulls.
        pyarrow.ArrowInvalid: a file is damaged.
    """
    features = {path: Features.from_arrow_schema(pq.read_schema(path)) for paths in files.values() for path in paths}
    used = {path: {*_OURS & set(columns), *vote_columns(columns, trees)} for path, columns in features.items()}
    first = next(iter(used))
    for path, columns in used.items():
        for lacks, has, missing in ((path, first, used[first] - columns), (first, path, columns - used[first])):
            if missing:
                raise ValueError(
                    f"{Path(lacks).name} of dataset={name!r} has no column {min(missing)}, which {Path(has).name} "
                    "has; give all files the same columns"
                )
    return {path: columns.get("label") for path, columns in features.items()}


def _with_text(rows: Dataset, where: str) -> Dataset:
    if "label" not in rows.column_names:
        return rows
    return rows.remove_columns("label").add_column("label", label_names(rows, where), feature=Value("string"))


def _read(**arguments):
    """Load local files as ``load_dataset`` does, but a few rows at once.

    Otherwise Arrow holds whole files in memory, and its allocator does not free them: .9 GB for a file of .4 GB. Data
    sets of the Hub are not loaded in this way, since ``datasets`` finds them offline only by the same arguments.
    """
    options = ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return load_dataset(**arguments, batch_size=256, fragment_scan_options=options)
    finally:
        pa.set_memory_pool(pool)


def parquet_files(name: str) -> tuple[dict[str, list[str]], Features, str]:
    """Return what is needed to stream a data set of Parquet files.

    Returns:
        The files of each split, as patterns that fit these files only; the features; and a fingerprint of the training
        split.

    Raises:
        ValueError: the data set does not consist of Parquet files, lacks a split, or its files have different classes
            or different orders of classes.
    """
    builder = parquet_builder(name)
    if builder.name != "parquet":
        raise ValueError(
            f"dataset={name!r} is a data set of {builder.name}; streaming reads Parquet: use a script of "
            "datasets_scripts"
        )
    files = {split_name(split) or split: paths for split, paths in builder.config.data_files.items()}
    if missing := [split for split in SPLITS if split not in files]:
        raise ValueError(
            f"dataset={name!r} has no split {' and '.join(missing)}, and streaming cannot cut one; leave --streaming "
            "out"
        )
    local = Path(name).is_dir()
    if local:
        labels = label_features(files, name)
        (first, expected), *others = labels.items()
        for path, label in others:
            if repr(label) != repr(expected):
                raise ValueError(
                    f"the files of dataset={name!r} have different classes, {_classes(expected)} in "
                    f"{Path(first).name} and {_classes(label)} in {Path(path).name}; leave --streaming out, so that "
                    "they are compared by name"
                )
    features = builder.info.features
    if features is None and local:
        features = Features.from_arrow_schema(pq.read_schema(files["train"][0]))
    features = features or load_dataset(name, split="train", streaming=True).features
    fingerprint = Hasher.hash([sorted(map(str, files["train"])), files["train"].origin_metadata])
    as_pattern = glob.escape if local else str
    return {split: list(map(as_pattern, paths)) for split, paths in files.items()}, features, fingerprint


def _classes(feature) -> str:
    if isinstance(feature, ClassLabel):
        return ", ".join(feature.names[:8])
    return f"labels of type {getattr(feature, 'dtype', 'none')}"
