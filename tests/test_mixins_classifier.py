"""What transformers promises of its own models, configurations and image processors, by its own tests, for the classifier."""

import unittest

import torch
from transformers_mixins import load, promises_all_but

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification

modeling = load("test_modeling_common")
configuration = load("test_configuration_common")
image_processing = load("test_image_processing_common")

NOT_YET = "not yet"
DOES_NOT_APPLY = {
    "test_can_load_ignoring_mismatched_shapes": NOT_YET,
    "test_correct_missing_keys": NOT_YET,
    "test_hidden_states_output": NOT_YET,
    "test_model_get_set_embeddings": NOT_YET,
    "test_model_is_small": NOT_YET,
    "test_model_weights_reload_no_missing_tied_weights": NOT_YET,
    "test_problem_types": NOT_YET,
    "test_retain_grad_hidden_states_attentions": NOT_YET,
}


class ModelInputs:
    """Small models and inputs, in the form that the mixins ask for."""

    batch_size, num_channels, image_size, num_labels = 2, 3, 32, 3
    is_training = True

    def __init__(self, parent):
        self.parent = parent

    def get_config(self) -> GalaxyResNetConfig:
        return GalaxyResNetConfig(backbone="resnet10t", image_size=self.image_size, num_labels=self.num_labels)

    def prepare_config_and_inputs_for_common(self):
        shape = (self.batch_size, self.num_channels, self.image_size, self.image_size)
        return self.get_config(), {"pixel_values": torch.rand(shape, device=modeling.torch_device)}


@promises_all_but(DOES_NOT_APPLY)
class TestClassifier(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (GalaxyResNetForImageClassification,)
    has_attentions = False
    test_resize_embeddings = False

    def setUp(self):
        self.model_tester = ModelInputs(self)
        self.config_tester = configuration.ConfigTester(
            self,
            config_class=GalaxyResNetConfig,
            has_text_modality=False,
            common_properties=["backbone", "image_size", "num_channels"],
        )

    def test_config(self):
        self.config_tester.run_common_tests()


class ImageTester(image_processing.ImageProcessingTester):
    def __init__(self, parent):
        super().__init__(parent, size={"height": 20, "width": 20}, crop_fraction=0.6)

    def _get_image_processing_classes(self):
        return {"torchvision": GalaxyImageProcessor}


@promises_all_but({"test_fast_image_processor_explicit_none_preserved": NOT_YET})
class TestImageProcessor(image_processing.ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = ImageTester
