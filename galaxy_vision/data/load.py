"""Load a data set by its name: its splits, with votes and named classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Image,
    concatenate_datasets,
    load_dataset,
    load_dataset_builder,
    load_from_disk,
)
from datasets.exceptions import DatasetGenerationError
from huggingface_hub import snapshot_download
from PIL import Image as PillowImage

from ..images.decode import read_rgb
from ..images.limits import is_image, read_file
from ..images.listing import files_in
from ..models.trees import Trees
from .class_names import with_named_labels
from .image_folders import load_image_folder
from .label_files import is_label_file, load_label_file
from .missing_splits import with_all_splits
from .own_labels import listed, read_own_labels
from .own_tasks import AS_SHOWN, OwnLabels, Task
from .parquet_folders import load_parquet_folder, parquet_files, parquet_names
from .references import ID_COLUMNS, with_caption_lists
from .splits import split_name
from .votes import with_votes_column
from .whose import side_by_side, trees_of_all

_TYPE_WORDS = {"parse", "convert", "cast", "Integer"}
"""Words in messages of Arrow for a value of another type than its column; others are for damaged files."""


class Galaxies(DatasetDict):
    """The splits of a data set.

    Attributes:
        trees: whose votes the column ``votes`` has, side by side; None without votes.
        notes: one line for each data set that does not say whose its votes are, with those that they are taken for; and
            for what was left out of labels of one's own.
        task: what the labels of one's own are; None for classes and votes as our builders write them.
        few: whether the rows are so few that those of validation are learned from too.
    """

    trees: Trees | None = None
    notes: tuple[str, ...] = ()
    task: Task | None = None
    few: bool = False


def locate_dataset(name: str, num_simulated: int = 2400, seed: int = 0, trees: Trees | None = None) -> str:
    """Return the folder of the data set ``"simulated"``, which is drawn if it does not exist; other names unchanged."""
    if name != "simulated":
        return name
    from .simulated import simulated_dataset  # needs galsim

    return str(simulated_dataset(num_simulated, seed, trees))


def load_galaxies(
    name: str,
    label_scheme: str | None = None,
    num_simulated: int = 2400,
    seed: int = 0,
    streaming: bool = False,
    trees: Trees | None = None,
    also: Sequence[str] = (),
    own: OwnLabels = AS_SHOWN,
) -> Galaxies:
    """Load a data set with the splits train, validation and test.

    Args:
        name: ``"simulated"``, a folder written by ``datasets_scripts`` or by ``Dataset.save_to_disk``, a folder of
            Parquet files, of class folders or of images with metadata, a table of paths and labels (CSV, FITS,
            VOTable), a zip of images, or a Hub id.
        label_scheme: scheme that gives classes by votes; None takes the labels of the data set, else the scheme
            ``hubble``.
        num_simulated: number of galaxies of ``"simulated"``.
        seed: seed of ``"simulated"``.
        streaming: load only validation and test, from Parquet files;
            :class:`~galaxy_vision.data.streaming.TrainingStream` reads the training split.
        trees: whose votes are read; None for those of all campaigns that are recognised by their columns, or that the
            column ``vote_campaign`` names. A column ``votes`` that does not say whose they are has those of ``trees``,
            or else of Galaxy Zoo 2.
        also: further data sets, whose training rows are added to those of the first; none of their rows is moved to
            another split, also where they have no others. If they have votes of other campaigns, each row has those of
            its own, and NaN for the others.
        own: how labels of one's own are read.

    Raises:
        ValueError: the folder or data set does not exist, it has neither labels nor votes, it does not have the votes
            that are asked for, its rows contradict its classes, or those of ``also`` have other columns or are held out
            by the first.
    """
    whole = not also  # else one of several data sets may have the votes of a campaign
    located = locate_dataset(name, num_simulated, seed, trees)
    data = _load_splits(located, label_scheme, trees, streaming, whole=whole, own=own)
    others = {
        other: _load_splits(
            locate_dataset(other, trees=trees), label_scheme, trees, cut=False, whole=False, unmarked=data.trees
        )
        for other in also
    }
    side_by_side([data, *others.values()], [name, *also], trees)
    for other, rows in others.items():
        data["train"] = _joined(data, name, rows["train"], other)
        data.notes += rows.notes
    if name == "simulated":  # whose the votes are is known
        data.notes = ()
    return data


def load_training_rows(name: str, label_scheme: str | None = None, trees: Trees | None = None) -> Dataset:
    """Load the training rows of a data set, which are all of its rows if it has no other split.

    Args:
        name: as for :func:`load_galaxies`.
        label_scheme: as for :func:`load_galaxies`.
        trees: as for :func:`load_galaxies`.

    Raises:
        ValueError: as for :func:`load_galaxies`.
    """
    return _load_splits(locate_dataset(name, trees=trees), label_scheme, trees, cut=False)["train"]


def _joined(data: DatasetDict, name: str, rows: Dataset, other: str) -> Dataset:
    """Return the training rows of ``data`` and ``rows``, which are of the data set ``other``."""
    ours = {"image", "label", "captions", "votes", *ID_COLUMNS} & set(data["train"].column_names)
    columns = [column for column in data["train"].column_names if column in rows.column_names]
    kinds = [
        {name: kind for name, kind in some.features.items() if name in columns and name != "votes"}
        for some in (data["train"], rows)
    ]
    if not ours <= set(columns) or kinds[0] != kinds[1]:
        raise ValueError(
            f"also={other!r} has other columns or classes than dataset={name!r}; build both with the same script and "
            "--label_scheme"
        )
    if ids := [column for column in ID_COLUMNS if column in columns]:
        held_out = {str(key) for split, part in data.items() if split != "train" for key in part[ids[0]]}
        if both := [key for key in map(str, rows[ids[0]]) if key in held_out]:
            raise ValueError(
                f"also={other!r} has {len(both)} rows that dataset={name!r} holds out, such as id {both[0]}; remove "
                "them"
            )
    first, rows = data["train"].select_columns(columns), rows.select_columns(columns)
    same = rows.features == first.features  # lists of votes may have a fixed length, or none
    return concatenate_datasets([first, rows if same else rows.cast(first.features)])


def _load_splits(
    name: str,
    label_scheme: str | None,
    trees: Trees | None,
    streaming: bool = False,
    cut: bool = True,
    whole: bool = True,
    unmarked: Trees | None = None,
    own: OwnLabels = AS_SHOWN,
) -> Galaxies:
    """Return the checked splits of a data set.

    Args:
        name: as for :func:`load_galaxies`; so are ``label_scheme``, ``trees`` and ``streaming``.
        cut: cut missing splits from train.
        whole: the data set must have the votes of all ``trees``; otherwise of one of them.
        unmarked: whose votes a column ``votes`` has that does not say it, where ``trees`` do not.
        own: as for :func:`load_galaxies`.
    """
    in_file, dropped = is_label_file(name), []
    if Path(name).is_file() and not in_file:  # else the Hub would be asked for a data set of that name
        raise ValueError(
            f"dataset={name!r} is a file; give the folder that holds it, or the id of a data set on the Hub"
        )
    if in_file:
        data, dropped = load_label_file(name, own.image_root)
    else:
        data = _read(name, streaming, trees)
    renamed = [split_name(split) or split for split in data]
    if repeated := [split for split in renamed if renamed.count(split) > 1]:
        raise ValueError(
            f"dataset={name!r} has the splits {', '.join(data)}, of which several mean {repeated[0]}; "
            "join or rename them"
        )
    data = DatasetDict(dict(zip(renamed, data.values(), strict=True)))
    if "train" not in data and not streaming:
        raise ValueError(f"dataset={name!r} has the splits {', '.join(data)}; it needs train")
    task = None
    if not streaming:
        data, task, trees, left_out = read_own_labels(data, f"dataset={name!r}", in_file, trees, own)
        dropped = [*dropped, *left_out]
    trees, note = trees_of_all(data, name, trees, whole, unmarked)
    note = (*note, *map(listed, dropped))
    for split, rows in data.items():
        data[split] = _with_checked_columns(rows, split, name, label_scheme, trees)
    if not streaming:
        data = data if task is not None and task.names else with_named_labels(data, name)
        by_class = task is not None or "votes" not in data["train"].column_names
        data = Galaxies(with_all_splits(data, by_class) if cut else data)
        data.trees, data.notes, data.task = trees, note, task
        return data
    if not isinstance(data["test"].features["label"], ClassLabel):
        raise ValueError(
            f"column `label` of dataset={name!r} is not a ClassLabel, which streaming needs; leave --streaming out"
        )
    data = Galaxies(data)
    data.trees, data.notes = trees, note
    return data


def _read(name: str, streaming: bool, trees: Trees | None) -> DatasetDict:
    """Return the splits as they are stored, with errors in one sentence."""
    folder = Path(name)
    try:
        if streaming:
            files, features, _ = parquet_files(name)
            held_out = {split: files[split] for split in ("validation", "test")}
            return load_dataset("parquet", data_files=held_out, features=features)
        if not folder.is_dir():
            return _read_from_hub(name, trees)
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            saved = load_from_disk(name)
            return saved if isinstance(saved, DatasetDict) else DatasetDict(train=saved)
        return load_parquet_folder(name, trees) if parquet_names(folder) else load_image_folder(folder, trees)
    except (FileNotFoundError, ConnectionError) as error:
        if folder.is_dir():
            # datasets takes these signs for a pattern.
            remedy = "; rename it without [, ], * and ?" if set(name) & set("[]*?") else ""
            raise ValueError(f"dataset={name!r} has no data files that can be loaded ({error}){remedy}") from error
        raise ValueError(f"dataset={name!r} is neither a folder here nor a data set on the Hub ({error})") from error
    except (pa.ArrowInvalid, DatasetGenerationError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):  # such as a full disk
            raise cause from error
        reason = " ".join(str(cause).split())[:300]
        if not isinstance(cause, pa.ArrowInvalid) or _TYPE_WORDS & set(reason.split()):
            raise ValueError(
                f"the files of dataset={name!r} do not fit together ({reason}); give all files the same columns"
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
            f"dataset={name!r} has several configurations ({choice}); save one of them with "
            "datasets.load_dataset(name, configuration).save_to_disk(folder), and give that folder"
        ) from error


def _read_from_hub(name: str, trees: Trees | None) -> DatasetDict:
    """Load a data set of the Hub; a folder of images is read as a local one is."""
    if load_dataset_builder(name).name == "imagefolder":
        folder = Path(snapshot_download(name, repo_type="dataset"))
        if any(is_image(name) for name, _ in files_in(folder)):  # else they are in zips, which datasets reads
            return load_image_folder(folder, trees)
    return load_dataset(name)


def _with_checked_columns(
    rows: Dataset, split: str, name: str, label_scheme: str | None, trees: Trees | None
) -> Dataset:
    """Return rows with columns of votes, labels and captions.

    Raises:
        ValueError: there are no rows or no images, ids are floats, there are neither labels nor votes, or votes are
            impossible.
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
        rows = with_votes_column(with_caption_lists(rows), label_scheme, trees)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if "label" not in rows.features:
        raise ValueError(f"{where} has columns {rows.column_names}; it needs `label`, `votes` or Galaxy Zoo columns")
    return rows


def read_image(rows: Dataset, row: int) -> PillowImage.Image:
    """Return the image of a row by ``read_rgb``; ``datasets`` would decode FITS and 16-bit files otherwise.

    Args:
        rows: rows with a column ``image``.
        row: its index.

    Raises:
        ValueError: the image cannot be read.
    """
    image = rows.select([row]).select_columns(["image"]).cast_column("image", Image(decode=False))[0]["image"]
    return read_rgb(image["bytes"] if image["bytes"] is not None else read_file(image["path"]))


def class_counts(cached: Dataset, num_classes: int) -> np.ndarray:
    """Return the number of labelled rows of each class, (num_classes,)."""
    labels = cached.with_format("arrow")["label"].to_numpy() if len(cached) else np.array([])
    labels = np.array([-1 if label is None or label != label else label for label in labels], dtype=np.int64)
    return np.bincount(labels[labels >= 0], minlength=num_classes)
