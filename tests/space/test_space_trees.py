"""The demo shows the questions of the classifier's own tree."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from space_server import EXAMPLES, save_tiny_models

from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.inference.answer_names import answer_names
from galaxy_vision.inference.word_maps import VOTES, WordMaps
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree, Question

DESI, RINGS = (load_campaign(name).released for name in ("gz_desi", "gz_rings"))


@pytest.fixture(params=["gz_desi", "several", "gz2", "no votes"])
def demo(request, tmp_path, monkeypatch):
    """The modules studio, votes, figure and batches with a tiny model of the tree; and its name."""
    trees = {"gz_desi": [DESI], "several": [GALAXY_ZOO_2, DESI, RINGS]}.get(request.param)
    settings = {"trees": trees and [tree.to_dict() for tree in trees], "predict_votes": request.param != "no votes"}
    for name, value in save_tiny_models(tmp_path, **settings).items():
        monkeypatch.setenv(name, value)
    if request.param == "several":
        monkeypatch.setenv("GALAXY_VISION_CAMPAIGN", "gz_desi")
    monkeypatch.syspath_prepend(str(REPOSITORY / "space"))
    import batches
    import figure
    import studio
    import votes

    monkeypatch.setattr(studio, "MODELS", studio.Models())
    yield studio, votes, figure, batches, request.param
    forget_modules()


def forget_modules() -> None:
    """Forget the demo's modules, so that the next test imports them for its own model."""
    for path in (REPOSITORY / "space").glob("*.py"):
        sys.modules.pop(path.stem, None)


def asked_in(html: str) -> set[str]:
    """Names of the questions that the section of the votes has, on the path, beside it, or behind what is beside it."""
    return set(re.findall(r'data-question="([^"]+)"', html))


def test_the_page_the_figure_the_picker_and_the_table_are_those_of_the_tree(demo):
    studio, votes, figure, batches, kind = demo
    import table

    image = studio.read_image(EXAMPLES[0].read_bytes())
    description = studio.describe(image, "galaxy.jpg")
    tree, is_one_of_several = studio.tree()
    assert json.loads(studio.as_json(description))["campaign"] == (None if kind == "no votes" else tree.name)
    html = votes.path(description["votes"], tree, tree.name if is_one_of_several else "")
    assert ("What volunteers of gz_desi would" in html) == (kind == "several")
    if kind != "no votes":
        assert asked_in(html) == {question.name for question in tree.questions}
        assert html.count('class="gv-val"') == len(tree.answers) == len(description["votes"])
        assert (
            ("Merging?" in html and "minor disturbance" in html)
            == (tree.name == "gz_desi")
            == ("sign of a bar" not in html)
        )
        assert "can&#x27;t tell" in html
    titles = {name: words for words, name in studio.targets()}
    assert len(titles) == 7 + {"gz_desi": 34, "several": 37 + 34 + 2, "gz2": 37, "no votes": 0}[kind]
    if kind in ("gz_desi", "several"):
        assert titles["bar_strong"] == "answer: strong bar" + " (gz_desi)" * is_one_of_several
        assert studio.heat_map(image, "bar_strong", "hirescam").shape == image.size[::-1]
    drawn = figure.sheet(image, description, tree, np.zeros(image.size[::-1], np.float32), "merger", "hirescam")
    assert Image.open(io.BytesIO(drawn)).size == (1210, 935)
    described = batches.describe_batch([str(path) for path in EXAMPLES[:2]], lambda done, total: None)
    rows = [row.summary for row in described]
    keys = ["featured", "edge-on", "bar", "spiral"] + ["odd"] * (kind in ("gz2", "no votes"))
    assert list(rows[0]) == ["file", "status", "class", "probability", "caption", *keys]
    heads = re.findall(r'class="gv-sort" data-key="[\w-]+">([\w-]+)<', table.table(described, "", 1.0))
    assert heads == ["class", "probability", "sentence", *keys]
    votes = description["votes"]
    if kind == "gz2":
        known = ("a02_features_or_disk", "a04_yes", "a06_bar", "a08_spiral", "a14_yes")
        assert [rows[0][key] for key in keys] == [votes[name]["fraction"] for name in known]
    elif kind == "no votes":
        assert [rows[0][key] for key in keys] == [None] * 5
    else:
        assert rows[0]["bar"] == votes["bar_strong"]["fraction"] + votes["bar_weak"]["fraction"]


def test_a_visitor_sees_the_votes_of_the_campaign_that_they_choose_and_others_those_of_the_first(demo):
    studio, *_, kind = demo
    image = studio.read_image(EXAMPLES[0].read_bytes())
    names, first = studio.campaigns()
    expected = {"gz_desi": ["gz_desi"], "several": ["gz2", "gz_desi", "gz_rings"], "gz2": ["gz2"], "no votes": []}
    assert names == expected[kind]
    for name in names:
        description = studio.describe(image, "galaxy.jpg", name)
        assert description["campaign"] == name == studio.tree(name)[0].name
        assert description["caption_campaign"] is None  # its captioner sees the image alone
    if names:
        assert studio.describe(image, "galaxy.jpg")["campaign"] == first == studio.tree()[0].name


def test_the_first_question_to_models_that_are_not_loaded_yet_may_be_for_any_campaign(demo):
    studio, *_, kind = demo
    for name in {"several": ["gz_rings", "gz2"], "gz_desi": ["gz_desi"], "gz2": ["gz2"]}.get(kind, []):
        assert studio.Models().get(name).tree.name == name


def test_the_downloaded_claims_are_those_of_the_campaign_that_is_shown(demo, tmp_path, monkeypatch):
    gr = pytest.importorskip("gradio", reason="the demo needs the extra: pip install -e '.[space]'")
    studio, *_, kind = demo
    import one_galaxy

    def claim_of_campaign(describer, image, read):  # untrained captioners may claim nothing
        name = describer.tree.name
        return WordMaps(name, [name], np.zeros((1, image.height, image.width), np.float32), [name], [VOTES], 1.0)

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(studio, "word_maps", claim_of_campaign)
    image = studio.read_image(EXAMPLES[0].read_bytes())
    for name in studio.campaigns()[0]:
        shown = {"look": studio.look(image, "galaxy.jpg", name)}
        asked = gr.EventData(None, {"evidence": "merger", "method": "hirescam"})
        content = json.loads(Path(one_galaxy.write_json({"shown": shown}, asked)).read_text())
        assert content["campaign"] == content["claims"][0]["claim"] == name


def test_programs_choose_a_campaign_and_an_unknown_one_is_refused_in_a_sentence(demo, tmp_path, monkeypatch):
    gradio = pytest.importorskip("gradio", reason="the demo needs the extra: pip install -e '.[space]'")
    studio, *_, batches, kind = demo
    import api

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file, no_progress = str(EXAMPLES[0]), lambda *args, **kwargs: None
    for name in studio.campaigns()[0]:
        assert api.describe(file, campaign=name)["campaign"] == name
        assert Image.open(api.explain(file, campaign=name)).size == Image.open(file).size
        rows, _ = api.batch([file], name, no_progress)
        assert rows[0]["status"].startswith("ok")
        known = {key for key in batches.KEY_CONCEPTS if key in studio.tree(name)[0].concepts}
        assert known == rows[0].keys() & set(batches.KEY_CONCEPTS)
    for call in (api.describe, api.explain, lambda file, campaign: api.batch([file], campaign, no_progress)):
        with pytest.raises(gradio.Error, match="campaign='gz_moon' (is not one of|has no meaning)"):
            call(file, campaign="gz_moon")


def test_page_and_table_have_the_votes_of_the_campaign_that_is_chosen_on_the_page(demo, tmp_path, monkeypatch):
    gr = pytest.importorskip("gradio", reason="the demo needs the extra: pip install -e '.[space]'")
    studio, *_, kind = demo
    import many_galaxies
    import one_galaxy
    import visit

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    session = visit.new_session()
    result = one_galaxy.show_example(session, gr.EventData(None, {"index": 0}))[3]
    names, first = studio.campaigns()
    assert ("gv-whose" in result) == (len(names) > 1)  # the control is there where it has a choice
    assert len(names) < 2 or f'value="{first}" selected' in result
    for name in names:
        result, votes = one_galaxy.choose_campaign(session, gr.EventData(None, {"campaign": name}))[3:5]
        questions = {question.name for question in studio.tree(name)[0].questions}
        assert asked_in(votes) == questions and session["shown"]["look"].description["campaign"] == name
        session, table, csv, *_ = list(many_galaxies.show_files(session, [str(EXAMPLES[0])]))[-1]
        known = {key for key in studio.tree(name)[0].concepts if f'data-key="{key}"' in table}
        assert ("odd" in known) == ("odd" in studio.tree(name)[0].concepts)
        answers = {f"{answer}_fraction" for answer in answer_names(studio.tree(name)[0])}
        assert answers <= set(Path(csv).read_text().splitlines()[0].split(","))


def test_an_image_is_classified_and_captioned_once_for_all_that_the_page_shows(demo, monkeypatch):
    studio, *_ = demo
    describer = studio.MODELS.get()
    counts = {"classified": 0, "captioned": 0}

    def counted(name, function):
        def count(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return count

    monkeypatch.setattr(type(describer), "_classified", counted("classified", type(describer)._classified))
    monkeypatch.setattr(type(describer.captioner), "generate", counted("captioned", type(describer.captioner).generate))
    look = studio.look(studio.read_image(EXAMPLES[0].read_bytes()), "galaxy.jpg")
    assert counts == {"classified": 1, "captioned": 1}
    assert look.description == studio.describe(look.image, "galaxy.jpg")


def test_names_of_a_tree_of_ones_own_are_neither_markup_nor_formulas(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "space"))
    import figure
    import votes as path

    mine = DecisionTree(
        "<b>",
        (Question("$\\frac{", ("<i>yes</i>", "$\\frac{x$")), Question("b", ("c", "d"), (("$\\frac{", "$\\frac{x$"),))),
    )
    shares = {"fraction": 0.5, "lower": 0.4, "upper": 0.6, "reach": 1.0}
    votes = dict.fromkeys(answer_names(mine), shares)
    html = path.path(votes, mine, mine.name)
    assert "&lt;b&gt;" in html and "&lt;i&gt;yes&lt;/i&gt;" in html and not re.search("<b>|<i>yes", html)
    image = Image.new("RGB", (60, 60))
    description = {
        "image": "a.jpg",
        "class": "E",
        "probabilities": {"E": 1.0},
        "doubts": [],
        "caption": "",
        "votes": votes,
    }
    assert figure.sheet(image, description, mine, np.zeros((60, 60), np.float32), "E", "hirescam").startswith(
        b"\x89PNG"
    )
    forget_modules()
