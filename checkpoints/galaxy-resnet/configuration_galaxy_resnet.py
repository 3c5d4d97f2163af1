"""Configuration of the galaxy ResNet."""

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

from .strict_loading import StrictSettings, check_ranges
from .trees import Trees

FORMAT_VERSION = 3
"""Version of the fields. Increased with each field without which older code would read a saved model wrongly; a model
has the least that it needs, 2 with trees of its own, and 3 where it predicts the errors of its numbers."""

LIMITS = {"image_size": (32, 4096), "num_channels": (1, 16)}
"""Smallest and largest values of sizes. Ours: far beyond any use, and a wrong file cannot exhaust the memory."""


@strict
class GalaxyResNetConfig(StrictSettings, PretrainedConfig):
    """Configuration of a :class:`GalaxyResNetForImageClassification`, without settings of its training.

    Attributes:
        backbone: name of a timm ResNet, such as ``"resnet18"`` or ``"resnet50d"``, or of another convolutional network
            of timm whose head pools feature maps with a stride of 32, such as ``"tf_efficientnet_lite0"``.
        image_size: side of the square input in pixels, as the image processor makes it.
        num_channels: colour channels.
        predict_votes: whether the model has the head for the votes of volunteers.
        trees: whose votes these are, as :meth:`Trees.to_list` writes them; None for Galaxy Zoo 2.
        label_scheme: name of the rules by which votes decide the classes, such as ``"hubble"``; ``"own"`` for classes
            that no rules decide, and None for those that have the names of a scheme or are somebody's own.
        drop_rate: dropout before the heads.
        predict_errors: of a regression, whether the model has the head for the errors of its numbers.
        format_version: version of the fields; models of a newer version are refused.

    As in every transformers model, ``id2label`` and ``label2id`` name the classes, and ``problem_type`` says whether
    they exclude each other.
    """

    model_type = "galaxy_resnet"
    keys_to_ignore_at_inference = [
        "vote_concentration",
        "label_errors",
    ]  # compute_metrics of Trainer gets the logits only

    backbone: str = "resnet18"
    image_size: int = 64
    num_channels: int = 3
    predict_votes: bool = True
    trees: list | None = None
    label_scheme: str | None = None
    drop_rate: float = 0.0
    predict_errors: bool = False
    format_version: int = 1

    def validate_format(self):
        """Check the version of the fields; raise ValueError for a model that was saved by a newer galaxy_vision."""
        if self.trees is not None:
            self.format_version = max(self.format_version, 2)
        if self.predict_errors:
            self.format_version = max(self.format_version, 3)
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"format_version={self.format_version} is newer than {FORMAT_VERSION}; upgrade galaxy_vision"
            )

    def validate_trees(self):
        """Check the trees; raise ValueError for what is not one."""
        if self.trees is not None:
            Trees.from_list(self.trees)

    @property
    def decision_trees(self) -> Trees:
        """The trees whose votes the model predicts."""
        return Trees() if self.trees is None else Trees.from_list(self.trees)

    def validate_sizes(self):
        """Check sizes and the dropout rate; raise ValueError for values that a ResNet cannot have."""
        if self.image_size < 32:
            raise ValueError(
                f"image_size={self.image_size} is smaller than the backbone's stride of 32; use 32 or more"
            )
        check_ranges(self, LIMITS)
        if not 0.0 <= self.drop_rate < 1.0:
            raise ValueError(f"drop_rate={self.drop_rate} is outside 0 <= drop_rate < 1")

    def validate_problem(self):
        """Check the kind of problem; raise ValueError for a problem_type that transformers does not have."""
        if self.problem_type not in (None, "single_label_classification", "multi_label_classification", "regression"):
            raise ValueError(
                f"problem_type={self.problem_type!r} is not single_label_classification, multi_label_classification "
                "or regression"
            )
        if self.predict_errors and self.problem_type != "regression":
            raise ValueError("predict_errors=True is for numbers; set problem_type to regression")


# Saved folders then contain the code, and load where this package is not installed.
GalaxyResNetConfig.register_for_auto_class()

__all__ = ["GalaxyResNetConfig"]
