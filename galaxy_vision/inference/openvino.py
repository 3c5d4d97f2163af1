"""A trained classifier as a graph of OpenVINO, which takes less time on a CPU than torch, with the same predictions.

galaxy-vision export --model DIR --output_dir DIR writes it for programs without torch; `galaxy-vision predict --backend
openvino` makes it in memory.
"""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput, GalaxyResNetForImageClassification
from .loading import load_classifier

GRAPH = "openvino_model.xml"
"""Beside its weights, openvino_model.bin: the names that optimum-intel uses."""


def import_openvino():
    """The package.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import openvino  # an extra
    except ImportError as error:
        raise ValueError(f"OpenVINO cannot be imported ({error}); pip install 'galaxy_vision[export]'") from error
    return openvino


class _Outputs(nn.Module):
    """What a classifier says, as a tuple without holes, and the features of its backbone."""

    def __init__(self, classifier: GalaxyResNetForImageClassification):
        super().__init__()
        self.classifier = classifier

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = []
        hook = self.classifier.backbone.register_forward_hook(lambda module, inputs, output: features.append(output))
        outputs = self.classifier(pixel_values=pixel_values)
        hook.remove()
        return (*(each for each in (outputs.logits, outputs.vote_concentration) if each is not None), features[0])


@torch.no_grad()
def to_openvino(classifier: GalaxyResNetForImageClassification, size: int):
    """Make an ``openvino.Model`` of a classifier.

    ``pixel_values`` (any B, 3, size, size) -> ``logits``, ``vote_concentration`` if it has votes, ``features``.

    Args:
        classifier: in evaluation mode, on the CPU.
        size: side of the images, that of its processor.

    Raises:
        ValueError: OpenVINO is not installed.
    """
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # As openvino.convert_model, which reports each conversion to its makers over the network.
    frontend = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings(
        action="ignore", category=FutureWarning
    ):  # torch.jit.trace is deprecated, and OpenVINO calls it
        decoder = TorchScriptPythonDecoder(_Outputs(classifier), example_input=torch.zeros(2, 3, size, size))
    graph = frontend.convert(frontend.load(decoder))
    graph.reshape(openvino.PartialShape([-1, 3, size, size]))
    graph.inputs[0].get_tensor().set_names({"pixel_values"})
    names = ("logits", "vote_concentration", "features") if classifier.config.predict_votes else ("logits", "features")
    for output, name in zip(graph.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return graph


class OpenVINOClassifier:
    """The graph, called as the model is called, by any number of threads at once.

    Args:
        classifier: as of :func:`to_openvino`.
        size: as of :func:`to_openvino`.
        threads: batches that are computed at once, with one core each.
        bf16: compute in bf16, on a CPU that has it.
        on_features: called with the features (B, D) of each batch, in the thread that asked.
    """

    def __init__(self, classifier, size: int, threads: int, bf16: bool, on_features: Callable[[torch.Tensor], None]):
        settings = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if bf16 else "f32"
        self.compiled = import_openvino().Core().compile_model(to_openvino(classifier, size), "CPU", settings)
        self.has_votes = classifier.config.predict_votes
        self.mine, self.on_features = threading.local(), on_features

    def __call__(self, pixel_values: torch.Tensor) -> GalaxyClassifierOutput:
        if not hasattr(self.mine, "request"):
            self.mine.request = self.compiled.create_infer_request()
        said = self.mine.request.infer(
            {"pixel_values": pixel_values.contiguous().numpy()}
        )  # copies: the next call is another batch's
        self.on_features(torch.from_numpy(said["features"]))
        votes = torch.from_numpy(said["vote_concentration"]) if self.has_votes else None
        return GalaxyClassifierOutput(logits=torch.from_numpy(said["logits"]), vote_concentration=votes)


def export(model: str, output_dir: str | Path) -> Path:
    """Write the graph of a trained classifier, with copies of its config and its processor; returns its path.

    Raises:
        OSError: there is no such model.
        ValueError: it cannot be used, or OpenVINO is not installed.
    """
    openvino = import_openvino()
    classifier, processor = load_classifier(model)
    path = Path(output_dir) / GRAPH
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(to_openvino(classifier, processor.size["height"]), path, compress_to_fp16=False)
    classifier.config.save_pretrained(path.parent)
    processor.save_pretrained(path.parent)
    return path
