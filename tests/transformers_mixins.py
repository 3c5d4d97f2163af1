"""The tests that transformers runs on its own models, of the version that is installed, for ours.

The package on the index has no tests in it, but its source archive carries ``tests/*.py``. It is fetched once for each
version, by pip as it is configured here, into the user's cache. A module that cannot have it is skipped in one
sentence::

    common = load("test_modeling_common")

    @promises_all_but({"test_flash_attn_*": "there is no attention in a ResNet"})
    class TestClassifier(common.ModelTesterMixin, unittest.TestCase): ...

The archive has neither the tests of ``generate`` (``tests/generation``) nor those of pipelines (``tests/pipelines``)
and of exporters.
"""

import functools
import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
import types
import warnings
from contextlib import nullcontext
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
import transformers
from filelock import FileLock

PACKAGE = "transformers_tests"  # "tests" would be our own folder
COMPLETE = "complete"
"""Name of the file whose existence says that everything was fetched."""

OURS = {
    "MODEL_MAPPING_NAMES": {"galaxy_resnet": "GalaxyResNetModel"},
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES": {"galaxy_resnet": "GalaxyResNetForImageClassification"},
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES": {"galaxy_captioner": "GalaxyCaptionerForConditionalGeneration"},
}
"""Lists of model classes by which the mixins choose what applies.

Without our names they would leave our classes out in silence.
"""

NO_TRANSFORMER = {
    "test_*sdpa*": "there are no attention layers of a transformer, so no kernels of them to choose",
    "test_can_set_attention_dynamically*": "as above",
    "test_eager_matches_batched_and_grouped_inference*": "there are no experts",
    "test_moe_models_record_router_logits": "there are no experts",
    "test_output_router_logits_from_config": "there are no experts",
    "test_model_rope_*": "positions are not rotary",
    "test_vision_axial_rope": "positions are not rotary",
    "test_inputs_embeds*": "embeddings are not an input",
    "test_resize_position_vector_embeddings": "there are no embeddings of positions",
    "test_capture_outputs_decorator": "hidden states are returned by timm and not collected by hooks",
    "test_can_capture_specific_layers_hidden_states": "as above",
    "test_keep_in_fp32_modules*": "no module has to stay in float32",
    "test_tp_plan_matches_params": "the models are too small to be cut over devices",
    "test_can_load_from_already_mapped_keys": "no weight was ever renamed",
    "test_reverse_loading_mapping": "no weight was ever renamed",
    "test_internal_model_config_and_subconfig_are_same": "a configuration has no parts",
    "test_model_weights_reload_no_missing_tied_weights": "a file without its weights is refused",
}
"""What does not apply to either of our models, to be merged into the list of each."""

CONFIG_KEYWORDS = {
    "return_dict": False,
    "output_hidden_states": True,
    "dtype": "float16",
    "architectures": ["Model"],
    "id2label": {0: "label"},
    "label2id": {"label": 0},
    "problem_type": "regression",
}
"""In the place of ``tests/utils/test_configuration_utils.py``, which the archive lacks.

It lists what every configuration takes.
"""


def load(name: str) -> types.ModuleType:
    """Import a module of the tests of transformers, such as ``"test_modeling_common"``.

    Skip the calling module where it cannot be had.
    """
    if f"{PACKAGE}.{name}" in sys.modules:
        return sys.modules[f"{PACKAGE}.{name}"]
    try:
        folder = fetched()
    except OSError as error:
        pytest.skip(
            f"the tests of transformers {transformers.__version__} cannot be fetched: {error}", allow_module_level=True
        )
    for missing, content in _missing_modules().items():
        sys.modules.setdefault(missing, types.ModuleType(missing)).__dict__.update(content)
    path = sys.path.copy()
    try:
        sys.path.append(str(folder))
        with warnings.catch_warnings(action="ignore"):  # marks that our pytest does not know
            module = importlib.import_module(f"{PACKAGE}.{name}")
    finally:
        sys.path[:] = path
    for mapping, names in OURS.items():
        if hasattr(module, mapping):
            setattr(module, mapping, {**getattr(module, mapping), **names})
    return module


def promises_all_but(does_not_apply: dict[str, str]):
    """Decorate a class of tests.

    Those in the list (names, or patterns as of file names) have to fail or to skip themselves.

    So the list says all that a model of transformers promises and ours does not, each with its reason, and nothing
    else. Tests that need what this machine lacks (a GPU, deepspeed) or are marked slow are not collected.

    Raises:
        ValueError: no test has such a name.
    """

    def decorate(cls):
        tests = [name for name in dir(cls) if name.startswith("test_") and callable(getattr(cls, name))]
        if unknown := [left for left in does_not_apply if not any(fnmatchcase(name, left) for name in tests)]:
            raise ValueError(f"{cls.__name__} has no test of the name {unknown[0]!r}; take it off the list")
        for name in tests:
            if getattr(getattr(cls, name), "__unittest_skip__", False):
                setattr(cls, name, None)
                continue
            for pattern, reason in does_not_apply.items():
                if fnmatchcase(name, pattern):
                    setattr(cls, name, _not_promised(getattr(cls, name), reason))
        cls._leaves_nothing_behind = _leaves_nothing_behind
        return cls

    return decorate


def _not_promised(test, reason: str):
    @functools.wraps(test)
    def run(self):
        self.subTest = lambda *args, **parameters: nullcontext()  # which would keep a failure from us
        try:
            test(self)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):
            pytest.xfail(reason)
        pytest.fail(f"passes, but stands in the list of what does not apply ({reason}); take it off")

    return run


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(self):
    with torch.random.fork_rng():
        yield
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)


def fetched() -> Path:
    """The folder that has the package, and what else its modules import.

    Raises:
        OSError: it cannot be fetched or written, in one sentence.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "galaxy-vision")
    folder = cache / f"transformers-{transformers.__version__}"
    # All workers of a run skip alike.
    failure = Path(os.environ["GALAXY_VISION_TEST_CACHE"], "transformers-tests.failed")
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if failure.exists():
            raise OSError(failure.read_text())
        try:
            if not (folder / COMPLETE).exists():
                _fetch(folder)
        except OSError as error:
            failure.write_text(str(error))
            raise
    return folder


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as downloads:
        name = f"transformers=={transformers.__version__}"
        _pip("download", "--no-deps", "--no-binary", "transformers", "--dest", downloads, name)
        _pip(
            "install", "--no-deps", "--target", str(folder), "--upgrade", "parameterized"
        )  # by which the mixins are written
        package = folder / PACKAGE
        package.mkdir(exist_ok=True)
        with tarfile.open(next(Path(downloads).glob("*.tar.gz"))) as archive:
            for member in archive:
                if fnmatchcase(member.name, "transformers-*/tests/*.py") and member.isfile():
                    (package / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    if not (package / "test_modeling_common.py").exists():
        raise OSError(f"the source archive of {name} carries no tests")
    (package / "__init__.py").touch()
    (folder / COMPLETE).touch()


def _pip(*command: str) -> None:
    call = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", *command]
    try:
        subprocess.run(call, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.SubprocessError as error:
        lines = (error.stderr or "").strip().splitlines() or [type(error).__name__]
        raise OSError(f"pip {command[0]} says {lines[-1]}") from error


def _missing_modules() -> dict[str, dict]:
    """What the modules import and the archive lacks."""
    return {
        f"{PACKAGE}.exporters": {"__path__": []},
        f"{PACKAGE}.exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
        f"{PACKAGE}.generation": {"__path__": []},
        f"{PACKAGE}.generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
        f"{PACKAGE}.utils": {"__path__": []},
        f"{PACKAGE}.utils.test_configuration_utils": {"config_common_kwargs": CONFIG_KEYWORDS},
        "fetch_hub_objects_for_ci": {"url_to_local_path": lambda url, *args: url},
    }
