"""A catalogue of positions as one of images: cut-outs of a survey, which are fetched ahead of the models."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from ..sky.cutouts import Cutouts
from ..sky.fetching import AT_ONCE, NotFetched
from ..sky.positions import Position, position_columns, positions_of, with_meaning
from .rows import Catalogue, Columns, Row

ROWS_AT_ONCE = 64


def with_cutouts(catalogue: Catalogue, columns: Columns, where: str) -> Catalogue:
    """Return a catalogue whose rows have the cut-outs at their positions as images.

    Args:
        catalogue: a table without images.
        columns: with a survey.
        where: of the table, for errors.

    Raises:
        ValueError: the survey has no cut-outs, or the table no columns of positions or a unit that is not of angles.
    """
    cutouts = Cutouts(columns.survey)
    chosen = position_columns(catalogue.given, (columns.ra, columns.dec, columns.radius), where)
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in catalogue.given], schema=catalogue.given)
    positions_of(empty, chosen)  # here, so that a wrong unit ends the run before the first row
    pool = ThreadPoolExecutor(AT_ONCE, "cutouts")

    def rows(part: int) -> Iterator[Row]:
        found = catalogue.rows(part)
        while some := list(islice(found, ROWS_AT_ONCE)):
            (table,) = pa.Table.from_batches([row.given for row in some]).combine_chunks().to_batches()
            for row, position in zip(some, positions_of(table, chosen), strict=True):
                load = _begun(pool, cutouts, position)
                yield row._replace(load=load, is_cutout=True, is_framed=position.radius is not None)

    given = with_meaning(catalogue.given, chosen)
    return catalogue._replace(rows=rows, given=given, close=lambda: pool.shutdown(wait=False, cancel_futures=True))


def _begun(pool: ThreadPoolExecutor, cutouts: Cutouts, position: Position) -> Callable[[], bytes]:
    """Begin to fetch a cut-out, and return a function that waits for it."""
    if position.problem:

        def refuse() -> bytes:
            raise NotFetched("no_position", position.problem)

        return refuse
    fetched: Future = pool.submit(lambda: cutouts.of(position.ra, position.dec, position.radius).data)
    return fetched.result
