"""The table of many galaxies, the keyboard, and what screen readers meet, in a real browser.

Left out unless GALAXY_VISION_BROWSER names a Chromium (see CONTRIBUTING.md); then it runs, and fails where something is
missing.
"""

import itertools
import os

import numpy as np
import pandas as pd
import pytest

if not os.environ.get("GALAXY_VISION_BROWSER"):
    pytest.importorskip("gradio", reason="the demo needs the extra: pip install -e '.[space]'")
from space_server import EXAMPLES
from space_visitor import SLOW, wait_for_image

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not os.environ.get("GALAXY_VISION_BROWSER"), reason="GALAXY_VISION_BROWSER names no Chromium"),
]


def give(page, paths) -> None:
    """Open the tab of many and give it files."""
    page.get_by_role("tab", name="Many").click()
    page.locator("#gv-many input[type=file]").set_input_files([str(path) for path in paths])
    page.wait_for_function(f"document.querySelector('.gv-bar h1')?.textContent === '{len(paths)} images'")


def names_shown(page) -> list[str]:
    return page.locator(".gv-table tbody tr:visible .gv-kl small").all_inner_texts()


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(EXAMPLES[0].read_bytes()[:800])
    return path


def test_a_batch_with_a_corrupt_file_is_a_table_that_is_taken_home_whole(page, download, broken):
    files = [EXAMPLES[1], broken, EXAMPLES[0]]
    give(page, files)
    assert "2 of 3 images described" in page.inner_text("#gv-table")
    assert "download or save it again" in page.locator(".gv-failed").inner_text()
    csv, parquet = pd.read_csv(download(page, ".gv-csv")), pd.read_parquet(download(page, ".gv-parquet"))
    assert list(csv.file) == list(parquet.file) == [path.name for path in files]
    assert list(csv.columns) == list(parquet.columns) and (csv.status == parquet.status).all()
    assert csv.probability.isna().tolist() == [False, True, False]
    assert np.allclose(csv.probability, parquet.probability, equal_nan=True)
    assert {"a06_bar_fraction", "a06_bar_lower", "a06_bar_upper", "a06_bar_reach"} <= set(csv.columns)


def test_the_table_sorts_and_sifts_and_says_how_many_there_are(page, broken):
    give(page, [EXAMPLES[2], broken, EXAMPLES[0], EXAMPLES[1]])
    page.click(".gv-sort[data-key=bar]")
    values = [float(value) for value in page.locator(".gv-table tbody tr td:nth-child(7)").evaluate_all(
        "cells => cells.map(cell => cell.dataset.value).filter(value => value !== undefined)"
    )]  # fmt: skip
    assert values == sorted(values, reverse=True) and len(values) == 3
    assert names_shown(page)[-1] == "broken.jpg"  # rows without numbers stay last
    counts = dict(zip(*(page.locator(f".gv-facet{part}").all_inner_texts() for part in ("", " b")), strict=True))
    assert "4" in counts.values()
    page.click(".gv-facet[data-facet=failed]")
    assert names_shown(page) == ["broken.jpg"]
    page.click(".gv-facet[data-facet=all]")
    page.fill(".gv-search", EXAMPLES[1].name)
    assert names_shown(page) == [EXAMPLES[1].name]
    page.fill(".gv-search", "no such words")
    page.click(".gv-all-rows")
    assert len(names_shown(page)) == 4


def test_a_row_opens_its_galaxy_and_the_way_back_leads_to_the_same_rows(page):
    give(page, EXAMPLES[:3])
    page.fill(".gv-search", EXAMPLES[2].name)
    page.locator(".gv-open-row:visible").press("Enter")
    wait_for_image(page, EXAMPLES[2].name)
    assert page.locator("#gv-one").is_visible() and not page.locator("#gv-many").is_visible()
    page.click(".gv-back")
    assert names_shown(page) == [EXAMPLES[2].name]


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(page):
    page.get_by_role("tab", name="One galaxy").focus()
    reached = []
    wanted = ["gv-theme", "gv-choose", "gv-thumbs", "gv-locator", "gv-seg", "gv-more", "gv-word", "gv-link"]
    wanted += ["gv-figure", "gv-json", "gv-copy", "gv-share", "gv-compare", "gv-reading", "gv-step"]
    marks = ", ".join([f".{name}" for name in wanted] + ["#gv-theme", "#gv-reading"])
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """([marks, wanted]) => { const at = document.activeElement.closest(marks);
                return at ? wanted.find(name => at.id === name || at.classList.contains(name)) : ''; }""",
                [marks, wanted],
            )
        )
        if reached[-1] == wanted[-1]:
            break
    assert [name for name, _ in itertools.groupby(name for name in reached if name in wanted)] == wanted, reached


def test_arrows_move_between_the_tabs(page):
    page.get_by_role("tab", name="One galaxy").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#gv-many").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Many"
    page.go_back()
    assert page.locator("#gv-one").is_visible()


def test_every_picture_has_an_alternative_text_and_every_button_a_name(page):
    assert page.locator("img").count() > 14 and page.locator("img:not([alt])").count() == 0
    assert page.locator(".gv-result .gv-pic[role=img]").get_attribute("aria-label").startswith("The image")
    for button in page.locator("button:visible").all():
        assert button.inner_text().strip() or button.get_attribute("aria-label"), button.evaluate(
            "button => button.outerHTML"
        )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(browser, demo_server, theme, width, broken):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(SLOW)
    found = {}

    def check(state: str) -> None:
        page.wait_for_timeout(300)  # until what fades has faded
        violations = Axe().run(page).response["violations"]
        found.update({f"{state}: {one['id']}": [node["html"][:200] for node in one["nodes"]] for one in violations})

    page.goto(f"{demo_server[0]}/?__theme={theme}")
    page.wait_for_selector("#gv-first", state="detached")
    check("empty")
    page.locator('#gv-stage button[data-event=example][data-index="0"]').click()
    wait_for_image(page, EXAMPLES[0].name)
    page.click(".gv-more summary")
    page.locator("#gv-reading > button").click()
    page.locator(".gv-step summary").first.click()
    if page.locator(".gv-word").count():
        page.locator(".gv-word").first.click()
    check("evidence")
    page.click(".gv-compare")
    page.locator('.gv-thumbs button[data-index="10"]').click()
    page.wait_for_selector(".gv-doubted")
    page.wait_for_selector(".gv-comparison")
    check("doubtful, compared")
    page.locator("#gv-one input[type=file]").set_input_files(str(broken))
    page.wait_for_selector(".gv-error")
    check("error")
    page.get_by_role("tab", name="Many").click()
    check("many, empty")
    give(page, [EXAMPLES[0], broken, EXAMPLES[10]])
    check("many")
    page.close()
    assert not found
