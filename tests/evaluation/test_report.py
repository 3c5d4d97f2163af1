"""Record, card and figures of a finished run, also when they are made again, and its scores from the command line."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import CAPTIONER, FEW
from huggingface_hub import ModelCard

from galaxy_vision.cli import main as cli
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.evaluation.report import rebuild_report

SIMULATED = ["--dataset", "simulated", "--num_simulated", "200"]


@pytest.fixture(params=["classifier_run", "captioner_run"])
def run(request):
    return request.getfixturevalue(request.param)


def five_lines(card: str) -> str:
    return re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].strip()


def test_the_five_lines_of_the_card_run_with_and_without_our_package(run, tmp_path, monkeypatch, capsys):
    folder, results = run
    lines = five_lines((folder / "README.md").read_text())
    assert len(lines.splitlines()) == 5
    shutil.copytree(folder, tmp_path / folder.name)
    load_galaxies("simulated", num_simulated=200)["test"][0]["image"].save(tmp_path / "galaxy.jpg")
    block = "import sys\nclass Block:\n    def find_spec(self, name, path=None, target=None):\n"
    block += "        if name.split('.')[0] == 'galaxy_vision': raise ModuleNotFoundError(name)\n"
    block += "sys.meta_path.insert(0, Block())\n"
    command = [sys.executable, "-c", block + lines]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # as here, whatever the number of cores
    done = subprocess.run(command, cwd=tmp_path, env=one_thread, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    last_line = done.stdout.splitlines()[-1]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec("import galaxy_vision\n" + lines.replace("trust_remote_code=True", "trust_remote_code=False"), {})
    assert capsys.readouterr().out.splitlines()[-1] == last_line
    assert ("elliptical" in last_line) == ("classes" in results)


def test_the_metadata_of_the_card_are_read_as_they_were_written(run):
    folder, results = run
    card = ModelCard.load(folder / "README.md")
    data = card.data
    assert (data.library_name, data.license) == ("transformers", "apache-2.0")
    values = {result.metric_name: result.metric_value for result in data.eval_results}
    if "captions" in results:
        assert data.pipeline_tag == "image-text-to-text"
        assert all(example["messages"][0]["content"][1]["text"] == "Describe this image." for example in data.widget)
        assert values["claim F1"] == round(results["captions"]["captioner"]["claim_f1"], 4)
    else:
        assert data.pipeline_tag == "image-classification" and len(data.widget) == 3
        limits = {result.metric_name: result.metric_args["interval_95"] for result in data.eval_results}
        assert limits["accuracy"] == [round(limit, 4) for limit in results["classes"]["interval_95"]["accuracy"]]
        assert values["macro F1"] == round(results["classes"]["macro_f1"], 4)
        assert values["RMSE over 37 vote fractions"] == round(results["votes"]["rmse_37"], 4)
    assert {result.dataset_split for result in data.eval_results} == {"test"}
    for section in ("How to load it", "Intended use", "Limits", "Data", "Training", "Results"):
        assert f"\n## {section}\n" in card.text
    assert "Rowe et al. 2015" in card.text  # the citation of the data set's own card
    assert str(folder.parent) not in card.text  # no path of this machine


def test_the_record_of_a_run_says_what_a_repetition_needs(run):
    folder, results = run
    record = json.loads((folder / "run.json").read_text())
    assert record["arguments"] == results["arguments"]
    assert record["split_fingerprint"] == results["split_fingerprint"]
    assert record["split_rows"]["test"] == results["rows"]
    assert record["hardware"]["num_processes"] == 1
    assert record["hardware"]["cores"] >= 1
    assert {"python", "torch", "transformers", "timm"} <= set(record["versions"])
    flags = dict(zip(*[iter(CAPTIONER if "captions" in results else FEW)] * 2, strict=True))
    assert {
        f"--{key}": str(value) for key, value in record["changed_arguments"].items() if key != "encoder"
    }.items() <= flags.items()


def test_the_card_cites_further_data_sets_and_leaves_the_licence_open_where_theirs_is_another(classifier_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(classifier_run[0], folder)
    record = json.loads((folder / "run.json").read_text())
    for licence, kept in (("apache-2.0", "apache-2.0"), ("cc-by-4.0", "other")):
        facts = {"name": "more", "hub_id": "someone/more", "title": "More galaxies", "license": licence}
        record["further_datasets"] = [facts | {"citation": "Cite Someone 2020.", "content": None}]
        (folder / "run.json").write_text(json.dumps(record))
        rebuild_report(folder)
        card = ModelCard.load(folder / "README.md")
        assert "those of More galaxies (`someone/more`), licence `" + licence in card.text
        assert "Cite Someone 2020." in card.text
        assert card.data.license == kept and "someone/more" in card.data.datasets


def test_a_report_made_again_is_the_same(run, tmp_path):
    folder = tmp_path / run[0].name
    shutil.copytree(run[0], folder)
    figures = [*folder.glob("*.png"), *folder.glob("*.pdf")]
    assert {path.stem for path in folder.glob("*.pdf")} == {path.stem for path in folder.glob("*.png")}
    before = {path: path.read_bytes() for path in (*figures, folder / "README.md")}
    for path in figures:
        path.write_bytes(b"")
    written, reason = rebuild_report(folder)
    assert reason is None
    assert {path: path.read_bytes() for path in written} == before


def test_sheets_stay_as_they_are_where_the_data_set_is_gone_or_another(captioner_run, tmp_path, capsys):
    folder = tmp_path / "captioner"
    shutil.copytree(captioner_run[0], folder)
    record = json.loads((folder / "run.json").read_text())
    for change, reason in (
        ({"arguments": record["arguments"] | {"dataset": "nobody/nothing"}}, "nobody/nothing"),
        ({"split_fingerprint": {"test": "0123"}}, "has changed"),
    ):
        (folder / "run.json").write_text(json.dumps(record | change))
        (folder / "captions.png").write_bytes(b"kept")
        assert cli(["report", str(folder)]) == 0
        output = capsys.readouterr().out
        assert "left as they are: captions.png" in output
        assert reason in output
        assert (folder / "captions.png").read_bytes() == b"kept"


def test_evaluation_gives_the_scores_of_the_end_of_training(run, tmp_path, capsys):
    """Up to rounding in fp32: on some CPUs the last digits depend on threads and on the alignment of tensors."""
    folder, results = run
    argv = ["--model", str(folder), *SIMULATED, "--batch_size", "40", "--output", str(tmp_path / "scores.json")]
    assert cli(["evaluate", *argv]) == 0
    actual = json.loads((tmp_path / "scores.json").read_text())
    assert actual["split_fingerprint"] == results["split_fingerprint"]["test"]
    assert actual["mixed_precision"] == json.loads((folder / "run.json").read_text())["hardware"]["mixed_precision"]
    expected = json.loads((folder / "metrics.json").read_text())
    if "captions" in results:
        assert actual["examples"] == expected["examples"]
        assert_close(actual["captions"]["captioner"], expected["captions"]["captioner"])
        assert "claim F1" in capsys.readouterr().out
    else:
        for key in ("classes", "votes", "examples", "loss"):
            assert_close(actual[key], expected[key])
        assert "macro_f1" in capsys.readouterr().out


def assert_close(actual, expected) -> None:
    """Compare numbers to 1e-6 of their size, and everything else exactly."""
    if isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)
    elif isinstance(expected, dict | list):
        assert len(actual) == len(expected)
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            assert_close(actual[key], expected[key])
    else:
        assert actual == expected


def test_classes_are_compared_by_name_or_not_at_all(classifier_run, tmp_path, galaxies, capsys):
    model = str(classifier_run[0])
    folders = {"known": ("spiral", "elliptical"), "unknown": ("spiral", "smooth")}
    for kind, names in folders.items():
        for number, (jpeg, _, _) in enumerate(galaxies):
            file = tmp_path / kind / names[number % 2] / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(jpeg)
    settings = ["--model", model, "--output", str(tmp_path / "scores.json")]
    assert cli(["evaluate", *settings, "--dataset", str(tmp_path / "known")]) == 0
    support = {
        row["label"]: row["support"]
        for row in json.loads((tmp_path / "scores.json").read_text())["classes"]["per_class"]
    }
    assert support["elliptical"] > 0 and support["spiral"] > 0
    assert sum(support.values()) == support["elliptical"] + support["spiral"]
    capsys.readouterr()
    assert cli(["evaluate", *settings, "--dataset", str(tmp_path / "unknown")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "does not know (smooth)" in error
    assert "nothing can be compared" in error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["evaluate", "--model", "nowhere", "--dataset", "simulated"], "nowhere"),
        (["evaluate", "--model", "nowhere", "--dataset", "simulated", "--output", "/nowhere/x.json"], "make it first"),
        (["report", "nowhere"], "nowhere has no metrics.json"),
    ],
)
def test_bad_input_ends_with_one_line(argv, message, capsys):
    assert cli(argv) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
