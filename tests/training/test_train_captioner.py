"""The real main([...]) of the captioner for a few steps, and the console script on what it leaves."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from conftest import CAPTIONER, REPOSITORY, load_script, train
from PIL import Image

from galaxy_vision import GalaxyCaptionerForConditionalGeneration, GalaxyResNetForImageClassification
from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.cli import main as cli
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer
from galaxy_vision.training.distillation import taught_references


def weights(folder):
    return GalaxyCaptionerForConditionalGeneration.from_pretrained(folder).state_dict()


@pytest.fixture
def classifier(classifier_run):
    return classifier_run[0]


@pytest.fixture
def run(captioner_run):
    return captioner_run


def test_a_run_ends_with_a_model_and_scores_beside_those_of_its_rivals(run):
    folder, results = run
    scores = json.loads((folder / "metrics.json").read_text())["captions"]
    assert list(scores) == [
        "captioner",
        "beam 4",
        "template, predicted votes",
        "constant, best claims",
        "constant, best BLEU",
        "template, true votes",
    ]
    assert scores["template, true votes"]["claim_f1"] == 1
    assert scores["constant, best claims"]["distinct"] == 1
    assert all(score["rows"] == results["split_rows"]["test"] for score in scores.values())
    for name in ("captions.png", "training_curves.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_encoder_starts_from_the_classifier_and_stays_while_frozen(classifier, tmp_path):
    train("train_captioner", *CAPTIONER, "--encoder", str(classifier), "--output_dir", str(tmp_path), "--epochs", "1")
    trained = weights(tmp_path)
    known = (
        load_script("train_classifier")
        .GalaxyResNetForImageClassification.from_pretrained(classifier)
        .backbone.state_dict()
    )
    assert all(torch.equal(trained[f"encoder.backbone.{name}"], value) for name, value in known.items())
    teacher = GalaxyResNetForImageClassification.from_pretrained(classifier)
    captioner = GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path)
    assert captioner.config.decision_trees == teacher.trees, "it reads the votes of its teacher"
    assert torch.equal(captioner.encoder.vote_head.weight, teacher.vote_head.weight)
    assert torch.equal(captioner.encoder.vote_head.bias, teacher.vote_head.bias)
    again = ["--init_from", str(tmp_path), "--output_dir", str(tmp_path / "again")]
    with pytest.raises(
        SystemExit, match="from features that must not change, and frozen_epochs=1; give --frozen_epochs 2"
    ):
        train("train_captioner", *CAPTIONER, *again)


def test_a_captioner_whose_backbone_learns_reads_no_votes(run):
    assert GalaxyCaptionerForConditionalGeneration.from_pretrained(run[0]).config.trees is None


def test_a_killed_run_goes_on_to_the_same_weights(run, classifier, tmp_path):
    extra = ["--encoder", str(classifier), "--output_dir", str(tmp_path), "--checkpoint_every", "3"]
    with pytest.raises(SystemExit, match="130"):
        train("train_captioner", *CAPTIONER, *extra, "--stop_after", "7")
    train("train_captioner", *CAPTIONER, *extra, "--resume")
    resumed = weights(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(run[0]).items())


def test_the_teacher_writes_what_the_classifier_predicts_for_its_share_of_the_rows(classifier):
    model = GalaxyResNetForImageClassification.from_pretrained(classifier).eval()
    pixels = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        claims = [claims_from_votes(row) for row in model(pixels).vote_concentration.numpy()]
    tokenizer = build_tokenizer(
        text for seed in range(200) for stated in claims for text in write_captions(stated, 3, seed)
    )
    references = torch.full((6, 3), tokenizer.eos_token_id)
    taught = torch.rand(6, generator=torch.Generator().manual_seed(0)) < 0.5
    assert 0 < taught.sum() < 6
    ids = taught_references(model, GALAXY_ZOO_2, tokenizer, pixels, references, 0.5, torch.Generator().manual_seed(0))
    for row, text in enumerate(tokenizer.batch_decode(ids, skip_special_tokens=True)):
        assert parse_claims(text) == (claims[row] if taught[row] else frozenset())
    none = taught_references(model, GALAXY_ZOO_2, tokenizer, pixels, references, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(none, references)


def test_data_without_captions_are_named(tmp_path):
    for index in range(60):
        folder = tmp_path / "images" / ("spiral" if index % 2 else "smooth")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (index, 0, 0)).save(folder / f"{index}.png")
    with pytest.raises(SystemExit, match="has no captions"):
        train(
            "train_captioner", *CAPTIONER, "--dataset", str(tmp_path / "images"), "--output_dir", str(tmp_path / "run")
        )


def test_describe_prints_class_caption_and_answers_and_goes_on_after_a_corrupt_file(run, classifier, tmp_path, capsys):
    good, bad = tmp_path / "galaxy.jpg", tmp_path / "broken.jpg"
    load_galaxies("simulated", num_simulated=200)["test"][0]["image"].save(good)
    bad.write_bytes(good.read_bytes()[:200])
    models = ["--model", str(classifier), "--captioner", str(run[0])]
    assert cli(["describe", str(bad), str(good), "--json", *models]) == 1
    broken, described = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "unreadable image: damaged" in broken["error"]
    probabilities = described["probabilities"]
    assert described["probability"] == max(probabilities.values()) == probabilities[described["class"]]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert 0 < len(described["answers"]) <= 5
    assert all(answer["lower"] <= answer["fraction"] <= answer["upper"] for answer in described["answers"])
    assert [answer["lower"] for answer in described["answers"]] == sorted(
        (answer["lower"] for answer in described["answers"]), reverse=True
    )
    assert cli(["describe", str(good), *models]) == 0
    assert described["caption"] in capsys.readouterr().out
    cube = np.random.default_rng(0).normal(size=(5, 40, 40)).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cube, name="SCI")]).writeto(tmp_path / "galaxy.fits")
    chosen = ["--hdu", "sci", "--bands", "3", "2", "1"]
    assert cli(["describe", str(tmp_path / "galaxy.fits"), *chosen, *models]) == 0
    assert cli(["describe", str(tmp_path / "galaxy.fits"), *models]) == 1
    assert "5 bands" in capsys.readouterr().out


def test_explain_draws_a_figure_of_every_image_that_can_be_read(run, classifier, tmp_path, capsys):
    models = ["--model", str(classifier), "--captioner", str(run[0]), "--output_dir", str(tmp_path / "figures")]
    (tmp_path / "other").mkdir()
    good, same_name, bad = tmp_path / "galaxy.jpg", tmp_path / "other" / "galaxy.png", tmp_path / "broken.jpg"
    for path in (good, same_name):
        load_galaxies("simulated", num_simulated=200)["test"][0]["image"].save(path)
    bad.write_bytes(b"no image")
    assert cli(["explain", str(good), str(bad), str(same_name), *models]) == 1
    assert "not an image" in capsys.readouterr().out
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == ["galaxy-2.png", "galaxy.png"]
    with Image.open(tmp_path / "figures" / "galaxy.png") as figure:
        assert figure.width > 1000
    assert cli(["explain", str(good), "--method", "magic", *models]) == 2
    assert "magic is not one of gradcam" in capsys.readouterr().err


def test_explain_beside_the_images_leaves_them_as_they_are_and_replaces_its_own_figures(
    run, classifier, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    image = load_galaxies("simulated", num_simulated=200)["test"][0]["image"]
    for name in ("a.png", "b/a.png", "a-2.png", "J1234.5+67.8.png"):
        Path(name).parent.mkdir(exist_ok=True)
        image.save(name)
    given = ["a.png", "b/a.png", "a-2.png", "J1234.5+67.8.png"]
    before = {name: Path(name).read_bytes() for name in given}
    models = ["--model", str(classifier), "--captioner", str(run[0]), "--output_dir", "."]
    figures = {"a-3.png", "a-4.png", "a-2-2.png", "J1234.5+67.8-2.png"}
    for _ in range(2):
        assert cli(["explain", *given, *models]) == 0
        assert {name: Path(name).read_bytes() for name in given} == before
        assert {path.name for path in Path().glob("*.png")} == figures | (set(given) - {"b/a.png"})


def test_describe_of_what_is_no_image_file_is_one_sentence_that_names_predict(run, classifier, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    wrong = [
        str(tmp_path / "folder"),
        str(tmp_path / "*.jpg"),
        "https://example.org/a.jpg",
        "",
        "many.zip",
        "s3://x/y.fits",
    ]
    assert cli(["describe", *wrong, "--json", "--model", str(classifier), "--captioner", str(run[0])]) == 1
    refusals = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [refusal["image"] for refusal in refusals] == wrong
    assert not any("Errno" in refusal["error"] for refusal in refusals)
    for path, refusal in zip(wrong, refusals, strict=True):
        assert "galaxy-vision predict --catalogue" in refusal["error"]
        assert ("is an address" in refusal["error"]) == ("://" in path)


def test_describe_says_what_it_doubts_and_how_it_read_the_pixels(run, classifier, tmp_path, capsys):
    Image.new("RGBA", (99, 99), (250, 250, 250, 255)).save(tmp_path / "blank.png")
    models = ["--model", str(classifier), "--captioner", str(run[0])]
    assert cli(["describe", str(tmp_path / "blank.png"), "--json", *models]) == 0
    described = json.loads(capsys.readouterr().out)
    assert "blank: nothing in the middle stands out from the border" in described["doubts"] and described["reading"]
    assert cli(["describe", str(tmp_path / "blank.png"), *models]) == 0
    shown = capsys.readouterr().out
    assert "doubt: blank: nothing" in shown and f"read as: {described['reading']}" in shown


def test_describe_without_models_says_how_to_get_them(tmp_path, capsys):
    assert cli(["describe", "x.jpg", "--model", str(tmp_path), "--captioner", str(tmp_path)]) == 2
    assert "train_captioner.py" in capsys.readouterr().err


def modules_after(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter holds after this code."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.splitlines()[-1].split())


def test_help_starts_without_torch_and_transformers():
    code = "from galaxy_vision.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    loaded = modules_after(code)
    assert "galaxy_vision" in loaded
    assert not loaded & {
        "torch",
        "torchvision",
        "transformers",
        "timm",
        "datasets",
        "accelerate",
        "scipy",
        "pandas",
        "astropy",
    }


def test_describing_a_jpeg_imports_nothing_that_only_other_commands_need():
    image = REPOSITORY / "space" / "examples" / "01-barred-spiral.jpg"
    code = "import galaxy_vision.inference.describe\nfrom galaxy_vision.images.decode import read_rgb\n"
    loaded = modules_after(code + f"read_rgb(open({str(image)!r}, 'rb').read())")
    assert {"torch", "transformers", "PIL"} <= loaded
    assert not loaded & {
        "astropy",
        "datasets",
        "sklearn",
        "matplotlib",
        "pandas",
        "pyarrow",
        "galsim",
        "evaluate",
        "pytorch_grad_cam",
    }
