import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY, pytest_terminal_summary


def test_the_readme_lists_every_room_of_the_house():
    house = (REPOSITORY / "README.md").read_text().split("## The house")[1].split("\n## ")[0]
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


def test_the_python_lines_of_the_readme_run_as_they_are():
    section = (REPOSITORY / "README.md").read_text().split("## Use a trained model")[1].split("\n## ")[0]
    lines = "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # another worker has the other cores
    command = [sys.executable, "-c", lines]
    done = subprocess.run(command, cwd=REPOSITORY, env=one_thread, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "t03_bar_a06_bar" in done.stdout and done.stdout.count("spiral galaxy") == 3
    assert "frame left as it is" in done.stdout


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
