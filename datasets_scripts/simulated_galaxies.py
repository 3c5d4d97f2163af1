"""Build a Hugging Face data set of simulated galaxies and the votes of simulated volunteers.

python datasets_scripts/simulated_galaxies.py --num_galaxies 3000 --seed 0 --output_dir simulated
python datasets_scripts/simulated_galaxies.py --num_galaxies 3000 --campaign gz_desi --output_dir simulated_desi
"""

import argparse

from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.campaigns import wanted_trees
from galaxy_vision.data.simulated import simulated_source


def make(args: argparse.Namespace):
    return simulated_source(args.num_galaxies, args.seed, wanted_trees(args.campaign, args.tree))


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--num_galaxies", type=int, default=3000, help="number of galaxies to draw")
    parser.add_argument("--seed", type=int, default=0, help="number of the simulated survey")
    parser.add_argument(
        "--campaign",
        metavar="NAME[,NAME]",
        help="campaign whose questions the volunteers answer (galaxy-vision trees lists them; default: gz2); of "
        "several, each galaxy has the votes of one",
    )
    parser.add_argument("--tree", help="JSON file of a decision tree of your own, whose answers have concepts")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
