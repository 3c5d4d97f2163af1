"""A ResNet or another network of timm with two heads: morphological class, and votes of volunteers on trees."""

from dataclasses import dataclass
from typing import NamedTuple

import timm
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_galaxy_resnet import GalaxyResNetConfig
from .losses import SINGLE_LABEL, gaussian_nll, label_loss, problem_of, vote_loss
from .strict_loading import StrictLoading, check_backbone, keep_initialisation
from .vote_fractions import concentration_of, totals_of

try:  # transformers does not require the packages that remote code imports inside try
    from scipy.special import betaincinv
except ImportError:
    betaincinv = None

HEADS = ("classifier", "vote_head")
"""Modules that fine-tuning may make anew."""

LOG_ERROR = 5.0
"""Largest logarithm of an error in units of the spread of its number, and minus the smallest. Ours: a factor of 150."""


@dataclass
class GalaxyClassifierOutput(ModelOutput):
    """Output of :class:`GalaxyResNetForImageClassification`.

    Attributes:
        loss: scalar, the sum of class loss and vote loss, or the one that could be computed.
        logits: (B, number of classes).
        vote_concentration: (B, answers of all trees) Dirichlet concentrations > 0, or None without vote head; 37
            answers in Galaxy Zoo 2.
        hidden_states: maps (B, C, H, W) of the stem and of each stage, or None if they were not requested.
        label_errors: (B, numbers) standard errors of a regression, whose numbers are ``logits``; None without them.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    vote_concentration: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    label_errors: torch.FloatTensor | None = None


class VoteFractions(NamedTuple):
    """Predicted answers of volunteers, all (B, answers) float32.

    Attributes:
        conditional: expected fraction of each answer among the volunteers who are asked its question.
        reach: probability that a volunteer is asked the question.
        lower: 5 % quantile of the conditional fraction, for infinitely many volunteers.
        upper: 95 % quantile of the same.
    """

    conditional: torch.Tensor
    reach: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor


class GalaxyResNetPreTrainedModel(StrictLoading, PreTrainedModel):
    """Base class of the models of this file: the backbone, its initialisation, loading and saving."""

    config_class = GalaxyResNetConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    accepts_loss_kwargs = False  # else Trainer, which sees **kwargs, would not divide by accumulated steps
    _no_split_modules: tuple = ()
    _auto_classes = {
        "AutoModel": "GalaxyResNetModel",
        "AutoModelForImageClassification": "GalaxyResNetForImageClassification",
    }

    def __init__(self, config: GalaxyResNetConfig):
        super().__init__(config)
        check_backbone(config.backbone)
        self.backbone = timm.create_model(
            config.backbone, pretrained=False, num_classes=0, in_chans=config.num_channels
        )
        keep_initialisation(self.backbone)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            super()._init_weights(module)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()

    def _returns_maps(self, output_hidden_states: bool | None) -> bool:
        return self.config.output_hidden_states if output_hidden_states is None else output_hidden_states


class GalaxyResNetModel(GalaxyResNetPreTrainedModel):
    """The backbone only: features of an image, for ``pipeline("image-feature-extraction")`` and similarity search."""

    _keys_to_ignore_on_load_unexpected = [
        rf"^{head}\b" for head in (*HEADS, "error_head", "label_mean", "label_scale")
    ]  # so that it loads from a classifier

    def __init__(self, config: GalaxyResNetConfig):
        super().__init__(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, output_hidden_states: bool | None = None, **kwargs
    ) -> BaseModelOutputWithPoolingAndNoAttention:
        """Compute features of a batch.

        Args:
            pixel_values: (B, C, H, W) from the image processor.
            output_hidden_states: whether to return the maps of the stem and of each stage.

        Returns:
            ``last_hidden_state`` (B, D, H / 32, W / 32) and its spatial mean ``pooler_output`` (B, D).
        """
        maps = None
        if self._returns_maps(output_hidden_states):
            last, maps = self.backbone.forward_intermediates(pixel_values)
        else:
            last = self.backbone.forward_features(pixel_values)
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=last,
            pooler_output=self.backbone.forward_head(last),
            hidden_states=None if maps is None else tuple(maps),
        )


class GalaxyResNetForImageClassification(GalaxyResNetPreTrainedModel):
    """Morphological class and the votes of volunteers of a galaxy image.

    Attributes:
        trees: the decision trees whose votes are predicted, one for each campaign.
        label_mean: (numbers,) of a regression with errors: the mean of its training rows. Heads compute in units of
            ``label_scale`` (numbers,) from there, and outputs are in the units of the labels.
    """

    _heads = HEADS

    def __init__(self, config: GalaxyResNetConfig):
        super().__init__(config)
        self.dropout = nn.Dropout(config.drop_rate)
        self.classifier = nn.Linear(self.backbone.num_features, config.num_labels)
        self.trees = config.decision_trees
        num_answers = self.trees.num_answers  # the heads of all campaigns are rows of one matrix
        self.vote_head = nn.Linear(self.backbone.num_features, num_answers) if config.predict_votes else None
        self.error_head = None
        if config.predict_errors:
            self.error_head = nn.Linear(self.backbone.num_features, config.num_labels)
            self.register_buffer("label_mean", torch.zeros(config.num_labels))
            self.register_buffer("label_scale", torch.ones(config.num_labels))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        votes: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> GalaxyClassifierOutput:
        """Classify a batch, and compute the loss of labels and votes where they are given.

        Args:
            pixel_values: (B, C, H, W) from the image processor.
            labels: labels of the kind that ``config.problem_type`` says, see
                :func:`~galaxy_vision.models.losses.label_loss`. Where it is None, as in transformers, integers (B,) are
                classes that exclude each other, and floats or several columns are classes that do not.
            votes: (B, answers of all trees) votes; NaN where unknown.
            class_weights: (number of classes,) weight of each class in the class loss.
            output_hidden_states: whether to return the maps of the stem and of each stage.

        Raises:
            ValueError: the labels do not fit the problem, or votes are given to a model without vote head.
        """
        maps = None
        if self._returns_maps(output_hidden_states):
            last, maps = self.backbone.forward_intermediates(pixel_values)
            features = self.backbone.forward_head(last)
        else:
            features = self.backbone(pixel_values)  # (B, D)
        features = self.dropout(features)
        logits = self.classifier(features)  # (B, classes)
        errors = None
        if self.error_head is not None:
            logits = logits.float() * self.label_scale + self.label_mean
            raw = self.error_head(features).float()
            errors = raw.clamp(-LOG_ERROR, LOG_ERROR).exp() * self.label_scale  # (B, numbers)
        concentration = None
        if self.vote_head is not None:
            concentration = concentration_of(self.vote_head(features))  # (B, answers)
        loss = None
        if labels is not None:
            problem = problem_of(self.config, labels)
            if problem != SINGLE_LABEL:
                self.config.problem_type = problem  # saved with the model; pipelines choose softmax or sigmoid by it
            if errors is not None:
                is_known = (~labels.isnan()).sum().clamp(min=1)
                loss = gaussian_nll(logits, errors, labels, self.label_scale).sum() / is_known
            else:
                loss = label_loss(problem, logits, labels, class_weights)
        if votes is not None:
            if concentration is None:
                raise ValueError("votes were given but config.predict_votes is False; set it or leave votes out")
            of_votes = vote_loss(concentration, votes, self.trees)
            loss = of_votes if loss is None else loss + of_votes
        return GalaxyClassifierOutput(
            loss=loss,
            logits=logits,
            vote_concentration=concentration,
            hidden_states=None if maps is None else tuple(maps),
            label_errors=errors,
        )

    @torch.no_grad()
    def predict_fractions(self, outputs: GalaxyClassifierOutput, campaign: str | None = None) -> VoteFractions:
        """Predict the answers of volunteers, with 90 % intervals, from the outputs of :meth:`forward`.

        The interval is that of the Beta marginal of an answer. It is the uncertainty of the model, without the scatter
        of a finite number of volunteers.

        Args:
            outputs: of :meth:`forward`.
            campaign: one of :attr:`trees`; None for the first.

        Raises:
            ValueError: the model has no vote head, or not this campaign.
        """
        if outputs.vote_concentration is None:
            raise ValueError(
                "this model was trained without votes (config.predict_votes is False), so it predicts classes only"
            )
        tree = self.trees.named(campaign)
        concentration = self.trees.part(outputs.vote_concentration, campaign).float()
        total = totals_of(concentration, tree)
        conditional = concentration / total
        a, rest = concentration.double().cpu().numpy(), (total - concentration).double().cpu().numpy()
        if betaincinv is None:
            raise ImportError("the intervals of vote fractions need scipy; pip install scipy")
        lower, upper = (torch.from_numpy(betaincinv(a, rest, q)).to(conditional) for q in (0.05, 0.95))
        return VoteFractions(conditional, tree.reach(conditional), lower, upper)


# Saved folders then contain the code, and load where this package is not installed.
GalaxyResNetModel.register_for_auto_class("AutoModel")
GalaxyResNetForImageClassification.register_for_auto_class("AutoModelForImageClassification")


__all__ = ["GalaxyResNetForImageClassification", "GalaxyResNetModel"]
