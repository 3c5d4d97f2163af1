"""The house stands: no import runs upward, none in a circle.

What travels with weights imports its siblings only.
"""

import ast
import re
import sys
from graphlib import TopologicalSorter

sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parent.parent / "docs"))
from imports import FLOORS, REPOSITORY, imports, package_of

ARROWS = imports()
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}


def test_every_package_has_its_floor_and_the_root_three_files_at_most():
    assert {package_of(module) for module in ARROWS} == set(FLOOR)
    assert len(list((REPOSITORY / "galaxy_vision").glob("*.py"))) <= 3


def test_no_import_runs_upward():
    upward = [
        f"{module} -> {target}"
        for module, targets in ARROWS.items()
        for target in targets
        if package_of(module) != package_of(target) and FLOOR[package_of(module)] <= FLOOR[package_of(target)]
    ]
    assert not upward


def test_no_module_imports_itself_in_a_circle():
    assert list(TopologicalSorter(ARROWS).static_order())  # raises CycleError, which names the circle


def test_files_that_travel_with_weights_import_siblings_only():
    siblings = {path.stem for path in (REPOSITORY / "galaxy_vision" / "models").glob("*.py")}
    for path in (REPOSITORY / "galaxy_vision" / "models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.level or node.module.startswith("galaxy_vision")):
                assert node.level == 1 and node.module in siblings, f"{path.name}, line {node.lineno}"
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("galaxy_vision") for alias in node.names), path.name


ANSWER = re.compile(r"(t\d\d_\w+_)?a\d\d_[a-z]\w*")
"""An answer of Galaxy Zoo 2, such as ``a06_bar``."""


def test_no_file_but_that_of_galaxy_zoo_2_names_an_answer_where_a_concept_would_do():
    folders = ("galaxy_vision", "space", "datasets_scripts", "benchmarks")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    named = []
    for path in {*files, *REPOSITORY.glob("train_*.py")} - {REPOSITORY / "galaxy_vision/models/decision_tree.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and ANSWER.fullmatch(node.value):
                named.append(f"{path.name}, line {node.lineno}: {node.value}")
    assert not named


RIDDLES = {"each", "place", "said"}
"""Names that do not say what they hold: it is an image, an index, a message."""


def test_nothing_bears_a_name_that_does_not_say_what_it_is():
    files = [path for path in REPOSITORY.rglob("*.py") if "checkpoints" not in path.relative_to(REPOSITORY).parts]
    named = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                    if name in RIDDLES:
                        named.append(f"{path.relative_to(REPOSITORY)}, line {node.lineno}: {name}")
    assert files and not named
