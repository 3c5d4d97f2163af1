"""Settings and weights that are taken whole or refused; transformers by itself makes missing weights up at random."""

import timm
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

MAX_CLASSES = 10_000
CLASS_NAMES = ("num_labels", "id2label", "label2id")
"""Settings that say the same in three ways."""

REFUSED = ("quantization_config", "attn_implementation", "_attn_implementation", "experts_implementation")
"""Keys of config.json by which transformers would load other code; no model of ours has any."""

GENERATION = {
    "max_length": (1, 512),
    "max_new_tokens": (1, 512),
    "min_length": (0, 512),
    "min_new_tokens": (0, 512),
    "num_beams": (1, 64),
    "num_return_sequences": (1, 64),
    "no_repeat_ngram_size": (0, 512),
}
"""Least and largest values of generation_config.json: a caption has some 20 words."""


def check_ranges(settings, limits: dict[str, tuple[int, int]]) -> None:
    """Attributes that are integers within limits, both included, or None.

    Raises:
        ValueError: one is not; so a file cannot ask for more memory or time than there is.
    """
    for name, (least, largest) in limits.items():
        value = getattr(settings, name, None)
        if value is not None and (type(value) is not int or not least <= value <= largest):
            raise ValueError(f"{name}={value!r} is not an integer from {least} to {largest}")


def check_backbone(name: str) -> None:
    """Check that it is the name of a timm ResNet, since timm would also take ``hf-hub:`` and ``local-dir:`` places."""
    if "resnet" not in name or not timm.is_model(name):
        known = ", ".join(timm.list_models("resnet*")[:8])
        raise ValueError(f"backbone={name!r} is not a timm ResNet; use for example {known}")


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
    """Complete ``id2label`` and ``label2id``; numbers may be strings, as in JSON; two classes if nothing is given.

    Raises:
        ValueError: they contradict each other, or there are too many.
    """
    if num_labels is not None and (type(num_labels) is not int or not 0 <= num_labels <= MAX_CLASSES):
        raise ValueError(f"num_labels={str(num_labels)[:80]} is not 0 to {MAX_CLASSES}")
    if id2label is None and label2id is None:
        id2label = {number: f"LABEL_{number}" for number in range(2 if num_labels is None else num_labels)}
    try:
        numbers = None if id2label is None else dict(sorted((int(number), name) for number, name in id2label.items()))
        names = None if label2id is None else {name: int(number) for name, number in label2id.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"id2label or label2id does not give numbers to names: {str(error)[:200]}") from error
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
    """To stand before ``PretrainedConfig`` among the bases of a configuration."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers.

        Raises:
            ValueError: a value has the wrong type, is refused by a ``validate_`` method, is of a newer version or of
                another kind of model, or would make transformers load other code.
        """
        if (kind := config_dict.get("model_type", cls.model_type)) != cls.model_type:
            raise ValueError(
                f"config.json is of a model of type {str(kind)[:80]!r} and not {cls.model_type}; give another model"
            )
        if found := [key for key in REFUSED if key in config_dict]:
            raise ValueError(
                f"config.json of {cls.model_type} cannot be used: {found[0]} is not for this model; remove it"
            )
        given = {name: value for name in CLASS_NAMES if (value := kwargs.pop(name, None)) is not None}
        if given:  # another set of classes, as for fine-tuning, takes the place of the saved one as a whole
            kept = len(config_dict.get("id2label") or ()) == given.get("num_labels") and len(given) == 1
            config_dict = (
                config_dict if kept else {key: value for key, value in config_dict.items() if key not in CLASS_NAMES}
            )
            config_dict = config_dict | given
        try:
            loaded = super().from_dict(config_dict, **kwargs)
            (
                loaded[0] if isinstance(loaded, tuple) else loaded
            ).validate()  # after keywords have replaced what was saved
            return loaded
        except (StrictDataclassError, ValueError, TypeError, AttributeError, KeyError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[-1].strip().removeprefix("ValueError: ")
            raise ValueError(f"config.json of {cls.model_type} cannot be used: {reason[:500]}") from error

    def __post_init__(self, num_labels: int | None = None, **kwargs):
        self.id2label, self.label2id = class_names(num_labels, self.id2label, self.label2id)
        super().__post_init__(**kwargs)

    def __setattr__(self, name: str, value):
        """``id2label`` and ``label2id`` are two forms of one truth: setting one sets the other."""
        if "_name_or_path" in self.__dict__ and value is not None and name in CLASS_NAMES[1:]:  # after __post_init__
            numbers, names = class_names(**{name: value})
            super().__setattr__("id2label", numbers)
            super().__setattr__("label2id", names)
        else:
            super().__setattr__(name, value)

    def validate_classes(self):
        """Raises ValueError for classes that are not named one by one."""
        names = list(self.id2label.values())
        if list(self.id2label) != list(range(len(names))) or not all(isinstance(name, str) for name in names):
            raise ValueError("id2label is not a name for each of the numbers from 0 on")
        if len(set(names)) < len(names):
            raise ValueError(
                f"id2label has {len(names)} names of which {len(set(names))} differ; give each class its own"
            )
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
        """As in transformers, but from safetensors alone, and complete.

        ``ignore_mismatched_sizes=True`` takes a head of another size, or none, for fine-tuning: what ``_heads`` names
        is then made anew.

        Raises:
            OSError: there is no such model, or it has no safetensors.
            ValueError: pickled weights are asked for; the file is damaged; or weights are missing, too many, or of
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
        shapes = (
            ()
            if any_size
            else (f"{key} is {list(theirs)} and not {list(ours)}" for key, theirs, ours in info["mismatched_keys"])
        )
        wrong = {
            "missing": info["missing_keys"],
            "not of this model": info["unexpected_keys"],
            "of another shape": shapes,
        }
        new = tuple(f"{head}." for head in cls._heads) if any_size else ()
        wrong = {what: sorted(key for key in keys if not key.startswith(new)) for what, keys in wrong.items()}
        if (generation := getattr(model, "generation_config", None)) is not None:
            try:
                check_ranges(generation, GENERATION)
            except ValueError as error:
                raise ValueError(f"generation_config.json of {name} cannot be used: {error}") from error
        if found := [f"{len(keys)} {what} (such as {keys[0]})" for what, keys in wrong.items() if keys]:
            raise ValueError(
                f"the weights of {name} do not fit its config.json: {', '.join(found)}; download or save it again"
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
