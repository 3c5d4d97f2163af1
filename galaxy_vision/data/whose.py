"""Whose votes the splits of a data set have, and the votes of several data sets side by side."""

from collections.abc import Sequence

from datasets import DatasetDict

from ..models.trees import Trees
from .campaigns import column_names
from .vote_marks import MARK, is_listed, joined_trees, marked_trees, spread
from .votes import check_whole, trees_in, votes_of, with_votes


def trees_of_all(
    data: DatasetDict, name: str, trees: Trees | None, whole: bool, unmarked: Trees | None
) -> tuple[Trees | None, tuple[str, ...]]:
    """Return the trees whose votes the splits have, and a note where nothing says it.

    Args:
        data: splits as they are stored.
        name: of the data set, for errors.
        trees: those that are wanted; None for all.
        whole: the data set must have the votes of all of these; otherwise of one.
        unmarked: whose votes a column ``votes`` has that does not say it, where ``trees`` do not.

    Raises:
        ValueError: a split does not have those that are wanted, or the splits have those of different campaigns,
            or only some of them say whose votes they have.
    """
    if all("votes" in rows.column_names for rows in data.values()):
        marks = {
            split: rows.select_columns([MARK]).with_format("arrow")[:][MARK]
            for split, rows in data.items()
            if MARK in rows.column_names
        }
        if marks:
            if without := [split for split in data if split not in marks]:
                raise ValueError(
                    f"dataset={name!r} has no column `{MARK}` in {' and '.join(without)}, and has it in "
                    f"{' and '.join(marks)}; give it to all splits, or remove it from all"
                )
            return _wanted_of(marked_trees(marks.values(), trees), name, trees, whole), ()
        if not whole and trees is not None and len(trees) > 1:
            raise ValueError(
                f"`votes` of dataset={name!r} do not say whose they are, and {', '.join(trees)} are wanted; build it "
                f"again, or add a column `{MARK}`"
            )
        if trees:
            return trees, ()
        taken = unmarked if unmarked is not None and is_listed(unmarked) else Trees()
        return taken, (_unmarked_note(name, taken),)
    if not whole and trees is not None:
        columns = {column for rows in data.values() for column in rows.column_names}
        own = [tree for tree in trees.values() if columns & set(column_names(tree))]
        trees = Trees(own) if own else trees
    found = {}
    for split, rows in data.items():
        try:
            found[split] = trees_in(rows.column_names, trees)
            if "votes" not in rows.column_names:
                for tree in (trees or {}).values():
                    check_whole(tree, rows.column_names)
        except ValueError as error:
            raise ValueError(f"{split} of dataset={name!r}: {error}; give another --campaign") from error
    (first, expected), *others = found.items()
    for split, in_split in others:
        if in_split != expected:
            kinds = [", ".join(some) if some else "no campaign" for some in (expected, in_split)]
            raise ValueError(
                f"dataset={name!r} has votes of {kinds[0]} in {first} and of {kinds[1]} in {split}; give all splits "
                "the same columns"
            )
    return expected, ()


def _wanted_of(found: Trees, name: str, wanted: Trees | None, whole: bool) -> Trees:
    """Return those of the trees of a data set that are wanted, in the order in which they are."""
    if wanted is None:
        return found
    missing = [tree.name for tree in wanted.values() if found.get(tree.name) != tree]
    if missing and (whole or len(missing) == len(wanted)):
        raise ValueError(
            f"dataset={name!r} has no votes of {missing[0]!r}; it has those of {', '.join(found)}; give another "
            "--campaign"
        )
    return Trees(tree for tree in wanted.values() if tree.name not in missing)


def _unmarked_note(name: str, taken: Trees) -> str:
    return (
        f"the votes of {name} do not say whose they are, and are taken for those of {', '.join(taken)}; build it "
        "again, or name them by --campaign"
    )


def side_by_side(several: Sequence, names: Sequence[str], wanted: Trees | None) -> None:
    """Give the splits of several data sets the votes of the campaigns of all of them, in one order.

    Args:
        several: :class:`~galaxy_vision.data.load.Galaxies`, which are changed.
        names: of the data sets.
        wanted: trees in the order that is wanted; None for that of the campaigns of the package.

    Raises:
        ValueError: none has votes of a campaign that is wanted, or two different trees have the same name.
    """
    if several[0].trees is None:
        return
    voted = [data for data in several if data.trees is not None]
    joined = joined_trees(data.trees for data in voted)
    if missing := [campaign for campaign in wanted or () if campaign not in joined]:
        raise ValueError(f"none of {', '.join(names)} has votes of {missing[0]!r}; give another --campaign")
    joined = voted[0].trees if all(data.trees == voted[0].trees for data in voted) else wanted or joined
    for data in voted:
        if (own := data.trees) != joined:
            for split, rows in data.items():
                votes = votes_of(rows.select_columns(["votes"]).with_format("arrow")[:], own)
                data[split] = with_votes(rows, spread(votes, own, joined))
            data.trees = joined
