"""The demo, whose heat maps of METHOD wait for a file ``hold-METHOD``, and whose figures for ``hold-figure``.

When one waits, a file ``held`` appears.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "space"))

import app
import one_galaxy
import studio

heat_map, sheet = studio.heat_map, one_galaxy.sheet


def wait(name: str) -> None:
    while Path(f"hold-{name}").exists():
        Path("held").touch()
        time.sleep(0.02)


def held_heat_map(image, target, method):
    wait(method)
    return heat_map(image, target, method)


def held_sheet(*args):
    wait("figure")
    return sheet(*args)


studio.heat_map, one_galaxy.sheet = held_heat_map, held_sheet

if __name__ == "__main__":
    app.main()
