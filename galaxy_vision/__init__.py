"""Galaxy images to morphological classes, Galaxy Zoo votes, captions and heat maps.

``import galaxy_vision`` makes the Auto classes of transformers know our models. It does so when these classes are first imported, by
whomever, so that builders and the command line start without torch (0.9 GB and several seconds).
"""

import importlib

import wrapt

__version__ = "0.1.0"

_HOME = {
    "GalaxyCaptionerConfig": "configuration_galaxy_captioner",
    "GalaxyCaptionerForConditionalGeneration": "modeling_galaxy_captioner",
    "GalaxyCaptionerModel": "modeling_galaxy_captioner",
    "GalaxyCaptionerProcessor": "processing_galaxy_captioner",
    "GalaxyImageProcessor": "image_processing_galaxy",
    "GalaxyResNetConfig": "configuration_galaxy_resnet",
    "GalaxyResNetForImageClassification": "modeling_galaxy_resnet",
    "GalaxyResNetModel": "modeling_galaxy_resnet",
    "VoteFractions": "modeling_galaxy_resnet",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


@wrapt.when_imported("transformers.models.auto.configuration_auto")
def _register_configurations(auto) -> None:
    from .configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .configuration_galaxy_resnet import GalaxyResNetConfig

    auto.AutoConfig.register("galaxy_resnet", GalaxyResNetConfig)
    auto.AutoConfig.register("galaxy_captioner", GalaxyCaptionerConfig)


@wrapt.when_imported("transformers.models.auto.image_processing_auto")
def _register_image_processors(auto) -> None:
    from .configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .configuration_galaxy_resnet import GalaxyResNetConfig
    from .image_processing_galaxy import GalaxyImageProcessor

    for config in (GalaxyResNetConfig, GalaxyCaptionerConfig):
        auto.AutoImageProcessor.register(config, image_processor_classes={"torchvision": GalaxyImageProcessor})


@wrapt.when_imported("transformers.models.auto.processing_auto")
def _register_processors(auto) -> None:
    from .configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .processing_galaxy_captioner import GalaxyCaptionerProcessor

    auto.AutoProcessor.register(GalaxyCaptionerConfig, GalaxyCaptionerProcessor)


@wrapt.when_imported("transformers.models.auto.modeling_auto")
def _register_models(auto) -> None:
    from .configuration_galaxy_captioner import GalaxyCaptionerConfig
    from .configuration_galaxy_resnet import GalaxyResNetConfig
    from .modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration, GalaxyCaptionerModel
    from .modeling_galaxy_resnet import GalaxyResNetForImageClassification, GalaxyResNetModel

    auto.AutoModel.register(GalaxyResNetConfig, GalaxyResNetModel)
    auto.AutoModel.register(GalaxyCaptionerConfig, GalaxyCaptionerModel)
    auto.AutoModelForImageClassification.register(GalaxyResNetConfig, GalaxyResNetForImageClassification)
    auto.AutoModelForImageTextToText.register(GalaxyCaptionerConfig, GalaxyCaptionerForConditionalGeneration)


@wrapt.when_imported("transformers.pipelines")
def _register_pipelines(pipelines) -> None:
    from .modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration
    from .pipeline import TASK, GalaxyCaptionPipeline

    pipelines.PIPELINE_REGISTRY.register_pipeline(
        TASK, GalaxyCaptionPipeline, pt_model=GalaxyCaptionerForConditionalGeneration, type="multimodal"
    )
