"""The documentation beside the site's own build: notebooks, pictures, addresses, versions and workflows."""

import configparser
import json
import re
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY

from galaxy_vision import __version__

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def address() -> str:
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    return config["metadata"]["url"]


def test_there_are_five_notebooks_and_the_index_names_them():
    index = (REPOSITORY / "docs" / "notebooks" / "index.md").read_text()
    assert len(NOTEBOOKS) == 5 and all(f"({path.name})" in index for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_without_outputs_and_opens_in_colab_from_the_repository(path):
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    repository = address().removeprefix("https://github.com/")
    assert f"colab.research.google.com/github/{repository}/blob/main/docs/notebooks/{path.name}" in text
    assert f"git clone --quiet --depth 1 {address()}\n" in text


def test_every_picture_of_a_real_galaxy_is_attributed_and_there_are_24_at_most():
    table = (REPOSITORY / "docs" / "images" / "ATTRIBUTION.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \|", table, re.M)
    assert all(word in table for word in ("3565489", "creativecommons.org/licenses/by/4.0", "Willett", "Hart"))
    assert 8 <= len(rows) <= 24 and len(set(rows)) == len(rows)
    assert not [name for name, _ in rows if not (REPOSITORY / name).is_file()]
    assert set(tracked("docs/images/galaxies")) <= {name for name, _ in rows}
    pictures = {(REPOSITORY / name).read_bytes(): asset for name, asset in rows}
    assert len({asset for _, asset in rows}) == len(pictures)  # a galaxy that is shown twice is the same file


def test_the_changelog_the_citation_and_the_package_have_one_version():
    assert f"\nversion: {__version__}\n" in (REPOSITORY / "CITATION.cff").read_text()
    assert __version__ in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_widgets_of_cards_show_galaxies_of_this_repository():
    from galaxy_vision.evaluation.model_card import EXAMPLES, EXAMPLES_AT

    raw = address().replace("github.com", "raw.githubusercontent.com")
    assert EXAMPLES_AT == f"{raw}/main/docs/images/galaxies"
    assert all((REPOSITORY / "docs" / "images" / "galaxies" / name).is_file() for name in EXAMPLES.values())


def test_every_page_stands_in_the_contents_of_the_site():
    entries = set()
    for name in tracked("docs/*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", (REPOSITORY / name).read_text(), re.DOTALL):
            lines = [line for line in block.splitlines() if line and not line.startswith(":")]
            folder = Path(name).relative_to("docs").parent
            entries |= {str(folder / re.sub(r".*<(.+)>", r"\1", line)) for line in lines}
    pages = {str(Path(name).relative_to("docs").with_suffix("")) for name in tracked("docs/*.md")}
    assert pages - entries == {"index", "images/ATTRIBUTION"}


def test_the_workflows_run_what_runs_here_and_publish_without_a_secret():
    folder = REPOSITORY / ".github" / "workflows"
    ci, publish = (folder / "ci.yml").read_text(), (folder / "publish.yml").read_text()
    assert "- run: .ci/run" in ci and "make docs" in (REPOSITORY / ".ci" / "run").read_text()
    assert "id-token: write" in publish and "tags:" in publish and "secrets." not in publish + ci


def test_the_style_of_figures_is_one_file_of_the_package_and_a_figure_is_the_same_again(tmp_path):
    import matplotlib.pyplot as plt
    from PIL import Image

    from galaxy_vision.runtime.paper import COLUMN, STYLE, paper_style, save_figure

    before = dict(plt.rcParams)
    files = []
    for name in ("a.png", "b.png"):
        with paper_style():
            figure = plt.Figure(figsize=(COLUMN, 2.0))
            figure.subplots().plot([0, 1], [1, 0])
        files.append(save_figure(figure, tmp_path / name, metadata={"Title": "one"}))
    assert dict(plt.rcParams) == before and STYLE.is_file()
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    with Image.open(files[0][0]) as picture:
        assert picture.width == round(COLUMN * 300) and round(picture.info["dpi"][0]) == 300
    assert files[0][1].read_bytes().startswith(b"%PDF")


def test_a_share_of_wilson_is_that_of_the_textbook_and_never_leaves_0_to_1():
    from scipy.stats import binomtest

    from galaxy_vision.evaluation.sums import wilson

    for correct, count in ((0, 5), (5, 5), (7, 40), (500, 1000)):
        limits = binomtest(correct, count).proportion_ci(method="wilson")
        assert wilson(correct, count) == pytest.approx((limits.low, limits.high), abs=1e-6)


def test_the_answers_of_a_figure_are_grouped_by_the_questions_that_are_asked():
    from matplotlib.figure import Figure

    from galaxy_vision.inference.answer_names import answer_names
    from galaxy_vision.inference.answers_figure import draw_answers, questions_shown
    from galaxy_vision.models.decision_tree import GALAXY_ZOO_2

    names = answer_names(GALAXY_ZOO_2)
    votes = {name: {"fraction": 0.4, "lower": 0.2, "upper": 0.7, "reach": 0.1} for name in names}
    for name in (*names[:3], *names[3:5], *names[28:37]):
        votes[name]["reach"] = 1.0
    shown = questions_shown(votes, GALAXY_ZOO_2)
    assert shown[:2] == ["t01_smooth_or_features", "t02_edgeon"] and "t03_bar" not in shown
    figure = Figure(figsize=(7, 3))
    draw_answers(figure.subfigures(1, 1), votes, GALAXY_ZOO_2)
    titles = [axes.get_title(loc="left") for axes in figure.subfigs[0].axes if axes.get_title(loc="left")]
    assert titles[:2] == ["Smooth or features", "Edge-on"] and len(titles) == len(shown)
    labels = [label.get_text() for label in figure.subfigs[0].axes[0].get_yticklabels()]
    assert labels == ["smooth", "features or disk", "star or artifact"]
    assert questions_shown({}, GALAXY_ZOO_2) == []


def test_the_pipelines_of_the_hub_ask_nothing_about_remote_code_where_the_package_is_imported(monkeypatch):
    """The snippets as the Hub prints them, with the shipped models and a picture of this repository."""
    from transformers import pipeline

    def asked(*words):
        raise AssertionError(f"a prompt: {words}")

    monkeypatch.setattr("builtins.input", asked)
    picture = str(REPOSITORY / "docs" / "images" / "galaxies" / "148333.jpg")
    pipe = pipeline("image-classification", model=str(REPOSITORY / "checkpoints" / "galaxy-resnet"))
    assert pipe(picture)[0]["label"] == "barred spiral"
    pipe = pipeline("image-text-to-text", model=str(REPOSITORY / "checkpoints" / "galaxy-captioner"))
    content = [{"type": "image", "url": picture}, {"type": "text", "text": "Describe this image."}]
    written = pipe(text=[{"role": "user", "content": content}])
    assert "barred" in written[0]["generated_text"][-1]["content"]
