"""Files: written atomically, locked between processes, checked by sha256."""

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from guidebp.errors import StopRequested, UserError


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old or the new content, also after a power cut."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write in steps; it replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path, name: str, stop: Callable[[], bool] | None = None) -> Iterator[None]:
    """Hold the exclusive lock `name` of a folder, waiting if necessary; the kernel releases it when we die.

    Raises StopRequested when `stop()` becomes true while waiting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        while stop:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop():
                    raise StopRequested from None
                time.sleep(0.2)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make a rename inside the folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_checksums(target: Path, paths: Iterable[Path]) -> None:
    """Write the checksums of files in the format of `sha256sum --check`."""
    write_atomic(target, "".join(f"{file_hash(path)}  {path}\n" for path in paths).encode())


def check_checksums(sums: Path, paths: Iterable[Path], command: str) -> None:
    """Raise UserError when a file differs from its checksum in `sums`; `command` makes the file again.

    A missing `sums` is no error: the workflow writes it again.
    """
    if not sums.exists():
        return
    try:
        lines = [line.split("  ", 1) for line in sums.read_text().splitlines()]
        checksums = {Path(path): checksum for checksum, path in lines}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{sums}: not a list of checksums ({error}). Run: rm -r {sums} && {command}"
        ) from error
    for path in paths:
        if path.is_file() and checksums.get(path) != file_hash(path):
            raise UserError(f"{path}: changed since it was written. Run: rm -r {path} && {command}")
