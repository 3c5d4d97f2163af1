"""A data set by name -> its splits, with votes and named classes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, concatenate_datasets, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher
from datasets.packaged_modules.parquet.parquet import ParquetConfig
from pyarrow.dataset import ParquetFragmentScanOptions

from .dataset_writer import SPLITS, captions_of, split_of
from .decision_tree import NUM_ANSWERS, hub_columns
from .labels import assign_labels, get_scheme

DEFAULT_SCHEME = "hubble"
MAX_CLASSES = 1000  # a column with more values is no column of classes
_CAMPAIGN_MARK = "smooth-or-featured-"
_SYNONYMS = {"valid": "validation", "val": "validation"}


def locate_dataset(name: str, num_simulated: int = 2400, seed: int = 0) -> str:
    """The folder of the simulated data set, drawn if it is not there yet; every other name as it is."""
    if name != "simulated":
        return name
    from .simulated_dataset import simulated_dataset  # galsim is needed for this only

    return str(simulated_dataset(num_simulated, seed))


def _load(name: str) -> DatasetDict:
    """As ``load_dataset``, but of a folder of Parquet a few rows at once.

    Else Arrow holds whole files, and its own allocator does not give them back: .9 GB for a file of .4 GB. Data sets of the Hub
    are left as they are: offline, ``datasets`` finds them again only by the arguments that they were loaded with.
    """
    if not Path(name).is_dir() or not isinstance(load_dataset_builder(name).config, ParquetConfig):
        return load_dataset(name)
    options = ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return load_dataset(name, batch_size=256, fragment_scan_options=options)
    finally:
        pa.set_memory_pool(pool)


def load_galaxies(
    name: str, label_scheme: str | None = None, num_simulated: int = 2400, seed: int = 0, streaming: bool = False
) -> DatasetDict:
    """Load a data set with the splits train, validation and test.

    Args:
        name: ``"simulated"``, a folder written by ``datasets_scripts``, a folder of class folders, or a Hub id.
        label_scheme: classes from the votes by this scheme; None takes the labels that the data set has, else those of ``hubble``.
        num_simulated: galaxies of ``"simulated"``.
        seed: of ``"simulated"``.
        streaming: only validation and test, of Parquet files; :class:`~galaxy_vision.streaming.TrainingStream` reads the rest.

    Raises:
        ValueError: there is no such folder or data set, or it has neither labels nor votes.
    """
    name = locate_dataset(name, num_simulated, seed)
    folder = Path(name)
    if folder.is_file():  # which the Hub would be asked for, again and again
        raise ValueError(f"dataset={name!r} is a file; give the folder that holds it, or the id of a data set on the Hub")
    try:
        if streaming:
            files, features, _ = parquet_files(name)
            held_out = {split: files[split] for split in ("validation", "test")}
            data = load_dataset("parquet", data_files=held_out, features=features)
        elif folder.is_dir() and not list(folder.rglob("*.parquet")):
            data = load_class_folders(folder)
        else:
            data = _load(name)
    except (FileNotFoundError, ConnectionError) as error:
        if folder.is_dir():
            reason = "; datasets takes [, ], * and ? in its name for a pattern, so rename it" if set(name) & set("[]*?") else ""
            raise ValueError(f"dataset={name!r} holds no data files that can be loaded ({error}){reason}") from error
        raise ValueError(f"dataset={name!r} is neither a folder here nor a data set on the Hub ({error})") from error
    except (pa.ArrowInvalid, DatasetGenerationError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):  # such as a full disk
            raise cause from error
        raise ValueError(f"dataset={name!r} has a damaged file ({cause}); download it or build it again") from error
    if "train" not in data and not streaming:
        raise ValueError(f"dataset={name!r} has the splits {', '.join(data)}; it needs train")
    data = DatasetDict({split: with_votes_column(rows, label_scheme) for split, rows in data.items()})
    for rows in data.values():
        if "label" not in rows.features:
            raise ValueError(
                f"dataset={name!r} has columns {rows.column_names}; it needs `label`, `votes` or Galaxy Zoo columns"
            )
    if not streaming:
        return with_all_splits(with_named_labels(data))
    if not isinstance(data["test"].features["label"], ClassLabel):
        raise ValueError(f"column `label` of dataset={name!r} is no ClassLabel, which streaming needs; leave --streaming out")
    return data


def parquet_files(name: str) -> tuple[dict[str, list[str]], Features, str]:
    """What a data set is read from while it is streamed: its files by split, its features, and a fingerprint of the training split.

    Raises:
        ValueError: it is not made of Parquet files, or lacks a split.
    """
    builder = load_dataset_builder(name)
    if builder.name != "parquet":
        raise ValueError(
            f"dataset={name!r} is a data set of {builder.name}; streaming reads Parquet: use a script of datasets_scripts"
        )
    found = {_SYNONYMS.get(split, split): files for split, files in builder.config.data_files.items()}
    if missing := [split for split in SPLITS if split not in found]:
        raise ValueError(
            f"dataset={name!r} has no split {' and '.join(missing)}, and streaming cannot cut one; leave --streaming out"
        )
    features = builder.info.features or load_dataset(name, split="train", streaming=True).features
    fingerprint = Hasher.hash([sorted(map(str, found["train"])), found["train"].origin_metadata])
    return {split: list(files) for split, files in found.items()}, features, fingerprint


def load_class_folders(folder: Path) -> DatasetDict:
    """An ImageFolder: a folder of class folders, of split folders that hold them, or of images with a ``metadata.csv`` or ``.jsonl``.

    Labels come from the metadata if they are there, otherwise from the folders.

    Raises:
        ValueError: there are neither metadata nor class folders.
    """
    nested = {split for split in (*SPLITS, "valid", "val") if (folder / split).is_dir()}
    roots = [folder / split for split in nested] or [folder]
    classes = sorted({path.name for root in roots for path in root.iterdir() if path.is_dir()})
    if any(folder.rglob("metadata.csv")) or any(folder.rglob("metadata.jsonl")):
        data = load_dataset("imagefolder", data_dir=str(folder))
        known = any(name in ("label", "votes") or name.startswith(_CAMPAIGN_MARK) for name in data["train"].column_names)
        if known or not classes:
            return data
        return DatasetDict(
            {split: rows.add_column("label", [path.parent.name for path in _paths(rows)]) for split, rows in data.items()}
        )
    if not classes:
        raise ValueError(
            f"{folder} holds neither Parquet files, class folders nor metadata.csv; build it with a script of datasets_scripts"
        )
    features = Features({"image": Image(), "label": ClassLabel(names=classes)})
    return load_dataset("imagefolder", data_dir=str(folder), features=features)


def _paths(rows: Dataset) -> list[Path | None]:
    files = rows.select_columns(["image"]).cast_column("image", Image(decode=False))
    return [Path(each["image"]["path"]) if each["image"]["path"] else None for each in files]


def with_named_labels(data: DatasetDict) -> DatasetDict:
    """A ``label`` of strings or integers -> ClassLabel of their sorted names, the same in all splits; integers below 0 are uncertain.

    Raises:
        ValueError: ``label`` is of another type, or has more than :data:`MAX_CLASSES` values.
    """
    feature = data["train"].features["label"]
    if isinstance(feature, ClassLabel):
        return data
    kind = getattr(feature, "dtype", "list")
    if kind not in ("string", "large_string") and not kind.startswith(("int", "uint")):
        raise ValueError(f"column `label` holds {kind} values; it needs names of classes, or integers")
    decided = {
        split: [None if value is None or (kind.startswith("int") and value < 0) else value for value in rows["label"]]
        for split, rows in data.items()
    }
    values = sorted(set().union(*decided.values()) - {None})
    if not 1 <= len(values) <= MAX_CLASSES:
        raise ValueError(f"column `label` has {len(values)} different values; use a data set of 1 to {MAX_CLASSES} classes")
    places = {value: place for place, value in enumerate(values)}
    named = ClassLabel(names=[str(value) for value in values])
    return DatasetDict(
        {
            split: rows.remove_columns("label").add_column("label", [places.get(v) for v in decided[split]], feature=named)
            for split, rows in data.items()
        }
    )


def with_votes_column(rows: Dataset, label_scheme: str | None = None) -> Dataset:
    """Columns of galaxy-datasets (``smooth-or-featured-gz2_smooth`` ...), or ``votes`` without ``label`` or with that of another
    scheme -> ``votes``, ``captions`` and ``label``; others as they are.

    An answer that the table does not have is unknown (NaN), which is not the same as no vote.
    """
    if has_labels(rows.features, label_scheme):
        return rows
    table = rows.select_columns(vote_columns(rows.features)).with_format("arrow")[:]
    return _with_labels(rows, votes_of(table), label_scheme or DEFAULT_SCHEME)


def vote_columns(features: Features) -> list[str]:
    """``["votes"]``, or the columns of galaxy-datasets; none if there are no votes."""
    if "votes" in features:
        return ["votes"]
    marks = [column for column in features if column.startswith(_CAMPAIGN_MARK) and column.endswith("_smooth")]
    known = hub_columns(marks[0][len(_CAMPAIGN_MARK) : -len("_smooth")]) if marks else []
    return [column for column in known if column in features]


def has_labels(features: Features, label_scheme: str | None) -> bool:
    """Whether the column ``label`` is what is wanted; if not, labels are made from the votes."""
    columns, label = vote_columns(features), features.get("label")
    if columns != ["votes"]:
        return not columns
    return label is not None and (label_scheme is None or label == ClassLabel(names=get_scheme(label_scheme).class_names))


def votes_of(table: pa.Table) -> np.ndarray | None:
    """(N, 37) float64 votes of a table, NaN where unknown; None if it has none."""
    if "votes" in table.column_names:
        votes = table["votes"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return votes.astype(np.float64).reshape(len(table), NUM_ANSWERS)
    marks = [column for column in table.column_names if column.startswith(_CAMPAIGN_MARK) and column.endswith("_smooth")]
    if not marks:
        return None
    names = hub_columns(marks[0][len(_CAMPAIGN_MARK) : -len("_smooth")])
    absent = np.full(len(table), np.nan)
    return np.stack([table[name].to_numpy().astype(np.float64) if name in table.column_names else absent for name in names], 1)


def votes_and_labels(table: pa.Table, features: Features, label_scheme: str | None) -> tuple[np.ndarray | None, np.ndarray]:
    """(N, 37) float32 votes (None if there are none) and (N,) labels, -1 where uncertain, of rows with these features."""
    votes = votes_of(table)
    if has_labels(features, label_scheme):
        labels = table["label"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        labels = assign_labels(votes, label_scheme or DEFAULT_SCHEME)
    return None if votes is None else votes.astype(np.float32), labels


def _with_labels(rows: Dataset, votes: np.ndarray, label_scheme: str) -> Dataset:
    scheme = get_scheme(label_scheme)
    labels = assign_labels(votes, label_scheme)
    keep = [column for column in ("image", "id_str", "id") if column in rows.column_names]
    names = rows["id_str"] if "id_str" in rows.column_names else map(str, rows["id"] if "id" in rows.column_names else labels)
    extra = Dataset.from_dict(
        {
            "votes": votes.astype(np.float32),
            "captions": [captions_of(name, each) for name, each in zip(names, votes, strict=True)],
            "label": [None if k < 0 else int(k) for k in labels],
        }
    )
    extra = extra.cast_column("label", ClassLabel(names=scheme.class_names))
    return concatenate_datasets([rows.select_columns(keep), extra], axis=1)


def with_all_splits(data: DatasetDict) -> DatasetDict:
    """Rename the usual synonyms, and cut what is missing from the training rows by a hash of the id (or the row's content)."""
    data = DatasetDict({_SYNONYMS.get(split, split): rows for split, rows in data.items()})
    missing = [split for split in SPLITS if split not in data]
    if not missing:
        return data
    train = data["train"]
    if ids := [column for column in ("id", "id_str") if column in train.column_names]:
        keys = [str(key) for key in train[ids[0]]]
    else:
        keys = [path.stem if path else str(place) for place, path in enumerate(_paths(train))]
    places = {split: [] for split in SPLITS}
    for place, key in enumerate(keys):
        split = split_of(key)
        places[split if split in missing else "train"].append(place)
    empty = [split for split in (*missing, "train") if not places[split]]
    if empty:
        raise ValueError(f"{len(train)} rows leave none for {' and '.join(empty)}; use a larger data set")
    return DatasetDict({**data, **{split: train.select(places[split]) for split in [*missing, "train"]}})


def class_counts(cached: Dataset, num_classes: int) -> np.ndarray:
    """(num_classes,) labelled rows of each class."""
    labels = cached.with_format("arrow")["label"].to_numpy() if len(cached) else np.array([])
    labels = np.array([-1 if k is None or k != k else k for k in labels], dtype=np.int64)
    return np.bincount(labels[labels >= 0], minlength=num_classes)
