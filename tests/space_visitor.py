"""A visitor's browser: the demo in Debian's Chromium, from which no request may leave the machine."""

import itertools
import os
from urllib.parse import urlparse

import pytest

SLOW = 120_000  # milliseconds; CI shares its cores
INDICES = itertools.cycle(range(1, 10))  # of examples that nothing is doubted of


def wait_for_image(page, name: str) -> None:
    """Wait until the page shows this image."""
    page.wait_for_selector(f'.gv-result .gv-pic[data-name="The image {name}"]')


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ["GALAXY_VISION_BROWSER"], args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def opened(browser, demo_server):
    """The page with its first example; at the end every request must have gone to the server itself."""
    from space_server import EXAMPLES

    page, asked, errors = browser.new_page(viewport={"width": 1280, "height": 900}), [], []
    page.set_default_timeout(SLOW)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{demo_server[0]}/?example={EXAMPLES[0].stem}")
    wait_for_image(page, EXAMPLES[0].name)
    yield page
    page.close()
    outside = [
        url for url in asked if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1"
    ]
    assert asked and not outside and not errors, (outside, errors)


@pytest.fixture
def page(opened):
    """That page, after a click on an example that no test before has left there."""
    from space_server import EXAMPLES

    opened.get_by_role("tab", name="One galaxy").click()
    index = next(INDICES)
    opened.locator(f'button[data-event=example][data-index="{index}"]:visible').first.click()
    wait_for_image(opened, EXAMPLES[index].name)
    return opened


@pytest.fixture
def upload():
    """A function that chooses a file on the page, as a visitor does."""

    def choose(page, path) -> None:
        with page.expect_file_chooser() as chooser:
            page.locator(".gv-choose:visible").first.click()
        chooser.value.set_files(str(path))

    return choose


@pytest.fixture
def download():
    """A function that presses a button and returns the file that comes."""

    def press(page, button: str):
        with page.expect_download() as coming:
            page.click(button)
        return coming.value.path()

    return press
