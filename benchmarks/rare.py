"""Find a rare class: 1 % of the galaxies, by `galaxy-vision label --find` after 0, 10, 30 and 100 labels.

    python benchmarks/rare.py simulated --count 2000
    python benchmarks/rare.py galaxy_zoo_2 --without_twins_of galaxy_zoo_challenge galaxy_zoo_classes

In each draw 1 % of the pool is the rare class, and labels are the truth. All galaxies are then ranked: those that were
labelled as the rare class first, those without label by what the method says of them, and those that were labelled as
something else last. Printed is the share of the rare class in the first 1 % and the first 5 % of the ranking: the mean
over draws and classes with its standard error. Methods:

* random order: of all that nobody labelled, without a model;
* isolation forest: the most anomalous embeddings first, which takes no labels;
* labels in random order: the same probe, but of random galaxies;
* find, from nothing: the order of the page, which begins with galaxies that differ from each other;
* find, from one example: `--like`, an image of the rare class that is not in the pool.
"""

import argparse
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from datasets import concatenate_datasets
from sklearn.ensemble import IsolationForest

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.twins import without_twins
from galaxy_vision.inference.embeddings import Embedder, embed_rows
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.label.queue import likeliest_first, nearest
from galaxy_vision.models.losses import SINGLE_LABEL
from galaxy_vision.runtime.hardware import available_cores
from galaxy_vision.runtime.shipped import CLASSIFIER
from galaxy_vision.simulation.render import simulate_galaxy
from galaxy_vision.simulation.visibility import visibility
from galaxy_vision.training.probe import fit_probe

SHARE = 0.01
STEPS = (0, 10, 30, 100)
WINDOWS = (0.01, 0.05)
REFIT = 5
"""Labels after which the page learns again, by default."""
VISIBLE = 0.5
"""Visibility above which a simulated ring counts as one; half of the simulated volunteers see it then."""
LEAST_OF_KIND = 12
"""Galaxies that a kind needs, of which other ones are the rare class in every draw."""


def simulated(count: int, seed: int, embedder: Embedder) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the embeddings of simulated galaxies without ring, and of those with one that is seen."""
    with ThreadPoolExecutor(available_cores()) as pool:
        drawn = list(pool.map(lambda index: simulate_galaxy(seed, index), range(count)))
    files = []
    for galaxy in drawn:
        file = io.BytesIO()
        galaxy.image.save(file, "PNG")
        files.append(file.getvalue())
    vectors = np.stack(embedder(files))
    rings = np.array([visibility(galaxy.parameters).ring for galaxy in drawn])
    return {"ring": (vectors[rings == 0], vectors[rings > VISIBLE])}


def real(args: argparse.Namespace, model, processor) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each class of a data set the embeddings of all others, and of it."""
    data = load_galaxies(args.dataset)
    rows = concatenate_datasets(list(data.values()))
    for learned in args.without_twins_of:
        rows = without_twins(rows, concatenate_datasets(list(load_galaxies(learned).values())))
    rows = rows.filter(lambda label: label is not None and label >= 0, input_columns=["label"])
    vectors, labels = embed_rows(model, rows, processor, args.rotations), np.array(rows["label"])
    names = rows.features["label"].names
    print(
        f"{len(rows)} galaxies with a class, none of them in {', '.join(args.without_twins_of) or 'another data set'}"
    )
    return {
        name: (vectors[labels != label], vectors[labels == label])
        for label, name in enumerate(names)
        if LEAST_OF_KIND <= (labels == label).sum() <= len(labels) / 2
    }


def count_of(others: np.ndarray) -> int:
    """Return the number of rare galaxies that makes :data:`SHARE` of a pool."""
    return max(round(SHARE * len(others) / (1 - SHARE)), 1)


def pool_of(others: np.ndarray, rare: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings in which :data:`SHARE` is rare, which are rare, and that of one rare galaxy outside of them."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(rare))[: count_of(others) + 1]
    vectors = np.concatenate([others, rare[chosen[1:]]])
    order = random.permutation(len(vectors))
    return vectors[order], (np.arange(len(vectors)) >= len(others))[order], rare[chosen[:1]]


def scores_of(vectors: np.ndarray, labelled: list[int], is_rare: np.ndarray, examples: np.ndarray) -> np.ndarray | None:
    """Return what the probe says of each galaxy, or before it the likeness to known rare ones; None without any."""
    known = np.concatenate([vectors[labelled], examples])
    targets = np.concatenate([is_rare[labelled], np.ones(len(examples), bool)]).astype(int)
    if 0 < targets.sum() < len(targets):
        return fit_probe(known, targets, SINGLE_LABEL, ["other", "rare"]).predict(vectors)[:, 1]
    return -nearest(vectors, known)[1] if targets.sum() else None


def loop(
    vectors: np.ndarray, is_rare: np.ndarray, examples: np.ndarray, seed: int, at_random: bool = False
) -> dict[int, tuple[list[int], np.ndarray]]:
    """Label as the page does; return the labelled galaxies and the scores of all after each of :data:`STEPS`."""
    random, labelled, results = np.random.default_rng(seed), [], {}
    while True:
        scores = scores_of(vectors, labelled, is_rare, examples)
        if len(labelled) in STEPS:
            results[len(labelled)] = (list(labelled), random.random(len(vectors)) if scores is None else scores)
        if len(labelled) >= STEPS[-1]:
            return results
        is_open = np.ones(len(vectors), bool)
        is_open[labelled] = False
        if at_random:
            chosen = random.permutation(np.flatnonzero(is_open))[:REFIT]
        else:
            rare = np.concatenate([examples, vectors[[index for index in labelled if is_rare[index]]]])
            done, number = np.array(labelled, int), seed + len(labelled)
            chosen = likeliest_first(vectors, is_open, done, rare, scores, REFIT, number)
        labelled += chosen.tolist()


def found(is_rare: np.ndarray, labelled: list[int], scores: np.ndarray) -> list[float]:
    """Return the share of the rare class in each of :data:`WINDOWS` of the ranking."""
    rank = scores - scores.min()
    rank = rank / max(rank.max(), 1e-12)
    rank[labelled] = np.where(is_rare[labelled], 2.0, -1.0)
    order = np.argsort(-rank, kind="stable")
    return [is_rare[order[: max(round(window * len(order)), 1)]].sum() / is_rare.sum() for window in WINDOWS]


def compare(others: np.ndarray, rare: np.ndarray, draws: int) -> dict[tuple[str, int], list[list[float]]]:
    """Return the shares of every method and number of labels, one list for each draw."""
    shares: dict[tuple[str, int], list[list[float]]] = {}
    for draw in range(draws):
        vectors, is_rare, example = pool_of(others, rare, draw)
        nothing, random = example[:0], np.random.default_rng(draw)
        forest = -IsolationForest(n_estimators=200, random_state=draw).fit(vectors).score_samples(vectors)
        ways: dict[str, Callable] = {
            "labels in random order": lambda: loop(vectors, is_rare, nothing, draw, at_random=True),  # noqa: B023
            "find, from nothing": lambda: loop(vectors, is_rare, nothing, draw),  # noqa: B023
            "find, from one example": lambda: loop(vectors, is_rare, example, draw),  # noqa: B023
        }
        for steps in STEPS:
            seen = random.permutation(len(vectors))[:steps].tolist()
            rows = shares.setdefault(("random order", steps), [])
            rows.append(found(is_rare, seen, random.random(len(vectors))))
        shares.setdefault(("isolation forest", 0), []).append(found(is_rare, [], forest))
        for name, way in ways.items():
            for steps, (labelled, scores) in way().items():
                shares.setdefault((name, steps), []).append(found(is_rare, labelled, scores))
    return shares


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="'simulated', or a data set with classes that the weights have not seen")
    parser.add_argument("--without_twins_of", nargs="*", default=[], help="data sets that the weights have seen")
    parser.add_argument("--model", default=CLASSIFIER, help="classifier (%(default)s)")
    parser.add_argument("--count", type=int, default=2000, help="simulated galaxies (%(default)s)")
    parser.add_argument("--draws", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--rotations", type=int, default=4, choices=(1, 4, 8), help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=7_000_000, help="of the simulated galaxies (%(default)s)")
    args = parser.parse_args(argv)
    model, processor = load_classifier(args.model)
    if args.dataset == "simulated":
        kinds = simulated(args.count, args.seed, Embedder(model, processor, args.rotations, frame=None))
    else:
        kinds = real(args, model, processor)
    together: dict[tuple[str, int], list[list[float]]] = {}
    for name, (others, rare) in kinds.items():
        print(
            f"{name}: {len(others)} others, {max(round(SHARE * len(others) / (1 - SHARE)), 1)} of {len(rare)} in a draw"
        )
        for key, rows in compare(others, rare, args.draws).items():
            together.setdefault(key, []).extend(rows)
    print("\n| method | labels | first 1 % | first 5 % |\n|---|---|---|---|")
    for (name, steps), rows in sorted(together.items(), key=lambda item: item[0][1]):
        table = np.array(rows)
        cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in zip(table.mean(0), _error(table), strict=True)]
        print(f"| {name} | {steps} | {' | '.join(cells)} |")


def _error(table: np.ndarray) -> np.ndarray:
    return table.std(0, ddof=1) / len(table) ** 0.5 if len(table) > 1 else np.zeros(table.shape[1])


if __name__ == "__main__":
    main()
