"""Measure searches by sentence and by example, with the votes of volunteers as relevance.

    galaxy-vision predict --catalogue galaxy_zoo_2 --output_dir gz2 --embedding --captioner galaxy-captioner
    python benchmarks/search.py --predictions gz2 --datasets galaxy_zoo_2

Several predictions, each with its data set, count as one catalogue; none of their galaxies should have been trained on.

The relevance of a galaxy for a sentence is the share of the volunteers who say all of it: the product of the fractions
of its claims, and the reach of the least asked; one minus that of a denied claim. nDCG@10 compares the sum of relevance
over log2(rank + 1) of the first ten with that of the best order. Precision counts galaxies of which most volunteers say
each part. Ways to rank: by score (what `galaxy-vision search` does), by the probability alone, by the expected share
alone, by the probability of the class that means most of it, by BM25 (Robertson & Zaragoza 2009, with its usual k1 =
1.2, b = .75) of the words of the sentence in the captions, and at random (mean of 200 orders). "Votes" ranks by the
answers of as many other volunteers, drawn by the published fractions: more cannot be expected of anybody.

Examples are ranked by the similarity of embeddings; the relevance of one galaxy for another is 1 - RMS / .174, or 0, of
the difference of their 37 shares of all volunteers (.174 is that of the mean galaxy).
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.feature_extraction.text import CountVectorizer

from galaxy_vision.captions.vocabulary import normal
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.search.examples import Embeddings, ImageEmbedder
from galaxy_vision.search.find import Finder
from galaxy_vision.search.images import images_of
from galaxy_vision.search.probability import merged, query_scores
from galaxy_vision.search.query import Query

SENTENCES = {
    "a spiral": ("spiral", "barred spiral"),
    "a merger": ("merger",),
    "a ring": (),
    "a bar": ("barred spiral",),
    "irregular": ("irregular",),
    "a dust lane": (),
    "two arms": ("spiral", "barred spiral"),
    "loosely wound arms": ("spiral", "barred spiral"),
    "an edge-on disc with a boxy bulge": ("edge-on disc",),
    "two loosely wound arms": ("spiral", "barred spiral"),
    "a barred spiral": ("barred spiral",),
    "a barred spiral with two arms": ("barred spiral",),
    "a spiral without a bar": ("spiral",),
    "a disc with no spiral arms": ("lenticular",),
    "a smooth round galaxy, nothing odd": ("elliptical",),
    "a merger, not irregular": ("merger",),
    "a ring or a lens": (),
    "a face-on spiral with a small bulge and two arms": ("spiral", "barred spiral"),
}
"""Sentence -> the classes that mean most of it; none where no class does."""
CERTAIN, COPIES = 1e6, 60
MEAN_RMS = 0.174


class Galaxies(NamedTuple):
    """Predicted galaxies with their votes: finder, rows of the prediction, and votes (N, answers)."""

    finder: Finder
    rows: pd.DataFrame
    votes: np.ndarray


def load(predictions: str, dataset: str, campaign: str | None) -> Galaxies:
    """Return the rows of a prediction whose galaxies have votes in a data set."""
    finder, votes = Finder(predictions, campaign), {}
    for split in load_galaxies(dataset).values():
        votes |= dict(zip(split["id"], split["votes"], strict=True))
    rows = pd.concat([pd.read_parquet(file) for file in finder.catalogue.files], ignore_index=True)
    rows = rows[(rows["status"] == "ok") & rows["id"].isin(votes)]
    if rows.empty:
        raise SystemExit(f"no id of {predictions} is in {dataset}; predict the data set itself")
    return Galaxies(finder, rows, np.array([votes[name] for name in rows["id"]], dtype=float))


def as_columns(votes: np.ndarray, finder: Finder, tree: DecisionTree) -> dict[str, np.ndarray]:
    """Return votes as the columns that a search reads, as certain as they can be; 0 where nobody was asked."""
    conditional, names = tree.conditional(votes), finder.votes.names
    reach, columns = np.nan_to_num(tree.reach(conditional)), {}
    for index, answer in enumerate(tree.answers):
        columns[names[answer, "fraction"]] = np.nan_to_num(conditional[:, index])
    for question, answers in tree.slices.items():
        columns[names[question, "reach"]] = reach[:, answers.start]
        columns[names[question, "certainty"]] = np.full(len(votes), CERTAIN)
    return columns


def share(query: Query, finder: Finder, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the share of the volunteers who say all of a query: score = sqrt(probability x share)."""
    found = query_scores(query, finder.catalogue.sources(finder.campaign), columns)
    return np.divide(found.score**2, found.probability, out=np.zeros(len(found.score)), where=found.probability > 1e-12)


def ndcg(relevance: np.ndarray, score: np.ndarray, count: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first rows."""
    weights = 1 / np.log2(np.arange(2, count + 2))
    order, best = np.argsort(-score, kind="stable")[:count], np.sort(relevance)[::-1][:count]
    return float((relevance[order] * weights).sum() / (best * weights).sum())


def bm25(captions: Sequence[str], sentence: str, k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    """Return the relevance of captions for the words of a sentence."""
    vectorizer = CountVectorizer(token_pattern=r"[\w'-]+")
    counts = vectorizer.fit_transform([normal(caption) for caption in captions]).toarray()
    words = [vectorizer.vocabulary_[word] for word in normal(sentence).split() if word in vectorizer.vocabulary_]
    lengths = counts.sum(1, keepdims=True) / counts.sum(1).mean()
    present = (counts[:, words] > 0).sum(0)
    weights = np.log(1 + (len(captions) - present + 0.5) / (present + 0.5))
    found = counts[:, words]
    return (weights * found * (k1 + 1) / (found + k1 * (1 - b + b * lengths))).sum(1)


def other_volunteers(votes: np.ndarray, tree: DecisionTree, rng: np.random.Generator) -> np.ndarray:
    """Return answers of as many other volunteers to each question, by the published fractions."""
    drawn = np.zeros_like(votes)
    conditional, totals = np.nan_to_num(tree.conditional(votes)), np.nan_to_num(tree.totals(votes))
    for answers in tree.slices.values():
        fractions = conditional[:, answers]
        fractions = fractions / np.maximum(fractions.sum(1, keepdims=True), 1e-12)
        for row in np.flatnonzero(totals[:, answers.start] >= 0.5):
            drawn[row, answers] = rng.multinomial(round(totals[row, answers.start]), fractions[row])
    return drawn


def by_sentence(catalogues: list[Galaxies], tree: DecisionTree) -> None:
    """Print a table of every sentence and every way to rank."""
    rng, votes = np.random.default_rng(0), np.concatenate([part.votes for part in catalogues])
    rows = pd.concat([part.rows for part in catalogues], ignore_index=True)
    finder, captions = catalogues[0].finder, rows.get("caption")
    predicted = {name: rows[name].to_numpy() for name in rows.columns}
    others = [as_columns(other_volunteers(votes, tree, rng), finder, tree) for _ in range(10)]
    truth = as_columns(votes, finder, tree)
    print(
        f"{len(rows)} galaxies\n\n| sentence | nDCG@10 | probability | share | class | captions | random | votes |",
        end="",
    )
    print(" precision at 10 | at 50 | relevant |\n|---|---|---|---|---|---|---|---|---|---|---|")
    sums = []
    for sentence, classes in SENTENCES.items():
        query = merged(finder.read(sentence), finder.catalogue.sources(finder.campaign))
        relevance = share(query, finder, truth)
        is_relevant = (query_scores(query, finder.catalogue.sources(finder.campaign), truth).clauses >= 0.5).all(-1)
        found = query_scores(query, finder.catalogue.sources(finder.campaign), predicted)
        known = [finder.catalogue.class_columns[name] for name in classes if name in finder.catalogue.class_columns]
        scores = {
            "score": found.score,
            "probability": found.probability,
            "share": share(query, finder, predicted),
            "class": rows[known].sum(axis=1).to_numpy() if known else None,
            "captions": None if captions is None else bm25(captions, sentence),
        }
        values = [np.nan if score is None else ndcg(relevance, score) for score in scores.values()]
        values.append(np.mean([ndcg(relevance, rng.random(len(rows))) for _ in range(200)]))
        values.append(np.mean([ndcg(relevance, share(query, finder, columns)) for columns in others]))
        order = np.argsort(-found.score, kind="stable")
        values += [is_relevant[order[:10]].mean(), is_relevant[order[:50]].mean()]
        sums.append(values)
        print(f"| {sentence} | {' | '.join(map(shown, values))} | {is_relevant.sum()} |")
    print(f"| mean | {' | '.join(map(shown, np.nanmean(sums, axis=0)))} | |\n")


def shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}".lstrip("0") if value < 1 else f"{value:.3f}"


def by_example(galaxies: Galaxies, tree: DecisionTree) -> None:
    """Print how similar the votes of similar galaxies are, and whether a turned copy finds its original first."""
    finder, rows = galaxies.finder, galaxies.rows
    embeddings = Embeddings(finder.catalogue)
    matrix = embeddings.matrix[rows.index].astype(np.float32)
    cosines = matrix @ matrix.T
    votes = np.nan_to_num(tree.cumulative(tree.conditional(galaxies.votes)))
    names = [finder.votes.names[answer, "fraction"] for answer in tree.answers]
    predicted = np.nan_to_num(tree.cumulative(rows[names].to_numpy()))
    rng, scores = np.random.default_rng(0), {"embedding": [], "predicted votes": [], "random": []}
    for row in range(len(rows)):
        distance = np.sqrt(((votes - votes[row]) ** 2).mean(-1))
        relevance = np.maximum(0, 1 - distance / MEAN_RMS)
        others = np.arange(len(rows)) != row
        orders = {"embedding": cosines[row], "random": rng.random(len(rows))}
        orders["predicted votes"] = -((predicted - predicted[row]) ** 2).sum(-1)
        for name, score in orders.items():
            scores[name].append(ndcg(relevance[others], score[others]))
    print(
        f"examples: {len(rows)} galaxies, nDCG@10 by " + ", ".join(f"{k} {np.mean(v):.3f}" for k, v in scores.items())
    )
    chosen = np.linspace(0, len(rows) - 1, min(COPIES, len(rows))).astype(int)
    parts = np.searchsorted(embeddings.starts, rows.index[chosen], side="right") - 1
    images, missing = images_of(finder.catalogue, list(rows["source"].iloc[chosen]), list(parts))
    if missing:
        print(missing)
    embed, first = ImageEmbedder(finder.catalogue), {"quarter turn and mirror": [], "30 degrees": []}
    for row in chosen:
        image = images.get(rows["source"].iloc[row])
        if image is None:
            continue
        turned = image.transpose(Image.Transpose.ROTATE_90).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        copies = {"quarter turn and mirror": turned, "30 degrees": image.rotate(30, Image.Resampling.BICUBIC)}
        for name, copy in copies.items():
            nearest, _ = embeddings.nearest(embed(copy), 1)
            first[name].append(nearest[0] == rows.index[row])
    for name, hits in first.items():
        print(f"a copy after {name} finds its original first: {np.mean(hits):.3f} of {len(hits)}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, help="output_dirs of galaxy-vision predict")
    parser.add_argument("--datasets", nargs="+", required=True, help="data set with the votes of each of them")
    parser.add_argument("--campaign", help="whose predicted votes count (default: the first)")
    args = parser.parse_args(argv)
    pairs = zip(args.predictions, args.datasets, strict=True)
    catalogues = [load(predictions, dataset, args.campaign) for predictions, dataset in pairs]
    tree = catalogues[0].finder.votes.tree
    by_sentence(catalogues, tree)
    for galaxies in catalogues:
        if "embedding" in galaxies.rows:
            by_example(galaxies, tree)


if __name__ == "__main__":
    main()
