"""The model that a run starts from: what the run takes from it, and what must not contradict it."""

from dataclasses import fields

import timm
import torch
from torch import nn

from ..inference.loading import refusing
from ..models.caption_encoder import GalaxyEncoder
from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.losses import SINGLE_LABEL
from ..models.modeling_galaxy_resnet import GalaxyResNetForImageClassification
from ..models.strict_loading import check_resnet
from ..models.tree import DecisionTree
from ..models.trees import Trees
from ..runtime.shipped import model_source
from .loop import Run

DEFAULT_BACKBONE = "resnet10t"
"""Where neither the user nor a model that the run starts from names one."""

NUM_CHANNELS = 3
"""Of the pixels that a run trains on."""


def load_trained(kind: type, argument: str, name: str):
    """Load a trained model or processor; end the run with one line where that fails.

    Args:
        kind: class, of which ``from_pretrained`` is called.
        argument: by which it was given, for the message.
        name: folder or Hub id.

    Raises:
        SystemExit: there is no such model, it is damaged, or it does not take RGB images.
    """
    try:
        with refusing(name):
            loaded = kind.from_pretrained(model_source(name))
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {argument}={name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    channels = getattr(getattr(loaded, "config", None), "num_channels", NUM_CHANNELS)
    if channels != NUM_CHANNELS:
        raise SystemExit(
            f"error: {argument}={name!r} takes images of {channels} channels, and a run trains on {NUM_CHANNELS}; "
            "give another model"
        )
    if argument == "encoder" and kind is not GalaxyImageProcessor:
        try:
            check_resnet(loaded.config.backbone)
        except ValueError as error:
            raise SystemExit(f"error: encoder={name!r} has {error}") from error
    return loaded


def trees_to_say(classifier: GalaxyResNetForImageClassification | None, tree: DecisionTree) -> list | None:
    """Return the trees of a teacher that have the answers of a tree, as data of a captioner's configuration.

    Those are the campaigns whose votes the captioner reads; None where the teacher has none, or there is no teacher.
    """
    if classifier is None or not classifier.config.predict_votes:
        return None
    same = [known for known in classifier.trees.values() if known.answers == tree.answers]
    return Trees(same).to_list() if same else None


def take_vote_head(encoder: GalaxyEncoder, classifier: GalaxyResNetForImageClassification) -> None:
    """Copy the part of a classifier's vote head that a captioner reads, and which does not learn."""
    if encoder.trees is None:
        return
    parts = [classifier.trees.slices[campaign] for campaign in encoder.trees]
    for own, its in zip(encoder.vote_head.parameters(), classifier.vote_head.parameters(), strict=True):
        own.data.copy_(torch.cat([its.data[part] for part in parts]))


def take_over(args, settings: dict, source: str) -> str:
    """Set arguments that nobody gave to those of the model that the run starts from.

    An argument counts as given if it differs from its default.

    Args:
        args: a dataclass of arguments, which is changed.
        settings: names of arguments and their values in that model.
        source: the model's argument and name, for messages.

    Returns:
        One line that says what was taken.

    Raises:
        SystemExit: an argument was given that contradicts the model.
    """
    defaults = {field.name: field.default for field in fields(args)}
    for name, value in settings.items():
        given = getattr(args, name)
        same = architecture(given) == architecture(value) if name == "backbone" and given else given == value
        if not same and given != defaults[name]:
            raise SystemExit(
                f"error: {source} has {name}={value!r}, and {name}={given!r} was given; leave --{name} out, or start "
                "from another"
            )
        if given == defaults[name]:
            args.resolved.add(name)
        setattr(args, name, value)
    return f"taken from {source}: {', '.join(f'{name}={value}' for name, value in settings.items())}"


def architecture(backbone: str) -> str:
    """Return the name of a timm model without that of its weights: ``resnet18`` of ``resnet18.a1_in1k``."""
    return backbone.split(".")[0]


def load_start(run: Run, kind: type, settings: tuple[str, ...] = ()):
    """Load the model, or processor, that ``--init_from`` names, and take over what it was trained with.

    Args:
        run: its arguments are changed.
        kind: class, of which ``from_pretrained`` is called.
        settings: names of arguments that are those of the model.

    Returns:
        An instance of ``kind``; None without ``--init_from``.

    Raises:
        SystemExit: it cannot be loaded, or an argument was given that contradicts it.
    """
    name = run.args.init_from
    if not name:
        return None
    start = load_trained(kind, "init_from", name)
    if settings:
        taken = {setting: getattr(start.config, setting) for setting in settings}
        line = take_over(run.args, taken, f"init_from={name!r}")
        if isinstance(start, GalaxyResNetForImageClassification):
            line = ", ".join([line, *(f"{key}={value}" for key, value in _take_view(run.args, start, name).items())])
        run.accelerator.print(line)
    return start


def _take_view(args, start: GalaxyResNetForImageClassification, name: str) -> dict:
    """Give arguments that nobody gave the image size, the crop and the dropout of a trained classifier.

    Returns:
        Those that were taken.
    """
    view = {"drop_rate": start.config.drop_rate}
    try:
        processor = GalaxyImageProcessor.from_pretrained(model_source(name))
    except (OSError, ValueError):  # a model without processor: its size is in the configuration
        return args.take(view | {"image_size": start.config.image_size})
    return args.take(view | {"image_size": processor.size["height"], "crop_fraction": processor.crop_fraction})


def load_pretrained_backbone(run: Run) -> nn.Module | None:
    """Load the model of timm, with its weights, that ``--pretrained_backbone`` names; None without one.

    Raises:
        SystemExit: there are no such weights, they cannot be downloaded, or another ``--backbone`` was given.
    """
    name = run.args.pretrained_backbone
    if not name:
        return None
    settings = {"backbone": architecture(name)}
    run.accelerator.print(take_over(run.args, settings, f"pretrained_backbone={name!r}"))
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SystemExit(f"error: pretrained_backbone={name!r} cannot be loaded: {reason}") from error


def load_encoder(run: Run) -> GalaxyResNetForImageClassification | None:
    """Load the classifier that ``--encoder`` names, and see images as it does; None without one.

    Its backbone is that of the captioner, unless the captioner itself starts from a trained one.

    Raises:
        SystemExit: it cannot be loaded, or an argument was given that contradicts it.
    """
    args, name = run.args, run.args.encoder
    if not name:
        return None
    classifier = load_trained(GalaxyResNetForImageClassification, "encoder", name).eval()
    processor = load_trained(GalaxyImageProcessor, "encoder", name)
    settings = {"image_size": processor.size["height"], "crop_fraction": processor.crop_fraction}
    settings |= {} if args.init_from else {"backbone": classifier.config.backbone}
    run.accelerator.print(take_over(args, settings, f"encoder={name!r}"))
    return classifier.to(run.accelerator.device, memory_format=torch.channels_last)


def settled_image_processor(run: Run, **defaults) -> GalaxyImageProcessor:
    """Give the arguments that nobody has set their defaults, and make the processor that cuts and resizes by them.

    Args:
        defaults: of arguments beside ``backbone``.
    """
    args = run.args
    for name, value in ({"backbone": DEFAULT_BACKBONE} | defaults).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
            args.resolved.add(name)
    if args.init_from and (differing := _other_view(args, args.init_from)):
        run.accelerator.print(differing)
    size = {"height": args.image_size, "width": args.image_size}
    return GalaxyImageProcessor(size=size, crop_fraction=args.crop_fraction)


def _other_view(args, name: str) -> str | None:
    """Say in one line where the model has seen images at another size or crop; None where not, or not known."""
    try:
        processor = GalaxyImageProcessor.from_pretrained(model_source(name))
    except (OSError, ValueError):
        return None
    then = {"image_size": processor.size["height"], "crop_fraction": processor.crop_fraction}
    now = {setting: getattr(args, setting) for setting in then}
    changed = [f"{setting}={then[setting]}, here {now[setting]}" for setting in then if then[setting] != now[setting]]
    return f"init_from={name!r} was trained at {' and '.join(changed)}" if changed else None


def take_weights(model, start, source: str) -> str:
    """Copy the weights of a trained classifier that mean the same in a new one.

    Those of the class head do if the classes have the same names in the same order and exclude each other in both;
    those of the vote head for the campaigns whose tree both have. A trained model that does not say whose votes it
    predicts gives them to all campaigns with its answers.

    Args:
        source: the trained model's argument and name, for the message.

    Returns:
        One line that says which were taken.
    """
    campaigns, whose = {}, ""
    if start.vote_head is not None and model.vote_head is not None:
        campaigns = {name: name for name, tree in model.trees.items() if start.trees.get(name) == tree}
        if start.config.trees is None:
            own = start.trees.first
            campaigns = {name: own.name for name, tree in model.trees.items() if tree.answers == own.answers}
            if len(campaigns) > 1 or own.name not in campaigns:
                whose = f"; it does not say whose votes it predicts, and they begin those of {', '.join(campaigns)}"
    excludes = start.config.problem_type in (None, SINGLE_LABEL)  # else its classes do not exclude each other
    taken = ["backbone"]
    if start.config.id2label == model.config.id2label and excludes:
        taken.append("classifier")
    for name in taken:
        getattr(model, name).load_state_dict(getattr(start, name).state_dict())
    for campaign, like in campaigns.items():
        own, theirs = model.trees.slices[campaign], start.trees.slices[like]
        with torch.no_grad():
            model.vote_head.weight[own] = start.vote_head.weight[theirs]
            model.vote_head.bias[own] = start.vote_head.bias[theirs]
    if campaigns:
        taken.append("vote_head" + ("" if len(campaigns) == len(model.trees) else f" of {', '.join(campaigns)}"))
    return f"weights taken from {source}: {', '.join(taken)}{whose if campaigns else ''}"
