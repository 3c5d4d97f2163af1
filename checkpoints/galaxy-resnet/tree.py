"""A decision tree of volunteers as a value: questions, answers, what leads to what; reach and fractions of votes.

Every array has the answers of all questions on its last axis, in the order of the questions. Four quantities are kept
apart by name:

* *votes*: the number of volunteers who gave each answer (fractional where a source publishes fractions only; NaN where
  the source does not have the question);
* *conditional* fraction: the share of an answer among the volunteers who were asked its question, p(answer | asked);
  NaN where nobody was asked;
* *reach*: the share of all volunteers who are asked the question of an answer, p(asked);
* *cumulative* fraction: conditional x reach, the share of an answer among all volunteers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from .concepts import CONCEPTS, PARTS, WELL_SAMPLED
from .question import Question, check_names, check_question, question_from

MOST_ANSWERS = 1000
"""Of a tree. Ours: 17 times the largest of Galaxy Zoo, 57 of Hubble; a guard against files that are not trees."""


@dataclass(frozen=True)
class DecisionTree:
    """The decision tree of a campaign.

    Attributes:
        name: of the campaign.
        questions: in the order of the last axis of all arrays, in which a question may stand before its parents.

    Raises:
        ValueError: a name is empty or there twice, a question has fewer than two answers, a parent does not exist, no
            question or several come first, or questions lead to each other in a circle.
    """

    name: str
    questions: tuple[Question, ...]

    def __post_init__(self):
        names = [question.name for question in self.questions]
        if not names:
            raise ValueError(f"tree {self.name!r} has no question; give at least one with two answers")
        check_names(self.name, "question", names)
        if sum(len(question.answers) for question in self.questions) > MOST_ANSWERS:
            raise ValueError(f"tree {self.name!r} has more than {MOST_ANSWERS} answers; is this the right file?")
        known = {(question.name, answer) for question in self.questions for answer in question.answers}
        for question in self.questions:
            check_question(self.name, question)
            for parent in question.parents:
                if tuple(parent) not in known:
                    raise ValueError(
                        f"tree {self.name!r}: question {question.name!r} is asked after {' '.join(parent)!r}, which is "
                        "not an answer of this tree; mend its parents"
                    )
        first = [question.name for question in self.questions if not question.parents]
        if len(first) != 1:
            raise ValueError(
                f"tree {self.name!r}: {len(first)} questions have no parent ({', '.join(first) or 'none'}), and "
                "exactly one is asked first; mend the parents"
            )
        self._order  # noqa: B018 (raises where questions lead to each other in a circle)

    @cached_property
    def _order(self) -> tuple[tuple[slice, tuple[int, ...]], ...]:
        """Slice of the answers of each question, and indices of its parent answers; parents come first."""
        done, order = set(), []
        while len(order) < len(self.questions):
            ready = [
                question
                for question in self.questions
                if question.name not in done and all(parent in done for parent, _ in question.parents)
            ]
            if not ready:
                left = ", ".join(question.name for question in self.questions if question.name not in done)
                raise ValueError(f"tree {self.name!r}: the questions {left} lead to each other; mend their parents")
            for question in ready:
                done.add(question.name)
                order.append((self.slices[question.name], tuple(self.index(*parent) for parent in question.parents)))
        return tuple(order)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Question -> slice of its answers on the last axis."""
        limits = np.cumsum([0, *(len(question.answers) for question in self.questions)]).tolist()
        return {question.name: slice(*ends) for question, ends in zip(self.questions, pairwise(limits), strict=True)}

    @cached_property
    def answers(self) -> tuple[tuple[str, str], ...]:
        """(question, answer) of every place on the last axis."""
        return tuple((question.name, answer) for question in self.questions for answer in question.answers)

    @cached_property
    def question_of_answer(self) -> np.ndarray:
        """(answers,) int: index of the question of each answer."""
        return np.repeat(np.arange(len(self.questions)), [len(question.answers) for question in self.questions])

    @cached_property
    def first_question(self) -> Question:
        """The question that everybody is asked, wherever it stands among the others."""
        return next(question for question in self.questions if not question.parents)

    def question(self, name: str) -> Question:
        """Return a question by its name.

        Raises:
            KeyError: there is none.
        """
        for question in self.questions:
            if question.name == name:
                return question
        raise KeyError(f"{name!r} is not a question of tree {self.name!r}: {', '.join(self.slices)}")

    def index(self, question: str, answer: str) -> int:
        """Return the index of an answer on the last axis.

        Raises:
            KeyError: the question or its answer does not exist.
        """
        answers = self.question(question).answers
        if answer not in answers:
            raise KeyError(f"{answer!r} is not an answer of {question!r}: {', '.join(answers)}")
        return self.slices[question].start + answers.index(answer)

    def check(self, values, name: str) -> None:
        """Check that the last axis of an array is that of the answers; raise ValueError otherwise."""
        if values.shape[-1:] != (len(self.answers),):
            raise ValueError(
                f"{name} has shape {tuple(values.shape)}; its last axis must be the {len(self.answers)} answers of "
                f"tree {self.name!r}"
            )

    @cached_property
    def concepts(self) -> dict[str, tuple[int, ...]]:
        """Concept -> indices of the answers that mean it or a part of it; without those that no answer means."""
        indices: dict[str, tuple[int, ...]] = {}
        for question in self.questions:
            for index, concept in enumerate(question.concepts, self.slices[question.name].start):
                if concept is not None:
                    indices[concept] = (*indices.get(concept, ()), index)
        for concept, parts in PARTS.items():
            if of_parts := sum((indices.get(part, ()) for part in parts), ()):
                indices[concept] = (*indices.get(concept, ()), *of_parts)
        return {concept: indices[concept] for concept in CONCEPTS if concept in indices}

    @cached_property
    def cuts(self) -> dict[str, tuple[tuple[int, float], ...]]:
        """Question -> the answers on the way to it, as indices, and the least fractions for which it is well sampled.

        Those of :data:`~galaxy_vision.models.concepts.WELL_SAMPLED`; none where several answers lead to a question.
        """

        def on_the_way(question: Question) -> tuple[tuple[int, float], ...]:
            if len(question.parents) != 1:
                return ()
            parent, answer = self.question(question.parents[0][0]), self.index(*question.parents[0])
            concept = dict(enumerate(parent.concepts, self.slices[parent.name].start)).get(answer)
            own = ((answer, WELL_SAMPLED[concept]),) if concept in WELL_SAMPLED else ()
            return on_the_way(parent) + own

        return {question.name: on_the_way(question) for question in self.questions}

    def share(self, conditional, concept: str) -> np.ndarray:
        """Return the fraction of volunteers who gave an answer that means a concept, among those who were asked.

        Args:
            conditional: (..., answers) conditional fractions.
            concept: one of :attr:`concepts`.

        Returns:
            (...,); NaN where nobody was asked.
        """
        conditional = np.asarray(conditional, dtype=np.float64)
        self.check(conditional, "conditional")
        return sum(conditional[..., index] for index in self.concepts[concept])

    def totals(self, votes) -> np.ndarray:
        """Return the votes on the question of each answer, (..., answers): equal for all answers of a question."""
        votes = np.asarray(votes, dtype=np.float64)
        self.check(votes, "votes")
        totals = np.add.reduceat(votes, [answers.start for answers in self.slices.values()], axis=-1)
        return totals[..., self.question_of_answer]

    def conditional(self, votes) -> np.ndarray:
        """Return the share of each answer among the votes on its question.

        Args:
            votes: (..., answers) votes, or any weights >= 0, such as debiased fractions, which do not sum to one.

        Returns:
            (..., answers) float64 that sums to one over each question; NaN where a question has no vote or is unknown.
        """
        votes = np.asarray(votes, dtype=np.float64)
        totals = self.totals(votes)
        return np.divide(votes, totals, out=np.full(votes.shape, np.nan), where=totals > 0)

    def reach(self, conditional):
        """Return the probability that a volunteer is asked the question of each answer.

        The reach of a question is the sum over its parent answers of their reach times their conditional fraction.

        Args:
            conditional: (..., answers) conditional fractions, a numpy array or a torch tensor.

        Returns:
            (..., answers) of the same type, equal for all answers of a question. Where a parent question is not
            reached, its fractions, NaN or not, contribute 0; where it is reached and a fraction is NaN, the reach is
            NaN. Tensors are returned without gradients.
        """
        if hasattr(conditional, "detach"):  # a torch tensor; this file does not import torch
            conditional = conditional.detach()
            asked = conditional.clone()
        else:
            conditional = np.asarray(conditional, dtype=np.float64)
            asked = conditional.copy()
        self.check(conditional, "conditional")
        for answers, parents in self._order:
            asked[..., answers] = 0.0 if parents else 1.0
            for parent in parents:
                parent = slice(parent, parent + 1)
                route = asked[..., parent] * conditional[..., parent]
                route[asked[..., parent] == 0] = 0.0  # also where the fraction is NaN
                asked[..., answers] += route
        return asked

    def cumulative(self, conditional) -> np.ndarray:
        """Return the share of each answer among all volunteers, conditional x reach; 0 where nobody is asked."""
        conditional = np.asarray(conditional, dtype=np.float64)
        asked = self.reach(conditional)
        return np.where(asked == 0, 0.0, asked * conditional)

    def to_dict(self) -> dict:
        """Return the tree as data for JSON, which :meth:`from_dict` reads."""
        return {"name": self.name, "questions": [question.to_dict() for question in self.questions]}

    @classmethod
    def from_dict(cls, data: Mapping) -> "DecisionTree":
        """Return the tree that :meth:`to_dict` wrote, or somebody by hand.

        Args:
            data: ``name`` and ``questions``, a list of objects with ``name``, ``answers`` and, but for the first
                question, ``parents``, a list of [question, answer]; also ``text``, ``multiple``, ``on_hub``,
                ``concepts`` and ``words``, see :class:`Question`.

        Raises:
            ValueError: it has another form, or is not a tree.
        """
        name = data.get("name", "mine") if isinstance(data, Mapping) else None
        questions = data.get("questions") if isinstance(data, Mapping) else None
        if not isinstance(name, str) or not isinstance(questions, list):
            raise ValueError('a tree is an object with a list of "questions"; each has a "name" and "answers"')
        return cls(name, tuple(question_from(question, name, number) for number, question in enumerate(questions)))


__all__ = ["DecisionTree", "Question"]
