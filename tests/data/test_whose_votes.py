"""Rows know whose votes they have: those of Galaxy Zoo 2 and of the challenge have the same names."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import build, load_script
from datasets import Dataset, DatasetDict, load_dataset

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.data.campaigns import campaign_names, load_campaign, tree_of
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.vote_marks import MARK, joined_trees
from galaxy_vision.data.votes import votes_of
from galaxy_vision.inference.loading import take_for
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees

CHALLENGE = tree_of("gz_challenge")
BOTH = Trees([GALAXY_ZOO_2, CHALLENGE])


@pytest.fixture
def built(tmp_path, challenge_files, gz2_files):
    """Folders of both data sets, whose galaxies are the same and whose ids differ."""
    build("galaxy_zoo_challenge", tmp_path / "challenge", **challenge_files)
    build("galaxy_zoo_2", tmp_path / "gz2", **gz2_files)
    return str(tmp_path / "challenge"), str(tmp_path / "gz2")


def unmarked(folder: str, path) -> str:
    """A data set as it was built before: the same rows, without the mark."""
    data = DatasetDict({split: rows.remove_columns(MARK) for split, rows in load_dataset(folder).items()})
    data.save_to_disk(path)
    return str(path)


def test_the_challenge_has_the_questions_of_galaxy_zoo_2_and_a_name_notes_and_citation_of_its_own():
    campaign = load_campaign("gz_challenge")
    assert campaign.tree.answers == GALAXY_ZOO_2.answers and campaign.tree.concepts == GALAXY_ZOO_2.concepts
    assert campaign.tree.name == "gz_challenge" and campaign.tree != GALAXY_ZOO_2
    assert any("redshift" in note for note in campaign.notes) and "Kaggle 2013" in campaign.citation[0]


def test_built_data_sets_say_whose_votes_they_have(built):
    for folder, name in zip(built, ("gz_challenge", "gz2"), strict=True):
        assert set(load_dataset(folder)["train"][MARK]) == {name}
        data = load_galaxies(folder)
        assert list(data.trees) == [name] and not data.notes and MARK not in data["train"].column_names
        with pytest.raises(ValueError, match=f"has no votes of 'gz_desi'; it has those of {name}; give another"):
            load_galaxies(folder, trees=Trees([tree_of("gz_desi")]))


def test_a_data_set_that_was_built_before_is_read_as_before_and_a_line_says_how(built, tmp_path):
    old = unmarked(built[0], tmp_path / "old")
    data = load_galaxies(old)
    assert data.trees == Trees()
    (note,) = data.notes
    assert "do not say whose they are, and are taken for those of gz2" in note
    named = load_galaxies(old, trees=Trees([CHALLENGE]))
    assert list(named.trees) == ["gz_challenge"] and not named.notes  # who names them need not be told to
    new = load_galaxies(built[0])
    assert np.array_equal(new["train"]["votes"], data["train"]["votes"], equal_nan=True)
    assert new["train"]["captions"] == data["train"]["captions"] and new["train"]["label"] == data["train"]["label"]


@pytest.mark.parametrize("scheme", [None, "summary"])
def test_two_data_sets_with_votes_of_the_same_names_stand_side_by_side(built, scheme):
    challenge, gz2 = built
    data, own = load_galaxies(challenge, scheme, also=[gz2]), load_galaxies(gz2, scheme)
    assert data.trees == BOTH and not data.notes
    first = load_galaxies(challenge, scheme)
    for split, rows in data.items():
        votes = np.array(rows["votes"])
        count = len(first[split])
        assert np.isnan(votes[:count, :37]).all()
        assert np.array_equal(votes[:count, 37:], first[split]["votes"], equal_nan=True)
        assert rows["label"][:count] == first[split]["label"]
    added = data["train"].select(range(len(first["train"]), len(data["train"])))
    assert added["id"] == own["train"]["id"] and added["label"] == own["train"]["label"]
    votes = np.array(added["votes"])
    assert np.array_equal(votes[:, :37], own["train"]["votes"], equal_nan=True) and np.isnan(votes[:, 37:]).all()
    assert added["captions"] == own["train"]["captions"]
    claims = claims_from_votes(votes[0, :37], GALAXY_ZOO_2)
    assert set(parse_claims(added["captions"][0][0], GALAXY_ZOO_2)) <= set(claims)


def test_the_order_of_campaigns_is_that_which_is_asked_for_and_one_alone_is_refused_where_a_data_set_lacks_it(built):
    challenge, gz2 = built
    assert list(load_galaxies(gz2, also=[challenge]).trees) == ["gz2", "gz_challenge"]
    wanted = Trees([CHALLENGE, GALAXY_ZOO_2])
    assert list(load_galaxies(gz2, trees=wanted, also=[challenge]).trees) == ["gz_challenge", "gz2"]
    with pytest.raises(ValueError, match="has no votes of 'gz2'"):
        load_galaxies(gz2, trees=Trees(), also=[challenge])


def test_an_unmarked_data_set_beside_another_is_taken_for_the_same_campaign(built, tmp_path):
    old = unmarked(built[1], tmp_path / "old")
    data = load_galaxies(built[0], also=[old])
    assert list(data.trees) == ["gz_challenge"] and "taken for those of gz_challenge" in data.notes[0]
    with pytest.raises(ValueError, match="do not say whose they are, and gz2, gz_challenge are wanted"):
        load_galaxies(built[0], trees=BOTH, also=[old])


def test_a_data_set_of_which_only_some_splits_say_whose_votes_they_have_is_refused(built, tmp_path):
    data = load_dataset(built[0])
    del data["validation"]
    data["test"] = data["test"].remove_columns(MARK)
    data.save_to_disk(tmp_path / "partly")
    with pytest.raises(ValueError, match="has no column `vote_campaign` in test, and has it in train; give it to all"):
        load_galaxies(str(tmp_path / "partly"))


def test_rows_of_one_table_name_their_campaigns_and_others_are_refused():
    votes = np.arange(3 * 37.0).reshape(3, 37)
    rows = Dataset.from_dict({"votes": votes.tolist(), MARK: ["gz2", "gz_challenge", "gz2"]})
    read = votes_of(rows.with_format("arrow")[:])
    assert np.array_equal(read[[0, 2], :37], votes[[0, 2]]) and np.array_equal(read[1, 37:], votes[1])
    assert np.isnan(read[[0, 2], 37:]).all() and np.isnan(read[1, :37]).all()
    only = votes_of(rows.with_format("arrow")[:], Trees([CHALLENGE]))
    assert np.array_equal(only[1], votes[1]) and np.isnan(only[[0, 2]]).all()
    for names, message in (
        (["gz2", "gz3", "gz2"], "names 'gz3', which is not one of"),
        (["gz2", None, "gz2"], "row 1"),
    ):
        rows = Dataset.from_dict({"votes": votes.tolist(), MARK: names})
        with pytest.raises(ValueError, match=message):
            votes_of(rows.with_format("arrow")[:])


def test_trees_of_ones_own_come_after_those_of_the_package():
    own = replace(GALAXY_ZOO_2, name="mine")
    last = tree_of(campaign_names()[-1])
    assert list(joined_trees([Trees([own, last]), BOTH])) == ["gz2", "gz_challenge", last.name, "mine"]


def test_a_row_teaches_the_head_of_its_own_campaign():
    torch.manual_seed(0)
    config = GalaxyResNetConfig(backbone="resnet10t", image_size=32, trees=BOTH.to_list())
    model = GalaxyResNetForImageClassification(config).train()
    votes = torch.full((4, 74), float("nan"))
    votes[:, 37:] = torch.randint(0, 20, (4, 37)).float()
    model(torch.randn(4, 3, 32, 32), votes=votes).loss.backward()
    gradient = model.vote_head.weight.grad.abs().sum(1)
    assert (gradient[:37] == 0).all() and (gradient[37:] > 0).all()


def test_a_model_that_does_not_say_whose_votes_it_predicts_is_taken_for_one_of_the_data_set_unchanged_to_the_bit():
    torch.manual_seed(0)
    model = GalaxyResNetForImageClassification(GalaxyResNetConfig(backbone="resnet10t", image_size=32)).eval()
    pixels = torch.randn(2, 3, 32, 32)
    before = model(pixels).vote_concentration
    assert take_for(model, Trees()) is None and list(model.trees) == ["gz2"]
    assert take_for(model, Trees([tree_of("gz_desi")])) is None and take_for(model, BOTH) is None
    assert "taken to predict those of gz_challenge" in take_for(model, Trees([CHALLENGE]))
    assert list(model.trees) == ["gz_challenge"] and torch.equal(model(pixels).vote_concentration, before)
    assert take_for(model, Trees()) is None and list(model.trees) == ["gz_challenge"]  # it says it now


def test_training_on_both_gives_a_model_with_a_head_and_scores_for_each(built, tmp_path):
    challenge, gz2 = built
    argv = ["--dataset", challenge, "--also", gz2, "--epochs", "1", "--backbone", "resnet10t", "--image_size", "32"]
    results = load_script("train_classifier").main([*argv, "--output_dir", str(tmp_path / "run")])
    model = GalaxyResNetForImageClassification.from_pretrained(tmp_path / "run")
    assert list(model.trees) == ["gz2", "gz_challenge"] == list(results["votes"]["campaigns"])
    assert results["votes"]["campaigns"]["gz_challenge"]["rmse_37"] > 0
    assert results["votes"]["campaigns"]["gz2"]["rows"] == 0  # the test split is that of the first data set
