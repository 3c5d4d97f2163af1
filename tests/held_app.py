"""The demo, with heat maps of eigencam and figures that wait while there is a file ``hold``; then a file ``held`` appears."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "space"))

import app
import one_galaxy
import studio


def waiting(function):
    def held(*args):
        while Path("hold").exists() and (function is sheet or args[2] == "eigencam"):
            Path("held").touch()
            time.sleep(0.02)
        return function(*args)

    return held


sheet = one_galaxy.sheet
one_galaxy.sheet, studio.heat_map = waiting(sheet), waiting(studio.heat_map)

if __name__ == "__main__":
    app.main()
