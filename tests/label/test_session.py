"""A session without a browser: what it shows, what it writes, what it learns, and what it survives."""

import io
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import jpeg
from PIL import Image

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.images.framing import AS_IS
from galaxy_vision.inference.embeddings import Embedder
from galaxy_vision.label.galaxies import Galaxies, is_empty_folder, shown
from galaxy_vision.label.run import Arguments, main
from galaxy_vision.label.session import MOST_LABELS, PLANNED, Session
from galaxy_vision.label.store import Labels
from galaxy_vision.predict.rows import Columns

NUMBER = 40


def picture(number: int, side: int = 40) -> bytes:
    """A bright disc, blue in even pictures and red in odd ones, which untrained features tell apart."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = np.exp(-(x**2 + y**2) / random.uniform(30, 60))[..., None] * (90, 90, 250) if number % 2 == 0 else 0
    light = light + np.exp(-(x**2 + y**2) / random.uniform(30, 60))[..., None] * (250, 90, 60) * (number % 2)
    return jpeg(Image.fromarray((light + random.uniform(0, 8, (side, side, 3))).clip(0, 255).astype(np.uint8)))


@pytest.fixture(scope="module")
def embedder():
    torch.manual_seed(0)
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32)
    processor = GalaxyImageProcessor(size={"height": 32, "width": 32}, crop_fraction=1.0)
    return Embedder(GalaxyResNetForImageClassification(config).eval(), processor, 1, AS_IS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(NUMBER):
        (tmp_path / "images" / f"{number:02}.jpg").write_bytes(picture(number))
    return tmp_path


def open_session(folder, embedder, catalogue: str = "images", labeller: str = "ada", **settings) -> Session:
    out, path = folder / "labels.csv", str(folder / catalogue)
    settings = {"names": ["blue", "red"], "frame": AS_IS} | settings
    return Session(
        Labels(out, labeller),
        embedder,
        lambda: None if is_empty_folder(path) else Galaxies(path, out, Columns()),
        **settings,
    )


def colour(session: Session, galaxy: int) -> str:
    return ["blue", "red"][int(session.galaxies[galaxy].path[-6:-4]) % 2]


def label_all(session: Session, count: int) -> list[int]:
    """Answers truly ``count`` times, and lets the session learn in between."""
    seen = []
    for _ in range(count):
        galaxy = session.state()["next"][0]
        session.answer(galaxy, colour(session, galaxy))
        seen.append(galaxy)
        session.step()
    return seen


def test_every_galaxy_comes_once_and_the_model_soon_says_the_same(folder, embedder):
    session = open_session(folder, embedder)
    while session.learner.embed([], 16):
        pass
    seen = label_all(session, NUMBER)
    state = session.state()
    assert sorted(seen) == list(range(NUMBER)) and state["next"] == [] and state["labelled"] == NUMBER
    assert state["judged"] >= NUMBER - 10 and state["agreed"] >= 0.8 * state["judged"]
    written = Labels(folder / "labels.csv", "ben").rows
    assert {row["path"] for row in written} == {f"images/{number:02}.jpg" for number in range(NUMBER)}
    assert all(0.5 <= float(row["score"]) <= 1 for row in written[-PLANNED:] if row["score"])
    assert any(row["score"] for row in written)


def test_find_shows_what_is_like_an_example_first(folder, embedder):
    session = open_session(folder, embedder, find="red", examples=[picture(101)])
    while session.learner.embed([], 16):
        pass
    seen = label_all(session, 10)
    assert sum(colour(session, galaxy) == "red" for galaxy in seen) >= 9  # of 40, half are
    assert session.state()["find"] == "red" and {row["score_of"] for row in session.labels.rows} <= {"", "red"}


def test_there_is_something_to_show_before_the_model_has_looked_at_anything(folder, embedder):
    session = open_session(folder, embedder)
    state = session.state()
    assert len(state["next"]) == 4 and not state["learned"] and state["known"] == 0
    assert session.state(showing=state["next"][0])["next"][0] == state["next"][1]


def test_a_skipped_galaxy_comes_again_at_the_end_and_the_last_label_is_taken_back(folder, embedder):
    session = open_session(folder, embedder)
    first = session.state()["next"][0]
    session.skip(first)
    assert first not in session.state()["next"]
    seen = label_all(session, NUMBER - 1)
    assert first not in seen and session.state()["next"] == [first]
    assert session.undo() == seen[-1] and set(session.state()["next"]) == {first, seen[-1]}
    assert open_session(folder, embedder).undo() == seen[-2]  # also after a new start
    assert open_session(folder, embedder, labeller="ben").undo() is None  # but not what another has labelled


def test_what_another_labels_is_learned_from_and_shown_again_only_for_a_second_opinion(folder, embedder):
    ada, ben = open_session(folder, embedder), open_session(folder, embedder, labeller="ben")
    both = open_session(folder, embedder, labeller="cora", second_opinion=True)
    done = label_all(ada, 8)
    for session in (ben, both):
        while not session.learner.is_known.all():
            session.step()
        session.step()
    assert ben.state()["labelled"] == 8 and ben.state()["learned"]
    assert not set(label_all(ben, NUMBER - 8)) & set(done)
    assert set(label_all(both, NUMBER)) == set(range(NUMBER))
    both.answer(done[0], "blue")  # a galaxy that is labelled twice keeps both rows
    assert sum(row["path"] == both.galaxies[done[0]].path for row in both.labels.rows) == 3


def test_images_of_a_zip_are_copied_beside_the_labels_when_they_are_labelled(folder, embedder):
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"some/{number:02}.jpg", picture(number))
        archive.writestr("others/00.jpg", picture(9))
    session = open_session(folder, embedder, "images.zip")
    for galaxy in range(4):
        session.answer(galaxy, "blue")
    paths = [row["path"] for row in session.labels.rows]
    assert len(set(paths)) == 4 and all(path.startswith("labels_images/") for path in paths)
    assert {(folder / path).read_bytes() for path in paths} == {picture(number) for number in (0, 1, 2, 9)}
    assert open_session(folder, embedder, "images.zip").state()["labelled"] == 4


def test_a_table_of_paths_is_a_catalogue_too(folder, embedder):
    (folder / "table.csv").write_text("id,path\n7,images/03.jpg\n8,images/04.jpg\n")
    session = open_session(folder, embedder, "table.csv")
    session.answer(1, "blue")
    assert [galaxy.id for galaxy in session.galaxies] == ["7", "8"]
    assert [row["path"] for row in session.labels.rows] == ["images/04.jpg"]


def test_damaged_and_missing_images_are_left_out_and_counted(folder, embedder):
    (folder / "images" / "00.jpg").write_bytes(b"not an image")
    (folder / "images" / "01.jpg").unlink()
    (folder / "images" / "01.jpg").symlink_to(folder / "nowhere.jpg")
    session = open_session(folder, embedder)
    while session.learner.embed([], 16):
        pass
    assert session.state()["broken"] == 2
    assert not {0, 1} & set(label_all(session, NUMBER - 2)) and session.state()["next"] == []


def test_an_empty_folder_is_waited_for(folder, embedder):
    (folder / "later").mkdir()
    session = open_session(folder, embedder, "later")
    assert session.state()["total"] == 0 and session.state()["next"] == [] and not session.step()
    (folder / "later" / "00.jpg").write_bytes(picture(0))
    assert session.step() and session.state()["total"] == 1


def test_the_page_gets_the_frame_and_the_circle_of_the_galaxy(folder, embedder):
    session = open_session(folder, embedder)
    galaxy = shown(session.galaxies[0], AS_IS)
    assert galaxy.image.startswith("data:image/jpeg;base64,") and galaxy[1:] == (40, 40, None)
    disc = io.BytesIO()
    Image.open(io.BytesIO(picture(0, 64))).resize((400, 400)).save(disc, "JPEG")
    circle = shown(session.galaxies[0]._replace(load=disc.getvalue), session.frame._replace(kind="auto")).circle
    assert circle is None or 0 < circle[2] < 400


@pytest.mark.parametrize(
    "name, message",
    [("", "0 characters"), ("x" * 61, "61 characters"), ("Blue", "a label 'blue' already"), ("  red ", "already")],
)
def test_a_name_that_cannot_be_a_label_is_refused(folder, embedder, name, message):
    session = open_session(folder, embedder)
    with pytest.raises(ValueError, match=message):
        session.add_name(name)
    assert session.names == ["blue", "red"]


def test_there_are_keys_for_nine_labels_and_answers_are_labels(folder, embedder):
    session = open_session(folder, embedder, names=[f"kind {number}" for number in range(MOST_LABELS)])
    with pytest.raises(ValueError, match="one label too many"):
        session.add_name("tenth")
    with pytest.raises(ValueError, match="'tenth' is not one of the labels"):
        session.answer(0, "tenth")
    with pytest.raises(ValueError, match="no galaxy 99"):
        session.answer(99, "kind 0")
    assert not (folder / "labels.csv").exists()


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "catalogue is missing"),
        (["--catalogue", "nowhere/x/y"], "does not exist"),
        (["--catalogue", "images", "--like", "a.jpg"], "give --find too"),
        (["--catalogue", "images", "--refit", "0"], "refit=0 is below 1"),
        (["--catalogue", "images", "--rotations", "3"], "rotations=3 is not one of"),
        (["--catalogue", "images", "--labels", "a,A"], "already"),
        (["--catalogue", "images", "--labels", "a,b", "--find", "c"], "find='c' is not one of the labels"),
        (["--catalogue", "images", "--find", "c", "--like", "none.jpg"], "none.jpg"),
        (["--catalogue", "images", "--out", "images/00.jpg"], "not a CSV table"),
        (["--catalogue", "images", "--model", "no/such/model"], "model='no/such/model'"),
    ],
)
def test_wrong_arguments_are_one_line(argv, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "galaxy_vision.label.page", SimpleNamespace(serve=None))
    try:
        status = main([*argv, "--no_open_browser"])
    except SystemExit as stopped:
        status = stopped.code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2 and "error: " in error and message in error


def test_without_gradio_one_line_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["--catalogue", str(folder / "images")]) == 2
    assert "pip install 'galaxy_vision[label]'" in capsys.readouterr().err


def test_find_alone_names_its_opposite():
    assert Arguments(catalogue="x", find="ring").names() == ["ring", "not ring"]
    assert Arguments(catalogue="x", labels=" ring, no ring ,").names() == ["ring", "no ring"]
