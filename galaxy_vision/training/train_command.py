"""Learn labels of your own from a trained model: ``galaxy-vision train``.

    galaxy-vision train --data mine.csv                # a table of paths and labels: CSV, FITS or VOTable
    galaxy-vision train --data mine/                   # a folder of class folders, a zip of one, or a Hub id
    galaxy-vision train --data mine.csv --folds 5      # few labels: test all of them by cross-validation
    galaxy-vision train --data mine.csv --probe        # the head alone, in seconds

It is the run of ``accelerate launch train_classifier.py --dataset mine.csv --init_from galaxy-resnet``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..runtime.arguments import arg, parse_arguments
from ..runtime.shipped import CLASSIFIER
from .checks import check_classifier_rows
from .classifier_arguments import ClassifierRun
from .loop import Run
from .own_labels import learn_own_labels
from .rounds import in_rounds
from .rows import load_rows
from .starting_point import load_start, settled_image_processor


@dataclass
class Arguments(ClassifierRun):
    """Arguments of ``galaxy-vision train``; also the keys of a JSON arguments file."""

    command: ClassVar[str] = "galaxy-vision train"

    data: str | None = arg(
        None,
        "your labels: a table with a column of paths (CSV, FITS, VOTable), a folder of class folders, a zip, a folder "
        "of datasets_scripts, or a Hub id",
    )
    output_dir: str = arg("runs/mine", "folder for the model, metrics.json, figures and checkpoints")
    init_from: str | None = arg(CLASSIFIER, "trained classifier to start from: folder, Hub id, or the shipped one")

    def __post_init__(self):
        super().__post_init__()
        if self.data is not None:
            self.dataset = self.data
            self.resolved.add("dataset")
        if "dataset" not in self.given and self.data is None:
            raise ValueError("data is missing; give --data, a table of paths and labels, or a folder of class folders")


def train(run: Run) -> dict | None:
    """Train on the labels; as ``train_classifier.py`` does with ``--init_from``."""
    args = run.args
    start = load_start(run, GalaxyResNetForImageClassification, ("backbone",))
    processor = settled_image_processor(run)
    rows = load_rows(run, processor, check_classifier_rows)
    if not rows.own:
        raise SystemExit(
            f"error: data={args.dataset!r} has the votes of {', '.join(rows.trees)} and no labels of your own; train "
            "on it by train_classifier.py, or name your columns by --label_columns"
        )
    return learn_own_labels(run, rows, start, processor)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    in_rounds(parse_arguments(Arguments, __doc__, argv, prog="galaxy-vision train"), train)
    return 0
