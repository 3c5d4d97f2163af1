"""A captioner that reads votes: its own, those of a campaign, and those of a classifier beside it."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from small_captioners import make_model, pixels
from torch.nn import functional as F

from galaxy_vision import (
    GalaxyCaptionerForConditionalGeneration,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.inference.captioning import campaign_to_say, votes_to_say
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree, Question
from galaxy_vision.models.trees import Trees
from galaxy_vision.models.vote_fractions import concentration_of, expected_fractions
from galaxy_vision.training.starting_point import take_vote_head, trees_to_say

OTHER = DecisionTree("other", GALAXY_ZOO_2.questions)
TREES = Trees((GALAXY_ZOO_2, OTHER))
SMALL = DecisionTree("small", (Question("colour", ("red", "blue")),))


def reader(**settings):
    """A captioner whose vote head has weights that tell images and campaigns apart."""
    model = make_model(trees=TREES.to_list(), **settings).eval()
    torch.nn.init.normal_(model.encoder.vote_head.weight, std=3.0, generator=torch.Generator().manual_seed(0))
    return model


def test_the_votes_of_a_classifier_with_the_same_backbone_are_those_that_the_captioner_reads_itself():
    captioner = make_model(trees=TREES.to_list()).eval()
    backbone = captioner.config.backbone
    config = GalaxyResNetConfig(backbone=backbone, image_size=captioner.config.image_size, trees=TREES.to_list())
    classifier = GalaxyResNetForImageClassification(config).eval()
    captioner.encoder.backbone.load_state_dict(classifier.backbone.state_dict())
    take_vote_head(captioner.encoder, classifier)
    images = pixels(3)
    with torch.no_grad():
        outputs = classifier(images)
        for campaign in TREES:
            told = captioner.encoder(images, **votes_to_say(captioner, classifier, outputs, campaign))
            own = captioner.encoder(images, **campaign_to_say(captioner, TREES[campaign]))
            assert torch.allclose(told.last_hidden_state, own.last_hidden_state, atol=1e-6)
    assert not captioner.encoder.vote_head.weight.requires_grad


def test_every_campaign_and_every_vote_changes_what_is_read():
    model, images = reader(), pixels(1)
    with torch.no_grad():
        first = model.encoder(images).last_hidden_state
        assert torch.equal(first, model.encoder(images, campaign=GALAXY_ZOO_2.name).last_hidden_state)
        assert not torch.allclose(first, model.encoder(images, campaign="other").last_hidden_state)
        for answer in range(37):
            votes = F.one_hot(torch.tensor([answer]), 37).float()
            assert not torch.allclose(first, model.encoder(images, votes=votes).last_hidden_state)


@pytest.mark.parametrize("search", [{}, {"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}])
def test_our_searches_write_of_given_votes_what_those_of_transformers_write(search, monkeypatch):
    model, images = reader(), pixels(2)
    votes = torch.rand(2, 37, generator=torch.Generator().manual_seed(1))
    ours = model.generate(pixel_values=images, votes=votes, max_new_tokens=6, **search)
    monkeypatch.setattr("galaxy_vision.models.modeling_galaxy_captioner.covers", lambda *args, **kwargs: False)
    theirs = model.generate(pixel_values=images, votes=votes, max_new_tokens=6, **search)
    assert ours.tolist() == theirs.tolist()


def test_a_saved_reader_of_votes_writes_the_same_and_says_that_older_code_cannot_read_it(tmp_path):
    model, images = reader(), pixels(2)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["format_version"] == 2
    loaded = GalaxyCaptionerForConditionalGeneration.from_pretrained(tmp_path).eval()
    for campaign in TREES:
        settings = {"pixel_values": images, "campaign": campaign, "max_new_tokens": 5}
        assert torch.equal(model.generate(**settings), loaded.generate(**settings))


def test_votes_that_cannot_be_read_are_refused_in_a_sentence():
    model, images = reader(), pixels(2)
    with pytest.raises(ValueError, match=r"votes of shape \[2, 36\] are not the fractions of 37 answers for each of 2"):
        model.encoder(images, votes=torch.zeros(2, 36))
    with pytest.raises(ValueError, match="campaign='gz_desi' is not one of gz2, other"):
        model.generate(pixel_values=images, campaign="gz_desi")
    with pytest.raises(ValueError, match="this captioner does not read votes"):
        make_model().encoder(images, votes=torch.zeros(2, 37))
    with pytest.raises(StrictDataclassError, match="trees of 'small' and 'gz2' have different answers"):
        make_model(trees=Trees((GALAXY_ZOO_2, SMALL)).to_list())


def test_a_captioner_is_told_nothing_where_it_cannot_read_what_the_classifier_predicts():
    classifier = GalaxyResNetForImageClassification(
        GalaxyResNetConfig(backbone="resnet10t", image_size=32, trees=Trees((SMALL, OTHER)).to_list())
    ).eval()
    with torch.no_grad():
        outputs = classifier(pixels(1))
    assert votes_to_say(reader(), classifier, outputs, "small") == {}
    assert votes_to_say(make_model(), classifier, outputs, "other") == {}
    told = votes_to_say(reader(), classifier, outputs, "other")["votes"]
    assert torch.equal(told, expected_fractions(classifier.trees.part(outputs.vote_concentration, "other"), OTHER))
    assert campaign_to_say(reader(), SMALL) == {}
    assert [tree["name"] for tree in trees_to_say(classifier, GALAXY_ZOO_2)] == ["other"]


def test_expected_fractions_are_the_softmax_of_the_raw_output_within_each_question():
    raw = torch.randn(4, 37, generator=torch.Generator().manual_seed(2))
    fractions = expected_fractions(concentration_of(raw), GALAXY_ZOO_2)
    for answers in GALAXY_ZOO_2.slices.values():
        assert torch.allclose(fractions[:, answers], raw[:, answers].softmax(-1), atol=1e-6)
