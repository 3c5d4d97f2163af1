"""What claims of a query have to do with each other in the tree: one needs another, or excludes it."""

from collections.abc import Sequence
from functools import reduce

from ..captions.plan import plan_of
from ..models.tree import DecisionTree
from .query import Clause, Term


def _routes(key: str, tree: DecisionTree) -> set[str]:
    """Return the keys that every volunteer who gave this one must have given before."""
    plan = plan_of(tree)
    ways = [_before(question, tree) for question, _ in plan.asks.get(key, ())]
    return reduce(set.intersection, ways) if ways else set()


def _before(question: str, tree: DecisionTree) -> set[str]:
    plan = plan_of(tree)
    step = next(step for step in plan.steps if step.name == question)
    ways = [set(way.keys) | _meant(way.answers, tree) | _before(way.question, tree) for way in step.ways]
    return reduce(set.intersection, ways) if ways else set()


def _meant(answers: Sequence[int], tree: DecisionTree) -> set[str]:
    return {key for key, asked in plan_of(tree).asks.items() for _, own in asked if set(answers) <= set(own)}


def without_implied(clauses: Sequence[Clause], tree: DecisionTree) -> tuple[tuple[Clause, ...], list[str]]:
    """Leave out plain terms that another one needs, since its reach counts them; return notes that say so."""
    single = {clause.alternatives[0][0]: clause for clause in clauses if len(clause.terms) == 1}
    asked = {term.keys[0] for term in single if not term.denied}
    kept, notes = [], []
    for clause in clauses:
        term = clause.alternatives[0][0]
        needs = [key for key in asked if term.keys[0] in _routes(key, tree)] if clause in single.values() else []
        if needs and term == Term(term.keys):
            notes.append(f"{term} counts with {Term((min(needs),))}: only those who say it are asked")
        else:
            kept.append(clause)
    return tuple(kept), notes


def exclusions(clauses: Sequence[Clause], tree: DecisionTree) -> list[str]:
    """Return a sentence on each pair of claims that no volunteer can have made together."""
    plain = [clause.terms[0].keys[0] for clause in clauses if len(clause.terms) == 1 and not clause.terms[0].denied]
    pairs = [
        (first, second)
        for index, first in enumerate(plain)
        for second in plain[index + 1 :]
        if frozenset((first, second)) in plan_of(tree).excluding
    ]
    return [
        f"no volunteer can have said both {Term((first,))} and {Term((second,))}, so probabilities are low"
        for first, second in pairs
    ]
