"""A predicted catalogue as a search sees it: its Parquet parts, the votes and classes that they have, and the model."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..captions.plan import plan_of
from ..data.campaigns import campaign_names, tree_of
from ..models.tree import DecisionTree
from ..models.trees import Trees
from ..predict.column_names import INTERVAL, OF_QUESTION, vote_columns
from ..predict.parts import MANIFEST, METADATA_KEY
from .probability import Source
from .words import CLASS

EMBEDDING = "embedding"
_BESIDE_VOTES = ("id", "source", "status", "error", "reading", "doubts", "class", "uncertain", "caption", EMBEDDING)
_PROBABILITY = "probability_"


class Votes(NamedTuple):
    """The columns of the votes of one campaign.

    Attributes:
        tree: of the campaign.
        names: (answer or question, kind) -> name of the column.
        has_certainty: whether there are the columns of certainty, which version 0.3 began to write.
    """

    tree: DecisionTree
    names: dict[tuple[str | tuple[str, str], str], str]
    has_certainty: bool

    def sources(self) -> dict[str, list[Source]]:
        """Return what says how probable each claim of the tree is."""
        return {
            key: [self.of(question, answers) for question, answers in asked]
            for key, asked in plan_of(self.tree).asks.items()
        }

    def of(self, question: str, answers: Sequence[int]) -> Source:
        """Return the columns that say how probable some answers to a question are."""
        whole, names = self.tree.slices[question], self.names
        of_question = [
            tuple(names[self.tree.answers[index], kind] for kind in INTERVAL)
            for index in range(whole.start, whole.stop)
        ]
        return Source(
            tuple(names[self.tree.answers[index], "fraction"] for index in answers),
            names[question, "reach"],
            names[question, "certainty"] if self.has_certainty else None,
            () if self.has_certainty else tuple(of_question),
            question,
        )


class PredictedCatalogue:
    """The Parquet files that ``galaxy-vision predict`` wrote, or one that was made of them.

    Args:
        path: folder of the parts, or a Parquet file.

    Attributes:
        files: the parts, in order.
        schema: of the first part.
        metadata: that ``predict`` wrote into it; empty where another program wrote the file.

    Raises:
        ValueError: there are no Parquet files, one is damaged, or they are of different runs.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.exists():
            raise ValueError(f"predictions={path} does not exist; give the output_dir of galaxy-vision predict")
        is_folder = self.path.is_dir()
        found = sorted(self.path.glob("*.parquet")) if is_folder else [self.path]
        self.files = [file for file in found if not file.name.startswith(("_", "."))]
        if not self.files:
            raise ValueError(f"predictions={path} has no Parquet files; give the output_dir of galaxy-vision predict")
        self.schema, self.metadata = _read(self.files[0])
        if not self._is_complete():
            self._check_runs()

    @property
    def identity(self) -> dict:
        """What changes the values of the run that made the parts."""
        return self.metadata.get("identity", {})

    def _is_complete(self) -> bool:
        """Return whether the manifest of a finished run names just these parts, and none has changed since."""
        manifest = self.path / MANIFEST
        if not self.path.is_dir() or not manifest.is_file():
            return False
        identity = json.loads(manifest.read_text(encoding="utf-8")).get("identity", {})
        finished = manifest.stat().st_mtime_ns
        return (
            identity == self.identity
            and len(self.files) == identity.get("parts")
            and all(file.stat().st_mtime_ns <= finished for file in self.files)
        )

    def _check_runs(self) -> None:
        for file in self.files[1:]:
            schema, metadata = _read(file)
            identity = metadata.get("identity", {})
            changed = [key for key in {**self.identity, **identity} if self.identity.get(key) != identity.get(key)]
            if changed or schema.names != self.schema.names:
                what = f"{', '.join(sorted(changed))} differ" if changed else "their columns differ"
                raise ValueError(
                    f"{self.files[0].name} and {file.name} in {self.path} are of different runs ({what}); "
                    "search one run at a time, or predict the whole catalogue again"
                )

    @cached_property
    def votes(self) -> dict[str, Votes]:
        """Campaign -> its columns; empty for a model without votes."""
        recorded = self.metadata.get("trees")
        if recorded:
            found = _columns(Trees.from_list(recorded), self.schema.names)
        else:  # of an older version, or written again by another program
            names = self.identity.get("campaigns") or campaign_names()
            trees = [tree_of(name) for name in names if name in campaign_names()]
            found = _columns(Trees(trees), self.schema.names) if self.identity.get("campaigns") and trees else {}
            for tree in trees if not found else ():
                found |= _columns(Trees([tree]), self.schema.names)
        return found

    def votes_of(self, campaign: str | None) -> Votes | None:
        """Return the columns of a campaign, or of the first; None for a model without votes.

        Raises:
            ValueError: the catalogue does not have the campaign.
        """
        if campaign is None:
            return next(iter(self.votes.values()), None)
        if campaign not in self.votes:
            known = f"of {', '.join(self.votes)}" if self.votes else "of no campaign"
            raise ValueError(f"campaign={campaign!r}: the catalogue has votes {known}; choose one of these")
        return self.votes[campaign]

    @cached_property
    def class_columns(self) -> dict[str, str]:
        """Class -> the column of its probability."""
        if "class_columns" in self.metadata:
            return dict(zip(self.metadata["class_names"], self.metadata["class_columns"], strict=True))
        names = [name for name in self.schema.names if name.startswith(_PROBABILITY)]
        return {name.removeprefix(_PROBABILITY).replace("_", " "): name for name in names}

    def sources(self, campaign: str | None = None) -> dict[str, list[Source]]:
        """Return what says how probable each claim and each class is."""
        votes = self.votes_of(campaign)
        uncertain = "uncertain" if "uncertain" in self.schema.names else None
        classes = {
            CLASS + name: [Source((column,), uncertain=uncertain)] for name, column in self.class_columns.items()
        }
        return (votes.sources() if votes else {}) | classes

    def check_embedding(self) -> None:
        """Check that the catalogue has embeddings; raise ValueError otherwise."""
        if EMBEDDING not in self.schema.names:
            raise ValueError(
                f"predictions={self.path} has no column {EMBEDDING!r}; run galaxy-vision predict with --embedding"
            )


def _read(file: Path) -> tuple[pa.Schema, dict]:
    try:
        schema = pq.read_schema(file)
        return schema, json.loads((schema.metadata or {}).get(METADATA_KEY, "{}"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{file} is damaged ({reason}); remove it, and run galaxy-vision predict again") from error


def _columns(trees: Trees, names: Sequence[str]) -> dict[str, Votes]:
    """Return the columns of those trees that a table has, by the names that ``predict`` gives them."""
    taken = [name for name in names if name in _BESIDE_VOTES or name.startswith(_PROBABILITY)]
    found = {}
    for campaign, columns in vote_columns(trees, taken).items():
        tree = trees[campaign]
        keys = [(answer, kind) for answer in tree.answers for kind in INTERVAL]
        keys += [(question.name, kind) for kind in OF_QUESTION for question in tree.questions]
        known = {key: column for key, column in zip(keys, columns, strict=True) if column in names}
        missing = {kind for _, kind in set(keys) - set(known)}
        if missing <= {"certainty"}:
            found[campaign] = Votes(tree, known, not missing)
    return found
