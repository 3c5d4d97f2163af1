"""The trained models that come with the package."""

from pathlib import Path

CLASSIFIER = "galaxy-resnet"
CAPTIONER = "galaxy-captioner"

_PACKAGE = Path(__file__).parent.parent
_FOLDERS = (_PACKAGE / "checkpoints", _PACKAGE.parent / "checkpoints")
"""Where they lie: in the installed package, and in a checkout."""


def model_source(name: str | Path) -> str:
    """Return where a model is loaded from: the folder of a shipped model for its name, otherwise the name itself.

    A folder of that name in the working directory comes first, as for every other name.
    """
    name = str(name)
    if name in (CLASSIFIER, CAPTIONER) and not Path(name).is_dir():
        return next((str(folder / name) for folder in _FOLDERS if (folder / name).is_dir()), name)
    return name
