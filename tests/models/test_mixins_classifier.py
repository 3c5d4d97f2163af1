"""What transformers promises of models, configurations and image processors, by its own tests: the classifier."""

import unittest

import torch
from transformers_mixins import NO_TRANSFORMER, load, promises_all_but

from galaxy_vision import (
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
    GalaxyResNetModel,
)

modeling = load("test_modeling_common")
configuration = load("test_configuration_common")
image_processing = load("test_image_processing_common")

DOES_NOT_APPLY = {
    "test_attention_outputs": "a ResNet has no attention",
    "test_attn_implementation_composite_models": "a ResNet has no attention",
    "test_sliding_window_mask": "a ResNet has no attention",
    "test_multimodal_outputs_are_returned": "there are images only",
    "test_bc_cache_name_forward": "nothing is generated",
    "test_causal_lm_loss_honors_shift_labels": "nothing is generated",
    "test_encoder_decoder_loss_no_double_shift": "nothing is generated",
    "test_resize_*embeddings*": "there are no words",
    "test_model_get_set_embeddings": "there are no words, as in the ResNet of transformers",
    "test_enable_input_require_grads_with_gradient_checkpointing": "timm's layers are not checkpointed, and it says so",
    "test_can_load_ignoring_mismatched_shapes": "heads of another size raise ValueError, not RuntimeError",
    "test_can_init_all_missing_weights": "as below: weights are missing on purpose",
    "test_correct_missing_keys": "a model without heads is refused unless ignore_mismatched_sizes=True",
}
ONE_BACKEND = "there is one image processor, by torchvision"
PROCESSOR_DOES_NOT_APPLY = {
    "test_backends_equivalence*": ONE_BACKEND,
    "test_save_load_backends*": ONE_BACKEND,
    "test_image_processor_preprocess_arguments": "preprocess takes its arguments as keywords",
    "test_call_numpy_4_channels": "a fourth channel is transparency and never read; a mean of four channels is refused",
    "test_fast_image_processor_explicit_none_preserved": "do_resize=None is false, and the pixel cache needs a size",
    "test_image_processor_from_dict_with_kwargs_has_attributes": "do_convert_rgb=False is refused: the models read RGB",
}


MAPS = [(32, 16, 16), (32, 8, 8), (48, 4, 4), (192, 2, 2), (96, 1, 1)]  # of test_resnet, for 32 pixels a side


class ModelInputs:
    """Small models and inputs, in the form that the mixins ask for."""

    batch_size, num_channels, image_size, num_labels = 2, 3, 32, 3
    is_training = True

    def __init__(self, parent):
        self.parent = parent

    def get_config(self) -> GalaxyResNetConfig:
        return GalaxyResNetConfig(backbone="test_resnet", image_size=self.image_size, num_labels=self.num_labels)

    def prepare_config_and_inputs_for_common(self):
        shape = (self.batch_size, self.num_channels, self.image_size, self.image_size)
        return self.get_config(), {"pixel_values": torch.rand(shape, device=modeling.torch_device)}


@promises_all_but(NO_TRANSFORMER | DOES_NOT_APPLY)
class TestClassifier(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (GalaxyResNetModel, GalaxyResNetForImageClassification)
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

    def test_hidden_states_output(self):
        """In the place of that of transformers, which is about words: a map for the stem and for each stage."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for by_config in (False, True):
            config.output_hidden_states = by_config
            for model_class in self.all_model_classes:
                model = model_class(config).to(modeling.torch_device).eval()
                outputs = model(**inputs) if by_config else model(**inputs, output_hidden_states=True)
                assert [tuple(states.shape[1:]) for states in outputs.hidden_states] == MAPS
                assert by_config or model(**inputs).hidden_states is None


class ImageTester(image_processing.ImageProcessingTester):
    def __init__(self, parent):
        super().__init__(parent, size={"height": 20, "width": 20}, crop_fraction=0.6)

    def _get_image_processing_classes(self):
        return {"torchvision": GalaxyImageProcessor}


@promises_all_but(PROCESSOR_DOES_NOT_APPLY)
class TestImageProcessor(image_processing.ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = ImageTester
