"""Arguments that both training scripts have, and how they are read."""

import sys
from dataclasses import dataclass, field

from transformers import HfArgumentParser


def arg(default, help: str):
    """A dataclass field with its help text."""
    return field(default=default, metadata={"help": help})


@dataclass
class TrainingRun:
    """Arguments of any training run; also keys of a JSON arguments file."""

    dataset: str = arg("simulated", "'simulated', a folder written by datasets_scripts, a folder of class folders, or a Hub id")
    output_dir: str = arg("runs/model", "folder for the model, metrics.json, figures and checkpoints")
    label_scheme: str = arg("hubble", "class scheme where the data set has votes only: hubble, summary or threshold")
    num_simulated: int = arg(2400, "galaxies of the simulated data set")
    max_rows: int = arg(0, "use at most so many rows of each split (0: all)")
    backbone: str = arg("resnet10t", "any timm ResNet by name")
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
    mixed_precision: str = arg("auto", "auto (launch flag, else bf16 where native), no, bf16 or fp16")
    checkpoint_every: int = arg(0, "batches between checkpoints beside that of each epoch (0: none)")
    resume: bool = arg(False, "go on from the newest checkpoint of output_dir")
    tracker: str | None = arg(None, "tensorboard, trackio or wandb")
    push_to_hub: str | None = arg(None, "upload the model to this repository of the Hub")
    stop_after: int = arg(0, "interrupt after so many batches, as a kill would (for tests)")

    def __post_init__(self):
        for name in ("epochs", "batch_size", "accumulation_steps", "num_simulated"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is below 1")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"ema_decay={self.ema_decay} is outside 0 <= ema_decay < 1")


def parse_arguments(kind: type, description: str, argv: list[str] | None):
    """Arguments from the command line, or from the JSON file that it names; wrong ones end with status 2 and one line."""
    parser = HfArgumentParser(kind, description=description, allow_abbrev=False)
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0].endswith(".json"):
            return parser.parse_json_file(argv[0])[0]
        return parser.parse_args_into_dataclasses(argv)[0]
    except (ValueError, OSError) as error:
        parser.error(str(error))
