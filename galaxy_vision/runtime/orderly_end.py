"""How a training run ends early, by SIGTERM, Ctrl-C or numbers that are not finite: with one line and a status."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TERMINATED = 143
"""Exit status after SIGTERM: 128 + 15, as shells have it; Ctrl-C gives 130, any error 1, wrong arguments 2."""


class Terminated(BaseException):
    """SIGTERM has come. No library takes it for an error of its own and goes on."""


class Termination:
    """Whether SIGTERM has come to this process, and what it does.

    Attributes:
        noted: it has come.
        waits: it is only noted, because something is to be saved first; otherwise it ends the run at once.
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
            Terminated: it does not any more, and SIGTERM has come.
        """
        self.waits = waits
        if self.noted and not waits:
            raise Terminated


@contextmanager
def orderly_end(output_dir: Path) -> Iterator[Termination]:
    """Inside, Ctrl-C, SIGTERM and numbers that are not finite end the run with one line, which says how to go on.

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
    """Inside, a ValueError, by which a setting or the rows are refused, ends the run with its one line."""
    try:
        yield
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, SIGTERM is passed over: for the few moments after which there is nothing left to go on with."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _handled(handler) -> Iterator[None]:
    """Inside, SIGTERM is handled so; only the main thread may say how."""
    try:
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # of another thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def checkpoints_of(output_dir: Path) -> list[Path]:
    """The checkpoints ``step-N`` of a run (N batches were done), the newest first, whole or not."""
    found = (output_dir / "checkpoints").glob("step-*")
    numbered = [path for path in found if path.name.removeprefix("step-").isdecimal()]
    return sorted(numbered, key=lambda path: -int(path.name.removeprefix("step-")))


def _next_step(output_dir: Path, termination: Termination, saved: str = "") -> str:
    if checkpoints_of(output_dir):
        return f"{saved}go on with --resume --output_dir {output_dir}"
    if termination.begun:  # its checkpoints were removed at its end
        return f"the run was through, and {output_dir} has all of it; galaxy-vision push uploads it"
    return "nothing was learned yet; start again"


def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stdout, flush=True)
