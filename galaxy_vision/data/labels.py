"""Assign one morphological class to the votes on a galaxy, by a scheme of :mod:`galaxy_vision.data.schemes`.

A galaxy gets the last class whose conditions all hold, and is *uncertain* (-1, left out of training and of class
scores) if there is none. Which classes there are depends on what volunteers were asked: those that none of the trees
can decide are left out, and :func:`undecidable` says so.
"""

from collections.abc import Iterable

import numpy as np

from ..models.concepts import MIN_VOTES, PARTS
from ..models.tree import DecisionTree, Question
from ..models.trees import Trees
from .schemes import SCHEMES, WORDS, Condition, MorphologyClass, Scheme, get_scheme

UNCERTAIN = -1
ANSWERS = "answers"
"""Name of the scheme whose classes are the answers to the first question, for trees that ask nothing else."""
GALAXY_ZOO_2_ALONE = Trees()
_WHOLE_OF = {part: whole for whole, parts in PARTS.items() for part in parts}
_OTHER_NAMES = {"smooth_inbetween": "smooth_in_between"}
"""Spelling of galaxy-datasets -> name of the class in the scheme ``summary``."""


def _question_of(tree: DecisionTree, concept: str) -> Question | None:
    """Return the question with published votes that asks for a concept, rather than for its parts; None for none."""
    for index in tree.concepts.get(concept, ()):
        question = tree.questions[tree.question_of_answer[index]]
        if question.is_released:
            return question
    return None


def _answers(tree: DecisionTree, question: Question, concept: str) -> list[int]:
    """Return the indices of the answers of a question that mean a concept or a part of it."""
    answers = tree.slices[question.name]
    return [index for index in tree.concepts[concept] if answers.start <= index < answers.stop]


def _leads_to(tree: DecisionTree, concept: str, question: Question) -> bool:
    """Return whether every way to a question is by an answer that means a concept."""
    meant = {tree.answers[index] for index in tree.concepts.get(concept, ())}
    return bool(question.parents) and all(
        parent in meant or _leads_to(tree, concept, tree.question(parent[0])) for parent in question.parents
    )


def conditions_of(tree: DecisionTree, morphology_class: MorphologyClass) -> list[Condition]:
    """Return the conditions of a class that apply to a tree, see :attr:`Condition.if_on_the_way`."""
    others = [condition for condition in morphology_class.conditions if not condition.if_on_the_way]
    asked = [question for condition in others if (question := _question_of(tree, condition.concept))]
    return [
        condition
        for condition in morphology_class.conditions
        if condition in others or any(_leads_to(tree, condition.concept, question) for question in asked)
    ]


def missing_concepts(tree: DecisionTree, morphology_class: MorphologyClass) -> list[str]:
    """Return the concepts that a class needs and that a tree has no votes on."""
    needed = (condition.concept for condition in conditions_of(tree, morphology_class))
    return [concept for concept in needed if _question_of(tree, concept) is None]


def decides_any(tree: DecisionTree, scheme: Scheme) -> bool:
    """Return whether a tree can decide a class of a scheme that has conditions."""
    return any(known.conditions and not missing_concepts(tree, known) for known in scheme.classes)


def joined(words: Iterable[str], conjunction: str) -> str:
    """Return ``a, b and c``, without repetitions."""
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def have_no_votes(campaigns: list[str], concepts: Iterable[str]) -> str:
    """Return ``gz_desi has no votes on whether a galaxy is irregular``."""
    asked = joined((WORDS[concept][1] for concept in concepts), "or")
    return f"{joined(campaigns, 'and')} {'has' if len(campaigns) == 1 else 'have'} no votes on whether a galaxy {asked}"


def default_scheme(trees: Trees = GALAXY_ZOO_2_ALONE) -> str:
    """Return ``"hubble"``, or ``"answers"`` where the trees cannot decide two of its classes."""
    try:
        class_names_for("hubble", trees)
    except ValueError:
        return ANSWERS
    return "hubble"


def class_names_for(scheme: str, trees: Trees = GALAXY_ZOO_2_ALONE) -> list[str]:
    """Return the names of the classes that at least one of the trees can decide, in the order of their labels.

    Those of the scheme ``"answers"`` are the answers to the first question of the first tree.

    Raises:
        ValueError: the scheme is unknown, or fewer than two classes are left.
    """
    if scheme == ANSWERS:
        question = trees.first.first_question
        bare = not {"yes", "no"} & set(question.answers)
        return [answer if bare else f"{question.name}: {answer}" for answer in question.answers]
    chosen = get_scheme(scheme)
    missing = {known.name: [missing_concepts(tree, known) for tree in trees.values()] for known in chosen.classes}
    names = [name for name, of_trees in missing.items() if not all(of_trees)]
    if len(names) < 2:
        concepts = (concept for of_trees in missing.values() if all(of_trees) for part in of_trees for concept in part)
        left = f"only the class {names[0]} is" if names else "no class is"
        raise ValueError(
            f"label_scheme={scheme!r}: {have_no_votes(list(trees), concepts)}, so {left} left, and two are needed; "
            "choose another scheme, or train without classes"
        )
    return names


def _fraction(tree: DecisionTree, fractions: np.ndarray, concept: str) -> np.ndarray:
    """Return (...,): the share of a concept among the answers to the question that asks for it."""
    return sum(fractions[..., index] for index in _answers(tree, _question_of(tree, concept), concept))


def _is_most_voted(tree: DecisionTree, fractions: np.ndarray, concept: str) -> np.ndarray:
    """Return (...,) bool: whether a concept has the largest share among those of its question.

    Rivals are added up too where they are parts of one concept: a weak and a strong bar together outvote "no bar".
    """
    question = _question_of(tree, concept)
    members: dict[object, list[int]] = {}
    own, answers = _answers(tree, question, concept), tree.slices[question.name]
    for index in range(answers.start, answers.stop):
        meaning = question.concepts[index - answers.start]
        whole = _WHOLE_OF.get(meaning, meaning)
        rival = meaning if whole == _WHOLE_OF.get(concept) else whole  # another part of the same concept
        members.setdefault(concept if index in own else index if rival is None else rival, []).append(index)
    shares = np.stack([sum(fractions[..., index] for index in indices) for indices in members.values()], axis=-1)
    return np.nan_to_num(shares, nan=-1.0).argmax(axis=-1) == list(members).index(concept)


def _labels_by(
    tree: DecisionTree, scheme: Scheme, names: list[str], fractions: np.ndarray, totals: np.ndarray | None
) -> np.ndarray:
    """Return the labels (...,) of conditional fractions and totals of votes (..., answers of the tree).

    Without totals, so many volunteers answered each question that their number decides nothing.
    """
    labels = np.full(fractions.shape[:-1], UNCERTAIN, dtype=np.int64)
    for known in scheme.classes:  # a later class takes precedence
        if missing_concepts(tree, known):
            continue
        applies = np.ones(labels.shape, dtype=bool)
        for condition in conditions_of(tree, known):
            question = _question_of(tree, condition.concept)
            share = _fraction(tree, fractions, condition.concept)
            applies &= (share >= condition.at_least) & (share < condition.below)  # False where it is NaN
            if condition.most_voted:
                applies &= _is_most_voted(tree, fractions, condition.concept)
            if scheme.well_sampled:
                if totals is not None:
                    applies &= totals[..., tree.slices[question.name].start] >= MIN_VOTES
                for answer, least in tree.cuts[question.name]:
                    applies &= fractions[..., answer] >= least
        labels[applies] = names.index(known.name)
    return labels


def _most_voted_answers(tree: DecisionTree, fractions: np.ndarray) -> np.ndarray:
    """Return (...,): the answer to the first question that at least half gave; :data:`UNCERTAIN` without one."""
    shares = np.nan_to_num(fractions[..., tree.slices[tree.first_question.name]])
    return np.where(shares.max(axis=-1) >= 0.5, shares.argmax(axis=-1), UNCERTAIN)


def questions_of(scheme: str, tree: DecisionTree) -> list[str]:
    """Return the names of the questions whose fractions a scheme reads."""
    if scheme == ANSWERS:
        return [tree.first_question.name]
    chosen, names = get_scheme(scheme), set()
    for known in chosen.classes:
        for condition in () if missing_concepts(tree, known) else conditions_of(tree, known):
            names.add(name := _question_of(tree, condition.concept).name)
            cuts = tree.cuts[name] if chosen.well_sampled else ()
            names |= {tree.questions[tree.question_of_answer[answer]].name for answer, _ in cuts}
    return [question.name for question in tree.questions if question.name in names]


def labels_of_fractions(fractions, scheme: str, tree: DecisionTree) -> np.ndarray:
    """Return the class of each galaxy by the fractions that infinitely many volunteers would give.

    No question has too few votes then; everything else is as in :func:`assign_labels`.

    Args:
        fractions: (..., answers of the tree) conditional fractions; those of :func:`questions_of` are enough.
        scheme: as for :func:`assign_labels`.
        tree: whose answers these are.

    Returns:
        (...,) int64 index into :func:`class_names_for` of this tree alone; :data:`UNCERTAIN` (-1) where no class
        applies.

    Raises:
        ValueError: the scheme is unknown, the tree decides fewer than two of its classes, or the last axis is not that
            of the answers.
    """
    fractions = np.asarray(fractions)
    tree.check(fractions, "fractions")
    if scheme == ANSWERS:
        return _most_voted_answers(tree, fractions)
    return _labels_by(tree, get_scheme(scheme), class_names_for(scheme, Trees((tree,))), fractions, None)


def scheme_of(class_names: Iterable[str], trees: Trees = GALAXY_ZOO_2_ALONE) -> str | None:
    """Return the scheme that has these classes in this order, all of them or those that the trees decide.

    Returns:
        None if there is none: the classes are somebody's own.
    """
    class_names = list(class_names)
    for scheme in (*SCHEMES, ANSWERS):
        if class_names in class_names_of(scheme, trees):
            return scheme
    return None


def class_names_of(scheme: str, trees: Trees) -> list[list[str]]:
    """Return the lists of classes that models of a scheme may have: those that the trees decide, and all of it.

    The latter are the classes of a data set that gives labels beside votes. Empty if the trees decide fewer than two.
    """
    try:
        decided = class_names_for(scheme, trees)
    except ValueError:
        return []
    return [decided] if scheme == ANSWERS else [decided, SCHEMES[scheme].class_names]


def assign_labels(votes, scheme: str = "hubble", debiased=None, trees: Trees = GALAXY_ZOO_2_ALONE) -> np.ndarray:
    """Return the class of each galaxy by a scheme.

    Of several trees that can decide classes, the first one whose first question has votes for a galaxy decides. By the
    scheme ``"answers"``, a galaxy has the class of the answer that at least half of the volunteers gave to the first
    question of the first tree.

    Args:
        votes: (..., answers of all trees) votes; NaN where unknown.
        scheme: a name in :data:`~galaxy_vision.data.schemes.SCHEMES`, or ``"answers"``.
        debiased: debiased fractions of the same shape, for schemes that use them.
        trees: whose votes these are.

    Returns:
        (...,) int64 index into :func:`class_names_for`; :data:`UNCERTAIN` (-1) where no class applies.

    Raises:
        ValueError: the scheme is unknown, fewer than two of its classes can be decided, or the last axis is not that of
            the answers.
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.shape[-1:] != (trees.num_answers,):
        raise ValueError(f"votes has shape {votes.shape}; its last axis must be the {trees.num_answers} answers")
    if scheme == ANSWERS:
        return _most_voted_answers(trees.first, trees.first.conditional(trees.part(votes)))
    chosen, names = get_scheme(scheme), class_names_for(scheme, trees)
    if debiased is not None:
        debiased = np.broadcast_to(np.asarray(debiased, dtype=np.float64), votes.shape)
    labels = np.full(votes.shape[:-1], UNCERTAIN, dtype=np.int64)
    is_open = ~np.isnan(votes).all(axis=-1)
    for campaign, tree in trees.items():
        own, rows = trees.part(votes, campaign), is_open
        if len(trees) > 1:
            if not decides_any(tree, chosen):
                continue
            rows = is_open & (own[..., tree.slices[tree.first_question.name]].sum(axis=-1) > 0)
            is_open = is_open & ~rows
        fractions = tree.conditional(own[rows])
        if chosen.debiased and debiased is not None:
            fractions = np.where(np.isnan(fractions), np.nan, trees.part(debiased, campaign)[rows])
        labels[rows] = _labels_by(tree, chosen, names, fractions, tree.totals(own[rows]))
    return labels


def labels_of_summary(values: Iterable[str | None]) -> np.ndarray:
    """Return labels for the texts of a column ``summary``, as the data set gz_evo has it.

    Args:
        values: names of classes of the scheme ``summary``; an empty text, null or NaN where there is none.

    Returns:
        (N,) int64 index into the classes of the scheme ``summary``; :data:`UNCERTAIN` (-1) where there is none.

    Raises:
        ValueError: a text is not one of these names.
    """
    names = get_scheme("summary").class_names
    label_of = {name: label for label, name in enumerate(names)} | {"": UNCERTAIN}
    labels = []
    for row, value in enumerate(values):
        text = "" if value is None or value != value else str(value).strip()  # NaN differs from itself
        text = _OTHER_NAMES.get(text, text)
        if text not in label_of:
            raise ValueError(
                f"row {row} has summary={value!r}, which is not one of {', '.join(names)}; mend it, or leave it empty"
            )
        labels.append(label_of[text])
    return np.array(labels, dtype=np.int64)
