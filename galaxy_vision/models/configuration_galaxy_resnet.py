"""Configuration of the galaxy ResNet."""

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

from .strict_loading import StrictSettings, check_ranges

FORMAT_VERSION = 1
"""Raised when a field is added without which a saved model would be read wrongly by older code."""

LIMITS = {"image_size": (32, 4096), "num_channels": (1, 16)}
"""Least and largest values, so that a wrong file cannot ask for more memory than there is."""


@strict
class GalaxyResNetConfig(StrictSettings, PretrainedConfig):
    """The whole truth about a :class:`GalaxyResNetForImageClassification`; training settings are not part of it.

    Attributes:
        backbone: name of a timm ResNet, such as ``"resnet18"`` or ``"resnet50d"``.
        image_size: side of the square input in pixels, as the image processor makes it.
        num_channels: colour channels.
        predict_votes: whether the model has the head for Galaxy Zoo votes.
        drop_rate: dropout before the heads.
        format_version: of the fields; a model from a newer one is refused.

    The classes are ``id2label`` and ``label2id``, and ``problem_type`` says whether they exclude each other, as in
    every transformers model.
    """

    model_type = "galaxy_resnet"
    keys_to_ignore_at_inference = ["vote_concentration"]  # so that compute_metrics of Trainer is given logits

    backbone: str = "resnet18"
    image_size: int = 64
    num_channels: int = 3
    predict_votes: bool = True
    drop_rate: float = 0.0
    format_version: int = FORMAT_VERSION

    def validate_format(self):
        """Raises ValueError for a model that a newer galaxy_vision has saved."""
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"format_version={self.format_version} is newer than {FORMAT_VERSION}; upgrade galaxy_vision"
            )

    def validate_sizes(self):
        """Raises ValueError for sizes that no ResNet can take."""
        if self.image_size < 32:
            raise ValueError(
                f"image_size={self.image_size} is smaller than the backbone's stride of 32; use 32 or more"
            )
        check_ranges(self, LIMITS)
        if not 0.0 <= self.drop_rate < 1.0:
            raise ValueError(f"drop_rate={self.drop_rate} is outside 0 <= drop_rate < 1")

    def validate_problem(self):
        """Raises ValueError for a problem_type that there is not."""
        if self.problem_type not in (None, "single_label_classification", "multi_label_classification", "regression"):
            raise ValueError(
                f"problem_type={self.problem_type!r} is not single_label_classification, multi_label_classification "
                "or regression"
            )


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyResNetConfig.register_for_auto_class()

__all__ = ["GalaxyResNetConfig"]
