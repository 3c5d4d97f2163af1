"""Arguments that both training scripts have, and how they are read."""

import importlib.util
import math
from dataclasses import asdict, dataclass

from ..data.labels import SCHEMES
from ..models.configuration_galaxy_resnet import LIMITS
from ..models.strict_loading import check_backbone, check_ranges
from ..runtime.arguments import arg
from ..runtime.hub import check_repo_id

DEFAULT_BACKBONE = "resnet10t"
"""Where neither the user nor a model that the run starts from names one."""

CHOICES = {
    "label_scheme": (None, *SCHEMES),
    "mixed_precision": ("auto", "no", "bf16", "fp16"),
    "tracker": (None, "tensorboard", "trackio", "wandb"),
}


@dataclass
class TrainingRun:
    """Arguments of any training run; also keys of a JSON arguments file."""

    dataset: str = arg(
        "simulated", "'simulated', a folder written by datasets_scripts, a folder of class folders, or a Hub id"
    )
    output_dir: str = arg("runs/model", "folder for the model, metrics.json, figures and checkpoints")
    label_scheme: str | None = arg(
        None,
        "hubble, summary or threshold: classes from the votes by this scheme (default: the data set's own, else hubble)",
    )
    num_simulated: int = arg(2400, "galaxies of the simulated data set")
    max_rows: int = arg(0, "use at most so many rows of each split (0: all)")
    streaming: bool = arg(
        False, "read the training rows while training, for Parquet data sets that are larger than the disk"
    )
    shuffle_buffer: int = arg(10_000, "with streaming: rows that each process holds and shuffles, undecoded")
    backbone: str | None = arg(
        None, "any timm ResNet by name (default: that of the model it starts from, else resnet10t)"
    )
    image_size: int = arg(64, "side of the input in pixels")
    crop_fraction: float = arg(0.6, "side of the central square that is used, as a share of the image")
    drop_rate: float = arg(0.0, "dropout before the heads")
    augmentation: bool = arg(True, "turn, mirror, zoom and shift the training images at random")
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
        self.resolved: set[str] = (
            set()
        )  # arguments that nobody gave and the model that the run starts from, or a default, has set
        for name in ("epochs", "batch_size", "accumulation_steps", "num_simulated", "shuffle_buffer"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is below 1")
        for name in (
            "max_rows",
            "patience",
            "checkpoint_every",
            "stop_after",
            "weight_decay",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is below 0")
        for name in ("learning_rate", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} is not above 0, so nothing would be learned")
        if not 0.0 <= self.warmup_fraction < 1.0:
            raise ValueError(f"warmup_fraction={self.warmup_fraction} is outside 0 <= warmup_fraction < 1")
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}={value} is not a finite number")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                known = ", ".join(each for each in choices if each)
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {known}")
        if self.tracker and importlib.util.find_spec(self.tracker) is None:  # Accelerate would go on and track nothing
            raise ValueError(f"tracker={self.tracker!r} is not installed; pip install {self.tracker}, or leave it out")
        if self.backbone is not None:
            check_backbone(self.backbone)
        if self.image_size < 32:
            raise ValueError(
                f"image_size={self.image_size} is smaller than the backbone's stride of 32; use 32 or more"
            )
        check_ranges(self, {"image_size": LIMITS["image_size"]})
        if not 0.0 < self.crop_fraction <= 1.0:
            raise ValueError(f"crop_fraction={self.crop_fraction} is outside 0 < crop_fraction <= 1")
        if not 0.0 <= self.drop_rate < 1.0:
            raise ValueError(f"drop_rate={self.drop_rate} is outside 0 <= drop_rate < 1")
        if self.streaming and self.max_rows:
            raise ValueError(
                f"max_rows={self.max_rows} does not go with streaming, which passes through all rows; leave one out"
            )
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError("push_to_hub needs hub_model_id, such as someone/galaxies")
        if self.push_to_hub:
            check_repo_id("hub_model_id", self.hub_model_id)
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"ema_decay={self.ema_decay} is outside 0 <= ema_decay < 1")
