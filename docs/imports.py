"""The imports of the package as a graph, for `tests/test_architecture.py` and `docs/draw_architecture.py`."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

FLOORS = (
    ("models",),
    ("images",),
    ("captions", "simulation", "runtime"),
    ("data", "sky"),
    ("inference",),
    ("evaluation", "predict"),
    ("training", "search"),
    ("label",),
    ("commands",),
    ("cli",),
)
"""Packages from the ground up; a package imports only from floors below its own."""


def imports(root: Path = REPOSITORY / "galaxy_vision") -> dict[str, set[str]]:
    """Return, for every module of the package, the modules of the package that it imports, lazy imports included.

    ``galaxy_vision/__init__.py``, which names all public objects, is left out.
    """
    paths = {_name(path.relative_to(root.parent)): path for path in root.rglob("*.py")}
    return {
        name: {target for node in ast.walk(ast.parse(path.read_text())) for target in _targets(node, name, path, paths)}
        - {name}
        for name, path in paths.items()
        if name != root.name
    }


def package_of(module: str) -> str:
    """Return the package of a module, ``"data"`` for ``"galaxy_vision.data.load"``; a file at the root is its own."""
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
    if node.level:
        base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
    else:
        base = node.module
    targets = {f"{base}.{alias.name}" if f"{base}.{alias.name}" in paths else base for alias in node.names}
    return {target for target in targets if target in paths and target.count(".")}
