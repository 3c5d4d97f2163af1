import os
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY, pytest_terminal_summary

from galaxy_vision.cli import main as cli
from galaxy_vision.simulation.render import simulate_galaxy


def test_the_page_of_the_architecture_lists_every_room_of_the_house():
    house = (REPOSITORY / "docs" / "architecture.md").read_text().split("## The house")[1].split("\n## ")[0]
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    rooms = {name.split("/")[0] for name in tracked if "/" in name and not name.startswith(".")} - {"galaxy_vision"}
    rooms |= {
        "/".join(name.split("/")[:2]) for name in tracked if name.startswith("galaxy_vision/") and name.count("/") > 1
    }
    rooms |= {name for name in tracked if name.endswith(".py") and name.count("/") == 0}
    listed = set(
        re.findall(r"`([\w/.]+)`", "\n".join(line.split(" | ")[0] for line in house.splitlines() if line[:3] == "| `"))
    )
    assert listed == rooms | {"galaxy_vision/cli.py", "galaxy_vision/commands.py"}


def test_the_readme_is_of_one_reading_and_its_links_lead_to_files():
    readme = (REPOSITORY / "README.md").read_text()
    assert len(readme.splitlines()) <= 200
    links = re.findall(r"\]\(([^)#]+)", readme)
    assert len(links) > 30 and not [link for link in links if not (REPOSITORY / link).exists()]


def test_the_results_of_the_readme_are_those_of_the_shipped_models():
    sys.path.insert(0, str(REPOSITORY / "docs"))
    from make_results import scores_of, with_results

    readme = (REPOSITORY / "README.md").read_text()
    assert with_results(readme) == readme, "run python docs/make_results.py"
    table = readme.split("<!-- made by")[1].split("\n\n")[0].splitlines()
    scores = scores_of("galaxy-captioner", REPOSITORY / "checkpoints")["captions"]
    assert len(table) == 8 and f"| {scores['captioner']['claim_f1']:.3f} |".replace("0.", ".") in table[-1]


def test_every_test_that_the_table_of_faults_names_is_there():
    rows = [line for line in (REPOSITORY / "docs" / "robustness.md").read_text().splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"\btest_\w+", row.rstrip(" |").rpartition(" | ")[2])}
    tests = {path.stem: path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py")}
    known = {name for text in tests.values() for name in re.findall(r"def (test_\w+)\(", text)} | set(tests)
    assert len(rows) > 200 and named - known == set()


def test_lines_of_markdown_have_120_columns_but_for_tables_and_commands():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if name.startswith("checkpoints/") or name.endswith("_template.md"):  # written by programs; a template of one
            continue
        lines = (REPOSITORY / name).read_text().splitlines()
        long = [line for line in lines if len(line) > 120 and not line.startswith(("| ", "|-", "    "))]
        assert not long, f"{name}: {long[0]}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """An empty folder with what a checkout has, where commands may write, and a folder of labelled images."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("docs", "checkpoints", "space", "galaxy_vision", "train_classifier.py", "train_captioner.py"):
        (folder / name).symlink_to(REPOSITORY / name)
    for index in range(24):
        galaxy = simulate_galaxy(seed=3, index=index)
        kind = "smooth" if galaxy.votes[0] > galaxy.votes[1] else "featured"
        (folder / "my_galaxies" / kind).mkdir(parents=True, exist_ok=True)
        galaxy.image.save(folder / "my_galaxies" / kind / f"{index}.png")
    return folder


QUICK = {"train": ["--epochs", "1"]}
"""What a test adds to a command that takes minutes otherwise."""


def commands_of(text: str) -> list[list[str]]:
    """Return the commands ``galaxy-vision ...`` of the indented lines of a page, without their comments."""
    lines = re.findall(r"^    (galaxy-vision .*(?:\\\n.*)*)", text, re.M)
    return [shlex.split(line.replace("\\\n", " "), comments=True)[1:] for line in lines]


def python_of(page: str) -> str:
    """Return the Python of a page, from all of its blocks."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL))


def run_python(lines: str, folder) -> str:
    """Return what lines of Python print."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}  # others have the other cores
    done = subprocess.run([sys.executable, "-c", lines], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_commands_of_the_readme_and_then_its_python_run_as_they_are(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    commands = commands_of((REPOSITORY / "README.md").read_text())
    assert {"describe", "explain", "predict", "train"} == {command[0] for command in commands}
    for command in commands:
        assert cli([*command, *QUICK.get(command[0], [])]) == 0, f"{command}: {capsys.readouterr().err}"
    assert {path.suffix for path in (checkout / "explained").iterdir()} == {".png", ".pdf"}
    assert "a barred spiral galaxy" in capsys.readouterr().out
    printed = run_python(python_of("README.md"), checkout)
    assert "t03_bar_a06_bar" in printed and "frame left as it is" in printed and "148333" in printed


def test_the_python_lines_of_the_quick_start_run_as_they_are():
    printed = run_python(python_of("docs/quickstart.md"), REPOSITORY)
    assert "t03_bar_a06_bar" in printed and printed.count("spiral galaxy") == 3
    assert "frame left as it is" in printed


@pytest.mark.parametrize("gradio", [True, False])
def test_the_end_of_a_test_run_names_the_command_that_runs_what_was_left_out_of_the_demo(gradio, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", sys.modules.get("gradio", pytest) if gradio else None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: sys.modules[name])
    lines, browser = [], "tests/space/test_space_browser.py"
    skipped = [f"{browser}::test_a", f"{browser}::test_b", "tests/space/test_space.py"]
    skipped += ["tests/datasets_scripts/test_real_data.py::test_c"]
    reports = [SimpleNamespace(nodeid=nodeid) for nodeid in skipped]
    pytest_terminal_summary(SimpleNamespace(stats={"skipped": reports}, write_line=lines.append))
    count = sum(
        (REPOSITORY / "tests" / "space" / f"test_space{name}.py").read_text().count("\ndef test_")
        for name in ("", "_browser")
    )
    assert len(lines) == 1 and lines[0].startswith(f"{count} tests of the demo were left out")
    assert (
        "[test,browser]" if gradio else 'pip install -e ".[test,space]" && pytest tests/space/test_space*.py'
    ) in lines[0]
    pytest_terminal_summary(SimpleNamespace(stats={"skipped": reports[3:]}, write_line=lines.append))
    pytest_terminal_summary(SimpleNamespace(stats={}, write_line=lines.append))
    assert len(lines) == 1


def test_an_error_of_ours_is_the_last_line_of_a_quiet_launch_and_stands_below_one_line_of_usage():
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--quiet", "--cpu"]
    wrong = ["train_classifier.py", "--backbone", "nothing"]
    done = subprocess.run([*launch, *wrong], cwd=REPOSITORY, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode != 0 and "error: backbone='nothing' is not a model of timm" in lines[-1]
    assert lines[-2].startswith("usage: train_classifier.py")
