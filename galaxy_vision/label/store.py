"""The file of labels: a CSV table to which every label is added at once, also by several people at the same time.

A row is written whole or not at all, and only by who holds the lock beside the file, so that a kill loses nothing and
nobody overwrites the rows of another. Rows and columns that others have written stay as they are.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from ..data.csv_tables import open_table
from ..runtime.files import written_whole

COLUMNS = ("path", "label", "labeller", "time", "score_of", "score")
"""Of a new file: the image, relative to the folder of the file where it lies in or below it; the label; by whom; when,
in UTC; and the class and its probability by which the galaxy came up, empty before the model has learned."""

WAIT = 30.0
"""Seconds to wait for somebody else who writes. Ours: a row takes milliseconds."""


class Labels:
    """The labels of a CSV file, those of other people too.

    Attributes:
        path: of the file.
        rows: of the file when it was last read or written, a dict of the columns for each.
    """

    def __init__(self, path: Path, labeller: str):
        """Read the file, if there is one.

        Args:
            path: of the file, whose folder is made.
            labeller: written beside each label.

        Raises:
            ValueError: the file is not a CSV table with the columns ``path`` and ``label``.
            OSError: the folder cannot be made.
        """
        self.path, self.labeller = Path(path), labeller
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, str]] = []
        self._columns = list(COLUMNS)
        self._read()

    def add(self, path: str, label: str, score_of: str = "", score: float | None = None) -> dict[str, str]:
        """Write a label, and return its row; afterwards ``rows`` has those of others too.

        Raises:
            ValueError: the file has become something else.
            OSError: it cannot be written, or is locked for longer than :data:`WAIT`.
        """
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        shown = "" if score is None else f"{score:.4f}"
        row = dict(zip(COLUMNS, (path, label, self.labeller, time, score_of, shown), strict=True))
        with self._alone():
            self.rows.append(row)
            self._write()
        return row

    def remove(self, row: dict[str, str]) -> None:
        """Take back a row of one's own; nothing is changed where the file no longer has it.

        Raises:
            ValueError: the file has become something else.
            OSError: as :meth:`add`.
        """
        with self._alone():
            wanted = {name: row[name] for name in COLUMNS[:4]}
            kept = [known for known in self.rows if {name: known.get(name) for name in wanted} != wanted]
            if len(kept) < len(self.rows):
                self.rows = kept
                self._write()

    def refresh(self) -> None:
        """Read what others have written; raise ValueError where the file has become something else."""
        self._read()

    def counts(self) -> Counter:
        """Return the number of rows of each label, in the order in which labels first occur."""
        return Counter(row["label"] for row in self.rows if row["label"])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=WAIT):
                before = self.rows
                self._read()
                try:
                    yield
                except OSError:
                    self.rows = before  # what could not be written is not among the labels
                    raise
        except Timeout as error:
            raise OSError(f"{self.path} is locked by another program for {WAIT:.0f} s; end it, or wait") from error

    def _read(self) -> None:
        if not self.path.exists():
            self.rows, self._columns = [], list(COLUMNS)
            return
        with open_table(str(self.path)) as table:
            missing = [name for name in ("path", "label") if name not in table.names]
            if missing or len(set(table.names)) < len(table.names):
                problem = f"has no column {missing[0]!r}" if missing else "has a column twice"
                raise ValueError(f"out={self.path} {problem}; give another file, or the labels of an earlier run")
            self._columns = [*table.names, *(name for name in COLUMNS if name not in table.names)]
            self.rows = [dict(zip(table.names, cells, strict=True)) for _, cells in table.rows]

    def _write(self) -> None:
        with written_whole(self.path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
