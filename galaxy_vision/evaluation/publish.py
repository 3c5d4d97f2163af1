"""Push a finished run to the Hub: the upload names the repository, and so does the folder afterwards."""

import json
import re
import shlex
import sys
from pathlib import Path

from ..runtime.files import json_text, written_whole
from ..runtime.hub import push_folder
from .model_card import card_text


def push_run(folder: Path, repo_id: str, private: bool = False) -> str:
    """Upload a finished run and return its address; the folder is changed only after a complete upload.

    The card that the run wrote is uploaded under the name of the repository; a card that was edited since is uploaded
    unchanged.

    Raises:
        ValueError: as in :func:`~galaxy_vision.runtime.hub.push_folder`, or metrics.json or run.json is damaged.
    """
    try:
        results, run = (json.loads((folder / name).read_text()) for name in ("metrics.json", "run.json"))
        is_unedited = _card_of_the_run(folder, results, run)
        run |= {"pushed": repo_id}
        changed = {"run.json": json_text(run).encode()}
        if is_unedited:
            changed["README.md"] = card_text(folder, results, run).encode()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{folder}: metrics.json or run.json is damaged ({error}); train again, or restore it"
        ) from error
    if not is_unedited:
        print(f"{folder / 'README.md'} was edited after the run, so it is uploaded as it is", file=sys.stderr)
    url = push_folder(folder, repo_id, private=private, replaced=changed)
    try:
        for name, data in changed.items():
            with written_whole(folder / name) as partial:
                partial.write_bytes(data)
    except OSError as error:
        print(
            f"{folder} cannot be written ({error}), so its card does not name {repo_id}; the card on the Hub does",
            file=sys.stderr,
        )
    return url


def _card_of_the_run(folder: Path, results: dict, run: dict) -> bool:
    """Return whether README.md is missing or as the run wrote it, for any name that the folder had then."""
    if not (folder / "README.md").is_file():
        return True
    present = (folder / "README.md").read_bytes().decode(errors="replace")
    title = re.search(r"^# (.+?)\r?$", present, re.MULTILINE)
    return bool(title) and present in [card_text(folder, results, run, title[1], pushed) for pushed in (False, True)]


def push_at_the_end(args) -> None:
    """Push the finished run if ``args.push_to_hub`` is set, as its last step.

    Args:
        args: a :class:`~galaxy_vision.training.arguments.TrainingRun`.

    Raises:
        SystemExit: the run was not pushed: 130 after Ctrl-C, else 1, with the command that pushes it later.
    """
    if not args.push_to_hub:
        return
    words = [
        "galaxy-vision",
        "push",
        str(args.output_dir),
        args.hub_model_id,
        *(["--private"] if args.hub_private else []),
    ]
    later = f"the run is complete in {args.output_dir}; push it later by: {shlex.join(words)}"
    try:
        print(f"pushed to {push_run(Path(args.output_dir), args.hub_model_id, args.hub_private)}")
    except KeyboardInterrupt:
        print(f"stopped before the push was complete; {later}", file=sys.stderr)
        raise SystemExit(130) from None
    except ValueError as error:
        raise SystemExit(f"error: {error}; {later}") from error
