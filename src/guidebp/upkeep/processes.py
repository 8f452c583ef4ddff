"""Processes of this machine that work in this folder, and Snakemake's lock, which outlives them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

LOCKS = Path(".snakemake/locks")
PROGRAMS = ("snakemake", "guidebp")


class Worker(NamedTuple):
    """A process that works in this folder."""

    number: int
    command: str


def find_workers() -> list[Worker]:
    """Other processes that run snakemake or guidebp in the current folder, without this one's ancestors."""
    here, own = Path.cwd(), psutil.Process()
    family = {own.pid, *(parent.pid for parent in own.parents())}
    return [Worker(pid, command) for pid, command in _list_processes(here) if pid not in family]


def _list_processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Number and command of each snakemake or guidebp process in a folder that this user may inspect."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if parse_program(command) in PROGRAMS and Path(process.cwd()) == folder:
                yield process.pid, " ".join(command)
        except (psutil.Error, OSError):  # gone meanwhile, or another user's
            continue


def parse_program(command: list[str]) -> str:
    """The name of the program that a command runs: for Python, its script or module."""
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


def is_snakemake_locked() -> bool:
    """Return True if Snakemake's lock is here. A running process holds it, or a killed one left it."""
    return any(LOCKS.glob("*.lock"))
