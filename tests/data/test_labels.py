import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galaxy_vision.data.campaigns import campaign_names, load_campaign
from galaxy_vision.data.labels import (
    UNCERTAIN,
    assign_labels,
    class_names_for,
    labels_of_summary,
)
from galaxy_vision.data.scheme_texts import scheme_table, thin_votes, undecidable
from galaxy_vision.data.schemes import SCHEMES, WORDS
from galaxy_vision.models.concepts import CONCEPTS
from galaxy_vision.models.decision_tree import (
    GALAXY_ZOO_2,
    QUESTION_OF_ANSWER,
    QUESTION_SLICES,
    QUESTIONS,
    WELL_SAMPLED,
    answer_index,
)
from galaxy_vision.models.tree import DecisionTree, Question
from galaxy_vision.models.trees import Trees


def votes(**named) -> np.ndarray:
    values = np.zeros(37)
    for answer, value in named.items():
        values[answer_index(answer)] = value
    return values


FACE_ON = {"a01": 4, "a02": 40, "a04": 2, "a05": 38, "a15": 44}
HUBBLE = [
    ("elliptical", votes(a01=40, a02=4, a16=30, a17=10, a04=2, a05=2, a15=44)),
    ("lenticular", votes(**FACE_ON, a07=38, a09=36, a08=2)),
    ("spiral", votes(**FACE_ON, a07=30, a06=8, a08=36, a09=2)),
    ("barred spiral", votes(**FACE_ON, a07=8, a06=30, a08=36, a09=2)),
    ("edge-on disc", votes(a01=4, a02=40, a04=36, a05=4, a15=44)),
    ("irregular", votes(**(FACE_ON | {"a15": 4}), a07=30, a06=8, a08=36, a09=2, a14=40, a22=36, a24=4)),
    ("merger", votes(a01=40, a02=4, a16=30, a17=10, a15=4, a14=40, a24=36, a22=4)),
    ("uncertain", votes(a01=22, a02=22, a16=22, a04=11, a05=11, a15=44)),
    ("uncertain", votes(a03=44)),
    ("uncertain", votes(a01=40, a02=4, a18=40, a15=44)),
    ("uncertain", votes(a01=40, a17=20, a18=20, a15=40)),  # half of them say "cigar"
    ("uncertain", votes(a02=5, a05=5, a08=5, a07=5)),  # 5 volunteers are too few
]


@pytest.mark.parametrize(("name", "row"), HUBBLE)
def test_hubble_class_of_hand_made_votes(name, row):
    names = [*SCHEMES["hubble"].class_names, "uncertain"]
    assert names[assign_labels(row, "hubble")] == name


def test_summary_follows_the_most_voted_answers():
    names = [*SCHEMES["summary"].class_names, "uncertain"]
    assert names[assign_labels(HUBBLE[0][1], "summary")] == "smooth_round"
    assert names[assign_labels(HUBBLE[3][1], "summary")] == "barred_spiral"
    assert names[assign_labels(HUBBLE[1][1], "summary")] == "featured_without_bar_or_spiral"
    assert names[assign_labels(votes(a03=44), "summary")] == "uncertain"


def test_threshold_repeats_the_ungated_rule_it_is_compared_with():
    names = SCHEMES["threshold"].class_names
    three_volunteers = votes(a01=41, a02=3, a16=41, a05=3, a08=3)
    assert names[assign_labels(three_volunteers, "threshold")] == "spiral"
    debiased = votes(a01=0.9, a08=0.2)
    assert names[assign_labels(three_volunteers, "threshold", debiased)] == "elliptical"
    assert names[assign_labels(votes(a01=22, a02=22, a16=22, a04=11, a05=11), "threshold")] == "ambiguous"


def test_unknown_votes_are_uncertain_in_every_scheme():
    for scheme in SCHEMES:
        assert assign_labels(np.full((2, 37), np.nan), scheme).tolist() == [UNCERTAIN] * 2


# The rules for Galaxy Zoo 2, written out in its own answers: answer -> (least fraction, fraction above all)
A = 0.0, np.inf
RULES = {
    "hubble": {
        "elliptical": {"a01": (0.6, np.inf), "a18": (0, 0.5)},
        "lenticular": {"a02": (0.43, np.inf), "a05": (0.715, np.inf), "a09": (0.619, np.inf)},
        "spiral": {"a02": (0.43, np.inf), "a05": (0.715, np.inf), "a08": (0.619, np.inf), "a06": (0, 0.5)},
        "barred spiral": {"a02": (0.43, np.inf), "a05": (0.715, np.inf), "a08": (0.619, np.inf), "a06": (0.5, np.inf)},
        "edge-on disc": {"a02": (0.43, np.inf), "a04": (0.602, np.inf)},
        "irregular": {"a14": (0.5, np.inf), "a22": (0.5, np.inf)},
        "merger": {"a14": (0.5, np.inf), "a24": (0.5, np.inf)},
    },
    "summary": {
        "smooth_round": {"a01": A, "a16": A},
        "smooth_in_between": {"a01": A, "a17": A},
        "smooth_cigar": {"a01": A, "a18": A},
        "edge_on_disk": {"a02": A, "a04": A},
        "unbarred_spiral": {"a02": A, "a05": A, "a08": A, "a07": A},
        "barred_spiral": {"a02": A, "a05": A, "a08": A, "a06": A},
        "featured_without_bar_or_spiral": {"a02": A, "a05": A, "a09": A, "a07": A},
    },
    "threshold": {
        "ambiguous": {},
        "merger": {"a24": (0.6, np.inf)},
        "edge-on": {"a04": (0.6, np.inf)},
        "elliptical": {"a01": (0.6, np.inf)},
        "spiral": {"a08": (0.6, np.inf)},
    },
}


def expected_label(row: np.ndarray, scheme: str, debiased: np.ndarray | None) -> int:
    """Return the label by the rules for Galaxy Zoo 2, one answer after the other."""
    fractions, totals = GALAXY_ZOO_2.conditional(row), GALAXY_ZOO_2.totals(row)
    if debiased is not None and scheme == "threshold":
        fractions = np.where(np.isnan(fractions), np.nan, debiased)
    label = UNCERTAIN
    for number, limits in enumerate(RULES[scheme].values()):
        holds = not np.isnan(row).all()
        for answer, (least, above) in limits.items():
            index = answer_index(answer)
            stem = QUESTIONS[QUESTION_OF_ANSWER[index]].stem
            holds &= bool(least <= fractions[index] < above)
            if scheme == "summary":
                siblings = fractions[QUESTION_SLICES[stem]]
                holds &= not np.isnan(siblings).all() and fractions[index] == np.nanmax(siblings)
                holds &= (
                    fractions[index] not in fractions[QUESTION_SLICES[stem].start : index]
                )  # of equal ones the first
            if scheme == "hubble":
                holds &= totals[index] >= 20
                holds &= all(fractions[answer_index(parent)] >= cut for parent, cut in WELL_SAMPLED[stem].items())
        label = number if holds else label
    return label


counts = arrays(np.float64, (37,), elements=st.sampled_from([0.0, 0.0, 1.0, 7.0, 20.0, 21.5, 33.0, 40.0, np.nan]))
shares = arrays(np.float64, (37,), elements=st.sampled_from([0.0, 0.3, 0.6, 1.0, np.nan]))


@pytest.mark.parametrize("scheme", RULES)
@given(row=counts, debiased=st.none() | shares)
def test_galaxy_zoo_2_is_classed_by_its_published_rules(scheme, row, debiased):
    row = np.nan_to_num(row) if np.isnan(row).mean() < 0.2 else row
    assert SCHEMES[scheme].class_names == list(RULES[scheme])
    assert assign_labels(row, scheme, debiased) == expected_label(row, scheme, debiased)


DESI = load_campaign("gz_desi").released


def desi(tree: DecisionTree = DESI, **named) -> np.ndarray:
    """Votes by answers of the tree, such as ``bar_strong=10``; hyphens are written as underscores."""
    values = dict.fromkeys(tree.answers, 0.0)
    names = {f"{question}_{answer}".replace("-", "_"): (question, answer) for question, answer in values}
    values |= {names[name]: value for name, value in named.items()}
    return np.array(list(values.values()))


SMOOTH = {"smooth_or_featured_smooth": 36, "smooth_or_featured_featured_or_disk": 4, "how_rounded_round": 36}
FACE_ON_DESI = {
    "smooth_or_featured_smooth": 2,
    "smooth_or_featured_featured_or_disk": 40,
    "disk_edge_on_no": 40,
    "has_spiral_arms_yes": 40,
}


DESI_ALONE = Trees([DESI])


def name_of(row, scheme="hubble", trees=DESI_ALONE):
    return [*class_names_for(scheme, trees), "uncertain"][assign_labels(row, scheme, trees=trees)]


def test_a_weak_and_a_strong_bar_together_are_a_bar():
    row = desi(**FACE_ON_DESI, bar_strong=12, bar_weak=12, bar_no=16)
    assert name_of(row) == "barred spiral"
    assert name_of(row, "summary") == "barred_spiral"
    row = desi(**FACE_ON_DESI, bar_strong=9, bar_weak=9, bar_no=22)
    assert name_of(row) == "spiral"
    assert name_of(row, "summary") == "unbarred_spiral"
    armless = FACE_ON_DESI | {"has_spiral_arms_yes": 0, "has_spiral_arms_no": 40}
    assert name_of(desi(**armless, bar_strong=12, bar_weak=12, bar_no=16), "summary") == "uncertain"
    assert name_of(desi(**armless, bar_strong=9, bar_weak=9, bar_no=22), "summary") == "featured_without_bar_or_spiral"


def test_answers_without_a_concept_are_rivals_one_by_one():
    first = GALAXY_ZOO_2.question("t01_smooth_or_features")
    first = first._replace(answers=(*first.answers, "trail"), concepts=("smooth", "featured", None, None))
    tree = DecisionTree("mine", (first, *GALAXY_ZOO_2.questions[1:]))
    row = np.zeros(38)
    row[[0, 2, 3]] = 16, 12, 12
    row[tree.slices["t07_rounded"].start] = 16
    assert name_of(row, "summary", trees=Trees([tree])) == "smooth_round"
    row[2] = 17
    assert name_of(row, "summary", trees=Trees([tree])) == "uncertain"


def test_a_merger_needs_something_odd_only_where_that_is_asked_before():
    assert name_of(desi(**SMOOTH, merging_merger=30, merging_none=10)) == "merger"
    assert name_of(desi(**SMOOTH, merging_major_disturbance=30, merging_none=10)) == "elliptical"
    hart = votes(a01=40, a02=4, a16=40, a14=20, a15=24, a24=20)
    assert name_of(hart, trees=Trees()) == "elliptical"
    assert name_of(hart + votes(a14=10), trees=Trees()) == "merger"


@pytest.mark.parametrize(("ways", "name"), [(1, "uncertain"), (2, "merger")])
def test_something_odd_is_needed_where_every_way_to_the_question_is_by_it(ways, name):
    parents = (("odd", "yes"), ("kind", "featured"))[:ways]
    questions = (
        Question("kind", ("smooth", "featured"), concepts=("smooth", "featured")),
        Question("odd", ("yes", "no"), (("kind", "smooth"),), concepts=("odd", "odd-none")),
        Question("what", ("merger", "irregular"), parents, concepts=("merger", "irregular")),
    )
    row = np.array([30, 30, 12, 18, 25, 5])  # fewer than half say "odd"; the others come by "featured"
    assert name_of(row, trees=Trees([DecisionTree("mine", questions)])) == name


def test_answers_that_mean_the_same_are_added():
    tree = load_campaign("gz_decals_dr12").released
    row = desi(tree, smooth_or_featured_dr12_smooth=40, how_rounded_dr12_completely=40, merging_dr12_neither=18)
    row += desi(tree, merging_dr12_both=11, merging_dr12_merger=11)
    assert name_of(row, trees=Trees([tree])) == "merger"


def test_a_bar_is_asked_for_by_the_question_for_bars_not_also_by_one_for_their_kinds():
    kinds = Question("kind", ("strong", "weak"), (("bar", "yes"),), concepts=("bar-strong", "bar-weak"))
    questions = [question for question in GALAXY_ZOO_2.questions if question.name != "t03_bar"]
    bar = GALAXY_ZOO_2.question("t03_bar")._replace(name="bar", answers=("yes", "no"))
    tree = DecisionTree("mine", (*questions, kinds, bar))
    row = np.zeros(39)
    row[[tree.index("t01_smooth_or_features", "a02_features_or_disk"), tree.index("t02_edgeon", "a05_no")]] = 40
    row[tree.index("t04_spiral", "a08_spiral")] = 40
    row[[tree.index("bar", "yes"), tree.index("bar", "no")]] = 10, 30
    row[tree.slices["kind"]] = 10, 0
    assert name_of(row, trees=Trees([tree])) == "spiral"
    assert name_of(row, "summary", trees=Trees([tree])) == "unbarred_spiral"


def test_thin_votes_stay_uncertain_and_the_advice_names_a_scheme_that_takes_them():
    thin = desi(smooth_or_featured_smooth=5, how_rounded_round=5)
    enough = desi(smooth_or_featured_smooth=20, how_rounded_round=20)
    assert (name_of(thin), name_of(enough), name_of(thin, "summary")) == ("uncertain", "elliptical", "smooth_round")
    assert thin_votes([thin, thin, enough], trees=DESI_ALONE) == [
        "67% of the galaxies of gz_desi have fewer than 20 votes on its first question, and label_scheme='hubble' "
        "leaves them uncertain; summary does not need so many"
    ]
    assert not thin_votes([thin, enough, enough], trees=DESI_ALONE)
    assert not thin_votes([thin], "summary", DESI_ALONE)


def test_a_class_that_no_tree_can_decide_is_left_out_and_named():
    trees = DESI_ALONE
    assert class_names_for("hubble", trees) == [name for name in class_names_for("hubble") if name != "irregular"]
    assert undecidable("hubble", trees) == [
        "gz_desi has no votes on whether a galaxy is irregular; the class irregular is left out"
    ]
    assert undecidable("summary", trees) == undecidable("hubble") == []
    assert "| irregular |" not in scheme_table("hubble", trees) and "is left out." in scheme_table("hubble", trees)
    assert "something odd" not in scheme_table("hubble", trees)


def test_questions_without_published_votes_decide_nothing():
    tree = load_campaign("gz_decals_dr5").tree  # asks for irregular galaxies, but has no votes on them
    assert "irregular" not in class_names_for("hubble", Trees([tree]))


def test_fewer_than_two_classes_are_refused_with_what_is_missing():
    with pytest.raises(ValueError, match="gz_rings has no votes on .*is smooth.* so no class is left"):
        class_names_for("hubble", Trees([load_campaign("gz_rings").tree]))
    tree = DecisionTree("mine", (Question("kind", ("pair", "single"), concepts=("merger", None)),))
    with pytest.raises(ValueError, match="mine has no votes on .*is irregular, so only the class merger is left"):
        assign_labels(np.ones((1, 2)), trees=Trees([tree]))


def test_of_several_trees_the_first_with_votes_decides():
    rings = load_campaign("gz_rings").tree
    trees = Trees([rings, DESI, GALAXY_ZOO_2])
    unknown = [np.full(2, np.nan), np.full(34, np.nan), np.full(37, np.nan)]

    def row(ring=unknown[0], desi_votes=unknown[1], hart=unknown[2]):
        return np.concatenate([ring, desi_votes, hart])

    edge_on = dict(HUBBLE)["edge-on disc"]
    assert name_of(row(hart=edge_on), trees=trees) == "edge-on disc"
    assert name_of(row(hart=edge_on, desi_votes=desi(**SMOOTH)), trees=trees) == "elliptical"
    assert name_of(row(hart=edge_on, desi_votes=np.zeros(34)), trees=trees) == "edge-on disc"
    assert name_of(row(ring=[30, 10], hart=edge_on), trees=trees) == "edge-on disc"
    for scheme in SCHEMES:
        assert name_of(row(ring=[30, 10]), scheme, trees=trees) == name_of(row(), scheme, trees=trees) == "uncertain"
    assert undecidable("hubble", trees) == [
        "gz_rings has no votes for any class of label_scheme='hubble'; galaxies that only it has are uncertain",
        "gz_desi has no votes on whether a galaxy is irregular; its galaxies are never of the class irregular",
    ]
    assert "; something odd >= 0.5 where it is asked first" not in scheme_table("hubble", DESI_ALONE)
    assert "something odd >= 0.5 where it is asked first; merger >= 0.5" in scheme_table("hubble", trees)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
def test_labels_of_a_tree_are_the_same_among_other_trees(scheme, data):
    decals = load_campaign("gz_decals_dr12").released
    values = st.sampled_from([0.0, 5.0, 20.0, 40.0])
    row = data.draw(arrays(np.float64, (len(decals.answers),), elements=values, fill=st.nothing()))
    row[0] += 1  # somebody answers the first question
    both = Trees([DESI, decals])
    beside = np.concatenate([np.full(len(DESI.answers), np.nan), row])
    assert name_of(beside, scheme, both) == name_of(row, scheme, Trees([decals]))


@pytest.mark.parametrize("campaign", campaign_names())
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_classes_of_every_campaign_are_those_that_votes_can_give(campaign, scheme):
    tree = load_campaign(campaign).released
    rng = np.random.default_rng(0)
    rows = 44 * rng.dirichlet(np.full(len(tree.answers), 0.1), size=4000) * len(tree.answers)
    trees = Trees([tree])
    try:
        names = class_names_for(scheme, trees)
    except ValueError:
        assert not set(tree.concepts) >= {"smooth", "featured", "edge-on"}
        return
    assert set(assign_labels(rows, scheme, trees=trees)) == {UNCERTAIN, *range(len(names))} - (
        {UNCERTAIN} if names[0] == "ambiguous" else set()
    )


def test_the_summary_texts_of_gz_evo_become_labels():
    names = SCHEMES["summary"].class_names
    texts = [*names, "", None, float("nan"), "smooth_inbetween"]
    assert labels_of_summary(texts).tolist() == [*range(7), -1, -1, -1, names.index("smooth_in_between")]
    with pytest.raises(ValueError, match="row 1 has summary='spiral', which is not one of smooth_round, "):
        labels_of_summary(["", "spiral"])


def test_every_concept_of_a_rule_exists_and_has_words():
    used = {
        condition.concept for scheme in SCHEMES.values() for known in scheme.classes for condition in known.conditions
    }
    assert used == set(WORDS) and used <= set(CONCEPTS)


def test_the_table_prints_every_class_with_its_thresholds_and_source():
    for name, scheme in SCHEMES.items():
        table = scheme_table(name)
        for morphology in scheme.classes:
            assert f"| {morphology.name} |" in table
            assert morphology.source in table
    assert "not edge-on >= 0.715; spiral arms >= 0.619; bar < 0.5" in scheme_table("hubble")


def test_votes_of_another_number_of_answers_are_refused():
    with pytest.raises(ValueError, match=r"votes has shape \(2, 37\); its last axis must be the 34 answers"):
        assign_labels(np.ones((2, 37)), trees=DESI_ALONE)


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="hubble, summary, threshold"):
        assign_labels(np.ones(37), "sersic")
