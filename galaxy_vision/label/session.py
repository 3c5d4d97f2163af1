"""One person labels a catalogue: what is shown, what was answered, and the model that learns beside it.

A thread of the session embeds the galaxies of the catalogue in random order and, every few labels, fits a probe to all
labels of the file, those of other people too. Answers never wait for it.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..images.framing import Frame
from ..inference.embeddings import Embedder
from ..models.losses import SINGLE_LABEL
from ..training.probe import fit_probe
from .galaxies import Galaxies, Galaxy
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
        notes: sentences for the page.
    """

    def __init__(
        self,
        labels: Labels,
        embedder: Embedder,
        open_galaxies: Any,
        names: Sequence[str] = (),
        find: str | None = None,
        examples: Sequence[bytes] = (),
        refit: int = 5,
        frame: Frame | None = None,
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
        self.labels, self.embedder, self.frame, self.find = labels, embedder, frame, find
        self.refit, self.second_opinion, self.seed = refit, second_opinion, seed
        self.names: list[str] = []
        for name in [*names, *(name for name in labels.counts() if name not in names)]:
            self.add_name(name)
        if find is not None and find not in self.names:
            raise ValueError(f"find={find!r} is not one of the labels {', '.join(self.names)}; name it there too")
        vectors = embedder(list(examples)) if examples else []
        if broken := next((vector for vector in vectors if isinstance(vector, ValueError)), None):
            raise ValueError(f"like: {broken}")
        self.examples = np.array(vectors, np.float32).reshape(-1, embedder.size)
        self.notes: list[str] = []
        self._lock, self._wake, self._stopped = threading.RLock(), threading.Event(), False
        self._open_galaxies = open_galaxies
        self.galaxies: Galaxies | list[Galaxy] = []
        self._take(open_galaxies())

    def _take(self, galaxies: Galaxies | None) -> None:
        """Begin with the galaxies of the catalogue; with none, wait for them."""
        with self._lock:
            self.galaxies = galaxies or []
            count = len(self.galaxies)
            self.notes = list(getattr(galaxies, "notes", ()))
            self.index_of = {galaxy.path: index for index, galaxy in enumerate(self.galaxies)}
            self.embeddings = np.zeros((count, self.embedder.size), np.float32)
            self.is_known, self.is_broken = np.zeros(count, bool), np.zeros(count, bool)
            self.order = np.random.default_rng(self.seed).permutation(count)
            self.skipped: dict[int, None] = {}
            self.probe, self.probabilities = None, None  # (N, labels)
            self._plan: list[int] = []
            self._scores: dict[int, tuple[str, float]] = {}
            own = [row for row in self.labels.rows if row.get("labeller") == self.labels.labeller]
            self.history = [(self.index_of[row["path"]], row, None) for row in own if row["path"] in self.index_of]
            self._learned_rows = -1
            self._pending = 0

    # ---- what the page asks for

    def state(self, showing: int | None = None) -> dict:
        """Return what the page shows beside the image, and the numbers of the galaxies that come next.

        Args:
            showing: galaxy that the page shows already, which is not named again.
        """
        with self._lock:
            counts, judged = self.labels.counts(), [(row, guess) for _, row, guess in self.history if guess]
            done = {row["path"] for row in self.labels.rows} & self.index_of.keys()
            return {
                "labels": [{"name": name, "count": counts[name]} for name in self.names],
                "labelled": len(done),
                "total": len(self.galaxies),
                "known": int(self.is_known.sum() + self.is_broken.sum()),
                "broken": int(self.is_broken.sum()),
                "next": self._next(showing),
                "last": [
                    {"galaxy": index, "label": row["label"], "guess": guess, "path": row["path"]}
                    for index, row, guess in self.history[-6:]
                ],
                "agreed": sum(row["label"] == guess for row, guess in judged),
                "judged": len(judged),
                "until": max(self.refit - self._pending, 0),
                "learned": self.probabilities is not None,
                "find": self.find,
                "skipped": len(self.skipped),
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
            name, score = self._scores.get(galaxy, ("", None))
            guess = self._guess(galaxy)
            self.galaxies[galaxy].keep()
            row = self.labels.add(self.galaxies[galaxy].path, label, name, score)
            self.history.append((galaxy, row, guess))
            self.skipped.pop(galaxy, None)
            self._pending += 1
            if self._pending >= self.refit or self.probabilities is None:
                self._wake.set()

    def skip(self, galaxy: int) -> None:
        """Show a galaxy again only after all others; raise ValueError if there is none of this number."""
        with self._lock:
            self._check(galaxy)
            self.skipped[galaxy] = None

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
            self._pending = max(self._pending - 1, 0)
            return galaxy

    def add_name(self, name: str) -> None:
        """Add a label.

        Raises:
            ValueError: the name is empty, too long, another spelling of one, or one too many.
        """
        name = " ".join(str(name).split())
        if not name or len(name) > LONGEST_LABEL:
            raise ValueError(
                f"a label has 1 to {LONGEST_LABEL} characters, and {name[:80]!r} has {len(name)}; rename it"
            )
        if known := next((known for known in self.names if known.casefold() == name.casefold()), None):
            raise ValueError(f"there is a label {known!r} already; give {name!r} another name")
        if len(self.names) >= MOST_LABELS:
            raise ValueError(f"{name!r} is one label too many: there are keys for {MOST_LABELS}; leave some out")
        self.names.append(name)

    def break_off(self, galaxy: int) -> None:
        """Leave out a galaxy whose image cannot be read."""
        with self._lock:
            self.is_broken[galaxy], self.is_known[galaxy] = True, False

    def _check(self, galaxy: int) -> None:
        if not 0 <= galaxy < len(self.galaxies):
            raise ValueError(f"there is no galaxy {galaxy}; load the page again")

    # ---- what comes next

    def _next(self, showing: int | None) -> list[int]:
        is_open = self._is_open()
        if showing is not None and 0 <= showing < len(is_open):
            is_open[showing] = False
        skipped = [index for index in self.skipped if is_open[index]]
        fresh = is_open.copy()
        fresh[skipped] = False
        self._plan = [index for index in self._plan if fresh[index]]
        if len(self._plan) < PRELOADED and fresh.any():
            self._plan = self._planned(fresh)
        return (self._plan + skipped)[:PRELOADED]

    def _is_open(self) -> np.ndarray:
        is_open = ~self.is_broken
        rows = self.labels.rows
        if self.second_opinion:
            rows = [row for row in rows if row.get("labeller") == self.labels.labeller]
        done = [self.index_of[row["path"]] for row in rows if row["path"] in self.index_of]
        is_open[done] = False
        return is_open

    def _planned(self, fresh: np.ndarray) -> list[int]:
        known = fresh & self.is_known
        waiting = [int(index) for index in self.order if fresh[index] and not self.is_known[index]]
        if known.sum() < PLANNED:  # the model has just begun to look at them
            return [*(int(index) for index in self.order if known[index]), *waiting][:PLANNED]
        rows = [row for row in self.labels.rows if row["path"] in self.index_of]
        labelled = np.array([self.index_of[row["path"]] for row in rows], int)
        labelled = labelled[self.is_known[labelled]]
        seed = self.seed + len(rows)
        if self.find is None:
            chosen = next_to_label(self.embeddings, known, labelled, self.probabilities, PLANNED, seed)
        else:
            column, found = self.names.index(self.find), [row["label"] == self.find for row in rows]
            found = [self.index_of[row["path"]] for row, is_found in zip(rows, found, strict=True) if is_found]
            examples = np.concatenate([self.examples, self.embeddings[[i for i in found if self.is_known[i]]]])
            likely = None if self.probabilities is None else self.probabilities[:, column]
            chosen = likeliest_first(self.embeddings, known, labelled, examples, likely, PLANNED, seed)
        for index in chosen.tolist() if self.probabilities is not None else ():
            best = int(self.probabilities[index].argmax()) if self.find is None else self.names.index(self.find)
            self._scores[index] = (self.names[best], float(self.probabilities[index, best]))
        return chosen.tolist()

    def _guess(self, galaxy: int) -> str | None:
        if self.probabilities is None or not self.is_known[galaxy]:
            return None
        return self.names[int(self.probabilities[galaxy].argmax())]

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
            try:
                busy = self.step()
            except (OSError, ValueError) as error:  # such as a full disk; labels are written all the same
                with self._lock:
                    self.notes = [*self.notes[:4], f"The model does not learn: {str(error).splitlines()[0]}"]
                busy = False
            if not busy:
                self._wake.wait(POLL)
            self._wake.clear()

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
        return self._learn() or self._embed()

    def _embed(self) -> bool:
        with self._lock:
            unknown = ~(self.is_known | self.is_broken)
            labelled = [self.index_of[row["path"]] for row in self.labels.rows if row["path"] in self.index_of]
            first = [index for index in labelled if unknown[index]]
            batch = (first + [int(index) for index in self.order[unknown[self.order]]])[:AT_ONCE]
        if not batch:
            return False
        files, failed = {}, []
        for index in dict.fromkeys(batch):
            try:
                files[index] = self.galaxies[index].load()
            except Exception:  # storage and archives raise whatever they like, and one image must not end the session
                failed.append(index)
        vectors = dict(zip(files, self.embedder(list(files.values())), strict=True))
        failed += [index for index, vector in vectors.items() if isinstance(vector, ValueError)]
        with self._lock:
            for index, vector in vectors.items():
                if index not in failed:
                    self.embeddings[index], self.is_known[index] = vector, True
            self.is_broken[failed] = True
            if self.probe is not None:
                self._predict(list(vectors))
        return True

    def _learn(self) -> bool:
        """Fit the probe where enough labels have come since the last time; return whether it was fitted."""
        with self._lock:
            rows = [row for row in self.labels.rows if row["path"] in self.index_of and row["label"] in self.names]
            indices = np.array([self.index_of[row["path"]] for row in rows], int)
            known = self.is_known[indices]
            targets = np.array([self.names.index(row["label"]) for row in rows], int)[known]
            vectors = self.embeddings[indices[known]]
            if self.find is not None:
                vectors = np.concatenate([vectors, self.examples])
                targets = np.concatenate([targets, np.full(len(self.examples), self.names.index(self.find))])
            due = abs(len(targets) - max(self._learned_rows, 0)) >= self.refit
            classes = np.unique(targets)
            if len(classes) < 2 or not (due or self.probabilities is None):
                return False
            names = [self.names[label] for label in classes]
        self._learned_rows = len(targets)
        probe = fit_probe(vectors, np.searchsorted(classes, targets), SINGLE_LABEL, names)
        with self._lock:
            self.probe, self._pending = probe, 0
            self.probabilities = np.zeros((len(self.galaxies), len(self.names)), np.float32)
            self._predict(np.flatnonzero(self.is_known).tolist())
            self._plan, self._scores = [], {}
        return True

    def _predict(self, indices: list[int]) -> None:
        if self.probabilities.shape[1] < len(self.names):  # of labels that were added since
            missing = len(self.names) - self.probabilities.shape[1]
            self.probabilities = np.pad(self.probabilities, ((0, 0), (0, missing)))
        columns = [self.names.index(name) for name in self.probe.names]
        indices = [index for index in indices if self.is_known[index]]
        self.probabilities[np.ix_(indices, columns)] = self.probe.predict(self.embeddings[indices])
