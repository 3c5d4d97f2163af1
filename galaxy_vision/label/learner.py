"""What the model knows of the galaxies of a catalogue: their embeddings, and a probe of what was labelled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..inference.embeddings import Embedder
from ..models.losses import SINGLE_LABEL
from ..training.probe import Probe, fit_probe
from .galaxies import Galaxy


class Fitted(NamedTuple):
    """A probe and what it says: replaced as a whole, since the page reads while the thread learns.

    Attributes:
        probe: of the labels ``probe.names``.
        probabilities: (N, K) float32 of these labels, 0 for a galaxy whose embedding is unknown.
    """

    probe: Probe
    probabilities: np.ndarray


class Learner:
    """Embeddings of galaxies, and the probabilities of labels by a probe.

    Attributes:
        embeddings: (N, D) float32, 0 where unknown.
        is_known: (N,) bool, whether a galaxy has its embedding.
        is_broken: (N,) bool, whether its image cannot be read.
        fitted: the probe; None before there are two labels that differ.
    """

    def __init__(self, galaxies: Sequence[Galaxy], embedder: Embedder, seed: int = 0):
        """Begin with galaxies that nobody has looked at; they are looked at in an order of ``seed``."""
        self.galaxies, self.embedder = galaxies, embedder
        self.order = np.random.default_rng(seed).permutation(len(galaxies))
        self.embeddings = np.zeros((len(galaxies), embedder.size), np.float32)
        self.is_known, self.is_broken = np.zeros(len(galaxies), bool), np.zeros(len(galaxies), bool)
        self.fitted: Fitted | None = None

    def embed(self, first: Sequence[int], count: int) -> int:
        """Embed some galaxies whose embeddings are unknown; return how many.

        Args:
            first: galaxies that come before the others, such as those that are labelled.
            count: how many at most.

        Raises:
            OSError: the cache of embeddings cannot be used.
        """
        unknown = ~(self.is_known | self.is_broken)
        batch = dict.fromkeys([index for index in first if unknown[index]] + self.order[unknown[self.order]].tolist())
        files: dict[int, bytes] = {}
        for index in list(batch)[:count]:
            try:
                files[index] = self.galaxies[index].load()
            except Exception:  # storage and archives raise whatever they like, and one image must not end the session
                self.is_broken[index] = True
        for index, vector in zip(files, self.embedder(list(files.values())), strict=True):
            if isinstance(vector, ValueError):
                self.is_broken[index] = True
            else:
                self.embeddings[index] = vector
                if self.fitted is not None:
                    self.fitted.probabilities[index] = self.fitted.probe.predict(vector[None])[0]
                self.is_known[index] = True  # last, since the page reads meanwhile
        return min(len(batch), count)

    def fit(self, labels: Sequence[tuple[int, str]], examples: np.ndarray, example_of: str | None) -> bool:
        """Fit the probe; return whether there were labels that differ.

        Args:
            labels: galaxies and their labels; those without embedding are left out.
            examples: (M, D) embeddings of ``example_of`` from elsewhere.
            example_of: a label.
        """
        known = [(index, name) for index, name in labels if self.is_known[index]]
        vectors = np.concatenate([self.embeddings[[index for index, _ in known]], examples])
        given = [name for _, name in known] + [example_of] * len(examples)
        names = tuple(dict.fromkeys(given))
        if len(names) < 2:
            return False
        probe = fit_probe(vectors, np.array([names.index(name) for name in given]), SINGLE_LABEL, names)
        probabilities = np.zeros((len(self.galaxies), len(names)), np.float32)
        probabilities[self.is_known] = probe.predict(self.embeddings[self.is_known])
        self.fitted = Fitted(probe, probabilities)
        return True

    @property
    def probabilities(self) -> np.ndarray | None:
        """Those of :class:`Fitted`; None before that."""
        return None if self.fitted is None else self.fitted.probabilities

    def probability_of(self, name: str) -> np.ndarray | None:
        """Return the probability (N,) of a label; None before the model knows it."""
        if self.fitted is None or name not in self.fitted.probe.names:
            return None
        return self.fitted.probabilities[:, self.fitted.probe.names.index(name)]

    def guess(self, index: int) -> tuple[str, float] | None:
        """Return the likeliest label of a galaxy and its probability; None where the model has none."""
        if self.fitted is None or not self.is_known[index]:
            return None
        probabilities = self.fitted.probabilities[index]
        best = int(probabilities.argmax())
        return self.fitted.probe.names[best], float(probabilities[best])
