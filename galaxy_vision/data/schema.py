"""The columns that every data set has, its splits, and what its card says."""

from typing import NamedTuple

from datasets import ClassLabel, Features, Image, List, Value

from ..captions.writing import NUM_CAPTIONS
from ..models.decision_tree import NUM_ANSWERS


class Dropped(NamedTuple):
    """A row of the source that is not in the data set, and why."""

    id: str
    reason: str


class Card(NamedTuple):
    """What a dataset card says beyond counts.

    Title, text, licence id of the Hub, citation, the command that made it, and how its rows were split.
    """

    title: str
    description: str
    licence: str
    citation: str
    label_scheme: str | None = None
    command: str = ""
    splits: str = "Galaxies are split by a hash of their id, so that adding rows moves none."


def galaxy_features(class_names: list[str], with_votes: bool = True, **source_ids: str) -> Features:
    """The one schema of every source; ``source_ids`` are extra string columns."""
    features = {"image": Image(), "id": Value("string")}
    if with_votes:
        features |= {"votes": List(Value("float32"), length=NUM_ANSWERS), "num_classifications": Value("float32")}
        features |= {"captions": List(Value("string"), length=NUM_CAPTIONS)}
    features |= {"label": ClassLabel(names=class_names)}
    return Features(features | {name: Value(kind) for name, kind in source_ids.items()})
