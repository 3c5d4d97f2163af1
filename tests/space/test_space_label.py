"""The labelling page as somebody uses it: keys and clicks in a real browser, a kill in the middle, two people at once.

Left out unless GALAXY_VISION_BROWSER names a Chromium, as tests of the demo are.
"""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from urllib.parse import urlparse

import pytest
from conftest import REPOSITORY

if not os.environ.get("GALAXY_VISION_BROWSER"):
    pytest.importorskip("gradio", reason="the page needs the extra: pip install -e '.[label]'")
from space_server import EXAMPLES, save_tiny_models

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not os.environ.get("GALAXY_VISION_BROWSER"), reason="GALAXY_VISION_BROWSER names no Chromium"),
]
SLOW = 60_000  # milliseconds; CI shares its cores


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return save_tiny_models(tmp_path_factory.mktemp("models"))["GALAXY_VISION_CLASSIFIER"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ["GALAXY_VISION_BROWSER"]
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def start(tmp_path, classifier):
    """Starts ``galaxy-vision label`` in ``tmp_path``, with images in ``images``; gives its process and address."""
    started = []

    def start(*argv: str, images: int = len(EXAMPLES)):
        (tmp_path / "images").mkdir(exist_ok=True)
        for example in EXAMPLES[:images]:
            shutil.copy(example, tmp_path / "images")
        command = [sys.executable, "-m", "galaxy_vision.cli", "label", "--catalogue", "images", "--model", classifier]
        command += ["--port", "0", "--no_open_browser", "--rotations", "1", *argv]
        log = tmp_path / f"log{len(started)}"
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        with log.open("w") as file:
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=tmp_path)
        started.append(process)
        while process.poll() is None:
            if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
                return process, found[0]
            time.sleep(0.1)
        raise RuntimeError(log.read_text())

    yield start
    for process in started:
        process.kill()
        process.wait(60)


@pytest.fixture
def open_page(browser):
    """Opens the page; at the end every request must have gone to the server itself, and no script have failed."""
    pages, asked, errors = [], [], []

    def open_page(address: str):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(SLOW)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    outside = [
        url for url in asked if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1"
    ]
    assert not outside and not errors, (outside, errors)


def shown(page, other_than: str | None = None) -> str:
    """The number of the galaxy that is shown, once it is another one."""
    page.wait_for_function(
        "before => { const now = document.querySelector('#gvl-image')?.dataset.galaxy; "
        "return document.querySelector('#gvl')?.dataset.state === 'asking' && now !== undefined && now !== before }",
        arg=other_than,
    )
    return page.get_attribute("#gvl-image", "data-galaxy")


def press(page, key: str) -> str:
    before = shown(page)
    page.keyboard.press(key)
    return shown(page, before)


def labelled(page, count: int) -> None:
    page.wait_for_function(f"document.querySelector('#gvl-progress')?.textContent.startsWith('{count} of')")


def rows(folder) -> list[dict]:
    with open(folder / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_keys_label_skip_and_take_back_and_the_model_learns_meanwhile(start, open_page, tmp_path):
    _, address = start("--labels", "spiral,other", "--refit", "3")
    page = open_page(address)
    first = shown(page)
    assert page.inner_text("#gvl-question") == "What is it?"
    seen = [first]
    for key in "1212":
        seen.append(press(page, key))
    assert len(set(seen)) == 5  # every galaxy once
    labelled(page, 4)
    assert [row["label"] for row in rows(tmp_path)] == ["spiral", "other", "spiral", "other"]
    assert all((tmp_path / row["path"]).is_file() for row in rows(tmp_path))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"]) for row in rows(tmp_path))
    assert press(page, "z") == seen[3]
    labelled(page, 3)
    assert len(rows(tmp_path)) == 3
    press(page, "0")  # skipped: another one, and nothing is written
    page.wait_for_function("!document.querySelector('#gvl-agreed-note').textContent.startsWith('the model has not')")
    press(page, "1")
    labelled(page, 4)
    last = rows(tmp_path)[-1]
    assert last["score_of"] in ("spiral", "other", "") and page.locator("#gvl-last figure").count() == 4


def test_the_guess_is_not_on_the_page_before_the_answer(start, open_page):
    _, address = start("--labels", "spiral,other", "--refit", "1")
    page = open_page(address)
    for key in "12":
        press(page, key)
    page.wait_for_function("!document.querySelector('#gvl-agreed-note').textContent.startsWith('the model has not')")
    state = page.evaluate(f"fetch('label/state?showing={shown(page)}').then(answer => answer.json())")
    assert state["learned"] and all(isinstance(number, int) for number in state["next"])
    assert "guess" not in str({name: value for name, value in state.items() if name != "last"})
    image = page.evaluate(f"fetch('label/galaxy/{shown(page)}').then(answer => answer.json())")
    assert set(image) == {"image", "width", "height", "circle"}


def test_a_kill_loses_nothing_and_the_page_says_so(start, open_page, tmp_path):
    process, address = start("--labels", "spiral,other")
    page = open_page(address)
    for key in "121":
        press(page, key)
    labelled(page, 3)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    kept = shown(page)
    page.keyboard.press("2")
    assert "What was labelled is saved" in page.wait_for_selector("#gvl-error:not([hidden])").inner_text()
    assert page.get_attribute("#gvl-image", "data-galaxy") == kept  # it comes back, since it has no label
    assert [row["label"] for row in rows(tmp_path)] == ["spiral", "other", "spiral"]
    _, address = start("--labels", "spiral,other")
    page.goto(address)
    labelled(page, 3)
    assert page.locator("#gvl-last figure").count() == 3


def test_two_people_label_into_one_file(start, open_page, tmp_path):
    pages = [open_page(start("--labels", "spiral,other", "--labeller", name)[1]) for name in ("ada", "ben")]
    for key in "1212":
        for page in pages:
            press(page, key)
    for page in pages:
        page.wait_for_function("document.querySelectorAll('#gvl-last figure').length === 4")
    assert sorted(row["labeller"] for row in rows(tmp_path)) == ["ada"] * 4 + ["ben"] * 4


def test_labels_are_named_on_the_page_and_a_bad_name_is_a_sentence(start, open_page, tmp_path):
    _, address = start()
    page = open_page(address)
    shown(page)
    assert page.locator("#gvl-keys button").count() == 0
    page.keyboard.press("1")  # nothing happens
    for name in ("ring", "no ring", "Ring"):
        page.fill("#gvl-name", name)
        page.keyboard.press("Enter")
    assert "already" in page.wait_for_selector("#gvl-error:not([hidden])").inner_text()
    assert page.locator("#gvl-keys button").count() == 2
    before = shown(page)
    page.locator("#gvl-keys button").nth(1).click()
    shown(page, before)
    labelled(page, 1)
    assert rows(tmp_path)[0]["label"] == "no ring"


def test_images_that_come_later_are_shown_and_the_end_is_said(start, open_page, tmp_path):
    _, address = start("--labels", "a,b", images=0)
    page = open_page(address)
    assert "No images yet" in page.wait_for_selector("#gvl[data-state=empty] #gvl-message").inner_text()
    (tmp_path / "images" / "broken.jpg").write_bytes(EXAMPLES[0].read_bytes()[:500])
    for example in EXAMPLES[:2]:
        shutil.copy(example, tmp_path / "images")
    press(page, "1")
    page.keyboard.press("2")
    words = page.wait_for_selector("#gvl[data-state=finished] #gvl-message").inner_text()
    assert "All labelled" in words and "2 of 3" in words
    page.wait_for_function("document.querySelector('#gvl-notes').textContent.endsWith('cannot be read: 1.')")
    page.keyboard.press("z")  # also then
    shown(page)


def test_the_page_does_not_scroll_sideways_and_everything_on_it_has_a_name(start, open_page):
    _, address = start("--labels", "spiral,a label with a rather long name,other", images=3)
    page = open_page(address)
    press(page, "1")
    for width in (1280, 1024, 820, 768, 641, 390, 360, 320):
        page.set_viewport_size({"width": width, "height": 844})
        for dark in (False, True):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.locator("#gvl button:visible").all():
        assert button.inner_text().strip() or button.get_attribute("aria-label")
    assert page.locator("#gvl img:not([alt])").count() == 0
