"""Build a Hugging Face data set of simulated galaxies and the votes of simulated volunteers.

python datasets_scripts/simulated_galaxies.py --num_galaxies 3000 --seed 0 --output_dir simulated
"""

import argparse

from galaxy_vision.data.builder import builder_parser, run_builder
from galaxy_vision.data.simulated import simulated_source


def make(args: argparse.Namespace):
    return simulated_source(args.num_galaxies, args.seed)


def main(argv: list[str] | None = None) -> None:
    parser = builder_parser(__doc__)
    parser.add_argument("--num_galaxies", type=int, default=3000, help="number of galaxies to draw")
    parser.add_argument("--seed", type=int, default=0, help="number of the simulated survey")
    run_builder(parser, argv, make)


if __name__ == "__main__":
    main()
