"""The demo as a visitor uses it: real clicks in Debian's Chromium, and no request that leaves the machine.

Left out unless GALAXY_VISION_BROWSER names a Chromium (see CONTRIBUTING.md); then it runs, and fails where something is missing.
"""

import os
from urllib.parse import urlparse

import pytest
from test_space import EXAMPLES, start_server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not os.environ.get("GALAXY_VISION_BROWSER"), reason="GALAXY_VISION_BROWSER names no Chromium"),
]
SLOW = 60_000  # milliseconds; CI shares its cores


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from space_models import save_tiny_models

    folder = tmp_path_factory.mktemp("browser")
    process, address = start_server(folder, save_tiny_models(folder))
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["GALAXY_VISION_BROWSER"], args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, address):
    """The open page with its first galaxy; afterwards every request must have gone to the server itself."""
    page, asked, errors = browser.new_page(viewport={"width": 1280, "height": 900}), [], []
    page.set_default_timeout(SLOW)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".gv-class")
    yield page
    page.close()
    outside = [url for url in asked if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1"]
    assert asked and not outside and not errors, (outside, errors)


def shown_map(page) -> str:
    return page.get_attribute(".gv-map", "src")


def test_an_upload_is_described_and_a_bad_one_is_a_sentence(page, tmp_path):
    with page.expect_file_chooser() as chooser:
        page.click("#gv-upload")
    chooser.value.set_files(str(EXAMPLES[5]))
    page.wait_for_selector(f'.gv-viewer img[alt="The image {EXAMPLES[5].name}"]')
    assert page.locator(".gv-question").count() == 11
    (tmp_path / "page.jpg").write_text("<html></html>")
    with page.expect_file_chooser() as chooser:
        page.click("#gv-upload")
    chooser.value.set_files(str(tmp_path / "page.jpg"))
    assert "a web page" in page.wait_for_selector('.gv-notice[role="alert"]').inner_text()


def test_an_example_is_one_click_away(page):
    page.locator("#gv-examples button").nth(4).click()
    page.wait_for_selector(f'.gv-viewer img[alt="The image {EXAMPLES[4].name}"]')


def test_a_word_shows_its_attention_and_gives_the_heat_map_back(page):
    before, word = shown_map(page), page.locator(".gv-word").nth(1)
    word.click()
    assert word.get_attribute("aria-pressed") == "true" and shown_map(page) == word.get_attribute("data-map") != before
    assert word.inner_text() in page.locator("#gv-viewer figcaption").nth(1).inner_text()
    word.press("Enter")  # the keyboard does the same
    assert word.get_attribute("aria-pressed") == "false" and shown_map(page) == before


def test_the_method_picker_redraws_the_heat_map(page):
    before = shown_map(page)
    page.click("#gv-method input")
    page.get_by_role("option", name="eigencam").click()
    page.wait_for_function("before => document.querySelector('.gv-map').src !== before", arg=before)
    assert "eigencam" in page.locator("#gv-viewer figcaption").nth(1).inner_text()


def test_everything_can_be_downloaded(page):
    button = page.locator("#gv-json:not([disabled])")
    button.wait_for()
    page.wait_for_selector("#gv-json:not([disabled])")
    with page.expect_download() as download:
        button.click()
    assert b'"votes"' in open(download.value.path(), "rb").read()


def test_a_batch_with_a_corrupt_file_is_a_table_that_sorts(page, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(EXAMPLES[0].read_bytes()[:800])
    page.get_by_role("tab", name="Many galaxies").click()
    page.locator("#gv-files input[type=file]").set_input_files(
        [str(EXAMPLES[1]), str(tmp_path / "broken.jpg"), str(EXAMPLES[0])]
    )
    page.get_by_text("broken").first.wait_for()
    page.click("#gv-start")
    page.wait_for_selector(".gv-table")
    assert "2 of 3 images described" in page.inner_text("#gv-table")
    assert "download or save it again" in page.locator(".gv-failed").inner_text()
    page.get_by_role("button", name="file", exact=True).click()
    files = page.locator(".gv-table tbody tr td:nth-child(2)").all_inner_texts()
    assert files == sorted(files)
    with page.expect_download() as download:
        page.locator("#gv-csv:not([disabled])").click()
    assert len(open(download.value.path()).read().splitlines()) == 4


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_telephone_shows_the_page_without_scrolling_sideways(page, address, theme):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/?__theme={theme}")
    page.wait_for_selector(".gv-class")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
