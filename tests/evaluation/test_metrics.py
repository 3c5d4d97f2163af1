import json
import tracemalloc

import evaluate
import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from galaxy_vision.evaluation.metrics import GalaxyMetric, training_constants
from galaxy_vision.evaluation.tables import summary_table
from galaxy_vision.models.decision_tree import (
    QUESTION_SLICES,
    answer_index,
    conditional_fractions,
    kaggle_from_conditional,
)

NAMES = ["elliptical", "spiral", "merger", "irregular"]


def simulated_votes(rows: int, volunteers: int = 44, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return concentrations (rows, 37), and votes (rows, 37) drawn from these Dirichlet-multinomials."""
    rng = np.random.default_rng(seed)
    concentration = rng.gamma(3.0, 3.0, (rows, 37))
    votes = np.zeros((rows, 37))
    for answers in QUESTION_SLICES.values():
        for row in range(rows):
            votes[row, answers] = rng.multinomial(volunteers, rng.dirichlet(concentration[row, answers]))
    return concentration, votes


def test_class_scores_equal_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4), 300), rng.integers(0, 4, 300)
    predicted = probabilities.argmax(-1)
    scores = GalaxyMetric("classes", label_names=NAMES).compute(predictions=probabilities, references=labels)
    assert scores["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, predicted))
    for name in ("macro", "weighted"):
        assert scores[f"{name}_f1"] == pytest.approx(sklearn_metrics.f1_score(labels, predicted, average=name))
    assert scores["confusion_matrix"] == sklearn_metrics.confusion_matrix(labels, predicted).tolist()
    report = sklearn_metrics.classification_report(labels, predicted, target_names=NAMES, output_dict=True)
    for row in scores["per_class"]:
        assert row["f1"] == pytest.approx(report[row["label"]]["f1-score"])
        assert row["support"] == report[row["label"]]["support"]
    low, high = scores["interval_95"]["accuracy"]
    assert low < scores["accuracy"] < high


def test_uncertain_rows_are_counted_and_left_out_and_the_constant_answer_is_the_baseline():
    probabilities = np.eye(4)[[0, 1, 2, 0]]
    metric = GalaxyMetric("classes", label_names=NAMES, train_class_counts=[1, 9, 2, 3])
    scores = metric.compute(predictions=probabilities, references=np.array([0, 1, 2, -1]))
    assert (scores["accuracy"], scores["rows"], scores["uncertain_rows"]) == (1.0, 3, 1)
    assert scores["baseline"]["accuracy"] == pytest.approx(1 / 3)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 59), max_size=4))
def test_batches_do_not_change_the_scores(cuts):
    concentration, votes = simulated_votes(60)
    whole, parts = GalaxyMetric("votes"), GalaxyMetric("votes")
    for rows in np.split(np.arange(60), sorted(cuts)):
        parts.add_batch(predictions=concentration[rows], references=votes[rows])
    one, other = whole.compute(predictions=concentration, references=votes), parts.compute()
    assert one["rmse_37"] == pytest.approx(other["rmse_37"])
    assert one["interval_95"]["rmse_37"] == pytest.approx(other["interval_95"]["rmse_37"])
    assert one["ece"] == pytest.approx(other["ece"])
    assert one["questions"] == other["questions"]


def test_rmse_37_is_that_of_the_challenge_and_zero_for_a_perfect_answer():
    concentration, votes = simulated_votes(50)
    constants = training_constants(votes)
    scores = GalaxyMetric("votes", **constants).compute(predictions=concentration, references=votes)
    true = kaggle_from_conditional(conditional_fractions(votes))
    predicted = kaggle_from_conditional(conditional_fractions(concentration))
    assert scores["rmse_37"] == pytest.approx(np.sqrt(((predicted - true) ** 2).mean()))
    assert scores["baseline"]["rmse_37"] == pytest.approx(true.std(axis=0).__pow__(2).mean() ** 0.5)
    perfect = GalaxyMetric("votes").compute(predictions=votes + 1e-9, references=votes)
    assert perfect["rmse_37"] == pytest.approx(0, abs=1e-6)
    assert all(row["accuracy"] in (None, 1.0) for row in perfect["questions"])


def test_the_constant_answer_stands_beside_every_question_and_the_calibration():
    concentration, votes = simulated_votes(50)
    constants = training_constants(votes)
    scores = GalaxyMetric("votes", **constants).compute(predictions=concentration, references=votes)
    answers = np.tile(constants["baseline_conditional"], (50, 1))
    constant = GalaxyMetric("votes").compute(predictions=answers, references=votes)  # as if a model had predicted it
    for row, expected in zip(scores["questions"], constant["questions"], strict=True):
        assert row["baseline_accuracy"] == expected["accuracy"] and row["baseline_macro_f1"] == expected["macro_f1"]
    assert scores["baseline"]["ece"] == pytest.approx(constant["ece"])


def test_answers_of_fewer_than_twenty_votes_and_unknown_ones_are_left_out():
    concentration, votes = simulated_votes(3)
    votes[0, QUESTION_SLICES["t03_bar"]] = [10, 9]
    votes[1, QUESTION_SLICES["t03_bar"]] = np.nan
    scores = GalaxyMetric("votes").compute(predictions=concentration, references=votes)
    bar = scores["answers"][answer_index("a06")]
    assert bar["galaxies"] == 1
    error = conditional_fractions(concentration)[2, answer_index("a06")] - votes[2, answer_index("a06")] / 44
    assert bar["rmse"] == pytest.approx(abs(error))
    assert scores["rows_with_all_questions"] == 2


def test_the_sampling_floor_is_the_error_of_a_perfect_model():
    rng = np.random.default_rng(1)
    votes = np.zeros((4000, 37))
    answers = QUESTION_SLICES["t02_edgeon"]
    votes[:, answers] = rng.multinomial(25, [0.3, 0.7], size=4000)
    concentration = np.ones((4000, 37))
    concentration[:, answers] = [30.0, 70.0]
    row = GalaxyMetric("votes").compute(predictions=concentration, references=votes)["answers"][answer_index("a04")]
    assert row["sampling_floor"] == pytest.approx(np.sqrt(0.3 * 0.7 / 25), rel=0.01)
    assert row["rmse"] == pytest.approx(row["sampling_floor"], rel=0.04)


def test_intervals_of_the_true_model_cover_nine_in_ten():
    scores = GalaxyMetric("votes").compute(
        **dict(zip(("predictions", "references"), simulated_votes(400, 500), strict=True))
    )
    assert scores["coverage_90"]["predictive"] == pytest.approx(0.9, abs=0.02)
    assert scores["coverage_90"]["latent"] == pytest.approx(0.9, abs=0.03)
    few = GalaxyMetric("votes").compute(
        **dict(zip(("predictions", "references"), simulated_votes(400, 25), strict=True))
    )
    assert few["coverage_90"]["latent"] < few["coverage_90"]["predictive"] - 0.05
    assert scores["ece"] < 0.02


def test_intervals_cover_nine_in_ten_where_most_volunteers_agree():
    rng = np.random.default_rng(2)
    concentration, votes = np.ones((3000, 37)), np.zeros((3000, 37))
    answers = QUESTION_SLICES["t02_edgeon"]
    concentration[:, answers] = [0.5, 9.5]  # a third of the galaxies have no votes for "edge-on"
    votes[:, answers] = [rng.multinomial(25, fractions) for fractions in rng.dirichlet([0.5, 9.5], size=3000)]
    scores = GalaxyMetric("votes").compute(predictions=concentration, references=votes)
    assert (votes[:, answers.start] == 0).mean() > 0.3
    assert scores["coverage_90"]["predictive"] == pytest.approx(0.9, abs=0.01)


def test_constant_intervals_stand_beside_those_of_the_model_which_are_narrower():
    concentration, votes = simulated_votes(400, 500)
    constants = training_constants(votes[:200])
    scores = GalaxyMetric("votes", **constants).compute(predictions=concentration[200:], references=votes[200:])
    fractions = conditional_fractions(votes)
    lower, upper = np.quantile(fractions[:200], [0.05, 0.95], axis=0)
    inside = (fractions[200:] >= lower) & (fractions[200:] <= upper)
    assert scores["baseline"]["coverage_90"] == pytest.approx(inside.mean())
    assert scores["baseline"]["width_90"] == pytest.approx((upper - lower).mean())
    assert scores["baseline"]["coverage_90"] == pytest.approx(
        0.9, abs=0.02
    )  # as well calibrated as the true model, but wider
    assert scores["width_90"]["predictive"] < scores["baseline"]["width_90"]
    few = training_constants(votes[:200] / 50)  # 10 volunteers
    assert few["baseline_interval"].tolist() == [[0.0] * 37, [1.0] * 37]


def test_evaluate_loads_the_file_in_both_configurations():
    path = str(REPOSITORY / "galaxy_vision" / "evaluation" / "metrics.py")
    assert evaluate.load(path, "votes").compute(
        predictions=simulated_votes(5)[0].tolist(), references=simulated_votes(5)[1].tolist()
    )["rmse_37"]
    assert evaluate.load(path, "classes").compute(predictions=[[0.9, 0.1]], references=[0])["accuracy"] == 1.0


def test_memory_does_not_grow_with_the_test_set():
    concentration, votes = simulated_votes(40)

    def peak(batches: int) -> int:
        metric = GalaxyMetric("votes")
        metric.add_batch(predictions=concentration, references=votes)
        tracemalloc.start()
        for _ in range(batches):
            metric.add_batch(predictions=concentration, references=votes)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(60) < 1.2 * peak(5)


def test_results_are_plain_json_and_print_as_a_table():
    concentration, votes = simulated_votes(30)
    constants = training_constants(votes)
    metric = GalaxyMetric("votes", **constants)
    results = {
        "votes": metric.compute(predictions=concentration, references=votes),
        "classes": GalaxyMetric("classes", label_names=["a", "b"]).compute(predictions=[[0.2, 0.8]], references=[1]),
    }
    assert json.loads(json.dumps(results, allow_nan=False))["votes"]["rows"] == 30
    assert f"{results['votes']['rmse_37']:.4f}" in summary_table(results)


@pytest.mark.parametrize(
    ("kind", "predictions", "references", "message"),
    [
        ("classes", [[0.5, float("nan")]], [0], "row 0 are not finite"),
        ("classes", [[0.5, 0.5]], [2], "label 2 is outside the 2 classes"),
        ("votes", -np.ones((1, 37)), np.ones((1, 37)), "not above 0"),
        ("votes", np.ones((1, 36)), np.ones((1, 36)), "37"),
    ],
)
def test_bad_input_is_named(kind, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        GalaxyMetric(kind).add_batch(predictions=predictions, references=references)


def test_nothing_added_is_an_error():
    with pytest.raises(ValueError, match="no row was added"):
        GalaxyMetric("votes").compute()
