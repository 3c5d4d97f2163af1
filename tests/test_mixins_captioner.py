"""What transformers promises of its own models, configurations and processors, by its own tests, for the captioner."""

import unittest

import torch
from transformers_mixins import load, promises_all_but

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
)
from galaxy_vision.processing_galaxy_captioner import build_tokenizer

modeling = load("test_modeling_common")
configuration = load("test_configuration_common")
processing = load("test_processing_common")


class ModelInputs:
    """Small models and inputs, in the form that the mixins ask for."""

    batch_size, num_channels, image_size, vocab_size, seq_length = 2, 3, 32, 99, 7
    is_training = True

    def __init__(self, parent):
        self.parent = parent

    def get_config(self) -> GalaxyCaptionerConfig:
        sizes = {"hidden_size": 32, "embedding_size": 16, "attention_size": 16}
        return GalaxyCaptionerConfig(backbone="resnet10t", image_size=self.image_size, vocab_size=self.vocab_size, **sizes)

    def prepare_config_and_inputs_for_common(self):
        shape = (self.batch_size, self.num_channels, self.image_size, self.image_size)
        words = torch.randint(4, self.vocab_size, (self.batch_size, self.seq_length), device=modeling.torch_device)
        pixels = torch.rand(shape, device=modeling.torch_device)
        return self.get_config(), {"pixel_values": pixels, "decoder_input_ids": words}


@promises_all_but({})
class TestCaptioner(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (GalaxyCaptionerForConditionalGeneration,)
    is_encoder_decoder = True
    has_attentions = False

    def setUp(self):
        self.model_tester = ModelInputs(self)
        self.config_tester = configuration.ConfigTester(
            self,
            config_class=GalaxyCaptionerConfig,
            has_text_modality=False,
            common_properties=["backbone", "image_size", "vocab_size", "hidden_size"],
        )

    def test_config(self):
        self.config_tester.run_common_tests()


@promises_all_but({})
class TestProcessor(processing.ProcessorTesterMixin, unittest.TestCase):
    processor_class = GalaxyCaptionerProcessor
    text_input_name = "decoder_input_ids"

    @classmethod
    def _setup_image_processor(cls):
        return GalaxyImageProcessor()

    @classmethod
    def _setup_tokenizer(cls):
        return build_tokenizer(["lower newer upper older longer string"])
