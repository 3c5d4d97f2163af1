"""A trained classifier as a graph of OpenVINO: the same predictions as by torch, in less time on a CPU.

``galaxy-vision export --model DIR --output_dir DIR`` writes the graph for programs without torch, and
``galaxy-vision predict --backend openvino`` makes it in memory.
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
"""File of the graph, beside its weights openvino_model.bin; optimum-intel uses the same names."""


def import_openvino():
    """Import and return the package openvino, which only the extra ``export`` installs.

    Raises:
        ValueError: openvino cannot be imported.
    """
    try:
        import openvino
    except ImportError as error:
        raise ValueError(f"OpenVINO cannot be imported ({error}); pip install 'galaxy_vision[export]'") from error
    return openvino


class _Outputs(nn.Module):
    """Outputs of a classifier as a tuple of tensors, and the features of its backbone."""

    def __init__(self, classifier: GalaxyResNetForImageClassification):
        super().__init__()
        self.classifier = classifier

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = []
        hook = self.classifier.backbone.register_forward_hook(lambda module, inputs, output: features.append(output))
        outputs = self.classifier(pixel_values=pixel_values)
        hook.remove()
        if outputs.vote_concentration is None:
            return outputs.logits, features[0]
        return outputs.logits, outputs.vote_concentration, features[0]


@torch.no_grad()
def to_openvino(classifier: GalaxyResNetForImageClassification, size: int):
    """Convert a classifier to an ``openvino.Model``.

    Args:
        classifier: in evaluation mode, on the CPU.
        size: side of the images in pixels, that of the processor.

    Returns:
        A graph with the input ``pixel_values`` (B, 3, size, size) for any B, and the outputs ``logits``,
        ``vote_concentration`` if the classifier predicts votes, and ``features``.

    Raises:
        ValueError: OpenVINO is not installed, or the classifier predicts numbers with errors.
    """
    openvino = import_openvino()
    if classifier.config.predict_errors:
        raise ValueError("a model of numbers with errors has no OpenVINO graph; use backend=torch")
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # openvino.convert_model does the same, but reports each conversion over the network.
    frontend = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # OpenVINO calls the old torch.jit.trace
        decoder = TorchScriptPythonDecoder(_Outputs(classifier), example_input=torch.zeros(2, 3, size, size))
    graph = frontend.convert(frontend.load(decoder))
    graph.reshape(openvino.PartialShape([-1, 3, size, size]))
    graph.inputs[0].get_tensor().set_names({"pixel_values"})
    names = ("logits", "vote_concentration", "features") if classifier.config.predict_votes else ("logits", "features")
    for output, name in zip(graph.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return graph


class OpenVINOClassifier:
    """A classifier by OpenVINO, with the call of the model; several threads may call it at once.

    Args:
        classifier: as for :func:`to_openvino`.
        size: as for :func:`to_openvino`.
        threads: number of batches that are computed at once, on one core each.
        bf16: compute in bf16, on a CPU that has instructions for it.
        on_features: called with the features (B, D) of each batch, in the thread of the caller.
    """

    def __init__(self, classifier, size: int, threads: int, bf16: bool, on_features: Callable[[torch.Tensor], None]):
        settings = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if bf16 else "f32"
        self.compiled = import_openvino().Core().compile_model(to_openvino(classifier, size), "CPU", settings)
        self.config = classifier.config
        self.has_votes, self.trees = classifier.config.predict_votes, classifier.trees
        self.thread_data, self.on_features = threading.local(), on_features

    def __call__(self, pixel_values: torch.Tensor) -> GalaxyClassifierOutput:
        if not hasattr(self.thread_data, "request"):
            self.thread_data.request = self.compiled.create_infer_request()
        # The outputs are copies, so that the next batch does not overwrite them.
        outputs = self.thread_data.request.infer({"pixel_values": pixel_values.contiguous().numpy()})
        self.on_features(torch.from_numpy(outputs["features"]))
        votes = torch.from_numpy(outputs["vote_concentration"]) if self.has_votes else None
        return GalaxyClassifierOutput(logits=torch.from_numpy(outputs["logits"]), vote_concentration=votes)


def export(model: str, output_dir: str | Path) -> Path:
    """Write the graph of a trained classifier, with its config and its processor, and return the path of the graph.

    Raises:
        OSError: the model does not exist.
        ValueError: the model cannot be used, or OpenVINO is not installed.
    """
    openvino = import_openvino()
    classifier, processor = load_classifier(model)
    path = Path(output_dir) / GRAPH
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(to_openvino(classifier, processor.size["height"]), path, compress_to_fp16=False)
    classifier.config.save_pretrained(path.parent)
    processor.save_pretrained(path.parent)
    return path
