"""Columns of a data set, rows that were dropped, and the text of its card."""

from typing import NamedTuple

from datasets import ClassLabel, Features, Image, List, Value

from ..captions.writing import NUM_CAPTIONS
from ..models.decision_tree import NUM_ANSWERS


class Dropped(NamedTuple):
    """A row of the source that is not in the data set: its id, and the reason."""

    id: str
    reason: str


class Card(NamedTuple):
    """Text of a dataset card.

    Attributes:
        title: heading of the card.
        description: what the images and columns are.
        licence: id of the licence on the Hub.
        citation: licence and references of the source.
        label_scheme: scheme whose table is printed; None for labels of the source.
        command: command that made the data set.
        splits: how the rows were split.
    """

    title: str
    description: str
    licence: str
    citation: str
    label_scheme: str | None = None
    command: str = ""
    splits: str = "Galaxies are split by a hash of their id, so that adding rows does not move any."


def galaxy_features(class_names: list[str], with_votes: bool = True, **source_ids: str) -> Features:
    """Return the schema that all sources share.

    Args:
        class_names: classes in label order.
        with_votes: the rows also have votes, numbers of volunteers and captions.
        source_ids: extra columns -> their dtype, such as ``kind="string"``.
    """
    features = {"image": Image(), "id": Value("string")}
    if with_votes:
        features |= {"votes": List(Value("float32"), length=NUM_ANSWERS), "num_classifications": Value("float32")}
        features |= {"captions": List(Value("string"), length=NUM_CAPTIONS)}
    features |= {"label": ClassLabel(names=class_names)}
    return Features(features | {name: Value(kind) for name, kind in source_ids.items()})
