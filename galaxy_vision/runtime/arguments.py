"""A dataclass of arguments, read from flags or from a JSON file."""

import argparse
import json
import sys
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

from transformers import HfArgumentParser


def arg(default, help: str):
    """A dataclass field with its help text."""
    return field(default=default, metadata={"help": help})


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The lines of a description as they are, and defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def parse_arguments(kind: type, description: str, argv: list[str] | None, prog: str | None = None):
    """Read arguments from the command line, after a JSON file that stands first; wrong ones end with status 2."""
    # Short, since an error stands below it and is to be seen.
    usage = "%(prog)s [ARGUMENTS.json] [--NAME VALUE ...]    (--help lists them)"
    settings = {
        "prog": prog,
        "usage": usage,
        "description": description,
        "formatter_class": _Help,
        "allow_abbrev": False,
    }
    parser = HfArgumentParser(kind, **settings)
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0].endswith(".json"):
            given = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
            if not isinstance(given, dict):
                raise ValueError(f'{argv[0]} holds a {type(given).__name__}; write {{"epochs": 3, ...}}')
            if unknown := sorted(set(given) - {each.name for each in fields(kind)}):
                raise ValueError(
                    f"{argv[0]} has the unknown argument {', '.join(map(repr, unknown))}; --help lists those that "
                    "there are"
                )
            _check_types(kind, given, argv[0])
            parser.set_defaults(**given)
            argv = argv[1:]
        return parser.parse_args_into_dataclasses(argv)[0]
    except (ValueError, OSError, RecursionError) as error:
        parser.error(str(error))


def _check_types(kind: type, given: dict, path: str) -> None:
    """Values of a JSON file, which argparse would take as they are.

    Raises:
        ValueError: one has another type than the argument, or is no finite number.
    """
    for name, hint in get_type_hints(kind).items():
        allowed = tuple(get_origin(kind) or kind for kind in get_args(hint) or (hint,))
        value = given.get(name, None if type(None) in allowed else MISSING)
        whole = type(value) is int and float in allowed  # 1 for 1.0
        if value is not MISSING and not whole and type(value) not in allowed:
            raise ValueError(
                f"{name}={value!r} in {path} is of type {type(value).__name__}; give {allowed[0].__name__}"
            )
