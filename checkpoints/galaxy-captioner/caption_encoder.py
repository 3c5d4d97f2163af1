"""The encoder of the captioner: a timm ResNet whose feature maps become one vector for each place of a grid.

Where the captioner reads votes, a code of the vote fractions is added to every vector: those that its own vote head
predicts, or those of a classifier beside it, so that a caption says what the classifier says.
"""

import timm
import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from .configuration_galaxy_captioner import GalaxyCaptionerConfig
from .strict_loading import keep_initialisation
from .vote_fractions import concentration_of, expected_fractions


class GalaxyEncoder(nn.Module):
    """Pixels -> (B, 1 + P, hidden_size): features of the whole image, then of the P places of the grid, row by row."""

    main_input_name = "pixel_values"

    def __init__(self, config: GalaxyCaptionerConfig):
        super().__init__()
        self.stage, self.num_channels = config.attention_stage, config.num_channels
        self.backbone = timm.create_model(
            config.backbone, pretrained=False, num_classes=0, in_chans=config.num_channels
        )
        keep_initialisation(self.backbone)
        last = self.backbone.num_features
        fine = self.backbone.feature_info[self.stage]["num_chs"]
        self.project_places = nn.Linear(last if self.stage == 4 else fine + last, config.hidden_size)
        self.project_whole = nn.Linear(last, config.hidden_size)
        self.trees = config.decision_trees
        if self.trees:
            size, answers = config.hidden_size, len(self.trees.first.answers)
            self.vote_head = nn.Linear(last, self.trees.num_answers).requires_grad_(False)  # a teacher's
            self.read_votes = nn.Sequential(nn.Linear(answers, size), nn.GELU(), nn.Linear(size, size))
        self.norm, self.dropout = nn.LayerNorm(config.hidden_size), nn.Dropout(config.drop_rate)

    def train(self, mode: bool = True) -> "GalaxyEncoder":
        """Set the mode, but keep a frozen backbone in evaluation mode, so that its batch statistics do not drift."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def forward(
        self,
        pixel_values: torch.Tensor,
        votes: torch.Tensor | None = None,
        campaign: str | None = None,
        output_hidden_states: bool = False,
        **kwargs,
    ) -> BaseModelOutput:
        """Compute features of a batch of images.

        Args:
            pixel_values: (B, C, H, W) of any floating dtype; converted to the dtype of the weights.
            votes: (B, answers) fractions of each answer among those who are asked, NaN where unknown, of a classifier;
                None for those that the captioner predicts.
            campaign: whose votes are predicted; None for the first of the trees.
            output_hidden_states: also return ``hidden_states``: the maps of the stem and of the four stages of the
                backbone, and the output.

        Raises:
            ValueError: ``pixel_values`` has another shape or is not of a floating dtype, votes have another shape or
                are given to a captioner that does not read any, or the campaign is not one of its trees.
        """
        self._check(pixel_values)
        pixel_values = pixel_values.to(next(self.backbone.parameters()).dtype)
        stages = None if output_hidden_states else sorted({self.stage, 4})  # None for all
        maps = self.backbone.forward_intermediates(pixel_values, indices=stages, intermediates_only=True)
        whole, features = maps[-1].mean((2, 3)), maps[self.stage if output_hidden_states else 0]
        if self.stage < 4:  # fine places also get the features of the coarse place around them
            coarse = F.interpolate(maps[-1], size=features.shape[-2:], mode="bilinear", align_corners=False)
            features = torch.cat([features, coarse], 1)
        features = self.project_places(features.flatten(2).transpose(1, 2))  # (B, P, D)
        features = torch.cat([self.project_whole(whole)[:, None], features], 1)  # (B, 1 + P, D)
        if self.trees:
            features = features + self._code(whole, votes, campaign)[:, None]
        elif votes is not None or campaign is not None:
            raise ValueError("this captioner does not read votes; leave out votes and campaign")
        encoded = self.dropout(self.norm(features))
        return BaseModelOutput(
            last_hidden_state=encoded, hidden_states=(*maps, encoded) if output_hidden_states else None
        )

    def _code(self, whole: torch.Tensor, votes: torch.Tensor | None, campaign: str | None) -> torch.Tensor:
        """Return (B, D): what the votes add to the features."""
        tree = self.trees.named(campaign)
        if votes is None:
            votes = expected_fractions(self.trees.part(concentration_of(self.vote_head(whole)), campaign), tree)
        elif votes.shape != (len(whole), len(tree.answers)):
            raise ValueError(
                f"votes of shape {list(votes.shape)} are not the fractions of {len(tree.answers)} answers for each of "
                f"{len(whole)} images"
            )
        return self.read_votes(votes.nan_to_num(0.0).to(whole.dtype))

    def _check(self, pixel_values: torch.Tensor) -> None:
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.num_channels:
            raise ValueError(
                f"pixel_values of shape {list(pixel_values.shape)} are not (images, {self.num_channels}, height, "
                "width); give those of the processor"
            )
        if not pixel_values.is_floating_point():
            raise ValueError(f"pixel_values of {pixel_values.dtype} are not normalised; give those of the processor")


__all__ = ["GalaxyEncoder"]
