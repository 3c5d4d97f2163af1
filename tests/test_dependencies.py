"""What is declared, listed and locked agrees, and may be combined with Apache-2.0. Nothing is asked of a registry."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions

import pytest
from conftest import REPOSITORY
from datasets import Dataset
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from galaxy_vision.data.checks import fingerprint_of, set_fingerprint

FREE = (
    "Apache",
    "MIT",
    "BSD",
    "Python Software Foundation",
    "PSF",
    "MPL",
    "Mozilla",
    "ISC",
    "Unlicense",
    "Zlib",
    "0BSD",
    "HPND",
)
NVIDIA = ("cuda", "nvidia")
"""CUDA libraries, which only torch brings, under NVIDIA's own licence: nothing of them is in this repository."""


def requirements(text: str) -> dict[str, Requirement]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def declared(extra: str | None = None) -> dict[str, Requirement]:
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    text = config["options"]["install_requires"] + ("\n" + config["options.extras_require"][extra] if extra else "")
    return requirements(text)


def listed() -> dict[str, list[str]]:
    """Package -> version, licence, needed by, of docs/dependencies.md."""
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| (.+?) \| (.+?) \| (.+?) \|$", (REPOSITORY / "docs/dependencies.md").read_text(), re.M
    )
    return {name: rest for name, *rest in rows if name != "package"}


def locked() -> dict[str, Requirement]:
    return requirements((REPOSITORY / "space/requirements.lock").read_text())


def test_every_floor_is_met_by_what_is_listed_and_by_what_is_locked():
    versions, locks = listed(), locked()
    for name, floor in declared("space").items():
        assert [part.operator for part in floor.specifier] == [">="], f"{name} has no floor, or more than one"
        assert floor.specifier.contains(next(iter(locks[name].specifier)).version), name
        if name in declared():
            assert floor.specifier.contains(versions[name][0]), name


def test_the_lock_of_the_space_pins_the_versions_that_are_listed():
    versions = listed()
    for name, requirement in locked().items():
        (pin,) = requirement.specifier
        assert pin.operator == "==" and Version(pin.version), name
        if name in versions:
            assert Version(versions[name][0]) == Version(pin.version), name


def test_the_requirements_of_the_space_are_floors_of_setup_cfg():
    floors = declared("space")
    for name, requirement in requirements((REPOSITORY / "space/requirements.txt").read_text()).items():
        assert requirement.specifier == floors[name].specifier, name


@pytest.mark.parametrize("name", listed())
def test_a_licence_goes_with_apache_2(name):
    licence = listed()[name][1]
    if not name.startswith(NVIDIA):
        assert any(word in licence for word in FREE), licence
        assert "GPL" not in licence, licence


def test_the_space_asks_for_no_permission():
    front = (REPOSITORY / "space/README.md").read_text().split("---")[1]
    keys = set(re.findall(r"^(\w+):", front, re.M))
    assert not keys & {
        "hf_oauth",
        "hf_oauth_scopes",
        "custom_headers",
        "preload_from_hub",
        "disable_embedding",
        "models",
        "datasets",
    }
    assert f"sdk_version: {next(iter(locked()['gradio'].specifier)).version}\n" in front


def imported(path) -> set[str]:
    """The packages that a file imports, lazily too, by the first part of their names."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"galaxy_vision"}


@pytest.mark.parametrize(
    "folder, extras",
    [
        ("galaxy_vision", ["export", "label", "search", "sky"]),
        ("datasets_scripts", ["hdf5"]),
        ("space", ["space"]),
        (".", [None]),
    ],
)
def test_every_package_that_is_imported_is_declared(folder, extras):
    files = [*(REPOSITORY / folder).glob("*.py" if folder == "." else "**/*.py")]
    files = [path for path in files if path.name != "conftest.py"]
    ours = {path.stem for path in files}
    brings = packages_distributions()
    names = {canonicalize_name(name) for extra in extras for name in declared(extra)}
    for path in files:
        for module in imported(path) - ours:
            known = {canonicalize_name(name) for name in brings.get(module, [module])}
            assert known & names, f"{path.relative_to(REPOSITORY)} imports {module}, which setup.cfg does not declare"


def test_the_fingerprint_that_datasets_has_no_public_name_for_is_still_there():
    rows = Dataset.from_dict({"label": [1, 2]})
    first = fingerprint_of(rows)
    assert first != fingerprint_of(rows.select([0]))
    set_fingerprint(rows, "0" * 16)
    assert fingerprint_of(rows) == "0" * 16
    assert fingerprint_of(rows.select([0])) == fingerprint_of(rows.select([0]))  # it is what the cache is keyed by
