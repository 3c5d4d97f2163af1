"""What is said of a scheme: its rules as a table, the classes that it leaves out, and votes that are too few for it."""

import numpy as np

from ..models.concepts import MIN_VOTES
from ..models.trees import Trees
from .labels import (
    ANSWERS,
    GALAXY_ZOO_2_ALONE,
    class_names_for,
    conditions_of,
    decides_any,
    have_no_votes,
    joined,
    missing_concepts,
)
from .schemes import SCHEMES, get_scheme


def undecidable(scheme: str, trees: Trees = GALAXY_ZOO_2_ALONE) -> list[str]:
    """Return a sentence for each class that a tree cannot decide, with what it has no votes on.

    Such a class is left out of :func:`class_names_for` where none of the trees can decide it; where another one can,
    galaxies that are labelled by this tree are never of the class.

    Raises:
        ValueError: as for :func:`class_names_for`.
    """
    if scheme == ANSWERS:
        return []
    names, chosen = class_names_for(scheme, trees), get_scheme(scheme)
    deciding = [campaign for campaign, tree in trees.items() if decides_any(tree, chosen)]
    sentences = [
        f"{campaign} has no votes for any class of label_scheme={scheme!r}; galaxies that only it has are uncertain"
        for campaign in trees
        if campaign not in deciding
    ]
    for known in chosen.classes:
        campaigns_without: dict[tuple[str, ...], list[str]] = {}
        for campaign in deciding:
            if missing := missing_concepts(trees[campaign], known):
                campaigns_without.setdefault(tuple(missing), []).append(campaign)
        if not campaigns_without:
            continue
        reasons = [have_no_votes(campaigns, missing) for missing, campaigns in campaigns_without.items()]
        owner = "its" if sum(map(len, campaigns_without.values())) == 1 else "their"
        effect = f"{owner} galaxies are never of the class {known.name}"
        effect = effect if known.name in names else f"the class {known.name} is left out"
        sentences.append(f"{joined(reasons, 'and')}; {effect}")
    return sentences


def thin_votes(votes, scheme: str = "hubble", trees: Trees = GALAXY_ZOO_2_ALONE) -> list[str]:
    """Return a sentence for each campaign of which most galaxies have too few votes for a scheme.

    Schemes with rules of Willett et al. (2013) need :data:`~galaxy_vision.models.concepts.MIN_VOTES` votes on each
    question that they use, and half of the galaxies of GZD-5 have 5, those of Euclid 4.

    Args:
        votes: (N, answers of all trees) votes; NaN where unknown.
        scheme: a name in :data:`~galaxy_vision.data.schemes.SCHEMES`.
        trees: whose votes these are.
    """
    if scheme == ANSWERS or not get_scheme(scheme).well_sampled:
        return []
    others = [name for name, other in SCHEMES.items() if not other.well_sampled and other.classes[0].conditions]
    sentences = []
    for campaign, tree in trees.items():
        first = tree.first_question.name
        totals = trees.part(np.asarray(votes, dtype=np.float64), campaign)[..., tree.slices[first]].sum(axis=-1)
        totals = totals[totals > 0]
        share = np.mean(totals < MIN_VOTES) if totals.size else 0
        if share > 0.5:
            sentences.append(
                f"{share:.0%} of the galaxies of {campaign} have fewer than {MIN_VOTES} votes on its first question, "
                f"and label_scheme={scheme!r} leaves them uncertain; {joined(others, 'or')} does not need so many"
            )
    return sentences


def scheme_table(scheme: str, trees: Trees = GALAXY_ZOO_2_ALONE) -> str:
    """Return the classes of a scheme with their rules and sources, as a Markdown table.

    Raises:
        ValueError: as for :func:`class_names_for`.
    """
    if scheme == ANSWERS:
        return f"The answer that at least half of the volunteers gave: {', '.join(class_names_for(scheme, trees))}."
    chosen, names = get_scheme(scheme), class_names_for(scheme, trees)
    lines = ["| label | class | meaning | rule (fractions of those asked) | source |", "|---|---|---|---|---|"]
    for known in chosen.classes:
        if known.name not in names:
            continue
        deciding = [conditions_of(tree, known) for tree in trees.values() if not missing_concepts(tree, known)]
        rules = []
        for condition in known.conditions:
            needed = [condition in conditions for conditions in deciding]
            if any(needed):
                rules.append(f"{condition}{'' if all(needed) else ' where it is asked first'}")
        rule = "; ".join(rules) or "always"
        lines.append(f"| {names.index(known.name)} | {known.name} | {known.meaning} | {rule} | {known.source} |")
    note = "A galaxy gets the last class whose conditions all hold; if there is none it is uncertain (-1)."
    if chosen.well_sampled:
        note += " Every question used must be well sampled (Willett et al. 2013, table 3) "
        note += f"and have at least {MIN_VOTES} votes."
    if len(trees) > 1:
        note += f" Of {joined(trees, 'and')}, the first that has votes on a galaxy decides."
    note = " ".join([note, *(f"{sentence}." for sentence in undecidable(scheme, trees))])
    return "\n".join([*lines, "", f"{note} {chosen.remark}"])
