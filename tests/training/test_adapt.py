"""``galaxy-vision adapt`` adds a campaign to a trained model, and changes nothing else."""

import json

import pytest
import torch
from conftest import FEW
from datasets import Dataset, DatasetDict

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.cli import main
from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.schemes import SCHEMES
from galaxy_vision.evaluation.report import rebuild_report
from galaxy_vision.evaluation.saved import evaluate_saved
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.adapt import known_votes, scheme_with

SIMULATED = ["--dataset", "simulated", *FEW[:2]]


@pytest.fixture(scope="module")
def adapted(classifier_run, tmp_path_factory):
    """Folder of a model whose votes are taken for those of the challenge, to which those of Galaxy Zoo 2 were added."""
    folder = tmp_path_factory.mktemp("adapted") / "model"
    argv = ["--model", str(classifier_run[0]), *SIMULATED, "--like", "gz_challenge", "--views", "2"]
    assert main(["adapt", *argv, "--output_dir", str(folder)]) == 0
    return folder


def test_the_new_campaign_comes_first_and_all_other_weights_are_the_same(adapted, classifier_run):
    old, new = (
        GalaxyResNetForImageClassification.from_pretrained(path).eval() for path in (classifier_run[0], adapted)
    )
    assert list(new.trees) == ["gz2", "gz_challenge"] and list(old.trees) == ["gz2"]
    before, after = old.state_dict(), new.state_dict()
    for name, weights in before.items():
        assert torch.equal(weights, after[name][37:] if name.startswith("vote_head") else after[name]), name
    assert not torch.equal(after["vote_head.bias"][:37], before["vote_head.bias"])
    assert new.config.id2label == old.config.id2label


def test_it_ends_with_scores_record_card_and_figures_as_a_training_does(adapted):
    results, run = (json.loads((adapted / name).read_text()) for name in ("metrics.json", "run.json"))
    assert results["votes"]["campaign"] == "gz2" and results["rows"] == results["split_rows"]["test"]
    record = results["adapted"]
    assert (
        record["like"] == "gz_challenge"
        and record["rows"] == results["split_rows"]["train"] + (results["split_rows"]["validation"])
    )
    assert min(record["losses"], key=record["losses"].get) == record["strength"]
    card = (adapted / "README.md").read_text()
    assert (
        "galaxy-vision adapt --model classifier --dataset simulated" in card and "held to that of gz_challenge" in card
    )
    assert run["script"] == "galaxy-vision adapt"
    assert (adapted / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert main(["report", str(adapted)]) == 0 and (adapted / "README.md").read_text() == card


def test_the_votes_of_one_campaign_are_scored_though_the_model_has_several(adapted, tmp_path, capsys):
    results = evaluate_saved(str(adapted), "simulated", num_simulated=200, campaign="gz2")
    assert results["votes"] == json.loads((adapted / "metrics.json").read_text())["votes"]
    assert "note" not in results


def test_the_card_says_that_classes_are_by_votes_and_that_few_validation_rows_were_fitted_too(adapted):
    rows, card = json.loads((adapted / "metrics.json").read_text())["split_rows"], (adapted / "README.md").read_text()
    assert GalaxyResNetForImageClassification.from_pretrained(adapted).config.label_scheme == "hubble"
    assert "take the class from the predicted votes by the\nrules `hubble`" in card
    assert f"{rows['validation']} for validation (they are few and were learned from too)" in card
    assert f"{rows['train'] + rows['validation']} galaxies, those for training and for validation, in 2 views" in card


@pytest.mark.parametrize(
    ("classes", "before", "after"),
    [
        (
            SCHEMES["hubble"].class_names,
            None,
            "hubble",
        ),
        (SCHEMES["hubble"].class_names, "own", "own"),
        (["round", "flat"], None, None),
    ],
)
def test_the_scheme_of_classes_is_named_and_classes_of_their_own_stay_so(classes, before, after):
    config = GalaxyResNetConfig(
        backbone="resnet10t", image_size=32, label_scheme=before, id2label=dict(enumerate(classes))
    )
    model = GalaxyResNetForImageClassification(config)
    assert scheme_with(model, Trees([tree_of("gz_challenge"), GALAXY_ZOO_2])) == after


def test_a_report_is_made_again_with_galaxies_that_were_left_out(classifier_run, tmp_path):
    data = load_galaxies("simulated", num_simulated=200)
    parts = {"train": range(3), "validation": [3], "test": [4]}
    learned = DatasetDict({split: data["test"].select(rows) for split, rows in parts.items()})
    learned.save_to_disk(tmp_path / "learned")
    learned = ["--without_twins_of", str(tmp_path / "learned")]
    argv = ["--model", str(classifier_run[0]), *SIMULATED, "--like", "gz_challenge", "--views", "1", *learned]
    assert main(["adapt", *argv, "--output_dir", str(tmp_path / "adapted")]) == 0
    results = json.loads((tmp_path / "adapted" / "metrics.json").read_text())
    assert results["split_rows"]["test"] == len(data["test"]) - 5
    written, reason = rebuild_report(tmp_path / "adapted")
    assert reason is None and tmp_path / "adapted" / "mistakes.png" in written


def test_votes_of_a_row_without_votes_are_unknown():
    votes = [[float(answer) for answer in range(37)], None]
    known = known_votes(Dataset.from_dict({"votes": votes}), Trees())
    assert known.dtype == torch.float64 and known[0].tolist() == votes[0] and known[1].isnan().all()


def test_what_cannot_be_added_is_refused_in_a_line(adapted, classifier_run, tmp_path, capsys):
    def refused(*argv: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["adapt", *argv, "--output_dir", str(tmp_path / "out")])
        return f"{ended.value} {capsys.readouterr().err}"

    model = ["--model", str(classifier_run[0])]
    assert "does not say whose it has; say by --like" in refused(*model, *SIMULATED)
    assert "taken to predict votes of 'gz2' already" in refused("--model", str(adapted), *SIMULATED)
    desi = [*SIMULATED, "--campaign", "gz_desi"]
    assert "has other questions or answers than 'gz2'" in refused(*model, *desi)
    assert "dataset is missing" in refused(*model)
    assert "views=0 is below 1" in refused(*model, *SIMULATED, "--views", "0")
