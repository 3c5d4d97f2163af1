"""Commands use a model of any tree, or of several, under the names of the published tables."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from astropy.table import Table
from small_captioners import save_small

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification, read_rgb
from galaxy_vision.cli import main
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.inference.answer_names import answer_names, answer_words, distinct, question_text
from galaxy_vision.inference.describe import Describer
from galaxy_vision.inference.explain import explain
from galaxy_vision.inference.explain_targets import answer_targets, target_index, target_name
from galaxy_vision.inference.rotations import classify
from galaxy_vision.models.decision_tree import ANSWERS, GALAXY_ZOO_2, QUESTION_SLICES, SHORT_NAMES
from galaxy_vision.models.tree import DecisionTree, Question
from galaxy_vision.models.trees import Trees
from galaxy_vision.predict.column_names import vote_columns
from galaxy_vision.predict.parts import MANIFEST

CLASSES = ["smooth", "edge-on disc"]
DESI, RINGS = (load_campaign(name).released for name in ("gz_desi", "gz_rings"))
CEERS, COSMOS = (load_campaign(name).released for name in ("gz_jwst_ceers", "gz_jwst_cosmos"))
KINDS = ("fraction", "lower", "upper")


def settings(*trees: DecisionTree) -> dict:
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: label for label, name in enumerate(CLASSES)}}
    return {"backbone": "test_resnet", "image_size": 32, "trees": [tree.to_dict() for tree in trees] or None} | labels


def saved(folder, *trees: DecisionTree, **more):
    torch.manual_seed(0)
    model = GalaxyResNetForImageClassification(GalaxyResNetConfig(**settings(*trees), **more)).eval()
    with torch.no_grad():  # so that answers differ
        if model.vote_head is not None:
            model.vote_head.bias.normal_()
    model.save_pretrained(folder)
    GalaxyImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def desi(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("desi"), DESI)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("three"), GALAXY_ZOO_2, DESI, RINGS)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("captioner"))[0]


@pytest.fixture(scope="module")
def images(tmp_path_factory, galaxies):
    folder = tmp_path_factory.mktemp("images")
    for number, (data, *_) in enumerate(galaxies[:5]):
        (folder / f"{number}.jpg").write_bytes(data)
    return folder


def fractions(folder, path, campaign: str) -> dict[str, dict[str, float]]:
    """What the model itself says: name of an answer -> its numbers."""
    model = GalaxyResNetForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        outputs = model(**GalaxyImageProcessor.from_pretrained(folder)(read_rgb(path), return_tensors="pt"))
    votes = model.predict_fractions(outputs, campaign)
    numbers = zip(*(values[0].tolist() for values in (votes.conditional, votes.lower, votes.upper)), strict=True)
    names = (f"{question}_{answer}" for question, answer in model.trees[campaign].answers)
    return {name: dict(zip(KINDS, row, strict=True)) for name, row in zip(names, numbers, strict=True)}


def described(capsys, *argv, code: int = 0):
    assert main(["describe", *map(str, argv)]) == code
    return capsys.readouterr()


def models(folder, captioner) -> list[str]:
    return ["--model", str(folder), "--captioner", str(captioner), "--frame", "as_is"]


def test_describe_gives_the_votes_of_another_tree_under_its_published_names(desi, captioner, images, capsys):
    row = json.loads(described(capsys, images / "0.jpg", *models(desi, captioner), "--json").out)
    assert row["campaign"] == "gz_desi" and row["class"] in CLASSES
    known = fractions(desi, images / "0.jpg", "gz_desi")
    assert list(row["votes"]) == list(known) and "bar_strong" in known and len(known) == 34
    for name, numbers in known.items():
        assert [row["votes"][name][kind] for kind in KINDS] == pytest.approx(list(numbers.values()), abs=1e-6)
    first = row["answers"][0]
    assert first["answer"] in known and first["question"] in {
        question_text(DESI, question) for question in DESI.questions
    }
    text = described(capsys, images / "0.jpg", *models(desi, captioner)).out
    assert f"{answer_words(DESI)[first['answer']]:18} {first['question']}" in text and "volunteers of" not in text


def test_describe_chooses_among_the_trees_of_a_model_and_takes_the_first_by_itself(three, captioner, images, capsys):
    path, chosen = images / "1.jpg", {}
    for campaign in (None, "gz2", "gz_desi", "gz_rings"):
        more = [] if campaign is None else ["--campaign", campaign]
        row = json.loads(described(capsys, path, *models(three, captioner), "--json", *more).out)
        assert row["campaign"] == campaign or campaign is None
        known = fractions(three, path, row["campaign"])
        assert [vote["fraction"] for vote in row["votes"].values()] == pytest.approx(
            [numbers["fraction"] for numbers in known.values()], abs=1e-6
        )
        chosen[campaign] = row["votes"]
    assert chosen[None] == chosen["gz2"] and list(chosen["gz2"]) == list(SHORT_NAMES)
    assert list(chosen["gz_rings"]) == ["ring_yes", "ring_no"]
    text = described(capsys, path, *models(three, captioner), "--campaign", "gz_rings").out
    assert "as volunteers of gz_rings would answer:" in text and "Ring?" in text
    error = described(capsys, path, *models(three, captioner), "--campaign", "gz_euclid", code=2).err
    assert error.endswith("error: campaign='gz_euclid' is not one of gz2, gz_desi, gz_rings; choose one of these\n")


def test_a_campaign_of_a_model_without_votes_is_refused(captioner, images, tmp_path, capsys):
    folder = saved(tmp_path / "model", predict_votes=False)
    row = json.loads(described(capsys, images / "0.jpg", *models(folder, captioner), "--json").out)
    assert row["campaign"] is None and row["votes"] == {} and row["answers"] == []
    sentence = "error: campaign='gz2' has no meaning for a model without votes; leave it out\n"
    assert described(capsys, images / "0.jpg", *models(folder, captioner), "--campaign", "gz2", code=2).err.endswith(
        sentence
    )
    argv = ["--model", folder, "--catalogue", images, "--output_dir", tmp_path / "out", "--campaign", "gz2"]
    assert main(["predict", *map(str, argv)]) == 2 and capsys.readouterr().err.endswith(sentence)


@torch.inference_mode()
def test_rotations_average_the_fractions_of_every_tree(three):
    model = GalaxyResNetForImageClassification.from_pretrained(three).eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    averaged = classify(model, pixels, 4)
    views = [model(pixel_values=torch.rot90(pixels, turns, (-2, -1))) for turns in range(4)]
    for campaign in model.trees:
        known = torch.stack([model.predict_fractions(view, campaign).conditional for view in views]).mean(0)
        torch.testing.assert_close(model.predict_fractions(averaged, campaign).conditional, known)


def predict(folder, images, output_dir, *more, code: int = 0):
    argv = ["--model", folder, "--catalogue", images, "--output_dir", output_dir, "--mixed_precision", "no"]
    argv += ["--frame", "as_is", "--batch_size", "4", "--rows_per_part", "2", *more]
    assert main(["predict", *map(str, argv)]) == code
    return pd.read_parquet(output_dir).set_index("id") if code == 0 else None


def test_predict_names_the_columns_of_every_tree_after_its_published_table(three, images, tmp_path):
    rows = predict(three, images, tmp_path)
    columns = [f"{answer}_{kind}" for answer in ANSWERS for kind in KINDS]
    columns += [f"{question}_reach" for question in QUESTION_SLICES]
    for tree in (DESI, RINGS):
        columns += [f"{question}_{answer}_{kind}" for question, answer in tree.answers for kind in KINDS]
        columns += [f"{question.name}_reach" for question in tree.questions]
    assert [name for name in rows.columns if name.endswith((*KINDS, "_reach"))] == columns
    assert {"bar_strong_fraction", "merging_minor-disturbance_lower", "ring_yes_upper", "bar_reach"} < set(columns)
    for campaign in ("gz2", "gz_desi", "gz_rings"):
        for name, numbers in fractions(three, images / "3.jpg", campaign).items():
            got = [rows.loc["3", f"{name}_{kind}"] for kind in KINDS]
            assert got == pytest.approx(list(numbers.values()), abs=1e-5)
    part = Table.read(min(tmp_path.glob("part-*.parquet")))
    assert part["bar_strong_fraction"].tolist() == rows["bar_strong_fraction"].tolist()[:2]
    strong, weak, none = (rows[f"bar_{answer}_fraction"] for answer in ("strong", "weak", "no"))
    assert np.allclose(strong + weak + none, 1)


def test_the_named_campaigns_alone_become_columns_and_a_resumed_run_keeps_them(three, images, tmp_path, capsys):
    whole = predict(three, images, tmp_path / "whole", "--campaign", "gz_rings,gz_desi")
    assert "bar_strong_fraction" in whole and "ring_reach" in whole and not any("a06_bar" in name for name in whole)
    parts = sorted((tmp_path / "whole").glob("part-*.parquet"))
    kept = parts[0].stat().st_mtime_ns
    parts[1].unlink()
    (tmp_path / "whole" / MANIFEST).unlink()
    for other in ([], ["--campaign", "gz_desi"]):
        capsys.readouterr()
        predict(three, images, tmp_path / "whole", *other, code=2)
        assert "is of another run (campaigns ['gz_desi', 'gz_rings'], now [" in capsys.readouterr().err
    again = predict(three, images, tmp_path / "whole", "--campaign", "gz_desi, gz_rings")
    pd.testing.assert_frame_equal(again, whole)
    assert parts[0].stat().st_mtime_ns == kept and pq.read_schema(parts[1]).equals(pq.read_schema(parts[0]))
    predict(three, images, tmp_path / "new", "--campaign", "gz_desi,gz_moon", code=2)
    assert "campaign='gz_moon' is not one of gz2, gz_desi, gz_rings" in capsys.readouterr().err


def test_a_tree_that_shares_names_with_one_before_it_carries_its_campaign_and_others_do_not(tmp_path, images):
    folder = saved(tmp_path / "model", CEERS, DESI, COSMOS)
    both = predict(folder, images, tmp_path / "both")
    for campaign, prefix in (("gz_jwst_ceers", ""), ("gz_jwst_cosmos", "gz_jwst_cosmos_")):
        numbers = fractions(folder, images / "0.jpg", campaign)["bar-jwst_strong"]
        got = [both.loc["0", f"{prefix}bar-jwst_strong_{kind}"] for kind in KINDS]
        assert got == pytest.approx(list(numbers.values()), abs=1e-5)
    assert {"gz_jwst_cosmos_bar-jwst_reach", "bar_strong_fraction", "bar-jwst_reach"} <= set(both)
    assert not any(name.startswith(("gz_jwst_ceers", "gz_desi")) for name in both)
    one = predict(folder, images, tmp_path / "one", "--campaign", "gz_jwst_cosmos")
    assert "bar-jwst_strong_fraction" in one
    assert one["bar-jwst_strong_fraction"].equals(both["gz_jwst_cosmos_bar-jwst_strong_fraction"])


def test_no_two_columns_have_the_same_name_whatever_a_tree_of_ones_own_calls_its_answers():
    mine = DecisionTree(
        "mine",
        (
            Question("a", ("b_c", "x", "X")),
            Question("a_b", ("c", "d"), (("a", "x"),)),
            Question("probability", ("smooth", "no"), (("a", "x"),)),
        ),
    )
    taken = ["id", "probability_smooth_fraction"]
    columns = vote_columns(Trees([mine, DecisionTree("second", mine.questions)]), taken)
    names = [name.lower() for name in [*taken, *columns["mine"], *columns["second"]]]
    assert len(set(names)) == len(names) == 2 + 2 * (7 * 3 + 2 * 3)
    names = [name.lower() for name in [*taken, *vote_columns(Trees([mine]), taken)["mine"]]]
    assert len(set(names)) == len(names)
    assert len(set(answer_names(mine))) == 7 and answer_names(mine)[-1] == "probability_no"
    assert distinct(["S_b", "s_b", "E"]) == ["S_b_0", "s_b_1", "E"] and distinct(["a"], ["A"]) != ["a"]


def test_names_of_galaxy_zoo_2_are_those_of_the_published_table_in_every_model():
    columns = [f"{answer}_{kind}" for answer in ANSWERS for kind in KINDS]
    columns += [f"{question}_{kind}" for kind in ("reach", "certainty") for question in QUESTION_SLICES]
    for trees in (Trees(), Trees([DESI, GALAXY_ZOO_2])):
        assert vote_columns(trees)["gz2"] == columns
    assert answer_names(GALAXY_ZOO_2) == list(SHORT_NAMES) == list(answer_targets(GalaxyResNetConfig()))


def test_answers_of_every_tree_are_targets_by_question_and_answer_and_by_clear_words():
    config = GalaxyResNetConfig(**settings(DESI))
    strong = 2 + DESI.index("bar", "strong")
    for name in ("bar_strong", "Bar Strong", "strong", "strong bar", "gz_desi_bar_strong"):
        assert target_index(config, name) == strong
    assert target_index(config, "smooth") == 0 and target_index(config, "smooth-or-featured_smooth") == 2
    assert target_name(config, strong) == "strong bar"
    assert target_name(config, 2 + DESI.index("bulge-size", "large")) == "bulge size: large"
    assert [target_index(config, name) for name in answer_targets(config)] == list(range(2, 36))
    with pytest.raises(ValueError, match="several meanings; use one of disk-edge-on_yes, has-spiral-arms_yes"):
        target_index(config, "yes")
    with pytest.raises(ValueError, match="'a06_bar' is neither a class nor an answer; use one of smooth, .*bar_weak"):
        target_index(config, "a06_bar")


def test_an_answer_of_several_trees_is_that_of_the_first_or_needs_its_campaign():
    config = GalaxyResNetConfig(**settings(CEERS, COSMOS))
    assert target_index(config, "bar-jwst_strong") == 2 + CEERS.index("bar-jwst", "strong")
    config = GalaxyResNetConfig(**settings(DESI, CEERS, COSMOS))
    assert target_index(config, "bar_strong") == 2 + DESI.index("bar", "strong")
    campaigns = "gz_jwst_ceers_bar-jwst_strong, gz_jwst_cosmos_bar-jwst_strong"
    with pytest.raises(ValueError, match=f"several meanings; use one of {campaigns}"):
        target_index(config, "bar-jwst_strong")
    names = answer_targets(config)
    assert [target_index(config, name) for name in names] == list(range(2, 2 + len(names)))
    assert target_name(config, target_index(config, "gz_jwst_cosmos_bar-jwst_strong")) == "strong bar (gz_jwst_cosmos)"


def test_explain_maps_the_answers_of_another_tree(three, captioner, images, tmp_path, capsys):
    model = GalaxyResNetForImageClassification.from_pretrained(three).eval()
    processor, image = GalaxyImageProcessor.from_pretrained(three), read_rgb(images / "0.jpg")
    for name, method in (("bar_strong", "hirescam"), ("ring_yes", "ablationcam")):
        heat = explain(model, processor, image, name, method)
        assert heat.shape == (image.height, image.width) and 0 <= heat.min() <= heat.max() <= 1
    argv = [images / "0.jpg", *models(three, captioner), "--output_dir", tmp_path, "--target"]
    assert main(["explain", *map(str, argv), "bar_strong", "a06_bar", "ring_yes"]) == 0
    assert (tmp_path / "0.png").stat().st_size > 10_000
    assert main(["explain", *map(str, argv), "bar_enormous"]) == 2
    assert "--target: target='bar_enormous' is neither a class nor an answer" in capsys.readouterr().err
    assert main(["explain", *map(str, argv), *["ring_yes"] * 4]) == 2
    assert "4 targets are more than the 3 of a figure; give fewer" in capsys.readouterr().err


def test_a_figure_names_the_surest_answers_of_the_campaign_that_is_chosen(three, captioner, images):
    from galaxy_vision.inference.explain_figure import explanation_figure

    describer, image = Describer(str(three), str(captioner), campaign="gz_rings"), read_rgb(images / "0.jpg")
    lines = [axes.get_title() for axes in explanation_figure(describer, image).subfigs[0].axes]
    titles = [title.replace("\n", " ") for title in lines]
    (answer,) = describer(image)["answers"]
    assert titles[2] == f"ring: {answer['answer'].split('_')[1]} (gz_rings) ({answer['fraction']:.0%})"
    titles = [axes.get_title() for axes in explanation_figure(describer, image, targets=["bar_strong"]).subfigs[0].axes]
    assert titles[2] == "strong bar (gz_desi)"


def test_the_graph_of_openvino_says_what_a_model_of_several_trees_says(three, images, tmp_path):
    pytest.importorskip("openvino", reason="export needs the extra: pip install -e '.[export]'")
    by_torch = predict(three, images, tmp_path / "torch", "--rotations", "4")
    by_graph = predict(three, images, tmp_path / "graph", "--rotations", "4", "--backend", "openvino")
    numbers = [name for name in by_torch if name.endswith((*KINDS, "_reach"))]
    assert list(by_graph) == list(by_torch) and np.allclose(by_graph[numbers], by_torch[numbers], atol=1e-4)
    assert main(["export", "--model", str(three), "--output_dir", str(tmp_path / "graph")]) == 0
    saved_config = json.loads((tmp_path / "graph" / "config.json").read_text())
    assert Trees.from_list(saved_config["trees"]) == Trees([GALAXY_ZOO_2, DESI, RINGS])


def test_a_card_names_the_campaigns_whose_answers_are_predicted(classifier_run, tmp_path):
    from galaxy_vision.evaluation.model_card import card_text

    files = {name: json.loads((classifier_run[0] / name).read_text()) for name in ("metrics.json", "run.json")}
    (tmp_path / "preprocessor_config.json").write_bytes((classifier_run[0] / "preprocessor_config.json").read_bytes())
    config = json.loads((classifier_run[0] / "config.json").read_text())
    sentences = {
        (): "on the whole decision tree, with 90 % intervals",
        (DESI,): "on the whole decision tree of gz_desi, with 90 % intervals",
        (GALAXY_ZOO_2, RINGS): "on the whole decision trees of gz2, gz_rings, with 90 % intervals",
    }
    for trees, sentence in sentences.items():
        of_trees = {"trees": [tree.to_dict() for tree in trees]} if trees else {}
        (tmp_path / "config.json").write_text(json.dumps(config | of_trees))
        card = card_text(tmp_path, files["metrics.json"], files["run.json"], name="galaxies")
        assert sentence in card and ('`campaign="gz_rings"`' in card) == (len(trees) > 1)
