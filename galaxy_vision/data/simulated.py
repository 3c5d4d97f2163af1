"""The default data set: simulated galaxies, which are drawn once and cached."""

import functools
import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import datasets
from filelock import FileLock
from tqdm.auto import tqdm

from ..runtime.hardware import available_cores
from ..simulation.render import simulate_galaxy
from .labels import assign_labels, get_scheme
from .schema import Card, galaxy_features
from .writer import write_dataset

VERSION = 3
"""Version of the simulation. Increased when its galaxies change, so that old caches are not used."""
LABEL_SCHEME = "hubble"
JPEG_QUALITY = 90
"""Quality of the stored JPEG. Ours: that of ``simulation.render``, which imitates the cut-out service of SDSS."""


def _draw(index: int, seed: int) -> dict:
    galaxy = simulate_galaxy(seed, index)
    file = io.BytesIO()
    galaxy.image.save(file, "JPEG", quality=JPEG_QUALITY)
    row = {"image": file.getvalue(), "id": f"simulated-{seed}-{index}", "votes": galaxy.votes}
    label = int(assign_labels(galaxy.votes, LABEL_SCHEME))
    return row | {"num_classifications": galaxy.num_classifications, "label": label, "kind": galaxy.parameters.kind}


def simulated_rows(num_galaxies: int, seed: int) -> Iterator[dict]:
    """Yield rows in order, drawn on all cores; their content does not depend on the number of cores."""
    with ProcessPoolExecutor(available_cores()) as pool:
        rows = pool.map(functools.partial(_draw, seed=seed), range(num_galaxies), chunksize=25)
        yield from tqdm(rows, total=num_galaxies, desc="simulating galaxies", unit=" galaxies")


def simulated_source(num_galaxies: int, seed: int) -> tuple[Iterator[dict], datasets.Features, Card]:
    """Return rows, features and card, as the builders need them.

    Raises:
        ValueError: ``num_galaxies`` is below 1, or ``seed`` below 0.
    """
    if num_galaxies < 1 or seed < 0:
        raise ValueError(f"num_galaxies={num_galaxies} must be 1 or more, and seed={seed} 0 or more")
    card = Card(
        "Simulated galaxies",
        "Galaxies drawn from known parameters with GalSim profiles, PSF and noise, in the colours and at the scale "
        "of Galaxy Zoo 2 (212 px of 0.04 petroR90), and the votes of simulated volunteers. `kind` is the truth.",
        "apache-2.0",
        "Made by galaxy_vision with GalSim (Rowe et al. 2015, Astronomy and Computing 10, 121).",
        LABEL_SCHEME,
    )
    features = galaxy_features(get_scheme(LABEL_SCHEME).class_names, kind="string")
    return simulated_rows(num_galaxies, seed), features, card


def simulated_dataset(num_galaxies: int, seed: int, campaign: str = "gz2") -> Path:
    """Return the folder of the cached data set, which the first call writes."""
    folder = Path(datasets.config.HF_CACHE_HOME) / "galaxy_vision" / f"simulated-v{VERSION}-{num_galaxies}-{seed}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # if several runs start at once, one draws and the others wait
        if not folder.exists():
            rows, features, card = simulated_source(num_galaxies, seed)
            command = f"python datasets_scripts/simulated_galaxies.py --num_galaxies {num_galaxies} --seed {seed}"
            write_dataset(rows, folder, features, card._replace(command=command))
    return folder
