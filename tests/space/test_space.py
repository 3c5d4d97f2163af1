"""The demo's API through gradio_client on a real server, as everybody uses it."""

import json
import os
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import REPOSITORY
from PIL import Image

if not os.environ.get("GALAXY_VISION_BROWSER"):  # with it, as in CI, a missing gradio is a failure
    pytest.importorskip("gradio", reason="the demo needs the extra: pip install -e '.[space]'")
import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from space_server import EXAMPLES, save_tiny_models, start_server

RESULT = 3  # of the outputs of the page


@pytest.fixture(scope="module")
def client(demo_server):
    return Client(demo_server[0], verbose=False)


def test_describe_says_everything_of_an_image(client):
    answer = client.predict(handle_file(EXAMPLES[0]), api_name="/describe")
    assert answer["image"] == EXAMPLES[0].name and answer["doubts"] == []
    assert answer["probability"] == max(answer["probabilities"].values())
    assert len(answer["votes"]) == 37 and answer["caption"]
    assert client.predict(handle_file(EXAMPLES[0]), campaign="gz2", api_name="/describe") == answer
    with pytest.raises(AppError, match="campaign='gz_moon' is not one of gz2"):
        client.predict(handle_file(EXAMPLES[0]), campaign="gz_moon", api_name="/describe")


def test_explain_returns_the_image_under_its_heat_map(client):
    path = client.predict(handle_file(EXAMPLES[0]), target="a06_bar", method="hirescam", api_name="/explain")
    assert Image.open(path).size == Image.open(EXAMPLES[0]).size
    with pytest.raises(AppError, match="neither a class nor an answer"):
        client.predict(handle_file(EXAMPLES[0]), target="teapot", api_name="/explain")


def test_a_batch_has_a_row_for_every_file_and_says_which_is_corrupt(client, tmp_path):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for path in EXAMPLES[:3]:
            archive.write(path, path.name)
        archive.writestr("broken.jpg", EXAMPLES[0].read_bytes()[:900])
    rows, csv = client.predict([handle_file(tmp_path / "some.zip"), handle_file(EXAMPLES[3])], api_name="/batch")
    assert [row["file"] for row in rows] == [*(path.name for path in EXAMPLES[:3]), "broken.jpg", EXAMPLES[3].name]
    assert [row["status"].startswith("ok") for row in rows] == [True, True, True, False, True]
    assert "download or save it again" in rows[3]["status"]
    with open(csv) as file:
        assert len(file.read().splitlines()) == 6


def test_a_picture_that_is_no_galaxy_is_doubted(client, tmp_path):
    Image.new("RGB", (99, 99), (250, 250, 250)).save(tmp_path / "blank.png")
    assert client.predict(handle_file(tmp_path / "blank.png"), api_name="/describe")["doubts"]


def test_a_wide_field_is_framed_and_another_frame_can_be_asked_for(client, tmp_path):
    small = Image.open(EXAMPLES[0]).convert("RGB").resize((90, 90))
    wide = Image.new("RGB", (300, 240), (6, 6, 6))
    wide.paste(small, (150, 60))
    wide.save(tmp_path / "wide.png")
    answer = client.predict(handle_file(tmp_path / "wide.png"), api_name="/describe")
    frame = answer["frame"]
    assert abs(frame["x"] - 194.5) < 4 and abs(frame["y"] - 104.5) < 4 and answer["size"] == [300, 240]
    assert "framed" in answer["reading"]
    given = client.predict(handle_file(tmp_path / "wide.png"), frame="194.5,104.5,10.6", api_name="/describe")
    assert given["frame"]["petro_r90"] == 10.6 and given["frame"]["box"] == [150, 60, 240, 150]
    with pytest.raises(AppError, match="frame='nowhere' is not auto"):
        client.predict(handle_file(tmp_path / "wide.png"), frame="nowhere", api_name="/describe")


def test_answers_of_many_users_at_once_belong_to_their_images(demo_server):
    def ask(path):
        return Client(demo_server[0], verbose=False).predict(handle_file(path), api_name="/describe")

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, EXAMPLES[:6] * 2))
    assert [answer["image"] for answer in together] == [path.name for path in EXAMPLES[:6]] * 2
    assert together[:6] == together[6:] and len({answer["probability"] for answer in together}) == 6


def test_without_models_the_page_says_how_to_get_one_and_works_when_they_come_and_old_files_go(tmp_path):
    models = {f"GALAXY_VISION_{kind.upper()}": str(tmp_path / kind) for kind in ("classifier", "captioner")}
    process, address = start_server(tmp_path, models, "--keep_seconds", "10")
    try:
        assert httpx.get(address).status_code == 200
        client = Client(address, verbose=False)
        with pytest.raises(
            AppError, match=r"no trained classifier yet: run train_classifier.py with --output_dir classifier"
        ):
            client.predict(handle_file(EXAMPLES[0]), api_name="/describe")
        assert save_tiny_models(tmp_path) == models
        assert client.predict(handle_file(EXAMPLES[1]), api_name="/describe")["caption"]
        client.predict(handle_file(EXAMPLES[2]), api_name="/explain")
        client.predict([handle_file(EXAMPLES[3])], api_name="/batch")
        kept = {path.name for path in EXAMPLES}  # the page's own pictures, in a folder for each
        end = time.monotonic() + 300
        while left := [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.name not in kept]:
            assert time.monotonic() < end, f"still there: {left}"
            time.sleep(0.5)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def held_server(tmp_path_factory):
    """Address and folder of a demo whose slow work waits while there is a file ``hold-...`` in the folder."""
    folder = tmp_path_factory.mktemp("held")
    process, address = start_server(folder, save_tiny_models(folder), app=REPOSITORY / "tests" / "held_app.py")
    yield address, folder
    process.terminate()
    process.wait(120)


@pytest.mark.parametrize("work", ["eigencam", "figure", "hirescam"])
def test_what_comes_late_never_belongs_to_another_galaxy_than_the_page_shows(held_server, work):
    address, folder = held_server
    server = httpx.Client(base_url=address, timeout=120)
    config = server.get("/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}

    def start(name, event, data, **more) -> str:
        """As the page does it: the event's id."""
        numbers = [handler["id"] for handler in config["dependencies"] if [ids[name], event] in handler["targets"]]
        body = {"data": data, "fn_index": numbers[0], "session_hash": work, **more}
        return server.post("/gradio_api/queue/join", json=body).raise_for_status().json()["event_id"]

    def pick(index: int) -> str:
        return start("gv-bridge", "example", [None], event_data={"index": index})

    def answers():
        """Pairs of an event's id and its outputs, as they come."""
        with server.stream("GET", f"/gradio_api/queue/data?session_hash={work}") as stream:
            for message in (json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")):
                if message["msg"] == "process_completed":
                    assert message["success"], message
                    yield message["event_id"], message["output"]["data"]

    for index in (2, 1):
        pick(index)
        assert len(list(answers())) == 1
    (folder / f"hold-{work}").touch()
    (folder / "held").unlink(missing_ok=True)
    if work == "eigencam":
        late = start("gv-bridge", "redraw", [None], event_data={"evidence": "spiral", "method": work})
    elif work == "figure":
        asked = {"evidence": "spiral", "method": "gradcam", "opacity": 0.6}
        late = start("gv-bridge", "figure", [None], event_data=asked)
    else:  # another example, not looked at before
        late = pick(3)
    while not (folder / "held").exists():
        time.sleep(0.02)
    second, came = pick(2), {}
    for name, data in answers():
        came[name] = data
        if name == second:
            (folder / f"hold-{work}").unlink()
    assert list(came) == [second, late] and f"The image {EXAMPLES[2].name}" in came[second][RESULT]
    if work == "figure":  # it was asked for when that galaxy was shown, and bears its name
        assert came[late][0]["orig_name"] == f"{EXAMPLES[1].stem}.png"
    else:  # nothing is changed
        assert all(data is None or data["__type__"] == "update" and "value" not in data for data in came[late])
    start("gv-bridge", "json", [None], event_data={"evidence": "spiral", "method": "gradcam"})
    ((_, (file,)),) = answers()
    assert file["orig_name"] == f"{EXAMPLES[2].stem}.json"
    assert json.loads(Path(file["path"]).read_text())["image"] == EXAMPLES[2].name


def test_styles_and_a_drop_zone_are_in_the_html_and_in_no_other_answer(demo_server):
    page = httpx.get(demo_server[0])
    assert page.text.count('id="gv-first"') == page.text.count("<gradio-app") == 1 and "--accent:" in page.text
    assert int(page.headers["content-length"]) == len(page.content)
    for other in ("/config", "/theme.css"):
        assert "gv-first" not in httpx.get(f"{demo_server[0]}{other}").text


def test_requirements_of_the_space_are_those_of_the_package():
    package = set(re.findall(r"^    ([a-z-]+>=[\d.]+)$", (REPOSITORY / "setup.cfg").read_text(), re.M))
    lines = (REPOSITORY / "space" / "requirements.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} <= package


def test_examples_are_real_galaxies_of_every_class_and_each_is_attributed():
    shown = {path.stem.split("-", 1)[1] for path in EXAMPLES}
    classes = {"elliptical", "lenticular", "spiral", "barred-spiral", "edge-on-disc", "irregular", "merger"}
    assert shown == classes | {"doubtful", "wide-field"}
    assert len(EXAMPLES) == 12 and all(len(path.read_bytes()) < 20_000 for path in EXAMPLES)
    attribution = (REPOSITORY / "docs" / "images" / "ATTRIBUTION.md").read_text()
    for path in EXAMPLES:
        row = re.search(rf"^\| `space/examples/{path.name}` \| (\d+) \|", attribution, re.M)
        assert row, f"{path.name} has no row in ATTRIBUTION.md"
    assert "CC BY 4.0" in attribution or "Creative Commons Attribution 4.0" in attribution
