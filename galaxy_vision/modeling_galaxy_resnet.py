"""A timm ResNet with two heads: morphological class, and the votes of Galaxy Zoo volunteers on the whole decision tree."""

import importlib
from dataclasses import dataclass
from typing import NamedTuple

import timm
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_galaxy_resnet import GalaxyResNetConfig
from .decision_tree import NUM_ANSWERS, QUESTION_SLICES, reach
from .losses import dirichlet_multinomial_nll
from .strict_loading import StrictLoading, check_backbone

IGNORED_LABEL = -1
"""Label of an uncertain galaxy: it takes part in the vote loss only."""


@dataclass
class GalaxyClassifierOutput(ModelOutput):
    """Output of :class:`GalaxyResNetForImageClassification`.

    Attributes:
        loss: scalar, the sum of the class loss and the vote loss, whichever could be computed.
        logits: (B, number of classes).
        vote_concentration: (B, 37) Dirichlet concentrations > 0, or None without vote head.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    vote_concentration: torch.FloatTensor | None = None


class VoteFractions(NamedTuple):
    """Predicted answers of volunteers, each (B, 37) float32.

    Attributes:
        conditional: expected fraction of each answer among those asked its question.
        reach: probability that a volunteer is asked the question.
        lower: 5 % quantile of the conditional fraction (that of infinitely many volunteers).
        upper: 95 % quantile.
    """

    conditional: torch.Tensor
    reach: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor


class GalaxyResNetForImageClassification(StrictLoading, PreTrainedModel):
    """Morphological class and Galaxy Zoo votes of a galaxy image."""

    config_class = GalaxyResNetConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    _no_split_modules: tuple = ()

    def __init__(self, config: GalaxyResNetConfig):
        super().__init__(config)
        check_backbone(config.backbone)
        self.backbone = timm.create_model(config.backbone, pretrained=False, num_classes=0, in_chans=config.num_channels)
        for tensor in (*self.backbone.parameters(), *self.backbone.buffers()):
            if not tensor.is_meta:
                tensor._is_hf_initialized = True  # keep timm's own initialisation
        self.dropout = nn.Dropout(config.drop_rate)
        self.classifier = nn.Linear(self.backbone.num_features, config.num_labels)
        self.vote_head = nn.Linear(self.backbone.num_features, NUM_ANSWERS) if config.predict_votes else None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            super()._init_weights(module)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        votes: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> GalaxyClassifierOutput:
        """Classify a batch, and compute the loss of what is given.

        Args:
            pixel_values: (B, C, H, W) from the image processor.
            labels: (B,) class indices; -1 for uncertain.
            votes: (B, 37) votes; NaN where unknown.
            class_weights: (number of classes,) weight of each class in the class loss.
        """
        features = self.dropout(self.backbone(pixel_values))  # (B, D)
        logits = self.classifier(features)  # (B, classes)
        concentration = None
        if self.vote_head is not None:
            # Within a question softmax of the raw output is the expected fraction; its scale is the certainty. The limits keep
            # lgamma and its gradient finite: e^-6 to e^7 votes.
            concentration = self.vote_head(features).float().clamp(-6.0, 7.0).exp()  # (B, 37)
        loss = None
        if labels is not None:
            decided = (labels != IGNORED_LABEL).sum().clamp(min=1)
            # Divided by the number of rows, not of weights: a batch without a decided label then costs 0 and not NaN.
            class_loss = F.cross_entropy(
                logits.float(), labels, weight=class_weights, ignore_index=IGNORED_LABEL, reduction="sum"
            )
            loss = class_loss / decided
        if votes is not None:
            if concentration is None:
                raise ValueError("votes were given but config.predict_votes is False; set it or leave votes out")
            vote_loss = dirichlet_multinomial_nll(concentration, votes).mean()
            loss = vote_loss if loss is None else loss + vote_loss
        output = GalaxyClassifierOutput(loss=loss, logits=logits, vote_concentration=concentration)
        return output.to_tuple() if return_dict is False else output

    @torch.no_grad()
    def predict_fractions(self, outputs: GalaxyClassifierOutput) -> VoteFractions:
        """What volunteers would have answered, with 90 % intervals, from the outputs of :meth:`forward`.

        The interval of an answer is that of its Beta marginal; it covers what the model does not know, not the scatter of a
        finite number of volunteers.

        Raises:
            ValueError: the model has no vote head.
        """
        if outputs.vote_concentration is None:
            raise ValueError(
                "this model was trained without votes (config.predict_votes is False), so it predicts classes only"
            )
        concentration = outputs.vote_concentration.float()
        total = torch.cat(
            [concentration[:, s].sum(1, keepdim=True).expand(-1, s.stop - s.start) for s in QUESTION_SLICES.values()], dim=1
        )
        conditional = concentration / total
        a, rest = concentration.double().cpu().numpy(), (total - concentration).double().cpu().numpy()
        # Where scipy is missing the model loads and classifies all the same; transformers refuses a file with an import statement for it.
        betaincinv = importlib.import_module("scipy.special").betaincinv
        lower, upper = (torch.from_numpy(betaincinv(a, rest, q)).to(conditional) for q in (0.05, 0.95))
        return VoteFractions(conditional, reach(conditional), lower, upper)


# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyResNetForImageClassification.register_for_auto_class("AutoModelForImageClassification")

__all__ = ["GalaxyResNetForImageClassification"]
