"""Tables of the user beside a catalogue in DuckDB, joined by the id of the galaxies."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .catalogue import PredictedCatalogue

KINDS = (".parquet", ".csv", ".csv.gz", ".tsv", ".fits", ".fit", ".vot", ".xml", ".ecsv")
"""Ends of the names of files that can be read."""


def join_table(connection, number: int, path: str, catalogue: PredictedCatalogue) -> str:
    """Make a view ``table_{number}`` of a table, with columns that the catalogue lacks, and return how it is joined.

    Args:
        connection: of DuckDB.
        number: of the table.
        path: of its file.
        catalogue: to which it is joined.

    Raises:
        ValueError: it cannot be read, or has no ids that occur once.
    """
    name, taken = f"table_{number}", {column.lower() for column in catalogue.schema.names}
    if not Path(path).is_file() or not path.lower().endswith(KINDS):
        raise ValueError(f"with={path} is not a file that ends with {', '.join(KINDS)}")
    if "id" not in catalogue.schema.names:
        raise ValueError(f"{catalogue.path} has no column 'id', by which with={path} could be joined; leave it out")
    try:
        if path.lower().endswith(".parquet"):
            connection.execute(f"CREATE VIEW {name}_read AS SELECT * FROM read_parquet({texts([path])})")
        else:
            connection.register(f"{name}_read", _table(path))
        known = [column for column, *_ in connection.execute(f"DESCRIBE {name}_read").fetchall()]
    except Exception as error:  # readers of tables raise whatever they like
        raise ValueError(f"with={path} cannot be read ({str(error).splitlines()[0]}); write it again") from error
    if "id" not in known:
        raise ValueError(f"with={path} has no column 'id' but {', '.join(known[:8])}; rename that of the ids")
    twice = f"SELECT id FROM {name}_read GROUP BY id HAVING count(*) > 1 LIMIT 1"
    if repeated := connection.execute(twice).fetchall():
        raise ValueError(f"with={path} has the id {repeated[0][0]!r} more than once; keep one row of it")
    own = ["CAST(id AS VARCHAR) AS id_" + name, *(quoted(column) for column in known if column.lower() not in taken)]
    connection.execute(f"CREATE VIEW {name} AS SELECT {', '.join(own)} FROM {name}_read")
    return f"LEFT JOIN {name} ON CAST(predicted.id AS VARCHAR) = {name}.id_{name}"


def _table(path: str) -> pd.DataFrame:
    """Return a table; ids of CSV as text, since a float would lose their last digits."""
    if path.lower().endswith((".csv", ".csv.gz", ".tsv")):
        return pd.read_csv(path, sep=None, engine="python", dtype={"id": str})
    from astropy.table import Table  # here, since it takes a while to import

    return Table.read(path).to_pandas()


def quoted(name: str) -> str:
    """Return a name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def texts(values: Sequence) -> str:
    """Return a list of texts in SQL."""
    return "[" + ", ".join("'" + str(value).replace("'", "''") + "'" for value in values) + "]"
