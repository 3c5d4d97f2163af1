"""Every package that `pip install galaxy-vision` brings, with its licence -> dependencies.md, from what is installed here.

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
    """Requirements of setup.cfg, and those of one of its extras."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    text = config["options"]["install_requires"] + ("\n" + config["options.extras_require"][extra] if extra else "")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(LOCAL)]


def closure(requirements: list[str]) -> dict[str, set[str]]:
    """Installed packages that these need here, each with those that need it; packages for other systems are left out."""
    found: dict[str, set[str]] = {}
    waiting = [(line, "", frozenset()) for line in requirements]
    while waiting:
        line, parent, extras = waiting.pop()
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        name = canonicalize_name(requirement.name)
        new = name not in found
        found.setdefault(name, set()).add(parent or "setup.cfg")
        if new or requirement.extras:
            needs = importlib.metadata.distribution(name).requires or []
            waiting += [(each, name, frozenset(requirement.extras) | {""}) for each in needs if new or "extra" in each]
    return found


def licence(name: str) -> str:
    """As the package says it: the SPDX expression, else the classifiers, else the first line of the licence field."""
    data = importlib.metadata.metadata(name)
    if data.get("License-Expression"):
        return data["License-Expression"]
    classes = [each.split(" :: ")[-1] for each in data.get_all("Classifier") or [] if each.startswith("License ::")]
    stated = (data.get("License") or "").strip().splitlines()
    return ", ".join(sorted(set(classes) - {"OSI Approved"})) or (
        stated[0][:60] if stated else "not stated in its metadata"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", metavar="EXTRA", help="pinned requirements with this extra, instead of the table")
    args = parser.parse_args()
    found = closure(declared(args.lock))
    versions = {name: importlib.metadata.version(name).split("+")[0] for name in sorted(found)}
    if args.lock:
        print("# What the tests have run with; made by docs/make_dependencies.py. requirements.txt has the floors.")
        print("\n".join(f"{name}=={version}" for name, version in versions.items()))
        return
    print("# Dependencies and their licences\n")
    print(
        "Made by `python docs/make_dependencies.py > docs/dependencies.md`: what setup.cfg needs, and what that needs, on Linux,"
    )
    print(
        "as installed when it was made. Licences are those that the packages state; galaxy_vision itself is Apache-2.0.\n"
    )
    print("| package | version | licence | needed by |\n|---|---|---|---|")
    for name, version in versions.items():
        parents = sorted(found[name])
        print(f"| {name} | {version} | {licence(name)} | {', '.join(parents[:4])}{' ...' * (len(parents) > 4)} |")


if __name__ == "__main__":
    main()
