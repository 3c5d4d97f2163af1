"""Limits of time and memory around what a test does."""

import contextlib
import resource
import time
import warnings
from pathlib import Path

SECONDS = 20
"""A hang is what takes longer; nothing here needs a tenth of a second, but a test machine may be asleep for some."""

MEBIBYTES = 2048
"""More than any reader needs for the largest image that is accepted (4096 px a side, as float64 of three bands)."""

_STATUS, _CLEAR = (
    Path("/proc/self/status"),
    Path("/proc/self/clear_refs"),
)  # Linux only; elsewhere only the time is measured


def _status(name: str) -> int:
    """A number of the process in KiB: VmSize, VmRSS, VmHWM (the peak of VmRSS)."""
    return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))


@contextlib.contextmanager
def soon(mebibytes: int = MEBIBYTES):
    """What is inside may take :data:`SECONDS` and so much more memory than there is.

    An attempt at twice as much gets a MemoryError.
    """
    if not _CLEAR.exists():
        yield
        return
    _CLEAR.write_text("5")  # the peak is the present from here on
    before, (soft, hard) = _status("VmRSS"), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, ((_status("VmSize") << 10) + (2 * mebibytes << 20), hard))
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow and astropy warn before they fail
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.monotonic() - started < SECONDS
    assert (_status("VmHWM") - before) >> 10 < mebibytes
