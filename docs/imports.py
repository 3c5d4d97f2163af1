"""The imports of the package as a graph: what `tests/test_architecture.py` checks and `docs/draw_architecture.py` draws."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

FLOORS = (
    ("models",),
    ("images",),
    ("captions", "simulation", "runtime"),
    ("inference",),
    ("data",),
    ("evaluation", "predict"),
    ("training",),
    ("cli",),
)
"""Packages from the ground up: a package imports from floors below it only."""


def imports(root: Path = REPOSITORY / "galaxy_vision") -> dict[str, set[str]]:
    """Module of the package -> modules of the package that it imports, lazily too; without ``galaxy_vision/__init__.py``."""
    paths = {_name(path.relative_to(root.parent)): path for path in root.rglob("*.py")}
    return {
        name: {target for node in ast.walk(ast.parse(path.read_text())) for target in _targets(node, name, path, paths)}
        - {name}
        for name, path in paths.items()
        if name != root.name
    }


def package_of(module: str) -> str:
    """``"galaxy_vision.data.load"`` -> ``"data"``; a file at the root is a package of its own."""
    return module.split(".")[1]


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _targets(node: ast.AST, module: str, path: Path, paths: dict[str, Path]) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & set(paths)
    if not isinstance(node, ast.ImportFrom):
        return set()
    parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = (
        ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
        if node.level
        else node.module
    )
    found = {f"{base}.{alias.name}" if f"{base}.{alias.name}" in paths else base for alias in node.names}
    return {target for target in found if target in paths and target.count(".")}
