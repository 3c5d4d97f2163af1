"""A folder -> a model, data set or Space of the Hub, in one commit: all of it is visible, or nothing."""

import time
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import (  # httpx or httpx2, as this version has it
    filter_repo_objects,
    httpx,
    logging,
    validate_repo_id,
)

from ..images.limits import is_hidden

NOT_PUSHED = [
    "checkpoints/*",
    "best/*",
    "**/__pycache__/*",
    "*.tmp",
    "*.tmp/*",
    "*.incomplete",
    "*.incomplete/*",
    ".lock",
]
"""Files that only an unfinished run needs; hidden files, which may hold secrets, stay here too, except for PUSHED."""
PUSHED = (".gitattributes", ".gitignore")

ATTEMPTS = 4
"""Of an upload whose connection drops. Files that have arrived are not sent again."""


def push_folder(
    folder: str | Path,
    repo_id: str,
    repo_type: str = "model",
    private: bool = False,
    replaced: Mapping[str, bytes] | None = None,
) -> str:
    """Upload a folder to a repository of the Hub, which is created if it is not there; returns its address.

    Args:
        replaced: files that are uploaded with this content, whatever the folder has in their place.

    Raises:
        ValueError: and nothing else, in one line: there is no such folder, a file of it cannot be read, the Hub refuses
            (wrong token, no right to write, wrong id or card), the repository is public but ``private`` is asked for,
            the Hub must not be asked (``HF_HUB_OFFLINE``), or the connection drops again and again.
    """
    folder, verbosity = Path(folder), logging.get_verbosity()
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not a folder with files; give the output_dir of a finished run, a data set or a Space"
        )
    if repo_type == "model" and not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} has no config.json, so it is no finished model; give --repo_type for data sets and Spaces"
        )
    check_repo_id("the id", repo_id)
    logging.set_verbosity_error()  # it tells of every attempt, in many lines
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _push(folder, repo_id, repo_type, private, replaced or {})
            except (httpx.TransportError, HfHubHTTPError, RuntimeError) as error:  # hf_xet raises RuntimeError itself
                if not _may_pass(error):
                    raise
                if attempt == ATTEMPTS:
                    reason = _one_line(error)
                    raise ValueError(
                        f"no connection to the Hub for {repo_id} in {ATTEMPTS} attempts ({reason}); try again later"
                    ) from error
                time.sleep(2 ** (attempt - 1))
    except OfflineModeIsEnabled as error:
        raise ValueError(
            f"the Hub is not asked for {repo_id}, since HF_HUB_OFFLINE is set; unset it to push"
        ) from error
    except LocalTokenNotFoundError as error:
        raise ValueError(
            f"there is no token for the Hub to push {repo_id}; run `hf auth login`, or set HF_TOKEN"
        ) from error
    except HfHubHTTPError as error:
        raise ValueError(
            f"the Hub refuses {repo_id}: {_one_line(error)}; check the id, and by `hf auth login` that the token may "
            "write"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ValueError(
            f"the answer for {repo_id} is not that of a Hub ({_one_line(error)}); check HF_ENDPOINT"
        ) from error
    except OSError as error:
        raise ValueError(f"{folder} cannot be uploaded: {_one_line(error)}") from error
    except ValueError as error:
        raise ValueError(f"{repo_id}: {_one_line(error)}") from error
    finally:
        logging.set_verbosity(verbosity)


def check_repo_id(name: str, repo_id: str) -> None:
    """Check that a repository of the Hub can have this id; ``name`` is that of the argument.

    Raises:
        ValueError: none can.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"{name}={repo_id!r} is not an id of the Hub; give one such as someone/galaxies") from error


def _push(folder: Path, repo_id: str, repo_type: str, private: bool, replaced: Mapping[str, bytes]) -> str:
    api, sdk = HfApi(), {"space_sdk": "gradio"} if repo_type == "space" else {}
    url = api.create_repo(repo_id, repo_type=repo_type, private=private or None, exist_ok=True, **sdk)
    if private and not api.repo_info(repo_id, repo_type=repo_type).private:
        raise ValueError(
            "the repository exists and is public; make it private in its settings first, or leave private out"
        )
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    visible = (name for name in names if not is_hidden(name) or name in PUSHED)
    content = {name: folder / name for name in filter_repo_objects(visible, ignore_patterns=NOT_PUSHED)} | dict(
        replaced
    )
    # Not upload_folder, which makes several commits of it where hf_xet is installed.
    operations = [CommitOperationAdd(name, data) for name, data in content.items()]
    api.create_commit(repo_id, operations, commit_message="Upload by galaxy-vision", repo_type=repo_type)
    return str(url)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed: the connection was lost, or the Hub is overloaded or down."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return True


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if len(lines) > 1 and lines[1].startswith("-"):  # what is wrong with the metadata of a card
        text += f" {lines[1]}"
    return text.rstrip(".")
