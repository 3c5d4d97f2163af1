"""Names of other libraries that are private to them, and that we use for want of public ones.

Each is used in one place. A release that renames one, or gives it another meaning, fails here by name.
"""

from importlib.metadata import version

import pytest
import torch
from accelerate import Accelerator
from transformers import GenerationMixin, Pipeline, PreTrainedConfig, PreTrainedModel, ProcessorMixin
from transformers import initialization as init
from transformers.image_processing_backends import TorchvisionBackend

from galaxy_vision.models.generation_coverage import default_settings, is_hooked
from galaxy_vision.models.strict_loading import keep_initialisation
from galaxy_vision.runtime.accelerator import _switch_to_bf16, forget_earlier_run


def state_is_reset() -> bool:
    """Two precisions in one process are refused, unless the state is reset in between."""
    forget_earlier_run()
    Accelerator(mixed_precision="no")
    with pytest.raises(ValueError, match="already been initialized"):
        Accelerator(mixed_precision="bf16")
    forget_earlier_run()
    return Accelerator(mixed_precision="bf16").mixed_precision == "bf16"


def precision_is_switched() -> bool:
    forget_earlier_run()
    expected = Accelerator(mixed_precision="bf16")
    forget_earlier_run()
    accelerator = Accelerator(mixed_precision="no")
    _switch_to_bf16(accelerator)
    state = (accelerator.mixed_precision, accelerator.native_amp, vars(accelerator.state)["_mixed_precision"])
    return state == (expected.mixed_precision, expected.native_amp, vars(expected.state)["_mixed_precision"])


def prepared_loader_is_kept() -> bool:
    accelerator = Accelerator()
    fresh, marked = (torch.utils.data.DataLoader([1, 2]) for _ in range(2))
    marked._is_accelerate_prepared = True
    return accelerator.prepare_data_loader(fresh) is not fresh and accelerator.prepare_data_loader(marked) is marked


def defaults_are_those_of_greedy_search() -> bool:
    defaults = default_settings()
    return (defaults["num_beams"], defaults["do_sample"], defaults["repetition_penalty"]) == (1, False, 1.0)


def marked_weights_are_kept() -> bool:
    fresh, marked = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    keep_initialisation(marked)
    before = marked.weight.clone()
    with torch.no_grad():
        init.ones_(fresh.weight), init.ones_(marked.weight)
    return torch.equal(fresh.weight, torch.ones(2, 2)) and torch.equal(marked.weight, before)


def name_is_set_after_the_fields() -> bool:
    return "_name_or_path" in vars(PreTrainedConfig())


def hooks_are_seen(kind: str) -> bool:
    layer = torch.nn.Linear(2, 2)
    hook = getattr(layer, f"register_{kind}")(lambda *call: None)
    hooked = is_hooked(layer)
    hook.remove()
    return hooked and not is_hooked(layer)


@pytest.mark.parametrize(
    "library, owner, name, means_what_we_think",
    [
        ("accelerate", "AcceleratorState", "_reset_state", state_is_reset),
        ("accelerate", "AcceleratorState", "_mixed_precision", precision_is_switched),
        ("accelerate", "DataLoader", "_is_accelerate_prepared", prepared_loader_is_kept),
        ("transformers", "GenerationConfig", "_get_default_generation_params", defaults_are_those_of_greedy_search),
        ("transformers", "Parameter", "_is_hf_initialized", marked_weights_are_kept),
        ("transformers", "PreTrainedConfig", "_name_or_path", name_is_set_after_the_fields),
        ("torch", "Module", "_forward_hooks", lambda: hooks_are_seen("forward_hook")),
        ("torch", "Module", "_forward_pre_hooks", lambda: hooks_are_seen("forward_pre_hook")),
    ],
)
def test_a_private_name_of_a_library_means_what_we_take_it_to_mean(library, owner, name, means_what_we_think):
    message = f"{library} {version(library)} has no {owner}.{name} any more, or it has another meaning"
    try:
        holds = means_what_we_think()
    except (AttributeError, KeyError) as error:
        pytest.fail(f"{message}: {error}")
    finally:
        forget_earlier_run()  # later tests choose their own precision
    assert holds, message


OVERRIDDEN = {
    PreTrainedModel: ("_init_weights", "_no_split_modules", "_keys_to_ignore_on_load_unexpected"),
    GenerationMixin: ("_sample", "_beam_search", "_prepare_generation_config", "_supports_default_dynamic_cache"),
    TorchvisionBackend: ("_preprocess", "_prepare_images_structure", "_validate_preprocess_kwargs"),
    ProcessorMixin: ("_merge_kwargs",),
    Pipeline: ("_sanitize_parameters", "_forward", "_load_processor"),
}
"""Class of transformers -> its private names that our classes override or call."""


@pytest.mark.parametrize("owner, name", [(owner, name) for owner, names in OVERRIDDEN.items() for name in names])
def test_a_private_name_that_we_override_or_call_is_there(owner, name):
    assert hasattr(owner, name), f"transformers {version('transformers')} has no {owner.__name__}.{name} any more"
