"""The demo's API through gradio_client on a real server, and what must not be possible."""

import os
import re
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import REPOSITORY
from PIL import Image

if not os.environ.get("GALAXY_VISION_BROWSER"):  # with it, as in CI, a missing gradio is a failure
    pytest.importorskip("gradio", reason="the demo needs the extra: pip install -e '.[space]'")
import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from space_models import save_tiny_models

EXAMPLES = sorted((REPOSITORY / "space" / "examples").glob("*.jpg"))


def start_server(folder, models: dict[str, str], *argv: str):
    """The real app on a free port: (process, address)."""
    environment = (
        os.environ | models | {"GRADIO_TEMP_DIR": str(folder / "cache"), "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    )
    environment.pop("GRADIO_SERVER_PORT", None)
    log = (folder / "log").open("w")
    command = [sys.executable, str(REPOSITORY / "space" / "app.py"), "--host", "127.0.0.1", *argv]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    for _ in range(3000):
        found = re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())
        if found or process.poll() is not None:
            break
        time.sleep(0.1)
    assert found, (folder / "log").read_text()
    return process, found[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    process, address = start_server(folder, save_tiny_models(folder), "--keep_seconds", "20")
    yield address, folder
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def client(server):
    return Client(server[0], verbose=False)


def test_describe_says_everything_of_an_image(client):
    said = client.predict(handle_file(EXAMPLES[0]), api_name="/describe")
    assert said["image"] == EXAMPLES[0].name and said["doubts"] == []
    assert said["probability"] == max(said["probabilities"].values())
    assert len(said["votes"]) == 37 and said["caption"]


def test_explain_returns_the_image_under_its_heat_map(client):
    path = client.predict(handle_file(EXAMPLES[0]), target="a06_bar", method="hirescam", api_name="/explain")
    assert Image.open(path).size == Image.open(EXAMPLES[0]).size
    with pytest.raises(AppError, match="neither a class nor an answer"):
        client.predict(handle_file(EXAMPLES[0]), target="teapot", api_name="/explain")


def test_a_batch_has_a_row_for_every_file_and_says_which_is_corrupt(client, tmp_path):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for path in EXAMPLES[:3]:
            archive.write(path, path.name)
        archive.writestr("../../broken.jpg", EXAMPLES[0].read_bytes()[:900])
    rows, csv = client.predict([handle_file(tmp_path / "some.zip"), handle_file(EXAMPLES[3])], api_name="/batch")
    assert [row["file"] for row in rows] == [*(path.name for path in EXAMPLES[:3]), "broken.jpg", EXAMPLES[3].name]
    assert [row["status"].startswith("ok") for row in rows] == [True, True, True, False, True]
    assert "download or save it again" in rows[3]["status"]
    with open(csv) as file:
        assert len(file.read().splitlines()) == 6


@pytest.mark.parametrize("data, sentence", [(b"", "empty"), (b"<html></html>", "a web page"), (b"<svg/>", "an SVG drawing")])
def test_a_bad_file_is_one_sentence_and_the_server_goes_on(client, tmp_path, data, sentence):
    (tmp_path / "galaxy.jpg").write_bytes(data)
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(tmp_path / "galaxy.jpg"), api_name="/describe")
    assert client.predict(handle_file(EXAMPLES[1]), api_name="/describe")["image"] == EXAMPLES[1].name


def test_a_picture_that_is_no_galaxy_is_doubted(client, tmp_path):
    Image.new("RGB", (99, 99), (250, 250, 250)).save(tmp_path / "blank.png")
    assert client.predict(handle_file(tmp_path / "blank.png"), api_name="/describe")["doubts"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1:9/x.jpg"])
def test_no_file_of_the_server_and_no_address_can_be_named(server, path):
    body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "", "", "auto"]}
    event = httpx.post(f"{server[0]}/gradio_api/call/describe", json=body).json().get("event_id")
    answer = httpx.get(f"{server[0]}/gradio_api/call/describe/{event}", timeout=30).text
    assert "event: error" in answer and "probabilities" not in answer and "root:" not in answer
    assert httpx.get(f"{server[0]}/gradio_api/file={path}").status_code in (403, 404)


def test_answers_of_many_users_at_once_belong_to_their_images(server):
    def ask(path):
        return Client(server[0], verbose=False).predict(handle_file(path), api_name="/describe")

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, EXAMPLES[:6] * 2))
    assert [said["image"] for said in together] == [path.name for path in EXAMPLES[:6]] * 2
    assert together[:6] == together[6:] and len({said["probability"] for said in together}) == 6


def test_uploads_are_deleted(server, client, tmp_path):
    Image.new("RGB", (64, 64), (1, 2, 3)).save(tmp_path / "mine.png")
    client.predict(handle_file(tmp_path / "mine.png"), api_name="/describe")
    cache = server[1] / "cache"
    assert list(cache.rglob("mine.png"))
    for _ in range(60):
        time.sleep(1)
        if not list(cache.rglob("mine.png")):
            return
    raise AssertionError("an upload is still there after a minute, and should go after 20 s")


def test_without_models_the_page_opens_and_says_how_to_get_one(tmp_path):
    process, address = start_server(tmp_path, {"GALAXY_VISION_CLASSIFIER": str(tmp_path / "none")})
    try:
        assert httpx.get(address).status_code == 200
        with pytest.raises(AppError, match=r"no trained classifier yet: run train_classifier.py with --output_dir"):
            Client(address, verbose=False).predict(handle_file(EXAMPLES[0]), api_name="/describe")
    finally:
        process.terminate()
        process.wait(20)


def test_requirements_of_the_space_are_those_of_the_package():
    package = set(re.findall(r"^    ([a-z-]+>=[\d.]+)$", (REPOSITORY / "setup.cfg").read_text(), re.M))
    lines = (REPOSITORY / "space" / "requirements.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} <= package


def test_examples_are_simulated_galaxies_of_every_class():
    classes = {path.stem.split("-", 1)[1] for path in EXAMPLES}
    assert classes == {"elliptical", "lenticular", "spiral", "barred-spiral", "edge-on-disc", "irregular", "merger"}
    assert len(EXAMPLES) == 12 and all(len(path.read_bytes()) < 20_000 for path in EXAMPLES)
