"""One person labels a catalogue: what is shown, what was answered, and the model that learns beside it.

A thread of the session embeds the galaxies of the catalogue in random order and, every few labels, fits a probe to all
labels of the file, those of other people too. Answers never wait for it.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from ..images.framing import AUTO, Frame
from ..inference.embeddings import Embedder
from .galaxies import Galaxies
from .learner import Learner
from .queue import likeliest_first, next_to_label
from .store import Labels

AT_ONCE = 32
"""Galaxies that are embedded before the thread looks whether it is to fit."""

PLANNED, PRELOADED = 24, 4
"""Galaxies that are chosen at once, and those of them that the page loads before they are shown."""

POLL = 3.0
"""Seconds between two looks at what others have labelled, and at a folder without images."""

MOST_LABELS, LONGEST_LABEL = 9, 60
"""Keys 1 to 9, and characters of a name. Ours."""


class Session:
    """What one page shows and does.

    Attributes:
        labels: the file.
        names: of the labels, in the order of their keys.
        find: the label that is looked for; None where the galaxies that teach most are shown.
        galaxies: of the catalogue.
        learner: what the model knows of them.
        notes: sentences for the page.
    """

    def __init__(
        self,
        labels: Labels,
        embedder: Embedder,
        open_galaxies: Callable[[], Galaxies | None],
        names: Sequence[str] = (),
        find: str | None = None,
        examples: Sequence[bytes] = (),
        refit: int = 5,
        frame: Frame = AUTO,
        second_opinion: bool = False,
        seed: int = 0,
    ):
        """Open the catalogue.

        Args:
            labels: the file.
            embedder: computes embeddings.
            open_galaxies: returns the galaxies, or None while there are none yet.
            names: of labels; those of the file follow.
            find: the label that is looked for.
            examples: image files of what is looked for.
            refit: labels after which the model learns again.
            frame: how galaxies are framed for the page.
            second_opinion: also show galaxies that others have labelled.
            seed: of what is shown before the model has learned.

        Raises:
            ValueError: a name cannot be a label, there are too many, or an example cannot be read.
        """
        self.labels, self.find, self.refit, self.frame = labels, find, refit, frame
        self._embedder, self._open_galaxies, self._seed = embedder, open_galaxies, seed
        self._second_opinion = second_opinion
        self.names: list[str] = []
        for name in [*names, *(name for name in labels.counts() if name not in names)]:
            self.add_name(name)
        if find is not None and find not in self.names:
            raise ValueError(f"find={find!r} is not one of the labels {', '.join(self.names)}; name it there too")
        vectors = embedder(list(examples)) if examples else []
        if broken := next((vector for vector in vectors if isinstance(vector, ValueError)), None):
            raise ValueError(f"like: {broken}")
        self._examples = np.array(vectors, np.float32).reshape(-1, embedder.size)
        self._lock, self._wake, self._stopped = threading.RLock(), threading.Event(), False
        self._take(open_galaxies())

    def _take(self, galaxies: Galaxies | None) -> None:
        """Begin with the galaxies of the catalogue; with none, wait for them."""
        self.galaxies = galaxies or []
        self.notes: list[str] = list(getattr(galaxies, "notes", ()))
        self.learner = Learner(self.galaxies, self._embedder, self._seed)
        self._index_of = {galaxy.path: index for index, galaxy in enumerate(self.galaxies)}
        self._skipped: dict[int, None] = {}
        self._plan: list[int] = []
        self._scores: dict[int, tuple[str, float]] = {}  # by which galaxies of the plan were chosen
        self._fitted = 0  # labels that the model has learned from
        own = [row for row in self.labels.rows if row.get("labeller") == self.labels.labeller]
        self.history = [(index, row, None) for row in own if (index := self._index_of.get(row["path"])) is not None]

    # ---- what the page asks for

    def state(self, showing: int | None = None) -> dict:
        """Return what the page shows beside the image, and the numbers of the galaxies that come next.

        Args:
            showing: galaxy that the page shows already, which is not named again.
        """
        with self._lock:
            counts, judged = self.labels.counts(), [(row["label"], guess) for _, row, guess in self.history if guess]
            is_broken, labelled = self.learner.is_broken, self._labelled()
            return {
                "labels": [{"name": name, "count": counts[name]} for name in self.names],
                "labelled": len({index for index, _ in labelled}),
                "total": len(self.galaxies),
                "known": int((self.learner.is_known | is_broken).sum()),
                "broken": int(is_broken.sum()),
                "next": self._next(showing),
                "last": [
                    {"galaxy": index, "label": row["label"], "guess": guess} for index, row, guess in self.history[-6:]
                ],
                "agreed": sum(label == guess for label, guess in judged),
                "judged": len(judged),
                "until": max(self.refit - abs(len(labelled) - self._fitted), 0),
                "learned": self.learner.probabilities is not None,
                "find": self.find,
                "crop": self._embedder.processor.crop_fraction,
                "notes": self.notes,
            }

    def answer(self, galaxy: int, label: str) -> None:
        """Write the label of a galaxy, at once.

        Raises:
            ValueError: there is no such galaxy or label, or the file of labels has become something else.
            OSError: it cannot be written.
        """
        with self._lock:
            self._check(galaxy)
            if label not in self.names:
                raise ValueError(f"{label!r} is not one of the labels {', '.join(self.names)}; add it first")
            guess = self.learner.guess(galaxy)
            self.galaxies[galaxy].keep()
            row = self.labels.add(self.galaxies[galaxy].path, label, *self._scores.get(galaxy, ("", None)))
            self.history.append((galaxy, row, guess and guess[0]))
            self._skipped.pop(galaxy, None)
        self._wake.set()

    def skip(self, galaxy: int) -> None:
        """Show a galaxy again only after all others; raise ValueError if there is none of this number."""
        with self._lock:
            self._check(galaxy)
            self._skipped[galaxy] = None

    def undo(self) -> int | None:
        """Take back one's own last label; return the galaxy, or None where there is nothing to take back.

        Raises:
            ValueError: the file of labels has become something else.
            OSError: it cannot be written.
        """
        with self._lock:
            if not self.history:
                return None
            galaxy, row, _ = self.history[-1]
            self.labels.remove(row)
            self.history.pop()
            return galaxy

    def add_name(self, name: str) -> None:
        """Add a label.

        Raises:
            ValueError: the name is empty, too long, another spelling of one, or one too many.
        """
        name = " ".join(str(name).split())
        if not 0 < len(name) <= LONGEST_LABEL:
            raise ValueError(f"{name[:80]!r} has {len(name)} characters; give a label 1 to {LONGEST_LABEL}")
        if known := next((known for known in self.names if known.casefold() == name.casefold()), None):
            raise ValueError(f"there is a label {known!r} already; give {name!r} another name")
        if len(self.names) >= MOST_LABELS:
            raise ValueError(f"{name!r} is one label too many: there are keys for {MOST_LABELS}; leave some out")
        self.names.append(name)

    def leave_out(self, galaxy: int) -> None:
        """Leave out a galaxy whose image cannot be read."""
        with self._lock:
            self.learner.is_broken[galaxy], self.learner.is_known[galaxy] = True, False

    def _check(self, galaxy: int) -> None:
        if not 0 <= galaxy < len(self.galaxies):
            raise ValueError(f"there is no galaxy {galaxy}; load the page again")

    # ---- what comes next

    def _labelled(self) -> list[tuple[int, str]]:
        """The galaxies of the catalogue in the file of labels, and their labels; one that two labelled comes twice."""
        rows = [(self._index_of.get(row["path"]), row["label"]) for row in self.labels.rows]
        return [(index, label) for index, label in rows if index is not None and label]

    def _next(self, showing: int | None) -> list[int]:
        is_open = ~self.learner.is_broken
        mine, everybodys = [index for index, *_ in self.history], [index for index, _ in self._labelled()]
        is_open[mine if self._second_opinion else everybodys] = False
        if showing is not None and 0 <= showing < len(is_open):
            is_open[showing] = False
        skipped = [index for index in self._skipped if is_open[index]]
        is_open[skipped] = False
        self._plan = [index for index in self._plan if is_open[index]]
        if len(self._plan) < PRELOADED and is_open.any():
            self._plan = self._planned(is_open)
        return (self._plan + skipped)[:PRELOADED]

    def _planned(self, is_open: np.ndarray) -> list[int]:
        """Choose galaxies, of those that the model has looked at where there are enough."""
        learner, order = self.learner, self.learner.order
        known = is_open & learner.is_known
        if known.sum() < PLANNED:
            waiting = is_open & ~learner.is_known
            return np.concatenate([order[known[order]], order[waiting[order]]])[:PLANNED].tolist()
        labels = [(index, name) for index, name in self._labelled() if learner.is_known[index]]
        labelled = np.array([index for index, _ in labels], int)
        seed = self._seed + len(labels)
        if self.find is None:
            chosen = next_to_label(learner.embeddings, known, labelled, learner.probabilities, PLANNED, seed)
            scores = {index: learner.guess(index) for index in chosen.tolist()}
        else:
            found = learner.embeddings[[index for index, name in labels if name == self.find]]
            examples, likely = np.concatenate([self._examples, found]), learner.probability_of(self.find)
            chosen = likeliest_first(learner.embeddings, known, labelled, examples, likely, PLANNED, seed)
            scores = {index: None if likely is None else (self.find, float(likely[index])) for index in chosen.tolist()}
        self._scores |= {index: score for index, score in scores.items() if score is not None}
        return chosen.tolist()

    # ---- the thread

    def start(self) -> None:
        """Start the thread that embeds and learns; it ends with the program."""
        threading.Thread(target=self._work, name="learner", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end after what it is doing."""
        self._stopped = True
        self._wake.set()

    def _work(self) -> None:
        while not self._stopped:
            self._wake.clear()
            try:
                busy = self.step()
            except (OSError, ValueError) as error:  # such as a full disk; labels are written all the same
                self.notes, busy = [f"The model does not learn now: {str(error).splitlines()[0]}."], False
            if not busy:
                self._wake.wait(POLL)

    def step(self) -> bool:
        """Learn if labels wait for it, otherwise embed some galaxies; return whether there was anything to do.

        Raises:
            ValueError: the file of labels or the catalogue has become something else.
            OSError: the cache of embeddings cannot be used.
        """
        with self._lock:
            if not self.galaxies:
                self._take(self._open_galaxies())
                return bool(self.galaxies)
            self.labels.refresh()
            for name in self.labels.counts():  # others may have added labels
                if name not in self.names and len(self.names) < MOST_LABELS:
                    self.names.append(name)
            labels = self._labelled()
        first = [index for index, _ in labels]
        is_due = abs(len(labels) - self._fitted) >= self.refit or self.learner.probabilities is None
        waits = any(not (self.learner.is_known[index] or self.learner.is_broken[index]) for index in first)
        if is_due and not waits and self.learner.fit(labels, self._examples, self.find):
            with self._lock:
                self._fitted, self._plan, self._scores = len(labels), [], {}
            return True
        return self.learner.embed(first, AT_ONCE) > 0
