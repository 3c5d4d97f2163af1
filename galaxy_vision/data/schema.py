"""Columns of a data set, rows that were dropped, and the text of its card."""

from typing import NamedTuple

from datasets import ClassLabel, Features, Image, List, Value

from ..captions.writing import NUM_CAPTIONS
from ..models.trees import Trees
from .campaigns import column_names
from .vote_marks import MARK, is_listed


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
        trees: whose votes these are.
    """

    title: str
    description: str
    licence: str
    citation: str
    label_scheme: str | None = None
    command: str = ""
    splits: str = "Galaxies are split by a hash of their id, so that adding rows does not move any."
    trees: Trees = Trees()


def stored_columns(trees: Trees) -> tuple[str, ...]:
    """Return the column of each answer of these trees; for Galaxy Zoo 2 with the odd features, named by hart16.

    Raises:
        ValueError: two trees have a column of the same name.
    """
    columns = []
    for tree in trees.values():
        answers = (f"{question}_{answer}" for question, answer in tree.answers)
        columns += [column or answer for column, answer in zip(column_names(tree), answers, strict=True)]
    if repeated := [column for column in columns if columns.count(column) > 1]:
        raise ValueError(f"{', '.join(trees)} have the same column {repeated[0]!r}; build a data set for each of them")
    return tuple(columns)


def galaxy_features(
    class_names: list[str], with_votes: bool = True, trees: Trees | None = None, **source_ids: str
) -> Features:
    """Return the schema that all sources share.

    Args:
        class_names: classes in label order.
        with_votes: the rows also have votes, numbers of volunteers and captions.
        trees: whose votes these are. Those of Galaxy Zoo 2 and of the challenge are a list of 37 in the column
            ``votes``, and the column ``vote_campaign`` says whose; without trees there is none. Those of other
            campaigns have a column for each answer, named as in the published tables.
        source_ids: extra columns -> their dtype, such as ``kind="string"``.
    """
    features = {"image": Image(), "id": Value("string")}
    if with_votes:
        if trees is None or is_listed(trees):
            features |= {"votes": List(Value("float32"), length=Trees().num_answers)}
            features |= {} if trees is None else {MARK: Value("string")}
        else:
            features |= {column: Value("float32") for column in stored_columns(trees)}
        features |= {"num_classifications": Value("float32")}
        features |= {"captions": List(Value("string"), length=NUM_CAPTIONS)}
    features |= {"label": ClassLabel(names=class_names)}
    return Features(features | {name: Value(kind) for name, kind in source_ids.items()})
