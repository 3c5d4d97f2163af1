"""Settings and weights that are taken whole or refused: transformers by itself warns of missing weights and makes them up at random."""

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError


class StrictSettings:
    """To stand before ``PretrainedConfig`` among the bases of a configuration."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers.

        Raises:
            ValueError: a value has the wrong type, is refused by a ``validate_`` method, or is of a newer version.
        """
        try:
            return super().from_dict(config_dict, **kwargs)
        except (StrictDataclassError, TypeError, AttributeError, KeyError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[-1].strip().removeprefix("ValueError: ")
            raise ValueError(f"config.json of {cls.model_type} cannot be used: {reason}") from error


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
        if found := [f"{len(keys)} {what} (such as {keys[0]})" for what, keys in wrong.items() if keys]:
            raise ValueError(f"the weights of {name} do not fit its config.json: {', '.join(found)}; download or save it again")
        return (model, info) if with_info else model
