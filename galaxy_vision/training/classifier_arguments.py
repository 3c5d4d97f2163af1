"""Arguments of a classifier's training run, of ``train_classifier.py`` and of ``galaxy-vision train``."""

import re
from dataclasses import dataclass

from ..data.own_tasks import TASKS, OwnLabels
from ..runtime.arguments import arg
from .arguments import TrainingRun
from .limits import check_choice, check_least, check_pretrained_backbone

SCORES = ("loss", "rmse_37", "rmse_known")
"""Validation scores that can select the epoch."""

CLASS_WEIGHTINGS = {"none": 0.0, "sqrt": -0.5, "balanced": -1.0}
"""Powers of the number of rows of a class, by which it weighs in the loss."""


@dataclass
class ClassifierRun(TrainingRun):
    """Arguments of a classifier's training run; also the keys of a JSON arguments file."""

    output_dir: str = arg("runs/classifier", "folder for the model, metrics.json, figures and checkpoints")
    pretrained_backbone: str | None = arg(
        None, "start from these timm weights, such as resnet18.a1_in1k (downloads from the Hub)"
    )
    init_from: str | None = arg(
        None,
        "start from this trained classifier (folder, Hub id, or galaxy-resnet, which comes with the package): its "
        "weights as far as they mean the same here, and its backbone, image size, crop and dropout where not given",
    )
    predict_votes: bool = arg(True, "learn the votes too, where the data set has them")
    class_weighting: str = arg(
        "sqrt", "none, sqrt or balanced: loss weight of a class, 1, n^-1/2 or n^-1 of its rows, mean 1"
    )
    select_by: str = arg(
        "loss",
        "validation score of the epoch that is kept: loss, which asks for the right certainty too, rmse_37 (of Kaggle, "
        "over rows with all 37 answers), or rmse_known (over the answers that are known)",
    )
    task: str | None = arg(None, f"of labels of your own: {', '.join(TASKS)} (default: that which their columns show)")
    label_columns: str | None = arg(
        None, "columns of your own labels, separated by commas (default: label, or those that look like labels)"
    )
    image_root: str | None = arg(None, "folder in which the paths of a table begin (default: that of the table)")
    labels_per_class: int = arg(
        0, "learn from at most so many rows of each class, drawn by the seed; of numbers, from so many rows (0: all)"
    )
    folds: int = arg(
        0, "cross-validation: learn so many models, each without another part of the rows, and score all rows by them"
    )
    fold: str | None = arg(None, "hold out this part of the rows as the test split, such as 2/5")
    learning_curve: bool = arg(False, "learn from 10, 30, 100, ... rows of each class too, and draw the scores")
    drop_votes: bool = arg(False, "do not keep the head for votes of the model that labels of your own start from")
    probe: bool = arg(False, "learn the head alone, on features averaged over turned images: in seconds")

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "select_by", SCORES)
        check_choice(self, "class_weighting", tuple(CLASS_WEIGHTINGS))
        check_choice(self, "task", (None, *TASKS))
        check_pretrained_backbone(self)
        check_least(self, {"labels_per_class": 0, "folds": 0})
        if self.folds == 1 or self.folds > 100:
            raise ValueError(f"folds={self.folds} is not 2 to 100; give 5, or leave it out")
        if self.fold is not None and not re.fullmatch(r"\d+/\d+", self.fold):
            raise ValueError(f"fold={self.fold!r} is not such as 2/5, the second of five; mend it")

    @property
    def own(self) -> OwnLabels:
        """How labels of one's own are read."""
        columns = tuple(name.strip() for name in (self.label_columns or "").split(",") if name.strip())
        return OwnLabels(self.task, columns, self.image_root)
