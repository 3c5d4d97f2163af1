"""List every package that `pip install galaxy-vision` installs, with its licence, from the packages installed here.

python docs/make_dependencies.py > docs/dependencies.md
python docs/make_dependencies.py --lock space > space/requirements.lock   # with an extra, as pinned requirements
"""

import argparse
import configparser
import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
LOCAL = ("galaxy-vision", "galaxy_vision")


def declared(extra: str | None) -> list[str]:
    """Return the requirements of setup.cfg, and those of one of its extras."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    text = config["options"]["install_requires"] + ("\n" + config["options.extras_require"][extra] if extra else "")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(LOCAL)]


def closure(requirements: list[str]) -> dict[str, set[str]]:
    """Return the installed packages that these requirements need on this system, each with those that need it."""
    parents: dict[str, set[str]] = {}
    waiting = [(line, "", frozenset()) for line in requirements]
    while waiting:
        line, parent, extras = waiting.pop()
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        name = canonicalize_name(requirement.name)
        is_new = name not in parents
        parents.setdefault(name, set()).add(parent or "setup.cfg")
        if is_new or requirement.extras:
            extras = frozenset(requirement.extras) | {""}
            needs = importlib.metadata.distribution(name).requires or []
            waiting += [(need, name, extras) for need in needs if is_new or "extra" in need]
    return parents


def licence(name: str) -> str:
    """Return the licence that a package states: SPDX expression, else classifiers, else first line of its field."""
    data = importlib.metadata.metadata(name)
    if data.get("License-Expression"):
        return data["License-Expression"]
    classifiers = [line for line in data.get_all("Classifier") or [] if line.startswith("License ::")]
    if names := {line.split(" :: ")[-1] for line in classifiers} - {"OSI Approved"}:
        return ", ".join(sorted(names))
    lines = (data.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else "not stated in its metadata"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", metavar="EXTRA", help="pinned requirements with this extra, instead of the table")
    args = parser.parse_args()
    parents = closure(declared(args.lock))
    versions = {name: importlib.metadata.version(name).split("+")[0] for name in sorted(parents)}
    if args.lock:
        print("# What the tests have run with; made by docs/make_dependencies.py. requirements.txt has the floors.")
        print("\n".join(f"{name}=={version}" for name, version in versions.items()))
        return
    print("# Dependencies and their licences\n")
    print(
        "Made by `python docs/make_dependencies.py > docs/dependencies.md`: what setup.cfg needs, and what that needs, "
        "on Linux,\nas installed when it was made. Licences are those that the packages state; galaxy_vision itself is "
        "Apache-2.0.\n"
    )
    print("| package | version | licence | needed by |\n|---|---|---|---|")
    for name, version in versions.items():
        needed_by = sorted(parents[name])
        print(f"| {name} | {version} | {licence(name)} | {', '.join(needed_by[:4])}{' ...' * (len(needed_by) > 4)} |")


if __name__ == "__main__":
    main()
