"""The columns of the user's table, which come back unchanged in front of ours."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from .rows import Row

SUFFIX = "_given"
"""Of a column of the user whose name one of ours has too, without regard to case."""


class Given(NamedTuple):
    """Which columns of the user's table come back, and under which names.

    Attributes:
        names: in the table of the user.
        schema: of the columns in the output.
    """

    names: list[str]
    schema: pa.Schema

    def beside(self, rows: Sequence[Row], table: pa.Table) -> pa.Table:
        """Return a batch of ours behind the columns of the user."""
        if not self.names:
            return table
        batches = [row.given.select(self.names) for row in rows]
        theirs = pa.Table.from_batches(
            [pa.RecordBatch.from_arrays(batch.columns, self.schema.names) for batch in batches]
        )
        fields = pa.schema([*self.schema, *table.schema])
        return pa.Table.from_arrays([*theirs.columns, *table.columns], schema=fields)


def columns_back(given: pa.Schema | None, ours: Sequence[str], id_column: str | None) -> tuple[Given, list[str]]:
    """Return which columns come back, and notes for the user about those that are renamed or left out.

    A column of ids called ``id`` is not repeated, since ours is its text.

    Args:
        given: schema of the user's table; None where the catalogue has no columns.
        ours: names of our columns.
        id_column: that ids are read from.
    """
    names, fields, notes = [], [], []
    taken = {name.lower() for name in ours}
    for field in given if given is not None else ():
        if field.name == id_column == "id":
            continue
        if given.names.count(field.name) > 1:
            notes.append(f"several columns are called {field.name!r}, and none of them comes back; rename all but one")
            continue
        name = field.name
        while name.lower() in taken:
            name += SUFFIX
        if name != field.name:
            notes.append(f"the column {field.name!r} of the catalogue is {name!r} in the output, beside one of ours")
        taken.add(name.lower())
        names.append(field.name)
        fields.append(field.with_name(name))
    return Given(names, pa.schema(fields)), list(dict.fromkeys(notes))
