"""No training starts with rows that teach nothing or by which nothing can be judged, or goes on with other rows."""

import shutil
from argparse import Namespace

import numpy as np
import pyarrow as pa
import pytest
from conftest import CAPTIONER, FEW, train
from datasets import ClassLabel, Dataset, Features, Image, List, Value

from galaxy_vision.data.checks import split_contents
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.evaluation.metrics import GalaxyMetric
from galaxy_vision.models.decision_tree import QUESTION_SLICES
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.checks import check_captioner_rows, check_classifier_rows

NAMES = ["elliptical", "spiral", "merger"]
KNOWN = np.full((4, 37), 25.0)
NONE = np.zeros((4, 37))
LOST = np.full((4, 37), np.nan)
WITHOUT_ODD = KNOWN.copy()
WITHOUT_ODD[:, QUESTION_SLICES["t08_odd_feature"]] = np.nan


def rows(labels, votes=None, captions=None) -> Dataset:
    """Rows as a Parquet file may hold them: no label is checked."""
    features, columns = {"label": ClassLabel(names=NAMES)}, {"label": pa.array(labels, pa.int64())}
    if votes is not None:
        features["votes"] = List(Value("float32"), length=37)
        flat = pa.array(np.asarray(votes, dtype=np.float32).ravel())
        columns["votes"] = pa.FixedSizeListArray.from_arrays(flat, 37)
    if captions is not None:
        features["captions"], columns["captions"] = List(Value("string")), pa.array(captions, pa.list_(pa.string()))
    return Dataset(pa.table(columns).cast(Features(features).arrow_schema))


GOOD = [0, 1, None, 1]


def check(train=None, validation=None, test=None, predict_votes=True, select_by="loss"):
    data = {"train": train, "validation": validation, "test": test}
    data = {split: rows(GOOD) if given is None else given for split, given in data.items()}
    args = Namespace(dataset="d", predict_votes=predict_votes, select_by=select_by)
    return check_classifier_rows(args, data, Trees())


def test_labelled_rows_and_voted_rows_are_trained_on():
    assert check() == (False, [])
    voted = {split: rows(GOOD, KNOWN) for split in ("train", "validation", "test")}
    for select_by in ("loss", "rmse_37", "rmse_known"):
        assert check(**voted, select_by=select_by) == (True, [])
    assert check(**voted, predict_votes=False) == (False, [])
    uncertain = {split: rows([None] * 4, KNOWN) for split in ("train", "validation", "test")}
    votes, doubts = check(**uncertain)
    assert votes and "the classes that this model names mean nothing" in doubts[0]
    one = {split: rows([1] * 4, KNOWN) for split in ("train", "validation", "test")}
    assert check(**one) == (True, [])
    unknown = {split: rows(GOOD, LOST) for split in ("train", "validation", "test")}
    votes, doubts = check(**unknown)
    assert not votes and "votes are not learned" in doubts[0]


REFUSED = {
    "no label": (dict(train=rows([None] * 4)), "none of the 4 training rows of dataset='d' has a label, so nothing"),
    "all uncertain": (dict(train=rows([-1] * 4)), "none of the 4 training rows"),
    "votes of nobody": (dict(train=rows([-1] * 4, NONE)), "has a label or votes, so nothing"),
    "unknown votes": (dict(train=rows([-1] * 4, LOST)), "has a label or votes, so nothing"),
    "one class": (
        dict(train=rows([2, 2, None, 2])),
        "all 3 labelled training rows .* of the class 'merger', .* two classes or more",
    ),
    "one class, votes left out": (dict(train=rows([2] * 4, KNOWN), predict_votes=False), "nothing to tell apart"),
    "a label too high in train": (
        dict(train=rows([0, 1, 3, 1])),
        "train split .* has the label 3 in row 2, and its classes are 0 to 2",
    ),
    "a label too high in test": (dict(test=rows([0, 7])), "test split .* has the label 7 in row 1"),
    "a label too low": (dict(validation=rows([-2, 1])), "validation split .* has the label -2 in row 0"),
    "no row to validate": (dict(validation=rows([])), "has no row in its validation split"),
    "no row to test": (dict(test=rows([])), "has no row in its test split"),
    "nothing to choose by": (
        dict(validation=rows([None] * 4)),
        "no row of the validation split .* has a label, so no epoch",
    ),
    "votes below 0": (dict(train=rows(GOOD, KNOWN - 26)), "row 0 has -1 votes for an answer"),
    "endless votes": (dict(test=rows(GOOD, KNOWN * np.inf)), "row 0 has inf votes for an answer"),
    "votes in train alone": (
        dict(train=rows(GOOD, KNOWN)),
        "validation and test split .* has no votes; .*--no_predict_votes",
    ),
    "rmse without votes": (dict(select_by="rmse_known"), "select_by=rmse_known needs votes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_teach_nothing_or_cannot_be_judged_are_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        check(**arguments)


def test_the_score_that_selects_is_refused_where_it_is_not_defined():
    voted = {split: rows(GOOD, WITHOUT_ODD) for split in ("train", "validation", "test")}
    with pytest.raises(
        ValueError, match="select_by=rmse_37 needs rows in which all 37 answers are known.*use rmse_known"
    ):
        check(**voted, select_by="rmse_37")
    assert check(**voted, select_by="rmse_known") == (True, [])
    with pytest.raises(ValueError, match="select_by=rmse_known needs votes, and the validation split"):
        check(**voted | {"validation": rows(GOOD, LOST)}, select_by="rmse_known")


def test_the_error_over_known_answers_is_that_of_kaggle_where_all_are_known_and_leaves_out_what_is_not():
    metric, concentration = GalaxyMetric("votes"), np.random.default_rng(0).gamma(2.0, 2.0, (4, 37))
    whole = metric.compute(predictions=concentration, references=KNOWN)
    assert whole["rmse_known"] == pytest.approx(whole["rmse_37"]) and whole["known_answers"] == 4 * 37
    part = metric.compute(predictions=concentration, references=WITHOUT_ODD)
    assert part["rmse_37"] is None and part["known_answers"] == 4 * 30
    halves = [metric.compute(predictions=concentration[k : k + 1], references=WITHOUT_ODD[k : k + 1]) for k in range(4)]
    assert part["rmse_known"] == pytest.approx(np.sqrt(np.mean([half["rmse_known"] ** 2 for half in halves])))
    only = LOST.copy()
    only[0, QUESTION_SLICES["t01_smooth_or_features"]] = [6, 3, 1]
    predicted = np.ones((4, 37))
    found = metric.compute(predictions=predicted, references=only)
    assert found["known_answers"] == 3
    errors = np.array([0.6, 0.3, 0.1]) - 1 / 3
    assert found["rmse_known"] == pytest.approx(np.sqrt((errors**2).mean()))


TEXTS = [["a spiral galaxy", "a galaxy"]] * 4


def check_captions(train=None, validation=None, test=None, num_references=2):
    data = {"train": train, "validation": validation, "test": test}
    data = {split: rows(GOOD, KNOWN, TEXTS) if given is None else given for split, given in data.items()}
    check_captioner_rows(Namespace(dataset="d", num_references=num_references), data, Trees())


CAPTIONS_REFUSED = {
    "no captions": (dict(train=rows(GOOD, KNOWN)), "has no captions, which are learned"),
    "no votes": (dict(test=rows(GOOD, None, TEXTS)), "has no votes, which judge the captions"),
    "too many references": (
        dict(num_references=6),
        "num_references=6 is more than the 2 captions of a row .* give 2 or fewer",
    ),
    "a row with fewer": (
        dict(train=rows(GOOD, KNOWN, [["a"], *TEXTS[1:]]), num_references=1),
        "have 1 to 2 captions; give all rows",
    ),
    "a row without": (
        dict(validation=rows(GOOD, KNOWN, [[], *TEXTS[1:]])),
        "validation split .* has a row without captions",
    ),
    "a row of null": (dict(test=rows(GOOD, KNOWN, [None, *TEXTS[1:]])), "test split .* has a row without captions"),
    "a null among them": (dict(train=rows(GOOD, KNOWN, [["a", None], *TEXTS[1:]])), "has a caption that is null"),
    "no row": (dict(test=rows([], np.zeros((0, 37)), [])), "has no row in its test split"),
    "claims of nobody": (
        dict(validation=rows(GOOD, NONE, TEXTS)),
        "claim nothing, so claim F1, which judges captions",
    ),
    "unknown votes": (dict(validation=rows(GOOD, LOST, TEXTS)), "claim nothing"),
}


@pytest.mark.parametrize("case", CAPTIONS_REFUSED)
def test_captions_that_cannot_be_learned_or_judged_are_refused(case):
    check_captions()
    arguments, message = CAPTIONS_REFUSED[case]
    with pytest.raises(ValueError, match=message):
        check_captions(**arguments)


def test_captions_that_are_one_text_a_row_are_not_split_into_letters():
    one = Dataset.from_dict({"captions": ["a galaxy"] * 4, "votes": KNOWN.tolist(), "label": GOOD})
    with pytest.raises(ValueError, match="does not hold lists of texts"):
        check_captions(train=one)


def test_both_scripts_refuse_with_one_line_before_anything_is_trained(tmp_path):
    data = load_galaxies("simulated", num_simulated=200)
    for name, change in (
        ("unlabelled", lambda row: {"label": None, "votes": [0.0] * 37}),
        ("silent", lambda row: {"votes": [0.0] * 37}),
        ("whole", lambda row: {}),
    ):
        for split, part in data.items():
            part = part.select(range(8)).map(change, features=part.features)
            part.to_parquet(tmp_path / name / f"{split}-00000-of-00001.parquet")
    for streamed in ([], ["--streaming"]):
        with pytest.raises(
            SystemExit, match="^error: none of the 8 training rows of dataset='.*' has a label or votes"
        ):
            argv = [*FEW, *streamed, "--dataset", str(tmp_path / "unlabelled"), "--output_dir", str(tmp_path / "run")]
            train("train_classifier", *argv)
        with pytest.raises(SystemExit, match="^error: the votes of the validation split .* claim nothing"):
            argv = [*CAPTIONER, *streamed, "--dataset", str(tmp_path / "silent"), "--output_dir", str(tmp_path / "run")]
            train("train_captioner", *argv)
        with pytest.raises(SystemExit, match="^error: num_references=6 is more than the 5 captions"):
            argv = [*CAPTIONER, *streamed, "--dataset", str(tmp_path / "whole"), "--num_references", "6"]
            train("train_captioner", *argv, "--output_dir", str(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("*/step-*"))


def test_votes_that_lack_a_question_select_the_epoch_by_what_is_known(tmp_path):
    for split, part in load_galaxies("simulated", num_simulated=200).items():
        part = part.select(range(min(24, len(part))))
        votes = np.array(part["votes"][:], dtype=np.float32)
        votes[:, QUESTION_SLICES["t08_odd_feature"]] = np.nan
        part = part.remove_columns("votes").add_column("votes", votes.tolist(), feature=part.features["votes"])
        part.to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    argv = [*FEW, "--dataset", str(tmp_path / "data"), "--batch_size", "12", "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="^error: select_by=rmse_37 needs rows in which all 37 answers are known"):
        train("train_classifier", *argv, "--select_by", "rmse_37")
    results = train("train_classifier", *argv, "--select_by", "rmse_known", report=True)
    values = [epoch["validation_rmse_known"] for epoch in results["history"]]
    assert results["best_epoch"] == 1 + values.index(min(values))
    assert results["votes"]["rmse_37"] is None and results["votes"]["rmse_known"] > 0


def test_rows_that_were_added_between_kill_and_resumption_are_not_mixed_in(tmp_path, galaxies):
    folder = tmp_path / "images"
    for index, (data, _, _) in enumerate(galaxies):
        path = folder / ("spiral" if index % 2 else "smooth") / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    argv = [
        *FEW,
        "--batch_size",
        "20",
        "--epochs",
        "1",
        "--dataset",
        str(folder),
        "--output_dir",
        str(tmp_path / "run"),
    ]
    with pytest.raises(SystemExit, match="130"):
        train("train_classifier", *argv, "--stop_after", "1", "--checkpoint_every", "1")
    for index in range(15):
        shutil.copy(folder / "spiral" / "1.jpg", folder / "spiral" / f"new{index}.jpg")
    with pytest.raises(
        SystemExit, match=r"step-1 is of a run with other rows in the train.* split; give the data set as it was"
    ):
        train("train_classifier", *argv, "--resume")
    for index in range(15):
        (folder / "spiral" / f"new{index}.jpg").unlink()
    assert train("train_classifier", *argv, "--resume")["split_rows"]["train"]
    with pytest.raises(SystemExit, match="holds a finished run; there is nothing to resume"):
        train("train_classifier", *argv, "--resume")


def images(folder, files: dict, labels=(0, 1)) -> Dataset:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    return Dataset.from_dict(
        {"image": [str(folder / name) for name in files], "label": list(labels)}, features=features
    )


def test_the_content_of_a_split_changes_with_its_rows_and_with_nothing_else(tmp_path, galaxies):
    files = {"a.jpg": galaxies[0][0], "b.jpg": galaxies[1][0]}

    def content(part) -> str:
        return split_contents({"train": part})["train"]

    known = content(images(tmp_path / "one", files))
    assert content(images(tmp_path / "moved", files)) == known  # wherever the folder is, and whenever it was written
    assert content(images(tmp_path / "other", files | {"b.jpg": galaxies[2][0]})) != known
    assert content(images(tmp_path / "labels", files, (0, 0))) != known
    assert content(images(tmp_path / "uncertain", files, (0, None))) != known
    assert content(images(tmp_path / "order", dict(reversed(files.items())), (1, 0))) != known
    renamed = images(tmp_path / "one", files).cast_column("label", ClassLabel(names=NAMES[::-1]))
    assert content(renamed) != known
    stored = load_galaxies("simulated", num_simulated=200)["test"].select(range(6))
    known = content(stored)
    assert content(stored.select(range(6))) == known
    assert content(stored.select([1, 0, 2, 3, 4, 5])) != known
    for column, value in (("votes", [1.0] * 37), ("captions", ["a galaxy"] * 5), ("label", 0)):
        assert content(stored.map(lambda row, c=column, v=value: {c: v}, features=stored.features)) != known
    assert content(stored.map(lambda row: {"id": "x"}, features=stored.features)) == known
