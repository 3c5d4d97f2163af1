"""The real training scripts on votes of other campaigns, of several at once, and of a tree of one's own."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import load_script, train
from PIL import Image

from galaxy_vision import GalaxyResNetForImageClassification
from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.cli import main as cli
from galaxy_vision.data.campaigns import tree_of, wanted_trees
from galaxy_vision.data.checks import split_contents
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.models.trees import Trees

SMALL = ["--backbone", "test_resnet", "--image_size", "32", "--num_simulated", "120"]
SMALL += ["--epochs", "1", "--batch_size", "16"]


@pytest.fixture(scope="module")
def two_campaigns(tmp_path_factory):
    """A classifier of simulated galaxies, each with the votes of one of two campaigns."""
    folder = tmp_path_factory.mktemp("two")
    results = train(
        "train_classifier", *SMALL, "--campaign", "gz_desi,gz_rings", "--output_dir", str(folder), report=True
    )
    return folder, results


def test_two_campaigns_are_learned_at_once_and_scored_each_on_its_own(two_campaigns, capsys):
    folder, results = two_campaigns
    scores = results["votes"]["campaigns"]
    assert list(scores) == ["gz_desi", "gz_rings"]
    assert sum(score["rows"] for score in scores.values()) == results["split_rows"]["test"]
    assert scores["gz_desi"]["rmse_34"] > 0 and scores["gz_rings"]["rmse_2"] > 0
    model = GalaxyResNetForImageClassification.from_pretrained(folder)
    assert list(model.trees) == ["gz_desi", "gz_rings"] and model.vote_head.out_features == 36
    assert "irregular" not in results["classes"]["labels"]  # DESI has no votes on it
    card = (folder / "README.md").read_text()
    assert "RMSE over 34 vote fractions, gz_desi" in card and "RMSE over 2 vote fractions, gz_rings" in card
    assert (folder / "reliability.png").is_file()
    assert cli(["evaluate", "--model", str(folder), "--dataset", "simulated", "--num_simulated", "120"]) == 0
    printed = capsys.readouterr().out
    assert f"{scores['gz_rings']['rmse_2']:.4f}" in printed and "gz_desi, " in printed


def test_captions_of_desi_are_trained_and_judged_by_its_votes(two_campaigns, tmp_path):
    folder, _ = two_campaigns
    options = [*SMALL, "--campaign", "gz_desi", "--encoder", str(folder), "--output_dir", str(tmp_path)]
    results = train("train_captioner", *options, "--hidden_size", "32")
    assert results["captions"]["template, true votes"]["claim_f1"] == 1
    assert "template, predicted votes" in results["captions"]
    aspects = {row["aspect"] for row in results["captions"]["captioner"]["aspects"]}
    assert "odd feature" in aspects and "oddity" not in aspects


def test_an_encoder_and_captions_of_different_campaigns_are_refused(two_campaigns, tmp_path):
    folder, _ = two_campaigns
    options = [*SMALL, "--encoder", str(folder), "--output_dir", str(tmp_path)]
    with pytest.raises(
        SystemExit, match="predicts votes of gz_desi, gz_rings, and dataset='simulated' has those of gz2"
    ):
        train("train_captioner", *options)
    with pytest.raises(SystemExit, match="captions are judged by those of one campaign; name only one by --campaign"):
        train("train_captioner", *options, "--campaign", "gz_desi,gz_rings")


def rings_of_ones_own(folder, count: int = 60):
    """Images of bright and dark squares, votes of ten volunteers on one question beside them, and their tree."""
    lines, rng = ["file_name,look_ring,look_shell,look_neither"], np.random.default_rng(0)
    for index in range(count):
        kind = index % 3
        Image.new("RGB", (40, 40), (60 + 60 * kind, 90, 90)).save(folder / f"{index}.png")
        votes = rng.multinomial(10, [0.9 if answer == kind else 0.05 for answer in range(3)])
        lines.append(",".join([f"{index}.png", *map(str, votes)]))
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    tree = folder.parent / "look.json"
    tree.write_text(json.dumps({"questions": [{"name": "look", "answers": ["ring", "shell", "neither"]}]}))
    return tree


def test_a_tree_of_one_question_is_trained_evaluated_and_predicts(tmp_path, capsys):
    images, run = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    tree = rings_of_ones_own(images)
    options = ["--dataset", str(images), "--tree", str(tree), "--output_dir", str(run), "--image_size", "32"]
    results = train("train_classifier", *options, "--epochs", "3", "--batch_size", "8", "--num_simulated", "1")
    assert "votes of look (3)" in capsys.readouterr().out
    assert results["classes"]["labels"] == ["ring", "shell", "neither"]
    assert results["votes"]["campaign"] == "look" and results["votes"]["rmse_3"] is not None
    arguments = ["--model", str(run), "--dataset", str(images), "--tree", str(tree), "--split", "all"]
    assert cli(["evaluate", *arguments]) == 0 and "RMSE of 3" in capsys.readouterr().out
    assert cli(["describe", str(images / "0.png"), "--model", str(run), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert set(described["votes"]) == {"look_ring", "look_shell", "look_neither"}


def test_a_digest_of_rows_changes_with_the_tree_of_their_votes_and_not_for_galaxy_zoo_2():
    rows = load_galaxies("simulated", num_simulated=120, trees=wanted_trees("gz_desi"))["test"]
    tree = tree_of("gz_desi")
    first, *others = tree.questions
    asked = replace(tree, questions=(first, *(question._replace(text="again") for question in others)))
    digests = [split_contents({"test": rows}, Trees([own]))["test"] for own in (tree, asked)]
    assert digests[0] != digests[1]
    plain = load_galaxies("simulated", num_simulated=120)["test"]
    assert split_contents({"test": plain}, Trees()) == split_contents({"test": plain})


def test_half_a_question_is_a_mistake_and_its_column_is_named(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    tree = rings_of_ones_own(images, 12)
    table = images / "metadata.csv"
    table.write_text(table.read_text().replace("look_shell", "look_shel"))
    message = "question 'look' of 'look' has a column 'look_ring' and none 'look_shell'; is it 'look_shel'"
    with pytest.raises(SystemExit, match=message):
        train("train_classifier", "--dataset", str(images), "--tree", str(tree), "--output_dir", str(tmp_path / "run"))


def test_votes_that_are_wanted_and_not_there_are_named(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    rings_of_ones_own(images, 12)
    options = ["--dataset", str(images), "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="no votes of 'gz_desi', such as a column 'smooth-or-featured_smooth'"):
        train("train_classifier", *options, "--campaign", "gz_desi")


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("--campaign", "gz3", "campaign='gz3' is not one of gz2, gz_challenge, gz_decals_dr12"),
        ("--campaign", "gz2,gz2", "two trees have the name 'gz2'"),
        ("--tree", "absent.json", "tree='absent.json' is neither a campaign"),
    ],
)
def test_a_campaign_or_tree_that_does_not_exist_is_refused_before_anything_else(argument, value, message, capsys):
    with pytest.raises(SystemExit):
        load_script("train_classifier").main([argument, value])
    assert message in capsys.readouterr().err


def test_the_error_of_the_challenge_cannot_select_an_epoch_of_another_campaign(tmp_path):
    options = [*SMALL, "--campaign", "gz_desi", "--output_dir", str(tmp_path), "--select_by", "rmse_37"]
    with pytest.raises(SystemExit, match="select_by=rmse_37 is the error of the Galaxy Challenge.*use rmse_known"):
        train("train_classifier", *options)


def test_references_of_a_data_set_of_desi_say_what_its_votes_say():
    tree, data = tree_of("gz_desi"), load_galaxies("simulated", num_simulated=120, trees=wanted_trees("gz_desi"))
    assert data.trees.first == tree
    for votes, captions in zip(data["test"]["votes"], data["test"]["captions"], strict=True):
        assert parse_claims(captions[0], tree) == claims_from_votes(votes, tree)
