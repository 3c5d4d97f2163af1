"""Nothing that was labelled is lost: by a kill, by two people at once, by a full disk, by somebody's own columns."""

import csv
import os
import time
from pathlib import Path

import pytest
from conftest import new_process
from filelock import FileLock

from galaxy_vision.label import store
from galaxy_vision.label.store import COLUMNS, Labels


def rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_label_is_in_the_file_at_once_with_who_when_and_the_score_that_was_seen(tmp_path):
    labels = Labels(tmp_path / "new" / "labels.csv", "ada")
    labels.add("images/1.jpg", "ring", "ring", 0.87654)
    labels.add('a "quoted", path.jpg', "no ring")
    first, second = rows(tmp_path / "new" / "labels.csv")
    assert tuple(first) == COLUMNS
    assert (first["path"], first["label"], first["labeller"]) == ("images/1.jpg", "ring", "ada")
    assert (first["score_of"], first["score"]) == ("ring", "0.8765") and first["time"].endswith("Z")
    assert second["path"] == 'a "quoted", path.jpg' and second["score"] == ""
    assert Labels(tmp_path / "new" / "labels.csv", "ben").counts() == {"ring": 1, "no ring": 1}


def test_the_last_label_is_taken_back_and_the_same_label_of_another_stays(tmp_path):
    ada, ben = (Labels(tmp_path / "labels.csv", name) for name in ("ada", "ben"))
    row = ada.add("1.jpg", "ring")
    ben.add("1.jpg", "ring")
    ada.remove(row)
    assert [known["labeller"] for known in rows(tmp_path / "labels.csv")] == ["ben"]
    ada.remove(row)  # it is gone already
    assert len(ada.rows) == 1


def test_columns_and_rows_of_others_stay_as_they_are(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,path,label,remark\n00005,5.jpg,ring,faint\n")
    labels = Labels(path, "ada")
    labels.add("6.jpg", "no ring")
    before, added = rows(path)
    assert (before["id"], before["remark"], before["label"]) == ("00005", "faint", "ring")
    assert (added["path"], added["remark"], added["labeller"]) == ("6.jpg", "", "ada")


def _label(path: Path, labeller: str, count: int) -> None:
    labels = Labels(path, labeller)
    for number in range(count):
        labels.add(f"{number}.jpg", "ring")


def test_two_processes_at_once_keep_every_row_of_both(tmp_path):
    path = tmp_path / "labels.csv"
    both = [new_process(_label, path, name, 40) for name in ("ada", "ben")]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    found = [(row["labeller"], row["path"]) for row in rows(path)]
    assert sorted(found) == sorted((name, f"{number}.jpg") for name in ("ada", "ben") for number in range(40))


def test_a_kill_leaves_a_whole_file_with_every_label_but_perhaps_the_last(tmp_path):
    path = tmp_path / "labels.csv"
    process = new_process(_label, path, "ada", 100_000)
    process.start()
    deadline = time.time() + 60
    while (not path.exists() or len(path.read_text().splitlines()) < 30) and time.time() < deadline:
        time.sleep(0.005)
    process.kill()  # SIGKILL
    process.join(60)
    found = [row["path"] for row in rows(path)]
    assert len(found) >= 29 and found == [f"{number}.jpg" for number in range(len(found))]
    Labels(path, "ben").add("next.jpg", "ring")  # the lock has ended with the process
    assert len(rows(path)) == len(found) + 1


def test_a_disk_that_takes_nothing_leaves_the_file_and_the_labels_as_they_were(tmp_path, monkeypatch):
    labels = Labels(tmp_path / "labels.csv", "ada")
    labels.add("1.jpg", "ring")
    before = (tmp_path / "labels.csv").read_bytes()

    def full(self, *args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv.DictWriter, "writerows", full)
    with pytest.raises(OSError, match="No space"):
        labels.add("2.jpg", "ring")
    assert (tmp_path / "labels.csv").read_bytes() == before and len(labels.rows) == 1
    assert sorted(os.listdir(tmp_path)) in (["labels.csv"], [".labels.csv.lock", "labels.csv"])


def test_a_file_that_another_program_holds_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "WAIT", 0.1)
    labels = Labels(tmp_path / "labels.csv", "ada")
    with FileLock(tmp_path / ".labels.csv.lock"), pytest.raises(OSError, match="is locked by another program"):
        labels.add("1.jpg", "ring")


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,label\n1.jpg,ring\n", "has no column 'path'"),
        ("path,label,label\n1.jpg,ring,ring\n", "has a column twice"),
        ("path,label\n1.jpg\n", "line 2"),
        ("", "is empty"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        Labels(tmp_path / "labels.csv", "ada")
    assert (tmp_path / "labels.csv").read_text() == text
