"""Read a dataclass of arguments from the command line or from a JSON file."""

import argparse
import json
import sys
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

from transformers import HfArgumentParser


def arg(default, help: str):
    """Return a dataclass field with its help text, to which a default other than None is added."""
    return field(default=default, metadata={"help": help if default is None else f"{help} (default: %(default)s)"})


def parse_arguments(kind: type, description: str, argv: list[str] | None, prog: str | None = None):
    """Read arguments from the command line, whose first may be a JSON file; exit with status 2 if one is wrong.

    Args:
        kind: dataclass whose fields are made by :func:`arg`.
        description: text of ``--help``, shown line by line as it is.
        argv: arguments; None for those of the process. Flags take precedence over values of the file.
        prog: name of the program in messages; None for that of the process.

    Returns:
        An instance of ``kind``.
    """
    # The usage is short, so that the error below it stays in sight.
    usage = "%(prog)s [ARGUMENTS.json] [--NAME VALUE ...]    (--help lists them)"
    settings = {
        "prog": prog,
        "usage": usage,
        "description": description,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    parser = HfArgumentParser(kind, **settings)
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0].endswith(".json"):
            values = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f'{argv[0]} holds a {type(values).__name__}; write {{"epochs": 3, ...}}')
            if unknown := sorted(set(values) - {argument.name for argument in fields(kind)}):
                raise ValueError(
                    f"{argv[0]} has the unknown argument {', '.join(map(repr, unknown))}; --help lists all arguments"
                )
            _check_types(kind, values, argv[0])
            parser.set_defaults(**values)
            argv = argv[1:]
        else:
            values = {}
        parsed = parser.parse_args_into_dataclasses(argv)[0]
        if hasattr(parsed, "given"):  # also those that were given and equal their default
            flags = {word.split("=")[0].removeprefix("--").removeprefix("no_") for word in argv if word[:2] == "--"}
            parsed.given |= set(values) | flags
        return parsed
    except (ValueError, OSError, RecursionError) as error:
        parser.error(str(error))


def _check_types(kind: type, values: dict, path: str) -> None:
    """Check the types of values from a JSON file, which argparse would take as they are.

    Raises:
        ValueError: a value has another type than its argument.
    """
    for name, hint in get_type_hints(kind).items():
        allowed = tuple(get_origin(choice) or choice for choice in get_args(hint) or (hint,))
        value = values.get(name, None if type(None) in allowed else MISSING)
        is_whole_float = type(value) is int and float in allowed  # JSON has 1 for 1.0
        if value is not MISSING and not is_whole_float and type(value) not in allowed:
            raise ValueError(
                f"{name}={value!r} in {path} is of type {type(value).__name__}; give {allowed[0].__name__}"
            )
