"""Bases of configurations and models that refuse incomplete or unfit files.

transformers by itself fills missing weights with random numbers, and ignores wrong settings.
"""

import logging
from collections import Counter
from functools import cache

import timm
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

logger = logging.getLogger(__name__)

STRIDE = 32
"""Pixels of the image for each place of the last feature maps (He et al. 2016, arXiv:1512.03385, table 1)."""

TRIED_SIZE = 96
"""Pixels of a side for which a backbone is tried. Ours: three places, and not the size that timm builds models for."""

MAX_CLASSES = 10_000
"""Largest number of classes. Ours: far beyond any use, and a wrong file cannot exhaust the memory."""

CLASS_NAMES = ("num_labels", "id2label", "label2id")
"""The three settings that describe the classes."""

OF_CLASSES = (*CLASS_NAMES, "label_scheme")
"""Settings that other classes make void."""

REFUSED = ("quantization_config", "attn_implementation", "_attn_implementation", "experts_implementation")
"""Keys of config.json by which transformers would load other code; our models have none of them."""

GENERATION = {
    "max_length": (1, 512),
    "max_new_tokens": (1, 512),
    "min_length": (0, 512),
    "min_new_tokens": (0, 512),
    "num_beams": (1, 64),
    "num_return_sequences": (1, 64),
    "no_repeat_ngram_size": (0, 512),
}
"""Smallest and largest values in generation_config.json. Ours: captions have some 20 words."""


def check_ranges(settings, limits: dict[str, tuple[int, int]]) -> None:
    """Check that attributes are integers within limits, so that a wrong file cannot exhaust memory or time.

    Args:
        settings: object with the attributes; those that are missing or None are not checked.
        limits: attribute -> smallest and largest value, both allowed.

    Raises:
        ValueError: an attribute is outside its limits or is not an integer.
    """
    for name, (least, largest) in limits.items():
        value = getattr(settings, name, None)
        if value is not None and (type(value) is not int or not least <= value <= largest):
            raise ValueError(f"{name}={value!r} is not an integer from {least} to {largest}")


def check_backbone(name: str) -> None:
    """Check that a backbone is a model of timm that gives feature maps: a ResNet or another convolutional network.

    timm itself would also load weights from ``hf-hub:`` and ``local-dir:`` names.

    Raises:
        ValueError: timm has no such model, or :func:`_fault_of` finds a fault in it.
    """
    examples = "resnet10t, resnet18, resnet50d or tf_efficientnet_lite0"
    if not timm.is_model(name):
        raise ValueError(f"backbone={name!r} is not a model of timm; use for example {examples}")
    if fault := _fault_of(name.split(".")[0]):  # without the name of its weights
        raise ValueError(f"backbone={name!r} {fault}; use a convolutional network, for example {examples}")


@cache
def _fault_of(name: str) -> str | None:
    """Return what makes an architecture of timm unfit as a backbone, None if it fits.

    Its features must be those maps that its head pools, of one place for each 32 x 32 pixels, at any size of the image.
    It is tried without memory for its weights, so that the name of a large model costs nothing.
    """
    with torch.device("meta"):
        try:
            model = timm.create_model(name, pretrained=False, num_classes=0).eval()
            maps = model.forward_intermediates(torch.empty(1, 3, TRIED_SIZE, TRIED_SIZE))[0]
            features = model.forward_head(maps)
        except Exception as error:  # which one depends on the model
            logger.debug("backbone %s: %s", name, error)
            return f"does not give feature maps of an image of {TRIED_SIZE} pixels"
    side = TRIED_SIZE // STRIDE
    if maps.ndim != 4 or tuple(maps.shape[2:]) != (side, side):
        return f"does not give feature maps with a stride of {STRIDE} pixels"
    if not maps.shape[1] == features.shape[1] == model.num_features:
        return "has layers between its feature maps and its head"
    return None


def check_resnet(name: str) -> None:
    """Check that a backbone is a ResNet of timm, whose last stage is what its head pools; raise ValueError otherwise.

    Other networks have layers after their last stage, which a captioner would not read.
    """
    if "resnet" not in name:
        raise ValueError(
            f"backbone={name!r} is not a timm ResNet, whose stages a captioner attends to; use for example resnet10t, "
            "resnet18 or resnet50d"
        )
    check_backbone(name)


def keep_initialisation(module) -> None:
    """Mark the weights of a module as initialised, so that transformers keeps the values that timm gave them.

    transformers has no public way to say so. Weights on the meta device have no values, and are left to
    ``_init_weights``.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if not tensor.is_meta:
            tensor._is_hf_initialized = True


def class_names(
    num_labels: int | None = None, id2label: dict | None = None, label2id: dict | None = None
) -> tuple[dict, dict]:
    """Return complete ``id2label`` and ``label2id`` from any of the three settings; two classes if all are None.

    Class numbers may be strings, as in JSON.

    Raises:
        ValueError: the settings contradict each other, or there are more than :data:`MAX_CLASSES`.
    """
    if num_labels is not None and (type(num_labels) is not int or not 0 <= num_labels <= MAX_CLASSES):
        raise ValueError(f"num_labels={str(num_labels)[:80]} is not an integer from 0 to {MAX_CLASSES}")
    if id2label is None and label2id is None:
        id2label = {number: f"LABEL_{number}" for number in range(2 if num_labels is None else num_labels)}
    try:
        numbers = None if id2label is None else dict(sorted((int(number), name) for number, name in id2label.items()))
        names = None if label2id is None else {name: int(number) for name, number in label2id.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"id2label or label2id is not a map of numbers and names: {str(error)[:200]}") from error
    if numbers is None:
        numbers = {number: name for name, number in sorted(names.items(), key=lambda item: item[1])}
    if names is None:
        names = {name: number for number, name in numbers.items()}
    if num_labels is not None and num_labels != len(numbers):
        raise ValueError(
            f"num_labels={num_labels} is not the number of names in id2label, {len(numbers)}; leave one of them out"
        )
    return numbers, names


class StrictSettings:
    """First base of a configuration, before ``PretrainedConfig``: settings are checked when they are loaded."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Make a configuration from a dict, as in transformers.

        Raises:
            ValueError: a value has the wrong type or is refused by a ``validate_`` method; the dict is of a newer
                version or of another kind of model; or it would make transformers load other code.
        """
        if (kind := config_dict.get("model_type", cls.model_type)) != cls.model_type:
            raise ValueError(
                f"config.json is of a model of type {str(kind)[:80]!r} and not {cls.model_type}; give another model"
            )
        if refused := [key for key in REFUSED if key in config_dict]:
            raise ValueError(
                f"config.json of {cls.model_type} cannot be used: {refused[0]} is not for this model; remove it"
            )
        classes = {name: value for name in CLASS_NAMES if (value := kwargs.pop(name, None)) is not None}
        if classes:  # other classes, as for fine-tuning, replace all three saved settings
            same_number = len(config_dict.get("id2label") or ()) == classes.get("num_labels")
            if not (same_number and len(classes) == 1):
                config_dict = {key: value for key, value in config_dict.items() if key not in OF_CLASSES}
            config_dict = config_dict | classes
        try:
            loaded = super().from_dict(config_dict, **kwargs)
            config = loaded[0] if isinstance(loaded, tuple) else loaded
            config.validate()  # again, now that keywords have replaced saved values
            return loaded
        except (StrictDataclassError, ValueError, TypeError, AttributeError, KeyError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[-1].strip().removeprefix("ValueError: ")
            raise ValueError(f"config.json of {cls.model_type} cannot be used: {reason[:500]}") from error

    def __post_init__(self, num_labels: int | None = None, **kwargs):
        self.id2label, self.label2id = class_names(num_labels, self.id2label, self.label2id)
        super().__post_init__(**kwargs)

    def __setattr__(self, name: str, value):
        """Set an attribute; ``id2label`` also sets ``label2id``, and the reverse."""
        if "_name_or_path" in self.__dict__ and value is not None and name in CLASS_NAMES[1:]:  # after __post_init__
            numbers, names = class_names(**{name: value})
            super().__setattr__("id2label", numbers)
            super().__setattr__("label2id", names)
        else:
            super().__setattr__(name, value)

    def validate_classes(self):
        """Check that each class has a name of its own; raise ValueError otherwise."""
        names = list(self.id2label.values())
        if list(self.id2label) != list(range(len(names))) or not all(isinstance(name, str) for name in names):
            raise ValueError("id2label does not have one name for each of the numbers 0, 1, 2, ...; name all classes")
        if len(set(names)) < len(names):
            repeated = Counter(names).most_common(1)[0][0]
            raise ValueError(f"id2label has the name {repeated!r} more than once; give each class its own name")
        if self.label2id != {name: number for number, name in enumerate(names)}:
            raise ValueError("label2id is not the reverse of id2label; leave one of them out")


class StrictLoading:
    """First base of a model, before ``PreTrainedModel``: strict loading, and saving with the code of all its classes.

    Attributes:
        _heads: modules that fine-tuning may make anew, see :meth:`from_pretrained`.
        _auto_classes: auto class -> class of the same file, for all classes that read the same saved folder.
    """

    _heads: tuple[str, ...] = ()
    _auto_classes: dict[str, str] = {}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """Load a model as in transformers, but from safetensors only, and only if all weights fit.

        ``ignore_mismatched_sizes=True`` allows missing heads and heads of another size, for fine-tuning: the modules of
        ``_heads`` are then initialised anew where they do not fit.

        Raises:
            OSError: the model does not exist, or has no safetensors.
            ValueError: pickled weights are asked for; the file is damaged; or weights are missing, superfluous or of
                another shape.
        """
        name = pretrained_model_name_or_path
        if kwargs.setdefault("use_safetensors", True) is False:
            raise ValueError(
                f"{name}: pickled weights can run code and are never loaded; save the model as safetensors"
            )
        with_info, any_size = kwargs.pop("output_loading_info", False), kwargs.pop("ignore_mismatched_sizes", False)
        try:
            model, info = super().from_pretrained(
                name, *model_args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
            )
        except SafetensorError as error:
            raise ValueError(f"the weights of {name} are damaged ({error}); download or save them again") from error
        shapes = [f"{key} is {list(saved)} and not {list(built)}" for key, saved, built in info["mismatched_keys"]]
        wrong = {
            "missing": info["missing_keys"],
            "not of this model": info["unexpected_keys"],
            "of another shape": [] if any_size else shapes,
        }
        new = tuple(f"{head}." for head in cls._heads) if any_size else ()
        wrong = {fault: sorted(key for key in keys if not key.startswith(new)) for fault, keys in wrong.items()}
        if (generation := getattr(model, "generation_config", None)) is not None:
            try:
                check_ranges(generation, GENERATION)
            except ValueError as error:
                raise ValueError(f"generation_config.json of {name} cannot be used: {error}") from error
        if faults := [f"{len(keys)} {fault} (such as {keys[0]})" for fault, keys in wrong.items() if keys]:
            raise ValueError(
                f"the weights of {name} do not fit its config.json: {', '.join(faults)}; download or save it again"
            )
        return (model, info) if with_info else model

    def save_pretrained(self, save_directory, *args, **kwargs):
        """Save as in transformers, with every class of ``_auto_classes`` in the ``auto_map`` of config.json.

        Each of them then loads the folder where this package is not installed.
        """
        module = type(self).__module__.rsplit(".", 1)[-1]
        auto_map = {auto: f"{module}.{name}" for auto, name in self._auto_classes.items()}
        self.config.auto_map = (getattr(self.config, "auto_map", None) or {}) | auto_map
        super().save_pretrained(save_directory, *args, **kwargs)
