"""Requests that a process stop: a signal, or the end of its parent. They are polled and never interrupt."""

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
    """Whether this process was asked to stop: call it between two steps."""

    def __init__(self, parent: int | None = None) -> None:
        """Signals are recorded from now on; `parent`: the process without which going on is pointless."""
        self.parent = parent
        self.signalled = False
        _handle_signals(self._record)

    def __call__(self) -> bool:
        """Whether a signal came or the parent is gone."""
        return self.signalled or (self.parent is not None and os.getppid() != self.parent)

    def _record(self, number: int, frame: FrameType | None) -> None:
        """Record a signal; the second Ctrl-C ends the process at once."""
        if self.signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signalled = True


@contextmanager
def forward_signals(stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[list[int]]:
    """Within the block the first signal to stop calls `stop`, a second one `kill`; yields the signals so far."""
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
    """End the process at once; nothing is left to write, and standard output may be closed."""
    sys.stderr.flush()
    os._exit(code)


def _handle_signals(handler: Handler) -> dict[int, Handler | int | None]:
    """Call `handler` for signals that ask to stop, except ignored ones (nohup); returns the handlers before."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return {n: signal.signal(n, handler) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
