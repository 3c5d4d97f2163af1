"""A search in one call: a sentence, examples, or both, to what was understood and the rows that fit."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..inference.answer_names import distinct
from .catalogue import PredictedCatalogue
from .engine import Engine, Ranked
from .query import Query
from .sentence import read_sentence

APPROXIMATE = "the catalogue is of an older version: probabilities are approximate, from the 90 % intervals"


class Found(NamedTuple):
    """What a search found.

    Attributes:
        query: the sentence as it was understood, without the clauses that are hidden; None without a sentence.
        rows: best first: ``score``, ``probability`` that the whole sentence holds, ``p_{clause}`` of each clause that
            counted, and the columns of the catalogue and of the user's tables but for the embedding.
        parts: number of the part of each row, as the catalogue has them.
        searched: number of rows that were compared.
    """

    query: Query | None
    rows: pd.DataFrame
    parts: np.ndarray
    searched: int


class Finder:
    """A catalogue that is searched.

    Args:
        predictions: folder that ``galaxy-vision predict`` wrote, or a Parquet file made of it.
        campaign: whose votes count; None for the first.
        where: condition in SQL on columns of the catalogue and of the tables.
        tables: of the user (Parquet, CSV, FITS, VOTable), joined by the column ``id``.
        model: that embeds images; None for that which made the catalogue.

    Raises:
        ValueError: the catalogue, a table or the condition cannot be used.
    """

    def __init__(
        self,
        predictions: str | Path,
        campaign: str | None = None,
        where: str | None = None,
        tables: Sequence[str] = (),
        model: str | None = None,
    ):
        self.catalogue, self.campaign, self.model = PredictedCatalogue(predictions), campaign, model
        self.votes = self.catalogue.votes_of(campaign)
        self.is_restricted = where is not None
        self.engine = Engine(self.catalogue, where, tables)

    @cached_property
    def embeddings(self):
        """The embeddings of the catalogue, see :class:`~galaxy_vision.search.examples.Embeddings`."""
        from .examples import Embeddings  # here, since torch takes seconds to import

        return Embeddings(self.catalogue)

    @cached_property
    def embed(self):
        """What embeds an image, see :class:`~galaxy_vision.search.examples.ImageEmbedder`."""
        from .examples import ImageEmbedder

        return ImageEmbedder(self.catalogue, self.model)

    def read(self, sentence: str) -> Query:
        """Read a sentence by what the catalogue has; raise ValueError where nothing of it is understood."""
        query = read_sentence(sentence, self.votes and self.votes.tree, list(self.catalogue.class_columns))
        is_exact = not self.votes or self.votes.has_certainty
        return query if is_exact else query._replace(notes=(*query.notes, APPROXIMATE))

    def find(
        self,
        sentence: str | None = None,
        like: Sequence = (),
        unlike: Sequence = (),
        limit: int = 20,
        hidden: Iterable[int] = (),
    ) -> Found:
        """Return the rows that fit a sentence best, are most similar to examples, or both.

        With both, the sentence admits rows (each clause with a probability of .3 or more), and similarity ranks them.

        Args:
            sentence: see :func:`~galaxy_vision.search.sentence.read_sentence`.
            like: examples, each an image (path, bytes, array or PIL image) or an id of the catalogue.
            unlike: counter-examples.
            limit: number of rows.
            hidden: numbers of the clauses that do not count.

        Raises:
            ValueError: there is neither a sentence nor an example, or one of them cannot be read.
        """
        if not sentence and not len(like) and not len(unlike):
            raise ValueError('give a sentence, such as "a barred spiral", or an example by --like')
        query = self.read(sentence) if sentence else None
        active = query.without(hidden) if query else None
        active = active if active and active.clauses else None
        if not len(like) and not len(unlike):
            if active is None:
                raise ValueError("all clauses of the sentence are switched off; leave one on, or give an example")
            ranked = self.engine.rank(active, self.campaign, limit)
        else:
            ranked = self._similar(active, like, unlike, limit)
        return Found(active, _table(ranked, active), ranked.parts, ranked.searched)

    def _similar(self, query: Query | None, like: Sequence, unlike: Sequence, limit: int) -> Ranked:
        from .examples import direction

        vector = direction([self._vector(example) for example in like], [self._vector(other) for other in unlike])
        if query is None and not self.is_restricted:
            rows, cosines = self.embeddings.nearest(vector, limit)
            located = self.embeddings.files_and_rows(rows)
            found, searched = self.engine.read(located), len(self.embeddings.matrix)
            return Ranked(found, cosines, np.ones(len(rows)), np.empty((len(rows), 0)), located[:, 0], searched)
        similarity = self.embeddings.similarity(vector)
        return self.engine.rank(query, self.campaign, limit, similarity, self.embeddings.starts)

    def _vector(self, example) -> np.ndarray:
        """Return the embedding of an image, or of the row of an id."""
        is_name = isinstance(example, str | Path)
        if not is_name or Path(example).is_file():
            return self.embed(example)
        row = self.engine.row_of(str(example))
        if row is None:
            raise ValueError(f"{str(example)!r} is neither an image file nor an id of the catalogue")
        vector = self.embeddings.matrix[self.embeddings.starts[row[0]] + row[1]].astype(np.float32)
        if not np.isfinite(vector).all():
            raise ValueError(f"{str(example)!r} has no embedding, since its image could not be read; give another id")
        return vector


def _table(ranked: Ranked, query: Query | None) -> pd.DataFrame:
    """Return the rows with what was found out about them in front."""
    columns = {"score": ranked.score.astype(np.float32)}
    if query:
        names = [f"p_{re.sub(r'[^A-Za-z0-9]+', '_', str(clause)).strip('_')}" for clause in query.clauses]
        columns["probability"] = ranked.probability.astype(np.float32)
        columns |= dict(zip(distinct(names), ranked.clauses.T.astype(np.float32), strict=True))
    rows = ranked.rows.drop(columns=[name for name in ranked.rows.columns if name in columns])
    return pd.concat([pd.DataFrame(columns, index=rows.index), rows], axis=1)
