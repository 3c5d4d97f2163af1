"""The columns of a prediction: name, type and values of each, in one list."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..models.decision_tree import ANSWERS, QUESTION_SLICES
from ..models.modeling_galaxy_resnet import VoteFractions
from .column_names import probability_columns
from .rows import Row

TEXT, NUMBER = pa.string(), pa.float32()


class Decoded(NamedTuple):
    """What became of the image of a row.

    Attributes:
        squares: (3, size, size) uint8 for each model; None if it could not be read.
        status: ``ok``, ``missing``, ``unreadable`` or ``damaged``.
        error: why it could not be read; None if it could.
        reading: what was done to its pixels, in words.
        doubts: why the answers may mean nothing, separated by semicolons.
    """

    squares: list | None
    status: str
    error: str | None = None
    reading: str = ""
    doubts: str = ""


class Described(NamedTuple):
    """A batch, and what the models say of it; arrays have one row for each of ``rows``.

    Attributes:
        rows: of the catalogue.
        decoded: of each row.
        probabilities: (B, classes).
        votes: fractions of 37 answers with their intervals, and reach; None without votes.
        captions: of each row; None without a captioner.
        features: (B, features); None unless asked for.
    """

    rows: Sequence[Row]
    decoded: Sequence[Decoded]
    probabilities: np.ndarray
    votes: VoteFractions | None = None
    captions: Sequence[str] | None = None
    features: np.ndarray | None = None


class Column(NamedTuple):
    """A column of the output.

    Attributes:
        name: for pandas, astropy and FITS.
        type: of its values.
        values: gives those of a batch.
        is_given: rows whose image could not be read have a value too.
    """

    name: str
    type: pa.DataType
    values: Callable[[Described], Sequence]
    is_given: bool = False


def output_columns(
    class_names: Sequence[str], has_votes: bool, has_captions: bool, num_features: int | None
) -> list[Column]:
    """List the columns: plain numbers and text, votes named as in the published table of Galaxy Zoo 2.

    Args:
        class_names: in the order of the probabilities.
        has_votes: whether votes are predicted.
        has_captions: whether captions are written.
        num_features: of the embedding; None without it.
    """
    names = np.array(class_names, dtype=object)
    columns = [
        Column("id", TEXT, lambda batch: [row.id for row in batch.rows], is_given=True),
        Column("source", TEXT, lambda batch: [row.source for row in batch.rows], is_given=True),
        Column("status", TEXT, lambda batch: [image.status for image in batch.decoded], is_given=True),
        Column("error", TEXT, lambda batch: [image.error for image in batch.decoded], is_given=True),
        Column("reading", TEXT, lambda batch: [image.reading for image in batch.decoded]),
        Column("doubts", TEXT, lambda batch: [image.doubts for image in batch.decoded]),
        Column("class", TEXT, lambda batch: names[batch.probabilities.argmax(1)]),
    ]
    for index, name in enumerate(probability_columns(class_names)):
        columns.append(Column(name, NUMBER, lambda batch, index=index: batch.probabilities[:, index]))
    if has_votes:
        kinds = {"fraction": "conditional", "lower": "lower", "upper": "upper"}
        for index, answer in enumerate(ANSWERS):
            for kind, field in kinds.items():
                columns.append(
                    Column(f"{answer}_{kind}", NUMBER, lambda batch, f=field, i=index: getattr(batch.votes, f)[:, i])
                )
        for question, answers in QUESTION_SLICES.items():
            columns.append(Column(f"{question}_reach", NUMBER, lambda batch, i=answers.start: batch.votes.reach[:, i]))
    if has_captions:
        columns.append(Column("caption", TEXT, lambda batch: np.array(batch.captions, dtype=object)))
    if num_features is not None:
        columns.append(Column("embedding", pa.list_(NUMBER, num_features), lambda batch: list(batch.features)))
    return columns


def as_table(columns: Sequence[Column], batch: Described) -> pa.Table:
    """Return the rows of a batch; numbers of images that could not be read are null.

    Absent text is empty, because astropy cannot read null text.
    """
    failed = np.array([image.squares is None for image in batch.decoded])
    arrays = []
    for column in columns:
        array = pa.array(column.values(batch), column.type, mask=None if column.is_given else failed)
        arrays.append(array.fill_null("") if column.type == TEXT else array)
    return pa.Table.from_arrays(arrays, schema=schema(columns))


def schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of the columns."""
    return pa.schema([(column.name, column.type) for column in columns])
