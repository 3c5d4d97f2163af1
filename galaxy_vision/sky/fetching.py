"""Fetch small files politely, each once: a name, few requests at a time, pauses, retries, and a cache on disk.

The cache holds what was answered to a request by its address. All runs share it, and it may be removed at any time.
"""

import hashlib
import json
import logging
import os
import threading
import time
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from .. import __version__

USER_AGENT = f"galaxy-vision/{__version__} (morphology of galaxies; cut-outs at the Galaxy Zoo scale)"
AT_ONCE, PAUSE = 4, 0.1
"""Requests at once, and seconds after an answer before its connection asks again. Ours: 40 a second at most."""
TIMES_OUT = (10, 60)
"""Seconds until a connection stands, and between two packets."""
MAX_BYTES = 16 << 20
"""Most bytes of an answer; a JPEG of 512 px has .1 MB."""
RETRIES = 4
BUSY, BROKEN = (429, 503), (500, 502, 504)
"""Answers that are asked for again after the time that they name in ``Retry-After``, or 1, 2, 4, 8 s.

A service that is busy even then is for all positions, and one that is broken perhaps for this one only.
"""
CACHE = "GALAXY_VISION_CACHE"
"""Variable of the environment with the folder of the cache."""


class NotFetched(Exception):
    """What was asked for could not be had.

    Attributes:
        status: ``not_found``, ``empty``, ``truncated``, ``not_an_image``, ``outside_footprint``, ``no_position`` or
            ``refused``.
    """

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status = status


class Unreachable(ValueError):
    """A service cannot be reached, or is busy, so that no other position could be had either."""


def cache_folder() -> Path:
    """Return the folder of the cache."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "galaxy_vision") / "cutouts"


class Fetcher:
    """Fetches images over HTTP for several threads.

    Args:
        at_once: requests at a time.
        pause: seconds after an answer before the next request may take its turn.
        backoff: seconds before the second retry, which double with each.
    """

    def __init__(self, at_once: int = AT_ONCE, pause: float = PAUSE, backoff: float = 1.0):
        self.turns, self.pause = threading.BoundedSemaphore(at_once), pause
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings of retries would hide our sentence
        retry = Retry(
            total=RETRIES,
            backoff_factor=backoff,
            status_forcelist=(*BUSY, *BROKEN),
            allowed_methods=("GET",),
            respect_retry_after_header=True,
            raise_on_status=False,
        )
        self.session = requests.Session()
        self.session.headers["User-Agent"] = USER_AGENT
        adapter = HTTPAdapter(max_retries=retry, pool_maxsize=at_once)
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)
        self.attempts, self.unreachable = RETRIES, None

    def image(self, url: str) -> bytes:
        """Return the JPEG or PNG at an address, from the cache or over the network.

        Raises:
            NotFetched: it cannot be had. That it does not exist is kept in the cache too.
            Unreachable: there is no network, or the service is busy; from then on nobody is asked again.
        """
        kept = self._kept(url)
        if not kept.exists():
            for attempt in range(self.attempts):
                try:
                    data = self._answer(url)
                    break
                except NotFetched as error:
                    if error.status == "not_found":
                        _keep(
                            kept.with_suffix(".json"), json.dumps({"status": error.status, "why": str(error)}).encode()
                        )
                        raise
                    if error.status == "refused" or attempt == self.attempts - 1:
                        raise
                    time.sleep(self.pause * 2**attempt)
            _keep(kept, data)
        return kept.read_bytes()

    def _kept(self, url: str) -> Path:
        """Return the file of an answer in the cache; raise what was answered if it was a refusal."""
        name = hashlib.sha256(url.encode()).hexdigest()
        kept = cache_folder() / name[:2] / f"{name[2:]}.img"
        refusal = kept.with_suffix(".json")
        if refusal.exists():
            answered = json.loads(refusal.read_text(encoding="utf-8"))
            raise NotFetched(answered["status"], answered["why"])
        return kept

    def _answer(self, url: str) -> bytes:
        host = url.split("/")[2]
        with self.turns:
            if self.unreachable:
                raise self.unreachable
            try:
                with self.session.get(url, timeout=TIMES_OUT, stream=True) as answer:
                    status, kind = answer.status_code, answer.headers.get("Content-Type", "")
                    data = answer.raw.read(MAX_BYTES + 1, decode_content=True)
                    length = answer.headers.get("Content-Length")
            except HTTPError as error:  # of a body that is shorter than its length
                raise NotFetched("truncated", f"{host} ended its answer too early ({type(error).__name__})") from error
            except requests.exceptions.RequestException as error:
                self.unreachable = Unreachable(
                    f"{host} cannot be reached ({type(error).__name__}); run the same again with a network, and it "
                    "goes on with what is in the cache"
                )
                raise self.unreachable from error
            finally:
                time.sleep(self.pause)
        if status == 404:
            raise NotFetched("not_found", f"{host} has no image there (404)")
        if status in BUSY:
            self.unreachable = Unreachable(
                f"{host} is busy ({status}) and was asked {self.attempts} times; run again later"
            )
            raise self.unreachable
        if status != 200:
            raise NotFetched("refused", f"{host} refuses the request ({status}): {_words(data)}")
        return _checked(data, host, kind, length)


def _checked(data: bytes, host: str, kind: str, length: str | None) -> bytes:
    """Return a whole JPEG or PNG; raise NotFetched for anything else."""
    if not data:
        raise NotFetched("empty", f"{host} answered with nothing")
    is_jpeg, is_png = data.startswith(b"\xff\xd8\xff"), data.startswith(b"\x89PNG\r\n")
    if not (is_jpeg or is_png):
        raise NotFetched(
            "not_an_image", f"{host} answered with {kind or 'something'} instead of an image: {_words(data)}"
        )
    end = b"\xff\xd9" if is_jpeg else b"IEND"
    if (length and length.isdigit() and len(data) < int(length)) or end not in data[-64:]:
        raise NotFetched("truncated", f"{host} ended the image after {len(data)} bytes")
    return data


def _words(data: bytes) -> str:
    return " ".join(data[:300].decode("utf-8", "replace").split())[:120]


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")  # several runs may keep one answer
    partial.write_bytes(data)
    partial.replace(path)
