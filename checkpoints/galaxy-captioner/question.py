"""One question of a decision tree: its answers, what leads to it, what its answers mean; as JSON, and checked."""

from collections.abc import Mapping
from typing import NamedTuple

from .concepts import CONCEPTS


class Question(NamedTuple):
    """One task of a tree.

    Attributes:
        name: such as ``"t02_edgeon"``; each name is unique in a tree.
        answers: in the order of the published columns.
        parents: (question, answer) pairs, any of which leads to this question; empty for the first one.
        text: the question as volunteers read it; may be empty.
        is_multiple: a volunteer may give several answers.
        is_released: votes on it are in the published tables.
        concepts: what each answer means, one of :data:`~galaxy_vision.models.concepts.CONCEPTS` or None; empty where
            no answer means one.
        words: of each answer that means no concept, a phrase that captions say after "a galaxy with", such as ``"a
            polar ring"``; empty where it is not said.
    """

    name: str
    answers: tuple[str, ...]
    parents: tuple[tuple[str, str], ...] = ()
    text: str = ""
    is_multiple: bool = False
    is_released: bool = True
    concepts: tuple[str | None, ...] = ()
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Return the question as data for JSON, which :func:`question_from` reads."""
        data = {"name": self.name, "answers": list(self.answers), "parents": [list(parent) for parent in self.parents]}
        data |= {"text": self.text} if self.text else {}
        data |= {"multiple": True} if self.is_multiple else {}
        data |= {} if self.is_released else {"on_hub": False}
        data |= {"concepts": list(self.concepts)} if self.concepts else {}
        return data | ({"words": list(self.words)} if self.words else {})


def question_from(data, tree: str, number: int) -> Question:
    """Return the question that :meth:`Question.to_dict` wrote, or somebody by hand.

    Args:
        data: an object of JSON.
        tree: name of its tree, for errors.
        number: of the question, for errors.

    Raises:
        ValueError: it has another form.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("answers"), list):
        raise ValueError(f"tree {tree!r}: question {number} is not an object with a list of answers")
    parents = data.get("parents", [])
    if not isinstance(parents, list) or not all(
        isinstance(parent, list | tuple) and len(parent) == 2 and all(isinstance(part, str) for part in parent)
        for parent in parents
    ):
        raise ValueError(f"tree {tree!r}: parents of question {number} are not a list of [question, answer]")
    for kind in ("concepts", "words"):
        if not isinstance(data.get(kind, []), list):
            raise ValueError(f"tree {tree!r}: {kind} of question {number} are not a list")
    return Question(
        data.get("name"),
        tuple(data["answers"]),
        tuple((parent[0], parent[1]) for parent in parents),
        data.get("text", ""),
        bool(data.get("multiple", False)),
        bool(data.get("on_hub", True)),
        tuple(data.get("concepts", [])),
        tuple(words or "" for words in data.get("words", [])),
    )


def check_names(tree: str, kind: str, names) -> None:
    """Check that names are texts that occur once; raise ValueError otherwise."""
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"tree {tree!r}: {kind} {name!r} has no name; give one")
        if list(names).count(name) > 1:
            raise ValueError(f"tree {tree!r}: {kind} {name!r} is there twice; rename one")


def check_question(tree: str, question: Question) -> None:
    """Check answers, concepts and words of a question; raise ValueError where they are too few or do not fit."""
    if len(question.answers) < 2:
        raise ValueError(
            f"tree {tree!r}: question {question.name!r} has {len(question.answers)} answers; give two or more"
        )
    check_names(tree, f"answer of question {question.name!r}", question.answers)
    for kind in ("concepts", "words"):
        values = getattr(question, kind)
        if values and len(values) != len(question.answers):
            raise ValueError(
                f"tree {tree!r}: question {question.name!r} has {len(values)} {kind} for its "
                f"{len(question.answers)} answers; give one for each, null where there is none"
            )
    for concept in question.concepts:
        if concept is not None and concept not in CONCEPTS:
            raise ValueError(
                f"tree {tree!r}: concept {concept!r} of question {question.name!r} is not one of "
                f"{', '.join(CONCEPTS)}; leave it out, and give words"
            )
    if not all(isinstance(words, str) for words in question.words):
        raise ValueError(f"tree {tree!r}: the words of question {question.name!r} are not texts; mend them")


__all__ = ["Question", "check_names", "check_question", "question_from"]
