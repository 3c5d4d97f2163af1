"""The model that a run starts from: what the run takes from it, and what may not contradict it."""

from dataclasses import fields

import timm
from torch import nn

from ..inference.loading import refusing
from ..models.image_processing_galaxy import GalaxyImageProcessor

NUM_CHANNELS = 3
"""Of the pixels that a run trains on."""


def load_trained(kind: type, argument: str, place: str):
    """``kind.from_pretrained(place)``, or an end with one line that names the argument it was given by.

    Raises:
        SystemExit: there is no such model, it is damaged, or it does not take RGB images.
    """
    try:
        with refusing(place):
            loaded = kind.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {argument}={place!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    channels = getattr(getattr(loaded, "config", None), "num_channels", NUM_CHANNELS)
    if channels != NUM_CHANNELS:
        raise SystemExit(
            f"error: {argument}={place!r} takes images of {channels} channels, and a run trains on {NUM_CHANNELS}; "
            "give another model"
        )
    return loaded


def load_timm_backbone(name: str) -> nn.Module:
    """A timm ResNet with the weights of that name, or an end with one line.

    Raises:
        SystemExit: there are no such weights, or they cannot be downloaded.
    """
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SystemExit(f"error: pretrained_backbone={name!r} cannot be loaded: {reason}") from error


def take_over(args, settings: dict, source: str) -> str:
    """Set arguments that nobody gave to what the model has that the run starts from; returns one line that says so.

    An argument counts as given if it is not its default.

    Args:
        args: a dataclass of arguments, which is changed.
        settings: names of arguments and their values in that model.
        source: what names the model in a message.

    Raises:
        SystemExit: one was given that contradicts the model.
    """
    defaults = {each.name: each.default for each in fields(args)}
    for name, theirs in settings.items():
        given = getattr(args, name)
        same = architecture(given) == architecture(theirs) if name == "backbone" and given else given == theirs
        if not same and given != defaults[name]:
            raise SystemExit(
                f"error: {source} has {name}={theirs!r}, and {name}={given!r} was given; leave --{name} out, or start from another"
            )
        if given == defaults[name]:
            args.resolved.add(name)
        setattr(args, name, theirs)
    return f"taken from {source}: {', '.join(f'{name}={value}' for name, value in settings.items())}"


def architecture(backbone: str) -> str:
    """The name of a timm model without the name of its weights: ``resnet18`` of ``resnet18.a1_in1k``."""
    return backbone.split(".")[0]


def set_defaults(args, **defaults) -> None:
    """Set the arguments that neither the user nor a model has set."""
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
            args.resolved.add(name)


def other_view(args, place: str, source: str) -> str | None:
    """One line where the model that a run starts from has seen images at another size or crop; None where not, or not known."""
    try:
        theirs = GalaxyImageProcessor.from_pretrained(place)
    except (OSError, ValueError):
        return None
    known = {"image_size": theirs.size["height"], "crop_fraction": theirs.crop_fraction}
    differing = [
        f"{name}={value}, here {getattr(args, name)}" for name, value in known.items() if value != getattr(args, name)
    ]
    return f"{source} was trained at {' and '.join(differing)}" if differing else None


def image_processor(args) -> GalaxyImageProcessor:
    """The processor that cuts and resizes as the arguments say."""
    size = {"height": args.image_size, "width": args.image_size}
    return GalaxyImageProcessor(size=size, crop_fraction=args.crop_fraction)


def take_weights(model, start, source: str) -> str:
    """Copy the weights of a trained classifier that mean the same in a new one; returns one line that says which.

    The head of the classes does if their names are the same, in the same order; that of the votes if both have it.

    Args:
        source: what names the trained model in a message.
    """
    parts = {"backbone": True}
    parts["classifier"] = start.config.id2label == model.config.id2label
    parts["vote_head"] = start.vote_head is not None and model.vote_head is not None
    taken = [name for name, same in parts.items() if same]
    for name in taken:
        getattr(model, name).load_state_dict(getattr(start, name).state_dict())
    return f"weights taken from {source}: {', '.join(taken)}"
