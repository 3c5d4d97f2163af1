"""Galaxy images to morphological classes, Galaxy Zoo votes, captions and heat maps."""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from .configuration_galaxy_resnet import GalaxyResNetConfig
from .image_processing_galaxy import GalaxyImageProcessor
from .modeling_galaxy_resnet import GalaxyResNetForImageClassification, VoteFractions

__version__ = "0.1.0"

AutoConfig.register("galaxy_resnet", GalaxyResNetConfig)
AutoModelForImageClassification.register(GalaxyResNetConfig, GalaxyResNetForImageClassification)
AutoImageProcessor.register(GalaxyResNetConfig, image_processor_classes={"torchvision": GalaxyImageProcessor})
# A saved folder then carries the code, so that it loads where this package is not installed.
GalaxyResNetConfig.register_for_auto_class()
GalaxyResNetForImageClassification.register_for_auto_class("AutoModelForImageClassification")
GalaxyImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["GalaxyImageProcessor", "GalaxyResNetConfig", "GalaxyResNetForImageClassification", "VoteFractions", "__version__"]
