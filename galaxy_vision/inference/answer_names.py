"""Names of answers: short ones for data, words for people, and where each question stands on the last axis."""

from collections.abc import Sequence

from ..models.decision_tree import GALAXY_ZOO_2, SHORT_NAMES
from ..models.tree import DecisionTree, Question
from ..models.trees import Trees


def is_galaxy_zoo_2(tree: DecisionTree) -> bool:
    """Return whether the answers are those of the hart16 table, whose numbers make them short and unique."""
    return tree.answers == GALAXY_ZOO_2.answers


def published_names(tree: DecisionTree) -> list[str]:
    """Return ``{question}_{answer}`` of every answer, the column of the published table of the campaign."""
    return distinct([f"{question}_{answer}" for question, answer in tree.answers])


def answer_names(tree: DecisionTree) -> list[str]:
    """Return the name of every answer in data: ``"a06_bar"`` of Galaxy Zoo 2, else :func:`published_names`."""
    return list(SHORT_NAMES) if is_galaxy_zoo_2(tree) else published_names(tree)


def answer_words(tree: DecisionTree) -> dict[str, str]:
    """Return name -> words of every answer: ``"a13_dominant"`` and ``"bulge-size_dominant"`` -> ``"dominant"``."""
    numbered = is_galaxy_zoo_2(tree)
    answers = [answer.split("_", 1)[1] if numbered else answer for _, answer in tree.answers]
    return dict(zip(answer_names(tree), map(_words, answers), strict=True))


def question_words(tree: DecisionTree) -> dict[str, str]:
    """Return name -> words of every question, without its number or the campaign at the end of all of them.

    ``"t05_bulge_prominence"`` -> ``"bulge prominence"``, ``"bulge-size-euclid"`` -> ``"bulge size"``.
    """
    names = [question.name for question in tree.questions]
    if is_galaxy_zoo_2(tree):
        return {name: _words(name.split("_", 1)[1]) for name in names}
    endings = {name.rpartition("-")[2] for name in names if name.rpartition("-")[0]}
    ending = f"-{endings.pop()}" if len(endings) == 1 and len(names) > 1 else ""
    is_shared = all(name.endswith(ending) for name in names)
    return {name: _words(name.removesuffix(ending) if is_shared else name) for name in names}


def question_text(tree: DecisionTree, question: Question) -> str:
    """Return a question as volunteers read it, or else its name in words, such as ``"Bulge size?"``."""
    words = question_words(tree)[question.name]
    return question.text or f"{words[:1].upper()}{words[1:]}?"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").strip()


def distinct(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Return names of which no two are equal, also without regard to case: those that are get their number.

    Args:
        names: such as ``["S_b", "s_b", "E"]``, which become ``["S_b_0", "s_b_1", "E"]``.
        taken: names that none of them may have.
    """
    names, taken = list(names), [name.lower() for name in taken]
    lower = [name.lower() for name in names]
    while len({*lower, *taken}) < len(lower) + len({*taken}):  # repeated, since S_b_1 may be another name
        names = [
            f"{name}_{number}" if [*lower, *taken].count(name.lower()) > 1 else name
            for number, name in enumerate(names)
        ]
        lower = [name.lower() for name in names]
    return names


def question_slices(trees: Trees) -> list[slice]:
    """Return the slice of the answers of every question of several trees on the last axis."""
    return [
        slice(part.start + answers.start, part.start + answers.stop)
        for tree, part in zip(trees.values(), trees.slices.values(), strict=True)
        for answers in tree.slices.values()
    ]
