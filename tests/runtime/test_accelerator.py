"""One process may make many runs, each with its precision.

The precision "auto" is the faster of fp32 and bf16, and changes nothing else.
"""

import json
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from conftest import CAPTIONER, FEW, in_two_processes, train
from safetensors.torch import load_file

import galaxy_vision.runtime.accelerator as module
from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.evaluation.saved import evaluate_saved
from galaxy_vision.predict.run import main as predict
from galaxy_vision.runtime.accelerator import (
    bf16_gain,
    make_accelerator,
    settle_precision,
    training_gain,
)
from galaxy_vision.runtime.hardware import has_native_bf16

TINY = [*FEW, "--max_rows", "30", "--epochs", "1", "--batch_size", "10"]


@pytest.fixture
def answer(monkeypatch):
    """Give ``answer(native, gain)``, which sets whether the processor has bf16 and what is measured.

    It returns the list of measurements.
    """

    def force(native: bool, gain: float | None = None) -> list[float]:
        measured = []
        monkeypatch.setattr(module, "has_native_bf16", lambda device=None: native)
        monkeypatch.setattr(module, "WORTHWHILE", 1.1)
        for name in ("galaxy_vision.runtime.accelerator", "galaxy_vision.predict.models"):
            monkeypatch.setattr(f"{name}.bf16_gain", lambda *args: measured.append(bf16_gain(*args)) or gain)
        return measured

    return force


def computes(accelerator) -> torch.dtype:
    """The type of a product, by autocast and by a prepared model: both must be told of the precision."""
    with accelerator.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    seen, layer = [], torch.nn.Linear(2, 2)
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    accelerator.prepare(torch.nn.Sequential(layer))(torch.ones(1, 2))
    assert seen == [product.dtype]
    return product.dtype


def test_each_run_in_a_process_has_its_own_precision(tmp_path):
    for precision, dtype in (("no", torch.float32), ("bf16", torch.bfloat16), ("no", torch.float32)):
        accelerator = make_accelerator(precision, 1, None, tmp_path)
        assert (accelerator.mixed_precision, computes(accelerator)) == (precision, dtype)
        accelerator.end_training()


def change_the_precision_of_two_processes(folder: str) -> None:
    make_accelerator("no", 1, None, folder)
    group = torch.distributed.group.WORLD
    accelerator = make_accelerator("bf16", 1, None, folder)
    assert torch.distributed.group.WORLD is group  # it is not torn down under the others
    assert accelerator.num_processes == 2 and computes(accelerator) == torch.bfloat16
    assert accelerator.reduce(torch.tensor(accelerator.process_index + 1.0), "sum").item() == 3
    accelerator.end_training()
    with pytest.raises(ValueError, match="start the next run by `accelerate launch`"):
        make_accelerator("no", 1, None, folder)


def test_a_change_of_precision_leaves_processes_together_until_their_run_ends(tmp_path):
    assert in_two_processes(change_the_precision_of_two_processes, str(tmp_path)) == [0, 0]


def settle_with_the_opinion_of_the_main_process(folder: str) -> None:
    accelerator = make_accelerator("auto", 1, None, folder)
    module.has_native_bf16 = lambda device=None: True
    module.WORTHWHILE = 1.1
    settle_precision(
        accelerator, "auto", lambda: 2.0 if accelerator.is_main_process else pytest.fail("it measured too")
    )
    assert accelerator.mixed_precision == "bf16" and computes(accelerator) == torch.bfloat16
    accelerator.end_training()


def test_all_processes_take_the_choice_of_the_main_one(tmp_path):
    assert in_two_processes(settle_with_the_opinion_of_the_main_process, str(tmp_path)) == [0, 0]


def test_a_notebook_runs_everything_one_after_the_other_each_with_another_precision(tmp_path, galaxies):
    folders = {name: str(tmp_path / name) for name in ("classifier", "captioner", "images", "predicted")}
    (tmp_path / "images").mkdir()
    for index, (data, *_) in enumerate(galaxies[:3]):
        (tmp_path / "images" / f"{index}.jpg").write_bytes(data)
    captioner = [*CAPTIONER, "--max_rows", "30", "--epochs", "1", "--encoder", folders["classifier"]]
    train("train_classifier", *TINY, "--mixed_precision", "no", "--output_dir", folders["classifier"])
    train("train_captioner", *captioner, "--mixed_precision", "bf16", "--output_dir", folders["captioner"])
    argv = ["--model", folders["classifier"], "--catalogue", folders["images"], "--output_dir", folders["predicted"]]
    assert predict([*argv, "--mixed_precision", "no"]) == 0
    settings = {"dataset": "simulated", "num_simulated": 200}
    assert evaluate_saved(folders["classifier"], mixed_precision="bf16", **settings)["mixed_precision"] == "bf16"
    assert evaluate_saved(folders["classifier"], mixed_precision="no", **settings)["mixed_precision"] == "no"
    assert evaluate_saved(folders["captioner"], **settings)["mixed_precision"] == "bf16"  # as it was trained
    recorded = {name: json.loads((tmp_path / name / "run.json").read_text()) for name in ("classifier", "captioner")}
    assert {name: run["hardware"]["mixed_precision"] for name, run in recorded.items()} == {
        "classifier": "no",
        "captioner": "bf16",
    }


@pytest.mark.parametrize(
    ("native", "gain", "precision", "line"),
    [
        (True, 1.8, "bf16", "precision: bf16 (1.8 times fp32 on this machine)"),
        (True, 0.8, "no", "precision: fp32 (bf16 is 0.8 times as fast here)"),
        (True, 1.05, "no", "precision: fp32 (bf16 is 1.1 times as fast here)"),
        (False, None, "no", "precision: fp32 (without instructions for bf16)"),
    ],
)
def test_auto_is_the_faster_one_and_says_so_in_one_line(native, gain, precision, line, answer, tmp_path, capsys):
    answer(native)
    accelerator = make_accelerator("auto", 1, None, tmp_path)
    capsys.readouterr()
    settle_precision(accelerator, "auto", lambda: gain if native else pytest.fail("emulated bf16 is not measured"))
    assert accelerator.mixed_precision == precision
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize(
    ("asked", "launched", "precision"), [("no", "bf16", "no"), ("bf16", "no", "bf16"), ("auto", "bf16", "bf16")]
)
def test_an_argument_and_then_the_launcher_have_the_last_word(
    asked, launched, precision, answer, tmp_path, monkeypatch, capsys
):
    answer(True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    accelerator = make_accelerator(asked, 1, None, tmp_path)
    capsys.readouterr()
    settle_precision(accelerator, asked, lambda: pytest.fail("nothing is left to be measured"))
    assert accelerator.mixed_precision == precision
    assert capsys.readouterr().out == ""


def test_fp16_on_a_cpu_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    """Accelerate would compute fp32, and call it fp16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="^error: mixed_precision=fp16 needs a GPU.*use auto, no or bf16$"):
        train("train_classifier", *TINY, "--mixed_precision", "fp16", "--output_dir", str(tmp_path / "run"))
    with pytest.raises(SystemExit, match="^error: mixed_precision=fp16 needs a GPU"):
        train("train_captioner", *CAPTIONER, "--mixed_precision", "fp16", "--output_dir", str(tmp_path / "run"))
    argv = ["--model", "x", "--catalogue", "y", "--output_dir", str(tmp_path / "out"), "--mixed_precision", "fp16"]
    assert predict(argv) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: mixed_precision=fp16 needs a GPU")
    assert make_accelerator("no", 1, None, tmp_path).mixed_precision == "no"  # nothing of it is left


@pytest.mark.parametrize(("gain", "explicit"), [(2.0, "bf16"), (0.5, "no")])
@pytest.mark.parametrize("script", ["train_classifier", "train_captioner"])
def test_a_measured_choice_gives_the_bits_of_the_same_choice_by_an_argument(script, gain, explicit, answer, tmp_path):
    """Weights, order, dropout and batch statistics are not touched by the measurement."""
    argv = [
        *(FEW if script == "train_classifier" else CAPTIONER),
        "--max_rows",
        "30",
        "--epochs",
        "1",
        "--batch_size",
        "10",
    ]
    measured = answer(True, gain)
    train(script, *argv, "--output_dir", str(tmp_path / "auto"))
    train(script, *argv, "--mixed_precision", explicit, "--output_dir", str(tmp_path / "explicit"))
    assert len(measured) == 1
    auto, known = (load_file(tmp_path / name / "model.safetensors") for name in ("auto", "explicit"))
    assert all(torch.equal(value, auto[name]) for name, value in known.items())
    record = json.loads((tmp_path / "auto" / "run.json").read_text())
    assert record["hardware"]["mixed_precision"] == explicit and record["arguments"]["mixed_precision"] == "auto"


def test_a_resumed_run_keeps_the_precision_that_it_began_with(answer, tmp_path, capsys):
    measured = answer(True, 2.0)
    whole, cut = ([*TINY, "--checkpoint_every", "1", "--output_dir", str(tmp_path / name)] for name in ("whole", "cut"))
    train("train_classifier", *whole)
    with pytest.raises(SystemExit, match="130"):
        train("train_classifier", *cut, "--stop_after", "2")
    assert len(measured) == 2
    answer(True, 0.5)  # another day, another noise
    with pytest.raises(SystemExit, match="mixed_precision='no', then 'bf16'"):
        train("train_classifier", *cut, "--resume", "--mixed_precision", "no")
    capsys.readouterr()
    train("train_classifier", *cut, "--resume")
    assert "precision: bf16 (as the run began)\n" in capsys.readouterr().out
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_prediction_that_goes_on_keeps_the_precision_of_its_parts(
    backend, answer, classifier_run, tmp_path, galaxies, capsys
):
    if backend == "openvino":
        pytest.importorskip("openvino")
    (tmp_path / "images").mkdir()
    for index, (data, *_) in enumerate(galaxies[:4]):
        (tmp_path / "images" / f"{index}.jpg").write_bytes(data)
    argv = [
        "--model",
        str(classifier_run[0]),
        "--catalogue",
        str(tmp_path / "images"),
        "--output_dir",
        str(tmp_path / "out"),
    ]
    argv += ["--rows_per_part", "2", "--batch_size", "2", "--backend", backend]
    measured = answer(True, 2.0)
    assert predict(argv) == 0
    assert len(measured) == 1 and "precision: bf16 (2.0 times fp32 on this machine)" in capsys.readouterr().out
    parts = sorted((tmp_path / "out").glob("part-*"))
    before = pq.read_table(parts[1])
    parts[1].unlink()
    again = answer(True, 0.5)
    assert predict(argv) == 0
    assert again == [] and "precision: bf16 (as the run began)" in capsys.readouterr().out
    assert pq.read_table(parts[1]).equals(before)
    identity = json.loads((tmp_path / "out" / "_SUCCESS.json").read_text())["identity"]
    assert identity["mixed_precision"] == "bf16"


@pytest.mark.parametrize(
    ("seconds_an_image", "images", "largest"),
    [(0.001, 4, 4), (0.001, 1, 1), (0.001, 10_000, 125), (3.0, 32, 2)],
    ids=["small", "one image", "a batch that is cut", "a huge model"],
)
def test_the_measurement_tells_which_is_faster_in_about_a_second(seconds_an_image, images, largest, monkeypatch):
    """By a clock of ours: bf16 takes half as long, each first pass of a shape longer.

    Every third pass is disturbed.
    """
    now, passes, counts = [0.0], [0], []
    monkeypatch.setattr(module, "SECONDS", 1.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def compute(count: int, bf16: bool) -> None:
        passes[0] += 1
        building = 2.0 if (count, bf16) not in counts else 1.0
        counts.append((count, bf16))
        now[0] += count * seconds_an_image * (0.5 if bf16 else 1.0) * building * (1.5 if passes[0] % 5 == 0 else 1.0)

    assert bf16_gain(compute, images) == pytest.approx(2)
    assert max(count for count, _ in counts) == largest
    assert now[0] < 1.5 or passes[0] == 6


def test_the_measurement_leaves_model_and_random_numbers_alone(tmp_path, answer):
    answer(True, 2.0)
    torch.manual_seed(0)
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, drop_rate=0.5, predict_votes=False)
    model = GalaxyResNetForImageClassification(config).train()
    before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    inputs = {
        "pixel_values": torch.randn(4, 3, 32, 32, generator=torch.Generator()),
        "labels": torch.tensor([0, 1, -1, 2]),
    }
    settle_precision(make_accelerator("auto", 1, None, tmp_path), "auto", lambda: training_gain(model, inputs))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_single_image_can_be_measured():
    """Batch normalisation of a map of one pixel needs two; README's smallest run has one row."""
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, predict_votes=False)
    inputs = {"pixel_values": torch.zeros(1, 3, 32, 32), "labels": torch.tensor([0])}
    assert training_gain(GalaxyResNetForImageClassification(config), inputs) > 0


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu avx512f amx_bf16", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f avx512vl", False),
        ("model name\t: avx512_bf16-less", False),
    ],
)
def test_what_the_processor_says_of_bf16_is_read_as_words(text, native, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{text}\n")
    monkeypatch.setattr("galaxy_vision.runtime.hardware._CPU_INFO", tmp_path / "cpuinfo")
    assert has_native_bf16("cpu") == native


def test_the_run_of_a_model_tells_evaluation_its_precision(classifier_run, tmp_path, monkeypatch):
    """Or nothing does: then it is fp32, and never a matter of measurement."""
    from galaxy_vision.evaluation import saved as evaluation

    monkeypatch.setattr(
        evaluation, "make_accelerator", lambda precision, *args: (_ for _ in ()).throw(ValueError(precision))
    )
    for record, precision in (
        ({"hardware": {"mixed_precision": "bf16"}}, "^bf16$"),
        ({"hardware": {"mixed_precision": "no"}}, "^no$"),
        (None, "^no$"),
        ({}, "run.json is damaged, so the precision of the run is not known; give --mixed_precision"),
    ):
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "config.json").write_bytes((classifier_run[0] / "config.json").read_bytes())
        if record is not None:
            (folder / "run.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match=precision):
            evaluate_saved(str(folder), "simulated")
