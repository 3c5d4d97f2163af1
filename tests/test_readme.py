import re
import subprocess
import sys

from conftest import REPOSITORY


def test_the_readme_lists_every_file_of_the_house():
    readme = (REPOSITORY / "README.md").read_text()
    for pattern in (
        "galaxy_vision/*.py",
        "datasets_scripts/*",
        "train_*.py",
        "benchmarks/*.py",
        "space/*.py",
        "tests/test_*.py",
    ):
        for path in REPOSITORY.glob(pattern):
            if path.suffix in (".py", ".md") and path.name != "__init__.py":
                assert f"`{path.name}`" in readme, path.name


def test_the_python_lines_of_the_readme_run_as_they_are():
    section = (REPOSITORY / "README.md").read_text().split("## Use a trained model")[1].split("\n## ")[0]
    lines = "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    done = subprocess.run([sys.executable, "-c", lines], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "t03_bar_a06_bar" in done.stdout and done.stdout.count("spiral galaxy") == 2
