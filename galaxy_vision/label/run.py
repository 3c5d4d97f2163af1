"""Label galaxies of a catalogue in the browser; the next ones are those that teach most: ``galaxy-vision label``.

    galaxy-vision label --catalogue images --labels "ring,no ring" --out labels.csv
    galaxy-vision label --catalogue images --find ring --like known_ring.jpg --out rings.csv
    galaxy-vision train --data labels.csv

Keys 1 to 9 label, 0 skips, Z takes back. Every label is written at once, so that nothing is lost by a kill, and several
people may label into one file. While you label, a linear model learns from all labels and changes the order; with
--find, the likeliest come first.
"""

import getpass
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..images.framing import parse_frame
from ..images.limits import FRAME_HELP, read_file
from ..inference.embeddings import Embedder
from ..inference.loading import load_classifier
from ..inference.rotations import check_rotations
from ..predict.rows import Columns
from ..runtime.arguments import arg, parse_arguments
from ..runtime.files import CANNOT_WRITE, cannot_write
from ..runtime.shipped import CLASSIFIER
from .galaxies import Galaxies, is_empty_folder
from .session import Session
from .store import Labels


@dataclass
class Arguments:
    """Arguments of ``galaxy-vision label``; also the keys of a JSON arguments file."""

    command: ClassVar[str] = "galaxy-vision label"

    catalogue: str | None = arg(None, "folder, zip or tar of images, or CSV table of their paths")
    out: str = arg("labels.csv", "CSV file of the labels; an existing one is continued")
    labels: str | None = arg(None, "names of up to nine labels, separated by commas; more can be added on the page")
    find: str | None = arg(None, "show what is likeliest this label first, such as ring, rather than what teaches most")
    like: list[str] | None = arg(None, "with --find: image files of examples")
    labeller: str | None = arg(None, "written beside each label (default: the name of the user)")
    second_opinion: bool = arg(False, "also show galaxies that somebody else has labelled")
    model: str = arg(CLASSIFIER, "trained classifier whose backbone the model learns on: folder or Hub id")
    refit: int = arg(5, "labels after which the model learns again")
    rotations: int = arg(4, "views over which the embedding of a galaxy is averaged: 1, 4 or 8")
    frame: str = arg("auto", FRAME_HELP)
    image_column: str | None = arg(None, "of a table: the column of paths (default: image, path, file_name ...)")
    image_root: str | None = arg(None, "where relative paths of a table start (default: the folder of the table)")
    host: str = arg("127.0.0.1", "address to listen on; 0.0.0.0 lets others in your network label, without a password")
    port: int = arg(7861, "port; 0 for any that is free")
    open_browser: bool = arg(True, "open the page in the browser")
    seed: int = arg(0, "of the order before the model has learned")

    def __post_init__(self):
        if not self.catalogue:
            raise ValueError("catalogue is missing; give --catalogue, a folder of images, a zip, or a CSV of paths")
        if self.refit < 1:
            raise ValueError(f"refit={self.refit} is below 1; give 1 or more")
        if self.like and not self.find:
            raise ValueError("like has no meaning without find; give --find too")
        check_rotations(self.rotations)
        parse_frame(self.frame)

    def names(self) -> list[str]:
        """Return the names of the labels; with ``find`` alone, it and its opposite."""
        given = [name.strip() for name in (self.labels or "").split(",") if name.strip()]
        return given or ([self.find, f"not {self.find}"] if self.find else [])


def open_session(args: Arguments) -> Session:
    """Open catalogue, labels and model.

    Raises:
        ValueError: one of them cannot be used.
        OSError: a folder cannot be written.
    """
    out = Path(args.out)
    labels = Labels(out, args.labeller or _user())
    columns = Columns(image=args.image_column, image_root=args.image_root)

    def open_galaxies() -> Galaxies | None:
        return None if is_empty_folder(args.catalogue) else Galaxies(args.catalogue, out, columns)

    try:
        model, processor = load_classifier(args.model)
    except OSError as error:
        raise ValueError(f"model={args.model!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    frame = parse_frame(args.frame)
    return Session(
        labels,
        Embedder(model, processor, args.rotations, frame),
        open_galaxies,
        args.names(),
        args.find,
        [read_file(path) for path in args.like or ()],
        args.refit,
        frame,
        args.second_opinion,
        args.seed,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it is stopped; return the exit status."""
    args = parse_arguments(Arguments, __doc__, argv, prog=Arguments.command)
    if importlib.util.find_spec("gradio") is None:
        print("error: the page needs gradio; pip install 'galaxy_vision[label]'", file=sys.stderr)
        return 2
    from .page import serve  # imports gradio, which takes seconds

    try:
        session = open_session(args)
        session.start()
        serve(session, args.host, args.port, args.open_browser)
    except (OSError, ValueError) as error:
        is_disk = isinstance(error, OSError) and error.errno in CANNOT_WRITE
        message = cannot_write(error, Path(args.out).parent) if is_disk else str(error).splitlines()[0]
        print(f"error: {message}", file=sys.stderr)
        return 2
    return 0
