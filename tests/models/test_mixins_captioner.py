"""What transformers promises of its own models, configurations and processors, by its own tests, for the captioner."""

import unittest

import torch
from transformers_mixins import load, promises_all_but

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyCaptionerModel,
    GalaxyCaptionerProcessor,
    GalaxyImageProcessor,
)
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer

modeling = load("test_modeling_common")
configuration = load("test_configuration_common")
processing = load("test_processing_common")

# The mixin tells by a mean of at most 0 that a setting was obeyed; its own, a negative rescale_factor, is refused here.
processing.MODALITY_TEST_SPECS["images"]["init_time_kwargs"] = {"image_mean": [100.0] * 3}

DOES_NOT_APPLY = {
    "test_hidden_states_output": "the encoder's are maps (B, C, H, W); words and LSTM differ in size",
    "test_model_is_small": "the smallest ResNet of timm has 5 million weights",
    "test_model_weights_reload_no_missing_tied_weights": "a file without the weights is refused",
}
GENERATES = {
    "test_generation_tester_mixin_inheritance": "the archive lacks the tests of generate(); see test_caption_search.py",
    "test_model_base_model_prefix": "encoder, decoder and the scores of words stand side by side",
}


class ModelInputs:
    """Small models and inputs, in the form that the mixins ask for."""

    batch_size, num_channels, image_size, vocab_size, seq_length = 2, 3, 32, 99, 7
    is_training = True

    def __init__(self, parent):
        self.parent = parent

    def get_config(self) -> GalaxyCaptionerConfig:
        sizes = {"hidden_size": 32, "embedding_size": 16, "attention_size": 16}
        return GalaxyCaptionerConfig(
            backbone="resnet10t", image_size=self.image_size, vocab_size=self.vocab_size, **sizes
        )

    def prepare_config_and_inputs_for_common(self):
        shape = (self.batch_size, self.num_channels, self.image_size, self.image_size)
        inputs = {"pixel_values": torch.rand(shape, device=modeling.torch_device)}
        if GalaxyCaptionerForConditionalGeneration in self.parent.all_model_classes:
            size = (self.batch_size, self.seq_length)
            inputs["decoder_input_ids"] = torch.randint(4, self.vocab_size, size, device=modeling.torch_device)
        if "resize" in self.parent._testMethodName:
            inputs["input_ids"] = inputs["decoder_input_ids"].clone()
        return self.get_config(), inputs


@promises_all_but(DOES_NOT_APPLY | GENERATES)
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

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        """Tests of another vocabulary change ``input_ids``, which are not an input of ours."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        return {name: value for name, value in inputs.items() if name != "input_ids"}

    def test_config(self):
        self.config_tester.run_common_tests()


FEATURES = {
    "test_training": "features have no loss",
    "test_model_get_set_embeddings": "there are no words",
    "test_retain_grad_hidden_states_attentions": "the configuration names a decoder, which is left out here",
}


@promises_all_but(DOES_NOT_APPLY | FEATURES)
class TestFeatures(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (GalaxyCaptionerModel,)
    has_attentions = False
    test_resize_embeddings = False
    test_bc_torch_dtype = None  # 13 seconds, of the same code as in the class above

    def setUp(self):
        self.model_tester = ModelInputs(self)


@promises_all_but(
    {
        "test_processor_from_and_save_pretrained*": "saving notes the file of the code in auto_map, loading does not",
        "test_tokenizer_decode_defaults": "captions are decoded without special tokens",
    }
)
class TestProcessor(processing.ProcessorTesterMixin, unittest.TestCase):
    processor_class = GalaxyCaptionerProcessor
    text_input_name = "decoder_input_ids"

    @classmethod
    def _setup_image_processor(cls):
        return GalaxyImageProcessor()

    @classmethod
    def _setup_tokenizer(cls):
        return build_tokenizer(["lower newer upper older longer string [MASK]"])
