"""The columns of a prediction: name, type and values of each, in one list."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..inference.answer_names import published_names
from ..inference.classes import class_doubts
from ..models.losses import MULTI_LABEL, REGRESSION
from ..models.modeling_galaxy_resnet import VoteFractions
from ..models.trees import Trees
from ..sky.about import About, with_about
from .column_names import INTERVAL, OF_QUESTION, number_columns, probability_columns, vote_columns
from .meanings import meaning_of, of_votes
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
        uncertain: (B,) probability that the galaxy has none of the classes; None where the class head decides.
        votes: campaign -> fractions of its answers with their intervals, and reach; empty without votes.
        certainty: campaign -> (B, answers) sum of the Dirichlet concentrations of the question of each answer.
        captions: of each row; None without a captioner.
        features: (B, features); None unless asked for.
        errors: (B, numbers) of a model of numbers, whose values are in ``probabilities``; None for others.
    """

    rows: Sequence[Row]
    decoded: Sequence[Decoded]
    probabilities: np.ndarray
    uncertain: np.ndarray | None = None
    votes: Mapping[str, VoteFractions] = MappingProxyType({})
    certainty: Mapping[str, np.ndarray] = MappingProxyType({})
    captions: Sequence[str] | None = None
    features: np.ndarray | None = None
    errors: np.ndarray | None = None


class Column(NamedTuple):
    """A column of the output.

    Attributes:
        name: for pandas, astropy and FITS.
        type: of its values.
        values: gives those of a batch.
        is_given: rows whose image could not be read have a value too.
        about: what it means; None where its name says it.
    """

    name: str
    type: pa.DataType
    values: Callable[[Described], Sequence]
    is_given: bool = False
    about: About | None = None


def output_columns(
    class_names: Sequence[str],
    trees: Trees | None,
    has_captions: bool,
    num_features: int | None,
    has_uncertain: bool = False,
    problem: str | None = None,
) -> list[Column]:
    """List the columns: plain numbers and text, votes named as in the published tables of their campaigns.

    Args:
        class_names: in the order of the probabilities.
        trees: whose votes are predicted; None without votes.
        has_captions: whether captions are written.
        num_features: of the embedding; None without it.
        has_uncertain: whether classes follow from votes, so that a galaxy may have none.
        problem: of the model; several labels have a probability each and no class, and numbers a mean and a standard
            error.
    """
    names = np.array(class_names, dtype=object)
    columns = [
        Column("id", TEXT, lambda batch: [row.id for row in batch.rows], is_given=True),
        Column("source", TEXT, lambda batch: [row.source for row in batch.rows], is_given=True),
        Column("status", TEXT, lambda batch: [image.status for image in batch.decoded], is_given=True),
        Column("error", TEXT, lambda batch: [image.error for image in batch.decoded], is_given=True),
        Column("reading", TEXT, lambda batch: [image.reading for image in batch.decoded]),
        Column("doubts", TEXT, _doubts),
    ]
    if problem not in (MULTI_LABEL, REGRESSION):
        columns.append(Column("class", TEXT, lambda batch: names[batch.probabilities.argmax(1)]))
    for index, name in enumerate(answer_columns(class_names, problem)):
        columns.append(Column(name, NUMBER, lambda batch, index=index: batch.probabilities[:, index]))
        if problem == REGRESSION:
            columns.append(Column(f"{name}_error", NUMBER, lambda batch, index=index: _error(batch, index)))
    if has_uncertain:
        columns.append(Column("uncertain", NUMBER, lambda batch: batch.uncertain))
    more = []
    if has_captions:
        more.append(Column("caption", TEXT, lambda batch: np.array(batch.captions, dtype=object)))
    if num_features is not None:
        more.append(Column("embedding", pa.list_(NUMBER, num_features), lambda batch: list(batch.features)))
    if trees is not None:
        columns += _of_votes(trees, [column.name for column in columns + more])
    return columns + more


def answer_columns(class_names: Sequence[str], problem: str | None) -> list[str]:
    """Return the columns of probabilities or numbers, in the order of the outputs of a model of this problem."""
    return number_columns(class_names) if problem == REGRESSION else probability_columns(class_names)


def _error(batch: Described, index: int) -> Sequence:
    return [None] * len(batch.rows) if batch.errors is None else batch.errors[:, index]


def _doubts(batch: Described) -> list[str]:
    """Return the doubts of each image, and of a class that is a guess."""
    uncertain = [None] * len(batch.rows) if batch.uncertain is None else batch.uncertain
    return [
        "; ".join(filter(None, [image.doubts, *map(str, class_doubts(share))]))
        for image, share in zip(batch.decoded, uncertain, strict=True)
    ]


def _of_votes(trees: Trees, taken: Sequence[str]) -> list[Column]:
    """List the columns of votes, beside those of the names ``taken``."""
    columns = []
    for campaign, names in vote_columns(trees, taken).items():
        tree = trees[campaign]
        values = [(field, index) for index in range(len(tree.answers)) for field in ("conditional", "lower", "upper")]
        values += [(field, answers.start) for field in OF_QUESTION for answers in tree.slices.values()]
        published = [*(answer for answer in published_names(tree) for _ in INTERVAL)]
        published += [question.name for _ in OF_QUESTION for question in tree.questions]
        for name, meant, (field, index) in zip(names, published, values, strict=True):

            def of_batch(batch: Described, campaign=campaign, field=field, index=index) -> np.ndarray:
                if field == "certainty":
                    return batch.certainty[campaign][:, index]
                return getattr(batch.votes[campaign], field)[:, index]

            columns.append(Column(name, NUMBER, of_batch, about=of_votes(field, meant, campaign)))
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
    """Return the Arrow schema of the columns, whose fields say what they mean."""
    return pa.schema(
        [with_about(pa.field(column.name, column.type), column.about or meaning_of(column.name)) for column in columns]
    )
