"""The campaigns that come with the package, and trees of one's own."""

import json

import numpy as np
import pyarrow as pa
import pytest

from galaxy_vision.cli import main
from galaxy_vision.data.campaigns import (
    campaign_names,
    column_names,
    drawn,
    load_campaign,
    recognised,
    tree_of,
    wanted_trees,
)
from galaxy_vision.data.votes import votes_of
from galaxy_vision.models.decision_tree import QUESTIONS
from galaxy_vision.models.tree import DecisionTree
from galaxy_vision.models.trees import Trees

SIZES = {  # questions and answers: all, and of the published tables (Masters & Galaxy Zoo Team; the papers cited there)
    "gz2": (11, 37, 10, 30),
    "gz_challenge": (11, 37, 11, 37),
    "gz_decals_dr12": (11, 37, 10, 30),
    "gz_decals_dr5": (11, 41, 10, 34),
    "gz_decals_dr8": (11, 41, 10, 34),
    "gz_desi": (10, 34, 10, 34),
    "gz_hubble": (18, 57, 13, 40),
    "gz_candels": (17, 50, 11, 32),
    "gz_ukidss": (11, 37, 10, 30),
    "gz_cosmic_dawn": (13, 45, 13, 45),
    "gz_euclid": (14, 53, 13, 46),
    "gz_jwst_ceers": (12, 39, 12, 39),
    "gz_jwst_cosmos": (11, 36, 11, 36),
    "gz_rings": (1, 2, 1, 2),
    "galaxy10_decals": (1, 10, 1, 10),
    "galaxy_mnist": (1, 4, 1, 4),
}


def test_every_campaign_is_a_tree_of_the_published_size():
    sizes = {}
    for name in campaign_names():
        tree, released, *_ = load_campaign(name)
        sizes[name] = (len(tree.questions), len(tree.answers), len(released.questions), len(released.answers))
    assert sizes == SIZES


def test_galaxy_zoo_2_by_its_hub_names_is_the_tree_that_our_arrays_have():
    tree = load_campaign("gz2").tree
    stems = {question.answers: question for question in QUESTIONS}
    assert len(stems) == len(QUESTIONS)
    hub_name = {question.stem: f"{question.hub or 'rare-features'}-gz2" for question in QUESTIONS}
    answer_of = {
        short: (hub_name[question.stem], published)
        for question in QUESTIONS
        for short, published in zip(
            question.answers, question.hub_answers or tree.question("rare-features-gz2").answers, strict=True
        )
    }
    for question in QUESTIONS:
        published = tree.question(hub_name[question.stem])
        assert set(published.answers) == {answer_of[short][1] for short in question.answers}
        assert set(published.parents) == {answer_of[parent] for parent in question.parents}


@pytest.mark.parametrize("name", SIZES)
def test_a_campaign_is_drawn_with_every_question_under_an_answer_that_leads_to_it(name):
    tree = load_campaign(name).tree
    lines = drawn(tree).splitlines()
    for question in tree.questions:
        shown = [line for line in lines if line.strip().split(":")[0].split(",")[0] == question.name]
        assert len(shown) == max(len(question.parents), 1)


def test_a_tree_of_ones_own_is_read_drawn_and_refused(tmp_path, capsys):
    assert main(["trees", "gz_rings", "--json"]) == 0
    (tmp_path / "mine.json").write_text(capsys.readouterr().out)
    assert load_campaign(str(tmp_path / "mine.json")).tree == load_campaign("gz_rings").tree
    mine = {"questions": [{"name": "kind", "answers": ["ring", "shell", "neither"]}]}
    (tmp_path / "kinds.json").write_text(json.dumps(mine))
    assert main(["trees", str(tmp_path / "kinds.json")]) == 0
    assert "kinds: 1 question, 3 answers\n\nkind: ring, shell, neither\n" in capsys.readouterr().out
    for content, message in (("{", "is not a JSON file"), ("[]", "a tree is an object with a list of")):
        (tmp_path / "bad.json").write_text(content)
        assert main(["trees", str(tmp_path / "bad.json")]) == 2
        assert message in capsys.readouterr().err
    assert main(["trees", "gz3"]) == 2 and "tree='gz3' is neither a campaign (gz2, " in capsys.readouterr().err


def test_the_list_names_every_campaign_with_its_size(capsys):
    assert main(["trees"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SIZES)
    assert (
        "18 questions, 57 answers; 13 with 40 in tables; mwalmsley/gz_hubble" in lines[list(SIZES).index("gz_hubble")]
    )
    assert main(["trees", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert {name: DecisionTree.from_dict(tree) for name, tree in read.items()} == {
        name: load_campaign(name).tree for name in SIZES
    }


@pytest.mark.parametrize("name", [name for name in SIZES if name not in ("galaxy10_decals", "galaxy_mnist")])
def test_a_campaign_is_recognised_by_the_columns_of_its_votes(name):
    columns = [column for column in column_names(tree_of(name)) if column]
    assert list(recognised(frozenset([*columns, "id_str", "ra", "dec", "image"]))) == [name]


def test_campaigns_side_by_side_are_all_recognised_and_columns_of_a_table_without_suffix_are_not_mistaken():
    names = ["gz2", "gz_decals_dr5", "gz_hubble", "gz_rings"]
    columns = frozenset(column for name in names for column in column_names(tree_of(name)) if column)
    assert list(recognised(columns)) == names
    dr12 = {column.replace("-dr12", "") for column in column_names(tree_of("gz_decals_dr12"))}
    assert recognised(frozenset(dr12)) is None  # the names of DESI, with bar_yes and how-rounded_completely
    assert recognised(frozenset(["id", "label", "ring_radius"])) is None


def test_trees_are_wanted_by_names_and_a_file(tmp_path):
    mine = {"questions": [{"name": "kind", "answers": ["ring", "shell", "neither"]}]}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    assert list(wanted_trees("gz_desi, gz2", str(tmp_path / "mine.json"))) == ["gz_desi", "gz2", "mine"]
    assert wanted_trees(None) is None


def test_votes_are_unknown_where_nobody_was_asked_the_first_question_wherever_it_stands_in_the_tree():
    arms = {"name": "arms", "answers": ["yes", "no"], "parents": [["shape", "disc"]]}
    tree = DecisionTree.from_dict(
        {"name": "mine", "questions": [arms, {"name": "shape", "answers": ["smooth", "disc"]}]}
    )
    table = pa.table({"arms_yes": [0, 0], "arms_no": [0, 0], "shape_smooth": [9, 0], "shape_disc": [0, 0]})
    votes = votes_of(table, Trees([tree]))
    assert votes[0].tolist() == [0, 0, 9, 0] and np.isnan(votes[1]).all()
