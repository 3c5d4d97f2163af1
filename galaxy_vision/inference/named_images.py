"""The images that a command line names: paths, patterns and three files of three bands; read, framed and described."""

import glob
import os
from collections.abc import Sequence

from PIL import Image

from ..images.decode import decode, read_bands
from ..images.framing import AUTO, Frame
from ..images.observation import Observation, observe, observe_all
from .classes import class_doubts
from .describe import Describer

COLLECTIONS = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tgz", ".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


def named_images(images: Sequence[str], rgb: Sequence[str] | None = None) -> list[str | tuple[str, ...]]:
    """What :func:`read_named` takes, of arguments of a command line.

    A pattern such as ``*.fits`` that no shell has expanded stands for the files that it fits, as in a shell.

    Args:
        images: paths and patterns.
        rgb: three paths that are one more image.
    """
    named = []
    for image in images:
        is_pattern = glob.has_magic(image) and "://" not in image and not os.path.exists(image)
        named += sorted(glob.glob(image, recursive=True)) or [image] if is_pattern else [image]
    return [*named, tuple(rgb)] if rgb else named


def file_names(image: str | Sequence[str]) -> tuple[str, ...]:
    """The paths of an image of one file, or of three."""
    return (image,) if isinstance(image, str) else tuple(image)


def read_named(image: str | Sequence[str], **reading) -> Image.Image:
    """Decode a file of any kind that :func:`~galaxy_vision.read_rgb` takes, with its options.

    Args:
        image: a path; or three, of the red, green and blue band, as :func:`~galaxy_vision.read_bands` takes them.
        reading: options of either.

    Raises:
        ValueError: one sentence: it cannot be read, or it is an address, a folder or a pattern, and no file.
    """
    if isinstance(image, str):
        _check_path(image)
        return decode(image, **reading)
    for path in image:
        try:
            _check_path(path)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
    if reading.pop("bands", None) is not None:
        raise ValueError("bands are chosen from one file, and these are three files of one band each; leave bands out")
    return read_bands(*image, **reading)


def _check_path(path: str) -> None:
    if "://" in path:
        raise ValueError(
            "is an address, and nothing is fetched; download the image and give its file, or give a table or data set "
            "of the Hub to galaxy-vision predict --catalogue"
        )
    if not path or os.path.isdir(path):
        raise ValueError("is a folder; give image files, or the whole folder to galaxy-vision predict --catalogue")
    if glob.has_magic(path) and not os.path.exists(path):
        raise ValueError(
            "is a pattern that no file fits; give image files, or their folder to galaxy-vision predict --catalogue"
        )
    if path.lower().endswith(COLLECTIONS):
        raise ValueError("holds many images or their names; give it to galaxy-vision predict --catalogue")


def observe_named(image: str | Sequence[str], frame: Frame = AUTO, every: bool = False, **reading) -> list[Observation]:
    """Read and frame what :func:`read_named` takes: one galaxy, or every galaxy of the image.

    Args:
        image: as of :func:`read_named`.
        frame: from :func:`~galaxy_vision.images.framing.parse_frame`.
        every: all galaxies that are found, each in its own frame.
        **reading: as of :func:`read_named`.

    Raises:
        ValueError: as :func:`read_named` and :func:`~galaxy_vision.images.observation.observe`.
    """
    decoded = read_named(image, **reading)
    return observe_all(decoded) if every else [observe(decoded, frame)]


def frame_of(observation: Observation) -> dict:
    """Return the frame of an observation as data.

    ``box`` (left, top, right, bottom in px of the image) and, where a galaxy was looked for and found, ``x``, ``y`` and
    ``petro_r90`` in px, and ``galaxies``, their number.
    """
    framed = observation.framed
    frame: dict = {"box": list(framed.box)}
    if framed.galaxy is not None:
        frame |= {name: round(float(getattr(framed.galaxy, name)), 2) for name in ("x", "y", "petro_r90")}
        frame["galaxies"] = framed.num_galaxies
    return frame


def described(describer: Describer, observation: Observation) -> dict:
    """Describe an observation.

    Returns:
        As :class:`Describer` does, with ``reading`` (what was done to the pixels), ``doubts`` (why it may mean
        nothing), and ``frame``, as of :func:`frame_of`.
    """
    description = describer(observation.image)
    doubts = observation.doubts + class_doubts(description.get("uncertain"))
    about = {"reading": observation.reading, "doubts": [str(doubt) for doubt in doubts]}
    return about | {"frame": frame_of(observation)} | description


def describe_named(
    describer: Describer, image: str | Sequence[str], frame: Frame = AUTO, every: bool = False, **reading
) -> list[dict]:
    """Describe what :func:`observe_named` takes; ``image`` and ``error`` are all of what cannot be read."""
    name = {"image": " ".join(file_names(image))}
    try:
        return [
            name | described(describer, observation) for observation in observe_named(image, frame, every, **reading)
        ]
    except ValueError as error:
        return [name | {"error": str(error)}]
