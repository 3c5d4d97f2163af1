"""Upload a folder to a model, data set or Space of the Hub in one commit, so that it is visible whole or not at all."""

import time
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

# httpx from here, since huggingface_hub uses httpx or httpx2.
from huggingface_hub.utils import filter_repo_objects, httpx, logging, validate_repo_id

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
"""Files of unfinished runs, which are not uploaded."""

PUSHED = (".gitattributes", ".gitignore")
"""The only hidden files that are uploaded; others may hold secrets."""

ATTEMPTS = 4
"""Attempts at an upload whose connection drops; files that have arrived are not sent again. Ours: 7 s in all."""


def push_folder(
    folder: str | Path,
    repo_id: str,
    repo_type: str = "model",
    private: bool = False,
    replaced: Mapping[str, bytes] | None = None,
) -> str:
    """Upload a folder to a repository of the Hub, which is created if it does not exist.

    Args:
        folder: folder to upload.
        repo_id: id of the repository, such as ``"someone/galaxies"``.
        repo_type: ``"model"``, ``"dataset"`` or ``"space"``.
        private: make the repository private.
        replaced: content of files that are uploaded instead of those of the same name in the folder.

    Returns:
        The address of the repository.

    Raises:
        ValueError: the folder does not exist or a file cannot be read; the Hub refuses the token, the id or the card;
            the repository exists and is public, and ``private`` is asked for; ``HF_HUB_OFFLINE`` is set; or the
            connection drops in each attempt. No other error is raised, and the message is one line.
    """
    folder, verbosity = Path(folder), logging.get_verbosity()
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not a folder with files; give the output_dir of a finished run, a data set or a Space"
        )
    if repo_type == "model" and not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} has no config.json and is not a finished model; give --repo_type for data sets and Spaces"
        )
    check_repo_id("the id", repo_id)
    logging.set_verbosity_error()  # huggingface_hub prints many lines for each attempt
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _push(folder, repo_id, repo_type, private, replaced or {})
            except (httpx.TransportError, HfHubHTTPError, RuntimeError) as error:  # RuntimeError is of hf_xet
                if not _is_temporary(error):
                    raise
                if attempt == ATTEMPTS:
                    reason = _one_line(error)
                    raise ValueError(
                        f"no connection to the Hub for {repo_id} in {ATTEMPTS} attempts ({reason}); try again later"
                    ) from error
                time.sleep(2 ** (attempt - 1))
    except OfflineModeIsEnabled as error:
        raise ValueError(f"{repo_id} cannot be pushed while HF_HUB_OFFLINE is set; unset it") from error
    except LocalTokenNotFoundError as error:
        raise ValueError(
            f"there is no token for the Hub to push {repo_id}; run `hf auth login`, or set HF_TOKEN"
        ) from error
    except HfHubHTTPError as error:
        raise ValueError(
            f"the Hub refuses {repo_id}: {_one_line(error)}; check the id, and that the token of `hf auth login` may "
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
    """Check that a string is a valid id of a repository of the Hub.

    Args:
        name: of the argument, for the message.
        repo_id: id to check.

    Raises:
        ValueError: the id is not valid.
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
    content = {name: folder / name for name in filter_repo_objects(visible, ignore_patterns=NOT_PUSHED)}
    content.update(replaced)
    # upload_folder would make several commits where hf_xet is installed.
    operations = [CommitOperationAdd(name, data) for name, data in content.items()]
    api.create_commit(repo_id, operations, commit_message="Upload by galaxy-vision", repo_type=repo_type)
    return str(url)


def _is_temporary(error: Exception) -> bool:
    """Return whether another attempt may succeed: the connection was lost, or the Hub is overloaded or down."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return True


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if len(lines) > 1 and lines[1].startswith("-"):  # the reason, where the metadata of a card are wrong
        text += f" {lines[1]}"
    return text.rstrip(".")
