"""Settings and weights that are taken whole or refused: transformers by itself warns of missing weights and makes them up at random."""

import timm
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

MAX_CLASSES = 10_000
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
    """Raises ValueError if it is not the name of a timm ResNet; timm would also take ``hf-hub:`` and ``local-dir:`` places."""
    if "resnet" not in name or not timm.is_model(name):
        known = ", ".join(timm.list_models("resnet*")[:8])
        raise ValueError(f"backbone={name!r} is not a timm ResNet; use for example {known}")


class StrictSettings:
    """To stand before ``PretrainedConfig`` among the bases of a configuration."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers.

        Raises:
            ValueError: a value has the wrong type, is refused by a ``validate_`` method, is of a newer version or of another kind of
                model, or would make transformers load other code.
        """
        if (kind := config_dict.get("model_type", cls.model_type)) != cls.model_type:
            raise ValueError(
                f"config.json is of a model of type {str(kind)[:80]!r} and not {cls.model_type}; give another model"
            )
        if found := [key for key in REFUSED if key in config_dict]:
            raise ValueError(f"config.json of {cls.model_type} cannot be used: {found[0]} is not for this model; remove it")
        count = config_dict.get("num_labels", 0)  # of which transformers would make as many names
        if type(count) is not int or not 0 <= count <= MAX_CLASSES:
            raise ValueError(
                f"config.json of {cls.model_type} cannot be used: num_labels={str(count)[:80]} is not 0 to {MAX_CLASSES}"
            )
        try:
            return super().from_dict(config_dict, **kwargs)
        except (StrictDataclassError, TypeError, AttributeError, KeyError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[-1].strip().removeprefix("ValueError: ")
            raise ValueError(f"config.json of {cls.model_type} cannot be used: {reason[:500]}") from error

    def validate_classes(self):
        """Raises ValueError for classes that are not named one by one."""
        names = list(self.id2label.values())
        if list(self.id2label) != list(range(len(names))) or not all(isinstance(name, str) for name in names):
            raise ValueError("id2label is not a name for each of the numbers from 0 on")
        if self.label2id != {name: number for number, name in enumerate(names)}:
            raise ValueError("label2id is not the reverse of id2label, or a name occurs twice")


class StrictLoading:
    """To stand before ``PreTrainedModel`` among the bases of a model."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """As in transformers, but from safetensors alone, and complete.

        ``ignore_mismatched_sizes=True`` takes a head of another size for fine-tuning, as in transformers.

        Raises:
            OSError: there is no such model, or it has no safetensors.
            ValueError: pickled weights are asked for; the file is damaged; or weights are missing, too many, or of another shape.
        """
        name = pretrained_model_name_or_path
        if kwargs.setdefault("use_safetensors", True) is False:
            raise ValueError(f"{name}: pickled weights can run code and are never loaded; save the model as safetensors")
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
        wrong = {"missing": info["missing_keys"], "not of this model": info["unexpected_keys"], "of another shape": shapes}
        wrong = {what: sorted(keys) for what, keys in wrong.items()}
        if (generation := getattr(model, "generation_config", None)) is not None:
            try:
                check_ranges(generation, GENERATION)
            except ValueError as error:
                raise ValueError(f"generation_config.json of {name} cannot be used: {error}") from error
        if found := [f"{len(keys)} {what} (such as {keys[0]})" for what, keys in wrong.items() if keys]:
            raise ValueError(f"the weights of {name} do not fit its config.json: {', '.join(found)}; download or save it again")
        return (model, info) if with_info else model
