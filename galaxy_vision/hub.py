"""A folder -> a model, data set or Space of the Hub, in one commit: all of it is visible, or nothing."""

import time
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx  # httpx or httpx2, as this version has it

NOT_PUSHED = ["checkpoints/*", "best/*", "**/__pycache__/*", "*.tmp", "*.tmp/*", "*.incomplete", "*.incomplete/*", ".lock"]
"""What a run needs to go on, and what is not finished."""

ATTEMPTS = 4
"""Of an upload whose connection drops. Files that have arrived are not sent again."""


def push_folder(folder: str | Path, repo_id: str, repo_type: str = "model", private: bool = False) -> str:
    """Upload a folder to a repository of the Hub, which is created if it is not there; returns its address.

    Raises:
        ValueError: there is no such folder, the Hub refuses (wrong token, wrong id), the repository is public but ``private`` is asked
            for, or the connection drops again and again.
    """
    folder, api = Path(folder), HfApi()
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ValueError(f"{folder} is not a folder with files; give the output_dir of a finished run, a data set or a Space")
    if repo_type == "model" and not (folder / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json, so it is no finished model; give --repo_type for data sets and Spaces")
    sdk = {"space_sdk": "gradio"} if repo_type == "space" else {}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            url = api.create_repo(repo_id, repo_type=repo_type, private=private or None, exist_ok=True, **sdk)
            if private and not api.repo_info(repo_id, repo_type=repo_type).private:
                raise ValueError(f"{repo_id} exists and is public; make it private in its settings first, or leave private out")
            api.upload_folder(repo_id=repo_id, folder_path=folder, repo_type=repo_type, ignore_patterns=NOT_PUSHED)
            return str(url)
        except HfHubHTTPError as error:
            reason = str(error).strip().splitlines()
            raise ValueError(
                f"the Hub refuses {repo_id}: {reason[0]}; check the id, and the token by `hf auth login`"
            ) from error
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                raise ValueError(
                    f"no connection to the Hub for {repo_id} in {ATTEMPTS} attempts ({error}); try again later"
                ) from error
            time.sleep(2 ** (attempt - 1))
