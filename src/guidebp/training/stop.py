"""The wish that a process should stop: a signal, or the end of its parent. It is asked for, never interrupts."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Exit codes, as sysexits.h means them.
CONTINUE = 75  # not finished: the same command goes on
OUT_OF_MEMORY = 71

Note = Callable[[int, FrameType | None], None]


class Wish:
    """Whether this process is wished to stop: call it between two steps."""

    def __init__(self, parent: int | None = None) -> None:
        """Signals are noted from now on; `parent`: our parent, without which there is no sense in going on."""
        self.parent = parent
        self.came = False
        handle(self.note)

    def __call__(self) -> bool:
        """Whether a signal came or the parent is gone."""
        return self.came or (self.parent is not None and os.getppid() != self.parent)

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal came; the second Ctrl-C ends the process at once."""
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.came = True


def handle(note: Note) -> dict[int, Note | int | None]:
    """Have `note` called for signals that ask to stop, but for those ignored (nohup); who was called before."""
    asking = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return {n: signal.signal(n, note) for n in asking if signal.getsignal(n) != signal.SIG_IGN}


@contextmanager
def passed_on(stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[list[int]]:
    """Within the block such a signal calls `stop`, a second one `kill`; yields the signals that came."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        (stop if len(came) == 1 else kill)()

    before = handle(note)
    try:
        yield came
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
