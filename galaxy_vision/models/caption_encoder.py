"""The encoder of the captioner: a timm ResNet whose feature maps become one vector for each place of a grid."""

import timm
import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from .configuration_galaxy_captioner import GalaxyCaptionerConfig
from .strict_loading import keep_initialisation


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
        self.norm, self.dropout = nn.LayerNorm(config.hidden_size), nn.Dropout(config.drop_rate)

    def train(self, mode: bool = True) -> "GalaxyEncoder":
        """Set the mode, but keep a frozen backbone in evaluation mode, so that its batch statistics do not drift."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def forward(self, pixel_values: torch.Tensor, output_hidden_states: bool = False, **kwargs) -> BaseModelOutput:
        """Compute features of a batch of images.

        Args:
            pixel_values: (B, C, H, W) of any floating dtype; converted to the dtype of the weights.
            output_hidden_states: also return ``hidden_states``: the maps of the stem and of the four stages of the
                backbone, and the output.

        Raises:
            ValueError: ``pixel_values`` has another shape or is not of a floating dtype.
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
        encoded = self.dropout(self.norm(torch.cat([self.project_whole(whole)[:, None], features], 1)))
        return BaseModelOutput(
            last_hidden_state=encoded, hidden_states=(*maps, encoded) if output_hidden_states else None
        )

    def _check(self, pixel_values: torch.Tensor) -> None:
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.num_channels:
            raise ValueError(
                f"pixel_values of shape {list(pixel_values.shape)} are not (images, {self.num_channels}, height, "
                "width); give those of the processor"
            )
        if not pixel_values.is_floating_point():
            raise ValueError(f"pixel_values of {pixel_values.dtype} are not normalised; give those of the processor")


__all__ = ["GalaxyEncoder"]
