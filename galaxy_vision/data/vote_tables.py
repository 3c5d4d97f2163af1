"""Published tables of votes, CSV or Parquet -> chunks of columns, and votes in the order of the answers of a tree.

Columns are found by name, since tables of one campaign have their answers in different orders.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..images.archives import ImageSource
from ..models.tree import DecisionTree
from ..models.trees import Trees
from .campaigns import column_names, load_campaign
from .csv_tables import ROWS_PER_CHUNK, read_chunks, read_header
from .schema import Dropped
from .splits import split_of, split_of_position
from .votes import votes_of

SPLIT_BY_POSITION = "Galaxies are split by their position on the sky, and by a hash of their id where it is not known."
"""For the card of a data set that :func:`split_at` splits."""


def read_columns(path: str, needed: Sequence[str], give: str) -> list[str]:
    """Return the column names of a CSV or Parquet table.

    Args:
        path: a CSV table, also compressed, or a file ``*.parquet``.
        needed: columns that must be there.
        give: what to give instead of a table that lacks one, for the error.

    Raises:
        ValueError: a column is missing, or the file is not a table.
    """
    if not _is_parquet(path):
        return read_header(path, needed, give)
    names = _open_parquet(path).schema_arrow.names
    if missing := [column for column in needed if column not in names]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; give {give}")
    return names


def read_table(path: str, texts: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV or Parquet table in their order, :data:`~.csv_tables.ROWS_PER_CHUNK` at once.

    Args:
        path: as for :func:`read_columns`.
        texts: columns that become text, such as ids and yes or no (``true``); an empty cell is an empty text.
        numbers: columns that become float64; an empty cell is NaN.

    Raises:
        ValueError: a column of ``texts`` has decimal numbers, or one of ``numbers`` has none.
    """
    if not _is_parquet(path):
        yield from read_chunks(path, [], texts, numbers)
        return
    file = _open_parquet(path)
    try:
        for batch in file.iter_batches(ROWS_PER_CHUNK, columns=[*texts, *numbers]):
            columns = {name: text_column(batch[name], name, path) for name in texts}
            columns |= {name: number_column(batch[name], name, path) for name in numbers}
            yield pd.DataFrame(columns)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}); download it again") from error


def _is_parquet(path: str) -> bool:
    return path.lower().endswith((".parquet", ".pq"))


def _open_parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file ({str(error).splitlines()[0]}); download it again") from error


def text_column(column: pa.Array | pa.ChunkedArray, name: str, where: str) -> list[str]:
    """Return the values of a column as text, without spaces around, empty where there is none.

    Raises:
        ValueError: they are decimal numbers, of which long ids have lost their last digits.
    """
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type):
        raise ValueError(f"{where}, column {name}: holds {column.type} values; export it as text or integers")
    return [str(text).strip() for text in column.cast(pa.string()).fill_null("").to_pylist()]


def number_column(column: pa.Array | pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    """Return the values of a column, (N,) float64, NaN where there is none.

    Raises:
        ValueError: they are not numbers, or one is infinite.
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise ValueError(f"{where}, column {name}: holds {kind} values; export it with numbers")
    values = column.cast(pa.float64(), safe=False)
    values = values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        raise ValueError(f"{where}, column {name}: holds an infinite value; mend or remove its row")
    return values


def plain_names(tree: DecisionTree) -> tuple[str, ...]:
    """Return ``{question}_{answer}`` of each answer without the campaign at the end of questions, such as ``-dr5``.

    Tables on Zenodo, which are of one campaign, have these columns.
    """
    ends = {question.name.rpartition("-")[2] for question in tree.questions}
    end = f"-{ends.pop()}" if len(ends) == 1 else ""
    return tuple(f"{question.removesuffix(end)}_{answer}" for question, answer in tree.answers)


def values_by_name(columns: Mapping[str, np.ndarray], names: Sequence[str | None], tree: DecisionTree) -> np.ndarray:
    """Return the values of columns in the order of the answers of a tree, (N, answers) float64.

    Where a value of an answer is missing, those of its whole question are unknown (NaN).

    Args:
        columns: column -> (N,) values.
        names: the column of each answer; None for one that is unknown.
        tree: of these answers.
    """
    absent = np.full(len(columns[next(filter(None, names))]), np.nan)
    values = np.stack(
        [absent if name is None else np.asarray(columns[name], dtype=np.float64) for name in names], axis=1
    )
    values[np.isnan(tree.totals(values))] = np.nan
    return values


def unknown_questions(names: Sequence[str | None], tree: DecisionTree) -> list[str]:
    """Return the questions of a tree that have an answer without a column, for the column of each answer or None."""
    return [question for question, answers in tree.slices.items() if None in names[answers]]


def counted_votes(table: pa.Table, trees: Trees) -> np.ndarray:
    """Return the votes of a table of the Hub, (N, answers of all trees) float64, NaN where unknown.

    Votes of a campaign that did not show a galaxy are unknown, see :func:`~galaxy_vision.data.votes.votes_of`. Counts
    that do not sum to the total of their question were rounded (``gz_hubble``, ``gz_candels``); fraction x total is
    taken for them, fractions scaled to sum to one.
    """
    votes = votes_of(table, trees)
    for campaign, tree in trees.items():
        names, part = column_names(tree), trees.part(votes, campaign)
        for answers in tree.slices.values():
            if names[answers][0] is None:
                continue
            total = f"{names[answers][0].rpartition('_')[0]}_total-votes"
            fractions = [f"{name}_fraction" for name in names[answers]]
            if not {total, *fractions} <= set(table.column_names):
                continue
            shares = np.stack([number_column(table[name], name, "the table") for name in fractions], axis=1)
            totals = number_column(table[total], total, "the table")
            sums = shares.sum(axis=1)
            rounded = (part[:, answers].sum(axis=1) != totals) & (totals > 0) & (sums > 0)
            rounded &= ~np.isnan(part[:, answers]).any(axis=1)
            part[rounded, answers] = shares[rounded] / sums[rounded, None] * totals[rounded, None]
    return votes


def first_totals(votes: np.ndarray, tree: DecisionTree) -> np.ndarray:
    """Return the number of volunteers who answered the first question, (...,), for votes (..., answers)."""
    return votes[..., tree.slices[tree.first_question.name]].sum(axis=-1)


def expected_votes(fractions: np.ndarray, tree: DecisionTree, number: float) -> np.ndarray:
    """Return the votes that ``number`` volunteers are expected to give: reach x fraction x number, not rounded.

    Args:
        fractions: (..., answers) of those who are asked; NaN where unknown.
        tree: of these answers.
        number: of volunteers.

    Returns:
        (..., answers): 0 for a question that nobody is asked, NaN where the fractions of a question or of those that
        lead to it are unknown.
    """
    return tree.cumulative(tree.conditional(fractions)) * number


def vote_problems(votes: np.ndarray) -> list[str | None]:
    """Return for each row of votes (N, answers) the reason to drop it, or None."""
    reasons: list[str | None] = []
    for row in votes:
        reason = f"votes below 0: {np.nanmin(row):g}" if (row < 0).any() else None
        reasons.append(reason or (None if np.nansum(row) > 0 else "no votes"))
    return reasons


def campaign_notes(campaigns: Iterable[str]) -> str:
    """Return what is known of the votes of campaigns and of their tables, as a Markdown list for a card."""
    return "\n".join(f"* `{campaign}`: {note}." for campaign in campaigns for note in load_campaign(campaign).notes)


def split_at(galaxy_id: str, ra: float | None, dec: float | None) -> str:
    """Return the split of a galaxy by its position in degrees, or by its id where the position is not known."""
    if ra is None or dec is None or not (np.isfinite(ra) and -90 <= dec <= 90):
        return split_of(galaxy_id)
    return split_of_position(ra, dec)


def with_images(sources: Sequence[ImageSource], rows: Iterable[dict | Dropped]) -> Iterator[dict | Dropped]:
    """Yield rows with the bytes of their image, and those without as :class:`Dropped`.

    Args:
        sources: zips and folders of images, the first of which that has an image is read.
        rows: dicts with ``id`` and, in ``names``, the stems that the file may have; or rows that were dropped before.
    """
    for row in rows:
        if isinstance(row, Dropped):
            yield row
            continue
        names = [name for name in row.pop("names") if name]
        if not row["id"]:
            yield Dropped("", "no id")
            continue
        found = [(source, name) for name in names for source in sources if name in source.members]
        if not found:
            yield Dropped(row["id"], "no image")
            continue
        try:
            source, name = found[0]
            yield row | {"image": source.read(name)}
        except ValueError as error:
            yield Dropped(row["id"], str(error))
