import numpy as np
import pytest

from galaxy_vision.data.labels import SCHEMES, UNCERTAIN, assign_labels, scheme_table
from galaxy_vision.models.decision_tree import answer_index


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


def test_the_table_prints_every_class_with_its_thresholds_and_source():
    for name, scheme in SCHEMES.items():
        table = scheme_table(name)
        for morphology in scheme.classes:
            assert f"| {morphology.name} |" in table
            assert morphology.source in table
    assert "a08_spiral >= 0.619" in scheme_table("hubble")


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="hubble, summary, threshold"):
        assign_labels(np.ones(37), "sersic")
