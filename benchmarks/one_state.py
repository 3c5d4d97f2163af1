"""How often class and caption of one galaxy contradict each other, and how much captions hedge and repeat.

    python benchmarks/one_state.py --dataset galaxy_zoo_challenge --split test --campaign gz_challenge

A caption contradicts a class where one of its claims, hedged or not, excludes what the class requires ("a smooth
galaxy" beside the class spiral), and it is silent where it claims nothing that the class requires.
"""

import argparse
from collections import Counter

from tqdm.auto import tqdm

from galaxy_vision.captions.plan import plan_of
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.data.labels import conditions_of, scheme_of
from galaxy_vision.data.load import load_galaxies, read_image
from galaxy_vision.data.schemes import get_scheme
from galaxy_vision.inference.describe import Describer
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.runtime.shipped import CAPTIONER, CLASSIFIER


def required_by(scheme: str, tree: DecisionTree) -> dict[str, frozenset[str]]:
    """Return the concepts that each class of a scheme requires a share of."""
    return {
        known.name: frozenset(condition.concept for condition in conditions_of(tree, known) if condition.at_least > 0)
        for known in get_scheme(scheme).classes
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=CLASSIFIER, help="trained classifier: folder or Hub id")
    parser.add_argument("--captioner", default=CAPTIONER, help="trained captioner: folder or Hub id")
    parser.add_argument("--campaign", help="whose votes, of those that the classifier predicts")
    parser.add_argument("--dataset", required=True, help="as for training")
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--limit", type=int, help="look at this many galaxies only")
    args = parser.parse_args(argv)
    describer = Describer(args.model, args.captioner, campaign=args.campaign)
    tree, config = describer.tree, describer.classifier.config
    scheme = scheme_of([config.id2label[label] for label in range(config.num_labels)], describer.classifier.trees)
    if scheme is None:
        raise SystemExit(
            f"error: the classes of model={args.model!r} are not those of a scheme, which say what they need"
        )
    required, excluding = required_by(scheme, tree), plan_of(tree).excluding
    rows = load_galaxies(args.dataset)[args.split]
    counts, captions, of_class = Counter(), Counter(), {name: Counter() for name in required}
    for row in tqdm(range(min(len(rows), args.limit or len(rows))), disable=None):
        description = describer(read_image(rows, row))
        claims, needed = parse_claims(description["caption"], tree), required[description["class"]]
        contradicts = any(frozenset((claim.concept, concept)) in excluding for claim in claims for concept in needed)
        found = {
            "contradicted": contradicts,
            "silent": not contradicts and not any(claim.concept in needed for claim in claims),
            "hedged": any(claim.hedged for claim in claims),
            "hedged twice": sum(claim.hedged for claim in claims) > 1,
        }
        counts.update(name for name, is_so in found.items() if is_so)
        of_class[description["class"]].update(
            ["galaxies", *(name for name in ("contradicted", "silent") if found[name])]
        )
        captions[description["caption"]] += 1
    total = captions.total()
    print(
        f"{total} galaxies, {len(captions)} different captions; commonest {captions.most_common(1)[0][1] / total:.3f}"
    )
    for name in ("contradicted", "silent", "hedged", "hedged twice"):
        print(f"{name:13} {counts[name]:5d}  {counts[name] / total:.4f}")
    for name, count in of_class.items():
        print(
            f"{name:20} {count['galaxies']:5d} galaxies, contradicted {count['contradicted']}, silent {count['silent']}"
        )


if __name__ == "__main__":
    main()
