"""Galaxy images to morphological classes, Galaxy Zoo votes, captions and heat maps.

``import galaxy_vision`` registers the models with the Auto classes of transformers when these classes are first
imported, so that builders and the command line start without torch (0.9 GB and several seconds).
"""

import importlib

import wrapt

__version__ = "0.1.0"

_MODULES = {
    "ANSWERS": "models.decision_tree",
    "Describer": "inference.describe",
    "GalaxyCaptionerConfig": "models.configuration_galaxy_captioner",
    "GalaxyCaptionerForConditionalGeneration": "models.modeling_galaxy_captioner",
    "GalaxyCaptionerModel": "models.modeling_galaxy_captioner",
    "GalaxyCaptionerProcessor": "models.processing_galaxy_captioner",
    "GalaxyImageProcessor": "models.image_processing_galaxy",
    "GalaxyResNetConfig": "models.configuration_galaxy_resnet",
    "GalaxyResNetForImageClassification": "models.modeling_galaxy_resnet",
    "GalaxyResNetModel": "models.modeling_galaxy_resnet",
    "QUESTIONS": "models.decision_tree",
    "VoteFractions": "models.modeling_galaxy_resnet",
    "claims_from_votes": "captions.claims",
    "class_probabilities": "inference.classes",
    "conditional_fractions": "models.decision_tree",
    "conditional_from_kaggle": "models.decision_tree",
    "kaggle_from_conditional": "models.decision_tree",
    "observe": "images.observation",
    "parse_claims": "captions.reading",
    "parse_frame": "images.framing",
    "read_bands": "images.decode",
    "read_rgb": "images.decode",
    "score_claims": "captions.claims",
    "write_captions": "captions.writing",
}
"""Modules of the public names, which are imported when a name is first used."""

__all__ = [*_MODULES, "__version__"]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


@wrapt.when_imported("transformers.models.auto.configuration_auto")
def _register_configurations(auto) -> None:
    from .models.configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .models.configuration_galaxy_resnet import GalaxyResNetConfig

    auto.AutoConfig.register("galaxy_resnet", GalaxyResNetConfig)
    auto.AutoConfig.register("galaxy_captioner", GalaxyCaptionerConfig)


@wrapt.when_imported("transformers.models.auto.image_processing_auto")
def _register_image_processors(auto) -> None:
    from .models.configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .models.configuration_galaxy_resnet import GalaxyResNetConfig
    from .models.image_processing_galaxy import GalaxyImageProcessor

    for config in (GalaxyResNetConfig, GalaxyCaptionerConfig):
        auto.AutoImageProcessor.register(config, image_processor_classes={"torchvision": GalaxyImageProcessor})


@wrapt.when_imported("transformers.models.auto.processing_auto")
def _register_processors(auto) -> None:
    from .models.configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .models.processing_galaxy_captioner import GalaxyCaptionerProcessor

    auto.AutoProcessor.register(GalaxyCaptionerConfig, GalaxyCaptionerProcessor)


@wrapt.when_imported("transformers.models.auto.modeling_auto")
def _register_models(auto) -> None:
    from .models.configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .models.configuration_galaxy_resnet import GalaxyResNetConfig
    from .models.modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration, GalaxyCaptionerModel
    from .models.modeling_galaxy_resnet import GalaxyResNetForImageClassification, GalaxyResNetModel

    auto.AutoModel.register(GalaxyResNetConfig, GalaxyResNetModel)
    auto.AutoModel.register(GalaxyCaptionerConfig, GalaxyCaptionerModel)
    auto.AutoModelForImageClassification.register(GalaxyResNetConfig, GalaxyResNetForImageClassification)
    auto.AutoModelForImageTextToText.register(GalaxyCaptionerConfig, GalaxyCaptionerForConditionalGeneration)


@wrapt.when_imported("transformers.pipelines")
def _register_pipelines(pipelines) -> None:
    from .inference.pipeline import TASK, GalaxyCaptionPipeline
    from .models.modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration

    pipelines.PIPELINE_REGISTRY.register_pipeline(
        TASK, GalaxyCaptionPipeline, pt_model=GalaxyCaptionerForConditionalGeneration, type="multimodal"
    )
