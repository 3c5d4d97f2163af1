"""Write what was found: a table for the terminal, and files that pandas, astropy and TOPCAT read."""

from pathlib import Path

import pandas as pd

from ..runtime.files import written_whole
from .find import Found
from .query import Query

KINDS = (".csv", ".parquet", ".fits", ".vot")
"""Ends of the names of files that can be written."""
_SHOWN = ("id", "class", "caption")
_LONGEST = 60  # characters of a caption in the terminal


def understood(query: Query) -> list[str]:
    """Return lines that say what was understood of a sentence, and what was not."""
    lines = ["understood: " + "; ".join(map(str, query.clauses))]
    if query.unread:
        lines.append("not read: " + " ".join(query.unread))
    return lines + [f"note: {note}" for note in query.notes]


def terminal_table(found: Found) -> str:
    """Return the rows as text: scores, the probability of each clause, and what the galaxy is."""
    rows = found.rows
    numbers = [name for name in rows.columns if name in ("score", "probability") or name.startswith("p_")]
    texts = [name for name in _SHOWN if name in rows.columns]
    shown = rows[list(dict.fromkeys([*texts[:1], *numbers, *texts[1:]]))].copy()
    if "caption" in shown:
        shown["caption"] = [
            caption[: _LONGEST - 3] + "..." if len(caption) > _LONGEST else caption
            for caption in shown["caption"].fillna("")
        ]
    shown.index = range(1, len(shown) + 1)
    return shown.to_string(float_format=lambda value: f"{value:.3f}")


def check_output(path: str) -> None:
    """Check that a file of this name can be written; raise ValueError otherwise."""
    if not path.lower().endswith(KINDS):
        raise ValueError(f"--output {path} does not end with one of {', '.join(KINDS)}")
    if not Path(path).resolve().parent.is_dir():
        raise ValueError(f"--output {path}: the folder does not exist; make it first")


def write_rows(rows: pd.DataFrame, path: Path, about: dict[str, str]) -> None:
    """Write rows as CSV, Parquet, FITS or VOTable, whole or not at all.

    Args:
        rows: with plain columns.
        path: its ending says the format.
        about: what the file says of itself, in its header where the format has one.
    """
    suffix = path.suffix.lower()
    with written_whole(path) as partial:
        if suffix == ".csv":
            rows.to_csv(partial, index=False)
        elif suffix == ".parquet":
            rows.to_parquet(partial, index=False)
        else:
            _as_astropy(rows, about).write(partial, format="fits" if suffix == ".fits" else "votable", overwrite=True)


def _as_astropy(rows: pd.DataFrame, about: dict[str, str]):
    from astropy.table import Table  # here, since it takes a while to import

    is_text = {name: not pd.api.types.is_numeric_dtype(rows[name]) for name in rows.columns}
    columns = {
        name: rows[name].fillna("").astype(str).to_numpy(str) if is_text[name] else rows[name].to_numpy()
        for name in rows.columns
    }
    return Table(columns, meta={key: value.encode("ascii", "replace").decode() for key, value in about.items()})
