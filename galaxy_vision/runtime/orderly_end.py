"""End a training run early, by SIGTERM, Ctrl-C or a loss that is not finite, with one line and an exit status."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TERMINATED = 143
"""Exit status after SIGTERM: 128 + 15, the convention of shells. Ctrl-C gives 130, errors 1, wrong arguments 2."""


class Terminated(BaseException):
    """SIGTERM was received. A BaseException, so that no library handles it as an error of its own."""


class Termination:
    """Handler of SIGTERM, which ends the run at once or after something was saved.

    Attributes:
        noted: SIGTERM was received.
        waits: SIGTERM is only noted, so that the run can be saved first; otherwise it ends the run at once.
        begun: a checkpoint of this run was written or read.
    """

    def __init__(self):
        self.noted, self.waits, self.begun = False, False, False

    def __call__(self, number: int, frame) -> None:
        self.noted = True
        if not self.waits:
            raise Terminated

    def wait(self, waits: bool) -> None:
        """Set whether SIGTERM waits.

        Raises:
            Terminated: SIGTERM was received before and is not to wait any longer.
        """
        self.waits = waits
        if self.noted and not waits:
            raise Terminated


@contextmanager
def orderly_end(output_dir: Path) -> Iterator[Termination]:
    """End the run with one line on Ctrl-C, SIGTERM and a loss that is not finite; the line says how to go on.

    Raises:
        SystemExit: with status 130, :data:`TERMINATED` or 1.
    """
    termination = Termination()
    try:
        with _handled(termination):
            yield termination
    except KeyboardInterrupt:
        _say(f"stopped; {_next_step(output_dir, termination)}")
        raise SystemExit(130) from None
    except Terminated:
        _say(f"SIGTERM: {_next_step(output_dir, termination, 'saved; ')}")
        raise SystemExit(TERMINATED) from None
    except FloatingPointError as error:
        newest = next(iter(checkpoints_of(output_dir)), None)
        before = f"; the newest state before it is {newest}" if newest else ""
        raise SystemExit(f"error: {error}{before}") from error


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """End the run with one line on a ValueError, by which settings and rows are refused."""
    try:
        yield
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGTERM; for the short time in which a finished run removes what it could be resumed from."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _handled(handler) -> Iterator[None]:
    """Handle SIGTERM by ``handler``; only possible in the main thread, and left alone in others."""
    try:
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def checkpoints_of(output_dir: Path) -> list[Path]:
    """Return the folders ``step-N`` of a run's checkpoints (after N batches), newest first, complete or not."""
    paths = (output_dir / "checkpoints").glob("step-*")
    numbered = [path for path in paths if path.name.removeprefix("step-").isdecimal()]
    return sorted(numbered, key=lambda path: -int(path.name.removeprefix("step-")))


def _next_step(output_dir: Path, termination: Termination, saved: str = "") -> str:
    if checkpoints_of(output_dir):
        return f"{saved}go on with --resume --output_dir {output_dir}"
    if termination.begun:  # a finished run has removed its checkpoints
        return f"the run was complete, and {output_dir} has all of it; galaxy-vision push uploads it"
    return "nothing was learned yet; start again"


def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stdout, flush=True)
