"""Arguments that both training scripts have."""

from dataclasses import dataclass, fields

from ..data.augmentation import Augmentation
from ..data.campaigns import wanted_trees
from ..models.trees import Trees
from ..runtime.arguments import arg
from .limits import check_run


@dataclass
class TrainingRun:
    """Arguments of any training run; also keys of a JSON arguments file."""

    dataset: str = arg(
        "simulated", "'simulated', a folder written by datasets_scripts, a folder of class folders, or a Hub id"
    )
    also: str | None = arg(
        None, "further data sets, separated by commas, whose training rows are added to those of --dataset"
    )
    output_dir: str = arg("runs/model", "folder for the model, metrics.json, figures and checkpoints")
    label_scheme: str | None = arg(
        None,
        "hubble, summary, threshold or answers (to the first question): how votes become classes (default: the data "
        "set's own classes, else hubble, else answers)",
    )
    campaign: str | None = arg(
        None,
        "campaigns whose votes are learned, such as gz_desi or gz_decals_dr5,gz_hubble; galaxy-vision trees lists them "
        "(default: all that the data set has; of 'simulated' gz2)",
    )
    tree: str | None = arg(None, "JSON file of a decision tree of your own, whose votes the data set has")
    num_simulated: int = arg(2400, "galaxies of the simulated data set")
    max_rows: int = arg(0, "use at most so many rows of each split (0: all)")
    streaming: bool = arg(
        False, "read the training rows while training, for Parquet data sets that are larger than the disk"
    )
    shuffle_buffer: int = arg(10_000, "with streaming: rows that each process holds and shuffles, undecoded")
    backbone: str | None = arg(
        None,
        "any ResNet of timm by name, for a classifier also another convolutional network whose maps have a stride of "
        "32, such as tf_efficientnet_lite0 (default: that of the model it starts from, else resnet10t)",
    )
    image_size: int = arg(64, "side of the input in pixels")
    crop_fraction: float = arg(0.6, "side of the central square that is used, as a share of the image")
    drop_rate: float = arg(0.0, "dropout before the heads")
    augmentation: bool = arg(True, "turn, mirror, zoom and shift the training images at random")
    max_zoom: float = arg(1.15, "of the augmentation: largest enlargement, and its inverse the smallest")
    max_shift: float = arg(0.04, "of the augmentation: largest shift along each axis, as a share of the side")
    margin: float = arg(
        1.0,
        "training images are cached this many times wider than the crop, at most 1 / crop_fraction, so that what is "
        "turned, zoomed and shifted in is sky and not a mirror image",
    )
    max_blur: float = arg(0.0, "of the augmentation: largest sigma of a Gaussian blur in pixels of the input")
    max_noise: float = arg(0.0, "of the augmentation: largest standard deviation of noise, white being 1")
    max_brightness: float = arg(1.0, "of the augmentation: largest factor of the brightness, and its inverse")
    max_colour: float = arg(1.0, "of the augmentation: largest factor of a colour against the others, and its inverse")
    grey_share: float = arg(0.0, "of the augmentation: share of the views that are grey")
    epochs: int = arg(10, "passes over the training rows")
    batch_size: int = arg(32, "images a process and step")
    accumulation_steps: int = arg(1, "batches for each optimiser step")
    learning_rate: float = arg(1e-3, "peak learning rate of AdamW")
    weight_decay: float = arg(0.05, "weight decay of AdamW")
    warmup_fraction: float = arg(0.1, "share of the optimiser steps in which the learning rate rises; a cosine follows")
    max_grad_norm: float = arg(5.0, "gradients are clipped to this norm")
    ema_decay: float = arg(0.998, "decay of the averaged weights that are evaluated and saved (0: off)")
    patience: int = arg(0, "stop after so many epochs without a better validation score (0: never)")
    seed: int = arg(0, "of weights, order and augmentation")
    mixed_precision: str = arg(
        "auto", "auto (launch flag, else fp32 or bf16, whichever is faster here), no, bf16 or fp16"
    )
    checkpoint_every: int = arg(0, "batches between checkpoints beside that of each epoch (0: none)")
    resume: bool = arg(False, "go on from the newest checkpoint of output_dir")
    tracker: str | None = arg(None, "tensorboard, trackio or wandb")
    push_to_hub: bool = arg(False, "upload the finished run (model, card, code, scores) to the Hub, as --hub_model_id")
    hub_model_id: str | None = arg(None, "repository of the Hub, such as someone/galaxies")
    hub_private: bool = arg(False, "the repository is made private")
    stop_after: int = arg(0, "interrupt after so many batches, as a kill would (for tests)")

    def __post_init__(self):
        # Arguments that nobody gave, set by a default or by the model that the run starts from; and those that were.
        self.resolved: set[str] = set()
        self.given = {field.name for field in fields(self) if getattr(self, field.name) != field.default}
        self.reports = True  # write figures and card; a fold of a cross-validation does not
        check_run(self)

    @property
    def trees(self) -> Trees | None:
        """The trees whose votes are learned; None for those that the data set has."""
        return wanted_trees(self.campaign, self.tree)

    def take(self, settings: dict) -> dict:
        """Set those of some arguments that nobody gave, and return them."""
        taken = {name: value for name, value in settings.items() if name not in self.given}
        for name, value in taken.items():
            setattr(self, name, value)
        self.resolved |= set(taken)
        return taken

    @property
    def further_datasets(self) -> list[str]:
        """The names in ``also``."""
        return [name.strip() for name in self.also.split(",")] if self.also else []

    @property
    def views(self) -> Augmentation:
        """The limits of the augmentation."""
        return Augmentation(**{limit.name: getattr(self, limit.name) for limit in fields(Augmentation)})
