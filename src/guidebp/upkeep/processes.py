"""Who works in this folder: processes of this machine, and Snakemake's lock, which outlives them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

LOCKS = Path(".snakemake/locks")
OURS = ("snakemake", "guidebp")


class Worker(NamedTuple):
    """A process that works in this folder."""

    number: int
    command: str


def workers() -> list[Worker]:
    """Other processes that run snakemake or guidebp in the current folder, apart from those we descend from."""
    here, own = Path.cwd(), psutil.Process()
    family = {own.pid, *(parent.pid for parent in own.parents())}
    return [Worker(pid, command) for pid, command in working_in(here) if pid not in family]


def working_in(folder: Path) -> Iterator[tuple[int, str]]:
    """Number and command of the processes of ours in a folder, as far as one may look."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if program(command) in OURS and Path(process.cwd()) == folder:
                yield process.pid, " ".join(command)
        except (psutil.Error, OSError):  # gone meanwhile, or another user's
            continue


def program(command: list[str]) -> str:
    """The name of what a command runs: of a Python its script or its module."""
    words = iter(command)
    name = Path(next(words, "")).name
    if not name.startswith("python"):
        return name
    for word in words:
        if word in ("-X", "-W"):
            next(words, "")
        elif word == "-m":
            return next(words, "").split(".")[0]
        elif not word.startswith("-"):
            return Path(word).name
    return name


def snakemake_locked() -> bool:
    """Whether Snakemake's lock lies here, of a process that lives or of one that was killed."""
    return any(LOCKS.glob("*.lock"))
