"""Push to a stand-in of the Hub on loopback, and load by id with empty caches, most of it in fresh interpreters."""

import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
from conftest import CAPTIONER, FEW, REPOSITORY, train
from hub_stand_in import TOKEN, Hub
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars
from transformers import pipeline

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.cli import main
from galaxy_vision.evaluation.publish import push_at_the_end
from galaxy_vision.training.arguments import TrainingRun

NO_PACKAGE = """
import importlib.metadata, sys
needed, wanted = set(), ["transformers", "timm", "torch"]
while wanted:  # what pip would install along with these three
    name = wanted.pop().lower().replace("_", "-")
    if name not in needed:
        needed.add(name)
        try:
            for line in importlib.metadata.requires(name) or []:
                if "extra ==" not in line:
                    line = line.translate(str.maketrans(";[<>=!~(", "        "))
                    wanted.append(line.split()[0])
        except importlib.metadata.PackageNotFoundError:
            pass  # for another system
needed |= {"numpy", "pillow", "torchvision"}  # compulsory for any model of images, though transformers does not say so
owners = importlib.metadata.packages_distributions()
refused = {"galaxy_vision"} | {
    module for module, names in owners.items() if not needed & {name.lower().replace("_", "-") for name in names}
}
class Without:
    # Does not see the refused modules, as if nobody had installed them.
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in refused else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
assert {"scipy", "datasets", "evaluate", "galsim", "pandas", "accelerate"} <= refused, refused
"""


@pytest.fixture
def hub():
    with Hub() as running:
        yield running


@pytest.fixture
def run(hub, tmp_path):
    """Runs Python in a fresh interpreter with an empty cache, with the package in its path or not."""

    def call(*argv: str, package: bool = True, token: str = TOKEN, code: int = 0) -> subprocess.CompletedProcess:
        environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "PYTHONPATH")}
        environment |= {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",  # none of them trains
        }
        environment |= {"HF_HOME": str(tmp_path / f"cache{len(hub.requests)}")}
        environment |= {"PYTHONPATH": str(REPOSITORY)} if package else {}
        done = subprocess.run(
            [sys.executable, *argv], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a finished run, in which a checkpoint was left."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    names = {0: "spiral", 1: "merger"}
    config = GalaxyResNetConfig(
        backbone="test_resnet", id2label=names, label2id={name: index for index, name in names.items()}
    )
    GalaxyResNetForImageClassification(config).save_pretrained(folder)
    GalaxyImageProcessor().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "checkpoints" / "step-1" / "state.bin").write_bytes(b"much")
    return folder


@pytest.fixture
def here(hub, tmp_path, monkeypatch):
    """The stand-in as the Hub of this process, with an empty cache, and no waiting between attempts."""
    files = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    for name, value in (("ENDPOINT", hub.url), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    disable_progress_bars()
    yield hub
    enable_progress_bars()


@pytest.fixture
def finished(classifier_run, tmp_path):
    return shutil.copytree(classifier_run[0], tmp_path / "finished")


LOAD_PRIVATE = """
import json, os
from transformers import pipeline
def classifier(model):
    return pipeline("image-classification", model, trust_remote_code=True)
try:
    refusal = classifier("someone/model") and "not refused"
except OSError as error:
    refusal = str(error)
os.environ["HF_TOKEN"] = sys.argv[2]
scores = [classifier(model)("galaxy.jpg") for model in ("someone/model", sys.argv[1])]
print(json.dumps([refusal, *scores, "galaxy_vision" in sys.modules]))
"""
PUSH = ("-m", "galaxy_vision.cli", "push")
HASTY = "import sys, time; time.sleep = lambda seconds: None; from galaxy_vision.cli import main; sys.exit(main())"


def test_a_pushed_model_loads_by_id_where_the_package_is_not_installed(hub, run, folder, galaxies, tmp_path):
    pushed = run(*PUSH, str(folder), "someone/model", "--private")
    assert pushed.stdout.strip() == f"{hub.url}/someone/model"
    assert hub.repos["model", "someone/model"]["private"]
    assert set(hub.files("someone/model")) - {".gitattributes"} == {
        path.name for path in folder.iterdir() if path.is_file()
    }
    (tmp_path / "galaxy.jpg").write_bytes(galaxies[0][0])
    done = run("-c", NO_PACKAGE + LOAD_PRIVATE, str(folder), TOKEN, package=False, token="hf_other")
    refusal, scores, local_scores, imported = json.loads(done.stdout.splitlines()[-1])
    assert "someone/model" in refusal
    assert not imported and scores == local_scores


def test_a_pushed_data_set_loads_and_streams_into_predictions(hub, run, folder, galaxies, tmp_path):
    for index, (data, *_) in enumerate(galaxies):
        class_folder = tmp_path / "images" / ("spiral" if index % 2 else "smooth")
        class_folder.mkdir(parents=True, exist_ok=True)
        (class_folder / f"{index}.jpg").write_bytes(data)
    script = str(REPOSITORY / "datasets_scripts" / "class_folders.py")
    run(script, "--images", "images", "--output_dir", "built", "--push_to_hub", "someone/galaxies")
    files = {str(path.relative_to(tmp_path / "built")) for path in (tmp_path / "built").rglob("*") if path.is_file()}
    assert set(hub.files("someone/galaxies", "dataset")) - {".gitattributes"} == files
    code = "from datasets import load_dataset; import json; d = load_dataset('someone/galaxies')\n"
    code += "print(json.dumps({s: [sorted(d[s]['id']), d[s][0]['image'].size] for s in d}))"
    rows = json.loads(run("-c", code, package=False).stdout.splitlines()[-1])
    assert sorted(row_id for ids, _ in rows.values() for row_id in ids) == sorted(map(str, range(len(galaxies))))
    where = ["--model", str(folder), "--catalogue", "someone/galaxies", "--output_dir", "out"]
    run("-m", "galaxy_vision.cli", "predict", *where, "--batch_size", "16")
    table = pd.read_parquet(tmp_path / "out")
    assert (table["status"] == "ok").all()
    assert sorted(table["id"]) == sorted(map(str, range(len(galaxies)))) and table["source"].is_unique


def test_a_pushed_space_is_there_as_it_was(hub, run, tmp_path):
    (tmp_path / "space" / "examples").mkdir(parents=True)
    (tmp_path / "space" / "README.md").write_text("---\nsdk: gradio\napp_file: app.py\n---\n")
    (tmp_path / "space" / "app.py").write_text("print('a demo')\n")
    (tmp_path / "space" / "examples" / "1.bin").write_bytes(bytes(range(256)) * 400)  # large enough for LFS
    run(*PUSH, "space", "someone/demo", "--repo_type", "space")
    code = "from huggingface_hub import snapshot_download; print(snapshot_download('someone/demo', repo_type='space'))"
    got = run("-c", code, package=False).stdout.strip()
    for path in (tmp_path / "space").rglob("*.*"):
        assert (tmp_path / got / path.relative_to(tmp_path / "space")).read_bytes() == path.read_bytes()


def test_a_wrong_token_is_named_and_creates_nothing(hub, run, folder):
    done = run(*PUSH, str(folder), "someone/model", token="hf_wrong", code=2)
    assert "the Hub refuses someone/model" in done.stderr and "401" in done.stderr
    assert not hub.repos


def test_an_existing_repository_is_updated_but_never_published_by_mistake(hub, run, folder, tmp_path):
    run(*PUSH, str(folder), "someone/model")
    before = hub.repos["model", "someone/model"]["head"]
    (folder / "metrics.json").write_text("{}")
    run(*PUSH, str(folder), "someone/model")
    assert hub.repos["model", "someone/model"]["head"] != before
    assert hub.files("someone/model")["metrics.json"] == b"{}"
    done = run(*PUSH, str(folder), "someone/model", "--private", code=2)
    assert "exists and is public" in done.stderr
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("")
    assert "has no config.json" in run(*PUSH, "notes", "someone/other", code=2).stderr


def test_a_dropped_connection_is_tried_again_and_shows_nothing_half(hub, run, folder):
    hub.drops = 2
    hasty = ("-c", HASTY, "push", str(folder))  # does not wait between attempts
    run(*hasty, "someone/model")
    assert hub.drops == 0
    assert len(hub.repos["model", "someone/model"]["commits"]) == 2  # the empty one, and the whole
    assert hub.files("someone/model")["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    hub.drops = 99
    done = run(*hasty, "someone/dropped", code=2)
    assert "4 attempts" in done.stderr
    assert set(hub.files("someone/dropped")) == {".gitattributes"}


def test_a_training_run_pushes_itself_and_both_models_load_by_id(here, run, galaxies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "galaxy.jpg").write_bytes(galaxies[0][0])
    few = ["--epochs", "1", "--max_rows", "60", "--push_to_hub", "--output_dir"]
    hidden = ["classifier", "--hub_model_id", "someone/galaxies", "--hub_private"]
    by_id = ["captioner", "--hub_model_id", "someone/captions", "--encoder", "someone/galaxies"]
    train("train_classifier", *FEW, *few, *hidden, report=True)
    train("train_captioner", *CAPTIONER, *few, *by_id, report=True)
    repos = here.repos
    assert repos["model", "someone/galaxies"]["private"] and not repos["model", "someone/captions"]["private"]
    for repo_id, name in (("someone/galaxies", "classifier"), ("someone/captions", "captioner")):
        card = here.files(repo_id)["README.md"].decode()
        assert f'from_pretrained("{repo_id}", trust_remote_code=True)' in card
        assert str(tmp_path) not in card and f'"{name}"' not in card
        assert not any(path.startswith(("checkpoints/", "best/")) for path in here.files(repo_id))
    local, pushed = (
        pipeline("galaxy-captioning", model, trust_remote_code=False)("galaxy.jpg")[0]["generated_text"]
        for model in ("./captioner", "someone/captions")
    )
    assert pushed == local
    code = "from transformers import pipeline\nimport json\n"
    code += "c = pipeline('image-classification', 'someone/galaxies', trust_remote_code=True)\n"
    code += "w = pipeline('image-text-to-text', 'someone/captions', trust_remote_code=True)\n"
    code += "print(json.dumps([c('galaxy.jpg')[0]['label'], w(images='galaxy.jpg', text='')[0]['generated_text']]))"
    label, text = json.loads(run("-c", NO_PACKAGE + code, package=False).stdout.splitlines()[-1])
    assert text == local and label in json.loads(here.files("someone/galaxies")["config.json"])["label2id"]


def test_the_card_of_a_folder_that_is_pushed_later_names_the_repository(here, finished):
    assert '"classifier"' in (finished / "README.md").read_text()
    assert main(["push", str(finished), "someone/later"]) == 0
    card = here.files("someone/later")["README.md"].decode()
    assert 'from_pretrained("someone/later"' in card and '"finished"' not in card and '"classifier"' not in card


def test_a_run_that_is_to_be_pushed_says_where_before_it_starts():
    with pytest.raises(ValueError, match="hub_model_id"):
        TrainingRun(push_to_hub=True)


def content(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def offline(patch, hub):
    patch.setattr(constants, "HF_HUB_OFFLINE", True)


def nobody_there(patch, hub):
    patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def xet_fails(patch, hub):
    def fail(*args, **kwargs):
        raise RuntimeError("Data processing error: File reconstruction error\nmore of it")

    patch.setattr(HfApi, "create_commit", fail)


def pressed(patch, hub):
    def press(*args, **kwargs):
        raise KeyboardInterrupt

    patch.setattr(HfApi, "create_commit", press)


HINDRANCES = {
    "wrong token": (lambda patch, hub: patch.setenv("HF_TOKEN", "hf_wrong"), "the Hub refuses someone/later: .*401", 2),
    "no right to write": (
        lambda patch, hub: hub.answers.append(403),
        "the Hub refuses someone/later: .*403.* may write",
        2,
    ),
    "down": (lambda patch, hub: hub.answers.extend([503] * 99), "no connection to the Hub .* in 4 attempts .*503", 2),
    "dropped": (lambda patch, hub: setattr(hub, "drops", 99), "no connection to the Hub .* in 4 attempts", 2),
    "offline": (offline, "HF_HUB_OFFLINE is set", 2),
    "nobody there": (nobody_there, "no connection to the Hub .* in 4 attempts", 2),
    "no Hub": (lambda patch, hub: patch.setattr(constants, "ENDPOINT", "127.0.0.1"), "someone/later", 2),
    "xet": (xet_fails, r"no connection .* \(Data processing error: File reconstruction error\); try again later", 2),
    "Ctrl-C": (pressed, "stopped before the push was complete", 130),
}
"""Name -> what prevents a push, its error message, and the status of ``galaxy-vision push``."""


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_what_prevents_a_push_is_one_line_and_leaves_the_run_as_it_was(
    here, finished, hindrance, capsys, caplog, monkeypatch
):
    prevent, sentence, status = HINDRANCES[hindrance]
    prevent(monkeypatch, here)
    before = content(finished)
    assert main(["push", str(finished), "someone/later", "--private"]) == status
    output = capsys.readouterr()
    assert re.search(sentence, output.err) and len(output.err.splitlines()) == 1
    assert not output.out and not caplog.records
    assert content(finished) == before
    repo = here.repos.get(("model", "someone/later"))
    assert repo is None or len(repo["commits"]) == 1  # the empty one
    args = TrainingRun(push_to_hub=True, hub_model_id="someone/later", hub_private=True, output_dir=str(finished))
    prevent(monkeypatch, here)
    with pytest.raises(SystemExit) as ended:
        push_at_the_end(args)
    assert content(finished) == before
    message = capsys.readouterr().err if status == 130 else ended.value.code
    assert message.strip().endswith(f"push it later by: galaxy-vision push {finished} someone/later --private")
    assert (
        re.search(sentence, message) and len(message.splitlines()) == 1 and (status != 130 or ended.value.code == 130)
    )


@pytest.mark.parametrize("wrong", ["some one/later", "a/b/c", "x" * 200, "someone/later.git"])
def test_an_id_that_no_repository_can_have_is_refused_before_training_and_by_push(here, finished, wrong, capsys):
    with pytest.raises(ValueError, match="hub_model_id"):
        TrainingRun(push_to_hub=True, hub_model_id=wrong)
    assert main(["push", str(finished), wrong]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not here.repos


def test_after_a_push_the_card_and_the_record_name_the_repository_here_and_there(here, finished, capsys):
    here.answers[:] = [503, 429]  # of a Hub that is overloaded for a moment
    assert main(["push", str(finished), "someone/later"]) == 0
    assert capsys.readouterr().out.strip() == f"{here.url}/someone/later"
    assert len(here.repos["model", "someone/later"]["commits"]) == 2  # the empty one, and the whole
    pushed = here.files("someone/later")
    for name in ("README.md", "run.json"):
        assert pushed[name] == (finished / name).read_bytes()
    assert json.loads(pushed["run.json"])["pushed"] == "someone/later" and b'("someone/later"' in pushed["README.md"]
    before = content(finished)
    assert main(["report", str(finished)]) == 0  # made again, it still names the repository
    assert (finished / "README.md").read_bytes() == before["README.md"]
    assert main(["push", str(finished), "someone/moved"]) == 0
    assert b'("someone/moved"' in here.files("someone/moved")["README.md"]


def test_a_card_that_a_person_has_edited_is_uploaded_as_it_is(here, finished, capsys):
    card = (finished / "README.md").read_text().replace("## Limits", "## Limits\n\n* Mine: not for dwarf galaxies.")
    (finished / "README.md").write_text(card)
    assert main(["push", str(finished), "someone/later"]) == 0
    assert here.files("someone/later")["README.md"].decode() == card == (finished / "README.md").read_text()
    assert "uploaded as it is" in capsys.readouterr().err


def test_damaged_records_are_one_line_and_hidden_files_stay_at_home(here, finished, capsys):
    (finished / ".env").write_text("SECRET=1")
    (finished / ".ipynb_checkpoints").mkdir()
    (finished / ".ipynb_checkpoints" / "a.json").write_text("{}")
    assert main(["push", str(finished), "someone/later"]) == 0
    assert not [name for name in here.files("someone/later") if name.startswith(".") and name != ".gitattributes"]
    for damaged in ("{", "[]", "{}"):
        (finished / "run.json").write_text(damaged)
        capsys.readouterr()
        assert main(["push", str(finished), "someone/later"]) == 2
        assert "is damaged" in capsys.readouterr().err
