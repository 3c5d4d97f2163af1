"""Limits of the arguments of a training run, and the checks that they are kept."""

import importlib.util
import math
from dataclasses import asdict

from ..data.augmentation import MAX_BLUR
from ..data.labels import ANSWERS
from ..data.schemes import SCHEMES
from ..models.configuration_galaxy_captioner import LIMITS as CAPTIONER_LIMITS
from ..models.configuration_galaxy_resnet import LIMITS
from ..models.strict_loading import GENERATION, STRIDE, check_backbone, check_ranges, check_resnet
from ..runtime.hardware import PRECISIONS
from ..runtime.hub import check_repo_id

CHOICES = {
    "label_scheme": (None, *SCHEMES, ANSWERS),
    "mixed_precision": PRECISIONS,
    "tracker": (None, "tensorboard", "trackio", "wandb"),
}
LEAST = {"epochs": 1, "batch_size": 1, "accumulation_steps": 1, "num_simulated": 1, "shuffle_buffer": 1}
LEAST |= {"max_rows": 0, "patience": 0, "checkpoint_every": 0, "stop_after": 0, "weight_decay": 0}
LEAST |= {"max_zoom": 1, "max_shift": 0, "margin": 1, "max_blur": 0, "max_noise": 0, "max_brightness": 1}
LEAST |= {"max_colour": 1, "grey_share": 0}
MOST = {"max_zoom": 4, "max_shift": 0.5, "max_blur": MAX_BLUR, "max_noise": 1, "max_brightness": 4, "max_colour": 4}
MOST |= {"grey_share": 1}
"""Beyond these a view shows another galaxy, or none."""
BELOW_ONE = ("warmup_fraction", "drop_rate", "ema_decay")
"""Numbers from 0 to below 1."""


def check_least(args, least: dict[str, float]) -> None:
    """Check that numbers are not below their least values; raise ValueError otherwise."""
    for name, limit in least.items():
        if getattr(args, name) < limit:
            raise ValueError(f"{name}={getattr(args, name)} is below {limit}")


def check_choice(args, name: str, choices: tuple) -> None:
    """Check that an argument is one of its choices, of which None is not shown; raise ValueError otherwise."""
    if getattr(args, name) not in choices:
        shown = ", ".join(choice for choice in choices if choice)
        raise ValueError(f"{name}={getattr(args, name)!r} is not one of {shown}")


def check_run(args) -> None:
    """Check the arguments that every training run has; raise ValueError otherwise."""
    for name, value in asdict(args).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}={value} is not a finite number")
    check_least(args, LEAST)
    for name, choices in CHOICES.items():
        check_choice(args, name, choices)
    for name in ("learning_rate", "max_grad_norm"):
        if getattr(args, name) <= 0:
            raise ValueError(f"{name}={getattr(args, name)} is not above 0, so nothing would be learned")
    for name in BELOW_ONE:
        if not 0.0 <= getattr(args, name) < 1.0:
            raise ValueError(f"{name}={getattr(args, name)} is outside 0 <= {name} < 1")
    if not 0.0 < args.crop_fraction <= 1.0:
        raise ValueError(f"crop_fraction={args.crop_fraction} is outside 0 < crop_fraction <= 1")
    _check_views(args)
    if args.image_size < STRIDE:
        raise ValueError(
            f"image_size={args.image_size} is smaller than the backbone's stride of {STRIDE}; use {STRIDE} or more"
        )
    check_ranges(args, {"image_size": LIMITS["image_size"]})
    if args.backbone is not None:
        check_backbone(args.backbone)
    args.trees  # noqa: B018 (raises for what is not a campaign or a tree)
    if args.tracker and importlib.util.find_spec(args.tracker) is None:  # Accelerate would go on and track nothing
        raise ValueError(f"tracker={args.tracker!r} is not installed; pip install {args.tracker}, or leave it out")
    if args.streaming and args.max_rows:
        raise ValueError(
            f"max_rows={args.max_rows} does not go with streaming, which passes through all rows; leave one out"
        )
    if args.streaming and args.also:
        raise ValueError(f"also={args.also!r} does not go with streaming, which reads one data set; leave one out")
    if args.push_to_hub and not args.hub_model_id:
        raise ValueError("push_to_hub needs hub_model_id, such as someone/galaxies")
    if args.push_to_hub:
        check_repo_id("hub_model_id", args.hub_model_id)


def _check_views(args) -> None:
    """Check the limits of the augmentation; raise ValueError otherwise."""
    for name, limit in MOST.items():
        if getattr(args, name) > limit:
            raise ValueError(f"{name}={getattr(args, name)} is above {limit}")
    if args.margin * args.crop_fraction > 1 + 1e-9:
        raise ValueError(
            f"margin={args.margin} is above {1 / args.crop_fraction:.4g}, 1 / crop_fraction: there is no more of "
            "the image; give less"
        )
    if args.margin > 1 and not args.augmentation:
        raise ValueError(f"margin={args.margin} is for the augmentation, which is off; leave it out")


def check_pretrained_backbone(args) -> None:
    """Check that a classifier starts from one model at most, and from one of timm that can be its backbone.

    Raises:
        ValueError: it does not.
    """
    if not args.pretrained_backbone:
        return
    if args.init_from:
        raise ValueError("init_from and pretrained_backbone are two models to start from; give one of them")
    try:
        check_backbone(args.pretrained_backbone)
    except ValueError as error:
        raise ValueError(f"pretrained_{error}") from error  # which begins with "backbone="


def check_captioner(args) -> None:
    """Check the arguments that only a captioner has; raise ValueError otherwise."""
    if args.backbone is not None:
        check_resnet(args.backbone)
    check_least(
        args, {"num_beams": 1, "num_references": 1, "max_new_tokens": 1, "frozen_epochs": 0, "backbone_rate": 0}
    )
    check_ranges(args, {"attention_stage": (2, 4), "hidden_size": CAPTIONER_LIMITS["hidden_size"]})
    check_ranges(args, {name: GENERATION[name] for name in ("num_beams", "max_new_tokens")})
    if not 0.0 <= args.teacher_share <= 1.0:
        raise ValueError(f"teacher_share={args.teacher_share} is outside 0 <= teacher_share <= 1")
