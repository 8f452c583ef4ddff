"""Requests to stop a process: a signal, or the end of its parent. They are polled and never interrupt."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# Exit codes, as sysexits.h means them.
CONTINUE = 75  # not finished: the same command resumes
OUT_OF_MEMORY = 71

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """Request to stop this process. Call the object between two steps; it returns True after a request."""

    def __init__(self, parent: int | None = None) -> None:
        """Record signals from now on. The end of process `parent` also counts as a request to stop."""
        self.parent = parent
        self.signalled = False
        _handle_signals(self._record)

    def __call__(self) -> bool:
        """Return True if a signal came or the parent is gone."""
        return self.signalled or (self.parent is not None and os.getppid() != self.parent)

    def _record(self, number: int, frame: FrameType | None) -> None:
        """Record a signal; the second Ctrl-C ends the process at once."""
        if self.signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signalled = True


@contextmanager
def forward_signals(stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[list[int]]:
    """Call `stop` at the first signal to stop within the block, and `kill` at later ones.

    Yields the list of signals so far.
    """
    signals: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        (stop if len(signals) == 1 else kill)()

    before = _handle_signals(forward)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_now(code: int) -> NoReturn:
    """End the process at once. Call it when nothing is left to write; standard output may be closed."""
    sys.stderr.flush()
    os._exit(code)


def _handle_signals(handler: Handler) -> dict[int, Handler | int | None]:
    """Call `handler` for signals that ask to stop, except ignored ones (nohup); return the old handlers."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return {n: signal.signal(n, handler) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
