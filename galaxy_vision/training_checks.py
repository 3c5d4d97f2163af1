"""What must hold before the first step: rows that teach something and can be scored; and which rows those are."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Image, Value

from .captions import claims_from_votes
from .decision_tree import NUM_ANSWERS, QUESTION_SLICES
from .metrics import published_values
from .votes import votes_of


def check_classifier_rows(
    dataset: str, data: dict, class_names: list[str], predict_votes: bool, select_by: str, stream=None
) -> list:
    """Refuse rows of which no classifier can be learned, or by which no epoch can be chosen.

    Args:
        dataset: its name, for messages.
        data: rows by split, those to train on among them unless they are streamed.
        predict_votes: whether votes are to be learned where there are any.
        select_by: validation score of the epoch that is kept.
        stream: :class:`~galaxy_vision.streaming.TrainingStream` of the training rows.

    Returns:
        Whether votes are learned, and lines of doubt to be shown.

    Raises:
        ValueError: a split has no row; a label is none of the classes; votes are negative or infinite; no training row has a label or
            votes; all have one label and there are no votes; or the score that selects the epoch is not defined for the validation rows.
    """
    labels, votes = {}, {}
    for split, rows in data.items():
        if not len(rows):
            raise ValueError(f"dataset={dataset!r} has no row in its {split} split; each of the three splits needs some")
        labels[split] = labels_of(rows)
        check_labels(dataset, split, labels[split], len(class_names))
        votes[split] = _votes_of(rows) if predict_votes else None
    if stream is not None:
        votes["train"] = stream.votes if predict_votes else None
    counts = stream.class_counts if stream else np.bincount(labels["train"][labels["train"] >= 0], minlength=len(class_names))
    rows, doubts = stream.num_rows if stream else len(labels["train"]), []
    voted = votes["train"] is not None and bool(_answered(votes["train"]).any())
    if votes["train"] is not None and not voted:
        doubts.append("the votes of the training rows are all unknown or 0, so votes are not learned")
    if not voted and not counts.any():
        also = "" if votes["train"] is None else " or votes"
        raise ValueError(
            f"none of the {rows} training rows of dataset={dataset!r} has a label{also}, so nothing can be learned; "
            "label some of them, or give another data set"
        )
    if not voted and np.count_nonzero(counts) == 1:
        raise ValueError(
            f"all {counts.sum()} labelled training rows of dataset={dataset!r} are of the class "
            f"{class_names[int(counts.argmax())]!r}, and votes are not learned, so there is nothing to tell apart; "
            "give a data set of two classes or more"
        )
    if not counts.any():
        doubts.append("no training row has a class, so votes alone are learned: the classes that this model names mean nothing")
    judged = votes["validation"] if voted else None
    if not (labels["validation"] >= 0).any() and (judged is None or not _answered(judged).any()):
        raise ValueError(
            f"no row of the validation split of dataset={dataset!r} has a label{' or votes' if voted else ''}, "
            "so no epoch can be chosen; label some of them"
        )
    if select_by != "loss" and not voted:
        raise ValueError(f"select_by={select_by} needs votes, and dataset={dataset!r} has none to learn; use loss")
    if voted and (without := [split for split, known in votes.items() if known is None]):
        raise ValueError(
            f"the {' and '.join(without)} split of dataset={dataset!r} has no votes; give them, or --no_predict_votes"
        )
    known = published_values(judged)[1] if voted else np.zeros((0, NUM_ANSWERS), dtype=bool)
    if select_by == "rmse_37" and not known.all(1).any():
        raise ValueError(
            "select_by=rmse_37 needs rows in which all 37 answers are known, and no row of the validation split of "
            f"dataset={dataset!r} is such; use rmse_known, which is over the answers that are known, or loss"
        )
    if select_by == "rmse_known" and not known.any():
        raise ValueError(
            f"select_by=rmse_known needs votes in the validation split, and that of dataset={dataset!r} has none; use loss"
        )
    return voted, doubts


def check_labels(dataset: str, split: str, labels: np.ndarray, num_classes: int) -> None:
    """Raises ValueError if one of the labels (N,) is neither a class nor -1 for uncertain."""
    if len(wrong := np.flatnonzero((labels < -1) | (labels >= num_classes))):
        raise ValueError(
            f"the {split} split of dataset={dataset!r} has the label {labels[wrong[0]]} in row {wrong[0]}, and its classes are "
            f"0 to {num_classes - 1} (-1 or null where uncertain); name all classes in the features, or mend the rows"
        )


def labels_of(rows: Dataset) -> np.ndarray:
    """(N,) int64 labels, -1 where there is none."""
    column = rows.select_columns(["label"]).with_format("arrow")[:]["label"].combine_chunks()
    return column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _votes_of(rows: Dataset) -> np.ndarray | None:
    if "votes" not in rows.column_names:
        return None
    return votes_of(rows.select_columns(["votes"]).with_format("arrow")[:])


def _answered(votes: np.ndarray) -> np.ndarray:
    """(N, 11) whether a question is known and somebody answered it: what the loss of votes learns from."""
    totals = [votes[:, places].sum(1) for places in QUESTION_SLICES.values()]
    return np.stack(totals, 1) > 0  # NaN is not


def check_captioner_rows(dataset: str, data: dict, num_references: int) -> None:
    """Refuse rows of which no captioner can be learned, or by which no epoch can be chosen.

    Args:
        dataset: its name, for messages.
        data: rows by split, those to train on among them unless they are streamed.
        num_references: captions of a row that are drawn from.

    Raises:
        ValueError: there are no captions, or no votes, by which captions are judged; a row has none, or fewer than are drawn from;
            or the votes of the validation rows claim nothing.
    """
    for split, rows in data.items():
        for column, purpose in (("captions", "are learned"), ("votes", "judge the captions")):
            if column not in rows.column_names:
                raise ValueError(
                    f"dataset={dataset!r} has no {column}, which {purpose}; build one with votes by datasets_scripts"
                )
        kind = getattr(rows.features["captions"], "feature", None)
        if kind not in (Value("string"), Value("large_string")):
            raise ValueError(
                f"column `captions` of dataset={dataset!r} does not hold a list of texts in each row; put each in a list"
            )
        if not len(rows):
            raise ValueError(f"dataset={dataset!r} has no row in its {split} split; each of the three splits needs some")
        captions = rows.select_columns(["captions"]).with_format("arrow")[:]["captions"]
        check_references(dataset, split, captions, num_references if split == "train" else 1)
    wanted = _votes_of(data["validation"])
    if not any(len(claims_from_votes(row)) for row in wanted):
        raise ValueError(
            f"the votes of the validation split of dataset={dataset!r} claim nothing, so claim F1, which selects the epoch, is "
            "not defined; give a data set in which some questions were answered"
        )


def check_references(dataset: str, split: str, captions, num_references: int) -> tuple[int, int]:
    """The fewest and most captions of a row of an Arrow column of lists.

    Raises:
        ValueError: a row has fewer than ``num_references``; training rows have not all as many; one is null.
    """
    lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy()
    if pc.any(pc.is_null(pc.list_flatten(captions))).as_py():
        raise ValueError(f"the {split} split of dataset={dataset!r} has a caption that is null; leave it out of its list")
    check_number_of_captions(dataset, split, fewest := int(lengths.min()), most := int(lengths.max()), num_references)
    return fewest, most


def check_number_of_captions(dataset: str, split: str, fewest: int, most: int, num_references: int) -> None:
    """Raises ValueError if the rows of a split, which have ``fewest`` to ``most`` captions, cannot all be drawn from."""
    if fewest == 0:
        raise ValueError(f"the {split} split of dataset={dataset!r} has a row without captions; leave the row out")
    if fewest < num_references:
        raise ValueError(
            f"num_references={num_references} is more than the {fewest} captions of a row of dataset={dataset!r}; "
            f"give {fewest} or fewer"
        )
    if split == "train" and fewest != most:
        raise ValueError(f"training rows of dataset={dataset!r} have {fewest} to {most} captions; give every row as many")


def split_contents(data: dict) -> dict[str, str]:
    """A digest of each split: of the images as they are stored (files by name and size), labels, votes and captions, in their order.

    The fingerprints of ``datasets`` change with the time at which a cache was written, and those of folders of images hold names and
    times of files only; this changes with what a run learns from or is judged by, and with nothing else.
    """
    return {split: _content(rows) for split, rows in data.items()}


def _content(rows: Dataset) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(getattr(rows.features.get("label"), "names", None)).encode())
    kept = [name for name in ("image", "label", "votes", "captions") if name in rows.column_names]
    rows = rows.select_columns(kept).cast_column("image", Image(decode=False)).with_format("arrow")
    for table in rows.iter(batch_size=1000):
        for image in table["image"].to_pylist():
            digest.update(_stored(image))
        update_content(digest, table)
    return digest.hexdigest()


def update_content(digest, table) -> None:
    """Add labels, votes and captions of an Arrow table, as far as it has them."""
    if "label" in table.column_names:
        digest.update(json.dumps(table["label"].to_pylist()).encode())
    if (votes := votes_of(table)) is not None:
        digest.update(np.nan_to_num(votes, nan=-1.0).tobytes())
    if "captions" in table.column_names:
        digest.update(json.dumps(table["captions"].to_pylist()).encode())


def _stored(image: dict | None) -> bytes:
    if image is None:
        return b"none"
    if image["bytes"] is not None:
        return hashlib.blake2b(image["bytes"], digest_size=16).digest()
    path = Path(image["path"])
    return f"{path.name} {path.stat().st_size if path.is_file() else None}".encode()
