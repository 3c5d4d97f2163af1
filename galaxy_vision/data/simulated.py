"""The default data set: simulated galaxies, which are drawn once and cached."""

import functools
import hashlib
import io
import json
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import datasets
import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from ..models.trees import Trees
from ..runtime.hardware import available_cores
from ..simulation.render import simulate_galaxy
from ..simulation.volunteers import check_answerable
from .labels import assign_labels, class_names_for, default_scheme
from .schema import Card, galaxy_features
from .writer import write_dataset

VERSION = 3
"""Version of the simulation. Increased when its galaxies change, so that old caches are not used."""
JPEG_QUALITY = 90
"""Quality of the stored JPEG. Ours: that of ``simulation.camera``, which imitates the cut-out service of SDSS."""


def _draw(index: int, seed: int, trees: Trees) -> dict:
    """Return the row of a galaxy, on which the volunteers of one of the campaigns vote; those take turns."""
    tree = list(trees.values())[index % len(trees)]
    galaxy = simulate_galaxy(seed, index, tree)
    file = io.BytesIO()
    galaxy.image.save(file, "JPEG", quality=JPEG_QUALITY)
    votes = np.full(trees.num_answers, np.nan, np.float32)
    votes[trees.slices[tree.name]] = galaxy.votes
    row = {"image": file.getvalue(), "id": f"simulated-{seed}-{index}", "votes": votes}
    label = int(assign_labels(votes, default_scheme(trees), trees=trees))
    return row | {"num_classifications": galaxy.num_classifications, "label": label, "kind": galaxy.parameters.kind}


def simulated_rows(num_galaxies: int, seed: int, trees: Trees) -> Iterator[dict]:
    """Yield rows in order, drawn on all cores; their content does not depend on the number of cores."""
    with ProcessPoolExecutor(available_cores()) as pool:
        rows = pool.map(functools.partial(_draw, seed=seed, trees=trees), range(num_galaxies), chunksize=25)
        yield from tqdm(rows, total=num_galaxies, desc="simulating galaxies", unit=" galaxies")


def simulated_source(
    num_galaxies: int, seed: int, trees: Trees | None = None
) -> tuple[Iterator[dict], datasets.Features, Card]:
    """Return rows, features and card, as the builders need them.

    Args:
        num_galaxies: number of rows.
        seed: of the survey. Image and truth of a galaxy depend on it and on the number of the galaxy alone.
        trees: whose questions are answered, by default those of Galaxy Zoo 2; of several, each galaxy has the votes of
            one, in turn.

    Raises:
        ValueError: ``num_galaxies`` is below 1, ``seed`` below 0, a question is not simulated, or the questions do not
            decide two classes.
    """
    if num_galaxies < 1 or seed < 0:
        raise ValueError(f"num_galaxies={num_galaxies} must be 1 or more, and seed={seed} 0 or more")
    trees = trees or Trees()
    for tree in trees.values():
        check_answerable(tree)
    description = (
        "Galaxies drawn from known parameters with GalSim profiles, PSF and noise, in the colours and at the scale "
        "of Galaxy Zoo 2 (212 px of 0.04 petroR90), and the votes of simulated volunteers. `kind` is the truth."
    )
    if trees != Trees():
        turns = "" if len(trees) == 1 else "; each galaxy has the votes of one of these campaigns"
        description += f" They answer the questions of {', '.join(trees)}{turns}."
    card = Card(
        "Simulated galaxies",
        description,
        "apache-2.0",
        "Made by galaxy_vision with GalSim (Rowe et al. 2015, Astronomy and Computing 10, 121).",
        default_scheme(trees),
        trees=trees,
    )
    marked = None if trees == Trees() else trees
    features = galaxy_features(class_names_for(default_scheme(trees), trees), trees=marked, kind="string")
    return simulated_rows(num_galaxies, seed, trees), features, card


def _key(trees: Trees) -> str:
    """Return the end of the name of a cache folder; empty for Galaxy Zoo 2."""
    if trees == Trees():
        return ""
    content = json.dumps(trees.to_list()).encode()  # two trees of one's own may have the same name
    return f"-{re.sub(r'[^A-Za-z0-9_]+', '_', '-'.join(trees))[:60]}-{hashlib.sha256(content).hexdigest()[:8]}"


def simulated_dataset(num_galaxies: int, seed: int, trees: Trees | None = None) -> Path:
    """Return the folder of the cached data set, which the first call writes; see :func:`simulated_source`."""
    name = f"simulated-v{VERSION}-{num_galaxies}-{seed}{_key(trees or Trees())}"
    folder = Path(datasets.config.HF_CACHE_HOME) / "galaxy_vision" / name
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # if several runs start at once, one draws and the others wait
        if not folder.exists():
            rows, features, card = simulated_source(num_galaxies, seed, trees)
            command = f"python datasets_scripts/simulated_galaxies.py --num_galaxies {num_galaxies} --seed {seed}"
            command += "" if card.trees == Trees() else f" --campaign {shlex.quote(','.join(card.trees))}"
            write_dataset(rows, folder, features, card._replace(command=command))
    return folder
